//! Leases: one try of a request, or one connection, that counts until it is finished.

use std::sync::Arc;

use pyo3::exceptions::{PyException, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::PyType;
use roadstead_core::balance::ClusterLive;
use roadstead_core::lease;
use roadstead_core::outliers::http_status;
use roadstead_core::overlay::{LeaseKind, Outcome, Overflow};
use roadstead_core::view::Share;

use crate::attach::PyAttach;
use crate::endpoint::Endpoint;
use crate::engine::Parts;
use crate::errors;

/// What both kinds of lease hold.
pub struct Hold {
    engine: Arc<Share<Parts>>,
    endpoint: Py<PyAny>,
    cluster: Py<PyAny>,
    held: lease::Lease<PyAttach>,
}

impl Hold {
    /// Count it. `cluster` and `endpoint` are the objects of `live` and of what was picked.
    pub fn take(
        py: Python<'_>,
        engine: Arc<Share<Parts>>,
        cluster: Py<PyAny>,
        live: Arc<ClusterLive<PyAttach>>,
        endpoint: Py<PyAny>,
        kind: LeaseKind,
    ) -> PyResult<Self> {
        let name = cluster.clone_ref(py);
        Hold::acquired(py, engine, cluster, live, endpoint, kind)?.map_err(|limit| refused(py, &name, limit))
    }

    /// One try of an exchange, which counts its retries itself.
    pub fn request(
        py: Python<'_>,
        engine: Arc<Share<Parts>>,
        cluster: Py<PyAny>,
        live: Arc<ClusterLive<PyAttach>>,
        endpoint: Py<PyAny>,
        pending: bool,
    ) -> PyResult<Result<Self, Overflow>> {
        Hold::acquired(py, engine, cluster, live, endpoint, LeaseKind::Request { retry: false, pending })
    }

    fn acquired(
        py: Python<'_>,
        engine: Arc<Share<Parts>>,
        cluster: Py<PyAny>,
        live: Arc<ClusterLive<PyAttach>>,
        endpoint: Py<PyAny>,
        kind: LeaseKind,
    ) -> PyResult<Result<Self, Overflow>> {
        let slot = Arc::clone(endpoint.bind(py).cast::<Endpoint>()?.get().slot());
        let taken = lease::Lease::take(live, slot, kind, &|| engine.core.now());
        Ok(taken.map(|held| Hold { engine, endpoint, cluster, held }))
    }

    /// Whether this ends it. now: of the outcome, for outlier detection; None: the engine's time.
    pub fn end(&self, py: Python<'_>, outcome: Outcome, now: Option<i64>) -> bool {
        let hits = self.held.end(outcome);
        if let Some(hits) = hits.filter(|hits| hits.any()) {
            self.engine.detected(&self.cluster_name(py), self.held.slot(), hits, now);
        }
        hits.is_some()
    }

    /// The connection is there; refused, nothing is held any more.
    pub fn bound(&self) -> Result<(), Overflow> {
        self.held.ready(&|| self.engine.core.now())
    }

    fn ready(&self, py: Python<'_>) -> PyResult<()> {
        self.bound().map_err(|limit| refused(py, &self.cluster, limit))
    }

    fn finish(
        &self,
        py: Python<'_>,
        status: Option<u16>,
        error: Option<&str>,
        grpc_status: Option<i64>,
        now: Option<i64>,
    ) {
        let outcome = match (error, grpc_status, status) {
            (Some("connect_failure"), ..) => Outcome::ConnectFailure,
            (Some("connect_timeout"), ..) => Outcome::ConnectTimeout,
            (Some("try_timeout"), ..) => Outcome::TryTimeout,
            (Some("reset"), ..) => Outcome::Reset,
            (Some("timeout"), ..) => Outcome::Timeout,
            (Some(_), ..) => Outcome::Failure,
            (None, Some(code), _) => Outcome::Grpc(http_status(code)),
            (None, None, Some(status)) => Outcome::Status(status),
            (None, None, None) => Outcome::Success,
        };
        self.end(py, outcome, now);
    }

    /// Its block is left, with an exception of that class or without one.
    fn leave(&self, py: Python<'_>, kind: &Bound<'_, PyAny>) {
        let failed = || kind.cast::<PyType>().is_ok_and(|kind| kind.is_subclass_of::<PyException>().unwrap_or(true));
        let outcome = if kind.is_none() {
            Outcome::Success
        } else if failed() {
            Outcome::Failure
        } else {
            // The caller was cancelled or is to end: that says nothing of the endpoint.
            Outcome::Dropped
        };
        self.end(py, outcome, None);
    }

    /// Released by the collector: the program never said how it went.
    fn drop_unfinished(&self) {
        if self.held.is_over() {
            return;
        }
        Python::attach(|py| {
            if !self.end(py, Outcome::Dropped, None) {
                return;
            }
            // A destructor may run while an exception is on its way: it must arrive unharmed.
            let passing = PyErr::take(py);
            let text = format!("a lease on {} was dropped without finish()\0", self.cluster_name(py));
            let warned = std::ffi::CStr::from_bytes_with_nul(text.as_bytes())
                .map_err(|_| PyErr::new::<PyResourceWarning, _>("a lease was dropped without finish()"))
                .and_then(|text| PyErr::warn(py, &py.get_type::<PyResourceWarning>(), text, 1));
            if let Err(error) = warned {
                error.write_unraisable(py, None);
            }
            if let Some(passing) = passing {
                passing.restore(py);
            }
        });
    }

    fn cluster_name(&self, py: Python<'_>) -> String {
        name_of(&self.cluster, py)
    }

    fn repr(&self, py: Python<'_>, class: &str) -> PyResult<String> {
        let state = match (self.held.is_over(), self.held.is_pending()) {
            (true, _) => "finished",
            (false, true) => "pending",
            (false, false) => "open",
        };
        let endpoint = self.endpoint.bind(py).cast::<Endpoint>()?.get().name(py);
        Ok(format!("<{class} {endpoint} cluster={} {state}>", self.cluster_name(py)))
    }
}

fn name_of(cluster: &Py<PyAny>, py: Python<'_>) -> String {
    cluster.getattr(py, "name").map_or_else(|_| String::new(), |name| name.to_string())
}

fn refused(py: Python<'_>, cluster: &Py<PyAny>, limit: Overflow) -> PyErr {
    errors::overflow(py, &name_of(cluster, py), limit)
}

/// Both classes are the same: PyO3 has no generic classes.
macro_rules! lease_class {
    ($class:ident) => {
        #[pyclass(frozen, weakref, module = "roadstead._core")]
        pub struct $class(pub Hold);

        #[pymethods]
        impl $class {
            #[getter]
            fn endpoint(&self, py: Python<'_>) -> Py<PyAny> {
                self.0.endpoint.clone_ref(py)
            }

            #[getter]
            fn cluster(&self, py: Python<'_>) -> Py<PyAny> {
                self.0.cluster.clone_ref(py)
            }

            #[pyo3(signature = (*, status=None, error=None, grpc_status=None, now=None))]
            fn finish(
                &self,
                py: Python<'_>,
                status: Option<u16>,
                error: Option<&str>,
                grpc_status: Option<i64>,
                now: Option<i64>,
            ) {
                self.0.finish(py, status, error, grpc_status, now);
            }

            fn ready(&self, py: Python<'_>) -> PyResult<()> {
                self.0.ready(py)
            }

            fn __enter__(slf: Py<Self>) -> Py<Self> {
                slf
            }

            fn __exit__(&self, kind: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, trace: &Bound<'_, PyAny>) {
                let _ = (value, trace);
                self.0.leave(kind.py(), kind);
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.0.repr(py, stringify!($class))
            }
        }

        impl Drop for $class {
            fn drop(&mut self) {
                self.0.drop_unfinished();
            }
        }
    };
}

lease_class!(RequestLease);
lease_class!(ConnectionLease);
