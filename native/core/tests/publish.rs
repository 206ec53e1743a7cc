//! Changes: what is seen when, and what is refused.

mod units;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use roadstead_core::decision::Kind;
use roadstead_core::error::Error;
use roadstead_core::model::{Health, LbConfig, MatchKind};
use roadstead_core::request::PlainRequest;
use units::{cluster, delete, engine, plain, put, route, unit};

#[test]
fn bad_input_changes_nothing() {
    let engine = engine(vec![plain("a.com", 80)]);
    let mut regex = plain("a.com", 81);
    regex.virtual_hosts[0].routes = vec![route(MatchKind::Regex, "(", &[("a.com", 1)])];
    let mut address = plain("a.com", 81);
    address.services[0].addresses = vec!["10.0.0.0/64".to_owned()];
    let mut nowhere = plain("a.com", 81);
    nowhere.virtual_hosts[0].routes[0].destinations.clear();
    let mut weightless = plain("a.com", 81);
    weightless.virtual_hosts[0].routes = vec![route(MatchKind::Prefix, "/", &[("a", 0), ("b", 0)])];
    let mut table = plain("a.com", 81);
    table.clusters[0].lb = Arc::new(LbConfig { table_size: 100, ..LbConfig::default() });
    let mut builder = engine.builder();
    for bad in [regex, address, nowhere, weightless, table] {
        assert!(builder.put(bad).is_err());
    }
    engine.publish(builder).unwrap();
    assert!(engine.load().find("a.com", 80).is_some());
    assert!(engine.load().find("a.com", 81).is_none());
}

#[test]
fn only_the_newest_builder_is_published() {
    let engine = engine(vec![]);
    let (mut first, second) = (engine.builder(), engine.builder());
    first.put(plain("a.com", 80)).unwrap();
    assert!(engine.load().find("a.com", 80).is_none());
    engine.publish(first).unwrap();
    assert_eq!(engine.publish(second), Err(Error::Stale));
    assert!(engine.load().find("a.com", 80).is_some());
    assert_eq!(engine.version(), 2);
}

#[test]
fn positions_are_given_out_again() {
    let engine = engine(vec![plain("a", 80), plain("b", 80), plain("c", 80)]);
    let names = || -> Vec<Option<String>> {
        engine.load().clusters().map(|cluster| cluster.map(|cluster| cluster.name.to_string())).collect()
    };
    let some = |name: &str| Some(name.to_owned());
    delete(&engine, "b");
    assert_eq!(names(), [some("a"), None, some("c")]);
    put(&engine, vec![plain("d", 80)]);
    assert_eq!(names(), [some("a"), some("d"), some("c")]);
}

#[test]
fn unknown_clusters_are_errors() {
    let engine = engine(vec![plain("a", 80)]);
    assert_eq!(engine.update_endpoints("b", vec![]), Err(Error::UnknownCluster("b".to_owned())));
    assert_eq!(engine.set_health("a", "10.0.0.1", 80, Health::Unhealthy), Ok(false));
    assert_eq!(engine.update_endpoints("a", vec![]), Ok(()));
}

#[test]
fn after_deleting_everything_nothing_is_left() {
    let engine = engine(vec![plain("a.com", 80), plain("*.b.com", 80), plain("*c", 80), plain("d*", 80)]);
    for key in ["a.com", "*.b.com", "*c", "d*", "never"] {
        delete(&engine, key);
    }
    for host in ["a.com", "x.b.com", "xc", "dx"] {
        let decision = engine.route(&PlainRequest::get(host, "/"), Some(80), 0);
        assert_eq!(decision.kind, Kind::Passthrough, "{host}");
    }
    assert!(engine.load().clusters().flatten().next().is_none());
    assert!(engine.cluster("a.com").is_none());
}

#[test]
fn readers_see_all_of_a_change_or_nothing() {
    let pair = |version: u16| {
        let mut made = unit("pair");
        made.services = [plain("a", version), plain("b", version)].into_iter().flat_map(|unit| unit.services).collect();
        made.clusters = vec![cluster("a"), cluster("b")];
        made
    };
    let engine = engine(vec![pair(1)]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let snapshot = engine.load();
                    let port = 1 + (snapshot.version - 1) as u16;
                    assert!(snapshot.find("a", port).is_some() && snapshot.find("b", port).is_some());
                }
            });
        }
        for version in 2..300 {
            put(&engine, vec![pair(version)]);
        }
        done.store(true, Relaxed);
    });
}
