//! Hash policies: what a request hashes to, and the cookies made for it.

use crate::hash::{self, xxh64};
use crate::matching::{NameList, Seen, Source};
use crate::model::{self, Attach, HashKind};
use crate::request::Request;
use crate::rng::mix;
use crate::text::query_value;

/// A policy with the place its header or cookie is read from.
#[derive(Debug)]
pub struct HashPolicy {
    given: model::HashPolicy,
    source: Source,
}

impl HashPolicy {
    pub fn new(given: model::HashPolicy, names: &mut NameList) -> Self {
        let source = match given.kind {
            HashKind::Header => names.source(&given.name),
            HashKind::Cookie => names.source("cookie"),
            HashKind::SourceIp | HashKind::Query => Source::Nothing,
        };
        HashPolicy { given, source }
    }

    fn value<A: Attach, R: Request<A> + ?Sized>(&self, seen: &Seen<'_, A, R>, draw: u64) -> Option<u64> {
        match self.given.kind {
            HashKind::Header => {
                let mut lines: Vec<Vec<u8>> = Vec::new();
                seen.lines(self.source, &mut |line| {
                    lines.push(line.to_vec());
                    true
                });
                hash::lines(lines.iter().map(|line| &**line))
            }
            HashKind::Cookie => match self.cookie(seen) {
                Some(cookie) => Some(xxh64(&cookie, 0)),
                None => self.given.ttl.map(|_| xxh64(made_cookie(draw).as_bytes(), 0)),
            },
            HashKind::SourceIp => seen.request.source_ip().map(|text| xxh64(text.as_bytes(), 0)),
            HashKind::Query => query_value(seen.request.path(), &self.given.name).map(|text| xxh64(text.as_bytes(), 0)),
        }
    }

    /// The first cookie of that name, without its quotes; None where it is absent or empty.
    fn cookie<A: Attach, R: Request<A> + ?Sized>(&self, seen: &Seen<'_, A, R>) -> Option<Vec<u8>> {
        let mut found = None;
        seen.lines(self.source, &mut |line| {
            found = line.split(|byte| *byte == b';').find_map(|part| {
                let part = &part[part.iter().position(|byte| *byte != b' ').unwrap_or(part.len())..];
                let value = part.strip_prefix(self.given.name.as_bytes())?.strip_prefix(b"=")?;
                // A name with "=" in it never is a cookie's name.
                (!self.given.name.contains('=')).then(|| value.to_vec())
            });
            found.is_none()
        });
        let value = found?;
        let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        let value = inner.map_or_else(|| value.clone(), <[u8]>::to_vec);
        (!value.is_empty()).then_some(value)
    }

    fn set_cookie(&self, ttl: f64, value: &str) -> String {
        let mut text = format!("{}=\"{value}\"", self.given.name);
        let age = ttl as i64;
        if age != 0 {
            text.push_str(&format!("; Max-Age={age}"));
        }
        if !self.given.path.is_empty() {
            text.push_str("; Path=");
            text.push_str(&self.given.path);
        }
        for (name, value) in &self.given.attributes {
            text.push_str("; ");
            text.push_str(name);
            if !value.is_empty() {
                text.push('=');
                text.push_str(value);
            }
        }
        text.push_str("; HttpOnly");
        text
    }
}

/// Policies in order: `rotl(hash, 1) ^ value`; None when none gives anything.
pub fn request_hash<A: Attach, R: Request<A> + ?Sized>(
    policies: &[HashPolicy],
    seen: &Seen<'_, A, R>,
    draw: u64,
) -> Option<u64> {
    let mut found: Option<u64> = None;
    for policy in policies {
        if let Some(value) = policy.value(seen, draw) {
            found = Some(hash::combine(found, value));
        }
        if policy.given.terminal && found.is_some() {
            break;
        }
    }
    found
}

/// Set-Cookie values of the cookies that were made for this request.
pub fn set_cookies<A: Attach, R: Request<A> + ?Sized>(
    policies: &[HashPolicy],
    seen: &Seen<'_, A, R>,
    draw: u64,
) -> Vec<String> {
    let mut made = Vec::new();
    let mut found = false;
    for policy in policies {
        if let (HashKind::Cookie, Some(ttl)) = (policy.given.kind, policy.given.ttl)
            && policy.cookie(seen).is_none()
        {
            made.push(policy.set_cookie(ttl, &made_cookie(draw)));
        }
        found = found || policy.value(seen, draw).is_some();
        if policy.given.terminal && found {
            break;
        }
    }
    made
}

/// Envoy hashes the two ends of the connection; in process the draw stands for them.
fn made_cookie(draw: u64) -> String {
    format!("{:016x}", mix(draw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Plain;
    use crate::request::PlainRequest;

    fn policy(kind: HashKind, name: &str, ttl: Option<f64>, terminal: bool) -> model::HashPolicy {
        model::HashPolicy { kind, name: name.into(), ttl, path: "/p".into(), attributes: Box::default(), terminal }
    }

    fn run(policies: Vec<model::HashPolicy>, headers: &[(&str, &str)], path: &str) -> (Option<u64>, Vec<String>) {
        let mut names = NameList::default();
        let policies: Vec<_> = policies.into_iter().map(|given| HashPolicy::new(given, &mut names)).collect();
        let names = names.finish::<Plain>();
        let request = PlainRequest { headers, source_ip: Some("10.0.0.9"), ..PlainRequest::get("h", path) };
        let seen = Seen { request: &request, scheme: "http", names: &names, connection: false };
        (request_hash(&policies, &seen, 7), set_cookies(&policies, &seen, 7))
    }

    #[test]
    fn policies_are_combined_in_order() {
        let header = || policy(HashKind::Header, "X-User", None, false);
        let ip = || policy(HashKind::SourceIp, "", None, false);
        let (a, b) = (xxh64(b"alice", 0), xxh64(b"10.0.0.9", 0));
        assert_eq!(run(vec![header(), ip()], &[("x-user", "alice")], "/").0, Some(a.rotate_left(1) ^ b));
        assert_eq!(run(vec![header(), ip()], &[], "/").0, Some(b));
        assert_eq!(run(vec![header()], &[], "/").0, None);
        let terminal = policy(HashKind::Header, "x-user", None, true);
        assert_eq!(run(vec![terminal, ip()], &[("x-user", "alice")], "/").0, Some(a));
        let query = policy(HashKind::Query, "k", None, false);
        assert_eq!(run(vec![query], &[], "/?k=v").0, Some(xxh64(b"v", 0)));
    }

    #[test]
    fn lines_of_a_header_are_sorted() {
        let header = || vec![policy(HashKind::Header, "x", None, false)];
        let expected = xxh64(b"b", xxh64(b"a", 0));
        assert_eq!(run(header(), &[("x", "b"), ("X", "a")], "/").0, Some(expected));
    }

    #[test]
    fn cookies_are_read_or_made() {
        let cookie = |ttl| vec![policy(HashKind::Cookie, "s", ttl, false)];
        for line in ["s=v", "a=b; s=v", "a; s=\"v\"", "xs=1;s=v; s=w"] {
            assert_eq!(run(cookie(None), &[("Cookie", line)], "/").0, Some(xxh64(b"v", 0)), "{line}");
        }
        assert_eq!(run(cookie(None), &[("cookie", "t=v")], "/"), (None, vec![]));
        let value = format!("{:016x}", mix(7));
        let (hash, made) = run(cookie(Some(60.9)), &[], "/");
        assert_eq!(hash, Some(xxh64(value.as_bytes(), 0)));
        assert_eq!(made, [format!("s=\"{value}\"; Max-Age=60; Path=/p; HttpOnly")]);
        assert_eq!(run(cookie(Some(0.0)), &[], "/").1, [format!("s=\"{value}\"; Path=/p; HttpOnly")]);
    }
}
