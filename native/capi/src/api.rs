//! The table of functions: the whole interface behind one pointer, for who does not link.
#![allow(non_camel_case_types, reason = "names of the C header")]

use std::ffi::c_void;

use crate::embed::Embed;
use crate::types::{
    ROADSTEAD_ABI_VERSION, roadstead_answer, roadstead_choice, roadstead_decision, roadstead_endpoint,
    roadstead_engine, roadstead_error, roadstead_exchange, roadstead_header, roadstead_kind, roadstead_lease,
    roadstead_request, roadstead_retry, roadstead_service, roadstead_snapshot, roadstead_stat, roadstead_status,
    roadstead_step, roadstead_str, roadstead_terms, roadstead_tls,
};
use crate::{decision, engine, exchange, lease, pick, snapshot};

/// The functions of this interface for one kind of engine. Each is the function `roadstead_…` of its name; handles made
/// through one table are given to that table only. Later versions append.
#[repr(C)]
pub struct roadstead_api {
    /// ROADSTEAD_ABI_VERSION of who made the table: it must be that of the header.
    pub abi_version: u32,
    /// Bytes of the table; what lies beyond is not there.
    pub struct_size: usize,
    /// The engine of an object: of a `roadstead._core.Engine`, a Registry or a View in Python, with the GIL held. To be
    /// released, from any thread. Afterwards no call needs the GIL; `roadstead_decision_retry`, `_tls` and `_connect_timeout`
    /// take it for a moment where it is not held.
    pub acquire: unsafe extern "C" fn(
        object: *mut c_void,
        out: *mut *mut roadstead_engine,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub engine_reload: unsafe extern "C" fn(
        engine: *mut roadstead_engine,
        data: *const u8,
        len: usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub engine_set_endpoints: unsafe extern "C" fn(
        engine: *mut roadstead_engine,
        cluster: roadstead_str,
        data: *const u8,
        len: usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub engine_set_health: unsafe extern "C" fn(
        engine: *mut roadstead_engine,
        cluster: roadstead_str,
        address: roadstead_str,
        port: u16,
        health: i32,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub engine_version: unsafe extern "C" fn(engine: *const roadstead_engine) -> u64,
    pub engine_now: unsafe extern "C" fn(engine: *const roadstead_engine) -> i64,
    pub engine_draw: unsafe extern "C" fn(engine: *const roadstead_engine) -> u64,
    pub engine_sweep: unsafe extern "C" fn(engine: *const roadstead_engine, now: i64) -> i64,
    pub engine_release: unsafe extern "C" fn(engine: *mut roadstead_engine) -> roadstead_status,
    pub snapshot_acquire: unsafe extern "C" fn(
        engine: *const roadstead_engine,
        out: *mut *mut roadstead_snapshot,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub snapshot_release: unsafe extern "C" fn(snapshot: *mut roadstead_snapshot) -> roadstead_status,
    pub find: unsafe extern "C" fn(
        snapshot: *const roadstead_snapshot,
        host: roadstead_str,
        port: u16,
        service: *mut roadstead_service,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub snapshot_clusters: unsafe extern "C" fn(
        snapshot: *const roadstead_snapshot,
        out: *mut roadstead_str,
        room: usize,
        count: *mut usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub snapshot_endpoints: unsafe extern "C" fn(
        snapshot: *const roadstead_snapshot,
        cluster: roadstead_str,
        out: *mut roadstead_endpoint,
        room: usize,
        count: *mut usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub snapshot_stats: unsafe extern "C" fn(
        snapshot: *const roadstead_snapshot,
        cluster: roadstead_str,
        out: *mut roadstead_stat,
        room: usize,
        count: *mut usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub snapshot_endpoint_stats: unsafe extern "C" fn(
        snapshot: *const roadstead_snapshot,
        cluster: roadstead_str,
        index: usize,
        out: *mut roadstead_stat,
        room: usize,
        count: *mut usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub decision_new: unsafe extern "C" fn(
        engine: *const roadstead_engine,
        out: *mut *mut roadstead_decision,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub decision_free: unsafe extern "C" fn(decision: *mut roadstead_decision) -> roadstead_status,
    pub route: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        request: *const roadstead_request,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub connect: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        request: *const roadstead_request,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub decision_kind: unsafe extern "C" fn(decision: *const roadstead_decision) -> roadstead_kind,
    pub decision_cluster: unsafe extern "C" fn(decision: *const roadstead_decision) -> roadstead_str,
    pub decision_answer: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        out: *mut roadstead_answer,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub decision_retry: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        out: *mut roadstead_retry,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub decision_tls: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        out: *mut roadstead_tls,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub decision_connect_timeout: unsafe extern "C" fn(decision: *mut roadstead_decision) -> f64,
    pub decision_reasons: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        out: *mut roadstead_str,
        room: usize,
        count: *mut usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub decision_apply: unsafe extern "C" fn(
        decision: *const roadstead_decision,
        response: bool,
        headers: *const roadstead_header,
        header_count: usize,
        out: *mut roadstead_header,
        room: usize,
        count: *mut usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub pick: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        choice: *const roadstead_choice,
        out: *mut roadstead_endpoint,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub lease_take: unsafe extern "C" fn(
        decision: *mut roadstead_decision,
        choice: *const roadstead_choice,
        out: *mut *mut roadstead_lease,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub lease_endpoint: unsafe extern "C" fn(
        lease: *const roadstead_lease,
        out: *mut roadstead_endpoint,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub lease_ready:
        unsafe extern "C" fn(lease: *const roadstead_lease, error: *mut roadstead_error) -> roadstead_status,
    pub lease_finish: unsafe extern "C" fn(
        lease: *const roadstead_lease,
        end: i32,
        status: u16,
        now: i64,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub lease_free: unsafe extern "C" fn(lease: *mut roadstead_lease) -> roadstead_status,
    pub exchange_begin: unsafe extern "C" fn(
        decision: *const roadstead_decision,
        terms: *const roadstead_terms,
        now: i64,
        out: *mut *mut roadstead_exchange,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_mirror: unsafe extern "C" fn(
        exchange: *const roadstead_exchange,
        cluster: roadstead_str,
        now: i64,
        out: *mut *mut roadstead_exchange,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_step: unsafe extern "C" fn(
        exchange: *const roadstead_exchange,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_decision: unsafe extern "C" fn(exchange: *const roadstead_exchange) -> *mut roadstead_decision,
    pub exchange_endpoint: unsafe extern "C" fn(
        exchange: *const roadstead_exchange,
        out: *mut roadstead_endpoint,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_apply: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        headers: *const roadstead_header,
        header_count: usize,
        out: *mut roadstead_header,
        room: usize,
        count: *mut usize,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_received: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        now: i64,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_ready: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        now: i64,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_response: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        status: u16,
        headers: *const roadstead_header,
        header_count: usize,
        end_stream: bool,
        now: i64,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_ended: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        now: i64,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_reset: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        reason: i32,
        sent: bool,
        now: i64,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_expired: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        now: i64,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_cancel: unsafe extern "C" fn(
        exchange: *mut roadstead_exchange,
        now: i64,
        out: *mut roadstead_step,
        error: *mut roadstead_error,
    ) -> roadstead_status,
    pub exchange_once:
        unsafe extern "C" fn(exchange: *mut roadstead_exchange, error: *mut roadstead_error) -> roadstead_status,
    pub exchange_free: unsafe extern "C" fn(exchange: *mut roadstead_exchange) -> roadstead_status,
}

impl roadstead_api {
    /// The table of one kind of engine.
    pub const fn of<A: Embed>() -> Self {
        roadstead_api {
            abi_version: ROADSTEAD_ABI_VERSION,
            struct_size: size_of::<roadstead_api>(),
            acquire: engine::acquire::<A>,
            engine_reload: engine::reload::<A>,
            engine_set_endpoints: engine::set_endpoints::<A>,
            engine_set_health: engine::set_health::<A>,
            engine_version: engine::version::<A>,
            engine_now: engine::now::<A>,
            engine_draw: engine::draw::<A>,
            engine_sweep: engine::sweep::<A>,
            engine_release: engine::release::<A>,
            snapshot_acquire: snapshot::acquire::<A>,
            snapshot_release: snapshot::release::<A>,
            find: snapshot::find::<A>,
            snapshot_clusters: snapshot::clusters::<A>,
            snapshot_endpoints: snapshot::endpoints::<A>,
            snapshot_stats: snapshot::stats::<A>,
            snapshot_endpoint_stats: snapshot::endpoint_stats::<A>,
            decision_new: decision::new::<A>,
            decision_free: decision::free::<A>,
            route: decision::route::<A>,
            connect: decision::connect::<A>,
            decision_kind: decision::kind::<A>,
            decision_cluster: decision::cluster::<A>,
            decision_answer: decision::answer::<A>,
            decision_retry: decision::retry::<A>,
            decision_tls: decision::tls::<A>,
            decision_connect_timeout: decision::connect_timeout::<A>,
            decision_reasons: decision::reasons::<A>,
            decision_apply: decision::apply::<A>,
            pick: pick::pick_endpoint::<A>,
            lease_take: lease::take::<A>,
            lease_endpoint: lease::endpoint::<A>,
            lease_ready: lease::ready::<A>,
            lease_finish: lease::finish::<A>,
            lease_free: lease::free::<A>,
            exchange_begin: exchange::begin::<A>,
            exchange_mirror: exchange::mirror::<A>,
            exchange_step: exchange::step::<A>,
            exchange_decision: exchange::decision::<A>,
            exchange_endpoint: exchange::endpoint::<A>,
            exchange_apply: exchange::apply::<A>,
            exchange_received: exchange::received::<A>,
            exchange_ready: exchange::ready::<A>,
            exchange_response: exchange::response::<A>,
            exchange_ended: exchange::ended::<A>,
            exchange_reset: exchange::reset::<A>,
            exchange_expired: exchange::expired::<A>,
            exchange_cancel: exchange::cancel::<A>,
            exchange_once: exchange::once::<A>,
            exchange_free: exchange::free::<A>,
        }
    }
}
