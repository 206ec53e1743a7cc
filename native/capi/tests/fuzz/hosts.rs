//! Host texts: how they are normalised, who owns them, where they lead.

use roadstead::{Loaded, Options, load};
use roadstead_core::columns::HostColumn;
use roadstead_core::engine::Engine;
use roadstead_core::request::PlainRequest;
use roadstead_core::rng::SplitMix64;
use roadstead_core::text::{Network, ip_of, normal_host, port_start};
use std::sync::Arc;

use crate::mutate::{bytes, one};

const TEXTS: [&str; 16] = [
    "a.example.com",
    "A.Example.COM.:80",
    "*.example.com",
    "*",
    "x*",
    "10.0.0.1",
    "10.0.0.1:80",
    "[::1]:80",
    "::1",
    "fe80::1%eth0",
    "[fe80::1",
    "a:b:c",
    "..",
    ":",
    "é.test",
    "",
];
const WORDS: [&[u8]; 10] = [b".", b":", b"[", b"]", b"*", b"::", b"/32", b"%25", "İ".as_bytes(), b"255"];

/// Names of every form.
pub fn engine() -> Arc<Engine<Loaded>> {
    let unit = |name: &str, addresses: &str| {
        format!(
            r#"["{name}", "", [[null, "{name}", "n", [{addresses}], [[80, "p", 0]]]], [], [[null, 80, [["{name}", 0]], [], false, []]], [], null]"#
        )
    };
    let units = [
        unit("a.example.com", r#""10.0.0.1", "10.0.0.0/8", "::1""#),
        unit("*.example.com", ""),
        unit("x*", ""),
        unit("*y", ""),
        unit("é.test", r#""fe80::/10""#),
    ];
    let text = format!(r#"{{"format": 1, "outbound": 0, "units": [{}]}}"#, units.join(","));
    load(text.as_bytes(), Options::default()).unwrap_or_else(|error| panic!("{}", error.message)).core
}

pub fn round(random: &mut SplitMix64, engine: &Engine<Loaded>) {
    let seed = one(random, &TEXTS);
    let text = String::from_utf8_lossy(&bytes(random, seed.as_bytes(), &WORDS)).into_owned();
    for keep_dot in [false, true] {
        let normal = normal_host(&text, keep_dot);
        assert!(!normal.bytes().any(|byte| byte.is_ascii_uppercase()), "{text:?}");
    }
    assert!(port_start(&text).is_none_or(|at| text.as_bytes()[at] == b':'), "{text:?}");
    if let (Some(address), Ok(network)) = (ip_of(&text), Network::of_address(text.trim_matches(['[', ']']))) {
        assert_eq!(network, Network::host(address), "{text:?}");
    }
    let snapshot = engine.snapshot();
    let found = |text: &str| snapshot.find(text, 80).map(|found| found.service.given.host.to_string());
    let host = found(&text);
    assert_eq!(host, found(&text.to_ascii_uppercase()), "{text:?}: case makes no difference");
    let column: HostColumn = [&text].into_iter().collect();
    let mut out = [0];
    engine.find_many(&column, &[80], &mut out).expect("one row");
    assert_eq!(out[0] >= 0, host.is_some(), "{text:?}: columns agree with single look-ups");
    let request = PlainRequest::get(&text, "/");
    let decision = engine.route(&request, Some(80), random.next_u64());
    assert_eq!(decision.kind, engine.route(&request, Some(80), decision.draw).kind);
    decision.reasons(&request);
    let connection = PlainRequest::connection(&text);
    engine.connect(&connection, 80, Some(&text), decision.draw).reasons(&connection);
}
