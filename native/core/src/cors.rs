//! What a CORS policy writes into responses, and preflights that this process answers by itself (Envoy: `cors_filter.cc`).

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::Error;
use crate::matching::{NameList, Seen, Source, TextTest};
use crate::model::{self, Attach};
use crate::regex::Regexes;
use crate::request::Request;
use crate::rewrite::Operation;

/// A route's policy, with the places that its headers are read from.
#[derive(Debug)]
pub struct Cors {
    given: Arc<model::Cors>,
    origins: Box<[TextTest]>,
    origin: Source,
    method: Source,
    headers: Source,
}

impl Cors {
    pub fn new(given: Arc<model::Cors>, names: &mut NameList, regexes: &mut Regexes) -> Result<Self, Error> {
        let origins = given.origins.iter().map(|origin| TextTest::new(origin, regexes));
        Ok(Cors {
            origins: origins.collect::<Result<_, _>>()?,
            origin: names.source("origin"),
            method: names.source("access-control-request-method"),
            headers: names.source("access-control-request-headers"),
            given,
        })
    }

    /// Whether the request is a preflight that goes no further.
    pub fn answers<A: Attach, R: Request<A> + ?Sized>(&self, seen: &Seen<'_, A, R>) -> bool {
        if seen.request.method() != "OPTIONS" {
            return false;
        }
        let origin = value(seen, self.origin);
        let asks = !origin.is_empty() && !value(seen, self.method).is_empty();
        asks && (!self.given.forward_unmatched || self.allows(&origin))
    }

    /// What is written into a response, or into the answer to a preflight; nothing for an origin that is not allowed.
    pub fn operations<A, R>(&self, seen: &Seen<'_, A, R>, preflight: bool) -> Vec<Operation<'_>>
    where
        A: Attach,
        R: Request<A> + ?Sized,
    {
        let origin = value(seen, self.origin);
        if origin.is_empty() || !self.allows(&origin) {
            return Vec::new();
        }
        let given = &self.given;
        let credentials = if given.allow_credentials { "true" } else { "" };
        let rest: [(_, &str, _, _); 5] = [
            ("access-control-allow-credentials", credentials, None, false),
            ("access-control-allow-methods", &given.allow_methods, Some(self.method), true),
            ("access-control-allow-headers", &given.allow_headers, Some(self.headers), true),
            ("access-control-expose-headers", &given.expose_headers, None, false),
            ("access-control-max-age", &given.max_age, None, true),
        ];
        let first = Operation::set("access-control-allow-origin", Cow::Owned(origin));
        let wanted = rest.into_iter().filter(|(_, text, _, only)| !text.is_empty() && (preflight || !only));
        let rest = wanted.map(|(name, text, asked, _)| {
            let text = match asked {
                Some(asked) if text == "*" => Cow::Owned(value(seen, asked)),
                _ => Cow::Borrowed(text),
            };
            Operation { keeps_empty: true, ..Operation::set(name, text) }
        });
        [first].into_iter().chain(rest).collect()
    }

    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|test| test.holds(b"*") || test.holds(origin.as_bytes()))
    }
}

fn value<A: Attach, R: Request<A> + ?Sized>(seen: &Seen<'_, A, R>, source: Source) -> String {
    let mut lines: Vec<String> = Vec::new();
    seen.lines(source, &mut |line| {
        lines.push(String::from_utf8_lossy(line).into_owned());
        true
    });
    lines.join(",")
}
