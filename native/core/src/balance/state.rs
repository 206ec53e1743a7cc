//! A cluster's endpoints, what lives in them, and the balancer that follows from both.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::loads::Census;
use super::pick::{Balancer, PickInput, Picked};
use crate::exchange::retry::PreviousPriorities;
use crate::model::{Attach, Endpoint, EndpointKind, Health, LbConfig, LbPolicy, Limits, LocalityGroup};
use crate::outliers::{Hits, Policy, Record, active_in};
use crate::overlay::{Counters, Slot};
use crate::sync::{ArcSwap, Guard, Mutex, MutexGuard, OnceLock};

/// One endpoint of a cluster with its place.
#[derive(Debug)]
pub struct EndpointState<A: Attach> {
    pub def: Endpoint<A>,
    pub group: u32,
    /// Which of the endpoints with this address and port.
    pub ordinal: u32,
    pub cell: A::Cell,
}

impl<A: Attach> EndpointState<A> {
    fn identity(&self) -> (&str, u16, u32) {
        (&self.def.address, self.def.port, self.ordinal)
    }
}

#[derive(Debug)]
pub struct GroupState {
    pub locality: Arc<str>,
    pub priority: u32,
    pub weight: Option<u32>,
    pub first: u32,
    pub count: u32,
}

/// All endpoints in order of group and position.
#[derive(Debug)]
pub struct Membership<A: Attach> {
    pub groups: Box<[GroupState]>,
    pub endpoints: Box<[EndpointState<A>]>,
    pub priorities: u32,
    /// Given once: what an embedder keeps of an endpoint may hold its slot.
    slots: OnceLock<Box<[Arc<Slot>]>>,
}

impl<A: Attach> Membership<A> {
    pub fn new(groups: Vec<LocalityGroup<A>>) -> Self {
        let count = groups.iter().map(|group| group.endpoints.len()).sum();
        let mut endpoints: Vec<EndpointState<A>> = Vec::with_capacity(count);
        let mut states = Vec::with_capacity(groups.len());
        for (index, group) in groups.into_iter().enumerate() {
            states.push(GroupState {
                locality: group.locality,
                priority: group.priority,
                weight: group.weight,
                first: endpoints.len() as u32,
                count: group.endpoints.len() as u32,
            });
            endpoints.extend(group.endpoints.into_iter().map(|def| EndpointState {
                def,
                group: index as u32,
                ordinal: 0,
                cell: A::Cell::default(),
            }));
        }
        if endpoints.len() > 1 {
            let mut seen: HashMap<(&str, u16), u32> = HashMap::with_capacity(endpoints.len());
            for EndpointState { def, ordinal, .. } in &mut endpoints {
                let count = seen.entry((&def.address, def.port)).or_default();
                *ordinal = *count;
                *count += 1;
            }
        }
        let priorities = states.iter().map(|group| group.priority + 1).max().unwrap_or(0);
        Membership { groups: states.into(), endpoints: endpoints.into(), priorities, slots: OnceLock::new() }
    }

    fn identities(&self) -> HashMap<(&str, u16, u32), usize> {
        self.endpoints.iter().enumerate().map(|(index, endpoint)| (endpoint.identity(), index)).collect()
    }

    /// Text that hash balancers hash.
    pub fn hash_key(&self, index: u32) -> String {
        let def = &self.endpoints[index as usize].def;
        match (&*def.hash_key, def.kind) {
            ("", EndpointKind::Unix) => def.address.to_string(),
            ("", _) if def.address.contains(':') => format!("[{}]:{}", def.address, def.port),
            ("", _) => format!("{}:{}", def.address, def.port),
            (key, _) => key.to_owned(),
        }
    }

    pub fn priority(&self, index: u32) -> u32 {
        self.groups[self.endpoints[index as usize].group as usize].priority
    }
}

/// The health classes of Envoy; `Excluded` is unhealthy and left out of denominators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Healthy,
    Degraded,
    Unhealthy,
    Excluded,
}

/// The worst of EDS health, active health and outlier detection.
pub fn class(eds: Health, mark: Health, ejected: bool) -> Class {
    match (eds, mark) {
        (Health::Draining, _) => Class::Excluded,
        _ if ejected => Class::Unhealthy,
        (Health::Unhealthy, _) | (_, Health::Unhealthy | Health::Draining) => Class::Unhealthy,
        (Health::Degraded, _) | (_, Health::Degraded) => Class::Degraded,
        (Health::Unknown | Health::Healthy, Health::Unknown | Health::Healthy) => Class::Healthy,
    }
}

/// One view of a cluster: membership, and the balancer made from it and its health on first use.
#[derive(Debug)]
pub struct ClusterState<A: Attach> {
    pub membership: Arc<Membership<A>>,
    balancer: OnceLock<Box<Balancer>>,
}

impl<A: Attach> ClusterState<A> {
    fn new(membership: Arc<Membership<A>>) -> Self {
        ClusterState { membership, balancer: OnceLock::new() }
    }

    /// The endpoints' slots; made when the first lease, health mark or object asks.
    pub fn slots(&self) -> &[Arc<Slot>] {
        let Membership { slots, endpoints, .. } = &*self.membership;
        slots.get_or_init(|| endpoints.iter().map(|_| Arc::default()).collect())
    }

    /// The slots if anybody needed them yet.
    #[inline]
    pub fn used_slots(&self) -> Option<&[Arc<Slot>]> {
        self.membership.slots.get().map(|slots| &**slots)
    }

    pub fn classes(&self) -> Vec<Class> {
        let slots = self.used_slots();
        self.membership
            .endpoints
            .iter()
            .enumerate()
            .map(|(i, e)| match slots {
                Some(slots) => class(e.def.health, slots[i].mark(), slots[i].is_ejected()),
                None => class(e.def.health, Health::Unknown, false),
            })
            .collect()
    }

    pub fn health(&self, index: u32) -> Health {
        let eds = self.membership.endpoints[index as usize].def.health;
        match self.used_slots().map(|slots| &slots[index as usize]) {
            Some(slot) => effective(eds, slot.mark(), slot.is_ejected()),
            None => effective(eds, Health::Unknown, false),
        }
    }

    /// Of all priorities together.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for class in self.classes() {
            census.add(class);
        }
        census
    }
}

/// What is told of an endpoint.
pub fn effective(eds: Health, mark: Health, ejected: bool) -> Health {
    match class(eds, mark, ejected) {
        Class::Excluded => Health::Draining,
        Class::Unhealthy => Health::Unhealthy,
        Class::Degraded => Health::Degraded,
        Class::Healthy if eds == Health::Unknown => mark,
        Class::Healthy => Health::Healthy,
    }
}

impl Census {
    pub fn add(&mut self, class: Class) {
        self.hosts += 1;
        match class {
            Class::Healthy => self.healthy += 1,
            Class::Degraded => self.degraded += 1,
            Class::Unhealthy => {}
            Class::Excluded => self.excluded += 1,
        }
    }
}

/// What lives in a cluster of the published snapshot. Its readers never wait: a change swaps the state.
#[derive(Debug)]
pub struct ClusterLive<A: Attach> {
    pub lb: Arc<LbConfig>,
    pub limits: Arc<Limits>,
    pub outliers: Option<Arc<Policy>>,
    counters: OnceLock<Arc<Counters>>,
    state: ArcSwap<ClusterState<A>>,
    /// Where cursors of new schedules start.
    start: u64,
    writer: Mutex<()>,
}

impl<A: Attach> ClusterLive<A> {
    pub fn new(
        lb: Arc<LbConfig>,
        limits: Arc<Limits>,
        outliers: Option<Arc<Policy>>,
        groups: Vec<LocalityGroup<A>>,
        start: u64,
    ) -> Self {
        let state = ClusterState::new(Arc::new(Membership::new(groups)));
        ClusterLive {
            lb,
            limits,
            outliers,
            counters: OnceLock::new(),
            state: ArcSwap::from_pointee(state),
            start,
            writer: Mutex::new(()),
        }
    }

    /// Made when first asked for: a cluster nobody uses has none.
    #[inline]
    pub fn counters(&self) -> &Arc<Counters> {
        self.counters.get_or_init(Arc::default)
    }

    /// In Envoy's words; the cluster's counters, its membership, its circuit breakers, its ejections.
    pub fn stats(&self) -> Vec<(&'static str, u64)> {
        let unused = Counters::default();
        let counters = self.counters.get().map_or(&unused, |counters| &**counters);
        let mut stats = counters.stats().to_vec();
        let state = self.state.load();
        let census = state.census();
        stats.extend([
            ("membership_total", census.hosts),
            ("membership_healthy", census.healthy),
            ("membership_degraded", census.degraded),
            ("membership_excluded", census.excluded),
        ]);
        stats.extend(counters.breakers(&self.limits));
        if self.outliers.is_some() {
            stats.extend(counters.tally().stats(active_in(state.used_slots().unwrap_or_default())));
        }
        stats
    }

    /// The state picks are made from now.
    #[inline]
    pub fn state(&self) -> Guard<Arc<ClusterState<A>>> {
        self.state.load()
    }

    pub fn state_full(&self) -> Arc<ClusterState<A>> {
        self.state.load_full()
    }

    fn locked(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Made by the first pick; a change of a state that has one makes the next one before it is seen.
    #[inline]
    pub fn balancer<'s>(&self, state: &'s ClusterState<A>) -> &'s Balancer {
        state.balancer.get_or_init(|| Box::new(Balancer::build(&self.lb, state, None, self.start)))
    }

    /// (healthy load, degraded load) in percent of each priority.
    pub fn priority_load(&self) -> Vec<(u32, u32)> {
        let state = self.state.load();
        let loads = &self.balancer(&state).loads;
        loads.healthy.iter().copied().zip(loads.degraded.iter().copied()).collect()
    }

    /// Before it is seen: take over from the cluster that has the name now.
    pub fn begin(&self, old: Option<&ClusterLive<A>>, now: i64) {
        if let Some(old) = old {
            self.inherit(old, now);
        }
        self.count_ages(&self.state.load(), now);
        self.forget_ejections(&self.state.load());
    }

    /// Where nothing is ejected any more.
    fn forget_ejections(&self, state: &ClusterState<A>) {
        if self.outliers.is_none() {
            state.used_slots().unwrap_or_default().iter().filter_map(|slot| slot.record()).for_each(Record::forget);
        }
    }

    /// From now, for endpoints that come in or had no slow start so far.
    fn count_ages(&self, state: &ClusterState<A>, now: i64) {
        if self.lb.slow_start_window > 0.0 {
            state.slots().iter().for_each(|slot| slot.since.begin(now));
        } else {
            state.used_slots().unwrap_or_default().iter().for_each(|slot| slot.since.forget());
        }
    }

    /// Where nothing was used yet, there is nothing to take over, and what a holder of the old cluster starts to count from
    /// then on stays there.
    fn inherit(&self, old: &ClusterLive<A>, now: i64) {
        if let Some(counters) = old.counters.get() {
            let _ = self.counters.set(Arc::clone(counters));
        }
        let _writer = self.locked();
        let before = old.state.load_full();
        let own = self.state.load_full();
        if let Some(next) = self.carried(&before, &own.membership, now) {
            self.state.store(Arc::new(next));
        }
    }

    /// Replace the endpoints; those that stay keep their slots.
    pub fn update(&self, groups: Vec<LocalityGroup<A>>, now: i64) {
        let membership = Arc::new(Membership::new(groups));
        let _writer = self.locked();
        let before = self.state.load_full();
        let next = self.carried(&before, &membership, now).unwrap_or_else(|| {
            let next = ClusterState::new(membership);
            self.count_ages(&next, now);
            next
        });
        self.state.store(Arc::new(next));
    }

    /// A state of `membership` with the slots and cursors of `before`; None when there is nothing to carry.
    fn carried(&self, before: &ClusterState<A>, membership: &Arc<Membership<A>>, now: i64) -> Option<ClusterState<A>> {
        let balancer = before.balancer.get();
        // A cluster that is picked from gets its slots before it changes, so that both states count in the same ones.
        let slots = if balancer.is_some() { before.slots() } else { before.used_slots()? };
        let known = before.membership.identities();
        let kept =
            || membership.endpoints.iter().map(|endpoint| known.get(&endpoint.identity()).map(|old| &slots[*old]));
        // A cluster that had the name before has its slots, and those of the endpoints that stayed are the same.
        let own = membership.slots.get_or_init(|| kept().map(|slot| slot.cloned().unwrap_or_default()).collect());
        // Those that had been gone begin anew.
        let returned = own.iter().zip(kept()).filter(|(_, kept)| kept.is_none());
        returned.filter_map(|(slot, _)| slot.record()).for_each(Record::forget);
        let next = ClusterState::new(Arc::clone(membership));
        self.count_ages(&next, now);
        self.forget_ejections(&next);
        if let Some(balancer) = balancer {
            self.rebalance(&next, Some(balancer));
        }
        Some(next)
    }

    fn rebalance(&self, state: &ClusterState<A>, before: Option<&Balancer>) {
        let _ = state.balancer.set(Box::new(Balancer::build(&self.lb, state, before, self.start)));
    }

    /// Mark all endpoints of that address; false when there is none.
    pub fn set_health(&self, address: &str, port: u16, health: Health, now: i64) -> bool {
        let _writer = self.locked();
        let before = self.state.load_full();
        let slots = before.slots();
        let mark = if health == Health::Draining { Health::Unhealthy } else { health };
        let (mut found, mut changed) = (false, false);
        for (endpoint, slot) in before.membership.endpoints.iter().zip(slots) {
            if &*endpoint.def.address == address && endpoint.def.port == port {
                found = true;
                changed |= slot.mark() != mark;
                let recovers = slot.mark() == Health::Unhealthy && mark != Health::Unhealthy;
                if recovers && self.lb.slow_start_window > 0.0 {
                    slot.since.set(now);
                }
                slot.set_mark(mark);
                if matches!(mark, Health::Healthy | Health::Degraded) && slot.is_ejected() {
                    slot.record_made().bring_back(now);
                    changed = true;
                }
            }
        }
        if changed {
            self.reconsider(&before);
        }
        found
    }

    /// The same endpoints, after a change of their health.
    fn reconsider(&self, before: &ClusterState<A>) {
        let next = ClusterState::new(Arc::clone(&before.membership));
        self.rebalance(&next, before.balancer.get().map(|balancer| &**balancer));
        self.state.store(Arc::new(next));
    }

    /// What was detected of an endpoint, if it is still here; whether it is ejected now.
    pub fn eject(&self, slot: &Arc<Slot>, hits: Hits, now: i64, draw: &mut dyn FnMut() -> u64) -> bool {
        let Some(policy) = &self.outliers else { return false };
        let _writer = self.locked();
        let state = self.state.load_full();
        let slots = state.used_slots().unwrap_or_default();
        if !slots.iter().any(|known| Arc::ptr_eq(known, slot)) {
            return false;
        }
        let (back, _) = ticked(policy, slots, now);
        let ejected = policy.judge(slot.record_made(), slots, hits, now, draw, self.counters().tally());
        if back || ejected {
            self.reconsider(&state);
        }
        ejected
    }

    /// Do the ticks that are due; the next one with something to do, None without.
    pub fn tick(&self, now: i64) -> Option<i64> {
        let policy = self.outliers.as_ref()?;
        let _writer = self.locked();
        let state = self.state.load_full();
        let (back, next) = ticked(policy, state.used_slots().unwrap_or_default(), now);
        if back {
            self.reconsider(&state);
        }
        next
    }

    /// One pick; counts panics and failures.
    #[inline]
    pub fn pick(&self, state: &ClusterState<A>, input: PickInput) -> Option<u32> {
        self.counted(self.balancer(state).pick(&self.lb, state, input))
    }

    /// The pick of a try of an exchange: its priorities may be chosen otherwise.
    pub fn pick_again(
        &self,
        state: &ClusterState<A>,
        input: PickInput,
        priorities: Option<&mut PreviousPriorities>,
    ) -> Option<u32> {
        let balancer = self.balancer(state);
        let loads = priorities.and_then(|own| own.loads(&balancer.loads, || balancer.census(state), &self.lb));
        self.counted(match loads {
            Some(loads) => balancer.pick_slowly(&self.lb, state, input, loads),
            None => balancer.pick(&self.lb, state, input),
        })
    }

    #[inline]
    fn counted(&self, picked: Picked) -> Option<u32> {
        if picked.panicked {
            self.counters().healthy_panic.fetch_add(1, Relaxed);
        }
        if picked.host.is_none() {
            self.counters().cx_none_healthy.fetch_add(1, Relaxed);
        }
        picked.host
    }

    /// Picks go by a hash, so that it is worth computing.
    pub fn hashes(&self) -> bool {
        matches!(self.lb.policy, LbPolicy::RingHash | LbPolicy::Maglev)
    }

    /// In a forked child: what the parent holds is not held here.
    pub fn forked(&self) {
        if let Some(counters) = self.counters.get() {
            let gauges =
                [&counters.cx_active, &counters.rq_active, &counters.rq_pending_active, &counters.rq_retry_active];
            gauges.iter().for_each(|gauge| gauge.store(0, Relaxed));
        }
        for slot in self.state.load().used_slots().unwrap_or_default() {
            slot.rq_active.store(0, Relaxed);
            slot.cx_active.store(0, Relaxed);
        }
    }
}

/// Do the ticks of all endpoints: whether one is back, and the next tick with something to do.
fn ticked(policy: &Policy, slots: &[Arc<Slot>], now: i64) -> (bool, Option<i64>) {
    let (mut back, mut next) = (false, None);
    for record in slots.iter().filter_map(|slot| slot.record()) {
        let ejected = record.is_ejected();
        let due = policy.tick(record, now);
        back |= ejected && !record.is_ejected();
        next = [next, due].into_iter().flatten().min();
    }
    (back, next)
}
