//! What lives in a cluster: counters, active requests, health marks. Atomic counters only; nothing here is locked.
//!
//! A slot belongs to an endpoint's identity (address, port, ordinal among equals) and outlives the tables: a change of
//! the endpoints hands the slots of those that stay to the new state. A cluster nobody used has none.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::model::{Health, Limits};

/// Live state of one endpoint in one cluster.
#[derive(Debug, Default)]
pub struct Slot {
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
}

impl Slot {
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

/// Counters of a cluster, in Envoy's words.
#[derive(Debug, Default)]
pub struct Counters {
    pub cx_active: AtomicU64,
    pub cx_total: AtomicU64,
    pub cx_overflow: AtomicU64,
    pub cx_none_healthy: AtomicU64,
    pub rq_active: AtomicU64,
    pub rq_total: AtomicU64,
    pub rq_pending_active: AtomicU64,
    pub rq_pending_overflow: AtomicU64,
    pub rq_active_overflow: AtomicU64,
    pub rq_retry_active: AtomicU64,
    pub rq_retry_overflow: AtomicU64,
    pub healthy_panic: AtomicU64,
}

impl Counters {
    pub fn stats(&self) -> [(&'static str, u64); 12] {
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
            ("lb_healthy_panic", self.healthy_panic.load(Relaxed)),
        ]
    }
}

/// The limit that refused a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    MaxConnections,
    MaxRequests,
    MaxRetries,
}

impl Overflow {
    pub fn limit(self) -> &'static str {
        match self {
            Overflow::MaxConnections => "max_connections",
            Overflow::MaxRequests => "max_requests",
            Overflow::MaxRetries => "max_retries",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    Request { retry: bool },
    Connection,
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// HTTP status of the answer.
    Status(u16),
    /// A connection that worked.
    Success,
    ConnectFailure,
    /// Reset, timeout and other failures of local origin.
    Failure,
    /// The program never said (a collected lease): counts are released, nothing is learnt.
    Dropped,
}

/// Take one of the cluster's resources; what was taken is given back by `release`.
pub fn acquire(counters: &Counters, slot: &Slot, limits: &Limits, kind: LeaseKind) -> Result<(), Overflow> {
    match kind {
        LeaseKind::Connection => {
            take(&counters.cx_active, u64::from(limits.max_connections)).map_err(|()| {
                counters.cx_overflow.fetch_add(1, Relaxed);
                Overflow::MaxConnections
            })?;
            slot.cx_active.fetch_add(1, Relaxed);
            slot.cx_total.fetch_add(1, Relaxed);
            counters.cx_total.fetch_add(1, Relaxed);
        }
        LeaseKind::Request { retry } => {
            if retry {
                take(&counters.rq_retry_active, max_retries(counters, limits)).map_err(|()| {
                    counters.rq_retry_overflow.fetch_add(1, Relaxed);
                    Overflow::MaxRetries
                })?;
            }
            take(&counters.rq_active, u64::from(limits.max_requests)).map_err(|()| {
                if retry {
                    counters.rq_retry_active.fetch_sub(1, Relaxed);
                }
                counters.rq_active_overflow.fetch_add(1, Relaxed);
                Overflow::MaxRequests
            })?;
            slot.rq_active.fetch_add(1, Relaxed);
            slot.rq_total.fetch_add(1, Relaxed);
            counters.rq_total.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

/// Give back what `acquire` took and count the outcome. Call once for each acquired lease.
pub fn release(counters: &Counters, slot: &Slot, kind: LeaseKind, outcome: Outcome) {
    match kind {
        LeaseKind::Connection => {
            give(&counters.cx_active);
            give32(&slot.cx_active);
        }
        LeaseKind::Request { retry } => {
            give(&counters.rq_active);
            give32(&slot.rq_active);
            if retry {
                give(&counters.rq_retry_active);
            }
        }
    }
    match outcome {
        Outcome::Status(status) if status >= 500 => slot.rq_error.fetch_add(1, Relaxed),
        Outcome::Status(_) | Outcome::Success => slot.rq_success.fetch_add(1, Relaxed),
        Outcome::ConnectFailure => {
            slot.cx_connect_fail.fetch_add(1, Relaxed);
            slot.rq_error.fetch_add(1, Relaxed)
        }
        Outcome::Failure => slot.rq_error.fetch_add(1, Relaxed),
        Outcome::Dropped => 0,
    };
}

/// Envoy's retry budget replaces max_retries where it is set.
fn max_retries(counters: &Counters, limits: &Limits) -> u64 {
    let Some((percent, minimum)) = limits.retry_budget else {
        return u64::from(limits.max_retries);
    };
    let busy = counters.rq_active.load(Relaxed) + counters.rq_pending_active.load(Relaxed);
    let share = percent / 100.0 * busy as f64;
    (share as u64).max(u64::from(minimum))
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
