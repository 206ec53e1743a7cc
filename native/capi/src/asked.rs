//! A request as C gives it, read by the core without conversion.

use std::net::IpAddr;

use roadstead_core::model::Attach;
use roadstead_core::request::{HeaderName, Request};
use roadstead_core::text::ip_of;

use crate::failure::Failure;
use crate::raw;
use crate::types::{ROADSTEAD_REQUEST_NOW, roadstead_header, roadstead_request};

/// Texts lent by the caller for as long as the decision is used.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    host: &'a str,
    pub path: &'a str,
    method: &'a str,
    headers: &'a [roadstead_header],
    pub now: Option<i64>,
    rare: Option<Rare<'a>>,
}

/// What few requests are given with.
#[derive(Clone, Copy, Debug)]
struct Rare<'a> {
    scheme: Option<&'a str>,
    source_ip: Option<&'a str>,
    sni: Option<&'a str>,
    original: Option<(&'a str, u16)>,
    dialled: Option<(IpAddr, u16)>,
}

impl<'a> Rare<'a> {
    /// # Safety
    /// As of `Asked::of`.
    #[inline(never)]
    unsafe fn of(given: &roadstead_request) -> Result<Self, Failure> {
        // SAFETY: the caller's.
        unsafe {
            let original = given.original_host.optional_text("request.original_host")?;
            let original = original.map(|host| (host, given.original_port));
            Ok(Rare {
                scheme: given.scheme.optional_text("request.scheme")?,
                source_ip: given.source_ip.optional_text("request.source_ip")?,
                sni: given.sni.optional_text("request.sni")?,
                original,
                dialled: original.and_then(|(host, port)| Some((ip_of(host)?, port))),
            })
        }
    }
}

impl<'a> Asked<'a> {
    /// Before anything is asked.
    pub const NOTHING: Self = Asked { host: "", path: "", method: "", headers: &[], now: None, rare: None };

    /// # Safety
    /// What the request points to is there for as long as `'a` is used.
    #[inline(always)]
    pub unsafe fn of(given: &roadstead_request) -> Result<Self, Failure> {
        let rare = [given.scheme, given.source_ip, given.sni, given.original_host];
        let any = rare.iter().fold(0, |any, text| any | text.data as usize | text.len) != 0;
        // SAFETY: the caller's.
        unsafe {
            Ok(Asked {
                host: given.host.text("request.host")?,
                path: given.path.optional_text("request.path")?.unwrap_or("/"),
                method: given.method.optional_text("request.method")?.unwrap_or("GET"),
                headers: raw::slice(given.headers, given.header_count, "request.headers")?,
                now: (given.flags & ROADSTEAD_REQUEST_NOW != 0).then_some(given.now),
                rare: if any { Some(Rare::of(given)?) } else { None },
            })
        }
    }

    pub fn sni(&self) -> Option<&'a str> {
        self.rare.as_ref().and_then(|rare| rare.sni)
    }

    #[inline]
    pub fn original(&self) -> Option<(&'a str, u16)> {
        self.rare.as_ref().and_then(|rare| rare.original)
    }

    /// A connection has no path, no method and no headers.
    pub fn connection(self) -> Self {
        let rare = self.rare.map(|rare| Rare { scheme: None, original: None, dialled: None, ..rare });
        Asked { path: "", method: "", headers: &[], rare, ..self }
    }

    /// All header lines as they were given.
    pub fn header_lines(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        // SAFETY: lent with the request, see `Asked::of`.
        self.headers.iter().map(|header| unsafe { header.bytes() })
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

    #[inline]
    fn method(&self) -> &str {
        self.method
    }

    #[inline]
    fn scheme(&self) -> Option<&str> {
        self.rare.as_ref().and_then(|rare| rare.scheme)
    }

    fn source_ip(&self) -> Option<&str> {
        self.rare.as_ref().and_then(|rare| rare.source_ip)
    }

    #[inline]
    fn dialled(&self) -> Option<(IpAddr, u16)> {
        self.rare.as_ref().and_then(|rare| rare.dialled)
    }

    fn server_name(&self) -> &str {
        self.sni().unwrap_or_default()
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
