//! Publish against read, in every order of their steps that loom finds:
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p roadstead-core --release --test loom`
#![cfg(loom)]

mod units;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::thread;
use roadstead_core::balance::{ClusterLive, PickInput};
use roadstead_core::model::{Endpoint, EndpointKind, Health, LbConfig, LbPolicy, Limits, LocalityGroup, Plain};
use roadstead_core::overlay::{self, LeaseKind, Outcome};
use roadstead_core::request::PlainRequest;
use units::{engine, plain, put};

const REQUEST: LeaseKind = LeaseKind::Request { retry: false, pending: false };

/// Threads may be interrupted so often in one run: two find nearly every fault, and more take minutes.
fn tried(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    assert!(orders.load(Relaxed) > 3, "loom sees nothing of what the threads do");
}

fn groups(addresses: &[&str]) -> Vec<LocalityGroup<Plain>> {
    let endpoint = |address: &&str| Endpoint {
        labels: None,
        address: (*address).into(),
        port: 80,
        kind: EndpointKind::Ip,
        weight: 1,
        health: Health::Unknown,
        hostname: "".into(),
        hash_key: "".into(),
    };
    let endpoints = addresses.iter().map(endpoint).collect();
    vec![LocalityGroup { locality: Arc::from(""), priority: 0, weight: None, endpoints }]
}

fn cluster(addresses: &[&str], limits: Limits) -> Arc<ClusterLive<Plain>> {
    let lb = LbConfig { policy: LbPolicy::RoundRobin, ..LbConfig::default() };
    let live = ClusterLive::new(Arc::new(lb), Arc::new(limits), None, groups(addresses), 0);
    // It is in use.
    live.pick(&live.state(), PickInput::default());
    Arc::new(live)
}

#[test]
fn a_reader_sees_all_of_a_change_or_nothing() {
    tried(|| {
        let engine = Arc::new(engine(vec![plain("a", 80), plain("b", 80)]));
        let reader = {
            let engine = Arc::clone(&engine);
            thread::spawn(move || {
                let snapshot = engine.load();
                let known = |host, port| snapshot.find(host, port).is_some();
                assert!(known("a", 80) && known("b", 80) || known("a", 81) && known("b", 81));
                // A decision keeps its view, whatever is published meanwhile.
                let decision = engine.route(&PlainRequest::get("a", "/"), Some(80), 0);
                assert_eq!(decision.cluster().is_some(), decision.cluster_name() == "a" || decision.route().is_none());
            })
        };
        put(&engine, vec![plain("a", 81), plain("b", 81)]);
        assert!(engine.load().find("a", 81).is_some());
        reader.join().unwrap();
    });
}

#[test]
fn a_lease_taken_during_an_update_counts_after_it() {
    tried(|| {
        let live = cluster(&["1", "2"], Limits::default());
        let taker = {
            let live = Arc::clone(&live);
            thread::spawn(move || {
                let state = live.state();
                let at = live.pick(&state, PickInput::default()).unwrap() as usize;
                overlay::acquire(live.counters(), &state.slots()[at], &live.limits, REQUEST, &|| 0).unwrap();
                state.membership.endpoints[at].def.address.to_string()
            })
        };
        live.update(groups(&["2", "3", "1"]), 0);
        let address = taker.join().unwrap();
        let state = live.state();
        for (endpoint, slot) in state.membership.endpoints.iter().zip(state.slots()) {
            let held = u32::from(*endpoint.def.address == *address);
            assert_eq!(slot.rq_active.load(Relaxed), held, "{}", endpoint.def.address);
        }
    });
}

#[test]
fn the_first_picks_share_one_balancer() {
    tried(|| {
        let lb = LbConfig { policy: LbPolicy::RoundRobin, ..LbConfig::default() };
        let live: Arc<ClusterLive<Plain>> =
            Arc::new(ClusterLive::new(Arc::new(lb), Arc::default(), None, groups(&["1", "2"]), 0));
        let pick = |live: &ClusterLive<Plain>| live.pick(&live.state(), PickInput::default()).unwrap();
        let other = {
            let live = Arc::clone(&live);
            thread::spawn(move || pick(&live))
        };
        // Round robin: each gets another one.
        assert_eq!(pick(&live) + other.join().unwrap(), 1);
    });
}

#[test]
fn a_health_mark_and_an_update_are_both_seen() {
    tried(|| {
        let live = cluster(&["1", "2"], Limits::default());
        let marker = {
            let live = Arc::clone(&live);
            thread::spawn(move || assert!(live.set_health("1", 80, Health::Unhealthy, 0)))
        };
        live.update(groups(&["1", "2", "3"]), 0);
        marker.join().unwrap();
        let state = live.state();
        let health: Vec<Health> = (0..3).map(|index| state.health(index)).collect();
        assert_eq!(health[0], Health::Unhealthy);
        assert!((0..6).all(|_| live.pick(&state, PickInput::default()) != Some(0)));
    });
}

#[test]
fn racing_leases_do_not_pass_the_limit() {
    tried(|| {
        let live = cluster(&["1"], Limits { max_requests: 1, ..Limits::default() });
        let take = |live: &ClusterLive<Plain>| {
            let state = live.state();
            let taken = overlay::acquire(live.counters(), &state.slots()[0], &live.limits, REQUEST, &|| 0).is_ok();
            assert!(live.counters().rq_active.load(Relaxed) <= 1);
            taken
        };
        let other = {
            let live = Arc::clone(&live);
            thread::spawn(move || take(&live))
        };
        let taken = [take(&live), other.join().unwrap()];
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        let state = live.state();
        overlay::release(live.counters(), &state.slots()[0], REQUEST, Outcome::Status(200));
        assert_eq!(live.counters().rq_active.load(Relaxed), 0);
        assert_eq!(state.slots()[0].rq_active.load(Relaxed), 0);
    });
}
