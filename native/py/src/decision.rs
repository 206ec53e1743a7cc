//! `Decision`: where one request goes. What it says is computed when it is read, from the core's decision and the request.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use roadstead_core::decision::{self, Kind};
use roadstead_core::exchange;
use roadstead_core::formats::Told;
use roadstead_core::model::OpKind;
use roadstead_core::rewrite::{self, Operation};
use roadstead_core::view::Share;
use roadstead_core::virtual_host::FaultHit;

use crate::attach::PyAttach;
use crate::cluster::{self, Cluster};
use crate::engine::Parts;
use crate::errors;
use crate::exchange::{Asked, Exchange};
use crate::headers::{self, Headers, Lines};
use crate::request::Lent;
use crate::service;

/// The request as it was given, kept for what is read later. `path` None is "/", `method` None is GET.
pub struct Given {
    pub host: Py<PyString>,
    pub path: Option<Py<PyString>>,
    pub method: Option<Py<PyString>>,
    pub headers: Option<Py<PyAny>>,
    pub rare: Option<Box<Rare>>,
    /// From `connect`: no path and no method.
    pub connection: bool,
}

/// What few requests are given with.
#[derive(Default)]
pub struct Rare {
    pub scheme: Option<Py<PyString>>,
    pub source_ip: Option<Py<PyString>>,
    pub original_destination: Option<(Py<PyString>, u16)>,
    pub server_name: Option<Py<PyString>>,
}

impl Given {
    /// The same request for another decision.
    pub fn again(&self, py: Python<'_>) -> Given {
        let text = |text: &Option<Py<PyString>>| text.as_ref().map(|text| text.clone_ref(py));
        let rare = self.rare.as_ref().map(|rare| {
            let dialled = rare.original_destination.as_ref();
            Box::new(Rare {
                scheme: text(&rare.scheme),
                source_ip: text(&rare.source_ip),
                original_destination: dialled.map(|(host, port)| (host.clone_ref(py), *port)),
                server_name: text(&rare.server_name),
            })
        });
        Given {
            host: self.host.clone_ref(py),
            path: text(&self.path),
            method: text(&self.method),
            headers: self.headers.as_ref().map(|headers| headers.clone_ref(py)),
            rare,
            connection: self.connection,
        }
    }
}

#[pyclass(frozen, module = "roadstead._core")]
pub struct Decision {
    pub core: decision::Decision<PyAttach>,
    pub given: Given,
    pub picks: AtomicU32,
    pub engine: Arc<Share<Parts>>,
}

fn text<'a>(py: Python<'_>, text: Option<&'a Py<PyString>>, default: &'a str) -> PyResult<&'a str> {
    text.map_or(Ok(default), |text| text.to_str(py))
}

impl Decision {
    /// The request again.
    pub fn request<'a, 'py>(&'a self, py: Python<'py>) -> PyResult<Lent<'a, 'py>> {
        let given = &self.given;
        let (path, method) = if given.connection { ("", "") } else { ("/", "GET") };
        let rare = given.rare.as_deref();
        let optional = |text: Option<&'a Py<PyString>>| text.map(|text| text.to_str(py)).transpose();
        Ok(Lent {
            py,
            host: given.host.to_str(py)?,
            path: text(py, given.path.as_ref(), path)?,
            method: text(py, given.method.as_ref(), method)?,
            scheme: optional(rare.and_then(|rare| rare.scheme.as_ref()))?,
            source_ip: optional(rare.and_then(|rare| rare.source_ip.as_ref()))?,
            headers: Headers::new(given.headers.as_ref().map(|headers| headers.bind(py))),
            dialled: None,
            server_name: text(py, rare.and_then(|rare| rare.server_name.as_ref()), "")?,
        })
    }

    /// What `read` makes of the request; an error where its headers could not be read.
    pub fn read<T>(&self, py: Python<'_>, read: impl FnOnce(&Lent<'_, '_>) -> T) -> PyResult<T> {
        let request = self.request(py)?;
        let made = read(&request);
        request.headers.check().map(|()| made)
    }

    /// A field of `_lowered.RoutePolicy`; None where nothing is set.
    fn of_route<'py>(&self, py: Python<'py>, field: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.core.rule_handle().and_then(|handle| handle.of_policy(py, field).transpose()).transpose()
    }

    fn of_cluster<'py>(
        &self,
        py: Python<'py>,
        read: impl FnOnce(&Cluster) -> PyResult<Option<Bound<'py, PyAny>>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.core.cluster() {
            Some(known) => read(cluster::object(py, known)?.bind(py).cast::<Cluster>()?.get()),
            None => Ok(None),
        }
    }

    /// For messages.
    pub fn reasons_text(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.read(py, |request| self.core.reasons(request))?.join(", "))
    }
}

fn word<'py>(py: Python<'py>, kind: Kind) -> &'py Bound<'py, PyString> {
    match kind {
        Kind::Forward => intern!(py, "forward"),
        Kind::Redirect => intern!(py, "redirect"),
        Kind::DirectResponse => intern!(py, "direct_response"),
        Kind::Passthrough => intern!(py, "passthrough"),
        Kind::Refused => intern!(py, "refused"),
        Kind::NotFound => intern!(py, "not_found"),
        Kind::NoCluster => intern!(py, "no_cluster"),
    }
}

/// (op, name, value) for each operation.
fn operations<'py, 'o>(py: Python<'py>, operations: Vec<Operation<'o>>) -> PyResult<Bound<'py, PyTuple>> {
    let words = operations.into_iter().map(|Operation { kind, name, value, .. }| {
        let word = match kind {
            OpKind::Set => intern!(py, "set"),
            OpKind::Add => intern!(py, "add"),
            OpKind::Remove => intern!(py, "remove"),
            OpKind::AddIfAbsent => intern!(py, "add_if_absent"),
        };
        (word, name, value)
    });
    PyTuple::new(py, words.collect::<Vec<_>>())
}

#[pymethods]
impl Decision {
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        word(py, self.core.kind)
    }

    #[getter]
    fn status(&self) -> u16 {
        self.core.status()
    }

    #[getter]
    fn flags<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.core.flags())
    }

    #[getter]
    fn service(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let found = self.read(py, |request| self.core.service(request))?;
        found.map(|found| Ok(service::object(py, found)?.clone_ref(py))).transpose()
    }

    #[getter]
    fn cluster(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let known = self.core.cluster();
        known.map(|known| Ok(cluster::object(py, known)?.clone_ref(py))).transpose()
    }

    #[getter]
    fn cluster_name(&self) -> &str {
        self.core.cluster_name()
    }

    #[getter]
    fn route<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.core.rule_handle().map(|handle| handle.object(py)).transpose()
    }

    #[getter]
    fn virtual_host<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.core.virtual_host().map(|host| host.handle.object(py)).transpose()
    }

    #[getter]
    fn route_index(&self) -> i64 {
        self.core.route_index().map_or(-1, i64::from)
    }

    #[getter]
    fn destination_index(&self) -> i64 {
        self.core.destination.map_or(-1, i64::from)
    }

    #[getter]
    fn timeout<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_route(py, 0)
    }

    #[getter]
    fn retry<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_route(py, 1)
    }

    #[getter]
    fn cors<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_route(py, 2)
    }

    #[getter]
    fn tcp_policy<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_route(py, 3)
    }

    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        match (self.read(py, |request| self.core.rewritten_path(request))?, &self.given.path) {
            (Some(rewritten), _) => Ok(PyString::new(py, &rewritten)),
            (None, Some(given)) => Ok(given.bind(py).clone()),
            (None, None) => Ok(PyString::intern(py, if self.given.connection { "" } else { "/" })),
        }
    }

    #[getter]
    fn authority<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let request = self.request(py)?;
        Ok(PyString::new(py, self.core.authority(&request)))
    }

    #[getter]
    fn request_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.read(py, |request| operations(py, self.core.request_ops(request)))?
    }

    #[getter]
    fn response_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let told = Told::status(self.core.status());
        self.read(py, |request| operations(py, self.core.response_ops(request, &told)))?
    }

    fn apply<'py>(&self, headers: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let given = Lines::of(headers)?;
        let mut lines = given.open()?;
        self.read(headers.py(), |request| rewrite::apply(self.core.request_ops(request), &mut lines))?;
        headers::list(headers.py(), lines)
    }

    #[pyo3(signature = (headers, status=0))]
    fn apply_response<'py>(&self, headers: &Bound<'py, PyAny>, status: u16) -> PyResult<Bound<'py, PyList>> {
        let given = Lines::of(headers)?;
        let operations = self.read(headers.py(), |request| {
            let header = |name: &str| given.first(name);
            let status = if status == 0 { self.core.status() } else { status };
            self.core.response_ops(request, &Told { status, header: &header })
        })?;
        let mut lines = given.open()?;
        rewrite::apply(operations, &mut lines);
        headers::list(headers.py(), lines)
    }

    #[getter]
    fn redirect(&self, py: Python<'_>) -> PyResult<Option<(u16, String)>> {
        self.read(py, |request| self.core.redirect(request))
    }

    #[getter]
    fn direct_response<'py>(&self, py: Python<'py>) -> Option<(u16, Bound<'py, PyBytes>)> {
        self.core.direct_response().map(|(status, body)| (status, PyBytes::new(py, body)))
    }

    #[getter]
    fn fault(&self) -> Option<FaultHit> {
        self.core.fault()
    }

    #[getter]
    fn mirrors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.core.mirrors().collect::<Vec<_>>())
    }

    #[getter]
    fn set_cookies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.read(py, |request| self.core.set_cookies(request))?)
    }

    #[getter]
    fn connection_pool<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_cluster(py, |cluster| cluster.connection_pool(py))
    }

    #[getter]
    fn application_tls(&self, py: Python<'_>) -> PyResult<bool> {
        self.read(py, |request| self.core.scheme.text(request) == "https")
    }

    #[getter]
    fn tls<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.of_cluster(py, |cluster| cluster.tls(py))
    }

    #[getter]
    fn hash(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.read(py, |request| self.core.hash(request))
    }

    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.read(py, |request| self.core.reasons(request))?)
    }

    #[getter]
    fn draw(&self) -> u64 {
        self.core.draw
    }

    #[pyo3(signature = (*, retry=false, pending=false, hash_key=None, exclude=None),
           text_signature = "($self, *, retry=False, pending=False, hash_key=None, exclude=())")]
    fn lease(
        &self,
        py: Python<'_>,
        retry: bool,
        pending: bool,
        hash_key: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.taken(py, retry, pending, hash_key, exclude)
    }

    #[pyo3(signature = (now=None, *, trusted=false, replayable=true, received=true, pending=false, hash_key=None))]
    fn exchange(
        slf: &Bound<'_, Self>,
        now: Option<i64>,
        trusted: bool,
        replayable: bool,
        received: bool,
        pending: bool,
        hash_key: Option<Py<PyAny>>,
    ) -> PyResult<Exchange> {
        let py = slf.py();
        if slf.get().core.is_connection() {
            return Err(errors::engine(py, "an exchange is of a request: this decision is a connection's"));
        }
        let asked = Asked { now, how: exchange::Asked { trusted, replayable, received, pending }, hash_key };
        Exchange::begin(py, slf.clone().unbind(), asked, false)
    }

    fn __repr__(&self) -> String {
        format!("<Decision {} {}>", self.core.kind.word(), self.core.cluster_name())
    }
}

impl Decision {
    /// Headers as they are kept: what can only be read once is read into a tuple.
    pub fn keep(headers: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if headers.is_exact_instance_of::<PyDict>() {
            return Ok(headers.clone().unbind());
        }
        Ok(headers::keep(headers)?.unbind())
    }
}
