//! Leases: one try of a request, or one connection, that counts until it is finished.

use std::sync::Arc;

use roadstead_core::choose::Chosen;
use roadstead_core::lease::Lease;
use roadstead_core::outliers::http_status;
use roadstead_core::overlay::{LeaseKind, Outcome, Overflow};

use crate::decision::Place;
use crate::embed::{Embed, Shared};
use crate::endpoint::told_of;
use crate::failure::{Failure, call};
use crate::pick::Given;
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

pub struct Hold<A: Embed> {
    engine: Arc<Shared<A>>,
    endpoint: Chosen<A>,
    cluster: Arc<str>,
    held: Lease<A>,
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
    fn take(place: &mut Place<A>, given: Option<&Given<'_>>) -> Result<Self, Failure> {
        let connection = place.filled()?.core.is_connection();
        let flags = given.map_or(0, |given| given.flags);
        let retry = flags & ROADSTEAD_CHOICE_RETRY != 0;
        let pending = flags & ROADSTEAD_CHOICE_PENDING != 0;
        if connection && (retry || pending) {
            let message = "ROADSTEAD_CHOICE_RETRY and _PENDING are of requests: a connection has neither";
            return Err(Failure::new(roadstead_status::ROADSTEAD_RANGE, message));
        }
        let endpoint = place.choose(given)?.clone();
        let Some(cluster) = place.filled()?.core.cluster() else {
            return Err(Failure::new(roadstead_status::ROADSTEAD_NO_HEALTHY_ENDPOINT, "no cluster to lease from"));
        };
        let kind = if connection { LeaseKind::Connection } else { LeaseKind::Request { retry, pending } };
        let live = Arc::clone(cluster.live.wake());
        let held = Lease::take(live, endpoint.slot(), kind, &|| place.engine.core.now())
            .map_err(|limit| refused(&cluster.name, limit))?;
        Ok(Hold { engine: Arc::clone(&place.engine), endpoint, cluster: Arc::clone(&cluster.name), held })
    }

    fn end(&self, outcome: Outcome, now: i64) {
        if let Some(hits) = self.held.end(outcome).filter(|hits| hits.any()) {
            self.engine.core.eject(&self.cluster, self.held.slot(), hits, now, &mut || self.engine.draws.draw());
        }
    }

    /// The connection is there.
    fn ready(&self) -> Result<(), Failure> {
        self.held.ready(&|| self.engine.core.now()).map_err(|limit| refused(&self.cluster, limit))
    }
}

impl<A: Embed> Drop for Hold<A> {
    fn drop(&mut self) {
        // Detects nothing.
        self.held.end(Outcome::Dropped);
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
            let given = if choice.is_null() { None } else { Some(Given::of(choice)?) };
            let hold = Hold::take(raw::behind_mut::<Place<A>>(decision)?, given.as_ref())?;
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
    call(error, || unsafe { raw::write(out, told_of(&raw::behind::<Hold<A>>(lease)?.endpoint)) })
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
        hold.end(outcome, now);
        Ok(())
    })
}

pub unsafe extern "C" fn free<A: Embed>(lease: *mut roadstead_lease) -> roadstead_status {
    // SAFETY: the caller's: nobody uses the handle any more.
    call(std::ptr::null_mut(), || unsafe { raw::take_back::<Hold<A>>(lease) })
}
