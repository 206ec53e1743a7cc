//! `Exchange`: the core's state machine with leases, endpoints and steps as Python objects.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use roadstead_core::exchange::retry::{Answered, Reset};
use roadstead_core::exchange::{self, Choice, Leased, Terms, Upstream, Wrong, steering};
use roadstead_core::overlay::{Outcome, acquire_retry, release_retry};

use crate::cluster;
use crate::decision::Decision;
use crate::errors;
use crate::headers::{self, Lines};
use crate::lease::{Hold, RequestLease};
use crate::steps;

#[pyclass(frozen, module = "roadstead._core")]
pub struct Exchange {
    pub decision: Py<Decision>,
    hash_key: Option<Py<PyAny>>,
    /// A mirror's: no mirrors of its own, and the request's hash does not count.
    copy: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    core: exchange::Exchange,
    side: Side,
    step: Py<PyAny>,
    /// When it began, and when the last report came.
    begun: i64,
    last: i64,
}

/// What the machine has leased.
#[derive(Default)]
struct Side {
    lease: Option<Py<RequestLease>>,
    tried: Vec<Py<PyAny>>,
}

/// The arguments of `Decision.exchange`.
pub struct Asked {
    pub now: Option<i64>,
    pub how: exchange::Asked,
    pub hash_key: Option<Py<PyAny>>,
}

/// The embedder's side of the machine while one report is worked on.
struct Acting<'a, 'py> {
    py: Python<'py>,
    decision: &'a Decision,
    hash_key: Option<&'a Bound<'py, PyAny>>,
    copy: bool,
    side: &'a mut Side,
}

impl Upstream for Acting<'_, '_> {
    type Error = PyErr;

    fn lease(&mut self, choice: Choice<'_>) -> PyResult<Leased> {
        let (py, decision) = (self.py, self.decision);
        let cluster = decision.core.cluster().ok_or_else(|| decision.nowhere(py))?;
        let tried = if choice.other { &*self.side.tried } else { &[] };
        let found = decision.picked_again(py, cluster, self.hash_key, !self.copy, tried, choice.priorities)?;
        let Some((endpoint, priority)) = found else { return Ok(Leased::NoneHealthy) };
        self.side.tried.push(endpoint.clone_ref(py));
        let object = cluster::object(py, cluster)?.clone_ref(py);
        let engine = Arc::clone(&decision.engine);
        match Hold::request(py, engine, object, Arc::clone(cluster.live.wake()), endpoint, choice.pending)? {
            Ok(hold) => self.side.lease = Some(Py::new(py, RequestLease(hold))?),
            Err(_) => return Ok(Leased::Overflow),
        }
        Ok(Leased::Endpoint { priority })
    }

    fn ready(&mut self) -> PyResult<bool> {
        let Some(lease) = &self.side.lease else { return Ok(true) };
        let bound = lease.get().0.bound().is_ok();
        if !bound {
            self.side.lease = None;
        }
        Ok(bound)
    }

    fn finish(&mut self, outcome: Outcome, now: i64) -> PyResult<()> {
        if let Some(lease) = self.side.lease.take() {
            lease.get().0.end(self.py, outcome, Some(now));
        }
        Ok(())
    }

    fn take_retry(&mut self) -> bool {
        let cluster = self.decision.core.cluster();
        let now = || self.decision.engine.core.now();
        cluster.is_some_and(|cluster| {
            let live = cluster.live.wake();
            acquire_retry(live.counters(), &live.limits, &now).is_ok()
        })
    }

    fn give_retry(&mut self) {
        if let Some(cluster) = self.decision.core.cluster() {
            release_retry(cluster.live.wake().counters());
        }
    }
}

impl Exchange {
    pub fn begin(py: Python<'_>, decision: Py<Decision>, asked: Asked, copy: bool) -> PyResult<Self> {
        let own = decision.get();
        let now = own.now(asked.now);
        let values = match &own.given.headers {
            Some(headers) => headers::joined(headers.bind(py), steering::read_names(asked.how.trusted))?,
            None => Vec::new(),
        };
        let terms = own.read(py, |request| Terms::of(&own.core, request, asked.how, &values, copy))?;
        let mut side = Side::default();
        let hash_key = asked.hash_key.as_ref().map(|key| key.bind(py));
        let mut acting = Acting { py, decision: own, hash_key, copy, side: &mut side };
        let core = exchange::Exchange::begin(terms, now, &mut acting)?;
        let step = step_object(py, own, copy, &core, &side)?;
        let inner = Inner { core, side, step, begun: now, last: now };
        Ok(Exchange { decision, hash_key: asked.hash_key, copy, inner: Mutex::new(inner) })
    }

    /// What `read` makes of the machine and of how long it took, in nanoseconds.
    #[inline]
    pub fn once_over<T>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&exchange::Exchange, i64) -> PyResult<T>,
    ) -> PyResult<T> {
        let inner = self.inner(py)?;
        read(&inner.core, inner.last - inner.begun)
    }

    fn inner(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Inner>> {
        self.inner.try_lock().map_err(|_| errors::engine(py, "two reports of one exchange at once"))
    }

    /// Work on one report; the step that follows.
    fn report(
        &self,
        py: Python<'_>,
        now: Option<i64>,
        work: impl FnOnce(&mut exchange::Exchange, i64, &mut Acting<'_, '_>) -> Result<(), Wrong<PyErr>>,
    ) -> PyResult<Py<PyAny>> {
        let mut guard = self.inner(py)?;
        let Inner { core, side, step, last, .. } = &mut *guard;
        if !core.is_over() {
            let decision = self.decision.get();
            let hash_key = self.hash_key.as_ref().map(|key| key.bind(py));
            let now = decision.now(now);
            *last = now;
            let mut acting = Acting { py, decision, hash_key, copy: self.copy, side };
            work(core, now, &mut acting).map_err(|wrong| match wrong {
                Wrong::Report(message) => errors::engine(py, message),
                Wrong::Upstream(error) => error,
            })?;
            *step = step_object(py, decision, self.copy, core, side)?;
        }
        Ok(step.clone_ref(py))
    }
}

fn step_object(
    py: Python<'_>,
    decision: &Decision,
    copy: bool,
    core: &exchange::Exchange,
    side: &Side,
) -> PyResult<Py<PyAny>> {
    let mirrors = || {
        let core = &decision.core;
        core.mirrors().filter(|name| core.snapshot.cluster(name).is_some()).map(str::to_owned).collect()
    };
    let first = !copy && core.attempts() == 1;
    let flags = core.flags();
    let made =
        steps::object(py, core.step(), &flags, side.lease.as_ref(), || if first { mirrors() } else { Vec::new() })?;
    Ok(made.unbind())
}

#[pymethods]
impl Exchange {
    #[getter]
    fn decision(&self, py: Python<'_>) -> Py<Decision> {
        self.decision.clone_ref(py)
    }

    #[getter]
    fn step(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.inner(py)?.step.clone_ref(py))
    }

    #[getter]
    fn attempts(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.inner(py)?.core.attempts())
    }

    #[getter]
    fn deadline(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        Ok(self.inner(py)?.core.deadline())
    }

    #[getter]
    fn flags(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.inner(py)?.core.flags())
    }

    #[getter]
    fn replayable(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.inner(py)?.core.replayable)
    }

    #[setter]
    fn set_replayable(&self, py: Python<'_>, value: bool) -> PyResult<()> {
        self.inner(py)?.core.replayable = value;
        Ok(())
    }

    fn apply<'py>(&self, headers: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = headers.py();
        let given = Lines::of(headers)?;
        let mut lines = given.open()?;
        let decision = self.decision.get();
        let rule = decision.read(py, |request| decision.core.request_ops(request))?;
        let own = self.inner(py)?.core.own_ops();
        self.inner(py)?.core.apply(rule, &own, &mut lines);
        headers::list(py, lines)
    }

    #[pyo3(signature = (now=None))]
    fn received(&self, py: Python<'_>, now: Option<i64>) -> PyResult<Py<PyAny>> {
        self.report(py, now, |core, now, _| {
            core.received(now);
            Ok(())
        })
    }

    #[pyo3(signature = (now=None))]
    fn ready(&self, py: Python<'_>, now: Option<i64>) -> PyResult<Py<PyAny>> {
        self.report(py, now, |core, now, acting| core.ready(now, acting))
    }

    #[pyo3(signature = (status, headers=None, *, end_stream=true, now=None))]
    fn response(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        end_stream: bool,
        now: Option<i64>,
    ) -> PyResult<Py<PyAny>> {
        self.report(py, now, |core, now, acting| {
            let answered = match headers {
                Some(headers) => Answered::of(status, &headers::joined(headers, &core.reads())?),
                None => Answered { status, ..Answered::default() },
            };
            core.response(&answered, end_stream, now, acting)
        })
    }

    #[pyo3(signature = (now=None))]
    fn ended(&self, py: Python<'_>, now: Option<i64>) -> PyResult<Py<PyAny>> {
        self.report(py, now, |core, now, acting| core.ended(now, acting))
    }

    #[pyo3(signature = (reason, *, sent=true, now=None))]
    fn reset(&self, py: Python<'_>, reason: &Bound<'_, PyString>, sent: bool, now: Option<i64>) -> PyResult<Py<PyAny>> {
        let Some(reason) = Reset::of(reason.to_str()?) else {
            let words = Reset::ALL.map(Reset::word).join(", ");
            return Err(errors::engine(py, &format!("no reset {}: {words}", reason.repr()?)));
        };
        self.report(py, now, |core, now, acting| core.reset(reason, sent, now, acting))
    }

    #[pyo3(signature = (now=None))]
    fn expired(&self, py: Python<'_>, now: Option<i64>) -> PyResult<Py<PyAny>> {
        self.report(py, now, |core, now, acting| core.expired(now, acting))
    }

    #[pyo3(signature = (now=None))]
    fn cancel(&self, py: Python<'_>, now: Option<i64>) -> PyResult<Py<PyAny>> {
        self.report(py, now, |core, now, acting| Ok(core.cancel(now, acting)?))
    }

    #[pyo3(signature = (cluster, now=None))]
    fn mirror(&self, py: Python<'_>, cluster: &Bound<'_, PyString>, now: Option<i64>) -> PyResult<Exchange> {
        let own = self.decision.get();
        let Some(core) = own.core.to_cluster(cluster.to_str()?) else {
            return Err(errors::engine(py, &format!("no cluster {} to mirror to", cluster.repr()?)));
        };
        let decision =
            Decision { core, given: own.given.again(py), picks: AtomicU32::new(0), engine: Arc::clone(&own.engine) };
        let (received, pending) = {
            let inner = self.inner(py)?;
            (inner.core.is_complete(), inner.core.is_pending())
        };
        let how = exchange::Asked { trusted: false, replayable: false, received, pending };
        let asked = Asked { now, how, hash_key: None };
        Exchange::begin(py, Py::new(py, decision)?, asked, true)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (kind, value, trace);
        self.cancel(py, None).map(drop)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let inner = self.inner(py)?;
        let step = inner.step.bind(py).get_type().name()?;
        Ok(format!("<Exchange {step} attempts={}>", inner.core.attempts()))
    }
}

impl Drop for Exchange {
    /// The lease gives back and warns by itself.
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (true, Some(cluster)) = (inner.core.take_held(), self.decision.get().core.cluster()) {
            release_retry(cluster.live.wake().counters());
        }
    }
}
