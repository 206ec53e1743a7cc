//! The steps of an exchange as the classes of `roadstead.steps`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple, PyType};
use roadstead_core::exchange::Step;

use crate::lease::RequestLease;

static DELAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static TRY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static FORWARD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static RESPOND: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static DONE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static NEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// One of the named tuples, made without the Python frame of its own constructor; all fields are given.
fn made<'py>(
    cell: &'static PyOnceLock<Py<PyType>>,
    name: &str,
    fields: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = fields.py();
    let class = cell.import(py, "roadstead.steps", name)?;
    let new =
        NEW.get_or_try_init(py, || PyResult::Ok(py.get_type::<PyTuple>().getattr(intern!(py, "__new__"))?.unbind()))?;
    new.bind(py).call1((class, fields))
}

fn lines<'py>(py: Python<'py>, headers: &[(&'static str, String)]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, headers.iter().map(|(name, value)| (*name, value)))
}

/// `lease` and `mirrors`: of a try.
pub fn object<'py>(
    py: Python<'py>,
    step: &Step,
    flags: &str,
    lease: Option<&Py<RequestLease>>,
    mirrors: impl FnOnce() -> Vec<String>,
) -> PyResult<Bound<'py, PyAny>> {
    match step {
        Step::Delay { until } => made(&DELAY, "Delay", (until,).into_pyobject(py)?),
        Step::Try { number, deadline, headers } => {
            let fields = (lease, number, deadline, lines(py, headers)?, PyTuple::new(py, mirrors())?);
            made(&TRY, "Try", fields.into_pyobject(py)?)
        }
        Step::Forward { status, deadline } => made(&FORWARD, "Forward", (status, flags, deadline).into_pyobject(py)?),
        Step::Respond(reply) => {
            let body = PyBytes::new(py, &reply.body);
            let fields = (reply.status, lines(py, &reply.headers)?, body, flags, &*reply.details);
            made(&RESPOND, "Respond", fields.into_pyobject(py)?)
        }
        Step::Done { status, details, reset } => {
            made(&DONE, "Done", (status, flags, details, reset).into_pyobject(py)?)
        }
    }
}
