//! What a decision reads of a request. Values are asked for when a rule needs them, headers through a callback, so that an
//! embedder's own objects need no conversion.

use std::net::IpAddr;

use crate::model::Attach;

/// A header that rules read: the name in lower case, and what the embedder keeps of it (its own string object).
#[derive(Debug)]
pub struct HeaderName<A: Attach> {
    pub text: Box<str>,
    /// Lengths in bytes of all names that the same rules read, one bit each (modulo 64): who walks over a request's headers
    /// for one of them may keep what it needs for the others.
    pub lengths: u64,
    pub cell: A::Cell,
}

/// One request or connection (which has no path and no method). The same values must be given again when a decision is read.
pub trait Request<A: Attach> {
    /// As given: the host header, port and case included.
    fn host(&self) -> &str;
    /// With query and fragment.
    fn path(&self) -> &str;
    fn method(&self) -> &str;
    /// The scheme, if the caller gave one.
    fn scheme(&self) -> Option<&str>;
    fn source_ip(&self) -> Option<&str>;
    /// Where a captured request was on its way to.
    fn dialled(&self) -> Option<(IpAddr, u16)> {
        None
    }
    /// The server name that a connection was made with.
    fn server_name(&self) -> &str {
        ""
    }
    /// Each line of a header in order, until `visit` says stop by returning false.
    fn lines(&self, name: &HeaderName<A>, visit: &mut dyn FnMut(&[u8]) -> bool);
}

/// A request of plain values: for tests, benchmarks and columns. Header names without regard to case.
#[derive(Clone, Copy, Debug)]
pub struct PlainRequest<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub method: &'a str,
    pub scheme: Option<&'a str>,
    pub source_ip: Option<&'a str>,
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> PlainRequest<'a> {
    pub fn get(host: &'a str, path: &'a str) -> Self {
        PlainRequest { host, path, method: "GET", scheme: None, source_ip: None, headers: &[] }
    }

    /// A connection: no method, no path.
    pub fn connection(host: &'a str) -> Self {
        PlainRequest { method: "", ..PlainRequest::get(host, "") }
    }
}

impl<A: Attach> Request<A> for PlainRequest<'_> {
    fn host(&self) -> &str {
        self.host
    }

    fn path(&self) -> &str {
        self.path
    }

    fn method(&self) -> &str {
        self.method
    }

    fn scheme(&self) -> Option<&str> {
        self.scheme
    }

    fn source_ip(&self) -> Option<&str> {
        self.source_ip
    }

    fn lines(&self, name: &HeaderName<A>, visit: &mut dyn FnMut(&[u8]) -> bool) {
        for (key, value) in self.headers {
            if key.eq_ignore_ascii_case(&name.text) && !visit(value.as_bytes()) {
                return;
            }
        }
    }
}
