//! What lives in a cluster: counters, active requests, health marks. Atomic counters only; nothing here is locked.
//!
//! A slot belongs to an endpoint's identity (address, port, ordinal among equals) and outlives the tables: a change of
//! the endpoints hands the slots of those that stay to the new state. A cluster nobody used has none.

use std::sync::atomic::Ordering::Relaxed;

use crate::model::{Health, Limits};
use crate::outliers::{Record, Tally};
use crate::recent::{self, Recent};
use crate::sync::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, OnceLock};

/// Live state of one endpoint in one cluster.
#[derive(Debug, Default)]
pub struct Slot {
    pub since: Since,
    pub rq_active: AtomicU32,
    pub cx_active: AtomicU32,
    /// Fractions of a turn that LEAST_REQUEST over unequal weights has saved up, in 2^-16.
    pub credit: AtomicU32,
    /// Mark of active health checks: 0 none, 1 healthy, 2 unhealthy, 4 degraded (as `Health`).
    mark: AtomicU8,
    pub rq_total: AtomicU64,
    pub rq_success: AtomicU64,
    pub rq_error: AtomicU64,
    pub cx_total: AtomicU64,
    pub cx_connect_fail: AtomicU64,
    /// Of outlier detection; made by the first failure.
    record: OnceLock<Box<Record>>,
}

/// When an endpoint came into its cluster or its mark left UNHEALTHY, in nanoseconds of the engine's clock: slow start counts
/// from there. Clusters without slow start do not keep it.
#[derive(Debug)]
pub struct Since(AtomicI64);

impl Since {
    /// Before any clock.
    const UNSET: i64 = i64::MIN;

    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }

    pub fn set(&self, now: i64) {
        self.0.store(now, Relaxed);
    }

    pub fn forget(&self) {
        self.set(Since::UNSET);
    }

    /// `now`, where nothing is known yet.
    pub fn begin(&self, now: i64) {
        if self.get() == Since::UNSET {
            self.set(now);
        }
    }
}

impl Default for Since {
    fn default() -> Self {
        Since(AtomicI64::new(Since::UNSET))
    }
}

impl Slot {
    pub fn record(&self) -> Option<&Record> {
        self.record.get().map(|record| &**record)
    }

    pub fn record_made(&self) -> &Record {
        self.record.get_or_init(Box::default)
    }

    pub fn is_ejected(&self) -> bool {
        self.record().is_some_and(Record::is_ejected)
    }

    pub fn mark(&self) -> Health {
        match self.mark.load(Relaxed) {
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            4 => Health::Degraded,
            _ => Health::Unknown,
        }
    }

    pub fn set_mark(&self, health: Health) {
        let value = match health {
            Health::Unknown => 0,
            Health::Healthy => 1,
            Health::Unhealthy | Health::Draining => 2,
            Health::Degraded => 4,
        };
        self.mark.store(value, Relaxed);
    }

    /// (name, value) in the order of the contract.
    pub fn stats(&self) -> [(&'static str, u64); 7] {
        [
            ("rq_active", u64::from(self.rq_active.load(Relaxed))),
            ("rq_total", self.rq_total.load(Relaxed)),
            ("rq_success", self.rq_success.load(Relaxed)),
            ("rq_error", self.rq_error.load(Relaxed)),
            ("cx_active", u64::from(self.cx_active.load(Relaxed))),
            ("cx_total", self.cx_total.load(Relaxed)),
            ("cx_connect_fail", self.cx_connect_fail.load(Relaxed)),
        ]
    }
}

/// Counters of a cluster, in Envoy's words; in cache lines of their own, as `balance::schedule`.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counters {
    pub cx_active: AtomicU64,
    pub cx_total: AtomicU64,
    pub cx_overflow: AtomicU64,
    pub cx_none_healthy: AtomicU64,
    pub cx_connect_timeout: AtomicU64,
    pub rq_active: AtomicU64,
    pub rq_total: AtomicU64,
    pub rq_pending_active: AtomicU64,
    pub rq_pending_overflow: AtomicU64,
    pub rq_active_overflow: AtomicU64,
    pub rq_retry_active: AtomicU64,
    pub rq_retry_overflow: AtomicU64,
    pub rq_retry: AtomicU64,
    pub rq_timeout: AtomicU64,
    pub rq_per_try_timeout: AtomicU64,
    pub healthy_panic: AtomicU64,
    /// Made by the first detection.
    tally: OnceLock<Box<Tally>>,
    /// Made by the first request with a retry budget over an interval.
    recent: OnceLock<Box<Recent>>,
}

impl Counters {
    pub fn tally(&self) -> &Tally {
        self.tally.get_or_init(Box::default)
    }

    fn recent(&self) -> &Recent {
        self.recent.get_or_init(Box::default)
    }

    /// Gauges of circuit breakers: 1 at the limit, and what is left (Istio: track_remaining). With a retry budget what is left
    /// of retries is not tracked, and max_retries alone decides whether it is open.
    pub fn breakers(&self, limits: &Limits) -> [(&'static str, u64); 8] {
        let gauges = |counter: &AtomicU64, most: u32| {
            let (active, most) = (counter.load(Relaxed), u64::from(most));
            (u64::from(active >= most), most.saturating_sub(active))
        };
        let (cx_open, cx) = gauges(&self.cx_active, limits.max_connections);
        let (pending_open, pending) = gauges(&self.rq_pending_active, limits.max_pending_requests);
        let (rq_open, rq) = gauges(&self.rq_active, limits.max_requests);
        let (retry_open, retries) = gauges(&self.rq_retry_active, limits.max_retries);
        [
            ("circuit_breakers.default.cx_open", cx_open),
            ("circuit_breakers.default.remaining_cx", cx),
            ("circuit_breakers.default.rq_pending_open", pending_open),
            ("circuit_breakers.default.remaining_pending", pending),
            ("circuit_breakers.default.rq_open", rq_open),
            ("circuit_breakers.default.remaining_rq", rq),
            ("circuit_breakers.default.rq_retry_open", retry_open),
            ("circuit_breakers.default.remaining_retries", if limits.retry_budget.is_some() { 0 } else { retries }),
        ]
    }

    pub fn stats(&self) -> [(&'static str, u64); 16] {
        [
            ("upstream_cx_active", self.cx_active.load(Relaxed)),
            ("upstream_cx_total", self.cx_total.load(Relaxed)),
            ("upstream_rq_active", self.rq_active.load(Relaxed)),
            ("upstream_rq_total", self.rq_total.load(Relaxed)),
            ("upstream_rq_pending_active", self.rq_pending_active.load(Relaxed)),
            ("upstream_rq_retry_active", self.rq_retry_active.load(Relaxed)),
            ("upstream_rq_pending_overflow", self.rq_pending_overflow.load(Relaxed)),
            ("upstream_cx_overflow", self.cx_overflow.load(Relaxed)),
            ("upstream_rq_active_overflow", self.rq_active_overflow.load(Relaxed)),
            ("upstream_rq_retry_overflow", self.rq_retry_overflow.load(Relaxed)),
            ("upstream_cx_none_healthy", self.cx_none_healthy.load(Relaxed)),
            ("upstream_cx_connect_timeout", self.cx_connect_timeout.load(Relaxed)),
            ("upstream_rq_retry", self.rq_retry.load(Relaxed)),
            ("upstream_rq_timeout", self.rq_timeout.load(Relaxed)),
            ("upstream_rq_per_try_timeout", self.rq_per_try_timeout.load(Relaxed)),
            ("lb_healthy_panic", self.healthy_panic.load(Relaxed)),
        ]
    }
}

/// The limit that refused a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    MaxConnections,
    MaxPendingRequests,
    MaxRequests,
    MaxRetries,
}

impl Overflow {
    pub fn limit(self) -> &'static str {
        match self {
            Overflow::MaxConnections => "max_connections",
            Overflow::MaxPendingRequests => "max_pending_requests",
            Overflow::MaxRequests => "max_requests",
            Overflow::MaxRetries => "max_retries",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// `pending`: it waits for a connection and counts against max_pending_requests until `bind`.
    Request {
        retry: bool,
        pending: bool,
    },
    Connection,
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// HTTP status of the answer.
    Status(u16),
    /// The HTTP status that stands for the answer's of gRPC.
    Grpc(u16),
    /// It worked.
    Success,
    ConnectFailure,
    /// One that took too long.
    ConnectTimeout,
    Reset,
    Timeout,
    /// Its own time limit, not that of its request.
    TryTimeout,
    /// Other failures of local origin.
    Failure,
    /// The program never said (a collected lease): counts are released, nothing is learnt.
    Dropped,
}

/// Take one of the cluster's resources; what was taken is given back by `release`. now: asked where a retry budget counts over
/// an interval.
pub fn acquire(
    counters: &Counters,
    slot: &Slot,
    limits: &Limits,
    kind: LeaseKind,
    now: &dyn Fn() -> i64,
) -> Result<(), Overflow> {
    match kind {
        LeaseKind::Connection => {
            take(&counters.cx_active, u64::from(limits.max_connections)).map_err(|()| {
                counters.cx_overflow.fetch_add(1, Relaxed);
                Overflow::MaxConnections
            })?;
            count_connection(counters, slot);
        }
        LeaseKind::Request { retry, pending } => {
            if retry {
                acquire_retry(counters, limits, now)?;
            }
            let taken = if pending { take_pending(counters, limits) } else { take_active(counters, slot, limits, now) };
            taken.inspect_err(|_| {
                if retry {
                    give(&counters.rq_retry_active);
                }
            })?;
        }
    }
    Ok(())
}

/// A connection that no lease holds (those that requests are sent over) is being made; `disconnected` ends it.
pub fn connected(counters: &Counters, slot: &Slot) {
    counters.cx_active.fetch_add(1, Relaxed);
    count_connection(counters, slot);
}

fn count_connection(counters: &Counters, slot: &Slot) {
    slot.cx_active.fetch_add(1, Relaxed);
    slot.cx_total.fetch_add(1, Relaxed);
    counters.cx_total.fetch_add(1, Relaxed);
}

/// It is gone, or did not come about.
pub fn disconnected(counters: &Counters, slot: &Slot) {
    give(&counters.cx_active);
    give32(&slot.cx_active);
}

/// Count a retry beside the request that it is for; given back by `release_retry`.
pub fn acquire_retry(counters: &Counters, limits: &Limits, now: &dyn Fn() -> i64) -> Result<(), Overflow> {
    take(&counters.rq_retry_active, max_retries(counters, limits, now)).map_err(|()| {
        counters.rq_retry_overflow.fetch_add(1, Relaxed);
        Overflow::MaxRetries
    })?;
    counters.rq_retry.fetch_add(1, Relaxed);
    Ok(())
}

pub fn release_retry(counters: &Counters) {
    give(&counters.rq_retry_active);
}

/// The connection that a pending request waited for is there. Refused, nothing of the lease is held any more.
pub fn bind(
    counters: &Counters,
    slot: &Slot,
    limits: &Limits,
    retry: bool,
    now: &dyn Fn() -> i64,
) -> Result<(), Overflow> {
    give(&counters.rq_pending_active);
    take_active(counters, slot, limits, now).inspect_err(|_| {
        if retry {
            give(&counters.rq_retry_active);
        }
    })
}

fn take_pending(counters: &Counters, limits: &Limits) -> Result<(), Overflow> {
    take(&counters.rq_pending_active, u64::from(limits.max_pending_requests)).map_err(|()| {
        counters.rq_pending_overflow.fetch_add(1, Relaxed);
        Overflow::MaxPendingRequests
    })
}

fn take_active(counters: &Counters, slot: &Slot, limits: &Limits, now: &dyn Fn() -> i64) -> Result<(), Overflow> {
    take(&counters.rq_active, u64::from(limits.max_requests)).map_err(|()| {
        counters.rq_active_overflow.fetch_add(1, Relaxed);
        Overflow::MaxRequests
    })?;
    let time = budget_slot(limits);
    if time > 0 {
        counters.recent().begin(time, now());
    }
    slot.rq_active.fetch_add(1, Relaxed);
    slot.rq_total.fetch_add(1, Relaxed);
    counters.rq_total.fetch_add(1, Relaxed);
    Ok(())
}

/// Give back what `acquire` (and `bind`: then `pending` is over) took and count the outcome. Once for each lease.
pub fn release(counters: &Counters, slot: &Slot, kind: LeaseKind, outcome: Outcome) {
    match kind {
        LeaseKind::Connection => disconnected(counters, slot),
        LeaseKind::Request { retry, pending } => {
            if pending {
                give(&counters.rq_pending_active);
            } else {
                give(&counters.rq_active);
                give32(&slot.rq_active);
            }
            if retry {
                give(&counters.rq_retry_active);
            }
        }
    }
    match (outcome, kind) {
        (Outcome::ConnectTimeout, _) => &counters.cx_connect_timeout,
        (Outcome::Timeout, LeaseKind::Request { .. }) => &counters.rq_timeout,
        (Outcome::TryTimeout, _) => &counters.rq_per_try_timeout,
        _ => return learn(slot, outcome),
    }
    .fetch_add(1, Relaxed);
    learn(slot, outcome);
}

fn learn(slot: &Slot, outcome: Outcome) {
    match outcome {
        Outcome::Status(status) | Outcome::Grpc(status) if status >= 500 => slot.rq_error.fetch_add(1, Relaxed),
        Outcome::Status(_) | Outcome::Grpc(_) | Outcome::Success => slot.rq_success.fetch_add(1, Relaxed),
        Outcome::ConnectFailure | Outcome::ConnectTimeout => {
            slot.cx_connect_fail.fetch_add(1, Relaxed);
            slot.rq_error.fetch_add(1, Relaxed)
        }
        Outcome::Reset | Outcome::Timeout | Outcome::TryTimeout | Outcome::Failure => {
            slot.rq_error.fetch_add(1, Relaxed)
        }
        Outcome::Dropped => 0,
    };
}

/// Envoy's retry budget replaces max_retries where it is set.
fn max_retries(counters: &Counters, limits: &Limits, now: &dyn Fn() -> i64) -> u64 {
    let Some((percent, minimum)) = limits.retry_budget else {
        return u64::from(limits.max_retries);
    };
    let time = budget_slot(limits);
    let busy = if time > 0 {
        counters.recent().count(time, now())
    } else {
        counters.rq_active.load(Relaxed) + counters.rq_pending_active.load(Relaxed)
    };
    let share = percent / 100.0 * busy as f64;
    (share as u64).max(u64::from(minimum))
}

/// A tenth of the retry budget's interval (whole milliseconds) in nanoseconds; 0 without one.
#[inline]
fn budget_slot(limits: &Limits) -> i64 {
    if limits.retry_budget_interval == 0.0 || limits.retry_budget.is_none() {
        return 0;
    }
    (limits.retry_budget_interval * 1000.0 + 0.5) as i64 * (1_000_000 / recent::SLOTS as i64)
}

/// `current < max` decides, as Envoy's canCreate; racing callers may not pass the limit.
fn take(counter: &AtomicU64, max: u64) -> Result<(), ()> {
    if max >= u64::from(u32::MAX) {
        counter.fetch_add(1, Relaxed);
        return Ok(());
    }
    counter.fetch_update(Relaxed, Relaxed, |current| (current < max).then_some(current + 1)).map(drop).map_err(drop)
}

/// Never below zero: after a fork the child starts at zero while it still holds its parent's leases.
fn give(counter: &AtomicU64) {
    let _ = counter.fetch_update(Relaxed, Relaxed, |current| current.checked_sub(1));
}

fn give32(counter: &AtomicU32) {
    let _ = counter.fetch_update(Relaxed, Relaxed, |current| current.checked_sub(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: LeaseKind = LeaseKind::Request { retry: false, pending: false };
    const RETRY: LeaseKind = LeaseKind::Request { retry: true, pending: false };
    const PENDING: LeaseKind = LeaseKind::Request { retry: false, pending: true };

    fn active(counters: &Counters) -> (u64, u64, u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        (
            load(&counters.cx_active),
            load(&counters.rq_active),
            load(&counters.rq_pending_active),
            load(&counters.rq_retry_active),
        )
    }

    #[test]
    fn each_kind_has_its_limit_and_gives_back_what_it_took() {
        let limits = Limits {
            max_connections: 1,
            max_pending_requests: 1,
            max_requests: 1,
            max_retries: 1,
            ..Limits::default()
        };
        let (counters, slot) = (Counters::default(), Slot::default());
        let cases = [
            (LeaseKind::Connection, Overflow::MaxConnections, (1, 0, 0, 0)),
            (REQUEST, Overflow::MaxRequests, (0, 1, 0, 0)),
            (PENDING, Overflow::MaxPendingRequests, (0, 0, 1, 0)),
            (RETRY, Overflow::MaxRetries, (0, 1, 0, 1)),
        ];
        for (kind, overflow, held) in cases {
            assert_eq!(acquire(&counters, &slot, &limits, kind, &|| 0), Ok(()));
            assert_eq!(acquire(&counters, &slot, &limits, kind, &|| 0), Err(overflow));
            assert_eq!(active(&counters), held);
            release(&counters, &slot, kind, Outcome::Success);
            assert_eq!(active(&counters), (0, 0, 0, 0));
        }
    }

    #[test]
    fn a_bound_request_is_no_longer_pending() {
        let limits = Limits { max_requests: 1, ..Limits::default() };
        let (counters, slot) = (Counters::default(), Slot::default());
        let retry = LeaseKind::Request { retry: true, pending: true };
        assert_eq!(acquire(&counters, &slot, &limits, PENDING, &|| 0), Ok(()));
        assert_eq!(acquire(&counters, &slot, &limits, retry, &|| 0), Ok(()));
        assert_eq!(active(&counters), (0, 0, 2, 1));
        assert_eq!(bind(&counters, &slot, &limits, false, &|| 0), Ok(()));
        assert_eq!(bind(&counters, &slot, &limits, true, &|| 0), Err(Overflow::MaxRequests));
        assert_eq!(active(&counters), (0, 1, 0, 0));
        release(&counters, &slot, REQUEST, Outcome::Status(503));
        assert_eq!((active(&counters), slot.rq_error.load(Relaxed)), ((0, 0, 0, 0), 1));
    }

    #[test]
    fn zero_means_never() {
        let limits = Limits { max_pending_requests: 0, ..Limits::default() };
        let refused = acquire(&Counters::default(), &Slot::default(), &limits, PENDING, &|| 0);
        assert_eq!(refused, Err(Overflow::MaxPendingRequests));
    }

    #[test]
    fn a_retry_budget_replaces_max_retries() {
        let limits = Limits { max_retries: 100, retry_budget: Some((20.0, 2)), ..Limits::default() };
        let (counters, slot) = (Counters::default(), Slot::default());
        assert_eq!(acquire(&counters, &slot, &limits, RETRY, &|| 0), Ok(()));
        assert_eq!(acquire(&counters, &slot, &limits, RETRY, &|| 0), Ok(()));
        assert_eq!(acquire(&counters, &slot, &limits, RETRY, &|| 0), Err(Overflow::MaxRetries));
        (0..13).for_each(|_| assert_eq!(acquire(&counters, &slot, &limits, REQUEST, &|| 0), Ok(())));
        assert_eq!(acquire(&counters, &slot, &limits, RETRY, &|| 0), Ok(()));
    }

    #[test]
    fn counts_never_fall_below_zero() {
        let (counters, slot) = (Counters::default(), Slot::default());
        release(&counters, &slot, RETRY, Outcome::Dropped);
        assert_eq!((active(&counters), slot.rq_active.load(Relaxed)), ((0, 0, 0, 0), 0));
    }
}
