//! Paths as they are before anything looks at them (Envoy: `normalize_path` and its neighbours).
//!
//! The query is left alone. Escapes of what needs none are decoded, `\` is `/`, dot segments go; `%2f` stays unless the mode
//! decodes it. A run of slashes stays unless the mode merges it, or, at the beginning, where dot segments go.

use std::borrow::Cow;

use crate::model::Paths;
use crate::text::{equal_bytes, words};

/// The path under a mode.
#[inline]
pub fn normal_path(path: &str, mode: Paths) -> Cow<'_, str> {
    if path.len() < 2 || mode == Paths::Keep || !is_odd(path.as_bytes()) || !path.starts_with('/') {
        return Cow::Borrowed(path);
    }
    Cow::Owned(normalised(path, mode))
}

/// Whether it may need more than being looked at.
fn is_odd(path: &[u8]) -> bool {
    let mut after_slash = 0;
    words(path).any(|word| {
        let slashes = equal_bytes(word, b'/');
        let starts = slashes << 8 | after_slash;
        after_slash = slashes >> 56;
        let pairs = starts & (slashes | equal_bytes(word, b'.'));
        pairs | equal_bytes(word, b'%') | equal_bytes(word, b'\\') != 0
    })
}

fn normalised(path: &str, mode: Paths) -> String {
    let (plain, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut plain = decoded(plain, mode == Paths::DecodeSlashes).replace('\\', "/");
    if plain.contains("/.") {
        plain = without_dots(&plain);
    }
    if mode != Paths::Normalize {
        while plain.contains("//") {
            plain = plain.replace("//", "/");
        }
    }
    plain + query
}

fn decoded(plain: &str, slashes: bool) -> String {
    let mut made = String::with_capacity(plain.len());
    let mut rest = plain;
    while let Some(at) = rest.find('%') {
        made.push_str(&rest[..at]);
        let escape = rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(b'/' | b'\\') if slashes => made.push('/'),
            Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                made.push(char::from(byte));
            }
            _ => {
                made.push('%');
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = &rest[at + 3..];
    }
    made + rest
}

/// Segments `.` and `..` resolved; the path as it is where there are none.
fn without_dots(path: &str) -> String {
    let is_dots = |segment: &&str| matches!(*segment, "." | "..");
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    if !segments.iter().any(is_dots) {
        return path.to_owned();
    }
    let leading = segments.iter().take_while(|segment| segment.is_empty()).count().min(segments.len() - 1);
    segments.drain(..leading);
    let mut kept: Vec<&str> = Vec::with_capacity(segments.len() + 1);
    for segment in &segments {
        match *segment {
            ".." => drop(kept.pop()),
            "." => {}
            segment => kept.push(segment),
        }
    }
    if segments.last().is_some_and(is_dots) {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_envoy_sees_them() {
        for (path, mode, expected) in [
            ("/a/../exact?x=/../y", Paths::Normalize, "/exact?x=/../y"),
            ("/./exact", Paths::Normalize, "/exact"),
            ("//exact", Paths::Normalize, "//exact"),
            ("//a//b/../c/./d", Paths::Normalize, "/a//c/d"),
            ("//a//b/../c/./d", Paths::MergeSlashes, "/a/c/d"),
            ("/%65x%2f%zz", Paths::Normalize, "/ex%2f%zz"),
            ("/%65x%2f", Paths::DecodeSlashes, "/ex/"),
            ("/a%2e%2e", Paths::Keep, "/a%2e%2e"),
            ("/a/%2e%2e/b", Paths::Normalize, "/b"),
            ("/slash\\x", Paths::Normalize, "/slash/x"),
            ("/a/..", Paths::Normalize, "/"),
            ("/../..", Paths::Normalize, "/"),
            ("/.well-known/x", Paths::Normalize, "/.well-known/x"),
        ] {
            assert_eq!(normal_path(path, mode), expected, "{path}");
        }
    }
}
