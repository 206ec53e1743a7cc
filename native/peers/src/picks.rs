//! Which endpoint? Weighted endpoints in 6 localities, beside an alias table and Pingora's balancers.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use futures::FutureExt;
use pingora_ketama::{Bucket, Continuum};
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer, discovery};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use roadstead_core::balance::{ClusterLive, PickInput};
use roadstead_core::hash::xxh64;
use roadstead_core::model::{Endpoint, EndpointKind, Health, LbConfig, LbPolicy, LocalityGroup, Plain};
use roadstead_core::rng::SplitMix64;

use crate::measure::{Case, Section, case, measured};
use crate::memory::kept;

const ALIAS: &str = "rand_distr alias table";
const PINGORA: &str = "pingora round robin";
const KETAMA: &str = "pingora-ketama";
/// Six times as fast as Pingora.
const SIXTH: f64 = 1.0 / 6.0;

fn weight(at: usize) -> usize {
    1 + at % 5
}

fn address(at: usize) -> String {
    format!("10.0.{}.{}", at / 250, 1 + at % 250)
}

/// A cluster whose endpoints stand in 6 localities; `by_locality`: those have weights too.
fn cluster(endpoints: usize, policy: LbPolicy, by_locality: bool) -> (ClusterLive<Plain>, usize) {
    kept(|| {
        let groups = (0..6).map(|part| LocalityGroup {
            locality: Arc::from(format!("region-{}/zone-{}", part / 2, part % 2)),
            priority: 0,
            weight: by_locality.then_some(1 + part as u32),
            endpoints: (0..endpoints).filter(|at| at % 6 == part).map(endpoint).collect(),
        });
        let lb = LbConfig { policy, locality_weighted: by_locality, ..LbConfig::default() };
        let live = ClusterLive::new(Arc::new(lb), Arc::default(), None, groups.collect(), 0);
        // Balancers and slots as they are in use.
        let state = live.state_full();
        state.slots();
        live.pick(&state, PickInput::default());
        live
    })
}

fn endpoint(at: usize) -> Endpoint<Plain> {
    Endpoint {
        labels: None,
        address: address(at).into(),
        port: 80,
        kind: EndpointKind::Ip,
        weight: weight(at) as u32,
        health: Health::Unknown,
        hostname: "".into(),
        hash_key: "".into(),
    }
}

/// From a state in hand, as the peers' tables are.
fn picking<'a>(
    name: &'static str,
    (live, bytes): &'a (ClusterLive<Plain>, usize),
    hash: impl Fn(u64) -> Option<u64> + 'a,
) -> Case<'a> {
    let (mut draw, state) = (0_u64, live.state_full());
    case(name, Some(*bytes), move || {
        draw = draw.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let input = PickInput { draw: black_box(draw), hash: hash(draw), ..PickInput::default() };
        live.pick(&state, input).map_or(0, u64::from)
    })
}

/// From the state of the moment, as Pingora's balancer does.
fn loading<'a>(name: &'static str, (live, _): &'a (ClusterLive<Plain>, usize)) -> Case<'a> {
    let mut draw = 0_u64;
    case(name, None, move || {
        draw = draw.wrapping_add(0x9E37_79B9_7F4A_7C15);
        live.pick(&live.state(), PickInput { draw: black_box(draw), ..PickInput::default() }).map_or(0, u64::from)
    })
}

pub fn sections(endpoints: usize, rounds: usize) -> [Section; 2] {
    [weighted(endpoints, rounds), hashed(endpoints, rounds)]
}

fn weighted(endpoints: usize, rounds: usize) -> Section {
    let weights: Vec<u32> = (0..endpoints).map(|at| weight(at) as u32).collect();
    let (alias, alias_bytes) = kept(|| WeightedAliasIndex::new(weights).expect("the weights are good"));
    let (pingora, pingora_bytes) = kept(|| {
        let backend = |at| Backend::new_with_weight(&format!("{}:80", address(at)), weight(at)).expect("an address");
        let backends: BTreeSet<Backend> = (0..endpoints).map(backend).collect();
        let balancer: LoadBalancer<RoundRobin> =
            LoadBalancer::from_backends(Backends::new(discovery::Static::new(backends)));
        balancer.update().now_or_never().expect("nothing to wait for").expect("a static list");
        balancer
    });
    let round = cluster(endpoints, LbPolicy::RoundRobin, false);
    let least = cluster(endpoints, LbPolicy::LeastRequest, false);
    let random = cluster(endpoints, LbPolicy::Random, false);
    let round_by_locality = cluster(endpoints, LbPolicy::RoundRobin, true);
    let least_by_locality = cluster(endpoints, LbPolicy::LeastRequest, true);
    let mut numbers = SmallRng::seed_from_u64(1);
    let none = |_| None;
    let cases = vec![
        case(ALIAS, Some(alias_bytes), || alias.sample(&mut numbers) as u64),
        case(PINGORA, Some(pingora_bytes), || {
            pingora.select(black_box(b""), 8).map_or(0, |backend| backend.weight as u64)
        }),
        picking("pick, ROUND_ROBIN", &round, none).owed(ALIAS, 2.0),
        picking("pick, LEAST_REQUEST", &least, none).owed(ALIAS, 2.0),
        picking("pick, RANDOM", &random, none).owed(ALIAS, 2.0),
        picking("pick, ROUND_ROBIN by locality", &round_by_locality, none),
        picking("pick, LEAST_REQUEST by locality", &least_by_locality, none),
        loading("load and pick, ROUND_ROBIN", &round).owed(PINGORA, SIXTH),
        loading("load and pick, LEAST_REQUEST", &least).owed(PINGORA, SIXTH),
    ];
    let about = "Which endpoint? Weights 1 to 5 in 6 localities; by locality: those have weights too.";
    measured(format!("Pick, {endpoints} endpoints"), about, rounds, cases)
}

fn hashed(endpoints: usize, rounds: usize) -> Section {
    let (ketama, ketama_bytes) = kept(|| {
        let bucket = |at| Bucket::new(format!("{}:80", address(at)).parse().expect("an address"), weight(at) as u32);
        Continuum::new(&(0..endpoints).map(bucket).collect::<Vec<_>>())
    });
    let ring = cluster(endpoints, LbPolicy::RingHash, false);
    let maglev = cluster(endpoints, LbPolicy::Maglev, false);
    let mut draws = SplitMix64(3);
    let hash = |draw: u64| Some(xxh64(&draw.to_ne_bytes(), 0));
    let cases = vec![
        case(KETAMA, Some(ketama_bytes), || ketama.node_idx(black_box(&draws.next_u64().to_ne_bytes())) as u64),
        picking("pick, ring hash", &ring, hash).owed(KETAMA, 1.0),
        picking("pick, Maglev", &maglev, hash).owed(KETAMA, 1.0),
    ];
    let about = "Which endpoint for a key of eight bytes? Hashing the key is part of it.";
    measured(format!("Consistent hashing, {endpoints} endpoints"), about, rounds, cases)
}
