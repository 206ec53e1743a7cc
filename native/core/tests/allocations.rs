//! A decision takes memory for nothing but itself, and counts itself in no place that all threads share.

mod units;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use roadstead_core::balance::{ClusterLive, PickInput};
use roadstead_core::engine::Engine;
use roadstead_core::model::{
    Endpoint, EndpointKind, Health, LbConfig, LbPolicy, LocalityGroup, MatchKind, Plain, Protocol, Transport,
};
use roadstead_core::overlay::{self, LeaseKind, Outcome};
use roadstead_core::request::PlainRequest;
use units::{chain, engine, plain, route, service, unit};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread asks for memory in the second run of `work`: the first makes what is made on first use.
fn allocations<T>(mut work: impl FnMut() -> T) -> u64 {
    black_box(work());
    let before = ALLOCATIONS.get();
    black_box(work());
    ALLOCATIONS.get() - before
}

fn mesh() -> Engine<Plain> {
    let mut rules = plain("rules.com", 80);
    rules.virtual_hosts[0].routes = (0..40)
        .map(|at| route(MatchKind::Prefix, &format!("/p{at}/"), &[("rules.com", 3), ("a.com", 1)]))
        .chain([route(MatchKind::Regex, "/[a-z]+/[0-9]+", &[("rules.com", 1)])])
        .collect();
    let mut networks = unit("networks");
    networks.services = vec![service("n.com", &["10.1.2.3", "10.0.0.0/8", "10.9.0.0/16"], &[(80, Protocol::Tcp)])];
    let mut passed = unit("passed");
    passed.services = vec![service("p.com", &[], &[(443, Protocol::Tls)])];
    passed.chains = vec![
        chain("p.com", 443, &[], &["p.com"], Transport::Tls, "a.com"),
        chain("p.com", 443, &[], &["*.p.com"], Transport::Tls, "a.com"),
    ];
    engine(vec![plain("a.com", 80), plain("*.b.com", 80), plain("*c", 80), plain("d*", 80), rules, networks, passed])
}

#[test]
fn look_ups_and_decisions_allocate_nothing() {
    let engine = mesh();
    for (host, port) in [
        ("a.com", 80),
        ("a.com:80", 80),
        ("x.b.com", 80),
        ("xc", 80),
        ("dx", 80),
        ("10.1.2.3", 80),
        ("10.9.9.9", 80),
        ("10.10.1.1", 80),
        ("nobody.com", 80),
    ] {
        let found = || engine.load().find(black_box(host), port).map(|found| found.service.index);
        assert_eq!(allocations(found), 0, "find {host}");
    }
    for (host, path) in
        [("a.com", "/"), ("x.b.com", "/x?q=1"), ("rules.com", "/p39/x"), ("rules.com", "/abc/17"), ("rules.com", "/")]
    {
        let decide = || engine.route(&PlainRequest::get(black_box(host), black_box(path)), Some(80), 7);
        assert_eq!(allocations(decide), 0, "route {host}{path}");
    }
    for (host, sni) in [("p.com", Some("p.com")), ("192.0.2.1", Some("x.p.com")), ("p.com", None)] {
        let decide = || engine.connect(&PlainRequest::connection(black_box(host)), 443, sni, 7);
        assert_eq!(allocations(decide), 0, "connect {host} {sni:?}");
    }
}

fn cluster(policy: LbPolicy, locality_weighted: bool) -> ClusterLive<Plain> {
    let endpoint = |at: u32| Endpoint {
        labels: None,
        address: format!("10.0.0.{at}").into(),
        port: 80,
        kind: EndpointKind::Ip,
        weight: 1 + at % 5,
        health: Health::Unknown,
        hostname: "".into(),
        hash_key: "".into(),
    };
    let group = |part: u32| LocalityGroup {
        locality: Arc::from(format!("zone-{part}")),
        priority: part / 2,
        weight: locality_weighted.then_some(1 + part),
        endpoints: (part * 10..part * 10 + 9).map(endpoint).collect(),
    };
    let lb = LbConfig { policy, locality_weighted, ..LbConfig::default() };
    ClusterLive::new(Arc::new(lb), Arc::default(), None, (0..6).map(group).collect(), 0)
}

#[test]
fn picks_and_leases_allocate_nothing() {
    for policy in [LbPolicy::RoundRobin, LbPolicy::LeastRequest, LbPolicy::Random, LbPolicy::RingHash, LbPolicy::Maglev]
    {
        for locality_weighted in [false, true] {
            let live = cluster(policy, locality_weighted);
            live.state().slots();
            let picks = || (0..200).filter_map(|draw| pick(&live, draw)).sum::<u32>();
            assert_eq!(allocations(picks), 0, "{policy:?} {locality_weighted}");
        }
    }
    let live = cluster(LbPolicy::LeastRequest, false);
    let kind = LeaseKind::Request { retry: false, pending: false };
    let lease = || {
        let state = live.state();
        let slot = &state.slots()[3];
        overlay::acquire(live.counters(), slot, &live.limits, kind, &|| 0).unwrap();
        overlay::release(live.counters(), slot, kind, Outcome::Status(200));
    };
    assert_eq!(allocations(lease), 0);
}

fn pick(live: &ClusterLive<Plain>, draw: u64) -> Option<u32> {
    live.pick(&live.state(), PickInput { draw: draw.wrapping_mul(0x9E37_79B9_7F4A_7C15), ..PickInput::default() })
}

#[test]
fn decisions_of_threads_are_not_counted_together() {
    let engine = mesh();
    let snapshot = engine.snapshot();
    let before = Arc::strong_count(&snapshot);
    let decide = || engine.route(&PlainRequest::get("a.com", "/"), Some(80), 7);
    let (own, own_again) = (decide(), decide());
    let other = std::thread::scope(|scope| scope.spawn(decide).join().unwrap());
    assert_eq!(Arc::strong_count(&snapshot), before);
    assert!(Arc::ptr_eq(&own.snapshot, &own_again.snapshot));
    assert!(!Arc::ptr_eq(&own.snapshot, &other.snapshot));
}
