//! YAML: what is read is JSON, what is refused has a place in the text, and both are told twice alike.

use roadstead_core::rng::SplitMix64;
use roadstead_yaml::{Limits, load, positions};

use crate::mutate::{bytes, one};

const TEXTS: [&str; 8] = [
    "apiVersion: v1\nkind: A\nmetadata: {name: a, labels: {x: \"1\"}}\nspec:\n  hosts: [a, b]\n  n: 0x1F\n---\nb: 1.5e3\n",
    "a: &x [1, 2, {b: c}]\nd: *x\n<<: {e: f}\n",
    "- |\n  text\n   more\n- >-\n  folded\n\n  lines\n- 'it''s'\n- \"\\u00e9\\x41\\n\"\n",
    "? complex\n: value\n? [a]\n: b\n",
    "--- !!str 12\n...\n%YAML 1.1\n---\ntrue: yes\nnull: ~\n1_000: 0o17\n12:30:45: .inf\n",
    "\u{feff}a: b # comment\r\nc:\r\n  - d\r\n",
    "{\"json\": [1, true, null, \"\\ud83d\\ude00\", -0.0, 1e400]}",
    "spec:\n  http:\n  - match:\n    - uri: {regex: \"^/a(b|c)$\"}\n    route:\n    - destination: {host: a, port: {number: 80}}\n",
];
const WORDS: [&[u8]; 20] = [
    b"\n",
    b"  ",
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"<<: ",
    b"---\n",
    b"...\n",
    b"[",
    b"}",
    b"\"",
    b"'",
    b"!!binary ",
    b"!!float ",
    b"\t",
    b"\xff",
    b"\x00",
    "é".as_bytes(),
    b"|2-\n",
];

pub fn round(random: &mut SplitMix64) {
    let seed = one(random, &TEXTS);
    let text = bytes(random, seed.as_bytes(), &WORDS);
    let limits = Limits { max_depth: 20, max_aliases: 50, max_scalar: 10_000, max_bytes: 100_000 };
    let documents = load(&text, &limits);
    let lines = text.iter().filter(|byte| **byte == b'\n' || **byte == b'\r').count() + 2;
    for document in &documents {
        match &document.json {
            Ok(json) => {
                let read: Result<serde_json::Value, _> = serde_json::from_slice(json);
                assert!(
                    read.is_ok(),
                    "{:?} became {:?}",
                    String::from_utf8_lossy(&text),
                    String::from_utf8_lossy(json)
                );
            }
            Err(problem) => assert!(problem.line <= lines, "{:?}: {problem:?}", String::from_utf8_lossy(&text)),
        }
        positions(&text, document.index, 20);
    }
    assert_eq!(format!("{documents:?}"), format!("{:?}", load(&text, &limits)));
}
