//! Errors of the core → the classes of `roadstead.errors`.

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use roadstead_core::error::Error;
use roadstead_core::overlay::Overflow;

static ENGINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static NO_HEALTHY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static PENDING: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static OVERFLOW: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// A class of `roadstead.errors` with its arguments; where that module cannot be imported, the import's own error.
fn raise<A>(py: Python<'_>, cell: &'static PyOnceLock<Py<PyType>>, name: &str, args: A) -> PyErr
where
    A: pyo3::PyErrArguments + Send + Sync + 'static,
{
    match cell.import(py, "roadstead.errors", name) {
        Ok(class) => PyErr::from_type(class.clone(), args),
        Err(error) => error,
    }
}

pub fn engine(py: Python<'_>, message: &str) -> PyErr {
    raise(py, &ENGINE, "EngineError", message.to_owned())
}

pub fn no_healthy(py: Python<'_>, message: String) -> PyErr {
    raise(py, &NO_HEALTHY, "NoHealthyEndpoint", message)
}

/// `want`: asks for the endpoints, when the error is made.
pub fn pending(py: Python<'_>, message: String, want: Py<PyAny>) -> PyErr {
    let class = match PENDING.import(py, "roadstead.errors", "EndpointsPending") {
        Ok(class) => class,
        Err(error) => return error,
    };
    // Made here and not when somebody looks at it: making it asks.
    class.call1((message, want)).map_or_else(|error| error, PyErr::from_value)
}

/// `cluster`: the name of the one that is at its limit.
pub fn overflow(py: Python<'_>, cluster: &str, limit: Overflow) -> PyErr {
    let what = match limit {
        Overflow::MaxConnections => "connections",
        Overflow::MaxPendingRequests => "pending requests",
        Overflow::MaxRequests => "requests",
        Overflow::MaxRetries => "retries",
    };
    let name = limit.limit();
    let message = format!("{cluster}: the cluster has as many {what} as it may have ({name})");
    raise(py, &OVERFLOW, "Overflow", (message, name))
}

/// No cluster or endpoint of that name.
pub fn unknown(message: &str) -> PyErr {
    PyKeyError::new_err(message.to_owned())
}

/// What the core refuses.
pub fn from_core(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::UnknownCluster(name) => unknown(name),
        Error::Regex { .. } | Error::Invalid(_) | Error::Stale => engine(py, &error.to_string()),
    }
}
