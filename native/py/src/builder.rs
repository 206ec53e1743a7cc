//! `Builder`: a change under way.

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use roadstead_core::builder;
use roadstead_core::cluster::Cluster;
use roadstead_core::model::{Outbound, Paths};
use roadstead_core::template::Piece;

use crate::attach::{Handle, Kept, PyAttach};
use crate::columns::HostColumn;
use crate::engine::Engine;
use crate::template::{Attached, Template};
use crate::{convert, errors};

#[pyclass(frozen, module = "roadstead._core")]
pub struct Builder {
    /// None once it was published.
    open: Mutex<Option<builder::Builder<PyAttach>>>,
    engine: Py<Engine>,
}

impl Builder {
    pub fn new(open: builder::Builder<PyAttach>, engine: Py<Engine>) -> Self {
        Builder { open: Mutex::new(Some(open)), engine }
    }

    /// Threads do not wait for each other here: they would hold the GIL meanwhile.
    fn change<T>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut Option<builder::Builder<PyAttach>>) -> T,
    ) -> PyResult<T> {
        match self.open.try_lock() {
            Ok(mut open) => Ok(change(&mut open)),
            Err(_) => Err(errors::engine(py, "this builder is being changed by another thread")),
        }
    }

    /// What was built; this object is used up.
    pub fn take(&self, py: Python<'_>) -> PyResult<builder::Builder<PyAttach>> {
        self.change(py, Option::take)?.ok_or_else(|| closed(py))
    }
}

/// A handle for a cluster of the outbound policy: its policy is read from its spec.
fn spec_handle(py: Python<'_>, spec: Option<Py<PyAny>>) -> PyResult<Option<Handle>> {
    let names = ["connection_pool", "outlier_detection", "health_checks", "load_balancer", "tls"];
    let handle = |spec: Py<PyAny>| {
        let policy = names.iter().map(|name| spec.bind(py).getattr_opt(*name)).collect::<PyResult<Vec<_>>>()?;
        let policy = PyTuple::new(py, policy)?.unbind();
        Ok(Handle::given(Kept::Own(spec), Piece::Cluster, Some(Kept::Own(policy))))
    };
    spec.map(handle).transpose()
}

/// Let a cluster of the outbound policy come with that; it stays the same object where it did already.
fn bring(cluster: &mut Arc<Cluster<PyAttach>>, handle: Option<Handle>) {
    if let Some(handle) = handle
        && !cluster.handle.as_ref().is_some_and(|known| known.is(&handle))
    {
        *cluster = Arc::new(cluster.with_handle(handle));
    }
}

fn closed(py: Python<'_>) -> PyErr {
    errors::engine(py, "this builder was published; start another one")
}

#[pymethods]
impl Builder {
    fn put(&self, py: Python<'_>, unit: &Bound<'_, PyAny>) -> PyResult<()> {
        let unit = self.engine.bind(py).get().interning(|interned| convert::unit(unit, interned))?;
        let put = self.change(py, |open| open.as_mut().map(|builder| builder.put(unit)))?;
        put.ok_or_else(|| closed(py))?.map_err(|error| errors::from_core(py, &error))
    }

    fn put_like(
        &self,
        py: Python<'_>,
        template: &Template,
        names: &Bound<'_, PyTuple>,
        maker: Py<PyAny>,
    ) -> PyResult<()> {
        let unit = template.unit(names, maker)?;
        let put = self.change(py, |open| open.as_mut().map(|builder| builder.put(unit)))?;
        put.ok_or_else(|| closed(py))?.map_err(|error| errors::from_core(py, &error))
    }

    #[pyo3(signature = (template, names, makers=None))]
    fn put_rows(
        &self,
        py: Python<'_>,
        template: &Template,
        names: Vec<PyRef<'_, HostColumn>>,
        makers: Option<Vec<Py<PyAny>>>,
    ) -> PyResult<()> {
        let columns: Vec<_> = names.iter().map(|column| column.column()).collect();
        let makers = match makers {
            Some(makers) if columns.first().is_some_and(|column| column.len() != makers.len()) => {
                return Err(errors::engine(py, &format!("{} makers are not one for each row", makers.len())));
            }
            makers => Attached::new(makers),
        };
        let template = template.core();
        let put = |builder: &mut builder::Builder<PyAttach>| builder.put_rows(template, &columns, Arc::new(makers));
        let put = self.change(py, |open| py.detach(|| open.as_mut().map(put)))?;
        put.ok_or_else(|| closed(py))?.map_err(|error| errors::from_core(py, &error))
    }

    fn delete(&self, py: Python<'_>, key: &str) -> PyResult<()> {
        self.change(py, |open| open.as_mut().map(|builder| builder.delete(key)))?.ok_or_else(|| closed(py))
    }

    #[pyo3(signature = (policy, *, egress_cluster="", paths=1, passthrough=None, dynamic=None))]
    fn set_outbound(
        &self,
        py: Python<'_>,
        policy: i64,
        egress_cluster: &str,
        paths: i64,
        passthrough: Option<Py<PyAny>>,
        dynamic: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let code = usize::try_from(policy).ok();
        let Some(outbound) = code.and_then(|code| Outbound::of_code(code, egress_cluster)) else {
            return Err(errors::engine(py, &format!("no outbound policy {policy}")));
        };
        let Some(paths) = usize::try_from(paths).ok().and_then(|code| Paths::CODES.get(code)).copied() else {
            return Err(errors::engine(py, &format!("no normalisation of paths {paths}")));
        };
        let (passthrough, dynamic) = (spec_handle(py, passthrough)?, spec_handle(py, dynamic)?);
        let set = |builder: &mut builder::Builder<PyAttach>| {
            builder.set_outbound(outbound);
            builder.set_paths(paths);
            bring(builder.passthrough(), passthrough);
            bring(builder.dynamic(), dynamic);
        };
        self.change(py, |open| open.as_mut().map(set))?.ok_or_else(|| closed(py))
    }
}
