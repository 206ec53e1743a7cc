//! Regular expressions in RE2's language, matched over bytes in time linear in the text.

mod bytes;
mod syntax;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use regex::bytes::{Captures, Regex as Engine, RegexBuilder};

use crate::error::Error;
use bytes::ByteSet;
use syntax::{Look, Node, parse};

/// What one compiled pattern may take, as RE2's own limit.
const SIZE: usize = 8 << 20;
/// What its lazily built automaton may take beside; beyond, it is built anew.
const CACHE: usize = 512 << 10;

/// A pattern that was accepted.
#[derive(Debug)]
pub struct Regex {
    engine: Engine,
}

impl Regex {
    /// For `matches`: the whole text.
    pub fn full(pattern: &str) -> Result<Regex, Error> {
        Regex::compile(pattern, |emitted| format!(r"\A(?:{emitted})\z"))
    }

    /// For `replace_all`: anywhere.
    pub fn anywhere(pattern: &str) -> Result<Regex, Error> {
        Regex::compile(pattern, |emitted| emitted)
    }

    fn compile(pattern: &str, wrap: impl FnOnce(String) -> String) -> Result<Regex, Error> {
        let refused = |message: String| Error::Regex { pattern: pattern.to_owned(), message };
        let tree = parse(pattern).map_err(refused)?;
        let mut emitted = String::with_capacity(pattern.len() * 4);
        emit(&tree, &mut emitted);
        let engine = RegexBuilder::new(&wrap(emitted))
            .unicode(false)
            .nest_limit(4096)
            .size_limit(SIZE)
            .dfa_size_limit(CACHE)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Regex { engine })
    }

    #[inline]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.engine.is_match(text)
    }

    /// Every match replaced; as RE2's GlobalReplace, an empty match right behind another match is none.
    pub fn replace_all(&self, text: &str, substitution: &Substitution) -> String {
        let data = text.as_bytes();
        let mut made = Vec::with_capacity(data.len());
        let mut at = 0;
        let mut last = None;
        while at <= data.len() {
            let Some(found) = self.engine.captures_at(data, at) else {
                break;
            };
            let Some(whole) = found.get(0) else {
                break;
            };
            let (start, end) = (whole.start(), whole.end());
            if start == end && last == Some(start) {
                // Nothing between two matches: go on behind the next byte.
                made.extend(data.get(at));
                at += 1;
                last = None;
                continue;
            }
            made.extend_from_slice(&data[at..start]);
            substitution.expand(&found, &mut made);
            at = end;
            last = Some(end);
            if start == end {
                made.extend(data.get(at));
                at += 1;
            }
        }
        made.extend_from_slice(data.get(at..).unwrap_or_default());
        String::from_utf8(made).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// RE2's rewrite text: `\0`..`\9` are groups, `\\` is a backslash.
#[derive(Debug)]
pub struct Substitution(Box<[Part]>);

#[derive(Debug)]
enum Part {
    Text(Box<[u8]>),
    Group(usize),
}

impl Substitution {
    pub fn new(text: &str, regex: &Regex) -> Result<Substitution, Error> {
        let groups = regex.engine.captures_len() - 1;
        let mut parts = Vec::new();
        let mut pieces = text.split('\\');
        let mut plain = pieces.next().unwrap_or_default().as_bytes().to_vec();
        while let Some(piece) = pieces.next() {
            match piece.chars().next() {
                // An empty piece stands between two backslashes: the next one is text.
                None => match pieces.next() {
                    Some(next) => {
                        plain.push(b'\\');
                        plain.extend_from_slice(next.as_bytes());
                    }
                    None => return Err(bad(text, "after a backslash comes a digit or a backslash")),
                },
                Some(digit) if digit.is_ascii_digit() => {
                    let group = digit as usize - '0' as usize;
                    if group > groups {
                        return Err(bad(text, &format!("the pattern has {groups} groups, not {group}")));
                    }
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                    parts.push(Part::Group(group));
                    plain.extend_from_slice(&piece.as_bytes()[1..]);
                }
                Some(_) => return Err(bad(text, "after a backslash comes a digit or a backslash")),
            }
        }
        parts.push(Part::Text(plain.into()));
        Ok(Substitution(parts.into()))
    }

    fn expand(&self, found: &Captures<'_>, made: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => made.extend_from_slice(text),
                Part::Group(group) => made.extend_from_slice(found.get(*group).map_or(&[], |group| group.as_bytes())),
            }
        }
    }
}

fn bad(text: &str, why: &str) -> Error {
    Error::Invalid(format!("substitution {text:?}: {why}"))
}

/// Patterns in use, so that equal ones are compiled once.
#[derive(Debug, Default)]
pub struct Regexes {
    full: HashMap<Box<str>, Weak<Regex>>,
    /// When to look for patterns that nobody uses any more.
    most: usize,
}

impl Regexes {
    pub fn full(&mut self, pattern: &str) -> Result<Arc<Regex>, Error> {
        if let Some(known) = self.full.get(pattern).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let made = Arc::new(Regex::full(pattern)?);
        if self.full.len() >= self.most {
            self.full.retain(|_, regex| regex.strong_count() > 0);
            self.most = (self.full.len() * 2).max(64);
        }
        self.full.insert(pattern.into(), Arc::downgrade(&made));
        Ok(made)
    }
}

/// The tree as a pattern of the regex crate, without flags, over bytes.
fn emit(node: &Node, out: &mut String) {
    match node {
        Node::Bytes(bytes) => emit_bytes(*bytes, out),
        Node::Look(look) => out.push_str(match look {
            Look::Start => r"\A",
            Look::End => r"\z",
            Look::Word => r"\b",
            Look::NotWord => r"\B",
            Look::LineStart => "(?m:^)",
            Look::LineEnd => "(?m:$)",
        }),
        Node::Group(body) => {
            out.push('(');
            emit(body, out);
            out.push(')');
        }
        Node::Concat(items) => items.iter().for_each(|item| emit(item, out)),
        Node::Either(choices) => {
            out.push_str("(?:");
            for (at, choice) in choices.iter().enumerate() {
                if at > 0 {
                    out.push('|');
                }
                emit(choice, out);
            }
            out.push(')');
        }
        Node::Repeat { body, low, high, greedy } => {
            out.push_str("(?:");
            emit(body, out);
            let high = high.map(|high| high.to_string()).unwrap_or_default();
            out.push_str(&format!("){{{low},{high}}}"));
            if !greedy {
                out.push('?');
            }
        }
    }
}

fn emit_bytes(bytes: ByteSet, out: &mut String) {
    match bytes.runs().as_slice() {
        [] => out.push_str(r"[^\x00-\xff]"),
        [(low, high)] if low == high => out.push_str(&format!(r"\x{low:02x}")),
        runs => {
            out.push('[');
            for (low, high) in runs {
                out.push_str(&format!(r"\x{low:02x}-\x{high:02x}"));
            }
            out.push(']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(pattern: &str, text: &str) -> bool {
        Regex::full(pattern).unwrap().matches(text.as_bytes())
    }

    #[test]
    fn the_whole_text_is_matched() {
        for (pattern, text, expected) in [
            ("a+", "aaa", true),
            ("a+", "aab", false),
            ("a|ab", "ab", true),
            ("", "", true),
            ("", "a", false),
            ("(a+)+$", "aaaa", true),
            (".", "é", false),
            ("..", "é", true),
            (".", "\n", false),
            ("(?s).", "\n", true),
            ("(?i)Straße", "sTRAßE", true),
            ("(?i)É", "é", false),
            (r"\d+\.\w*", "12.a_", true),
            (r"\s", "\u{b}", false),
            ("[[:space:]]", "\u{b}", true),
            ("[[:^alpha:]]", "1", true),
            ("[^a-c]", "d", true),
            ("[]a]+", "]a", true),
            ("[a-]", "-", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Q", "", true),
            (r"\x41\x{42}\103\0", "ABC\0", true),
            ("a{2,3}", "aaaa", false),
            ("a{2,}", "aaaa", true),
            ("a{,2}", "a{,2}", true),
            ("{", "{", true),
            ("(?:a|b)*?c", "abc", true),
            ("(?U)a+?", "aa", true),
            ("(?P<n>a)(?<m>b)", "ab", true),
            (r"\C", "a", true),
            ("(?i:a)b", "Ab", true),
            ("(?i:a)b", "AB", false),
            ("(?m)^a$", "a", true),
            (r"[^\x00-\xff]", "a", false),
            (r"\bab\b", "ab", true),
            (r"\B", "", true),
            ("(?i)[^a]", "A", false),
            (r"\_", "_", true),
        ] {
            assert_eq!(full(pattern, text), expected, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for pattern in [
            "(",
            ")",
            "a**",
            "*a",
            "+",
            "?",
            "a{1001}",
            "a{2,1}",
            "(a{100}){100}",
            "[",
            "[a",
            "[b-a]",
            r"\",
            r"\1",
            r"\8",
            r"\y",
            r"\pL",
            r"\x",
            r"\x4",
            r"\x{}",
            r"\x{100}",
            r"\400",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(?P=n)",
            "(?P<n>a)(?P<n>b)",
            "(?P<>a)",
            "(?x)a",
            "(?i",
            "(?-)a",
            "(?)",
            "[[:foo:]]",
            "[é]",
            "{1}",
            "a{1}{2}",
            r"\Z",
        ] {
            assert!(Regex::full(pattern).is_err(), "{pattern}");
        }
        let deep = "(".repeat(300) + &")".repeat(300);
        assert!(Regex::full(&deep).is_err());
        let allowed = "(".repeat(200) + &")*".repeat(200);
        assert!(Regex::full(&allowed).is_ok());
    }

    #[test]
    fn every_match_is_replaced() {
        for (pattern, substitution, text, expected) in [
            ("a", "b", "banana", "bbnbnb"),
            ("^/api/v(.)", r"/\1/x", "/api/v1/y", "/1/x/y"),
            ("", "-", "ab", "-a-b-"),
            ("a*", "-", "baac", "-b-c-"),
            ("(a)|(b)", r"[\1\2\\]", "ab", r"[a\][b\]"),
            ("x", r"\0\0", "axb", "axxb"),
            (r"\b", "|", "ab cd", "|ab| |cd|"),
            ("é", "e", "éa", "ea"),
        ] {
            let regex = Regex::anywhere(pattern).unwrap();
            let substitution = Substitution::new(substitution, &regex).unwrap();
            assert_eq!(regex.replace_all(text, &substitution), expected, "{pattern}");
        }
    }

    #[test]
    fn substitutions_name_groups_there_are() {
        let regex = Regex::anywhere("(a)").unwrap();
        for text in [r"\2", r"\", r"\a", r"a\\\"] {
            assert!(Substitution::new(text, &regex).is_err(), "{text}");
        }
        assert!(Substitution::new(r"\1\0\\", &regex).is_ok());
    }
}
