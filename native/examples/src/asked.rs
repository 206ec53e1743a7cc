//! A request as the rules see it.

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap};
use hyper::{Request, Uri};
use roadstead::Loaded;
use roadstead_core::request::HeaderName;

use crate::body::Refused;

/// The head of one request, or a connection that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub host: String,
    pub port: u16,
    pub path: String,
    pub method: hyper::Method,
    pub peer: String,
    pub headers: HeaderMap,
}

impl Asked {
    pub fn of(request: &Request<Incoming>, peer: String) -> Result<Self, Refused> {
        let uri = request.uri();
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(Refused::new(501, "", "only http:// is spoken here; use CONNECT"));
        }
        let given = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = uri.authority().map(|authority| authority.as_str()).or(given);
        let host = host.ok_or_else(|| Refused::new(400, "", "a request without a host"))?.to_owned();
        Ok(Asked {
            port: host.parse::<Uri>().ok().and_then(|uri| uri.port_u16()).unwrap_or(80),
            host,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            method: request.method().clone(),
            peer,
            headers: request.headers().clone(),
        })
    }

    /// All lines, as the engine reads those that steer tries.
    pub fn lines(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
        headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

impl roadstead_core::request::Request<Loaded> for Asked {
    fn host(&self) -> &str {
        &self.host
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn scheme(&self) -> Option<&str> {
        None
    }

    fn source_ip(&self) -> Option<&str> {
        Some(&self.peer)
    }

    fn lines(&self, name: &HeaderName<Loaded>, visit: &mut dyn FnMut(&[u8]) -> bool) {
        for value in self.headers.get_all(&*name.text) {
            if !visit(value.as_bytes()) {
                return;
            }
        }
    }
}
