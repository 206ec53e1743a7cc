//! Damaged snapshots, odd requests, every call: nothing panics, and what is decided once is decided again.

use std::path::Path;
use std::ptr::{null, null_mut};

use roadstead::exports::*;
use roadstead::types::*;
use roadstead_core::rng::SplitMix64;
use serde_json::{Value, json};

use crate::exchanges::carried;
use crate::mutate::{below, bytes, one, tree};

/// The golden corpus: snapshots, and what is asked of them.
pub struct Seed {
    units: Value,
    asked: Vec<Value>,
}

pub fn seeds() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/core/golden");
    let files = std::fs::read_dir(folder).expect("the corpus is there").map(|file| file.expect("a file").path());
    let corpora = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut seeds: Vec<Seed> = corpora
        .map(|path| {
            let file: Value = serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
            let asked = file["cases"].as_array().expect("cases").iter().map(|case| case["asked"].clone());
            Seed { units: file["units"].clone(), asked: asked.collect() }
        })
        .collect();
    seeds.sort_by_key(|seed| seed.units.to_string().len());
    seeds
}

/// A few units of a seed, so that a round is short, changed here and there.
fn snapshot(random: &mut SplitMix64, seed: &Seed) -> Vec<u8> {
    let all = seed.units.as_array().expect("units");
    let first = below(random, all.len());
    let mut units = Value::Array(all.iter().skip(first).take(4).cloned().collect());
    for _ in 0..below(random, 4) {
        tree(random, &mut units);
    }
    let whole = json!({"format": 1, "outbound": below(random, 4), "paths": below(random, 4), "units": units});
    // Fields keep the order in which they must come.
    let text = whole.to_string();
    if below(random, 8) == 0 {
        bytes(random, text.as_bytes(), &[b"null", b"[", b"]", b"\"", b"1e9"])
    } else {
        text.into()
    }
}

pub fn lent(text: &[u8]) -> roadstead_str {
    roadstead_str { data: text.as_ptr().cast(), len: text.len() }
}

/// Calls a function with a place for its error at the end. Whether it went well; a panic is a finding.
macro_rules! well {
    ($function:ident($($argument:expr),* $(,)?)) => {{
        let mut error: roadstead_error = zeroed();
        error.struct_size = size_of::<roadstead_error>();
        let status = $function($($argument,)* &mut error);
        let message: Vec<u8> = error.message.iter().map(|one| *one as u8).take_while(|one| *one > 0).collect();
        assert_ne!(status, roadstead_status::ROADSTEAD_PANIC, "{}", String::from_utf8_lossy(&message));
        is_ok(status)
    }};
}

pub(crate) use well;

/// A string that was told; a panic where it is no text.
///
/// # Safety
/// It is still there.
pub unsafe fn text_of_str(told: roadstead_str) -> String {
    if told.len == 0 {
        return String::new();
    }
    // SAFETY: the caller's.
    let bytes = unsafe { std::slice::from_raw_parts(told.data.cast::<u8>(), told.len) };
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub fn is_ok(status: roadstead_status) -> bool {
    status == roadstead_status::ROADSTEAD_OK
}

/// Zeros are a value of each struct of the header.
pub fn zeroed<T>() -> T {
    // SAFETY: plain C structs.
    unsafe { std::mem::zeroed() }
}

pub fn round(random: &mut SplitMix64, seeds: &[Seed]) {
    let seed = one(random, seeds);
    let text = snapshot(random, seed);
    let mut options: roadstead_options = zeroed();
    (options.struct_size, options.flags) = (size_of::<roadstead_options>(), ROADSTEAD_OPTIONS_SEED);
    let (mut engine, mut decision) = (null_mut(), null_mut());
    // SAFETY: all pointers are good for the calls, handles are freed once at the end.
    unsafe {
        if !well!(roadstead_engine_load(text.as_ptr(), text.len(), &options, &mut engine)) {
            assert!(engine.is_null());
            return;
        }
        roadstead_decision_new(engine, &mut decision, null_mut());
        for _ in 0..12 {
            ask(random, seed, engine, decision);
        }
        let next = snapshot(random, seed);
        well!(roadstead_engine_reload(engine, next.as_ptr(), next.len()));
        ask(random, seed, engine, decision);
        roadstead_engine_release(engine);
        ask_again(decision);
        roadstead_decision_free(decision);
    }
}

/// Bytes of a question, often changed.
fn text_of(random: &mut SplitMix64, value: &Value, default: &str) -> Vec<u8> {
    let text = value.as_str().unwrap_or(default).as_bytes();
    let words: [&[u8]; 10] =
        [b"a.test", b"*", b"[", b"]", b":", b"%00", b"/../", b"\xff", "\u{130}".as_bytes(), b"999999999999"];
    if below(random, 3) == 0 { bytes(random, text, &words) } else { text.to_vec() }
}

unsafe fn ask(random: &mut SplitMix64, seed: &Seed, engine: *mut roadstead_engine, decision: *mut roadstead_decision) {
    let asked = one(random, &seed.asked);
    let (verb, given) = asked.as_object().and_then(|asked| asked.iter().next()).expect("one verb");
    let given = given.get("route").unwrap_or(given);
    let host = text_of(random, if verb == "find" { &given[0] } else { &given["host"] }, "");
    let texts = ["path", "method", "scheme", "source_ip", "sni"].map(|name| text_of(random, &given[name], ""));
    let pairs: Vec<(Value, Value)> = match &given["headers"] {
        Value::Array(lines) => lines.iter().map(|line| (line[0].clone(), line[1].clone())).collect(),
        Value::Object(lines) => lines.iter().map(|(name, value)| (json!(name), value.clone())).collect(),
        _ => Vec::new(),
    };
    let lines: Vec<(Vec<u8>, Vec<u8>)> =
        pairs.iter().map(|(name, value)| (text_of(random, name, "x"), text_of(random, value, "y"))).collect();
    let headers: Vec<_> =
        lines.iter().map(|(name, value)| roadstead_header { name: lent(name), value: lent(value) }).collect();
    let mut request: roadstead_request = zeroed();
    request.struct_size = size_of::<roadstead_request>();
    request.host = lent(&host);
    request.path = lent(&texts[0]);
    if below(random, 2) == 0 {
        (request.method, request.scheme, request.source_ip) = (lent(&texts[1]), lent(&texts[2]), lent(&texts[3]));
    }
    if below(random, 2) == 0 {
        request.sni = lent(&texts[4]);
    }
    if below(random, 8) == 0 {
        (request.original_host, request.original_port) = (lent(&texts[3]), random.next_u64() as u16);
    }
    (request.headers, request.header_count) = (headers.as_ptr(), headers.len());
    request.port = given["port"].as_u64().unwrap_or(80) as u16;
    (request.draw, request.flags) = (random.next_u64(), ROADSTEAD_REQUEST_DRAW);
    let connection = verb == "connect" || below(random, 5) == 0;
    let decide = if connection { roadstead_connect } else { roadstead_route };
    // SAFETY: as in `round`; what the request points to outlives its use.
    unsafe {
        if well!(decide(decision, &request)) {
            let first = told(decision);
            assert!(well!(decide(decision, &request)));
            assert_eq!(first, told(decision), "a decision is a function of request and draw");
            picks(random, engine, decision);
            carried(random, engine, decision, &headers);
        }
        let mut snapshot = null_mut();
        let mut service: roadstead_service = zeroed();
        service.struct_size = size_of::<roadstead_service>();
        assert!(well!(roadstead_snapshot_acquire(engine, &mut snapshot)));
        well!(roadstead_find(snapshot, lent(&host), request.port, &mut service));
        roadstead_snapshot_release(snapshot);
        // What was lent goes with this call: nothing of the decision is read after it but what it holds itself.
        let own = roadstead_request { host: lent(b"end.test"), path: lent(b"/"), header_count: 0, ..zeroed() };
        let own = roadstead_request { struct_size: size_of::<roadstead_request>(), ..own };
        roadstead_route(decision, &own, null_mut());
    }
}

unsafe fn ask_again(decision: *mut roadstead_decision) {
    // SAFETY: a decision outlives its engine's handle.
    unsafe { told(decision) };
}

/// Kind, cluster, path, authority and reasons.
unsafe fn told(decision: *mut roadstead_decision) -> (i32, Vec<String>) {
    let mut answer: roadstead_answer = zeroed();
    answer.struct_size = size_of::<roadstead_answer>();
    let mut reasons = [roadstead_str { data: null(), len: 0 }; 16];
    let mut count = 0;
    let mut lines = [roadstead_header { name: reasons[0], value: reasons[0] }; 8];
    // SAFETY: as in `round`.
    unsafe {
        assert!(well!(roadstead_decision_answer(decision, &mut answer)));
        assert!(well!(roadstead_decision_reasons(decision, reasons.as_mut_ptr(), 16, &mut count)));
        let mut texts = vec![answer.cluster, answer.path, answer.authority, answer.location, answer.flags];
        texts.extend(&reasons[..count.min(16)]);
        let apply = roadstead_decision_apply;
        assert!(well!(apply(decision, false, null(), 0, lines.as_mut_ptr(), 8, &mut count)));
        texts.extend(lines[..count.min(8)].iter().map(|line| line.value));
        (answer.kind, texts.into_iter().map(|text| text_of_str(text)).collect())
    }
}

unsafe fn picks(random: &mut SplitMix64, engine: *mut roadstead_engine, decision: *mut roadstead_decision) {
    let mut endpoint: roadstead_endpoint = zeroed();
    endpoint.struct_size = size_of::<roadstead_endpoint>();
    let mut choice: roadstead_choice = zeroed();
    choice.struct_size = size_of::<roadstead_choice>();
    // SAFETY: as in `round`.
    unsafe {
        if !well!(roadstead_pick(decision, null(), &mut endpoint)) {
            return;
        }
        let first = endpoint;
        (choice.exclude, choice.exclude_count) = (&first, 1);
        (choice.hash, choice.flags) = (random.next_u64(), below(random, 16) as u32);
        well!(roadstead_pick(decision, &choice, &mut endpoint));
        let mut lease = null_mut();
        if well!(roadstead_lease_take(decision, &choice, &mut lease)) {
            well!(roadstead_lease_ready(lease));
            let (end, status) = (below(random, 6) as i32, random.next_u64() as u16 % 600);
            well!(roadstead_lease_finish(lease, end, status, random.next_u64() as i64));
            roadstead_lease_free(lease);
        }
        let cluster = roadstead_decision_cluster(decision);
        let health = below(random, 6) as i32;
        well!(roadstead_engine_set_health(engine, cluster, first.address, first.port, health));
    }
}
