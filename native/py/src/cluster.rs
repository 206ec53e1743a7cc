//! `Cluster`: the policy that compile made, and the live state behind it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use roadstead_core::cluster::{self, Dormant};
use roadstead_core::overlay;

use crate::attach::{Handle, PyAttach};
use crate::endpoint::{self, Endpoint};

/// Holds the live state, not the core's cluster: that one holds this object.
#[pyclass(frozen, module = "roadstead._core")]
pub struct Cluster {
    #[pyo3(get)]
    name: Py<PyString>,
    /// None: of the outbound policy.
    handle: Option<Handle>,
    live: Arc<Dormant<PyAttach>>,
}

/// The one Python object of a cluster.
#[inline]
pub fn object<'a>(py: Python<'_>, cluster: &'a cluster::Cluster<PyAttach>) -> PyResult<&'a Py<PyAny>> {
    cluster.cell.get_or_make(py, || {
        let handle = cluster.handle.as_ref().map(|handle| handle.clone_ref(py));
        let name = PyString::new(py, &cluster.name).unbind();
        Ok(Py::new(py, Cluster { name, handle, live: Arc::clone(&cluster.live) })?.into_any())
    })
}

impl Cluster {
    /// A field of `_lowered.ClusterPolicy`; the clusters of the outbound policy have none.
    fn of_policy<'py>(&self, py: Python<'py>, field: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.handle.as_ref().and_then(|handle| handle.of_policy(py, field).transpose()).transpose()
    }
}

#[pymethods]
impl Cluster {
    #[getter]
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.handle.as_ref().map(|handle| handle.object(py)).transpose()
    }

    #[getter]
    pub fn connection_pool<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_policy(py, 0)
    }

    #[getter]
    fn outlier_detection<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_policy(py, 1)
    }

    #[getter]
    fn health_checks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = self.of_policy(py, 2)?;
        Ok(found.unwrap_or_else(|| PyTuple::empty(py).into_any()))
    }

    #[getter]
    fn load_balancer<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_policy(py, 3)
    }

    #[getter]
    pub fn tls<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_policy(py, 4)
    }

    #[getter]
    fn endpoints<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let state = self.live.wake().state_full();
        let count = state.membership.endpoints.len() as u32;
        let objects = (0..count).map(|index| Ok(endpoint::object(py, &state, index)?.clone_ref(py)));
        PyTuple::new(py, objects.collect::<PyResult<Vec<_>>>()?)
    }

    #[getter]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, &self.live.wake().stats())
    }

    fn connected(&self, endpoint: &Bound<'_, Endpoint>) {
        overlay::connected(self.live.wake().counters(), endpoint.get().slot());
    }

    fn disconnected(&self, endpoint: &Bound<'_, Endpoint>) {
        overlay::disconnected(self.live.wake().counters(), endpoint.get().slot());
    }

    fn priority_load<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.live.wake().priority_load())
    }

    fn endpoint_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let state = self.live.wake().state_full();
        let rows = state.slots().iter().map(|slot| {
            let made = dict(py, &slot.stats())?;
            for (name, value) in self.live.wake().outliers.iter().flat_map(|policy| policy.stats(slot)) {
                made.set_item(name, value)?;
            }
            Ok(made)
        });
        PyTuple::new(py, rows.collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Cluster {}>", self.name.bind(py).to_string_lossy())
    }
}

fn dict<'py>(py: Python<'py>, stats: &[(&'static str, u64)]) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    for (name, value) in stats {
        made.set_item(name, value)?;
    }
    Ok(made)
}
