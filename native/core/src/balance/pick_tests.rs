//! Picks of whole clusters: the worked numbers of the spec, sections 1 to 3 and 13.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::PickInput;
use crate::balance::ClusterLive;
use crate::model::{Endpoint, EndpointKind, Health, LbConfig, LbPolicy, Limits, LocalityGroup, Plain};
use crate::rng::mix;

/// (weight, health) of each endpoint.
type Hosts<'h> = &'h [(u32, Health)];

fn group(priority: u32, weight: Option<u32>, first_port: u16, hosts: Hosts<'_>) -> LocalityGroup<Plain> {
    let endpoints = hosts.iter().zip(first_port..).map(|((weight, health), port)| Endpoint {
        labels: None,
        address: "127.0.0.1".into(),
        port,
        kind: EndpointKind::Ip,
        weight: *weight,
        health: *health,
        hostname: "".into(),
        hash_key: "".into(),
    });
    LocalityGroup { locality: "".into(), priority, weight, endpoints: endpoints.collect() }
}

fn cluster(lb: LbConfig, groups: Vec<LocalityGroup<Plain>>) -> ClusterLive<Plain> {
    let live = ClusterLive::new(Arc::new(lb), Arc::new(Limits::default()), None, groups, 0);
    live.begin(None, 0);
    live
}

fn of_policy(policy: LbPolicy) -> LbConfig {
    LbConfig { policy, ..LbConfig::default() }
}

fn picks(live: &ClusterLive<Plain>, count: u64) -> Vec<Option<u32>> {
    let state = live.state();
    (0..count).map(|n| live.pick(&state, PickInput { draw: mix(n), ..PickInput::default() })).collect()
}

fn counts(live: &ClusterLive<Plain>, count: u64) -> Vec<u64> {
    let mut counts = vec![0; live.state().membership.endpoints.len()];
    for index in picks(live, count).into_iter().flatten() {
        counts[index as usize] += 1;
    }
    counts
}

fn near(count: u64, expected: u64, tolerance: u64) -> bool {
    count.abs_diff(expected) <= tolerance
}

const OK: (u32, Health) = (1, Health::Healthy);
const BAD: (u32, Health) = (1, Health::Unhealthy);
const HALF: (u32, Health) = (1, Health::Degraded);

#[test]
fn experiment_1_three_priorities_without_panic() {
    let live = cluster(
        of_policy(LbPolicy::RoundRobin),
        vec![
            group(0, None, 1, &[OK, BAD, BAD, BAD]),
            group(1, None, 11, &[OK, BAD, BAD, BAD]),
            group(2, None, 21, &[OK, BAD, BAD, BAD, BAD]),
        ],
    );
    assert_eq!(live.priority_load(), [(37, 0), (35, 0), (28, 0)]);
    let counts = counts(&live, 20_000);
    assert!(near(counts[0], 7400, 280) && near(counts[4], 7000, 280) && near(counts[8], 5600, 280), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), counts[0] + counts[4] + counts[8]);
}

#[test]
fn experiment_2_total_panic_takes_every_host() {
    let live = cluster(
        LbConfig { panic_threshold: 50, ..of_policy(LbPolicy::RoundRobin) },
        vec![
            group(0, None, 1, &[OK, BAD, BAD, BAD]),
            group(1, None, 11, &[OK, BAD, BAD, BAD]),
            group(2, None, 21, &[OK, BAD, BAD, BAD, BAD]),
        ],
    );
    assert_eq!(live.priority_load(), [(32, 0), (30, 0), (38, 0)]);
    assert!(counts(&live, 1300).iter().all(|count| near(*count, 100, 30)));
    assert_eq!(live.counters().healthy_panic.load(Relaxed), 1300);
}

#[test]
fn experiment_3_half_healthy_is_no_panic() {
    let lb = LbConfig { panic_threshold: 50, ..of_policy(LbPolicy::RoundRobin) };
    assert_eq!(counts(&cluster(lb.clone(), vec![group(0, None, 1, &[OK, BAD])]), 100), [100, 0]);
    assert_eq!(counts(&cluster(lb, vec![group(0, None, 1, &[OK, BAD, BAD])]), 99), [33, 33, 33]);
}

#[test]
fn experiment_4_degraded_hosts_take_what_is_left() {
    let live = cluster(of_policy(LbPolicy::RoundRobin), vec![group(0, None, 1, &[OK, HALF, HALF, BAD])]);
    let counts = counts(&live, 4000);
    assert!(near(counts[0], 1400, 125) && near(counts[1], 1300, 125) && near(counts[2], 1300, 125), "{counts:?}");
    assert_eq!(counts[3], 0);
}

#[test]
fn experiment_5_localities_take_exact_turns() {
    let live = cluster(
        LbConfig { locality_weighted: true, ..of_policy(LbPolicy::RoundRobin) },
        vec![group(0, Some(1), 1, &[OK, BAD]), group(0, Some(2), 11, &[OK, OK])],
    );
    // 0.7 and 2 of 2.7: in whole numbers 7 and 20.
    assert_eq!(counts(&live, 2700), [700, 0, 1000, 1000]);
}

#[test]
fn locality_weights_that_are_missing_are_zero_unless_all_are() {
    let lb = LbConfig { locality_weighted: true, ..of_policy(LbPolicy::RoundRobin) };
    let some = cluster(lb.clone(), vec![group(0, Some(1), 1, &[OK]), group(0, None, 11, &[OK])]);
    assert_eq!(counts(&some, 600), [600, 0]);
    let none = cluster(lb, vec![group(0, None, 1, &[OK, OK]), group(0, None, 11, &[OK])]);
    assert_eq!(counts(&none, 600), [200, 200, 200]);
}

#[test]
fn experiment_6_edf_order() {
    let hosts = [(1, Health::Unknown), (2, Health::Unknown), (3, Health::Unknown)];
    let live = cluster(of_policy(LbPolicy::RoundRobin), vec![group(0, None, 1, &hosts)]);
    let order: Vec<u32> = picks(&live, 18).into_iter().flatten().collect();
    assert_eq!(order, [2, 1, 2, 0, 1, 2].repeat(3));
}

#[test]
fn experiment_7_random_ignores_weights() {
    let hosts = [(1, Health::Unknown), (2, Health::Unknown), (3, Health::Unknown)];
    let live = cluster(of_policy(LbPolicy::Random), vec![group(0, None, 1, &hosts)]);
    assert!(counts(&live, 3000).iter().all(|count| near(*count, 1000, 104)));
}

#[test]
fn experiment_8_busy_hosts_flatten_weighted_least_request() {
    let hosts = [(1, Health::Unknown), (2, Health::Unknown), (3, Health::Unknown)];
    let live = cluster(of_policy(LbPolicy::LeastRequest), vec![group(0, None, 1, &hosts)]);
    assert_eq!(counts(&live, 60), [10, 20, 30]);
    let state = live.state();
    let mut counts = [0; 3];
    for draw in 0..60 {
        let Some(index) = live.pick(&state, PickInput { draw, ..PickInput::default() }) else { panic!("no host") };
        state.slots()[index as usize].rq_active.fetch_add(1, Relaxed);
        counts[index as usize] += 1;
    }
    assert!(counts[0] > 10 && counts[2] < 30 && counts[0] < counts[1] && counts[1] < counts[2], "{counts:?}");
}

#[test]
fn hosts_that_are_all_busy_still_take_turns() {
    let hosts = [(1, Health::Unknown), (2, Health::Unknown)];
    let live = cluster(of_policy(LbPolicy::LeastRequest), vec![group(0, None, 1, &hosts)]);
    live.state().slots().iter().for_each(|slot| slot.rq_active.store(100_000, Relaxed));
    assert_eq!(counts(&live, 300), [100, 200]);
}

#[test]
fn two_choices_prefer_the_idle_host() {
    let live = cluster(of_policy(LbPolicy::LeastRequest), vec![group(0, None, 1, &[OK, OK])]);
    live.state().slots()[0].rq_active.store(5, Relaxed);
    // The busy host only where both draws name it.
    let counts = counts(&live, 4000);
    assert!(near(counts[0], 1000, 110), "{counts:?}");
}

#[test]
fn hash_balancers_leave_degraded_hosts_out() {
    for policy in [LbPolicy::RingHash, LbPolicy::Maglev] {
        let one = cluster(of_policy(policy), vec![group(0, None, 1, &[OK, HALF])]);
        assert_eq!(counts(&one, 100), [100, 0]);
        let none = cluster(of_policy(policy), vec![group(0, None, 1, &[HALF, HALF])]);
        assert_eq!(counts(&none, 10), [0, 0]);
        assert_eq!(none.counters().cx_none_healthy.load(Relaxed), 10);
    }
}

#[test]
fn ring_of_localities_has_1030_points() {
    let live = cluster(
        LbConfig { locality_weighted: true, ..of_policy(LbPolicy::RingHash) },
        vec![group(0, Some(1), 1, &[OK]), group(0, Some(9), 11, &[OK, OK])],
    );
    let state = live.state();
    let points = live.balancer(&state).table(&live.lb, &state.membership, 0).points(3);
    assert_eq!(points, [103, 464, 463]);
}

#[test]
fn a_hash_chooses_the_host_whatever_is_drawn() {
    let live = cluster(of_policy(LbPolicy::Maglev), vec![group(0, None, 1, &[OK, OK, OK])]);
    let state = live.state();
    let pick = |draw, attempt| live.pick(&state, PickInput { draw, hash: Some(77), attempt, ..PickInput::default() });
    assert_eq!(pick(1, 0), pick(2, 0));
    assert!((0..8).any(|attempt| pick(1, attempt) != pick(1, 0)));
}

#[test]
fn an_empty_cluster_has_no_host() {
    for policy in [LbPolicy::RoundRobin, LbPolicy::LeastRequest, LbPolicy::RingHash, LbPolicy::ClusterProvided] {
        assert_eq!(picks(&cluster(of_policy(policy), Vec::new()), 1), [None]);
    }
    // An empty priority beside a full one is nothing.
    let live = cluster(of_policy(LbPolicy::RoundRobin), vec![group(0, None, 1, &[]), group(1, None, 1, &[OK])]);
    assert_eq!(picks(&live, 1), [Some(0)]);
}

#[test]
fn health_takes_effect_at_once_and_slots_survive_an_update() {
    let live = cluster(of_policy(LbPolicy::RoundRobin), vec![group(0, None, 1, &[OK, OK])]);
    assert_eq!(counts(&live, 4), [2, 2]);
    assert!(live.set_health("127.0.0.1", 2, Health::Unhealthy, 0));
    assert!(!live.set_health("127.0.0.1", 3, Health::Healthy, 0));
    assert_eq!(counts(&live, 4), [4, 0]);
    live.state().slots()[1].rq_active.store(7, Relaxed);
    live.update(vec![group(0, None, 2, &[OK, OK])], 0);
    assert_eq!(live.state().slots()[0].rq_active.load(Relaxed), 7);
    assert_eq!(counts(&live, 4), [0, 4]);
}

#[test]
fn cursors_survive_an_update_that_leaves_the_schedule_equal() {
    let live = cluster(of_policy(LbPolicy::RoundRobin), vec![group(0, None, 1, &[OK, OK, OK])]);
    assert_eq!(picks(&live, 2), [Some(0), Some(1)]);
    live.update(vec![group(0, None, 1, &[OK, OK, OK])], 0);
    assert_eq!(picks(&live, 1), [Some(2)]);
    let next = cluster(of_policy(LbPolicy::RoundRobin), vec![group(0, None, 5, &[OK, OK, OK])]);
    next.begin(Some(&live), 0);
    assert_eq!(picks(&next, 1), [Some(0)]);
    live.update(vec![group(0, None, 1, &[OK, OK])], 0);
    assert_eq!(picks(&live, 1), [Some(0)]);
}

#[test]
fn a_successor_counts_where_its_predecessor_did() {
    let live = cluster(of_policy(LbPolicy::LeastRequest), vec![group(0, None, 1, &[OK, OK])]);
    picks(&live, 1);
    live.counters().rq_active.store(3, Relaxed);
    let next = cluster(of_policy(LbPolicy::LeastRequest), vec![group(0, None, 1, &[OK, OK])]);
    next.begin(Some(&live), 0);
    assert_eq!(next.counters().rq_active.load(Relaxed), 3);
    assert!(Arc::ptr_eq(&next.state().slots()[1], &live.state().slots()[1]));
}

#[test]
fn a_host_that_comes_back_starts_slowly() {
    let lb = LbConfig { slow_start_window: 60.0, ..of_policy(LbPolicy::RoundRobin) };
    let live = cluster(lb, vec![group(0, None, 1, &[OK, OK])]);
    let shares = |seconds: i64| {
        let state = live.state();
        let mut counts = [0; 2];
        for draw in 0..1100 {
            let input = PickInput { draw, now: seconds * 1_000_000_000, ..PickInput::default() };
            counts[live.pick(&state, input).map_or(0, |index| index as usize)] += 1;
        }
        counts
    };
    // All are new together: equal shares.
    assert_eq!(shares(3), [550, 550]);
    live.set_health("127.0.0.1", 2, Health::Unhealthy, 100_000_000_000);
    assert_eq!(shares(130), [1100, 0]);
    live.set_health("127.0.0.1", 2, Health::Healthy, 200_000_000_000);
    // 3 s: the floor of 10 %; 15 s: a quarter; 60 s: over.
    let at = |seconds, young: u64| {
        let counts = shares(seconds);
        assert!(near(counts[1], young, 2), "{seconds} s: {counts:?}");
    };
    at(203, 100);
    at(215, 220);
    at(260, 550);
}

#[test]
fn an_endpoint_that_comes_with_an_update_starts_slowly() {
    let lb = LbConfig { slow_start_window: 60.0, ..of_policy(LbPolicy::RoundRobin) };
    let live = cluster(lb, vec![group(0, None, 1, &[OK])]);
    let input = |draw| PickInput { draw, now: 115_000_000_000, ..PickInput::default() };
    assert_eq!(live.pick(&live.state(), input(0)), Some(0));
    live.update(vec![group(0, None, 1, &[OK, OK])], 100_000_000_000);
    let state = live.state();
    let young = (0..1000).filter(|draw| live.pick(&state, input(*draw)) == Some(1)).count() as u64;
    assert!(near(young, 200, 2), "{young}");
}
