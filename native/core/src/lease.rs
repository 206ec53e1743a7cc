//! Leases: one try of a request, or one connection, that counts until it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

use crate::balance::ClusterLive;
use crate::model::Attach;
use crate::outliers::{End, Hits};
use crate::overlay::{LeaseKind, Outcome, Overflow, Slot, acquire, bind, release};

/// Where a lease stands. It only ever moves on, so that whoever moves it counts, whatever the thread.
const PENDING: u8 = 0;
const ACTIVE: u8 = 1;
/// `ready` told that the connection is there.
const READY: u8 = 2;
const DONE: u8 = 3;

/// What is held of a cluster and one of its endpoints. Who drops one that has not ended ends it first (`Outcome::Dropped`).
#[derive(Debug)]
pub struct Lease<A: Attach> {
    live: Arc<ClusterLive<A>>,
    slot: Arc<Slot>,
    /// As it was acquired.
    kind: LeaseKind,
    stage: AtomicU8,
}

impl<A: Attach> Lease<A> {
    /// now: the embedder's clock, read where a limit depends on it.
    pub fn take(
        live: Arc<ClusterLive<A>>,
        slot: Arc<Slot>,
        kind: LeaseKind,
        now: &dyn Fn() -> i64,
    ) -> Result<Self, Overflow> {
        acquire(live.counters(), &slot, &live.limits, kind, now)?;
        let pending = matches!(kind, LeaseKind::Request { pending: true, .. });
        Ok(Lease { live, slot, kind, stage: AtomicU8::new(if pending { PENDING } else { ACTIVE }) })
    }

    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    pub fn is_over(&self) -> bool {
        self.stage.load(Acquire) == DONE
    }

    /// It still waits for a connection.
    pub fn is_pending(&self) -> bool {
        self.stage.load(Acquire) == PENDING
    }

    /// What outlier detection makes of the end, for `Engine::eject`; None where it had ended before.
    pub fn end(&self, outcome: Outcome) -> Option<Hits> {
        let stage = self.stage.swap(DONE, AcqRel);
        if stage == DONE {
            return None;
        }
        let kind = match self.kind {
            LeaseKind::Request { retry, .. } => LeaseKind::Request { retry, pending: stage == PENDING },
            LeaseKind::Connection => LeaseKind::Connection,
        };
        release(self.live.counters(), &self.slot, kind, outcome);
        let connection = kind == LeaseKind::Connection;
        let end = End { outcome, connection, pending: stage == PENDING, told: stage == READY };
        Some(self.live.outliers.as_ref().map_or_else(Hits::default, |policy| policy.ended(&self.slot, end)))
    }

    /// The connection is there; at a limit the lease has ended.
    pub fn ready(&self, now: &dyn Fn() -> i64) -> Result<(), Overflow> {
        let (before, connection) = match self.kind {
            LeaseKind::Request { .. } => (PENDING, false),
            LeaseKind::Connection => (ACTIVE, true),
        };
        if self.stage.compare_exchange(before, READY, AcqRel, Acquire).is_err() {
            return Ok(());
        }
        if let LeaseKind::Request { retry, .. } = self.kind {
            bind(self.live.counters(), &self.slot, &self.live.limits, retry, now)
                .inspect_err(|_| self.stage.store(DONE, Release))?;
        }
        if let Some(policy) = &self.live.outliers {
            policy.connected(&self.slot, connection);
        }
        Ok(())
    }
}
