//! Leases: one try of a request, or one connection, that counts until it is finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use roadstead_core::overlay::{Counters, LeaseKind, Outcome, Slot, release};

use crate::cluster::Cluster;
use crate::endpoint::Endpoint;

/// What both kinds of lease hold. Finishing is one atomic exchange, so that any thread may do it and only the first counts.
pub struct Hold {
    pub endpoint: Py<Endpoint>,
    pub cluster: Py<Cluster>,
    pub counters: Arc<Counters>,
    pub slot: Arc<Slot>,
    pub kind: LeaseKind,
    pub done: AtomicBool,
}

impl Hold {
    fn end(&self, outcome: Outcome) -> bool {
        let first = !self.done.swap(true, AcqRel);
        if first {
            release(&self.counters, &self.slot, self.kind, outcome);
        }
        first
    }

    fn finish(&self, status: Option<u16>, error: Option<&str>) {
        self.end(match (status, error) {
            (_, Some("connect_failure")) => Outcome::ConnectFailure,
            (_, Some(_)) => Outcome::Failure,
            (Some(status), None) => Outcome::Status(status),
            (None, None) => Outcome::Success,
        });
    }

    fn leave(&self, exception: bool) {
        self.end(if exception { Outcome::Failure } else { Outcome::Success });
    }

    /// Released by the collector: the program never said how it went.
    fn drop_unfinished(&self, class: &str) {
        if !self.end(Outcome::Dropped) {
            return;
        }
        Python::attach(|py| {
            // A destructor may run while an exception is on its way: it must arrive unharmed.
            let passing = PyErr::take(py);
            let endpoint = self.endpoint.get();
            let text = format!("unfinished {class} of {}: call finish() or use `with`\0", endpoint.name());
            let warned = std::ffi::CStr::from_bytes_with_nul(text.as_bytes())
                .map_err(|_| PyErr::new::<PyResourceWarning, _>("unfinished lease"))
                .and_then(|text| PyErr::warn(py, &py.get_type::<PyResourceWarning>(), text, 1));
            if let Err(error) = warned {
                error.write_unraisable(py, None);
            }
            if let Some(passing) = passing {
                passing.restore(py);
            }
        });
    }

    fn repr(&self, py: Python<'_>, class: &str) -> String {
        let state = if self.done.load(std::sync::atomic::Ordering::Acquire) { "finished" } else { "open" };
        format!("<{class} {} cluster={} {state}>", self.endpoint.get().name(), self.cluster.get().name_str(py))
    }
}

/// Both classes are the same but for their names: PyO3 has no generic classes.
macro_rules! lease_class {
    ($class:ident) => {
        #[pyclass(frozen, weakref, module = "roadstead._core")]
        pub struct $class(pub Hold);

        #[pymethods]
        impl $class {
            #[getter]
            fn endpoint(&self, py: Python<'_>) -> Py<Endpoint> {
                self.0.endpoint.clone_ref(py)
            }

            #[getter]
            fn cluster(&self, py: Python<'_>) -> Py<Cluster> {
                self.0.cluster.clone_ref(py)
            }

            #[pyo3(signature = (*, status=None, error=None, now=None))]
            fn finish(&self, status: Option<u16>, error: Option<&str>, now: Option<i64>) {
                // Outlier detection will read `now`; counters do not need the time.
                let _ = now;
                self.0.finish(status, error);
            }

            fn __enter__(slf: Py<Self>) -> Py<Self> {
                slf
            }

            #[pyo3(signature = (kind, value, trace, /))]
            fn __exit__(
                &self,
                kind: &Bound<'_, PyAny>,
                value: &Bound<'_, PyAny>,
                trace: &Bound<'_, PyAny>,
            ) {
                let _ = (value, trace);
                self.0.leave(!kind.is_none());
            }

            fn __repr__(&self, py: Python<'_>) -> String {
                self.0.repr(py, stringify!($class))
            }
        }

        impl Drop for $class {
            fn drop(&mut self) {
                self.0.drop_unfinished(stringify!($class));
            }
        }
    };
}

lease_class!(RequestLease);
lease_class!(ConnectionLease);
