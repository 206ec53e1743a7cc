//! A request as C gives it, read by the core without conversion.

use std::net::IpAddr;

use roadstead_core::model::Attach;
use roadstead_core::request::{HeaderName, Request};
use roadstead_core::text::ip_of;

use crate::failure::Failure;
use crate::raw;
use crate::types::{ROADSTEAD_REQUEST_DRAW, ROADSTEAD_REQUEST_NOW, roadstead_header, roadstead_request};

/// Texts lent by the caller for as long as the decision is used.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub method: &'a str,
    pub scheme: Option<&'a str>,
    pub source_ip: Option<&'a str>,
    pub sni: Option<&'a str>,
    pub original: Option<(&'a str, u16)>,
    dialled: Option<(IpAddr, u16)>,
    headers: &'a [roadstead_header],
    /// As given; 0 is none.
    pub port: u16,
    pub draw: Option<u64>,
    pub now: Option<i64>,
}

impl<'a> Asked<'a> {
    /// # Safety
    /// What the request points to is there for as long as `'a` is used.
    #[inline]
    pub unsafe fn of(given: &roadstead_request) -> Result<Self, Failure> {
        // SAFETY: the caller's.
        unsafe {
            let original = given.original_host.optional_text("request.original_host")?;
            let original = original.map(|host| (host, given.original_port));
            Ok(Asked {
                host: given.host.text("request.host")?,
                path: given.path.optional_text("request.path")?.unwrap_or("/"),
                method: given.method.optional_text("request.method")?.unwrap_or("GET"),
                scheme: given.scheme.optional_text("request.scheme")?,
                source_ip: given.source_ip.optional_text("request.source_ip")?,
                sni: given.sni.optional_text("request.sni")?,
                original,
                dialled: original.and_then(|(host, port)| Some((ip_of(host)?, port))),
                headers: raw::slice(given.headers, given.header_count, "request.headers")?,
                port: given.port,
                draw: (given.flags & ROADSTEAD_REQUEST_DRAW != 0).then_some(given.draw),
                now: (given.flags & ROADSTEAD_REQUEST_NOW != 0).then_some(given.now),
            })
        }
    }

    /// A connection has no path, no method and no headers.
    pub fn connection(self) -> Self {
        Asked { path: "", method: "", scheme: None, headers: &[], original: None, dialled: None, ..self }
    }

    /// All header lines as they were given.
    pub fn header_lines(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        // SAFETY: lent with the request, see `Asked::of`.
        self.headers.iter().map(|header| unsafe { header.bytes() })
    }

    pub fn port(&self) -> Option<u16> {
        Some(self.port).filter(|port| *port > 0)
    }
}

impl<A: Attach> Request<A> for Asked<'_> {
    #[inline]
    fn host(&self) -> &str {
        self.host
    }

    #[inline]
    fn path(&self) -> &str {
        self.path
    }

    fn method(&self) -> &str {
        self.method
    }

    #[inline]
    fn scheme(&self) -> Option<&str> {
        self.scheme
    }

    fn source_ip(&self) -> Option<&str> {
        self.source_ip
    }

    #[inline]
    fn dialled(&self) -> Option<(IpAddr, u16)> {
        self.dialled
    }

    fn server_name(&self) -> &str {
        self.sni.unwrap_or_default()
    }

    #[inline]
    fn lines(&self, name: &HeaderName<A>, visit: &mut dyn FnMut(&[u8]) -> bool) {
        let wanted = name.text.as_bytes();
        for header in self.headers.iter().filter(|header| header.name.len == wanted.len()) {
            // SAFETY: lent with the request, see `Asked::of`.
            let (key, value) = unsafe { (header.name.header_bytes(), header.value.header_bytes()) };
            if key.eq_ignore_ascii_case(wanted) && !visit(value) {
                return;
            }
        }
    }
}
