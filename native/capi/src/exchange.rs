//! Exchanges: the core's state machine with endpoints, leases and texts as C reads them.

use std::mem::MaybeUninit;

use roadstead_core::choose::{Chosen, HashBy};
use roadstead_core::decision::Decision;
use roadstead_core::exchange::retry::Reset;
use roadstead_core::exchange::tries::{Acting, Tries};
use roadstead_core::exchange::{self, Step, Wrong};
use roadstead_core::model::HeaderOp;

use crate::asked::Asked;
use crate::decision::{Kept, Line, Place};
use crate::embed::Embed;
use crate::endpoint::told_of;
use crate::failure::{Failure, call};
use crate::pick::hash_of;
use crate::raw::{self, Opaque};
use crate::types::{
    ROADSTEAD_TERMS_HASH, ROADSTEAD_TERMS_HASH_KEY, ROADSTEAD_TERMS_ONCE, ROADSTEAD_TERMS_PENDING,
    ROADSTEAD_TERMS_STREAMED, ROADSTEAD_TERMS_TRUSTED, roadstead_decision, roadstead_do, roadstead_endpoint,
    roadstead_error, roadstead_exchange, roadstead_header, roadstead_status, roadstead_step, roadstead_str,
    roadstead_terms,
};

/// One request on its way.
pub struct Running<A: Embed> {
    /// A decision of its own, which the caller reads.
    decision: *mut roadstead_decision,
    core: exchange::Exchange,
    tries: Tries<A>,
    told: Told,
    /// A mirror's: it has no mirrors of its own.
    copy: bool,
}

impl<A: Embed> Opaque for Running<A> {
    type Face = roadstead_exchange;
    const MARK: u64 = A::MARK ^ 5;
    const NAME: &'static str = "exchange";
}

/// What was made of the step to be read, for as long as the step lasts.
#[derive(Default)]
struct Told {
    flags: String,
    headers: Vec<roadstead_header>,
    mirrors: Vec<roadstead_str>,
    /// Of `apply`.
    ops: Vec<HeaderOp>,
    kept: Kept,
}

fn hash_by(terms: &roadstead_terms) -> Result<HashBy, Failure> {
    let (hash, key) = (terms.flags & ROADSTEAD_TERMS_HASH != 0, terms.flags & ROADSTEAD_TERMS_HASH_KEY != 0);
    // SAFETY: the header demands a key where the flag says that there is one.
    unsafe { hash_of(hash.then_some(terms.hash), key.then_some(terms.hash_key), "terms.hash_key") }
}

/// What the caller wants of an exchange.
fn asked_of(flags: u32) -> exchange::Asked {
    exchange::Asked {
        trusted: flags & ROADSTEAD_TERMS_TRUSTED != 0,
        replayable: flags & ROADSTEAD_TERMS_ONCE == 0,
        received: flags & ROADSTEAD_TERMS_STREAMED == 0,
        pending: flags & ROADSTEAD_TERMS_PENDING != 0,
    }
}

/// The machine's side over one decision.
fn act<A: Embed, T>(
    place: &Place<A>,
    tries: &mut Tries<A>,
    work: impl FnOnce(&mut Acting<'_, A, Asked<'static>>) -> T,
) -> Result<T, Failure> {
    let draw = || place.engine.draws.draw();
    let (decision, request) = (&place.filled()?.core, &place.asked);
    let original = request.original();
    Ok(work(&mut Acting { engine: &place.engine.core, decision, request, original, draw: &draw, tries }))
}

impl<A: Embed> Running<A> {
    fn begin(place: Place<A>, asked: exchange::Asked, hash: HashBy, copy: bool, now: i64) -> Result<Self, Failure> {
        let mut tries = Tries::new(place.filled()?.picks, hash);
        let lines = place.asked.header_lines();
        let core = act(&place, &mut tries, |acting| exchange::Exchange::of(acting, asked, lines, copy, now))?;
        let mut made = Running { decision: raw::hand_out(place), core, tries, told: Told::default(), copy };
        made.tell();
        Ok(made)
    }

    fn place(&self) -> Result<&Place<A>, Failure> {
        // SAFETY: made with this exchange and freed with it.
        unsafe { raw::behind::<Place<A>>(self.decision) }
    }

    fn decision(&self) -> Result<&Decision<A>, Failure> {
        Ok(&self.place()?.filled()?.core)
    }

    /// Works on one report; one about an exchange that is over changes nothing.
    fn report(
        &mut self,
        work: impl FnOnce(
            &mut exchange::Exchange,
            &mut Acting<'_, A, Asked<'static>>,
        ) -> Result<(), Wrong<std::convert::Infallible>>,
    ) -> Result<(), Failure> {
        if self.core.is_over() {
            return Ok(());
        }
        // SAFETY: as in `place`; what it borrows is not of the fields that are worked on.
        let place = unsafe { raw::behind::<Place<A>>(self.decision)? };
        let Running { core, tries, .. } = self;
        let done = act(place, tries, |acting| work(core, acting))?;
        if let Err(Wrong::Report(message)) = done {
            return Err(Failure::new(roadstead_status::ROADSTEAD_REPORT, message));
        }
        self.tell();
        Ok(())
    }

    /// Makes what the new step is read as.
    fn tell(&mut self) {
        let mirrors = match (self.core.step(), self.core.attempts(), self.copy) {
            (Step::Try { .. }, 1, false) => self.decision().map_or(Vec::new(), |decision| {
                let known = decision.mirrors().filter(|name| decision.snapshot.cluster(name).is_some());
                known.map(roadstead_str::of).collect()
            }),
            _ => Vec::new(),
        };
        let headers = match self.core.step() {
            Step::Try { headers, .. } => headers,
            Step::Respond(reply) => &reply.headers,
            _ => &Vec::new(),
        };
        let header = |(name, value): &(&'static str, String)| roadstead_header {
            name: roadstead_str::of(name),
            value: roadstead_str::of(value),
        };
        self.told = Told {
            flags: self.core.flags(),
            headers: headers.iter().map(header).collect(),
            mirrors,
            ops: Vec::new(),
            kept: Kept::default(),
        };
    }

    fn step(&self) -> roadstead_step {
        let Told { flags, headers, mirrors, .. } = &self.told;
        let (what, deadline) = match self.core.step() {
            Step::Delay { until } => (roadstead_do::ROADSTEAD_DO_DELAY, Some(*until)),
            Step::Try { deadline, .. } => (roadstead_do::ROADSTEAD_DO_TRY, *deadline),
            Step::Forward { deadline, .. } => (roadstead_do::ROADSTEAD_DO_FORWARD, *deadline),
            Step::Respond(_) => (roadstead_do::ROADSTEAD_DO_RESPOND, None),
            Step::Done { .. } => (roadstead_do::ROADSTEAD_DO_NOTHING, None),
        };
        let (status, details, body) = match self.core.step() {
            Step::Delay { .. } | Step::Try { .. } => (0, "", &[][..]),
            Step::Forward { status, .. } => (*status, "", &[][..]),
            Step::Respond(reply) => (reply.status, &*reply.details, &*reply.body),
            Step::Done { status, details, .. } => (*status, details.as_str(), &[][..]),
        };
        roadstead_step {
            struct_size: 0,
            what: what as i32,
            attempts: self.core.attempts(),
            deadline: deadline.unwrap_or(0),
            limit: self.core.deadline().unwrap_or(0),
            flags: roadstead_str::of(flags),
            status: u32::from(status),
            details: roadstead_str::of(details),
            headers: headers.as_ptr(),
            header_count: headers.len(),
            body: roadstead_str::of_bytes(body),
            mirrors: mirrors.as_ptr(),
            mirror_count: mirrors.len(),
            has_deadline: deadline.is_some(),
            has_limit: self.core.deadline().is_some(),
            reset: matches!(self.core.step(), Step::Done { reset: true, .. }),
        }
    }

    fn endpoint(&self) -> Result<&Chosen<A>, Failure> {
        let none = || Failure::new(roadstead_status::ROADSTEAD_NO_ENDPOINT, "no try is under way");
        self.tries.endpoint().ok_or_else(none)
    }
}

impl<A: Embed> Drop for Running<A> {
    fn drop(&mut self) {
        // SAFETY: made with this exchange; the header says that it goes with it.
        let _ = unsafe { raw::take_back::<Place<A>>(self.decision) };
    }
}

pub unsafe extern "C" fn begin<A: Embed>(
    decision: *const roadstead_decision,
    terms: *const roadstead_terms,
    now: i64,
    out: *mut *mut roadstead_exchange,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::set(out, "out", std::ptr::null_mut())?;
            let place = raw::behind::<Place<A>>(decision)?;
            let (flags, hash) = if terms.is_null() {
                (0, HashBy::Policies)
            } else {
                let mut room = MaybeUninit::uninit();
                let terms = raw::read(terms, &mut room)?;
                (terms.flags, hash_by(terms)?)
            };
            let filled = place.filled()?;
            if filled.core.is_connection() {
                let message = "an exchange is of a request: this decision is a connection's";
                return Err(Failure::new(roadstead_status::ROADSTEAD_RANGE, message));
            }
            let own = place.lent(filled.core.again(), filled.picks);
            let running = Running::begin(own, asked_of(flags), hash, false, now)?;
            raw::set(out, "out", raw::hand_out(running))
        }
    })
}

pub unsafe extern "C" fn mirror<A: Embed>(
    exchange: *const roadstead_exchange,
    cluster: roadstead_str,
    now: i64,
    out: *mut *mut roadstead_exchange,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::set(out, "out", std::ptr::null_mut())?;
            let running = raw::behind::<Running<A>>(exchange)?;
            let (name, place) = (cluster.text("cluster")?, running.place()?);
            let Some(core) = place.filled()?.core.to_cluster(name) else {
                let message = format!("no cluster {name:?} to mirror to");
                return Err(Failure::new(roadstead_status::ROADSTEAD_NOT_FOUND, message));
            };
            let asked = exchange::Asked {
                trusted: false,
                replayable: false,
                received: running.core.is_complete(),
                pending: running.core.is_pending(),
            };
            let copy = Running::begin(place.lent(core, 0), asked, HashBy::Nothing, true, now)?;
            raw::set(out, "out", raw::hand_out(copy))
        }
    })
}

pub unsafe extern "C" fn step<A: Embed>(
    exchange: *const roadstead_exchange,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    call(error, || unsafe { raw::write(out, raw::behind::<Running<A>>(exchange)?.step()) })
}

/// One report, and the step that follows where there is a place for it.
///
/// # Safety
/// The caller's pointers, as the header has them.
unsafe fn reported<A: Embed>(
    exchange: *mut roadstead_exchange,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
    work: impl FnOnce(&mut Running<A>) -> Result<(), Failure>,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            if !out.is_null() {
                raw::writable(out)?;
            }
            let running = raw::behind_mut::<Running<A>>(exchange)?;
            work(running)?;
            if out.is_null() { Ok(()) } else { raw::write(out, running.step()) }
        }
    })
}

pub unsafe extern "C" fn received<A: Embed>(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    let work = |running: &mut Running<A>| {
        running.report(|core, _| {
            core.received(now);
            Ok(())
        })
    };
    // SAFETY: the caller's.
    unsafe { reported(exchange, out, error, work) }
}

pub unsafe extern "C" fn ready<A: Embed>(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    let work = |running: &mut Running<A>| running.report(|core, acting| core.ready(now, acting));
    // SAFETY: the caller's.
    unsafe { reported(exchange, out, error, work) }
}

#[allow(clippy::too_many_arguments, reason = "as the header has it")]
pub unsafe extern "C" fn response<A: Embed>(
    exchange: *mut roadstead_exchange,
    status: u16,
    headers: *const roadstead_header,
    header_count: usize,
    end_stream: bool,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    let work = |running: &mut Running<A>| {
        // SAFETY: the caller's: lent for the call.
        let lines = unsafe { raw::slice(headers, header_count, "headers")? };
        running.report(|core, acting| {
            // SAFETY: the same.
            let answered = core.answered(status, lines.iter().map(|line| unsafe { line.bytes() }));
            core.response(&answered, end_stream, now, acting)
        })
    };
    // SAFETY: the caller's.
    unsafe { reported(exchange, out, error, work) }
}

pub unsafe extern "C" fn ended<A: Embed>(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    let work = |running: &mut Running<A>| running.report(|core, acting| core.ended(now, acting));
    // SAFETY: the caller's.
    unsafe { reported(exchange, out, error, work) }
}

pub unsafe extern "C" fn reset<A: Embed>(
    exchange: *mut roadstead_exchange,
    reason: i32,
    sent: bool,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    let work = |running: &mut Running<A>| {
        let Some(reason) = usize::try_from(reason).ok().and_then(|code| Reset::ALL.get(code)) else {
            let message = format!("reason is {reason}, expected 0 to {}", Reset::ALL.len() - 1);
            return Err(Failure::new(roadstead_status::ROADSTEAD_RANGE, message));
        };
        running.report(|core, acting| core.reset(*reason, sent, now, acting))
    };
    // SAFETY: the caller's.
    unsafe { reported(exchange, out, error, work) }
}

pub unsafe extern "C" fn expired<A: Embed>(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    let work = |running: &mut Running<A>| running.report(|core, acting| core.expired(now, acting));
    // SAFETY: the caller's.
    unsafe { reported(exchange, out, error, work) }
}

pub unsafe extern "C" fn cancel<A: Embed>(
    exchange: *mut roadstead_exchange,
    now: i64,
    out: *mut roadstead_step,
    error: *mut roadstead_error,
) -> roadstead_status {
    let work = |running: &mut Running<A>| running.report(|core, acting| Ok(core.cancel(now, acting)?));
    // SAFETY: the caller's.
    unsafe { reported(exchange, out, error, work) }
}

pub unsafe extern "C" fn once<A: Embed>(
    exchange: *mut roadstead_exchange,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe { raw::behind_mut::<Running<A>>(exchange)? }.core.replayable = false;
        Ok(())
    })
}

pub unsafe extern "C" fn endpoint<A: Embed>(
    exchange: *const roadstead_exchange,
    out: *mut roadstead_endpoint,
    error: *mut roadstead_error,
) -> roadstead_status {
    // SAFETY: the caller's.
    call(error, || unsafe { raw::write(out, told_of(raw::behind::<Running<A>>(exchange)?.endpoint()?)) })
}

pub unsafe extern "C" fn decision<A: Embed>(exchange: *const roadstead_exchange) -> *mut roadstead_decision {
    // SAFETY: the caller's.
    crate::failure::read(std::ptr::null_mut(), || Ok(unsafe { raw::behind::<Running<A>>(exchange)? }.decision))
}

pub unsafe extern "C" fn apply<A: Embed>(
    exchange: *mut roadstead_exchange,
    headers: *const roadstead_header,
    header_count: usize,
    out: *mut roadstead_header,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            let running = raw::behind_mut::<Running<A>>(exchange)?;
            running.told.ops = running.core.own_ops();
            let given = raw::slice(headers, header_count, "headers")?;
            let mut lines: Vec<Line> = given.iter().map(|header| Line(*header)).collect();
            let place = running.place()?;
            let rule = running.told.kept.all(place.filled()?.core.request_ops(&place.asked)).collect();
            running.core.apply(rule, &running.told.ops, &mut lines);
            raw::fill(lines.into_iter().map(|line| line.0), out, room, count)
        }
    })
}

pub unsafe extern "C" fn free<A: Embed>(exchange: *mut roadstead_exchange) -> roadstead_status {
    // SAFETY: the caller's: nobody uses the handle any more.
    call(std::ptr::null_mut(), || unsafe { raw::take_back::<Running<A>>(exchange) })
}
