//! Changes of bytes and of JSON trees.

use roadstead_core::rng::SplitMix64;
use serde_json::Value;

pub fn below(random: &mut SplitMix64, limit: usize) -> usize {
    (random.next_u64() % limit.max(1) as u64) as usize
}

pub fn one<'a, T>(random: &mut SplitMix64, from: &'a [T]) -> &'a T {
    &from[below(random, from.len())]
}

const NUMBERS: [i64; 12] = [0, 1, -1, 2, 127, 128, 255, 65_535, 65_536, 4_294_967_295, i64::MAX, i64::MIN];

/// Some bytes changed, taken out, doubled or brought in from elsewhere.
pub fn bytes(random: &mut SplitMix64, given: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let mut made = given.to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, made.len() + 1);
        let end = made.len().min(at + below(random, 12));
        match below(random, 6) {
            0 => made.insert(at, random.next_u64() as u8),
            1 => drop(made.drain(at..end)),
            2 => {
                let copy = made[at..end].to_vec();
                let to = below(random, made.len() + 1);
                made.splice(to..to, copy);
            }
            3 if at < made.len() => made[at] ^= 1 << below(random, 8),
            4 => made.truncate(at),
            _ => drop(made.splice(at..at, one(random, words).iter().copied())),
        }
    }
    made
}

/// One node of a tree changed.
pub fn tree(random: &mut SplitMix64, value: &mut Value) {
    match value {
        Value::Array(items) if !items.is_empty() && below(random, 8) > 0 => {
            let at = below(random, items.len());
            match below(random, 24) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => {
                    let other = below(random, items.len());
                    items.swap(at, other);
                }
                _ => tree(random, &mut items[at]),
            }
        }
        Value::Object(fields) if !fields.is_empty() && below(random, 16) > 0 => {
            let at = below(random, fields.len());
            if let Some((_, field)) = fields.iter_mut().nth(at) {
                tree(random, field);
            }
        }
        Value::Number(_) => *value = Value::from(*one(random, &NUMBERS)),
        Value::String(text) => {
            let words: [&[u8]; 8] = [b"*", b".", b"(", b"\\1", b"/", b":80", "é".as_bytes(), b"%2f"];
            *text = String::from_utf8_lossy(&bytes(random, text.as_bytes(), &words)).into_owned();
        }
        other => {
            let choices = [Value::Null, Value::Bool(true), Value::from(1.5e300), Value::from(""), Value::Array(vec![])];
            *other = one(random, &choices).clone();
        }
    }
}
