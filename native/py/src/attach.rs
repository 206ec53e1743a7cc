//! What this crate keeps beside the core's objects: the Python object a unit came with, and the one made from it.

use std::fmt;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use roadstead_core::model::Attach;

/// The embedder is Python.
#[derive(Debug)]
pub struct PyAttach;

impl Attach for PyAttach {
    type Handle = Handle;
    type Labels = Py<PyAny>;
    type Cell = Made;
}

/// What a handle of a unit is asked from the unit's maker as.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    Service,
    Cluster,
    VirtualHost,
    Route,
    Chain,
}

/// The mesh object of a service, cluster or route: itself, or the maker of its unit and where it stands there. With it what
/// callers read of every decision, which all that have equal policies share.
///
/// It goes when its unit goes; without the GIL, PyO3 puts the release off until the GIL is held.
#[derive(Debug)]
pub struct Handle {
    /// The object, or with a piece the maker.
    object: Py<PyAny>,
    /// A `_lowered.ClusterPolicy` or `RoutePolicy`.
    policy: Option<Py<PyTuple>>,
    piece: Option<Piece>,
    at: u32,
}

impl Handle {
    pub fn given(object: Py<PyAny>, policy: Option<Py<PyTuple>>) -> Self {
        Handle { object, policy, piece: None, at: 0 }
    }

    /// Whether it is that very object.
    pub fn is(&self, other: &Handle) -> bool {
        self.object.is(&other.object)
    }

    pub fn made_by(maker: Py<PyAny>, piece: Piece, at: u32, policy: Option<Py<PyTuple>>) -> Self {
        Handle { object: maker, policy, piece: Some(piece), at }
    }

    /// The handle of the same piece of a unit that is made like this one's.
    pub fn like(&self, py: Python<'_>, maker: &Py<PyAny>, piece: Piece, at: u32) -> Self {
        let policy = self.policy.as_ref().map(|policy| policy.clone_ref(py));
        Handle::made_by(maker.clone_ref(py), piece, at, policy)
    }

    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        let policy = self.policy.as_ref().map(|policy| policy.clone_ref(py));
        Handle { object: self.object.clone_ref(py), policy, piece: self.piece, at: self.at }
    }

    /// What the unit brought, or its maker makes now.
    pub fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let object = self.object.bind(py);
        let name = match self.piece {
            None => return Ok(object.clone()),
            Some(Piece::Service) => intern!(py, "service"),
            Some(Piece::Cluster) => intern!(py, "cluster"),
            Some(Piece::VirtualHost) => intern!(py, "virtual_host"),
            Some(Piece::Route) => intern!(py, "route"),
            Some(Piece::Chain) => intern!(py, "chain"),
        };
        object.call_method1(name, (self.at,))
    }

    /// A field of the policy; None without one.
    pub fn of_policy<'py>(&self, py: Python<'py>, field: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.policy.as_ref().map(|policy| policy.bind(py).get_item(field)).transpose()
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
