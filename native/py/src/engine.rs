//! `Engine`: one node's view, asked from Python.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyInt, PyList, PyString};
use roadstead::embed::Shared;
use roadstead_core::draws::{self, Draws};
use roadstead_core::model::Health;
use roadstead_core::outliers::Hits;
use roadstead_core::overlay::Slot;
use roadstead_core::snapshot::Snapshot;
use roadstead_core::text::ip_of;
use roadstead_core::view::{Shares, View};
use roadstead_core::{engine, routing};

use crate::attach::PyAttach;
use crate::builder::Builder;
use crate::columns::{HostColumn, of_length};
use crate::convert::{self, Interned};
use crate::decision::{Decision, Given, Rare};
use crate::fastcall::{Call, Method, Signature};
use crate::headers::Headers;
use crate::request::Lent;
use crate::template::Template;
use crate::{buffers, cluster, errors, memory, numbers, service};

/// Engines of this process, for what a forked child forgets.
static ENGINES: Mutex<Vec<Weak<engine::Engine<PyAttach>>>> = Mutex::new(Vec::new());

#[pyclass(frozen, weakref, module = "roadstead._core")]
pub struct Engine {
    /// In shares, as every decision and lease keeps it: threads that count themselves in one object wait for each other.
    parts: Shares<Parts>,
    interned: Mutex<Interned>,
}

/// What decisions and leases ask of their engine.
pub struct Parts {
    pub core: Arc<engine::Engine<PyAttach>>,
    draws: Arc<Draws>,
    /// Clusters whose endpoints are not known yet: what asks for them.
    held: Mutex<HashMap<String, Py<PyAny>>>,
}

impl Deref for Engine {
    type Target = Parts;

    #[inline]
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Engine {
    /// Policies that were converted before are known; a thread that comes while another converts starts from nothing.
    pub fn interning<T>(&self, convert: impl FnOnce(&mut Interned) -> T) -> T {
        match self.interned.try_lock() {
            Ok(mut interned) => convert(&mut interned),
            Err(_) => convert(&mut Interned::default()),
        }
    }

    /// For who holds the engine without Python.
    pub fn shared(&self) -> Shared<PyAttach> {
        Shared::new(Arc::clone(&self.core), Arc::clone(&self.draws))
    }
}

impl Parts {
    /// What asks for the endpoints of a cluster that is on hold.
    #[cold]
    pub fn want(&self, py: Python<'_>, cluster: &str) -> Option<Py<PyAny>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(cluster).map(|want| want.clone_ref(py))
    }

    /// An endpoint of a cluster failed as often in a row as outlier detection lets it.
    pub fn detected(&self, cluster: &str, slot: &Arc<Slot>, hits: Hits, now: Option<i64>) {
        // The clock is the embedder's: it must not run while others wait.
        let now = now.unwrap_or_else(|| self.core.now());
        self.core.eject(cluster, slot, hits, now, &mut || self.draws.draw());
    }

    #[inline]
    fn decided(
        &self,
        view: &View<PyAttach>,
        lent: &Lent<'_, '_>,
        port: Option<u16>,
        draw: Option<u64>,
    ) -> PyResult<Core> {
        let draw = draw.unwrap_or_else(|| self.draws.draw());
        let core = routing::route(view, lent, port, draw);
        lent.headers.check().map(|()| core)
    }
}

type Core = roadstead_core::decision::Decision<PyAttach>;

/// What `time.monotonic_ns` said at an instant. Callers compare the engine's instants with their own: one clock for both.
static START: PyOnceLock<(Instant, i64)> = PyOnceLock::new();

/// The system's monotonic clock in nanoseconds, as `time.monotonic_ns` tells it.
fn monotonic(py: Python<'_>) -> PyResult<impl Fn() -> i64 + Send + Sync + use<>> {
    let &(start, said) = START.get_or_try_init(py, || {
        let said = py.import("time")?.call_method0("monotonic_ns")?.extract()?;
        PyResult::Ok((Instant::now(), said))
    })?;
    Ok(move || i64::try_from(start.elapsed().as_nanos()).map_or(i64::MAX, |passed| said.saturating_add(passed)))
}

/// A clock in Python. One that fails is heard, and stands still.
fn clock_of(clock: Py<PyAny>) -> impl Fn() -> i64 + Send + Sync {
    move || {
        Python::attach(|py| {
            let now = clock.bind(py).call0().and_then(|now| now.extract());
            now.unwrap_or_else(|error| {
                error.write_unraisable(py, Some(clock.bind(py)));
                0
            })
        })
    }
}

/// `os.register_at_fork` calls it in the child.
#[pyfunction]
pub fn _forked() {
    draws::forked();
    // Changed by attached threads only: where the fork was made nobody else had the GIL, or the others stood still elsewhere.
    let engines = ENGINES.try_lock().unwrap_or_else(|_| unreachable!("nobody else was attached"));
    engines.iter().filter_map(Weak::upgrade).for_each(|engine| engine.forked());
}

fn remember(engine: &Arc<engine::Engine<PyAttach>>) {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.retain(|known| known.strong_count() > 0);
    engines.push(Arc::downgrade(engine));
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, seed=None, clock=None))]
    fn new(py: Python<'_>, seed: Option<&Bound<'_, PyInt>>, clock: Option<Py<PyAny>>) -> PyResult<Self> {
        let draws = Arc::new(Draws::new(seed.map(numbers::wrapped).transpose()?));
        let clock: engine::Source<i64> = match clock {
            Some(clock) => Arc::new(clock_of(clock)),
            None => Arc::new(monotonic(py)?),
        };
        let starts = Arc::clone(&draws);
        let core = Arc::new(engine::Engine::new(clock, Arc::new(move || starts.start())));
        remember(&core);
        let parts = Shares::new(Parts { core, draws, held: Mutex::default() });
        Ok(Engine { parts, interned: Mutex::default() })
    }

    #[getter]
    fn version(&self) -> u64 {
        self.core.version()
    }

    fn builder(slf: &Bound<'_, Self>) -> Builder {
        Builder::new(slf.get().core.builder(), slf.clone().unbind())
    }

    fn template(&self, unit: &Bound<'_, PyAny>) -> PyResult<Template> {
        Template::new(unit.py(), self.interning(|interned| convert::template(unit, interned))?)
    }

    fn publish(&self, py: Python<'_>, builder: &Builder) -> PyResult<()> {
        let built = builder.take(py)?;
        // What it replaces may be large, and is freed here: readers go on meanwhile.
        py.detach(|| self.core.publish(built)).map_err(|error| errors::from_core(py, &error))
    }

    #[pyo3(signature = (host, port, *, sni=None, source_ip=None, draw=None))]
    fn connect(
        slf: &Bound<'_, Self>,
        host: &Bound<'_, PyString>,
        port: u16,
        sni: Option<&Bound<'_, PyString>>,
        source_ip: Option<&Bound<'_, PyString>>,
        draw: Option<u64>,
    ) -> PyResult<Decision> {
        let engine = slf.get();
        let lent = Lent {
            py: slf.py(),
            host: host.to_str()?,
            path: "",
            method: "",
            scheme: None,
            source_ip: source_ip.map(|text| text.to_str()).transpose()?,
            headers: Headers::new(None),
            dialled: None,
            server_name: "",
        };
        let name = sni.map(|text| text.to_str()).transpose()?;
        let core = engine.core.connect(&lent, port, name, draw.unwrap_or_else(|| engine.draws.draw()));
        let kept = |text: Option<&Bound<'_, PyString>>| text.map(|text| text.clone().unbind());
        let rare = (source_ip.is_some() || sni.is_some())
            .then(|| Box::new(Rare { source_ip: kept(source_ip), server_name: kept(sni), ..Rare::default() }));
        let given =
            Given { host: host.clone().unbind(), path: None, method: None, headers: None, rare, connection: true };
        Ok(Decision { core, given, picks: AtomicU32::new(0), engine: engine.parts.share() })
    }

    fn find_many(
        &self,
        py: Python<'_>,
        hosts: &HostColumn,
        ports: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let rows = hosts.len();
        let numbers: Vec<u16> = buffers::read(ports, "ports", "uint16", rows)?;
        let target = buffers::Target::of(out, "out", rows)?;
        let mut found = vec![-1; rows];
        py.detach(|| self.core.find_many(hosts.column(), &numbers, &mut found))
            .map_err(|error| errors::from_core(py, &error))?;
        target.write(py, &found)
    }

    #[pyo3(signature = (hosts, ports, out, *, paths=None, draws=None))]
    fn route_many(
        &self,
        py: Python<'_>,
        hosts: &HostColumn,
        ports: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
        paths: Option<&HostColumn>,
        draws: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let rows = hosts.len();
        let numbers: Vec<u16> = buffers::read(ports, "ports", "uint16", rows)?;
        let target = buffers::Target::of(out, "out", rows)?;
        let paths = paths.map(|paths| of_length(py, paths, "paths", rows)).transpose()?;
        let given: Option<Vec<u64>> = draws.map(|draws| buffers::read(draws, "draws", "uint64", rows)).transpose()?;
        let mut found = vec![-1; rows];
        py.detach(|| {
            let draw = |at: usize| given.as_ref().map_or_else(|| self.draws.draw(), |given| given[at]);
            self.core.route_many(hosts.column(), &numbers, &mut found, paths.map(HostColumn::column), draw)
        })
        .map_err(|error| errors::from_core(py, &error))?;
        target.write(py, &found)
    }

    fn services<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let snapshot = self.core.snapshot();
        let objects = snapshot.services().map(|known| known.map(|known| service::object(py, known)).transpose());
        PyList::new(py, objects.collect::<PyResult<Vec<_>>>()?)
    }

    fn clusters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let snapshot = self.core.snapshot();
        let objects = snapshot.clusters().map(|known| known.map(|known| cluster::object(py, known)).transpose());
        PyList::new(py, objects.collect::<PyResult<Vec<_>>>()?)
    }

    fn cluster(&self, py: Python<'_>, name: &str) -> PyResult<Option<Py<PyAny>>> {
        let known = self.core.cluster(name);
        known.map(|known| Ok(cluster::object(py, &known)?.clone_ref(py))).transpose()
    }

    #[allow(clippy::unused_self)]
    fn trim(&self, py: Python<'_>) {
        py.detach(memory::trim);
    }

    fn update_endpoints(&self, py: Python<'_>, cluster: &str, groups: &Bound<'_, PyAny>) -> PyResult<()> {
        let groups = self.interning(|interned| convert::groups(groups, interned))?;
        self.core.update_endpoints(cluster, groups).map_err(|error| errors::from_core(py, &error))?;
        let known = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(cluster);
        drop(known);
        Ok(())
    }

    fn hold(&self, py: Python<'_>, cluster: &str, want: Py<PyAny>) -> PyResult<()> {
        self.core.update_endpoints(cluster, Vec::new()).map_err(|error| errors::from_core(py, &error))?;
        let before = self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster.to_owned(), want);
        drop(before);
        Ok(())
    }

    fn set_health(&self, py: Python<'_>, cluster: &str, address: &str, port: u16, health: usize) -> PyResult<()> {
        let Some(health) = Health::CODES.get(health) else {
            return Err(errors::engine(py, &format!("no health {health} (0 to {})", Health::CODES.len() - 1)));
        };
        match self.core.set_health(cluster, address, port, *health) {
            Ok(true) => Ok(()),
            Ok(false) => Err(errors::unknown(&format!("{cluster} has no endpoint {address}:{port}"))),
            Err(error) => Err(errors::from_core(py, &error)),
        }
    }

    #[pyo3(signature = (now=None))]
    fn sweep(&self, now: Option<i64>) -> Option<i64> {
        self.core.sweep(now)
    }

    fn explain<'py>(&self, py: Python<'py>, decision: &Decision) -> PyResult<Bound<'py, PyList>> {
        let steps = decision.read(py, |request| decision.core.explain(request))?;
        PyList::new(py, steps.into_iter().map(|(at, taken, text)| (at, u8::from(taken), text)).collect::<Vec<_>>())
    }
}

/// `Engine.find`.
pub struct Find;

impl Method for Find {
    type Owner = Engine;

    #[inline]
    fn call<'py>(owner: &Bound<'py, Engine>, call: &Call<'_, 'py>) -> PyResult<Py<PyAny>> {
        let py = owner.py();
        static SIGNATURE: PyOnceLock<Signature<2>> = PyOnceLock::new();
        let signature = SIGNATURE.get_or_init(py, || Signature::new(py, "find", ["host", "port"], 2, 2));
        let [Some(host), Some(port)] = signature.parse(call)? else {
            unreachable!("both are required");
        };
        let host = host.cast::<PyString>()?;
        let snapshot = owner.get().core.load();
        let Some(found) = snapshot.find(host.to_str()?, port.extract()?) else {
            return Ok(py.None());
        };
        let made = found.cell.get_or_make(py, || Ok(service::object(py, found.service)?.clone_ref(py)))?;
        Ok(made.clone_ref(py))
    }
}

/// `Engine.route`.
pub struct Route;

#[inline]
fn string<'b, 'py>(given: &'b Option<Borrowed<'_, 'py, PyAny>>) -> PyResult<Option<&'b Bound<'py, PyString>>> {
    Ok(given.as_ref().map(|given| (**given).cast::<PyString>()).transpose()?)
}

/// The path as rules see it; nearly always the very string.
#[inline]
fn normal<'py>(snapshot: &Snapshot<PyAttach>, path: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
    match snapshot.normal_path(path.to_str()?) {
        Cow::Borrowed(_) => Ok(path.clone()),
        Cow::Owned(made) => Ok(PyString::new(path.py(), &made)),
    }
}

const ROUTE: [&str; 9] =
    ["host", "port", "path", "method", "headers", "scheme", "source_ip", "original_destination", "draw"];

impl Method for Route {
    type Owner = Engine;

    #[inline]
    fn call<'py>(owner: &Bound<'py, Engine>, call: &Call<'_, 'py>) -> PyResult<Py<PyAny>> {
        let py = owner.py();
        static SIGNATURE: PyOnceLock<Signature<9>> = PyOnceLock::new();
        let signature = SIGNATURE.get_or_init(py, || Signature::new(py, "route", ROUTE, 5, 1));
        let given = signature.parse(call)?.map(|value| value.filter(|value| !value.is_none()));
        let [Some(host), port, path, method, headers, scheme, source_ip, original, draw] = given else {
            return Err(pyo3::exceptions::PyTypeError::new_err("route() host must be str, not None"));
        };
        let host = (*host).cast::<PyString>()?;
        let (path, method) = (string(&path)?, string(&method)?);
        let (scheme, source_ip) = (string(&scheme)?, string(&source_ip)?);
        let headers = headers.map(|headers| Decision::keep(&headers)).transpose()?;
        let original: Option<(Py<PyString>, u16)> = original.map(|pair| pair.extract()).transpose()?;
        let address = original.as_ref().map(|(host, _)| host.to_str(py)).transpose()?.and_then(ip_of);
        let snapshot = owner.get().core.load();
        let path = match path {
            Some(path) => Some(normal(&snapshot, path)?),
            None => None,
        };
        let path = path.as_ref();
        let lent = Lent {
            py,
            host: host.to_str()?,
            path: path.map_or(Ok("/"), |path| path.to_str())?,
            method: method.map_or(Ok("GET"), |method| method.to_str())?,
            scheme: scheme.map(|scheme| scheme.to_str()).transpose()?,
            source_ip: source_ip.map(|text| text.to_str()).transpose()?,
            headers: Headers::new(headers.as_ref().map(|headers| headers.bind(py))),
            dialled: address.zip(original.as_ref().map(|(_, port)| *port)),
            server_name: "",
        };
        let port = port.map(|port| port.extract()).transpose()?;
        let draw = draw.map(|draw| draw.extract()).transpose()?;
        let core = owner.get().decided(&snapshot, &lent, port, draw)?;
        let rare = match (scheme, source_ip, original) {
            (None, None, None) => None,
            (scheme, source_ip, original) => Some(Box::new(Rare {
                scheme: scheme.map(|text| text.clone().unbind()),
                source_ip: source_ip.map(|text| text.clone().unbind()),
                original_destination: original,
                server_name: None,
            })),
        };
        let given = Given {
            host: host.clone().unbind(),
            path: path.filter(|_| lent.path != "/").map(|path| path.clone().unbind()),
            method: method.filter(|_| lent.method != "GET").map(|method| method.clone().unbind()),
            headers,
            rare,
            connection: false,
        };
        let decision = Decision { core, given, picks: AtomicU32::new(0), engine: owner.get().parts.share() };
        Ok(Py::new(py, decision)?.into_any())
    }
}
