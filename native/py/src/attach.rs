//! What this crate keeps beside the core's objects: the Python object a unit came with, and the one made from it.

use std::fmt;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use roadstead_core::model::Attach;

/// The embedder is Python.
#[derive(Debug)]
pub struct PyAttach;

impl Attach for PyAttach {
    type Handle = Handle;
    type Cell = Made;
}

/// The mesh object of a service, cluster or route, or an endpoint's labels.
///
/// It goes when its unit goes; without the GIL, PyO3 puts the release off until the GIL is held.
#[derive(Debug)]
pub struct Handle(Py<PyAny>);

impl Handle {
    pub fn new(given: Py<PyAny>) -> Self {
        Handle(given)
    }

    /// Whether it is that very object.
    pub fn is(&self, other: &Py<PyAny>) -> bool {
        self.0.is(other)
    }

    /// What the unit brought.
    pub fn given(&self, py: Python<'_>) -> Py<PyAny> {
        self.0.clone_ref(py)
    }
}

/// A Python object made on first use and handed out again.
pub struct Made(PyOnceLock<Py<PyAny>>);

impl Default for Made {
    fn default() -> Self {
        Made(PyOnceLock::new())
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

impl Made {
    #[inline]
    pub fn get_or_make(&self, py: Python<'_>, make: impl FnOnce() -> PyResult<Py<PyAny>>) -> PyResult<&Py<PyAny>> {
        match self.0.get(py) {
            Some(made) => Ok(made),
            None => self.0.get_or_try_init(py, make),
        }
    }
}
