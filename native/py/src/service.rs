//! `Service`: what `find` hands out.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use roadstead_core::cluster;
use roadstead_core::model::{self, Protocol};

use crate::attach::PyAttach;

#[pyclass(frozen, module = "roadstead._core")]
pub struct Service {
    #[pyo3(get)]
    host: Py<PyString>,
    #[pyo3(get)]
    namespace: Py<PyString>,
    #[pyo3(get)]
    addresses: Py<PyTuple>,
    #[pyo3(get)]
    ports: Py<PyTuple>,
    #[pyo3(get)]
    spec: Py<PyAny>,
}

/// The one Python object of a service.
#[inline]
pub fn object<'a>(py: Python<'_>, service: &'a cluster::Service<PyAttach>) -> PyResult<&'a Py<PyAny>> {
    service.cell.get_or_make(py, || Ok(Py::new(py, Service::new(py, &service.given)?)?.into_any()))
}

impl Service {
    fn new(py: Python<'_>, service: &model::Service<PyAttach>) -> PyResult<Self> {
        let ports = service.ports.iter().map(|port| (port.number, &*port.name, class(port.protocol)));
        Ok(Service {
            host: PyString::new(py, &service.host).unbind(),
            namespace: PyString::new(py, &service.namespace).unbind(),
            addresses: PyTuple::new(py, &service.addresses)?.unbind(),
            ports: PyTuple::new(py, ports.collect::<Vec<_>>())?.unbind(),
            spec: service.handle.given(py),
        })
    }
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
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let numbers: Vec<String> = self
            .ports
            .bind(py)
            .iter()
            .map(|port| Ok(port.extract::<(u16, String, u8)>()?.0.to_string()))
            .collect::<PyResult<_>>()?;
        let host = self.host.bind(py).to_str()?;
        Ok(format!("<Service {host} namespace={} ports={}>", self.namespace.bind(py), numbers.join(",")))
    }
}
