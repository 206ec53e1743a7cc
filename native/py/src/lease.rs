//! Leases: one try of a request, or one connection, that counts until it is finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire};

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use roadstead_core::balance::ClusterLive;
use roadstead_core::overlay::{LeaseKind, Outcome, Overflow, Slot, acquire, bind, release};

use crate::attach::PyAttach;
use crate::endpoint::Endpoint;
use crate::errors;

/// Where a lease stands. It only ever moves on, so that whoever moves it counts, whatever the thread.
const PENDING: u8 = 0;
const ACTIVE: u8 = 1;
const DONE: u8 = 2;

/// What both kinds of lease hold.
pub struct Hold {
    endpoint: Py<PyAny>,
    cluster: Py<PyAny>,
    live: Arc<ClusterLive<PyAttach>>,
    slot: Arc<Slot>,
    /// As it was acquired.
    kind: LeaseKind,
    stage: AtomicU8,
}

impl Hold {
    /// Count it. `cluster` and `endpoint` are the objects of `live` and of what was picked.
    pub fn take(
        py: Python<'_>,
        cluster: Py<PyAny>,
        live: Arc<ClusterLive<PyAttach>>,
        endpoint: Py<PyAny>,
        kind: LeaseKind,
    ) -> PyResult<Self> {
        let slot = Arc::clone(endpoint.bind(py).cast::<Endpoint>()?.get().slot());
        let pending = matches!(kind, LeaseKind::Request { pending: true, .. });
        let stage = AtomicU8::new(if pending { PENDING } else { ACTIVE });
        match acquire(live.counters(), &slot, &live.limits, kind) {
            Ok(()) => Ok(Hold { endpoint, cluster, live, slot, kind, stage }),
            Err(limit) => Err(refused(py, &cluster, limit)),
        }
    }

    fn end(&self, outcome: Outcome) -> bool {
        let stage = self.stage.swap(DONE, AcqRel);
        if stage != DONE {
            let kind = match self.kind {
                LeaseKind::Request { retry, .. } => LeaseKind::Request { retry, pending: stage == PENDING },
                LeaseKind::Connection => LeaseKind::Connection,
            };
            release(self.live.counters(), &self.slot, kind, outcome);
        }
        stage != DONE
    }

    fn ready(&self, py: Python<'_>) -> PyResult<()> {
        let LeaseKind::Request { retry, .. } = self.kind else { return Ok(()) };
        if self.stage.compare_exchange(PENDING, ACTIVE, AcqRel, Acquire).is_err() {
            return Ok(());
        }
        bind(self.live.counters(), &self.slot, &self.live.limits, retry).map_err(|limit| {
            // Nothing is held any more.
            self.stage.store(DONE, std::sync::atomic::Ordering::Release);
            refused(py, &self.cluster, limit)
        })
    }

    fn finish(&self, status: Option<u16>, error: Option<&str>) {
        self.end(match (status, error) {
            (_, Some("connect_failure")) => Outcome::ConnectFailure,
            (_, Some(_)) => Outcome::Failure,
            (Some(status), None) => Outcome::Status(status),
            (None, None) => Outcome::Success,
        });
    }

    /// Released by the collector: the program never said how it went.
    fn drop_unfinished(&self) {
        if !self.end(Outcome::Dropped) {
            return;
        }
        Python::attach(|py| {
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
        let state = match self.stage.load(Acquire) {
            PENDING => "pending",
            ACTIVE => "open",
            _ => "finished",
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

/// Both classes are the same but for `ready`: PyO3 has no generic classes.
macro_rules! lease_class {
    ($class:ident { $($own:tt)* }) => {
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

            #[pyo3(signature = (*, status=None, error=None, now=None))]
            fn finish(&self, status: Option<u16>, error: Option<&str>, now: Option<i64>) {
                // Outlier detection will read `now`; counters do not need the time.
                let _ = now;
                self.0.finish(status, error);
            }

            fn __enter__(slf: Py<Self>) -> Py<Self> {
                slf
            }

            fn __exit__(&self, kind: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, trace: &Bound<'_, PyAny>) {
                let _ = (value, trace);
                self.0.end(if kind.is_none() { Outcome::Success } else { Outcome::Failure });
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.0.repr(py, stringify!($class))
            }

            $($own)*
        }

        impl Drop for $class {
            fn drop(&mut self) {
                self.0.drop_unfinished();
            }
        }
    };
}

lease_class!(RequestLease {
    fn ready(&self, py: Python<'_>) -> PyResult<()> {
        self.0.ready(py)
    }
});
lease_class!(ConnectionLease {});
