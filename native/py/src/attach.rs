//! What this crate keeps beside the core's objects: the Python object a unit came with, and the one made from it.

use std::fmt;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use roadstead_core::model::Attach;
use roadstead_core::template::Piece;

/// The embedder is Python.
#[derive(Debug)]
pub struct PyAttach;

impl Attach for PyAttach {
    type Handle = Handle;
    type Labels = Kept<PyAny>;
    type Cell = Made;
}

/// A Python object that a unit came with. Of a template it is shared by all units made of it, which may be made without the GIL:
/// those count themselves, not in the object.
pub enum Kept<T> {
    Own(Py<T>),
    Shared(Arc<Py<T>>),
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl<T> Kept<T> {
    pub fn new(object: Py<T>, shared: bool) -> Self {
        if shared { Kept::Shared(Arc::new(object)) } else { Kept::Own(object) }
    }

    pub fn get(&self) -> &Py<T> {
        match self {
            Kept::Own(object) => object,
            Kept::Shared(object) => object,
        }
    }

    /// The same for another unit. The GIL is taken for what is not shared only.
    pub fn again(&self) -> Self {
        match self {
            Kept::Own(object) => Kept::Own(Python::attach(|py| object.clone_ref(py))),
            Kept::Shared(object) => Kept::Shared(Arc::clone(object)),
        }
    }
}

/// The makers of the units of a template, one for each; None: they have none.
#[derive(Debug)]
pub struct Makers(pub Option<Box<[Py<PyAny>]>>);

/// The mesh object of a service, cluster or route: itself, or the maker of its unit and where it stands there. With it what
/// callers read of every decision, which all that have equal policies share.
///
/// It goes when its unit goes; without the GIL, PyO3 puts the release off until the GIL is held.
#[derive(Debug)]
pub struct Handle {
    object: Object,
    /// A `_lowered.ClusterPolicy` or `RoutePolicy`.
    policy: Option<Kept<PyTuple>>,
    piece: Piece,
    at: u32,
}

#[derive(Debug)]
enum Object {
    Given(Kept<PyAny>),
    /// Makes it.
    Maker(Py<PyAny>),
    /// The maker of that row, if there is one, makes it.
    Row(Arc<Makers>, u32),
}

impl Handle {
    pub fn given(object: Kept<PyAny>, piece: Piece, policy: Option<Kept<PyTuple>>) -> Self {
        Handle { object: Object::Given(object), policy, piece, at: 0 }
    }

    /// Whether it is that very object.
    pub fn is(&self, other: &Handle) -> bool {
        match (&self.object, &other.object) {
            (Object::Given(one), Object::Given(other)) => one.get().is(other.get()),
            _ => false,
        }
    }

    pub fn made_by(maker: Py<PyAny>, piece: Piece, at: u32, policy: Option<Kept<PyTuple>>) -> Self {
        Handle { object: Object::Maker(maker), policy, piece, at }
    }

    /// The handle of the same piece of a unit that is made like this one's.
    pub fn like(&self, makers: &Arc<Makers>, row: u32, piece: Piece, at: u32) -> Self {
        let object = match (&makers.0, &self.object) {
            (None, Object::Given(object)) => Object::Given(object.again()),
            _ => Object::Row(Arc::clone(makers), row),
        };
        Handle { object, policy: self.policy.as_ref().map(Kept::again), piece, at }
    }

    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        let object = match &self.object {
            Object::Given(object) => Object::Given(object.again()),
            Object::Maker(maker) => Object::Maker(maker.clone_ref(py)),
            Object::Row(makers, row) => Object::Row(Arc::clone(makers), *row),
        };
        Handle { object, policy: self.policy.as_ref().map(Kept::again), piece: self.piece, at: self.at }
    }

    /// What the unit brought, or its maker makes now.
    pub fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let maker = match &self.object {
            Object::Given(object) => return Ok(object.get().bind(py).clone()),
            Object::Maker(maker) => maker,
            Object::Row(makers, row) => match &makers.0 {
                Some(makers) => &makers[*row as usize],
                None => return Ok(py.None().into_bound(py)),
            },
        };
        let name = match self.piece {
            Piece::Service => intern!(py, "service"),
            Piece::Cluster => intern!(py, "cluster"),
            Piece::VirtualHost => intern!(py, "virtual_host"),
            Piece::Route => intern!(py, "route"),
            Piece::Chain => intern!(py, "chain"),
        };
        maker.bind(py).call_method1(name, (self.at,))
    }

    /// A field of the policy; None without one.
    pub fn of_policy<'py>(&self, py: Python<'py>, field: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.policy.as_ref().map(|policy| policy.get().bind(py).get_item(field)).transpose()
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
