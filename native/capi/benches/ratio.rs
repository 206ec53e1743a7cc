//! Route and pick: what the C ABI adds to the same asked from Rust. `cargo bench -p roadstead-capi` prints nanoseconds and the ratio.
//!
//! With an argument (`rust`, `c`) and a number it only asks so often, for callgrind. `snapshot` writes the mesh that is asked,
//! for programs in other languages.

use std::hint::black_box;
use std::io::Write as _;
use std::ptr::{null, null_mut};
use std::time::Instant;

use roadstead::embed::Shared;
use roadstead::exports::*;
use roadstead::types::*;
use roadstead::{Loaded, Options, load};
use roadstead_core::balance::PickInput;
use roadstead_core::request::PlainRequest;
use roadstead_core::routing;

const HOSTS: usize = 1000;
const PORT: u16 = 8080;
const ROUNDS: usize = 40;
const ASKED: usize = 50_000;

/// `HOSTS` services with a cluster of three endpoints, least request, and one rule.
fn mesh() -> String {
    let unit = |at: usize| {
        let host = host(at);
        let cluster = format!("outbound|{PORT}||{host}");
        let endpoints: Vec<String> =
            (1..=3).map(|last| format!(r#"["10.0.0.{last}", {PORT}, 0, 1, 0, null, "", ""]"#)).collect();
        format!(
            r#"["{host}", "", [[null, "{host}", "n", [], [[{PORT}, "http", 0]]]],
               [[null, "{cluster}", 0, [1, 0, 140, false, 1024, 8388608, 65537, 2, 1.0, 0.0, 1.0, 10.0],
                 [4294967295, 4294967295, 4294967295, 4294967295, null, 0], [["", 0, null, [{}]]], 0, null, null]],
               [[null, {PORT}, [["{host}", 0]], [[null, [[1, "/", false], [], []], 0, [["{cluster}", 0, [], [], null]], [], [],
                 null, null, null, null, 0, "", [], [], null, 5, null, 0, null, null]], false, []]], [], null]"#,
            endpoints.join(", ")
        )
    };
    let units: Vec<String> = (0..HOSTS).map(unit).collect();
    format!(r#"{{"format": 1, "outbound": 0, "units": [{}]}}"#, units.join(",\n"))
}

fn host(at: usize) -> String {
    format!("service-{at}.namespace-{}.example.com", at % 50)
}

fn rust(engine: &Shared<Loaded>, hosts: &[String], times: usize) {
    for at in 0..times {
        let view = engine.core.load();
        // As whoever asks from Rust has to do: rules see normal paths.
        let path = view.normal_path(black_box("/orders/17"));
        let request = PlainRequest::get(black_box(&hosts[at % HOSTS]), &path);
        let decision = routing::route(&view, &request, Some(PORT), at as u64);
        let cluster = decision.cluster().expect("it is there");
        let live = cluster.live.wake();
        let state = live.state();
        let index = live.pick(&state, PickInput { draw: at as u64, ..PickInput::default() });
        let endpoint = &state.membership.endpoints[index.expect("somebody is healthy") as usize].def;
        black_box((&*endpoint.address, endpoint.port));
    }
}

fn text(text: &str) -> roadstead_str {
    roadstead_str { data: text.as_ptr().cast(), len: text.len() }
}

fn c(decision: *mut roadstead_decision, hosts: &[String], times: usize) {
    // SAFETY: zeros are a value of the header's structs; pointers are good for the calls.
    unsafe {
        let mut request: roadstead_request = std::mem::zeroed();
        let mut endpoint: roadstead_endpoint = std::mem::zeroed();
        (request.struct_size, endpoint.struct_size) = (size_of_val(&request), size_of_val(&endpoint));
        (request.path, request.port, request.flags) = (text("/orders/17"), PORT, ROADSTEAD_REQUEST_DRAW);
        let (route, pick) = black_box((
            roadstead_route as unsafe extern "C" fn(_, _, _) -> _,
            roadstead_pick as unsafe extern "C" fn(_, _, _, _) -> _,
        ));
        for at in 0..times {
            (request.host, request.draw) = (text(&hosts[at % HOSTS]), at as u64);
            let status: roadstead_status = route(decision, black_box(&request as *const _), null_mut());
            assert_eq!(status, roadstead_status::ROADSTEAD_OK);
            let status: roadstead_status = pick(decision, null(), black_box(&mut endpoint as *mut _), null_mut());
            assert_eq!(status, roadstead_status::ROADSTEAD_OK);
            black_box(endpoint.address.data);
        }
    }
}

fn main() {
    let mesh = mesh();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let hosts: Vec<String> = (0..HOSTS).map(host).collect();
    let engine = load(mesh.as_bytes(), Options::default()).expect("the mesh is good");
    let (mut handle, mut decision) = (null_mut(), null_mut());
    // SAFETY: good pointers.
    unsafe {
        roadstead_engine_load(mesh.as_ptr(), mesh.len(), null(), &mut handle, null_mut());
        roadstead_decision_new(handle, &mut decision, null_mut());
    }
    let times = arguments.get(1).map_or(ASKED, |times| times.parse().expect("a number"));
    match arguments.first().map(String::as_str) {
        Some("rust") => rust(&engine, &hosts, times),
        Some("c") => c(decision, &hosts, times),
        Some("snapshot") => std::io::stdout().write_all(mesh.as_bytes()).expect("somebody reads"),
        _ => compare(&engine, decision, &hosts),
    }
    // SAFETY: freed once.
    unsafe {
        roadstead_decision_free(decision);
        roadstead_engine_release(handle);
    }
}

/// The quickest of many rounds of each, taken in turn.
fn compare(engine: &Shared<Loaded>, decision: *mut roadstead_decision, hosts: &[String]) {
    let (mut of_rust, mut of_c) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        of_rust = of_rust.min(timed(|| rust(engine, hosts, ASKED)));
        of_c = of_c.min(timed(|| c(decision, hosts, ASKED)));
    }
    println!("route and pick: from Rust {of_rust:.1} ns, through the C ABI {of_c:.1} ns, ratio {:.2}", of_c / of_rust);
}

fn timed(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_nanos() as f64 / ASKED as f64
}
