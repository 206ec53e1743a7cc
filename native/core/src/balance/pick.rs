//! One cluster's balancer: what follows from membership and health, immutable but for the cursors of its schedules.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::hashing::{Entry, HashTable};
use super::loads::{Census, Loads};
use super::schedule::Schedule;
use super::state::{Class, ClusterState, GroupState, Membership};
use crate::model::{Attach, LbConfig, LbPolicy};
use crate::overlay::Slot;
use crate::rng::SplitMix64;
use crate::sync::OnceLock;

/// One whole turn in the unit of a slot's credit.
const TURN: u32 = 65_536;
/// A walk by credit ends after so many slots, or so many cycles where those are more.
const WALKED_SLOTS: u64 = 1024;
const WALKED_CYCLES: u64 = 8;

/// What one pick is made from.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickInput {
    pub draw: u64,
    /// Of the pick in its decision, from 0.
    pub number: u32,
    /// What the hash policies or the caller gave; read by hash balancers only.
    pub hash: Option<u64>,
    /// Hosts of the same hash that the caller refused so far.
    pub attempt: u32,
    /// Nanoseconds of the engine's clock; read under slow start only.
    pub now: i64,
}

/// What a pick came to. `panicked`: the priority that was chosen is in panic, whether it had a host or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    pub host: Option<u32>,
    pub panicked: bool,
}

impl Picked {
    #[inline]
    fn host(host: Option<u32>) -> Self {
        Picked { host, panicked: false }
    }
}

/// Names a schedule of a balancer, so that the next one can take over its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    priority: u32,
    kind: Kind,
    /// Position of a locality in its priority plus one; 0 for the flat list.
    part: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Hosts { degraded: bool },
    Localities { degraded: bool },
}

/// Where hosts of one priority and class come from.
#[derive(Debug)]
enum Source {
    Flat(Arc<Schedule>),
    /// `parts` by position of the locality in its priority; those without a turn have none.
    Localities {
        turns: Arc<Schedule>,
        parts: Box<[Option<Arc<Schedule>>]>,
    },
    Empty,
}

impl Source {
    #[inline]
    fn schedule(&self) -> Option<&Schedule> {
        match self {
            Source::Flat(schedule) => Some(schedule),
            Source::Localities { turns, parts } => parts[turns.next()? as usize].as_deref(),
            Source::Empty => None,
        }
    }
}

#[derive(Debug)]
pub struct Balancer {
    /// Set where every pick comes from one flat schedule, whatever is drawn.
    simple: Option<Arc<Schedule>>,
    pub loads: Loads,
    healthy: Box<[Source]>,
    degraded: Box<[Source]>,
    /// By priority, for hash policies; each made on first use.
    tables: Box<[OnceLock<HashTable>]>,
    /// As they were when this was built.
    classes: Box<[Class]>,
    /// When the youngest endpoint came; None without slow start.
    youngest: Option<i64>,
    kept: Vec<(Key, Arc<Schedule>)>,
}

impl Balancer {
    /// `before`: the balancer that this one replaces; schedules that stay equal keep their cursors. `start`: where new ones begin.
    pub fn build<A: Attach>(lb: &LbConfig, state: &ClusterState<A>, before: Option<&Balancer>, start: u64) -> Balancer {
        let membership = &*state.membership;
        let classes = state.classes().into_boxed_slice();
        let census = census(membership, &classes);
        let loads = Loads::compute(&census, lb);
        let mut balancer = Balancer {
            simple: None,
            healthy: Box::default(),
            degraded: Box::default(),
            tables: Box::default(),
            youngest: youngest(lb, state),
            kept: Vec::new(),
            loads,
            classes,
        };
        if matches!(lb.policy, LbPolicy::RingHash | LbPolicy::Maglev) {
            balancer.tables = (0..membership.priorities).map(|_| OnceLock::new()).collect();
            balancer.kept = before.map(|before| before.kept.clone()).unwrap_or_default();
            return balancer;
        }
        let known = before.map_or(&[][..], |before| &before.kept);
        let mut sources = Sources { lb, membership, classes: &balancer.classes, known, start, kept: Vec::new() };
        let (mut healthy, mut degraded) = (Vec::new(), Vec::new());
        for priority in 0..membership.priorities {
            if balancer.loads.panic[priority as usize] {
                healthy.push(sources.everyone(priority));
                degraded.push(sources.everyone(priority));
            } else {
                healthy.push(sources.of_class(priority, false));
                degraded.push(sources.of_class(priority, true));
            }
        }
        balancer.kept = sources.kept;
        balancer.simple = match balancer.loads.single() {
            Some(single) if !balancer.loads.panic[single] && balancer.youngest.is_none() => match &healthy[single] {
                Source::Flat(schedule) => Some(Arc::clone(schedule)),
                Source::Localities { .. } | Source::Empty => None,
            },
            _ => None,
        };
        (balancer.healthy, balancer.degraded) = (healthy.into(), degraded.into());
        balancer
    }

    /// The index of one endpoint. Takes no lock; allocates nothing but a hash table that was not there yet.
    #[inline]
    pub fn pick<A: Attach>(&self, lb: &LbConfig, state: &ClusterState<A>, input: PickInput) -> Picked {
        if let Some(simple) = &self.simple {
            match lb.policy {
                LbPolicy::RoundRobin => return Picked::host(simple.next()),
                LbPolicy::LeastRequest => {
                    let mut random = SplitMix64::for_pick(input.draw, input.number);
                    random.skip();
                    return Picked::host(by_requests(lb, simple, state.used_slots(), random));
                }
                _ => {}
            }
        }
        self.pick_slowly(lb, state, input, &self.loads)
    }

    /// The priorities that the hosts of this balancer are in, by class.
    pub fn census<A: Attach>(&self, state: &ClusterState<A>) -> Vec<Census> {
        census(&state.membership, &self.classes)
    }

    /// `loads`: what the priority is chosen by; the hash balancers only know their own.
    pub fn pick_slowly<A: Attach>(
        &self,
        lb: &LbConfig,
        state: &ClusterState<A>,
        input: PickInput,
        loads: &Loads,
    ) -> Picked {
        if self.loads.panic.is_empty() {
            return Picked::host(None);
        }
        let mut random = SplitMix64::for_pick(input.draw, input.number);
        let first = random.next_u64();
        if matches!(lb.policy, LbPolicy::RingHash | LbPolicy::Maglev) {
            let hash = input.hash.unwrap_or(first);
            let (priority, _) = self.loads.choose(hash);
            let host = self.table(lb, &state.membership, priority).choose(hash, input.attempt);
            return Picked { host, panicked: self.loads.panic[priority] };
        }
        let (priority, degraded) = loads.choose(first);
        let sources = if degraded { &self.degraded } else { &self.healthy };
        let panicked = self.loads.panic[priority];
        let slow = if panicked { None } else { self.slow_start(lb, input.now) };
        let host = sources[priority].schedule().and_then(|schedule| match (lb.policy, slow) {
            (LbPolicy::Random, _) => schedule.at(first),
            (LbPolicy::RoundRobin, Some(slow)) => slow.credited(schedule, state, 0.0),
            (_, Some(slow)) => slow.credited(schedule, state, bias(lb)),
            (LbPolicy::RoundRobin, None) => schedule.next(),
            (_, None) => by_requests(lb, schedule, state.used_slots(), random),
        });
        Picked { host, panicked }
    }

    /// Set while the youngest endpoint is below the window.
    fn slow_start(&self, lb: &LbConfig, now: i64) -> Option<SlowStart> {
        let slow = SlowStart::new(lb, now);
        slow.age(self.youngest?).map(|_| slow)
    }

    /// The hash table of a priority.
    pub fn table<A: Attach>(&self, lb: &LbConfig, membership: &Membership<A>, priority: usize) -> &HashTable {
        self.tables[priority].get_or_init(|| {
            let entries = self.entries(lb, membership, priority);
            match lb.policy {
                LbPolicy::Maglev => HashTable::maglev(&entries, lb.table_size),
                _ => HashTable::ring(&entries, lb.ring_min, lb.ring_max),
            }
        })
    }

    /// Degraded hosts are never on a table; the weights of localities count in full, whoever is left in them.
    fn entries<A: Attach>(&self, lb: &LbConfig, membership: &Membership<A>, priority: usize) -> Vec<Entry> {
        let panic = self.loads.panic[priority];
        let parts: Vec<(Option<u32>, Vec<u32>)> = groups_at(membership, priority as u32)
            .map(|group| {
                let eligible = hosts(group).filter(|index| panic || self.classes[*index as usize] == Class::Healthy);
                (group.weight, eligible.collect())
            })
            .collect();
        if !lb.locality_weighted {
            let everyone: Vec<u32> = parts.into_iter().flat_map(|(_, hosts)| hosts).collect();
            return normalised(membership, &everyone, 1.0);
        }
        let total: u64 = parts.iter().map(|(weight, _)| u64::from(weight.unwrap_or(0))).sum();
        parts
            .iter()
            .filter_map(|(weight, hosts)| Some((weight.filter(|weight| *weight > 0)?, hosts)))
            .flat_map(|(weight, hosts)| normalised(membership, hosts, f64::from(weight) / total as f64))
            .collect()
    }
}

fn normalised<A: Attach>(membership: &Membership<A>, hosts: &[u32], share: f64) -> Vec<Entry> {
    let weight = |index: u32| membership.endpoints[index as usize].def.weight;
    let total: u64 = hosts.iter().map(|index| u64::from(weight(*index))).sum();
    hosts
        .iter()
        .map(|index| Entry {
            key: membership.hash_key(*index),
            weight: f64::from(weight(*index)) * share / total as f64,
            index: *index,
        })
        .collect()
}

fn groups_at<A: Attach>(membership: &Membership<A>, priority: u32) -> impl Iterator<Item = &GroupState> {
    membership.groups.iter().filter(move |group| group.priority == priority)
}

fn hosts(group: &GroupState) -> std::ops::Range<u32> {
    group.first..group.first + group.count
}

fn census<A: Attach>(membership: &Membership<A>, classes: &[Class]) -> Vec<Census> {
    let mut census = vec![Census::default(); membership.priorities as usize];
    for group in &membership.groups {
        for index in hosts(group) {
            census[group.priority as usize].add(classes[index as usize]);
        }
    }
    census
}

/// Makes the schedules of a balancer, and remembers them.
struct Sources<'b, A: Attach> {
    lb: &'b LbConfig,
    membership: &'b Membership<A>,
    classes: &'b [Class],
    known: &'b [(Key, Arc<Schedule>)],
    start: u64,
    kept: Vec<(Key, Arc<Schedule>)>,
}

impl<A: Attach> Sources<'_, A> {
    fn everyone(&mut self, priority: u32) -> Source {
        let members: Vec<u32> = groups_at(self.membership, priority).flat_map(hosts).collect();
        self.flat(Key { priority, kind: Kind::All, part: 0 }, &members)
    }

    fn of_class(&mut self, priority: u32, degraded: bool) -> Source {
        let wanted = if degraded { Class::Degraded } else { Class::Healthy };
        if self.lb.locality_weighted {
            let weights = locality_weights(self.membership, self.classes, priority, wanted, self.lb.overprovisioning);
            if !weights.is_empty() {
                return self.localities(priority, degraded, wanted, weights);
            }
        }
        let groups = groups_at(self.membership, priority);
        let members: Vec<u32> = groups.flat_map(|group| eligible(group, self.classes, wanted)).collect();
        self.flat(Key { priority, kind: Kind::Hosts { degraded }, part: 0 }, &members)
    }

    fn localities(&mut self, priority: u32, degraded: bool, wanted: Class, weights: Vec<(u32, u64)>) -> Source {
        let membership = self.membership;
        let groups: Vec<&GroupState> = groups_at(membership, priority).collect();
        let mut parts = vec![None; groups.len()];
        for (at, _) in &weights {
            let members: Vec<u32> = eligible(groups[*at as usize], self.classes, wanted).collect();
            let key = Key { priority, kind: Kind::Hosts { degraded }, part: at + 1 };
            parts[*at as usize] = Some(self.hosts_schedule(key, &members));
        }
        let turns = self.schedule(Key { priority, kind: Kind::Localities { degraded }, part: 0 }, weights);
        Source::Localities { turns, parts: parts.into() }
    }

    fn flat(&mut self, key: Key, members: &[u32]) -> Source {
        if members.is_empty() { Source::Empty } else { Source::Flat(self.hosts_schedule(key, members)) }
    }

    fn hosts_schedule(&mut self, key: Key, members: &[u32]) -> Arc<Schedule> {
        // RANDOM ignores weights.
        let even = self.lb.policy == LbPolicy::Random;
        let weight =
            |index: u32| if even { 1 } else { u64::from(self.membership.endpoints[index as usize].def.weight) };
        let weighted = members.iter().map(|index| (*index, weight(*index))).collect();
        self.schedule(key, weighted)
    }

    fn schedule(&mut self, key: Key, members: Vec<(u32, u64)>) -> Arc<Schedule> {
        if let Some((_, made)) = self.kept.iter().find(|(known, _)| *known == key) {
            return Arc::clone(made);
        }
        let known = self.known.iter().find(|(known, _)| *known == key).map(|(_, schedule)| schedule);
        let made = Schedule::keep_or_make(known, members, self.start);
        self.kept.push((key, Arc::clone(&made)));
        made
    }
}

fn eligible(group: &GroupState, classes: &[Class], wanted: Class) -> impl Iterator<Item = u32> {
    hosts(group).filter(move |index| classes[*index as usize] == wanted)
}

/// Effective weights `w * min(1, f / 100 * eligible / N)` of the localities that have one, as whole numbers.
fn locality_weights<A: Attach>(
    membership: &Membership<A>,
    classes: &[Class],
    priority: u32,
    wanted: Class,
    overprovisioning: u32,
) -> Vec<(u32, u64)> {
    let mut rows: Vec<(u32, u128, u128)> = Vec::new();
    for (at, group) in groups_at(membership, priority).enumerate() {
        let own = &classes[group.first as usize..(group.first + group.count) as usize];
        let count = own.iter().filter(|class| **class != Class::Excluded).count() as u128;
        let eligible = own.iter().filter(|class| **class == wanted).count() as u128;
        let weight = u128::from(group.weight.unwrap_or(0));
        if weight > 0 && eligible > 0 {
            rows.push((at as u32, weight * (100 * count).min(u128::from(overprovisioning) * eligible), count));
        }
    }
    let unit = rows.iter().fold(1, |unit, (_, _, count)| lcm(unit, *count));
    fitted(rows.into_iter().map(|(at, weight, count)| (at, weight.saturating_mul(unit / count))).collect())
}

/// In lowest terms; where even those are beyond 2^63 in sum, rounded.
fn fitted(rows: Vec<(u32, u128)>) -> Vec<(u32, u64)> {
    let divisor = rows.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
    let total = rows.iter().fold(0_u128, |total, (_, weight)| total.saturating_add(weight / divisor));
    let shift = (128 - total.leading_zeros()).saturating_sub(63);
    rows.into_iter().map(|(at, weight)| (at, ((weight / divisor) >> shift).max(1) as u64)).collect()
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn lcm(a: u128, b: u128) -> u128 {
    (a / gcd(a, b)).saturating_mul(b)
}

#[inline]
fn by_requests(lb: &LbConfig, schedule: &Schedule, slots: Option<&[Arc<Slot>]>, random: SplitMix64) -> Option<u32> {
    if schedule.weighted() { credited(lb, schedule, slots) } else { least(lb, schedule, slots, random) }
}

/// The first of `choice_count` hosts drawn, unless a later one has strictly fewer active requests.
#[inline]
fn least(lb: &LbConfig, schedule: &Schedule, slots: Option<&[Arc<Slot>]>, mut random: SplitMix64) -> Option<u32> {
    if schedule.members().len() == 1 {
        return schedule.at(0);
    }
    let mut best = schedule.at(random.next_u64())?;
    // Without slots nothing is active, and the first stays the best.
    let Some(slots) = slots else { return Some(best) };
    let active = |index: u32| slots[index as usize].rq_active.load(Relaxed);
    let mut fewest = active(best);
    for _ in 1..lb.choice_count {
        if fewest == 0 {
            break;
        }
        let index = schedule.at(random.next_u64())?;
        let count = active(index);
        if count < fewest {
            (best, fewest) = (index, count);
        }
    }
    Some(best)
}

/// Weighted least request: a turn of a busy host only counts a part; see the rules in `_core.pyi`.
#[inline]
fn credited(lb: &LbConfig, schedule: &Schedule, slots: Option<&[Arc<Slot>]>) -> Option<u32> {
    let Some(slots) = slots else { return schedule.next() };
    walk(schedule, slots, |_, active| part(1.0, active, bias(lb)))
}

/// What a turn of a host with so many active requests counts, of `TURN`.
#[inline]
fn part(factor: f64, active: u32, bias: f64) -> u32 {
    let share = f64::from(TURN) * factor;
    // What a power of one is.
    if active == 0 { share as u32 } else { (share / (f64::from(active) + 1.0).powf(bias)) as u32 }
}

/// Values Envoy does not take count as 1.
#[inline]
fn bias(lb: &LbConfig) -> f64 {
    if lb.active_request_bias >= 0.0 { lb.active_request_bias } else { 1.0 }
}

/// The first host whose saved credit reaches a whole turn, which is spent.
#[inline]
fn walk(schedule: &Schedule, slots: &[Arc<Slot>], turn: impl Fn(u32, u32) -> u32) -> Option<u32> {
    let mut index = schedule.next()?;
    if has_turn(index, slots, &turn) {
        return Some(index);
    }
    let period = schedule.period();
    let cycles = (WALKED_SLOTS / period).max(WALKED_CYCLES);
    // Whole cycles and one slot: hosts of which none saves up enough still take turns.
    for _ in 0..period * cycles {
        index = schedule.next()?;
        if has_turn(index, slots, &turn) {
            break;
        }
    }
    Some(index)
}

/// Whether what the host saved and gets now is a whole turn.
#[inline]
fn has_turn(index: u32, slots: &[Arc<Slot>], turn: impl Fn(u32, u32) -> u32) -> bool {
    let slot = &slots[index as usize];
    let part = turn(index, slot.rq_active.load(Relaxed));
    // A whole turn is spent at once: the saved credit stays as it is.
    if part == TURN {
        return true;
    }
    let reached = slot.credit.fetch_add(part, Relaxed) + part >= TURN;
    if reached {
        slot.credit.fetch_sub(TURN, Relaxed);
    }
    reached
}

/// When the youngest endpoint came, where the policy starts slowly.
fn youngest<A: Attach>(lb: &LbConfig, state: &ClusterState<A>) -> Option<i64> {
    let starts = lb.slow_start_window > 0.0 && matches!(lb.policy, LbPolicy::RoundRobin | LbPolicy::LeastRequest);
    if starts { state.slots().iter().map(|slot| slot.since.get()).max() } else { None }
}

/// Slow start at one instant.
#[derive(Clone, Copy)]
struct SlowStart {
    now: i64,
    /// Milliseconds.
    window: f64,
    exponent: f64,
    least: f64,
}

impl SlowStart {
    fn new(lb: &LbConfig, now: i64) -> Self {
        let aggression = if lb.slow_start_aggression > 0.0 { lb.slow_start_aggression } else { 1.0 };
        SlowStart {
            now,
            window: lb.slow_start_window * 1000.0,
            exponent: 1.0 / aggression,
            least: lb.slow_start_min_percent / 100.0,
        }
    }

    /// Whole milliseconds since then; None from the window on.
    fn age(self, since: i64) -> Option<f64> {
        let age = self.now.saturating_sub(since).div_euclid(1_000_000) as f64;
        (age < self.window).then_some(age)
    }

    fn factor(self, since: i64) -> f64 {
        self.age(since).map_or(1.0, |age| (age.max(1.0) / self.window).powf(self.exponent).max(self.least))
    }

    /// Round robin (bias 0) and least request alike: a turn of a young host only counts a part.
    fn credited<A: Attach>(self, schedule: &Schedule, state: &ClusterState<A>, bias: f64) -> Option<u32> {
        let slots = state.slots();
        walk(schedule, slots, |index, active| part(self.factor(slots[index as usize].since.get()), active, bias))
    }
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
