//! The symbols of exchanges.
#![allow(clippy::missing_safety_doc, reason = "the header says for all of them what a caller must keep")]

use crate::exchange;
use crate::loaded::Loaded;
use crate::types::{
    roadstead_decision, roadstead_endpoint, roadstead_error, roadstead_exchange, roadstead_header, roadstead_status,
    roadstead_step, roadstead_str, roadstead_terms,
};

/// Begins the exchange of a request that was routed: the step it begins with is read by `roadstead_exchange_step`. terms: NULL, or
/// what is special; now: nanoseconds of the engine's clock, as in every report. The decision may be used again at once; what its
/// request points to must stay as it is until the exchange is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_begin(
    decision: *const roadstead_decision,
    terms: *const roadstead_terms,
    now: i64,
    out: *mut *mut roadstead_exchange,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::begin::<Loaded>(decision, terms, now, out, error) }
}

/// The copy for one of the mirrors of a step: an exchange of its own without fault and retries, with the request's time limit,
/// authority and path. Its outcome is nobody's business. ROADSTEAD_NOT_FOUND for a cluster that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_mirror(
    exchange: *const roadstead_exchange,
    cluster: roadstead_str,
    now: i64,
    out: *mut *mut roadstead_exchange,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::mirror::<Loaded>(exchange, cluster, now, out, error) }
}

/// What is to be done now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_step(
    exchange: *const roadstead_exchange,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::step::<Loaded>(exchange, out, error) }
}

/// Whose request it is: a decision to be read (and picked from) for as long as the exchange is there. It is not filled or freed by
/// the caller, which is refused (ROADSTEAD_HANDLE). NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_decision(exchange: *const roadstead_exchange) -> *mut roadstead_decision {
    // SAFETY: the caller's.
    unsafe { exchange::decision::<Loaded>(exchange) }
}

/// Where the try that is under way goes. ROADSTEAD_NO_ENDPOINT without one. The strings live until the exchange is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_endpoint(
    exchange: *const roadstead_exchange,
    out: *mut roadstead_endpoint,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::endpoint::<Loaded>(exchange, out, error) }
}

/// Header lines of this try: as `roadstead_decision_apply` makes them, without those that steer Envoy (x-envoy-retry-on …), with the
/// step's own. Strings that are not given live until the next report or call of this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_apply(
    exchange: *mut roadstead_exchange,
    headers: *const roadstead_header,
    header_count: usize,
    out: *mut roadstead_header,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::apply::<Loaded>(exchange, headers, header_count, out, room, count, error) }
}

/// The whole request is here: its time limits count from now. With ROADSTEAD_TERMS_STREAMED. `out` of this and of the reports that
/// follow: the step that comes of it, or NULL. Reports about an exchange that is over change nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_received(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::received::<Loaded>(exchange, now, out, error) }
}

/// The try has its connection: its own time limit counts from now, and a pending one counts against max_requests (503 UO at that
/// limit).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_ready(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::ready::<Loaded>(exchange, now, out, error) }
}

/// Response headers are here. end_stream: nothing comes after them, or it is all here. 1xx (but 101) is passed on, so that nothing
/// is tried again. Of the headers grpc-status, x-envoy-ratelimited and those that the retry policy names are read.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "as many things are told of a response")]
pub unsafe extern "C" fn roadstead_exchange_response(
    exchange: *mut roadstead_exchange,
    status: u16,
    headers: *const roadstead_header,
    header_count: usize,
    end_stream: bool,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::response::<Loaded>(exchange, status, headers, header_count, end_stream, now, out, error) }
}

/// The response that is passed on came to its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_ended(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::ended::<Loaded>(exchange, now, out, error) }
}

/// The try broke. reason: a roadstead_reset; sent: something of the request was written (never of a failed connection).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_reset(
    exchange: *mut roadstead_exchange,
    reason: i32,
    sent: bool,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::reset::<Loaded>(exchange, reason, sent, now, out, error) }
}

/// Time has passed; the same step where nothing is due yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_expired(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::expired::<Loaded>(exchange, now, out, error) }
}

/// The client went away, or lost interest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_cancel(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::cancel::<Loaded>(exchange, now, out, error) }
}

/// The request cannot be sent again from now on (its body is too large to keep): nothing more is tried again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_once(
    exchange: *mut roadstead_exchange,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::once::<Loaded>(exchange, error) }
}

/// Frees an exchange and all strings that came from it; one that is not over gives back what it holds. NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_exchange_free(exchange: *mut roadstead_exchange) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { exchange::free::<Loaded>(exchange) }
}
