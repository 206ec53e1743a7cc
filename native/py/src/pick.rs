//! `Decision.pick` and `Decision.lease`: from the chosen cluster to one endpoint.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyInt, PyTuple};
use roadstead_core::balance::{ClusterLive, PickInput};
use roadstead_core::cluster::Cluster;
use roadstead_core::decision::Kind;
use roadstead_core::exchange::retry::PreviousPriorities;
use roadstead_core::hash::xxh64;
use roadstead_core::model::ClusterType;
use roadstead_core::overlay::LeaseKind;

use crate::attach::PyAttach;
use crate::cluster;
use crate::decision::Decision;
use crate::endpoint::{self, Endpoint};
use crate::errors;
use crate::fastcall::{Call, Method, Signature};
use crate::lease::{ConnectionLease, Hold, RequestLease};
use crate::numbers;

/// `Decision.pick`.
pub struct Pick;

impl Method for Pick {
    type Owner = Decision;

    #[inline]
    fn call<'py>(owner: &Bound<'py, Decision>, call: &Call<'_, 'py>) -> PyResult<Py<PyAny>> {
        let py = owner.py();
        if call.is_empty() {
            return owner.get().picked(py, None, None);
        }
        static SIGNATURE: PyOnceLock<Signature<2>> = PyOnceLock::new();
        let signature = SIGNATURE.get_or_init(py, || Signature::new(py, "pick", ["hash_key", "exclude"], 0, 0));
        let [hash_key, exclude] = signature.parse(call)?;
        owner.get().picked(py, hash_key.as_deref().filter(|key| !key.is_none()), exclude.as_deref())
    }
}

impl Decision {
    /// One endpoint. Each call is a new pick.
    #[inline]
    pub fn picked(
        &self,
        py: Python<'_>,
        hash_key: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let Some(cluster) = self.core.cluster() else {
            return Err(self.nowhere(py));
        };
        if matches!(cluster.kind, ClusterType::OriginalDst | ClusterType::DynamicDns) {
            return self.asked_for(py);
        }
        let live = &**cluster.live.wake();
        let hash = if live.hashes() { self.hash_for(py, hash_key)? } else { None };
        if let Some(exclude) = exclude {
            let refused = refused(exclude)?;
            if !refused.is_empty() {
                return self.pick_other(py, cluster, hash, &refused);
            }
        }
        let state = live.state();
        match live.pick(&state, self.input(live, hash, 0)) {
            Some(index) => Ok(endpoint::object(py, &state, index)?.clone_ref(py)),
            None => Err(self.none_healthy(py, cluster)),
        }
    }

    #[inline]
    fn input(&self, live: &ClusterLive<PyAttach>, hash: Option<u64>, attempt: u32) -> PickInput {
        let now = if live.lb.slow_start_window > 0.0 { self.engine.core.now() } else { 0 };
        PickInput { draw: self.core.draw, number: self.picks.fetch_add(1, Relaxed), hash, attempt, now }
    }

    /// Up to `retry_host_attempts + 1` picks until one is not refused; then the last one is used.
    fn pick_other(
        &self,
        py: Python<'_>,
        cluster: &Cluster<PyAttach>,
        hash: Option<u64>,
        refused: &[Bound<'_, PyAny>],
    ) -> PyResult<Py<PyAny>> {
        let live = &**cluster.live.wake();
        let state = live.state_full();
        let last = self.core.retry_host_attempts();
        for attempt in 0..=last {
            let Some(index) = live.pick(&state, self.input(live, hash, attempt)) else { break };
            let found = endpoint::object(py, &state, index)?;
            let mut is_refused = false;
            for one in refused {
                is_refused = is_refused || one.eq(found)?;
            }
            if !is_refused || attempt == last {
                return Ok(found.clone_ref(py));
            }
        }
        Err(self.none_healthy(py, cluster))
    }

    /// The endpoint of a try of an exchange and its priority; None where none is healthy, an error where names are not resolved
    /// yet. `hashes`: the request's hash counts. `refused`: tried before.
    pub fn picked_again(
        &self,
        py: Python<'_>,
        cluster: &Cluster<PyAttach>,
        hash_key: Option<&Bound<'_, PyAny>>,
        hashes: bool,
        refused: &[Py<PyAny>],
        mut priorities: Option<&mut PreviousPriorities>,
    ) -> PyResult<Option<(Py<PyAny>, u32)>> {
        if matches!(cluster.kind, ClusterType::OriginalDst | ClusterType::DynamicDns) {
            return Ok(Some((self.asked_for(py)?, 0)));
        }
        let live = &**cluster.live.wake();
        let hash = if hashes && live.hashes() { self.hash_for(py, hash_key)? } else { None };
        let state = live.state_full();
        let last = self.core.retry_host_attempts();
        for attempt in 0..=last {
            let input = self.input(live, hash, attempt);
            let Some(index) = live.pick_again(&state, input, priorities.as_deref_mut()) else { break };
            let found = endpoint::object(py, &state, index)?;
            let mut is_refused = false;
            for one in refused {
                is_refused = is_refused || one.bind(py).eq(found)?;
            }
            if !is_refused || attempt == last {
                let endpoint = &state.membership.endpoints[index as usize];
                let priority = state.membership.groups[endpoint.group as usize].priority;
                return Ok(Some((found.clone_ref(py), priority)));
            }
        }
        self.pending(py, cluster).map_or(Ok(None), Err)
    }

    /// Nanoseconds of the engine's clock.
    pub fn now(&self, now: Option<i64>) -> i64 {
        now.unwrap_or_else(|| self.engine.core.now())
    }

    /// Clusters without endpoints of their own.
    fn asked_for(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.picks.fetch_add(1, Relaxed);
        let rare = self.given.rare.as_deref();
        let original = match rare.and_then(|rare| rare.original_destination.as_ref()) {
            Some((host, port)) => Some((host.to_str(py)?, *port)),
            None => None,
        };
        match self.read(py, |request| self.core.asked_for(request, original))? {
            Some((host, port, kind)) => Ok(Py::new(py, Endpoint::dialled(py, &host, port, kind))?.into_any()),
            None => Err(self.nowhere(py)),
        }
    }

    fn hash_for(&self, py: Python<'_>, key: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
        let Some(key) = key else {
            return self.read(py, |request| self.core.hash(request));
        };
        if let Ok(number) = key.cast::<PyInt>() {
            return numbers::wrapped(number).map(Some);
        }
        if let Ok(bytes) = key.cast::<PyBytes>() {
            return Ok(Some(xxh64(bytes.as_bytes(), 0)));
        }
        let bytes = py.get_type::<PyBytes>().call1((key,))?;
        Ok(Some(xxh64(bytes.cast::<PyBytes>()?.as_bytes(), 0)))
    }

    #[cold]
    fn none_healthy(&self, py: Python<'_>, cluster: &Cluster<PyAttach>) -> PyErr {
        let none = || errors::no_healthy(py, format!("{}: no healthy endpoint", cluster.name));
        self.pending(py, cluster).unwrap_or_else(none)
    }

    #[cold]
    fn pending(&self, py: Python<'_>, cluster: &Cluster<PyAttach>) -> Option<PyErr> {
        let want = self.engine.want(py, &cluster.name)?;
        Some(errors::pending(py, format!("{}: its names are not resolved yet", cluster.name), want))
    }

    #[cold]
    pub fn nowhere(&self, py: Python<'_>) -> PyErr {
        let kind = self.core.kind.word();
        if matches!(self.core.kind, Kind::Redirect | Kind::DirectResponse) {
            return errors::engine(py, &format!("a {kind} decision has no endpoint: this process answers by itself"));
        }
        match self.reasons_text(py) {
            Ok(reasons) => errors::no_healthy(py, format!("no cluster to pick from: {kind} ({reasons})")),
            Err(error) => error,
        }
    }

    /// Pick and count.
    pub fn taken(
        &self,
        py: Python<'_>,
        retry: bool,
        pending: bool,
        hash_key: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let connection = self.core.is_connection();
        if connection && (retry || pending) {
            return Err(errors::engine(py, "retry and pending are of requests: a connection has neither"));
        }
        let endpoint = self.picked(py, hash_key, exclude)?;
        let Some(cluster) = self.core.cluster() else {
            return Err(self.nowhere(py));
        };
        let object = cluster::object(py, cluster)?.clone_ref(py);
        let live = Arc::clone(cluster.live.wake());
        let engine = Arc::clone(&self.engine);
        if connection {
            let hold = Hold::take(py, engine, object, live, endpoint, LeaseKind::Connection)?;
            Ok(Py::new(py, ConnectionLease(hold))?.into_any())
        } else {
            let hold = Hold::take(py, engine, object, live, endpoint, LeaseKind::Request { retry, pending })?;
            Ok(Py::new(py, RequestLease(hold))?.into_any())
        }
    }
}

/// An empty tuple, as most callers have it, is not walked.
fn refused<'py>(exclude: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    match exclude.cast::<PyTuple>() {
        Ok(tuple) if tuple.is_empty() => Ok(Vec::new()),
        _ => exclude.try_iter()?.collect(),
    }
}
