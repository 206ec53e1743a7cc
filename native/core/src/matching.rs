//! Conditions of a route, made ready at `put`: text tests, headers, query parameters.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::model::{Attach, HeaderMatch, MatchKind, QueryMatch, ValueMatch};
use crate::regex::{Regex, Regexes};
use crate::request::{HeaderName, Request};
use crate::text::{fold, query_value};

/// The test of one string.
#[derive(Debug)]
pub struct TextTest {
    pub kind: MatchKind,
    ignore_case: bool,
    pub value: Box<str>,
    regex: Option<Arc<Regex>>,
}

impl TextTest {
    pub fn new(given: &ValueMatch, regexes: &mut Regexes) -> Result<Self, Error> {
        let regex = match given.kind {
            MatchKind::Regex => Some(regexes.full(&given.value)?),
            _ => None,
        };
        let ignore_case = given.ignore_case && matches!(given.kind, MatchKind::Exact | MatchKind::Prefix);
        Ok(TextTest { kind: given.kind, ignore_case, value: Box::from(&*given.value), regex })
    }

    pub fn holds(&self, text: &[u8]) -> bool {
        let value = self.value.as_bytes();
        match self.kind {
            MatchKind::Present => true,
            MatchKind::Regex => self.regex.as_ref().is_some_and(|regex| regex.matches(text)),
            MatchKind::Exact if self.ignore_case => text.eq_ignore_ascii_case(value),
            MatchKind::Exact => text == value,
            MatchKind::Prefix if self.ignore_case => {
                text.get(..value.len()).is_some_and(|start| start.eq_ignore_ascii_case(value))
            }
            MatchKind::Prefix => text.starts_with(value),
            MatchKind::Suffix => text.ends_with(value),
        }
    }
}

/// For explain: `prefix "/api"`, `regex "a+"`, `"exact"`, `present`.
impl fmt::Display for TextTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.kind {
            MatchKind::Present => return f.write_str("present"),
            MatchKind::Exact => "",
            MatchKind::Prefix => "prefix ",
            MatchKind::Regex => "regex ",
            MatchKind::Suffix => "suffix ",
        };
        write!(f, "{word}\"{}\"", self.value)
    }
}

/// Where the lines of a header come from. `host` and `:authority` are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Authority,
    Path,
    Method,
    Scheme,
    /// A pseudo header there is none of, or a header where there are none to read.
    Nothing,
    /// Position in the virtual host's list.
    Named(u32),
}

pub const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The headers that a virtual host's rules read.
#[derive(Debug, Default)]
pub struct NameList(Vec<Box<str>>);

impl NameList {
    pub fn source(&mut self, name: &str) -> Source {
        let name = fold(name);
        match &*name {
            ":authority" | "host" => Source::Authority,
            ":path" => Source::Path,
            ":method" => Source::Method,
            ":scheme" => Source::Scheme,
            _ if name.starts_with(':') => Source::Nothing,
            _ => {
                let at = self.0.iter().position(|known| **known == *name).unwrap_or_else(|| {
                    self.0.push(Box::from(&*name));
                    self.0.len() - 1
                });
                Source::Named(at as u32)
            }
        }
    }

    pub fn finish<A: Attach>(self) -> Box<[HeaderName<A>]> {
        let lengths = self.0.iter().fold(0, |lengths, name| lengths | 1 << (name.len() & 63));
        self.0.into_iter().map(|text| HeaderName { text, lengths, cell: A::Cell::default() }).collect()
    }
}

/// A request with what is known beside it: the scheme, and the headers that may be read.
pub struct Seen<'a, A: Attach, R: ?Sized> {
    pub request: &'a R,
    pub scheme: &'a str,
    pub names: &'a [HeaderName<A>],
    /// A connection has no headers, pseudo headers neither.
    pub connection: bool,
}

impl<A: Attach, R: Request<A> + ?Sized> Seen<'_, A, R> {
    pub fn lines(&self, source: Source, visit: &mut dyn FnMut(&[u8]) -> bool) {
        if self.connection {
            return;
        }
        let text = match source {
            Source::Named(at) => {
                if let Some(name) = self.names.get(at as usize) {
                    self.request.lines(name, visit);
                }
                return;
            }
            Source::Nothing => return,
            Source::Authority => self.request.host(),
            Source::Path => self.request.path(),
            Source::Method => self.request.method(),
            Source::Scheme => self.scheme(),
        };
        visit(text.as_bytes());
    }

    /// The first line of a header that the rules name.
    pub fn first(&self, name: &str) -> Option<String> {
        let name = fold(name);
        let source = match &*name {
            ":authority" | "host" => Source::Authority,
            ":path" => Source::Path,
            ":method" => Source::Method,
            ":scheme" => Source::Scheme,
            name => {
                let at = self.names.iter().position(|known| &*known.text == name);
                at.map_or(Source::Nothing, |at| Source::Named(at as u32))
            }
        };
        let mut found = None;
        self.lines(source, &mut |line| {
            found = Some(String::from_utf8_lossy(line).into_owned());
            false
        });
        found
    }

    /// Envoy takes the scheme that x-forwarded-proto says, if it is one.
    pub fn scheme(&self) -> &str {
        let mut said = None;
        if let Some(name) = self.names.iter().find(|name| &*name.text == FORWARDED_PROTO) {
            self.request.lines(name, &mut |line| {
                let schemes = ["http", "https"];
                said = schemes.into_iter().find(|scheme| line.eq_ignore_ascii_case(scheme.as_bytes()));
                false
            });
        }
        said.unwrap_or(self.scheme)
    }
}

/// A condition beside that of the path.
#[derive(Debug)]
pub enum Condition {
    Header { source: Source, test: TextTest, invert: bool, absent: bool, name: Box<str> },
    Query { name: Box<str>, test: TextTest },
}

impl Condition {
    /// Each line is tested by itself; inverted, no line may match. See `model::HeaderMatch` for absent headers.
    pub fn header(given: &HeaderMatch, names: &mut NameList, regexes: &mut Regexes) -> Result<Self, Error> {
        let test = TextTest::new(&given.value, regexes)?;
        let absent = match given.value.kind {
            MatchKind::Present => given.invert,
            _ => given.missing_as_empty && test.holds(b"") != given.invert,
        };
        let source = names.source(&given.name);
        Ok(Condition::Header { source, test, invert: given.invert, absent, name: Box::from(&*given.name) })
    }

    pub fn query(given: &QueryMatch, regexes: &mut Regexes) -> Result<Self, Error> {
        Ok(Condition::Query { name: Box::from(&*given.name), test: TextTest::new(&given.value, regexes)? })
    }

    pub fn holds<A: Attach, R: Request<A> + ?Sized>(&self, seen: &Seen<'_, A, R>) -> bool {
        match self {
            Condition::Header { source, test, invert, absent, .. } => {
                let (mut any, mut matched) = (false, false);
                seen.lines(*source, &mut |line| {
                    any = true;
                    matched = test.holds(line);
                    !matched
                });
                if any { matched != *invert } else { *absent }
            }
            Condition::Query { name, test } => {
                query_value(seen.request.path(), name).is_some_and(|value| test.holds(value.as_bytes()))
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Header { name, test, invert, .. } => {
                write!(f, "header {name} {}{test}", if *invert { "not " } else { "" })
            }
            Condition::Query { name, test } => write!(f, "query {name} {test}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Plain;
    use crate::request::PlainRequest;

    fn value(kind: MatchKind, value: &str, ignore_case: bool) -> ValueMatch {
        ValueMatch { kind, value: value.to_owned(), ignore_case }
    }

    fn test(kind: MatchKind, text: &str, ignore_case: bool) -> TextTest {
        TextTest::new(&value(kind, text, ignore_case), &mut Regexes::default()).unwrap()
    }

    #[test]
    fn texts_are_tested() {
        use MatchKind::{Exact, Prefix, Present, Regex, Suffix};
        for (kind, pattern, ignore_case, text, expected) in [
            (Exact, "a", false, "a", true),
            (Exact, "a", false, "A", false),
            (Exact, "a", true, "A", true),
            (Exact, "É", true, "é", false),
            (Prefix, "/A", true, "/ab", true),
            (Prefix, "/A", false, "/ab", false),
            (Prefix, "/abc", true, "/ab", false),
            (Suffix, "z", false, "xyz", true),
            (Suffix, "Z", true, "xyz", false),
            (Present, "", false, "", true),
            (Regex, "a+", false, "aa", true),
            (Regex, "a+", true, "AA", false),
        ] {
            assert_eq!(test(kind, pattern, ignore_case).holds(text.as_bytes()), expected, "{kind:?} {pattern} {text}");
        }
    }

    fn header_holds(headers: &[(&str, &str)], kind: MatchKind, invert: bool, missing_as_empty: bool) -> bool {
        let given = HeaderMatch { name: "X-A".to_owned(), value: value(kind, "v", false), invert, missing_as_empty };
        let mut names = NameList::default();
        let condition = Condition::header(&given, &mut names, &mut Regexes::default()).unwrap();
        let names = names.finish::<Plain>();
        let request = PlainRequest { headers, ..PlainRequest::get("h", "/") };
        condition.holds(&Seen { request: &request, scheme: "http", names: &names, connection: false })
    }

    #[test]
    fn each_line_is_tested_by_itself() {
        use MatchKind::{Exact, Present};
        let (one, other, both): (&[_], &[_], &[_]) = (&[("x-a", "v")], &[("x-a", "w")], &[("X-A", "w"), ("x-a", "v")]);
        for (headers, kind, invert, empty, expected) in [
            (one, Exact, false, false, true),
            (both, Exact, false, false, true),
            (other, Exact, false, false, false),
            (&[], Exact, false, false, false),
            (one, Exact, true, false, false),
            (both, Exact, true, false, false),
            (other, Exact, true, false, true),
            (&[], Exact, true, false, false),
            (&[], Exact, true, true, true),
            (&[], Exact, false, true, false),
            (one, Present, false, false, true),
            (&[], Present, false, false, false),
            (&[], Present, true, false, true),
            (one, Present, true, false, false),
        ] {
            assert_eq!(header_holds(headers, kind, invert, empty), expected, "{headers:?} {kind:?} {invert} {empty}");
        }
    }

    #[test]
    fn pseudo_headers_are_values_of_the_request() {
        let mut names = NameList::default();
        for (name, expected) in [
            (":method", Source::Method),
            ("Host", Source::Authority),
            (":Authority", Source::Authority),
            (":path", Source::Path),
            (":scheme", Source::Scheme),
            (":other", Source::Nothing),
            ("X-A", Source::Named(0)),
            ("x-b", Source::Named(1)),
            ("x-a", Source::Named(0)),
        ] {
            assert_eq!(names.source(name), expected, "{name}");
        }
    }

    #[test]
    fn conditions_describe_themselves() {
        assert_eq!(test(MatchKind::Exact, "a", false).to_string(), "\"a\"");
        assert_eq!(test(MatchKind::Prefix, "/a", true).to_string(), "prefix \"/a\"");
        let given = QueryMatch { name: "k".to_owned(), value: value(MatchKind::Present, "", false) };
        assert_eq!(Condition::query(&given, &mut Regexes::default()).unwrap().to_string(), "query k present");
    }
}
