//! The hot functions, which callgrind counts one after the other: see `python -m benchmarks instructions`.
//!
//! Without arguments everything runs once. `--list` prints the names.

mod mesh;

use std::hint::black_box;
use std::sync::Arc;

use roadstead_core::balance::{ClusterLive, PickInput};
use roadstead_core::engine::Engine;
use roadstead_core::model::{
    Endpoint, EndpointKind, Health, LbConfig, LbPolicy, LocalityGroup, Match, MatchKind, Plain, Route,
};
use roadstead_core::overlay::{self, LeaseKind, Outcome};
use roadstead_core::request::PlainRequest;

/// Calls of each; the counts are for one.
const OPERATIONS: u64 = 1000;
const HEADERS: [(&str, &str); 15] = [
    ("accept", "*/*"),
    ("accept-encoding", "gzip"),
    ("accept-language", "en"),
    ("authorization", "Bearer abcdef"),
    ("cache-control", "no-cache"),
    ("content-type", "application/json"),
    ("cookie", "session=1"),
    ("origin", "https://example.com"),
    ("referer", "https://example.com/"),
    ("user-agent", "bench"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-region", "eu"),
    ("x-request-id", "1234"),
    ("x-user", "alice"),
];

/// What the functions work on.
struct World {
    engine: Engine<Plain>,
    /// The same hosts as rows of one template.
    rows: Engine<Plain>,
    exact: String,
    wildcard: String,
    round_robin: ClusterLive<Plain>,
    least_request: ClusterLive<Plain>,
    random: ClusterLive<Plain>,
    ring_hash: ClusterLive<Plain>,
    maglev: ClusterLive<Plain>,
}

impl World {
    fn new() -> Self {
        let engine = mesh::engine(1000);
        let (lb, limits) = (Arc::default(), Arc::default());
        let mut builder = engine.builder();
        let mut add = |host: &str, addresses: &[&str], routes: Vec<Route<Plain>>| {
            let mut unit = mesh::unit(host, routes, &lb, &limits);
            unit.services[0].addresses = addresses.iter().map(|text| (*text).to_owned()).collect();
            builder.put(unit).expect("the unit is good");
        };
        let to = |matcher: Match| mesh::route(matcher, &mesh::cluster("one"));
        let prefix = |text: &str| to(mesh::path(MatchKind::Prefix, text));
        add("vip", &["10.1.2.3"], vec![]);
        add("cidr", &["10.0.0.0/8", "10.9.0.0/16", "10.9.8.0/24"], vec![]);
        add("one", &[], vec![prefix("/")]);
        add("twenty", &[], twenty().into_iter().map(to).collect());
        add("regex", &[], vec![to(mesh::path(MatchKind::Regex, "/orders/[0-9]+/items/.*")), prefix("/")]);
        add("prefixes", &[], (0..200).map(|at| prefix(&format!("/api/v1/resource-{at}/"))).collect());
        engine.publish(builder).expect("nobody else publishes");
        World {
            engine,
            rows: mesh::rows(1000),
            exact: mesh::host(500),
            wildcard: format!("any.{}", mesh::host(519)),
            round_robin: cluster(LbPolicy::RoundRobin),
            least_request: cluster(LbPolicy::LeastRequest),
            random: cluster(LbPolicy::Random),
            ring_hash: cluster(LbPolicy::RingHash),
            maglev: cluster(LbPolicy::Maglev),
        }
    }

    fn find(&self, host: &str) -> u32 {
        found(&self.engine, host)
    }

    fn route(&self, host: &str, path: &str, draw: u64) -> Option<u32> {
        routed(&self.engine, host, path, draw)
    }
}

fn found(engine: &Engine<Plain>, host: &str) -> u32 {
    let snapshot = engine.load();
    snapshot.find(black_box(host), mesh::PORT).map_or(u32::MAX, |found| found.service.index)
}

fn routed(engine: &Engine<Plain>, host: &str, path: &str, draw: u64) -> Option<u32> {
    let request = PlainRequest { headers: &HEADERS, ..PlainRequest::get(black_box(host), black_box(path)) };
    engine.route(&request, Some(mesh::PORT), draw).destination
}

/// Prefixes that do not fit, two headers that are absent, then everything.
fn twenty() -> Vec<Match> {
    let header = |name: &str| {
        let value = mesh::value(MatchKind::Exact, "nobody");
        let header =
            roadstead_core::model::HeaderMatch { name: name.to_owned(), value, invert: false, missing_as_empty: false };
        Match { headers: vec![header], ..mesh::path(MatchKind::Prefix, "/") }
    };
    let prefixes = (0..17).map(|at| mesh::path(MatchKind::Prefix, &format!("/api/v{at}/")));
    let mut all = vec![header("x-tenant")];
    all.extend(prefixes);
    all.extend([header("x-beta"), mesh::path(MatchKind::Prefix, "/")]);
    all
}

/// 50 endpoints with weights 1 to 5 in 6 localities.
fn cluster(policy: LbPolicy) -> ClusterLive<Plain> {
    let endpoint = |at: u32| Endpoint {
        labels: None,
        address: format!("10.0.0.{}", at + 1).into(),
        port: 80,
        kind: EndpointKind::Ip,
        weight: 1 + at % 5,
        health: Health::Unknown,
        hostname: "".into(),
        hash_key: "".into(),
    };
    let group = |part: u32| LocalityGroup {
        locality: Arc::from(format!("region/zone-{part}")),
        priority: 0,
        weight: None,
        endpoints: (0..50).filter(|at| at % 6 == part).map(endpoint).collect(),
    };
    let lb = LbConfig { policy, ..LbConfig::default() };
    ClusterLive::new(Arc::new(lb), Arc::default(), None, (0..6).map(group).collect(), 0)
}

fn pick(live: &ClusterLive<Plain>, draw: u64) -> Option<u32> {
    let input = PickInput { draw: black_box(draw << 32 | draw), ..PickInput::default() };
    live.pick(&live.state(), input)
}

fn lease(live: &ClusterLive<Plain>) {
    let (state, kind) = (live.state(), LeaseKind::Request { retry: false, pending: false });
    let slot = &state.slots()[7];
    let taken = overlay::acquire(live.counters(), slot, &live.limits, black_box(kind), &|| 0);
    if black_box(taken).is_ok() {
        overlay::release(live.counters(), slot, kind, black_box(Outcome::Status(200)));
    }
}

macro_rules! measured {
    ($($name:ident($world:ident, $draw:ident) $body:block)*) => {
        $(
            #[inline(never)]
            fn $name($world: &World) {
                for $draw in 0..OPERATIONS {
                    let _ = black_box((black_box($draw), $body));
                }
            }
        )*
        const ALL: &[(&str, fn(&World))] = &[$((stringify!($name), $name)),*];
    };
}

measured! {
    find_exact(world, _draw) { world.find(&world.exact) }
    find_row(world, _draw) { found(&world.rows, &world.exact) }
    find_wildcard(world, _draw) { world.find(&world.wildcard) }
    find_vip(world, _draw) { world.find("10.1.2.3") }
    find_cidr(world, _draw) { world.find("10.9.8.7") }
    route_1_rule(world, draw) { world.route("one", "/orders/17?full=1", draw) }
    route_row(world, draw) { routed(&world.rows, &world.exact, "/orders/17?full=1", draw) }
    route_20_rules_headers_absent(world, draw) { world.route("twenty", "/orders/17?full=1", draw) }
    route_regex(world, draw) { world.route("regex", "/orders/17/items/3", draw) }
    route_200_prefixes(world, draw) { world.route("prefixes", "/api/v1/resource-199/17", draw) }
    pick_round_robin(world, draw) { pick(&world.round_robin, draw) }
    pick_least_request(world, draw) { pick(&world.least_request, draw) }
    pick_random(world, draw) { pick(&world.random, draw) }
    pick_ring_hash(world, draw) { pick(&world.ring_hash, draw) }
    pick_maglev(world, draw) { pick(&world.maglev, draw) }
    lease_and_finish(world, _draw) { lease(&world.round_robin) }
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        ALL.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    let world = World::new();
    // The first round makes what is made on first use; the second is what counts.
    for _ in 0..2 {
        ALL.iter().for_each(|(_, run)| counted(*run, &world));
    }
}

/// The name is what callgrind is told: it counts in here, and writes down what it counted after each call.
#[unsafe(no_mangle)]
#[inline(never)]
fn counted(run: fn(&World), world: &World) {
    run(black_box(world));
}
