//! The C interface over Python's engines: a capsule with the table of functions, for code that neither links nor holds the GIL.

use std::ffi::c_void;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyString};
use roadstead::api::roadstead_api;
use roadstead::embed::{Embed, Retry, Rule, Shared, Tls, Upstream};
use roadstead::failure::Failure;
use roadstead::types::roadstead_status;

use crate::attach::{Handle, PyAttach};
use crate::engine::Engine;

static API: roadstead_api = roadstead_api::of::<PyAttach>();

/// Puts the table where `PyCapsule_Import("roadstead._core._C_API")` finds it.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let table = std::ptr::NonNull::from(&API).cast::<c_void>();
    // SAFETY: the table is static, so the pointer is good for as long as the capsule.
    let capsule = unsafe { PyCapsule::new_with_pointer(module.py(), table, c"roadstead._core._C_API")? };
    module.add("_C_API", capsule)
}

impl Embed for PyAttach {
    const MARK: u64 = 0x726f_6164_7079_7400;

    unsafe fn engine_of(object: *mut c_void) -> Result<Shared<Self>, Failure> {
        // The GIL is held: the header demands it.
        Python::attach(|py| {
            // SAFETY: the header demands a live Python object.
            let object = unsafe { Bound::from_borrowed_ptr(py, object.cast::<ffi::PyObject>()) };
            engine_of(&object).map_err(|error| {
                let message = format!("expected a Registry, a View or an Engine of the native engine: {error}");
                Failure::new(roadstead_status::ROADSTEAD_OBJECT, message)
            })
        })
    }

    fn rule(handle: &Handle) -> Option<Arc<Rule>> {
        Python::attach(|py| rule(py, handle).ok().map(Arc::new))
    }

    fn upstream(handle: &Handle) -> Option<Arc<Upstream>> {
        Python::attach(|py| upstream(py, handle).ok().map(Arc::new))
    }
}

/// A View has its engine as an attribute.
fn engine_of(object: &Bound<'_, PyAny>) -> PyResult<Shared<PyAttach>> {
    let engine = match object.cast::<Engine>() {
        Ok(engine) => engine.clone(),
        Err(_) => object.getattr(intern!(object.py(), "engine"))?.cast_into::<Engine>()?,
    };
    Ok(engine.get().shared())
}

fn text(object: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<Box<str>> {
    object.getattr(name)?.extract::<String>().map(String::into_boxed_str)
}

/// A field of a policy that is set.
fn set<'py>(py: Python<'py>, handle: &Handle, field: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(handle.of_policy(py, field)?.filter(|value| !value.is_none()))
}

/// Of a `_lowered.RoutePolicy`.
fn rule(py: Python<'_>, handle: &Handle) -> PyResult<Rule> {
    Ok(Rule {
        timeout: set(py, handle, 0)?.map(|timeout| timeout.extract()).transpose()?,
        retry: set(py, handle, 1)?.map(|retry| retry_of(&retry)).transpose()?,
    })
}

fn retry_of(retry: &Bound<'_, PyAny>) -> PyResult<Retry> {
    let py = retry.py();
    Ok(Retry {
        attempts: retry.getattr(intern!(py, "attempts"))?.extract()?,
        retry_on: text(retry, intern!(py, "retry_on"))?,
        status_codes: retry.getattr(intern!(py, "retriable_status_codes"))?.extract::<Vec<u32>>()?.into(),
        per_try_timeout: retry.getattr(intern!(py, "per_try_timeout"))?.extract()?,
        backoff: retry.getattr(intern!(py, "backoff"))?.extract()?,
    })
}

/// Of a `_lowered.ClusterPolicy`.
fn upstream(py: Python<'_>, handle: &Handle) -> PyResult<Upstream> {
    let timeout = |pool: Bound<'_, PyAny>| {
        pool.getattr(intern!(py, "tcp"))?.getattr(intern!(py, "connect_timeout"))?.extract::<f64>()
    };
    Ok(Upstream {
        connect_timeout: set(py, handle, 0)?.map(timeout).transpose()?,
        tls: set(py, handle, 4)?.map(|tls| tls_of(&tls)).transpose()?,
    })
}

fn tls_of(tls: &Bound<'_, PyAny>) -> PyResult<Tls> {
    let py = tls.py();
    let texts = |name: &Bound<'_, PyString>| -> PyResult<Box<[Box<str>]>> {
        let given: Vec<String> = tls.getattr(name)?.extract()?;
        Ok(given.into_iter().map(String::into_boxed_str).collect())
    };
    Ok(Tls {
        mode: text(tls, intern!(py, "mode"))?,
        sni: text(tls, intern!(py, "sni"))?,
        verify: text(tls, intern!(py, "verify"))?,
        ca: text(tls, intern!(py, "ca"))?,
        certificate: text(tls, intern!(py, "certificate"))?,
        private_key: text(tls, intern!(py, "private_key"))?,
        credential_name: text(tls, intern!(py, "credential_name"))?,
        subject_alt_names: texts(intern!(py, "subject_alt_names"))?,
        alpn: texts(intern!(py, "alpn"))?,
        auto_sni: tls.getattr(intern!(py, "auto_sni"))?.extract()?,
    })
}
