//! From the chosen cluster to one endpoint.

use std::sync::Arc;

use roadstead_core::balance::{ClusterLive, ClusterState, PickInput};
use roadstead_core::cluster::Cluster;
use roadstead_core::decision::Kind;
use roadstead_core::hash::xxh64;
use roadstead_core::model::ClusterType;

use crate::decision::{Filled, Place, empty};
use crate::embed::Embed;
use crate::endpoint::Chosen;
use crate::failure::{Failure, call};
use crate::raw;
use crate::types::{
    ROADSTEAD_CHOICE_HASH, ROADSTEAD_CHOICE_HASH_KEY, roadstead_choice, roadstead_decision, roadstead_endpoint,
    roadstead_error, roadstead_status,
};

/// What the caller wants of a choice.
#[derive(Default)]
pub struct Wish<'a> {
    pub flags: u32,
    hash: Option<u64>,
    exclude: Vec<(&'a str, u16)>,
}

impl Wish<'_> {
    /// # Safety
    /// NULL, or a choice whose pointers are valid for the call.
    #[inline]
    pub unsafe fn of(choice: *const roadstead_choice) -> Result<Self, Failure> {
        if choice.is_null() {
            return Ok(Wish::default());
        }
        // SAFETY: the caller's.
        unsafe {
            let given = raw::read(choice)?;
            let hash = if given.flags & ROADSTEAD_CHOICE_HASH != 0 {
                Some(given.hash)
            } else if given.flags & ROADSTEAD_CHOICE_HASH_KEY != 0 {
                Some(xxh64(given.hash_key.bytes("choice.hash_key")?, 0))
            } else {
                None
            };
            let excluded = raw::slice(given.exclude, given.exclude_count, "choice.exclude")?;
            let exclude = excluded.iter().map(|one| Ok((one.address.text("choice.exclude")?, one.port)));
            Ok(Wish { flags: given.flags, hash, exclude: exclude.collect::<Result<_, Failure>>()? })
        }
    }
}

impl<A: Embed> Place<A> {
    /// One endpoint. Each call is a new pick.
    #[inline]
    pub fn choose(&mut self, wish: &Wish<'_>) -> Result<&Chosen<A>, Failure> {
        let Place { engine, filled, picked, .. } = self;
        let filled = filled.as_mut().ok_or_else(empty)?;
        let Some(cluster) = filled.core.cluster() else {
            return Err(nowhere(filled));
        };
        if matches!(cluster.kind, ClusterType::OriginalDst | ClusterType::DynamicDns) {
            filled.picks += 1;
            let Some(dialled) = filled.core.asked_for(&filled.asked, filled.asked.original) else {
                return Err(nowhere(filled));
            };
            picked.push(Chosen::Dialled(Arc::new(dialled)));
        } else {
            let live = &**cluster.live.wake();
            let hash = if live.hashes() { wish.hash.or_else(|| filled.core.hash(&filled.asked)) } else { None };
            let now = match filled.asked.now {
                Some(now) => now,
                None if live.lb.slow_start_window > 0.0 => engine.core.now(),
                None => 0,
            };
            let input = PickInput { draw: filled.core.draw, number: filled.picks, hash, attempt: 0, now };
            let last = if wish.exclude.is_empty() { 0 } else { filled.core.retry_host_attempts() };
            let state = live.state_full();
            let (index, used) = pick(live, &state, input, &wish.exclude, last);
            filled.picks += used;
            let Some(index) = index else { return Err(none_healthy(cluster)) };
            picked.push(Chosen::Of(state, index));
        }
        picked.last().ok_or_else(empty)
    }
}

/// An index, and how many picks that took. Up to `last + 1` picks until one is not excluded; then the last one is used.
#[inline]
fn pick<A: Embed>(
    live: &ClusterLive<A>,
    state: &ClusterState<A>,
    mut input: PickInput,
    exclude: &[(&str, u16)],
    last: u32,
) -> (Option<u32>, u32) {
    loop {
        let index = live.pick(state, input);
        let excluded = index.is_some_and(|index| {
            let def = &state.membership.endpoints[index as usize].def;
            exclude.contains(&(&*def.address, def.port))
        });
        if !excluded || input.attempt == last {
            return (index, input.attempt + 1);
        }
        input.attempt += 1;
        input.number += 1;
    }
}

#[cold]
fn nowhere<A: Embed>(filled: &Filled<A>) -> Failure {
    let kind = filled.core.kind.word();
    if matches!(filled.core.kind, Kind::Redirect | Kind::DirectResponse) {
        let message = format!("a {kind} decision has no endpoint: this process answers by itself");
        return Failure::new(roadstead_status::ROADSTEAD_NO_ENDPOINT, message);
    }
    let reasons = filled.core.reasons(&filled.asked).join(", ");
    let message = format!("no cluster to pick from: {kind} ({reasons})");
    Failure::new(roadstead_status::ROADSTEAD_NO_HEALTHY_ENDPOINT, message)
}

#[cold]
fn none_healthy<A: Embed>(cluster: &Cluster<A>) -> Failure {
    let message = format!("{}: no healthy endpoint", cluster.name);
    Failure::new(roadstead_status::ROADSTEAD_NO_HEALTHY_ENDPOINT, message)
}

pub unsafe extern "C" fn pick_endpoint<A: Embed>(
    decision: *mut roadstead_decision,
    choice: *const roadstead_choice,
    out: *mut roadstead_endpoint,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::writable(out)?;
            let wish = Wish::of(choice)?;
            raw::write(out, raw::behind_mut::<Place<A>>(decision)?.choose(&wish)?.told())
        }
    })
}
