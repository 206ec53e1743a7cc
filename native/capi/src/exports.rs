//! The symbols of the library: engines that are loaded from bytes.
#![allow(clippy::missing_safety_doc, reason = "the header says for all of them what a caller must keep")]

mod exchange;

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::api::roadstead_api;
use crate::engine::Held;
use crate::failure::call;
use crate::loaded::{self, Loaded, Options};
use crate::raw;
use crate::types::{
    ROADSTEAD_ABI_VERSION, ROADSTEAD_OPTIONS_SEED, roadstead_answer, roadstead_choice, roadstead_decision,
    roadstead_endpoint, roadstead_engine, roadstead_error, roadstead_header, roadstead_kind, roadstead_lease,
    roadstead_options, roadstead_request, roadstead_retry, roadstead_service, roadstead_snapshot, roadstead_stat,
    roadstead_status, roadstead_str, roadstead_tls,
};
use crate::{decision, engine, lease, pick, snapshot};

pub use exchange::*;

static API: roadstead_api = roadstead_api::of::<Loaded>();

/// The version of the library: it must be ROADSTEAD_ABI_VERSION of the header.
#[unsafe(no_mangle)]
pub extern "C" fn roadstead_abi_version() -> u32 {
    ROADSTEAD_ABI_VERSION
}

/// The same functions as a table, for code that is written for either. Lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn roadstead_api_table() -> *const roadstead_api {
    &API
}

/// An engine from a serialised snapshot (`roadstead snapshot -f mesh/ -o mesh.snapshot`). options: NULL, or what is special.
/// The bytes may go when this returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_load(
    data: *const u8,
    len: usize,
    options: *const roadstead_options,
    out: *mut *mut roadstead_engine,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::set(out, "out", std::ptr::null_mut())?;
            let bytes = raw::slice(data, len, "data")?;
            let mut room = MaybeUninit::uninit();
            let options =
                if options.is_null() { Options::default() } else { options_of(raw::read(options, &mut room)?) };
            let shared = loaded::load(bytes, options)?;
            raw::set(out, "out", raw::hand_out(Held(Arc::new(shared))))
        }
    })
}

/// The caller's clock.
struct Clock {
    read: unsafe extern "C" fn(context: *mut c_void) -> i64,
    context: *mut c_void,
}

// SAFETY: the header demands a clock that is called from any thread.
unsafe impl Send for Clock {}
// SAFETY: the same.
unsafe impl Sync for Clock {}

impl Clock {
    fn now(&self) -> i64 {
        // SAFETY: the header demands a function that does not unwind, and a context that lives as long as the engine.
        unsafe { (self.read)(self.context) }
    }
}

fn options_of(given: &roadstead_options) -> Options {
    let clock = given.clock.map(|read| Clock { read, context: given.context });
    Options {
        seed: (given.flags & ROADSTEAD_OPTIONS_SEED != 0).then_some(given.seed),
        clock: clock.map(|clock| Arc::new(move || clock.now()) as roadstead_core::engine::Source<i64>),
    }
}

/// Replaces all that is published by a serialised snapshot, in one step: readers go on with what they hold. Bad bytes
/// change nothing. Counters, health and cursors of what stays survive. Not for engines of Python.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_reload(
    engine: *mut roadstead_engine,
    data: *const u8,
    len: usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { engine::reload::<Loaded>(engine, data, len, error) }
}

/// Replaces a cluster's endpoints (what DNS or discovery reports): a JSON array of groups as in a snapshot. Seen when this
/// returns, until the next reload. Not for engines of Python.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_set_endpoints(
    engine: *mut roadstead_engine,
    cluster: roadstead_str,
    data: *const u8,
    len: usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { engine::set_endpoints::<Loaded>(engine, cluster, data, len, error) }
}

/// Active health of a cluster's endpoint (a roadstead_health; ROADSTEAD_UNKNOWN takes the mark away); takes effect at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_set_health(
    engine: *mut roadstead_engine,
    cluster: roadstead_str,
    address: roadstead_str,
    port: u16,
    health: i32,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { engine::set_health::<Loaded>(engine, cluster, address, port, health, error) }
}

/// Counts published changes; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_version(engine: *const roadstead_engine) -> u64 {
    // SAFETY: the caller's.
    unsafe { engine::version::<Loaded>(engine) }
}

/// The engine's time in nanoseconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_now(engine: *const roadstead_engine) -> i64 {
    // SAFETY: the caller's.
    unsafe { engine::now::<Loaded>(engine) }
}

/// The next number of the calling thread's generator.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_draw(engine: *const roadstead_engine) -> u64 {
    // SAFETY: the caller's.
    unsafe { engine::draw::<Loaded>(engine) }
}

/// Does the ticks of outlier detection that are due: endpoints whose ejection is over come back. Call it now and then, or when
/// the nanoseconds are over that it returns: until the next tick with something to do; -1 while nothing is ejected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_sweep(engine: *const roadstead_engine, now: i64) -> i64 {
    // SAFETY: the caller's.
    unsafe { engine::sweep::<Loaded>(engine, now) }
}

/// Lets an engine go. Decisions, snapshots and leases made from it stay good. NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_engine_release(engine: *mut roadstead_engine) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { engine::release::<Loaded>(engine) }
}

/// What is published now, until it is released. Later changes are not seen through it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_snapshot_acquire(
    engine: *const roadstead_engine,
    out: *mut *mut roadstead_snapshot,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { snapshot::acquire::<Loaded>(engine, out, error) }
}

/// Lets a snapshot go, and all strings that came from it. NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_snapshot_release(snapshot: *mut roadstead_snapshot) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { snapshot::release::<Loaded>(snapshot) }
}

/// Who owns a host (a name or an IP) and port. ROADSTEAD_NOT_FOUND, without a message, where nobody does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_find(
    snapshot: *const roadstead_snapshot,
    host: roadstead_str,
    port: u16,
    service: *mut roadstead_service,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { snapshot::find::<Loaded>(snapshot, host, port, service, error) }
}

/// Names of all clusters: as many as there is room for; `count` is how many there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_snapshot_clusters(
    snapshot: *const roadstead_snapshot,
    out: *mut roadstead_str,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { snapshot::clusters::<Loaded>(snapshot, out, room, count, error) }
}

/// A cluster's endpoints as they are now (for health checks), as many as there is room for, each with its struct_size set;
/// `count` is how many there are. The strings live as long as the snapshot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_snapshot_endpoints(
    snapshot: *const roadstead_snapshot,
    cluster: roadstead_str,
    out: *mut roadstead_endpoint,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { snapshot::endpoints::<Loaded>(snapshot, cluster, out, room, count, error) }
}

/// Counters and gauges of a cluster as they are now, in Envoy's words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_snapshot_stats(
    snapshot: *const roadstead_snapshot,
    cluster: roadstead_str,
    out: *mut roadstead_stat,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { snapshot::stats::<Loaded>(snapshot, cluster, out, room, count, error) }
}

/// The same of one endpoint, by its position in `roadstead_snapshot_endpoints`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_snapshot_endpoint_stats(
    snapshot: *const roadstead_snapshot,
    cluster: roadstead_str,
    index: usize,
    out: *mut roadstead_stat,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { snapshot::endpoint_stats::<Loaded>(snapshot, cluster, index, out, room, count, error) }
}

/// A place for decisions of an engine. Filling it again and again costs no allocation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_new(
    engine: *const roadstead_engine,
    out: *mut *mut roadstead_decision,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::new::<Loaded>(engine, out, error) }
}

/// Frees a place and all strings that came from it. NULL is none. Leases stay good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_free(decision: *mut roadstead_decision) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::free::<Loaded>(decision) }
}

/// Where an HTTP request goes. 404, 502 and 503 are decisions too (`roadstead_kind`), not failures. Where the call fails the
/// decision stays what it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_route(
    decision: *mut roadstead_decision,
    request: *const roadstead_request,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::route::<Loaded>(decision, request, error) }
}

/// Where a connection goes: TCP, or TLS by server name. Read are host (a name selects its service, an IP the listener), port,
/// sni, source_ip, draw and now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_connect(
    decision: *mut roadstead_decision,
    request: *const roadstead_request,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::connect::<Loaded>(decision, request, error) }
}

/// What became of the request; ROADSTEAD_NOTHING before the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_kind(decision: *const roadstead_decision) -> roadstead_kind {
    // SAFETY: the caller's.
    unsafe { decision::kind::<Loaded>(decision) }
}

/// The cluster's name, as in roadstead_answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_cluster(decision: *const roadstead_decision) -> roadstead_str {
    // SAFETY: the caller's.
    unsafe { decision::cluster::<Loaded>(decision) }
}

/// All that a decision says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_answer(
    decision: *mut roadstead_decision,
    out: *mut roadstead_answer,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::answer::<Loaded>(decision, out, error) }
}

/// The rule's retry policy; ROADSTEAD_NOT_FOUND where it has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_retry(
    decision: *mut roadstead_decision,
    out: *mut roadstead_retry,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::retry::<Loaded>(decision, out, error) }
}

/// TLS to originate; ROADSTEAD_NOT_FOUND where the mesh originates none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_tls(
    decision: *mut roadstead_decision,
    out: *mut roadstead_tls,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::tls::<Loaded>(decision, out, error) }
}

/// Seconds that connecting to an endpoint may take; below 0: not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_connect_timeout(decision: *mut roadstead_decision) -> f64 {
    // SAFETY: the caller's.
    unsafe { decision::connect_timeout::<Loaded>(decision) }
}

/// Steps that led to the decision, machine readable ("host:exact", "route:0" …).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_reasons(
    decision: *mut roadstead_decision,
    out: *mut roadstead_str,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::reasons::<Loaded>(decision, out, room, count, error) }
}

/// Header lines after the rule's operations, on the request or on the response. The strings are those given and the
/// decision's. `count` is how many lines there are; no more than `header_count` and the number of operations together.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_decision_apply(
    decision: *const roadstead_decision,
    response: bool,
    headers: *const roadstead_header,
    header_count: usize,
    out: *mut roadstead_header,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { decision::apply::<Loaded>(decision, response, headers, header_count, out, room, count, error) }
}

/// Chooses an endpoint; each call is a new pick. choice: NULL, or what is special.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_pick(
    decision: *mut roadstead_decision,
    choice: *const roadstead_choice,
    out: *mut roadstead_endpoint,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { pick::pick_endpoint::<Loaded>(decision, choice, out, error) }
}

/// Picks and counts: a request of `roadstead_route`, a connection of `roadstead_connect`. One for each try.
/// ROADSTEAD_OVERFLOW at a limit of the cluster.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_lease_take(
    decision: *mut roadstead_decision,
    choice: *const roadstead_choice,
    out: *mut *mut roadstead_lease,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { lease::take::<Loaded>(decision, choice, out, error) }
}

/// Where to connect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_lease_endpoint(
    lease: *const roadstead_lease,
    out: *mut roadstead_endpoint,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { lease::endpoint::<Loaded>(lease, out, error) }
}

/// The connection is there. A pending request counts against max_requests from now on: ROADSTEAD_OVERFLOW at that limit, which
/// ends the lease. Of a connection it is a success for outlier detection, now and not only when it ends. Later calls do nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_lease_ready(
    lease: *const roadstead_lease,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { lease::ready::<Loaded>(lease, error) }
}

/// Ends a lease; the first call counts, and feeds outlier detection. end: a roadstead_end; status: the HTTP status with
/// ROADSTEAD_END_OK, 0 for none; now: nanoseconds of the engine's clock (`roadstead_engine_now`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_lease_finish(
    lease: *const roadstead_lease,
    end: i32,
    status: u16,
    now: i64,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { lease::finish::<Loaded>(lease, end, status, now, error) }
}

/// Frees a lease; one that was not finished gives back what it holds and tells nothing of its endpoint. NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn roadstead_lease_free(lease: *mut roadstead_lease) -> roadstead_status {
    // SAFETY: the caller's.
    unsafe { lease::free::<Loaded>(lease) }
}
