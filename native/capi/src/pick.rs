//! From the chosen cluster to one endpoint.

use std::mem::MaybeUninit;

use roadstead_core::choose::{Chosen, HashBy, Unchosen, Wish};
use roadstead_core::decision::{Decision, Kind};
use roadstead_core::hash::xxh64;

use crate::asked::Asked;
use crate::decision::{Filled, Place, empty};
use crate::embed::Embed;
use crate::endpoint::told_of;
use crate::failure::{Failure, call};
use crate::raw;
use crate::types::{
    ROADSTEAD_CHOICE_HASH, ROADSTEAD_CHOICE_HASH_KEY, roadstead_choice, roadstead_decision, roadstead_endpoint,
    roadstead_error, roadstead_status, roadstead_str,
};

/// What the caller wants of a choice.
pub struct Given<'a> {
    pub flags: u32,
    hash: HashBy,
    exclude: Vec<(&'a str, u16)>,
}

/// # Safety
/// As of `slice`, where the key is asked for.
pub unsafe fn hash_of(hash: Option<u64>, key: Option<roadstead_str>, what: &str) -> Result<HashBy, Failure> {
    match (hash, key) {
        (Some(hash), _) => Ok(HashBy::Given(hash)),
        // SAFETY: the caller's.
        (None, Some(key)) => Ok(HashBy::Given(xxh64(unsafe { key.bytes(what)? }, 0))),
        (None, None) => Ok(HashBy::Policies),
    }
}

impl Given<'_> {
    /// # Safety
    /// A choice whose pointers are valid for the call.
    #[inline(never)]
    pub unsafe fn of(choice: *const roadstead_choice) -> Result<Self, Failure> {
        // SAFETY: the caller's.
        unsafe {
            let mut room = MaybeUninit::uninit();
            let given = raw::read(choice, &mut room)?;
            let (hash, key) = (given.flags & ROADSTEAD_CHOICE_HASH != 0, given.flags & ROADSTEAD_CHOICE_HASH_KEY != 0);
            let hash = hash_of(hash.then_some(given.hash), key.then_some(given.hash_key), "choice.hash_key")?;
            let excluded = raw::slice(given.exclude, given.exclude_count, "choice.exclude")?;
            let exclude = excluded.iter().map(|one| Ok((one.address.text("choice.exclude")?, one.port)));
            Ok(Given { flags: given.flags, hash, exclude: exclude.collect::<Result<_, Failure>>()? })
        }
    }
}

impl<A: Embed> Place<A> {
    /// One endpoint; `given` None: nothing special is wanted. Each call is a new pick.
    #[inline]
    pub fn choose(&mut self, given: Option<&Given<'_>>) -> Result<&Chosen<A>, Failure> {
        let Place { engine, filled, asked, picked, .. } = self;
        let Filled { core, picks, .. } = filled.as_mut().ok_or_else(empty)?;
        let asked = &*asked;
        let (hash, exclude) = given.map_or((HashBy::Policies, &[][..]), |given| (given.hash, &given.exclude));
        let wish = Wish { hash, exclude, priorities: None, original: asked.original() };
        match core.choose(asked, picks, wish, || asked.now.unwrap_or_else(|| engine.core.now())) {
            Ok(chosen) => picked.push(chosen),
            Err(unchosen) => return Err(refused(core, asked, unchosen)),
        }
        picked.last().ok_or_else(empty)
    }
}

#[cold]
fn refused<A: Embed>(core: &Decision<A>, asked: &Asked<'_>, unchosen: Unchosen) -> Failure {
    match (unchosen, core.cluster()) {
        (Unchosen::NoneHealthy, Some(cluster)) => {
            let message = format!("{}: no healthy endpoint", cluster.name);
            Failure::new(roadstead_status::ROADSTEAD_NO_HEALTHY_ENDPOINT, message)
        }
        _ => nowhere(core, asked),
    }
}

#[cold]
fn nowhere<A: Embed>(core: &Decision<A>, asked: &Asked<'_>) -> Failure {
    let kind = core.kind.word();
    if matches!(core.kind, Kind::Redirect | Kind::DirectResponse) {
        let message = format!("a {kind} decision has no endpoint: this process answers by itself");
        return Failure::new(roadstead_status::ROADSTEAD_NO_ENDPOINT, message);
    }
    let reasons = core.reasons(asked).join(", ");
    let message = format!("no cluster to pick from: {kind} ({reasons})");
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
            let place = raw::behind_mut::<Place<A>>(decision)?;
            if choice.is_null() {
                return raw::write(out, told_of(place.choose(None)?));
            }
            raw::write(out, told_of(place.choose(Some(&Given::of(choice)?))?))
        }
    })
}
