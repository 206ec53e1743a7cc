//! `Endpoint`: one host of a cluster, made once per membership and handed out again.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use roadstead_core::balance::ClusterState;
use roadstead_core::balance::state::effective;
use roadstead_core::model::{EndpointKind, Health};
use roadstead_core::overlay::Slot;

use crate::attach::PyAttach;

#[pyclass(frozen, module = "roadstead._core")]
pub struct Endpoint {
    #[pyo3(get)]
    address: Py<PyString>,
    #[pyo3(get)]
    port: u16,
    kind: EndpointKind,
    #[pyo3(get)]
    locality: Py<PyString>,
    #[pyo3(get)]
    priority: u32,
    #[pyo3(get)]
    weight: u32,
    #[pyo3(get)]
    labels: Py<PyAny>,
    #[pyo3(get)]
    hostname: Py<PyString>,
    eds: Health,
    slot: Arc<Slot>,
}

/// The one Python object of an endpoint.
#[inline]
pub fn object<'a>(py: Python<'_>, state: &'a ClusterState<PyAttach>, index: u32) -> PyResult<&'a Py<PyAny>> {
    let cell = &state.membership.endpoints[index as usize].cell;
    cell.get_or_make(py, || Ok(Py::new(py, Endpoint::new(py, state, index)?)?.into_any()))
}

impl Endpoint {
    fn new(py: Python<'_>, state: &ClusterState<PyAttach>, index: u32) -> PyResult<Self> {
        let endpoint = &state.membership.endpoints[index as usize];
        let group = &state.membership.groups[endpoint.group as usize];
        let labels = endpoint.def.labels.as_ref();
        Ok(Endpoint {
            address: PyString::new(py, &endpoint.def.address).unbind(),
            port: endpoint.def.port,
            kind: endpoint.def.kind,
            locality: PyString::intern(py, &group.locality).unbind(),
            priority: group.priority,
            weight: endpoint.def.weight,
            labels: labels.map_or_else(|| no_labels(py), |labels| labels.get().clone_ref(py)),
            hostname: PyString::new(py, &endpoint.def.hostname).unbind(),
            eds: endpoint.def.health,
            slot: Arc::clone(&state.slots()[index as usize]),
        })
    }

    /// What a cluster without endpoints of its own dials.
    pub fn dialled(py: Python<'_>, address: &str, port: u16, kind: EndpointKind) -> Self {
        Endpoint {
            address: PyString::new(py, address).unbind(),
            port,
            kind,
            locality: PyString::intern(py, "").unbind(),
            priority: 0,
            weight: 1,
            labels: no_labels(py),
            hostname: PyString::intern(py, "").unbind(),
            eds: Health::Unknown,
            slot: Arc::default(),
        }
    }

    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// For messages.
    pub fn name(&self, py: Python<'_>) -> String {
        format!("{}:{}", self.address.bind(py).to_string_lossy(), self.port)
    }

    fn same(&self, py: Python<'_>, other: &Endpoint) -> PyResult<bool> {
        Ok(self.port == other.port && self.address.bind(py).as_any().eq(other.address.bind(py))?)
    }
}

/// One empty dict for all endpoints without labels.
fn no_labels(py: Python<'_>) -> Py<PyAny> {
    static NONE: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    NONE.get_or_init(py, || PyDict::new(py).unbind()).clone_ref(py).into_any()
}

#[pymethods]
impl Endpoint {
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        match self.kind {
            EndpointKind::Ip => intern!(py, "ip"),
            EndpointKind::Hostname => intern!(py, "hostname"),
            EndpointKind::Unix => intern!(py, "unix"),
        }
    }

    #[getter]
    fn health<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        match effective(self.eds, self.slot.mark(), self.slot.is_ejected()) {
            Health::Unknown => intern!(py, "unknown"),
            Health::Healthy => intern!(py, "healthy"),
            Health::Unhealthy => intern!(py, "unhealthy"),
            Health::Draining => intern!(py, "draining"),
            Health::Degraded => intern!(py, "degraded"),
        }
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match other.cast::<Endpoint>() {
            Ok(other) => Ok(self.same(py, other.get())?.into_pyobject(py)?.to_owned().into_any().unbind()),
            Err(_) => Ok(py.NotImplemented()),
        }
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        (self.address.bind(py), self.port).into_pyobject(py)?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Endpoint {}>", self.name(py))
    }
}
