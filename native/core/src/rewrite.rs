//! What a route does to a request: header operations, path, redirects.

use std::borrow::Cow;

use crate::error::Error;
use crate::model::{HeaderOp, MatchKind, OpKind, Redirect};
use crate::regex::{Regex, Substitution};
use crate::text::{bare, port_start};
use crate::virtual_host::PathTest;

/// How a forwarded path changes; the query stays.
#[derive(Debug)]
pub enum PathRewrite {
    /// What the path condition matched is replaced: a prefix, or the whole path.
    Matched(Box<str>),
    /// Every match is replaced.
    Regex(Regex, Substitution),
}

impl PathRewrite {
    pub fn regex(pattern: &str, substitution: &str) -> Result<Self, Error> {
        let regex = Regex::anywhere(pattern)?;
        let substitution = Substitution::new(substitution, &regex)?;
        Ok(PathRewrite::Regex(regex, substitution))
    }

    pub fn apply(&self, test: &PathTest, path: &str) -> String {
        match self {
            PathRewrite::Matched(text) => replace_matched(test, text, path),
            PathRewrite::Regex(regex, substitution) => {
                let plain = bare(path);
                let mut made = regex.replace_all(plain, substitution);
                made.push_str(&path[plain.len()..]);
                made
            }
        }
    }
}

fn replace_matched(test: &PathTest, text: &str, path: &str) -> String {
    let matched = match test {
        PathTest::Prefix(prefix) => prefix.len(),
        PathTest::Text(test) if test.kind == MatchKind::Prefix => test.value.len(),
        PathTest::Exact(_) | PathTest::Text(_) => bare(path).len(),
    };
    format!("{text}{}", path.get(matched..).unwrap_or_default())
}

/// One operation on headers, with its value for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<'o> {
    pub kind: OpKind,
    pub name: &'o str,
    pub value: Cow<'o, str>,
    /// An empty value is written too.
    pub keeps_empty: bool,
}

impl<'o> Operation<'o> {
    pub fn set(name: &'o str, value: Cow<'o, str>) -> Self {
        Operation { kind: OpKind::Set, name, value, keeps_empty: false }
    }
}

impl<'o> From<&'o HeaderOp> for Operation<'o> {
    fn from(given: &'o HeaderOp) -> Self {
        Operation { kind: given.kind, name: &given.name, value: Cow::Borrowed(&given.value), keeps_empty: false }
    }
}

/// A header line as the embedder has it.
pub trait Line<'o> {
    /// Whether that is its name, in any case.
    fn is(&self, name: &str) -> bool;
    /// The line of an operation.
    fn of(name: &'o str, value: Cow<'o, str>) -> Self;
}

impl Line<'_> for (String, String) {
    fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }

    fn of(name: &str, value: Cow<'_, str>) -> Self {
        (name.to_owned(), value.into_owned())
    }
}

/// The lines after the operations. SET puts its value where the first line of that name was, or at the end; with an
/// empty value only REMOVE does anything, but for what keeps it.
pub fn apply<'o, L: Line<'o>>(operations: impl IntoIterator<Item = Operation<'o>>, lines: &mut Vec<L>) {
    for Operation { kind, name, value, keeps_empty } in operations {
        match kind {
            OpKind::Add | OpKind::Set | OpKind::AddIfAbsent if value.is_empty() && !keeps_empty => {}
            OpKind::AddIfAbsent if lines.iter().any(|known| known.is(name)) => {}
            OpKind::Add | OpKind::AddIfAbsent => lines.push(L::of(name, value)),
            OpKind::Remove => lines.retain(|known| !known.is(name)),
            OpKind::Set => set(lines, name, value),
        }
    }
}

fn set<'o, L: Line<'o>>(lines: &mut Vec<L>, name: &'o str, value: Cow<'o, str>) {
    let Some(first) = lines.iter().position(|known| known.is(name)) else {
        lines.push(L::of(name, value));
        return;
    };
    lines[first] = L::of(name, value);
    let mut at = 0;
    lines.retain(|known| {
        at += 1;
        at - 1 == first || !known.is(name)
    });
}

/// The Location of a redirect (Envoy: newUri).
pub fn location(redirect: &Redirect, test: &PathTest, scheme: &str, host: &str, path: &str) -> String {
    let new_scheme = if redirect.scheme.is_empty() { scheme } else { &redirect.scheme };
    let port = if redirect.port == 0 { String::new() } else { format!(":{}", redirect.port) };
    let new_host = match &*redirect.host {
        "" if redirect.keep_port => host,
        "" => kept_host(host, scheme, new_scheme, redirect.port != 0),
        host => host,
    };
    let new_path = if !redirect.path.is_empty() {
        let query = path.find('?').filter(|_| !redirect.path.contains('?'));
        format!("{}{}", redirect.path, query.map_or("", |at| &path[at..]))
    } else if !redirect.prefix_rewrite.is_empty() {
        replace_matched(test, &redirect.prefix_rewrite, path)
    } else {
        path.to_owned()
    };
    let slash = if new_path.starts_with('/') { "" } else { "/" };
    format!("{new_scheme}://{new_host}{port}{slash}{new_path}")
}

/// The request's host: its port goes where a new one is set, or where it is the default of a scheme that changes.
fn kept_host<'a>(host: &'a str, scheme: &str, new_scheme: &str, has_port: bool) -> &'a str {
    let Some(end) = port_start(host) else {
        return host;
    };
    let default = match scheme {
        "http" => Some(":80"),
        "https" => Some(":443"),
        _ => None,
    };
    if has_port || (new_scheme != scheme && default == Some(&host[end..])) { &host[..end] } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(kind: OpKind, name: &str, value: &str) -> HeaderOp {
        HeaderOp { kind, name: name.into(), value: value.into(), format: Box::default() }
    }

    #[test]
    fn operations_run_in_order() {
        let mut lines: Vec<(String, String)> =
            [("a", "1"), ("B", "2"), ("A", "3")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let operations = [
            op(OpKind::Set, "a", "x"),
            op(OpKind::Add, "b", "y"),
            op(OpKind::Set, "c", "z"),
            op(OpKind::Set, "c", ""),
            op(OpKind::Add, "d", ""),
            op(OpKind::Remove, "C", ""),
            op(OpKind::AddIfAbsent, "A", "other"),
            op(OpKind::AddIfAbsent, "e", "new"),
            op(OpKind::AddIfAbsent, "f", ""),
        ];
        let kept = Operation { keeps_empty: true, ..Operation::set("g", Cow::Borrowed("")) };
        apply(operations.iter().map(Operation::from).chain([kept]), &mut lines);
        let expected = [("a", "x"), ("B", "2"), ("b", "y"), ("e", "new"), ("g", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_matched_is_replaced() {
        for (test, text, path, expected) in [
            (PathTest::Prefix("/api/v1".into()), "/legacy", "/api/v1/x?q=1", "/legacy/x?q=1"),
            (PathTest::Exact("/a".into()), "/b", "/a?q", "/b?q"),
            (PathTest::Prefix("/".into()), "/v2/", "/x#f", "/v2/x#f"),
        ] {
            assert_eq!(PathRewrite::Matched(text.into()).apply(&test, path), expected);
        }
        let rewrite = PathRewrite::regex("^/a/(.*)$", r"/b/\1").unwrap();
        assert_eq!(rewrite.apply(&PathTest::Prefix("/".into()), "/a/c?x=/a/"), "/b/c?x=/a/");
    }

    #[test]
    fn locations_follow_envoy() {
        let none = Redirect {
            scheme: "".into(),
            host: "".into(),
            port: 0,
            path: "".into(),
            prefix_rewrite: "".into(),
            code: 301,
            keep_port: false,
        };
        let test = PathTest::Prefix("/a".into());
        let to = |redirect: Redirect, host: &str, path: &str| location(&redirect, &test, "http", host, path);
        assert_eq!(to(none.clone(), "h:80", "/a?q"), "http://h:80/a?q");
        assert_eq!(to(Redirect { scheme: "https".into(), ..none.clone() }, "h:80", "/a"), "https://h/a");
        assert_eq!(to(Redirect { scheme: "https".into(), ..none.clone() }, "h:81", "/a"), "https://h:81/a");
        let kept = Redirect { scheme: "https".into(), keep_port: true, ..none.clone() };
        assert_eq!(to(kept, "h:80", "/a"), "https://h:80/a");
        assert_eq!(to(Redirect { port: 8443, ..none.clone() }, "h:80", "/a"), "http://h:8443/a");
        assert_eq!(to(Redirect { host: "o".into(), ..none.clone() }, "h:80", "/a"), "http://o/a");
        assert_eq!(to(Redirect { path: "/p".into(), ..none.clone() }, "h", "/a?q=1"), "http://h/p?q=1");
        assert_eq!(to(Redirect { path: "/p?x".into(), ..none.clone() }, "h", "/a?q=1"), "http://h/p?x");
        assert_eq!(to(Redirect { prefix_rewrite: "/b".into(), ..none }, "h", "/a/c?q"), "http://h/b/c?q");
    }
}
