//! Exchanges of whatever was decided, under reports in any order: what is told can be read, what is held is given back.

use std::ptr::null_mut;

use roadstead::exports::*;
use roadstead::types::*;
use roadstead_core::rng::SplitMix64;

use crate::abi::{is_ok, lent, text_of_str, well, zeroed};
use crate::mutate::below;

const GAUGES: [&str; 4] =
    ["upstream_rq_active", "upstream_rq_pending_active", "upstream_rq_retry_active", "upstream_cx_active"];

/// Carries the decision's request on at random, its mirrors too.
pub unsafe fn carried(
    random: &mut SplitMix64,
    engine: *mut roadstead_engine,
    decision: *mut roadstead_decision,
    headers: &[roadstead_header],
) {
    let mut terms: roadstead_terms = zeroed();
    (terms.struct_size, terms.flags) = (size_of::<roadstead_terms>(), below(random, 64) as u32);
    (terms.hash, terms.hash_key) = (random.next_u64(), lent(b"key"));
    let mut now = (random.next_u64() >> below(random, 64)) as i64;
    let mut exchange = null_mut();
    // SAFETY: pointers are good for the calls; what the request points to outlives the exchange.
    unsafe {
        let cluster = text_of_str(roadstead_decision_cluster(decision)).into_bytes();
        if !well!(roadstead_exchange_begin(decision, &terms, now, &mut exchange)) {
            assert!(exchange.is_null());
            return;
        }
        for _ in 0..below(random, 12) {
            now = now.saturating_add((random.next_u64() >> (20 + below(random, 44))) as i64);
            report(random, exchange, headers, now);
            let step = read(exchange);
            for at in 0..step.mirror_count.min(2) {
                let mut copy = null_mut();
                if well!(roadstead_exchange_mirror(exchange, *step.mirrors.add(at), now, &mut copy)) {
                    report(random, copy, headers, now);
                    read(copy);
                    roadstead_exchange_free(copy);
                }
            }
            applied(exchange, headers);
        }
        let own = roadstead_exchange_decision(exchange);
        let mut answer: roadstead_answer = zeroed();
        answer.struct_size = size_of::<roadstead_answer>();
        assert!(well!(roadstead_decision_answer(own, &mut answer)));
        text_of_str(answer.path);
        assert_eq!(roadstead_decision_free(own), roadstead_status::ROADSTEAD_HANDLE);
        assert!(is_ok(roadstead_exchange_free(exchange)));
        idle(engine, &cluster);
    }
}

/// Any report.
unsafe fn report(random: &mut SplitMix64, exchange: *mut roadstead_exchange, headers: &[roadstead_header], now: i64) {
    let mut step: roadstead_step = zeroed();
    step.struct_size = size_of::<roadstead_step>();
    let out = if below(random, 4) == 0 { null_mut() } else { &raw mut step };
    let end = below(random, 2) == 0;
    // SAFETY: as in `carried`.
    unsafe {
        match below(random, 12) {
            0 => well!(roadstead_exchange_received(exchange, now, out)),
            1 | 2 => well!(roadstead_exchange_ready(exchange, now, out)),
            3..=5 => {
                let status = [100, 101, 200, 404, 429, 503, 504][below(random, 7)];
                let (lines, count) = (headers.as_ptr(), headers.len());
                well!(roadstead_exchange_response(exchange, status, lines, count, end, now, out))
            }
            6 => well!(roadstead_exchange_ended(exchange, now, out)),
            7 | 8 => {
                let reason = below(random, 10) as i32;
                well!(roadstead_exchange_reset(exchange, reason, end, now, out))
            }
            9 => well!(roadstead_exchange_once(exchange)),
            10 if end => well!(roadstead_exchange_cancel(exchange, now, out)),
            _ => well!(roadstead_exchange_expired(exchange, now, out)),
        };
    }
}

/// The step, all of whose strings can be read.
unsafe fn read(exchange: *mut roadstead_exchange) -> roadstead_step {
    let mut step: roadstead_step = zeroed();
    step.struct_size = size_of::<roadstead_step>();
    let mut endpoint: roadstead_endpoint = zeroed();
    endpoint.struct_size = size_of::<roadstead_endpoint>();
    // SAFETY: as in `carried`.
    unsafe {
        assert!(well!(roadstead_exchange_step(exchange, &mut step)));
        assert!((0..=4).contains(&step.what));
        text_of_str(step.flags);
        text_of_str(step.details);
        for at in 0..step.header_count {
            let header = *step.headers.add(at);
            assert!(!text_of_str(header.name).is_empty());
            text_of_str(header.value);
        }
        let trying = step.what == roadstead_do::ROADSTEAD_DO_TRY as i32;
        let known = well!(roadstead_exchange_endpoint(exchange, &mut endpoint));
        assert!(known || !trying, "a try has an endpoint");
        if known {
            text_of_str(endpoint.address);
        }
    }
    step
}

unsafe fn applied(exchange: *mut roadstead_exchange, headers: &[roadstead_header]) {
    let mut lines = [roadstead_header { name: lent(b""), value: lent(b"") }; 16];
    let mut count = 0;
    // SAFETY: as in `carried`.
    unsafe {
        let (given, number) = (headers.as_ptr(), headers.len());
        assert!(well!(roadstead_exchange_apply(exchange, given, number, lines.as_mut_ptr(), 16, &mut count)));
    }
}

/// Nothing is held of the cluster any more.
unsafe fn idle(engine: *mut roadstead_engine, cluster: &[u8]) {
    let mut stats = [roadstead_stat { name: lent(b""), value: 0 }; 64];
    let (mut snapshot, mut count) = (null_mut(), 0);
    // SAFETY: as in `carried`.
    unsafe {
        assert!(well!(roadstead_snapshot_acquire(engine, &mut snapshot)));
        if is_ok(roadstead_snapshot_stats(snapshot, lent(cluster), stats.as_mut_ptr(), 64, &mut count, null_mut())) {
            for stat in &stats[..count.min(64)] {
                let name = text_of_str(stat.name);
                assert!(stat.value == 0 || !GAUGES.contains(&name.as_str()), "{name} is {}", stat.value);
            }
        }
        roadstead_snapshot_release(snapshot);
    }
}
