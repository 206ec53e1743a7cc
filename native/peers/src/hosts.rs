//! Which service owns (host, port)? Beside a hash map of the same pairs.

use std::hint::black_box;
use std::sync::Arc;

use hashbrown::HashMap;
use roadstead_core::engine::Engine;
use roadstead_core::model::{Chain, Destination, Plain, Transport};
use roadstead_core::request::PlainRequest;
use roadstead_core::snapshot::Snapshot;

use crate::measure::{Section, case, measured};
use crate::memory::kept;
use crate::mesh;

const MAP: &str = "hashbrown";

/// Looks up a pair without making one.
#[derive(Hash)]
struct Key<'a>(&'a str, u16);

impl hashbrown::Equivalent<(Box<str>, u16)> for Key<'_> {
    fn equivalent(&self, pair: &(Box<str>, u16)) -> bool {
        *self.0 == *pair.0 && self.1 == pair.1
    }
}

type Map = HashMap<(Box<str>, u16), Box<u32>, foldhash::quality::FixedState>;

fn map(count: usize) -> Map {
    let mut map = Map::with_hasher(foldhash::quality::FixedState::default());
    (0..count).for_each(|at| drop(map.insert((mesh::host(at).into(), mesh::PORT), Box::new(at as u32))));
    map.shrink_to_fit();
    map
}

pub fn sections(count: usize, rounds: usize) -> Vec<Section> {
    let (engine, bytes) = kept(|| mesh::engine(count));
    let (map, map_bytes) = kept(|| map(count));
    let (passing, passing_bytes) = kept(|| passing(count));
    [true, false]
        .map(|hot| asked(count, rounds, hot, (&engine, bytes), (&map, map_bytes), (&passing, passing_bytes)))
        .into()
}

fn asked(
    count: usize,
    rounds: usize,
    hot: bool,
    (engine, bytes): (&Engine<Plain>, usize),
    (map, map_bytes): (&Map, usize),
    (passing, passing_bytes): (&Engine<Plain>, usize),
) -> Section {
    let turn = || mesh::Turn::new(count, hot);
    let (mut of_map, mut of_find, mut of_exact, mut of_load, mut of_connect) = (turn(), turn(), turn(), turn(), turn());
    // A map has no readers that another thread changes it for: what is compared has the snapshot in hand too.
    let (one, two, three, four) = (engine.load(), engine.load(), passing.load(), passing.load());
    let mut of_wildcard = mesh::Turn::of(mesh::under_wildcards(count, hot));
    let mut of_sni = mesh::Turn::of(mesh::under_wildcards(count, hot));
    let cases = vec![
        case(MAP, Some(map_bytes), move || {
            let key = Key(black_box(of_map.take()), mesh::PORT);
            map.get(&key).map_or(0, |found| u64::from(**found))
        }),
        case("find", Some(bytes), move || find(&one, of_find.take())).owed(MAP, 2.0),
        case("find under a wildcard", None, move || find(&two, of_wildcard.take())).owed("find", 2.0),
        case("chain by server name", Some(passing_bytes), move || accept(&three, of_exact.take())).owed("find", 2.0),
        case("chain by wildcard", None, move || accept(&four, of_sni.take())).owed("find", 2.0),
        case("load and find", None, move || find(&engine.load(), of_load.take())),
        case("connect by server name", None, move || connect(passing, of_connect.take())),
    ];
    let kind = if hot { "hot" } else { "cold" };
    let about = "Who owns (host, port)? Beside a hash map of the same pairs; one service in twenty is a wildcard.";
    measured(format!("Hosts, {count} of them, {kind}"), about, rounds, cases)
}

fn find(snapshot: &Snapshot<Plain>, host: &str) -> u64 {
    snapshot.find(black_box(host), mesh::PORT).map_or(0, |found| u64::from(found.service.index))
}

fn accept(snapshot: &Snapshot<Plain>, name: &str) -> u64 {
    let chain = snapshot.accept(None, mesh::PORT, black_box(name), Transport::Tls);
    chain.map_or(0, |chain| u64::from(chain.port))
}

fn connect(engine: &Engine<Plain>, name: &str) -> u64 {
    let request = PlainRequest::connection(black_box("192.0.2.1"));
    let decision = engine.connect(&request, mesh::PORT, Some(black_box(name)), 0);
    u64::from(decision.destination.unwrap_or(7))
}

/// An engine whose services are passed through by server name, on one listener.
fn passing(count: usize) -> Engine<Plain> {
    let engine = mesh::empty();
    let (lb, limits) = (Arc::default(), Arc::default());
    let mut builder = engine.builder();
    for at in 0..count {
        let host = mesh::declared(at);
        let mut unit = mesh::unit(&host, vec![], &lb, &limits);
        unit.virtual_hosts.clear();
        let destination = Destination {
            cluster: mesh::cluster(&host),
            weight: 1,
            request_ops: Box::default(),
            response_ops: Box::default(),
            host_rewrite: None,
        };
        unit.chains = vec![Chain {
            handle: (),
            snis: vec![host.clone()],
            host,
            port: mesh::PORT,
            addresses: vec![],
            cidrs: vec![],
            transport: Transport::Tls,
            destinations: vec![destination],
            hash_policies: Box::default(),
        }];
        builder.put(unit).expect("the unit is good");
    }
    engine.publish(builder).expect("nobody else publishes");
    engine
}
