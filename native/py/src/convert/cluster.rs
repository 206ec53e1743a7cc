//! Clusters, their endpoints and policies.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;
use roadstead_core::model::{
    Cluster, ClusterType, Cors, Endpoint, EndpointKind, Health, LbConfig, LbPolicy, Limits, LocalityGroup,
    OutlierDetection, Retry,
};
use roadstead_core::outliers::{MOST_SECONDS, Policy};
use roadstead_core::template::Piece;

use super::Handles;
use super::fields::Fields;
use crate::attach::{Kept, PyAttach};
use crate::errors;

/// Policies and locality names that many clusters share are made once.
///
/// Python hands in one object for equal policies, so identity decides; the object is kept, so that its address stays its own.
#[derive(Default)]
pub struct Interned {
    balancers: Seen<LbConfig>,
    limits: Seen<Limits>,
    outliers: Seen<Policy>,
    pub(super) retries: Seen<Retry>,
    pub(super) cors: Seen<Cors>,
    localities: HashMap<Box<str>, Arc<str>>,
}

/// Envoy's limit.
const MOST_PRIORITY: u32 = 128;
/// Beyond this many the memory starts anew: it is a cache.
const MOST: usize = 4096;

pub(super) struct Seen<T>(HashMap<usize, (Py<PyAny>, Arc<T>)>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Seen(HashMap::new())
    }
}

impl<T> Seen<T> {
    pub(super) fn get(
        &mut self,
        value: &Bound<'_, PyAny>,
        make: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>,
    ) -> PyResult<Arc<T>> {
        let address = value.as_ptr() as usize;
        if let Some((_, made)) = self.0.get(&address) {
            return Ok(Arc::clone(made));
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let made = Arc::new(make(value)?);
        self.0.insert(address, (value.clone().unbind(), Arc::clone(&made)));
        Ok(made)
    }
}

impl Interned {
    fn locality(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.localities.get(text) {
            return Arc::clone(known);
        }
        if self.localities.len() >= MOST {
            self.localities.clear();
        }
        let made: Arc<str> = Arc::from(text);
        self.localities.insert(Box::from(text), Arc::clone(&made));
        made
    }
}

pub fn cluster(
    value: &Bound<'_, PyAny>,
    interned: &mut Interned,
    handles: &mut Handles<'_>,
) -> PyResult<Cluster<PyAttach>> {
    let fields = Fields::of(value, "Cluster", 9)?;
    Ok(Cluster {
        handle: handles.next(&fields, Piece::Cluster, Some(7))?,
        name: fields.string(1)?,
        kind: fields.code(2, &ClusterType::CODES)?,
        lb: interned.balancers.get(&*fields.get(3)?, lb_config)?,
        limits: interned.limits.get(&*fields.get(4)?, limits)?,
        groups: fields.list(5, |item| group(&item, interned, handles.shared))?,
        port_override: fields.number(6)?,
        outliers: fields.optional(8)?.map(|given| interned.outliers.get(&given, outliers)).transpose()?,
    })
}

/// Endpoint groups alone, for the endpoints' own door.
pub fn groups(value: &Bound<'_, PyAny>, interned: &mut Interned) -> PyResult<Vec<LocalityGroup<PyAttach>>> {
    value.try_iter()?.map(|item| group(&item?, interned, false)).collect()
}

fn group(value: &Bound<'_, PyAny>, interned: &mut Interned, shared: bool) -> PyResult<LocalityGroup<PyAttach>> {
    let fields = Fields::of(value, "LocalityGroup", 4)?;
    let locality = fields.get(0)?;
    Ok(LocalityGroup {
        locality: interned.locality(locality.cast::<PyString>()?.to_str()?),
        priority: fields.within(1, 0..=MOST_PRIORITY)?,
        weight: fields.optional_number(2)?,
        endpoints: fields.list(3, |item| endpoint(&item, shared))?,
    })
}

fn endpoint(value: &Bound<'_, PyAny>, shared: bool) -> PyResult<Endpoint<PyAttach>> {
    let fields = Fields::of(value, "Endpoint", 8)?;
    Ok(Endpoint {
        labels: fields.optional(5)?.map(|labels| Kept::new(labels.to_owned().unbind(), shared)),
        address: fields.text(0)?,
        port: fields.number(1)?,
        kind: fields.code(2, &EndpointKind::CODES)?,
        weight: fields.within(3, 1..=u32::MAX)?,
        health: fields.code(4, &Health::CODES)?,
        hostname: fields.text(6)?,
        hash_key: fields.text(7)?,
    })
}

fn lb_config(value: &Bound<'_, PyAny>) -> PyResult<LbConfig> {
    let fields = Fields::of(value, "LbConfig", 12)?;
    Ok(LbConfig {
        policy: fields.code(0, &LbPolicy::CODES)?,
        panic_threshold: fields.number(1)?,
        overprovisioning: fields.number(2)?,
        locality_weighted: fields.flag(3)?,
        ring_min: fields.number(4)?,
        ring_max: fields.number(5)?,
        table_size: fields.number(6)?,
        choice_count: fields.within(7, 1..=u32::MAX)?,
        active_request_bias: fields.number(8)?,
        slow_start_window: fields.number(9)?,
        slow_start_aggression: fields.number(10)?,
        slow_start_min_percent: fields.number(11)?,
    })
}

fn limits(value: &Bound<'_, PyAny>) -> PyResult<Limits> {
    let fields = Fields::of(value, "Limits", 6)?;
    Ok(Limits {
        max_connections: fields.number(0)?,
        max_pending_requests: fields.number(1)?,
        max_requests: fields.number(2)?,
        max_retries: fields.number(3)?,
        retry_budget: fields.optional_number(4)?,
        retry_budget_interval: fields.seconds_to(5, MOST_SECONDS)?,
    })
}

fn outliers(value: &Bound<'_, PyAny>) -> PyResult<Policy> {
    let fields = Fields::of(value, "OutlierDetection", 14)?;
    let given = OutlierDetection {
        consecutive_5xx: fields.number(0)?,
        enforcing_consecutive_5xx: fields.number(1)?,
        consecutive_gateway_failure: fields.number(2)?,
        enforcing_consecutive_gateway_failure: fields.number(3)?,
        consecutive_local_origin_failure: fields.number(4)?,
        enforcing_consecutive_local_origin_failure: fields.number(5)?,
        split_external_local_origin_errors: fields.flag(6)?,
        interval: fields.number(7)?,
        base_ejection_time: fields.number(8)?,
        max_ejection_time: fields.number(9)?,
        max_ejection_time_jitter: fields.number(10)?,
        max_ejection_percent: fields.number(11)?,
        always_eject_one_host: fields.flag(12)?,
        error_codes: fields.list(13, |item| item.extract())?.into(),
    };
    Policy::new(&given).map_err(|error| errors::from_core(value.py(), &error))
}
