//! Leases: one try of a request, or one connection, that counts until it is finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

use roadstead_core::balance::ClusterLive;
use roadstead_core::outliers::{End, http_status};
use roadstead_core::overlay::{LeaseKind, Outcome, Overflow, Slot, acquire, bind, release};

use crate::decision::Place;
use crate::embed::{Embed, Shared};
use crate::endpoint::Chosen;
use crate::failure::{Failure, call};
use crate::pick::Wish;
use crate::raw::{self, Opaque};
use crate::types::{
    ROADSTEAD_CHOICE_PENDING, ROADSTEAD_CHOICE_RETRY, roadstead_choice, roadstead_decision, roadstead_end,
    roadstead_endpoint, roadstead_error, roadstead_lease, roadstead_status,
};

/// By their numbers.
const ENDS: [roadstead_end; 6] = [
    roadstead_end::ROADSTEAD_END_OK,
    roadstead_end::ROADSTEAD_END_CONNECT_FAILURE,
    roadstead_end::ROADSTEAD_END_RESET,
    roadstead_end::ROADSTEAD_END_TIMEOUT,
    roadstead_end::ROADSTEAD_END_FAILURE,
    roadstead_end::ROADSTEAD_END_GRPC,
];

/// Where a lease stands. It only ever moves on, so that whoever moves it counts, whatever the thread.
const PENDING: u8 = 0;
const ACTIVE: u8 = 1;
/// `ready` told that the connection is there.
const READY: u8 = 2;
const DONE: u8 = 3;

pub struct Hold<A: Embed> {
    engine: Arc<Shared<A>>,
    endpoint: Chosen<A>,
    cluster: Arc<str>,
    live: Arc<ClusterLive<A>>,
    slot: Arc<Slot>,
    /// As it was acquired.
    kind: LeaseKind,
    stage: AtomicU8,
}

impl<A: Embed> Opaque for Hold<A> {
    type Face = roadstead_lease;
    const MARK: u64 = A::MARK ^ 4;
    const NAME: &'static str = "lease";
}

#[cold]
fn refused(cluster: &str, limit: Overflow) -> Failure {
    let message = format!("{cluster}: the limit {} is reached", limit.limit());
    Failure::new(roadstead_status::ROADSTEAD_OVERFLOW, message)
}

impl<A: Embed> Hold<A> {
    fn take(place: &mut Place<A>, wish: &Wish<'_>) -> Result<Self, Failure> {
        let connection = place.filled()?.core.is_connection();
        let retry = wish.flags & ROADSTEAD_CHOICE_RETRY != 0;
        let pending = wish.flags & ROADSTEAD_CHOICE_PENDING != 0;
        if connection && (retry || pending) {
            let message = "ROADSTEAD_CHOICE_RETRY and _PENDING are of requests: a connection has neither";
            return Err(Failure::new(roadstead_status::ROADSTEAD_RANGE, message));
        }
        let endpoint = place.choose(wish)?.clone();
        let slot = match &endpoint {
            Chosen::Of(state, index) => Arc::clone(&state.slots()[*index as usize]),
            Chosen::Dialled(_) => Arc::default(),
        };
        let Some(cluster) = place.filled()?.core.cluster() else {
            return Err(Failure::new(roadstead_status::ROADSTEAD_NO_HEALTHY_ENDPOINT, "no cluster to lease from"));
        };
        let kind = if connection { LeaseKind::Connection } else { LeaseKind::Request { retry, pending } };
        let live = Arc::clone(cluster.live.wake());
        acquire(live.counters(), &slot, &live.limits, kind, &|| place.engine.core.now())
            .map_err(|limit| refused(&cluster.name, limit))?;
        let stage = AtomicU8::new(if pending { PENDING } else { ACTIVE });
        Ok(Hold {
            engine: Arc::clone(&place.engine),
            endpoint,
            cluster: Arc::clone(&cluster.name),
            live,
            slot,
            kind,
            stage,
        })
    }

    /// now: of the outcome, for outlier detection; None: the engine's time.
    fn end(&self, outcome: Outcome, now: Option<i64>) {
        let stage = self.stage.swap(DONE, AcqRel);
        if stage == DONE {
            return;
        }
        let kind = match self.kind {
            LeaseKind::Request { retry, .. } => LeaseKind::Request { retry, pending: stage == PENDING },
            LeaseKind::Connection => LeaseKind::Connection,
        };
        release(self.live.counters(), &self.slot, kind, outcome);
        if let Some(policy) = &self.live.outliers {
            let connection = kind == LeaseKind::Connection;
            let end = End { outcome, connection, pending: stage == PENDING, told: stage == READY };
            let hits = policy.ended(&self.slot, end);
            if hits.any() {
                let now = now.unwrap_or_else(|| self.engine.core.now());
                self.engine.core.eject(&self.cluster, &self.slot, hits, now, &mut || self.engine.draws.draw());
            }
        }
    }

    /// The connection is there.
    fn ready(&self) -> Result<(), Failure> {
        let (before, connection) = match self.kind {
            LeaseKind::Request { .. } => (PENDING, false),
            LeaseKind::Connection => (ACTIVE, true),
        };
        if self.stage.compare_exchange(before, READY, AcqRel, Acquire).is_err() {
            return Ok(());
        }
        if let LeaseKind::Request { retry, .. } = self.kind {
            bind(self.live.counters(), &self.slot, &self.live.limits, retry, &|| self.engine.core.now()).map_err(
                |limit| {
                    // Nothing is held any more.
                    self.stage.store(DONE, Release);
                    refused(&self.cluster, limit)
                },
            )?;
        }
        if let Some(policy) = &self.live.outliers {
            policy.connected(&self.slot, connection);
        }
        Ok(())
    }
}

impl<A: Embed> Drop for Hold<A> {
    fn drop(&mut self) {
        self.end(Outcome::Dropped, None);
    }
}

pub unsafe extern "C" fn take<A: Embed>(
    decision: *mut roadstead_decision,
    choice: *const roadstead_choice,
    out: *mut *mut roadstead_lease,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::set(out, "out", std::ptr::null_mut())?;
            let wish = Wish::of(choice)?;
            let hold = Hold::take(raw::behind_mut::<Place<A>>(decision)?, &wish)?;
            raw::set(out, "out", raw::hand_out(hold))
        }
    })
}

pub unsafe extern "C" fn endpoint<A: Embed>(
    lease: *const roadstead_lease,
    out: *mut roadstead_endpoint,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    call(error, || unsafe { raw::write(out, raw::behind::<Hold<A>>(lease)?.endpoint.told()) })
}

pub unsafe extern "C" fn ready<A: Embed>(
    lease: *const roadstead_lease,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    call(error, || unsafe { raw::behind::<Hold<A>>(lease)?.ready() })
}

pub unsafe extern "C" fn finish<A: Embed>(
    lease: *const roadstead_lease,
    end: i32,
    status: u16,
    now: i64,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        let hold = unsafe { raw::behind::<Hold<A>>(lease)? };
        let outcome = match ENDS.get(usize::try_from(end).unwrap_or(usize::MAX)) {
            Some(roadstead_end::ROADSTEAD_END_OK) if status == 0 => Outcome::Success,
            Some(roadstead_end::ROADSTEAD_END_OK) => Outcome::Status(status),
            Some(roadstead_end::ROADSTEAD_END_CONNECT_FAILURE) => Outcome::ConnectFailure,
            Some(roadstead_end::ROADSTEAD_END_RESET) => Outcome::Reset,
            Some(roadstead_end::ROADSTEAD_END_TIMEOUT) => Outcome::Timeout,
            Some(roadstead_end::ROADSTEAD_END_FAILURE) => Outcome::Failure,
            Some(roadstead_end::ROADSTEAD_END_GRPC) => Outcome::Grpc(http_status(i64::from(status))),
            None => {
                let message = format!("end is {end}, expected 0 to {}", ENDS.len() - 1);
                return Err(Failure::new(roadstead_status::ROADSTEAD_RANGE, message));
            }
        };
        hold.end(outcome, Some(now));
        Ok(())
    })
}

pub unsafe extern "C" fn free<A: Embed>(lease: *mut roadstead_lease) -> roadstead_status {
    // SAFETY: the caller's: nobody uses the handle any more.
    call(std::ptr::null_mut(), || unsafe { raw::take_back::<Hold<A>>(lease) })
}
