//! `Service`: what `find` hands out.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use roadstead_core::cluster;
use roadstead_core::model::{self, Protocol};

use crate::attach::PyAttach;

/// Its texts are made when they are read: a whole mesh is looked up once each before any is read twice.
#[pyclass(frozen, module = "roadstead._core")]
pub struct Service(Arc<model::Service<PyAttach>>);

/// The one Python object of a service.
#[inline]
pub fn object<'a>(py: Python<'_>, service: &'a cluster::Service<PyAttach>) -> PyResult<&'a Py<PyAny>> {
    service.cell.get_or_make(py, || Ok(Py::new(py, Service(Arc::clone(&service.given)))?.into_any()))
}

/// `_lowered.PROTO_*`.
fn class(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Http => 0,
        Protocol::Tcp => 1,
        Protocol::Tls => 2,
        Protocol::Auto => 3,
        Protocol::Udp => 4,
    }
}

#[pymethods]
impl Service {
    #[getter]
    fn host(&self) -> &str {
        &self.0.host
    }

    #[getter]
    fn namespace(&self) -> &str {
        &self.0.namespace
    }

    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.0.addresses)
    }

    #[getter]
    fn ports<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let ports = self.0.ports.iter().map(|port| (port.number, &*port.name, class(port.protocol)));
        PyTuple::new(py, ports.collect::<Vec<_>>())
    }

    #[getter]
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.handle.object(py)
    }

    fn __repr__(&self) -> String {
        let numbers: Vec<String> = self.0.ports.iter().map(|port| port.number.to_string()).collect();
        format!("<Service {} namespace={} ports={}>", self.0.host, self.0.namespace, numbers.join(","))
    }
}
