//! A request as Python gives it, read by the core without conversion.

use std::net::IpAddr;

use pyo3::prelude::*;
use pyo3::types::PyString;
use roadstead_core::request::{HeaderName, Request};

use crate::attach::PyAttach;
use crate::headers::Headers;

/// Texts lent by Python strings for as long as one decision takes.
pub struct Lent<'a, 'py> {
    pub py: Python<'py>,
    pub host: &'a str,
    pub path: &'a str,
    pub method: &'a str,
    pub scheme: Option<&'a str>,
    pub source_ip: Option<&'a str>,
    pub headers: Headers<'a, 'py>,
    pub dialled: Option<(IpAddr, u16)>,
    pub server_name: &'a str,
}

impl Request<PyAttach> for Lent<'_, '_> {
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
    fn dialled(&self) -> Option<(IpAddr, u16)> {
        self.dialled
    }

    fn server_name(&self) -> &str {
        self.server_name
    }

    #[inline]
    fn scheme(&self) -> Option<&str> {
        self.scheme
    }

    fn source_ip(&self) -> Option<&str> {
        self.source_ip
    }

    #[inline]
    fn lines(&self, name: &HeaderName<PyAttach>, visit: &mut dyn FnMut(&[u8]) -> bool) {
        self.headers.lines(name, || key(self.py, name), visit);
    }
}

/// The name as the one interned string that a dict's look-up finds by identity.
#[inline]
fn key<'py>(py: Python<'py>, name: &HeaderName<PyAttach>) -> Bound<'py, PyAny> {
    let made = name.cell.get_or_make(py, || Ok(PyString::intern(py, &name.text).into_any().unbind()));
    match made {
        Ok(key) => key.bind(py).clone(),
        Err(_) => PyString::new(py, &name.text).into_any(),
    }
}
