//! From bytes to a published engine.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use roadstead_core::builder::Builder;
use roadstead_core::cluster::Cluster;
use roadstead_core::draws::Draws;
use roadstead_core::engine::{Engine, Source};
use roadstead_core::error::Error;
use roadstead_core::model::{Attach, LbConfig, Limits, Outbound, OutlierDetection, Paths};
use roadstead_core::outliers::Policy;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::facts::{Facts, UpstreamForm, facts};
use super::form::{self, GroupForm, UnitForm};
use crate::embed::{Embed, Rule, Shared, Upstream};
use crate::failure::Failure;
use crate::types::{ROADSTEAD_SNAPSHOT_FORMAT, roadstead_status};

/// Attaches what a snapshot says beyond the engine's tables.
#[derive(Debug)]
pub struct Loaded;

impl Attach for Loaded {
    type Handle = Facts;
    type Labels = ();
    type Cell = ();
}

impl Embed for Loaded {
    const MARK: u64 = 0x726f_6164_6c6f_6100;

    fn rule(handle: &Facts) -> Option<Arc<Rule>> {
        match handle {
            Facts::Rule(rule) => Some(Arc::clone(rule)),
            Facts::None | Facts::Upstream(_) => None,
        }
    }

    fn upstream(handle: &Facts) -> Option<Arc<Upstream>> {
        match handle {
            Facts::Upstream(upstream) => Some(Arc::clone(upstream)),
            Facts::None | Facts::Rule(_) => None,
        }
    }

    fn reload(engine: &Shared<Self>, bytes: &[u8]) -> Result<(), Failure> {
        reload(engine, bytes)
    }

    fn set_endpoints(engine: &Shared<Self>, cluster: &str, bytes: &[u8]) -> Result<(), Failure> {
        set_endpoints(engine, cluster, bytes)
    }
}

/// How an engine is made.
#[derive(Default)]
pub struct Options {
    /// Makes runs repeatable; None: the system's entropy.
    pub seed: Option<u64>,
    /// Monotonic nanoseconds; None: the system's.
    pub clock: Option<Source<i64>>,
}

/// The system's monotonic clock in nanoseconds.
fn monotonic() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    i64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(i64::MAX)
}

/// An engine in which a serialised snapshot is published.
pub fn load(bytes: &[u8], options: Options) -> Result<Shared<Loaded>, Failure> {
    let draws = Arc::new(Draws::new(options.seed));
    let starts = Arc::clone(&draws);
    let clock = options.clock.unwrap_or_else(|| Arc::new(monotonic));
    let shared = Shared::new(Arc::new(Engine::new(clock, Arc::new(move || starts.start()))), draws);
    reload(&shared, bytes)?;
    Ok(shared)
}

/// Replace all that is published. Bad input changes nothing; counters and health of endpoints that stay survive.
pub fn reload(engine: &Shared<Loaded>, bytes: &[u8]) -> Result<(), Failure> {
    let mut known = engine.units.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = engine.core.builder();
    let mut change = Change { builder: &mut builder, interned: Interned::default(), seen: HashSet::new() };
    let mut text = serde_json::Deserializer::from_slice(bytes);
    (&mut change).deserialize(&mut text).and_then(|()| text.end()).map_err(|error| unreadable(&error))?;
    let seen = change.seen;
    known.difference(&seen).for_each(|key| builder.delete(key));
    engine.core.publish(builder)?;
    *known = seen;
    Ok(())
}

/// Replace a cluster's endpoints: a JSON array of groups, as in a snapshot.
pub fn set_endpoints(engine: &Shared<Loaded>, cluster: &str, bytes: &[u8]) -> Result<(), Failure> {
    let forms: Vec<GroupForm> = serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    Ok(engine.core.update_endpoints(cluster, form::groups(forms, &mut Interned::default()))?)
}

fn unreadable(error: &serde_json::Error) -> Failure {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Failure {
        line: number(error.line()),
        column: number(error.column()),
        ..Failure::new(roadstead_status::ROADSTEAD_SNAPSHOT, error.to_string())
    }
}

/// Policies and locality names that many clusters share are made once.
#[derive(Default)]
pub struct Interned {
    balancers: Vec<Arc<LbConfig>>,
    limits: Vec<Arc<Limits>>,
    outliers: Vec<(OutlierDetection, Arc<Policy>)>,
    localities: HashMap<Box<str>, Arc<str>>,
}

impl Interned {
    pub fn balancer(&mut self, made: LbConfig) -> Arc<LbConfig> {
        shared(&mut self.balancers, made)
    }

    pub fn limits(&mut self, made: Limits) -> Arc<Limits> {
        shared(&mut self.limits, made)
    }

    pub fn outliers(&mut self, given: OutlierDetection) -> Result<Arc<Policy>, Error> {
        if let Some((_, known)) = self.outliers.iter().rev().take(COMPARED).find(|(known, _)| *known == given) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Policy::new(&given)?);
        self.outliers.push((given, Arc::clone(&made)));
        Ok(made)
    }

    pub fn locality(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.localities.get(text) {
            return Arc::clone(known);
        }
        let made: Arc<str> = Arc::from(text);
        self.localities.insert(Box::from(text), Arc::clone(&made));
        made
    }
}

/// Of very many different policies only the latest are compared.
const COMPARED: usize = 64;

/// Equal values are one.
fn shared<T: PartialEq>(known: &mut Vec<Arc<T>>, made: T) -> Arc<T> {
    if let Some(found) = known.iter().rev().take(COMPARED).find(|known| ***known == made) {
        return Arc::clone(found);
    }
    let made = Arc::new(made);
    known.push(Arc::clone(&made));
    made
}

/// A change as it is read: each unit goes to the builder at once, so that an error has its place.
struct Change<'b> {
    builder: &'b mut Builder<Loaded>,
    interned: Interned,
    seen: HashSet<Box<str>>,
}

impl<'de> DeserializeSeed<'de> for &mut Change<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Change<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a snapshot: an object that begins with \"format\"")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let wanted = ROADSTEAD_SNAPSHOT_FORMAT;
        if map.next_key::<String>()?.as_deref() != Some("format") {
            return Err(M::Error::custom("a snapshot begins with \"format\""));
        }
        let format: u64 = map.next_value()?;
        if format != u64::from(wanted) {
            return Err(M::Error::custom(format!("format {format}, this version of roadstead reads {wanted}")));
        }
        let (mut outbound, mut egress, mut paths, mut units) = (None, None, None, None);
        let (mut passthrough, mut dynamic) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "outbound" => once(&mut outbound, "outbound", map.next_value::<usize>()?)?,
                "egress_cluster" => once(&mut egress, "egress_cluster", map.next_value::<String>()?)?,
                "paths" => once(&mut paths, "paths", map.next_value::<usize>()?)?,
                "passthrough" => {
                    once(&mut passthrough, "passthrough", facts(map.next_value::<Option<UpstreamForm>>()?))?;
                }
                "dynamic" => once(&mut dynamic, "dynamic", facts(map.next_value::<Option<UpstreamForm>>()?))?,
                "units" => once(&mut units, "units", map.next_value_seed(Units(&mut *self))?)?,
                other => return Err(M::Error::custom(format!("no field {other:?} in a snapshot"))),
            }
        }
        let outbound = outbound.ok_or_else(|| M::Error::missing_field("outbound"))?;
        units.ok_or_else(|| M::Error::missing_field("units"))?;
        let policy = Outbound::of_code(outbound, &egress.unwrap_or_default());
        let policy = policy.ok_or_else(|| M::Error::custom(format!("no outbound policy {outbound}")))?;
        let paths = paths.unwrap_or(1);
        let known = Paths::CODES.get(paths).copied();
        bring(self.builder.passthrough(), passthrough.unwrap_or_default());
        bring(self.builder.dynamic(), dynamic.unwrap_or_default());
        self.builder.set_outbound(policy);
        self.builder.set_paths(known.ok_or_else(|| M::Error::custom(format!("no normalisation of paths {paths}")))?);
        Ok(())
    }
}

/// Let a cluster of the outbound policy come with these facts.
fn bring(cluster: &mut Arc<Cluster<Loaded>>, given: Facts) {
    *cluster = Arc::new(cluster.with_handle(given));
}

fn once<T, E: serde::de::Error>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

struct Units<'c, 'b>(&'c mut Change<'b>);

impl<'de> DeserializeSeed<'de> for Units<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Units<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of units")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut units: S) -> Result<(), S::Error> {
        let change = self.0;
        while let Some(read) = units.next_element::<UnitForm>()? {
            let key: Box<str> = Box::from(read.key());
            let refused = |error: Error| S::Error::custom(format!("unit {key:?}: {error}"));
            let unit = form::unit(read, &mut change.interned).map_err(refused)?;
            change.builder.put(unit).map_err(refused)?;
            if let Some(key) = change.seen.replace(key) {
                return Err(S::Error::custom(format!("unit {key:?} is there twice")));
            }
        }
        Ok(())
    }
}
