//! What was published at one moment: who owns a host, which clusters there are, what lives in them.

use std::sync::{Arc, Mutex, PoisonError};

use roadstead_core::balance::ClusterState;
use roadstead_core::cluster::Cluster;
use roadstead_core::snapshot::Snapshot;

use crate::embed::Embed;
use crate::endpoint;
use crate::engine::shared;
use crate::failure::{Failure, call};
use crate::raw::{self, Opaque};
use crate::types::{
    roadstead_endpoint, roadstead_engine, roadstead_error, roadstead_service, roadstead_snapshot, roadstead_stat,
    roadstead_status, roadstead_str,
};

pub struct Moment<A: Embed> {
    snapshot: Arc<Snapshot<A>>,
    /// States that endpoints were handed out of, for their strings.
    shown: Mutex<Vec<Arc<ClusterState<A>>>>,
}

impl<A: Embed> Opaque for Moment<A> {
    type Face = roadstead_snapshot;
    const MARK: u64 = A::MARK ^ 2;
    const NAME: &'static str = "snapshot";
}

impl<A: Embed> Moment<A> {
    fn cluster(&self, name: &str) -> Result<&Arc<Cluster<A>>, Failure> {
        self.snapshot.cluster(name).ok_or_else(|| not_found(format!("no cluster named {name:?}")))
    }
}

fn not_found(message: String) -> Failure {
    Failure::new(roadstead_status::ROADSTEAD_NOT_FOUND, message)
}

pub unsafe extern "C" fn acquire<A: Embed>(
    engine: *const roadstead_engine,
    out: *mut *mut roadstead_snapshot,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::set(out, "out", std::ptr::null_mut())?;
            let snapshot = shared::<A>(engine)?.core.snapshot();
            raw::set(out, "out", raw::hand_out(Moment { snapshot, shown: Mutex::default() }))
        }
    })
}

pub unsafe extern "C" fn release<A: Embed>(snapshot: *mut roadstead_snapshot) -> roadstead_status {
    // SAFETY: the caller's: nobody uses the handle any more.
    call(std::ptr::null_mut(), || unsafe { raw::take_back::<Moment<A>>(snapshot) })
}

pub unsafe extern "C" fn find<A: Embed>(
    snapshot: *const roadstead_snapshot,
    host: roadstead_str,
    port: u16,
    service: *mut roadstead_service,
    error: *mut roadstead_error,
) -> roadstead_status {
    // Nothing is made for the common answer that nobody owns it.
    let mut found = false;
    let status = call(error, || {
        // SAFETY: the caller's.
        let (moment, host) = unsafe { (raw::behind::<Moment<A>>(snapshot)?, host.text("host")?) };
        // SAFETY: the caller's.
        unsafe { raw::writable(service)? };
        let Some(owner) = moment.snapshot.find(host, port) else { return Ok(()) };
        found = true;
        let given = &owner.service.given;
        let own = given.ports.iter().find(|known| known.number == port);
        let told = roadstead_service {
            struct_size: 0,
            host: roadstead_str::of(&given.host),
            namespace_: roadstead_str::of(&given.namespace),
            port_name: own.map_or(roadstead_str::NONE, |port| roadstead_str::of(&port.name)),
            protocol: own.map_or(-1, |port| port.protocol as i32),
        };
        // SAFETY: the caller's.
        unsafe { raw::write(service, told) }
    });
    match status {
        roadstead_status::ROADSTEAD_OK if !found => roadstead_status::ROADSTEAD_NOT_FOUND,
        other => other,
    }
}

pub unsafe extern "C" fn clusters<A: Embed>(
    snapshot: *const roadstead_snapshot,
    out: *mut roadstead_str,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            let moment = raw::behind::<Moment<A>>(snapshot)?;
            let names = moment.snapshot.clusters().flatten().map(|cluster| roadstead_str::of(&cluster.name));
            raw::fill(names, out, room, count)
        }
    })
}

pub unsafe extern "C" fn endpoints<A: Embed>(
    snapshot: *const roadstead_snapshot,
    cluster: roadstead_str,
    out: *mut roadstead_endpoint,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        let moment = unsafe { raw::behind::<Moment<A>>(snapshot)? };
        // SAFETY: the caller's.
        let state = moment.cluster(unsafe { cluster.text("cluster")? })?.live.wake().state_full();
        let total = state.membership.endpoints.len();
        for index in 0..total.min(room) {
            // SAFETY: the caller's: `room` of them, each with its size.
            unsafe { raw::write(out.wrapping_add(index), endpoint::told(&state, index as u32))? };
        }
        let mut shown = moment.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if room > 0 && !shown.iter().any(|known| Arc::ptr_eq(known, &state)) {
            shown.push(state);
        }
        // SAFETY: the caller's.
        unsafe { raw::set(count, "count", total) }
    })
}

pub unsafe extern "C" fn stats<A: Embed>(
    snapshot: *const roadstead_snapshot,
    cluster: roadstead_str,
    out: *mut roadstead_stat,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            let cluster = raw::behind::<Moment<A>>(snapshot)?.cluster(cluster.text("cluster")?)?;
            raw::fill(cluster.live.wake().stats().into_iter().map(stat), out, room, count)
        }
    })
}

pub unsafe extern "C" fn endpoint_stats<A: Embed>(
    snapshot: *const roadstead_snapshot,
    cluster: roadstead_str,
    index: usize,
    out: *mut roadstead_stat,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            let name = cluster.text("cluster")?;
            let live = &raw::behind::<Moment<A>>(snapshot)?.cluster(name)?.live.wake();
            let state = live.state_full();
            let Some(slot) = state.slots().get(index) else {
                return Err(not_found(format!("{name} has no endpoint at position {index}")));
            };
            let ejections = live.outliers.iter().flat_map(|policy| policy.stats(slot));
            let ejections = ejections.map(|(name, value)| roadstead_stat { name: roadstead_str::of(name), value });
            raw::fill(slot.stats().into_iter().map(stat).chain(ejections), out, room, count)
        }
    })
}

fn stat((name, value): (&'static str, u64)) -> roadstead_stat {
    roadstead_stat { name: roadstead_str::of(name), value: i64::try_from(value).unwrap_or(i64::MAX) }
}
