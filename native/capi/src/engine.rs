//! Engines: made, asked for their state, changed, let go.

use std::ffi::c_void;
use std::sync::Arc;

use roadstead_core::model::Health;

use crate::embed::{Embed, Shared};
use crate::failure::{Failure, call, read};
use crate::raw::{self, Opaque};
use crate::types::{roadstead_engine, roadstead_error, roadstead_status, roadstead_str};

/// What a handle of an engine holds; decisions and snapshots hold it too.
pub struct Held<A: Embed>(pub Arc<Shared<A>>);

impl<A: Embed> Opaque for Held<A> {
    type Face = roadstead_engine;
    const MARK: u64 = A::MARK ^ 1;
    const NAME: &'static str = "engine";
}

/// # Safety
/// NULL or an engine that is not released while `'a` is used.
#[inline]
pub unsafe fn shared<'a, A: Embed>(engine: *const roadstead_engine) -> Result<&'a Arc<Shared<A>>, Failure> {
    // SAFETY: the caller's.
    unsafe { raw::behind::<Held<A>>(engine) }.map(|held| &held.0)
}

pub unsafe extern "C" fn acquire<A: Embed>(
    object: *mut c_void,
    out: *mut *mut roadstead_engine,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        if object.is_null() {
            return Err(raw::null("object"));
        }
        // SAFETY: the caller's: an object as `A` takes it, and a place for the handle.
        unsafe {
            raw::set(out, "out", std::ptr::null_mut())?;
            let shared = A::engine_of(object)?;
            raw::set(out, "out", raw::hand_out(Held(Arc::new(shared))))
        }
    })
}

pub unsafe extern "C" fn release<A: Embed>(engine: *mut roadstead_engine) -> roadstead_status {
    // SAFETY: the caller's: nobody uses the handle any more.
    call(std::ptr::null_mut(), || unsafe { raw::take_back::<Held<A>>(engine) })
}

pub unsafe extern "C" fn version<A: Embed>(engine: *const roadstead_engine) -> u64 {
    // SAFETY: the caller's.
    read(0, || unsafe { shared::<A>(engine) }.map(|shared| shared.core.version()))
}

pub unsafe extern "C" fn now<A: Embed>(engine: *const roadstead_engine) -> i64 {
    // SAFETY: the caller's.
    read(0, || unsafe { shared::<A>(engine) }.map(|shared| shared.core.now()))
}

pub unsafe extern "C" fn draw<A: Embed>(engine: *const roadstead_engine) -> u64 {
    // SAFETY: the caller's.
    read(0, || unsafe { shared::<A>(engine) }.map(|shared| shared.draws.draw()))
}

pub unsafe extern "C" fn sweep<A: Embed>(engine: *const roadstead_engine, now: i64) -> i64 {
    read(-1, || {
        // SAFETY: the caller's.
        let shared = unsafe { shared::<A>(engine)? };
        Ok(shared.core.sweep(Some(now)).unwrap_or(-1))
    })
}

pub unsafe extern "C" fn reload<A: Embed>(
    engine: *mut roadstead_engine,
    data: *const u8,
    len: usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        let (shared, bytes) = unsafe { (shared::<A>(engine)?, raw::slice(data, len, "data")?) };
        A::reload(shared, bytes)
    })
}

pub unsafe extern "C" fn set_endpoints<A: Embed>(
    engine: *mut roadstead_engine,
    cluster: roadstead_str,
    data: *const u8,
    len: usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        let (shared, name, bytes) =
            unsafe { (shared::<A>(engine)?, cluster.text("cluster")?, raw::slice(data, len, "data")?) };
        A::set_endpoints(shared, name, bytes)
    })
}

pub unsafe extern "C" fn set_health<A: Embed>(
    engine: *mut roadstead_engine,
    cluster: roadstead_str,
    address: roadstead_str,
    port: u16,
    health: i32,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        let (shared, name, address) =
            unsafe { (shared::<A>(engine)?, cluster.text("cluster")?, address.text("address")?) };
        let known = usize::try_from(health).ok().and_then(|code| Health::CODES.get(code));
        let Some(health) = known else {
            let message = format!("health is {health}, expected 0 to {}", Health::CODES.len() - 1);
            return Err(Failure::new(roadstead_status::ROADSTEAD_RANGE, message));
        };
        if shared.core.set_health(name, address, port, *health)? {
            return Ok(());
        }
        let message = format!("{name} has no endpoint {address}:{port}");
        Err(Failure::new(roadstead_status::ROADSTEAD_NOT_FOUND, message))
    })
}
