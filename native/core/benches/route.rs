//! Where does this request go? One to 200 rules, with 15 headers beside.

mod mesh;

use divan::{Bencher, black_box};
use roadstead_core::engine::Engine;
use roadstead_core::model::{HeaderMatch, Match, MatchKind, Plain, Route};
use roadstead_core::request::PlainRequest;

fn main() {
    divan::main();
}

const HOST: &str = "shop.example.com";
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

/// An engine whose one host has these routes.
fn serving(routes: Vec<Route<Plain>>) -> Engine<Plain> {
    let engine = mesh::empty();
    let mut builder = engine.builder();
    let unit = mesh::unit(HOST, routes, &std::sync::Arc::default(), &std::sync::Arc::default());
    builder.put(unit).expect("the unit is good");
    engine.publish(builder).expect("nobody else publishes");
    engine
}

fn to(matcher: Match) -> Route<Plain> {
    mesh::route(matcher, &mesh::cluster(HOST))
}

/// `count - 1` prefixes, the first two with a header beside, then the one that takes everything.
fn rules(count: usize) -> Vec<Route<Plain>> {
    let header = |name: &str| HeaderMatch {
        name: name.to_owned(),
        value: mesh::value(MatchKind::Exact, "nobody"),
        invert: false,
        missing_as_empty: false,
    };
    let prefixes = (1..count).map(|at| {
        let mut matcher = mesh::path(MatchKind::Prefix, &format!("/api/v{at}/"));
        if at <= 2 {
            matcher = mesh::path(MatchKind::Prefix, "/");
            matcher.headers = vec![header(["x-user", "x-missing"][at - 1])];
        }
        to(matcher)
    });
    prefixes.chain([to(mesh::path(MatchKind::Prefix, "/"))]).collect()
}

fn ask(bencher: Bencher, engine: &Engine<Plain>, path: &str) {
    let mut draw = 0;
    bencher.bench_local(|| {
        draw += 1;
        let request = PlainRequest { headers: &HEADERS, ..PlainRequest::get(black_box(HOST), black_box(path)) };
        engine.route(&request, Some(mesh::PORT), draw).destination
    });
}

#[divan::bench(args = [1, 3, 20], sample_size = 1000, max_time = 0.5)]
fn rules_with_two_headers(bencher: Bencher, count: usize) {
    ask(bencher, &serving(rules(count)), "/orders/17");
}

#[divan::bench(sample_size = 1000, max_time = 0.5)]
fn one_regex(bencher: Bencher) {
    let routes =
        vec![to(mesh::path(MatchKind::Regex, "/orders/[0-9]+/items/.*")), to(mesh::path(MatchKind::Prefix, "/"))];
    ask(bencher, &serving(routes), "/orders/17/items/3");
}

#[divan::bench(sample_size = 1000, max_time = 0.5)]
fn the_last_of_200_prefixes(bencher: Bencher) {
    let routes = (0..200).map(|at| to(mesh::path(MatchKind::Prefix, &format!("/api/v1/resource-{at}/"))));
    ask(bencher, &serving(routes.collect()), "/api/v1/resource-199/17");
}

#[divan::bench(args = [1_000, 100_000], sample_size = 1000, max_time = 0.5)]
fn hosts(bencher: Bencher, count: usize) {
    let engine = mesh::engine(count);
    let (mut turn, mut draw) = (mesh::Turn::new(count, true), 0);
    bencher.bench_local(|| {
        draw += 1;
        let request = PlainRequest::get(black_box(turn.take()), "/orders/17");
        engine.route(&request, Some(mesh::PORT), draw).destination
    });
}
