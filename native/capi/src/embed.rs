//! Who embeds: the engine that is asked, and what it keeps beside the core's objects.

use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::{Arc, Mutex};

use roadstead_core::draws::Draws;
use roadstead_core::engine::Engine;
use roadstead_core::model::Attach;

use crate::failure::Failure;
use crate::types::roadstead_status;

/// An attachment whose engines can be asked through the C ABI.
pub trait Embed: Attach + Sized {
    /// Unlike that of every other: handles of two tables of functions are told apart by it.
    const MARK: u64;

    /// The engine that an object of the embedder's language is, or has.
    ///
    /// # Safety
    /// `object` is what the embedder says that `roadstead_api.acquire` takes.
    unsafe fn engine_of(object: *mut c_void) -> Result<Shared<Self>, Failure> {
        let _ = object;
        Err(unsupported("engines here come from roadstead_engine_load, not from objects"))
    }

    /// What else is known of a rule.
    fn rule(handle: &Self::Handle) -> Option<Arc<Rule>>;

    /// What else is known of a cluster.
    fn upstream(handle: &Self::Handle) -> Option<Arc<Upstream>>;

    /// Replace all that is published by a serialised snapshot.
    fn reload(engine: &Shared<Self>, bytes: &[u8]) -> Result<(), Failure> {
        let _ = (engine, bytes);
        Err(unsupported("this engine is changed by its registry"))
    }

    /// Replace a cluster's endpoints by serialised groups.
    fn set_endpoints(engine: &Shared<Self>, cluster: &str, bytes: &[u8]) -> Result<(), Failure> {
        let _ = (engine, cluster, bytes);
        Err(unsupported("this engine's endpoints are changed by its registry"))
    }
}

fn unsupported(message: &'static str) -> Failure {
    Failure::new(roadstead_status::ROADSTEAD_UNSUPPORTED, message)
}

/// An engine with its generators of draws.
#[derive(Debug)]
pub struct Shared<A: Attach> {
    pub core: Arc<Engine<A>>,
    pub draws: Arc<Draws>,
    /// Keys of the units that came from a snapshot; held by who changes them. Empty where a registry publishes.
    pub units: Mutex<HashSet<Box<str>>>,
}

impl<A: Attach> Shared<A> {
    pub fn new(core: Arc<Engine<A>>, draws: Arc<Draws>) -> Self {
        Shared { core, draws, units: Mutex::default() }
    }
}

/// A rule's policy that the caller carries out (Istio: timeout, retries). Seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    pub timeout: Option<f64>,
    pub retry: Option<Retry>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retry {
    pub attempts: u32,
    pub retry_on: Box<str>,
    pub status_codes: Box<[u32]>,
    pub per_try_timeout: Option<f64>,
    pub backoff: Option<f64>,
}

/// What a connection to a cluster's endpoints needs. Seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upstream {
    pub connect_timeout: Option<f64>,
    pub tls: Option<Tls>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    pub mode: Box<str>,
    pub sni: Box<str>,
    pub verify: Box<str>,
    pub ca: Box<str>,
    pub certificate: Box<str>,
    pub private_key: Box<str>,
    pub credential_name: Box<str>,
    pub subject_alt_names: Box<[Box<str>]>,
    pub alpn: Box<[Box<str>]>,
    pub auto_sni: bool,
}
