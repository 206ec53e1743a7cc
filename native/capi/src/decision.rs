//! Decisions: one place that is filled again and again.

use std::borrow::Cow;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::Arc;

use roadstead_core::choose::Chosen;
use roadstead_core::decision::{Decision, Kind};
use roadstead_core::formats::Told as Known;
use roadstead_core::rewrite::{self, Operation};
use roadstead_core::routing;

use crate::asked::Asked;
use crate::embed::{Embed, Rule, Shared, Upstream};
use crate::engine::shared;
use crate::failure::{Failure, call, read};
use crate::raw::{self, Opaque};
use crate::types::{
    ROADSTEAD_REQUEST_DRAW, roadstead_answer, roadstead_decision, roadstead_engine, roadstead_error, roadstead_header,
    roadstead_header_op, roadstead_kind, roadstead_request, roadstead_retry, roadstead_status, roadstead_str,
    roadstead_tls,
};

/// A place for one decision after another.
pub struct Place<A: Embed> {
    pub engine: Arc<Shared<A>>,
    pub filled: Option<Filled<A>>,
    /// The request of what is filled. Lent by the caller until the place is filled again: the header demands it.
    pub asked: Asked<'static>,
    /// Endpoints picked for it, for their strings.
    pub picked: Vec<Chosen<A>>,
    told: Told,
    /// Of an exchange, which fills and frees it.
    lent: bool,
}

/// A decision, and what belongs to it.
pub struct Filled<A: Embed> {
    pub core: Decision<A>,
    /// Picks made so far.
    pub picks: u32,
    /// Where the path that was asked for is not the caller's.
    path: Option<Arc<str>>,
}

/// Values of header operations that were made for a request, for as long as it lasts.
#[derive(Default)]
pub struct Kept(RefCell<Vec<Box<str>>>);

impl Kept {
    /// The operations, with what was made for them kept.
    pub fn all<'k>(&self, given: Vec<Operation<'k>>) -> impl Iterator<Item = Operation<'k>> {
        given.into_iter().map(|operation| match operation.value {
            Cow::Borrowed(_) => operation,
            Cow::Owned(text) => {
                let text = text.into_boxed_str();
                // SAFETY: the text stays where it is until `clear`, as what is lent.
                let kept = unsafe { &*std::ptr::from_ref::<str>(&text) };
                self.0.borrow_mut().push(text);
                Operation { value: Cow::Borrowed(kept), ..operation }
            }
        })
    }

    pub fn clear(&mut self) {
        self.0.get_mut().clear();
    }
}

/// What was made to be read, for as long as the decision lasts.
#[derive(Default)]
struct Told {
    /// Anything at all: most decisions are not read, only picked from.
    any: bool,
    texts: Vec<String>,
    strings: Vec<Vec<roadstead_str>>,
    ops: Vec<Vec<roadstead_header_op>>,
    kept: Kept,
    rule: Option<Arc<Rule>>,
    upstream: Option<Arc<Upstream>>,
}

impl Told {
    fn text(&mut self, text: String) -> roadstead_str {
        let told = roadstead_str::of(&text);
        self.any = true;
        self.texts.push(text);
        told
    }

    fn array(&mut self, array: Vec<roadstead_str>) -> (*const roadstead_str, usize) {
        if array.is_empty() {
            return (std::ptr::null(), 0);
        }
        let told = (array.as_ptr(), array.len());
        self.any = true;
        self.strings.push(array);
        told
    }

    fn operations(&mut self, given: Vec<Operation<'_>>) -> (*const roadstead_header_op, usize) {
        let of = |Operation { kind, name, value, .. }: Operation<'_>| roadstead_header_op {
            op: kind as i32,
            name: roadstead_str::of(name),
            value: roadstead_str::of(&value),
        };
        let array: Vec<_> = self.kept.all(given).map(of).collect();
        if array.is_empty() {
            return (std::ptr::null(), 0);
        }
        let told = (array.as_ptr(), array.len());
        self.any = true;
        self.ops.push(array);
        told
    }
}

impl<A: Embed> Opaque for Place<A> {
    type Face = roadstead_decision;
    const MARK: u64 = A::MARK ^ 3;
    const NAME: &'static str = "decision";
}

#[cold]
pub fn empty() -> Failure {
    Failure::new(
        roadstead_status::ROADSTEAD_EMPTY,
        "nothing was decided yet: roadstead_route or roadstead_connect first",
    )
}

#[cold]
fn of_exchange() -> Failure {
    Failure::new(roadstead_status::ROADSTEAD_HANDLE, "this decision is its exchange's: it is read, not filled or freed")
}

impl<A: Embed> Place<A> {
    fn new(engine: Arc<Shared<A>>) -> Self {
        let (asked, picked, told) = (Asked::NOTHING, Vec::new(), Told::default());
        Place { engine, filled: None, asked, picked, told, lent: false }
    }

    /// A place that belongs to an exchange, for another decision about the same request.
    pub fn lent(&self, core: Decision<A>, picks: u32) -> Self {
        let path = self.filled.as_ref().and_then(|filled| filled.path.clone());
        let filled = Some(Filled { core, picks, path });
        Place { filled, asked: self.asked, lent: true, ..Place::new(Arc::clone(&self.engine)) }
    }

    /// Whether the caller may fill or free it.
    #[inline]
    fn own(&mut self) -> Result<&mut Self, Failure> {
        if self.lent { Err(of_exchange()) } else { Ok(self) }
    }

    #[inline]
    fn clear(&mut self) {
        self.filled = None;
        self.picked.clear();
        if self.told.any {
            self.told = Told::default();
        }
        self.told.kept.clear();
    }

    pub fn filled(&self) -> Result<&Filled<A>, Failure> {
        self.filled.as_ref().ok_or_else(empty)
    }

    #[inline(always)]
    fn route(&mut self, asked: Asked<'static>, port: u16, draw: Option<u64>) {
        self.clear();
        self.asked = asked;
        let draw = draw.unwrap_or_else(|| self.engine.draws.draw());
        let guard = self.engine.core.load();
        let mut path = None;
        if let Cow::Owned(normal) = guard.normal_path(asked.path) {
            let kept: Arc<str> = normal.into();
            // SAFETY: `path` is kept beside what borrows it, wherever that goes.
            self.asked.path = unsafe { &*Arc::as_ptr(&kept) };
            path = Some(kept);
        }
        let core = routing::route(&guard, &self.asked, Some(port).filter(|port| *port > 0), draw);
        self.filled = Some(Filled { core, picks: 0, path });
    }

    fn connect(&mut self, asked: Asked<'static>, port: u16, draw: Option<u64>) {
        self.clear();
        self.asked = asked.connection();
        let draw = draw.unwrap_or_else(|| self.engine.draws.draw());
        let core = self.engine.core.connect(&self.asked, port, self.asked.sni(), draw);
        self.filled = Some(Filled { core, picks: 0, path: None });
    }

    fn rule(&mut self) -> Result<Option<&Rule>, Failure> {
        if self.told.rule.is_none() {
            let filled = self.filled.as_ref().ok_or_else(empty)?;
            self.told.any = true;
            self.told.rule = filled.core.rule_handle().and_then(A::rule);
        }
        Ok(self.told.rule.as_deref())
    }

    fn upstream(&mut self) -> Result<Option<&Upstream>, Failure> {
        if self.told.upstream.is_none() {
            let filled = self.filled.as_ref().ok_or_else(empty)?;
            self.told.any = true;
            self.told.upstream =
                filled.core.cluster().and_then(|cluster| cluster.handle.as_ref()).and_then(A::upstream);
        }
        Ok(self.told.upstream.as_deref())
    }

    fn answer(&mut self) -> Result<roadstead_answer, Failure> {
        let Place { filled, asked, told, .. } = self;
        let core = &filled.as_ref().ok_or_else(empty)?.core;
        let asked = &*asked;
        let location = core.redirect(asked).map(|(_, location)| told.text(location));
        let path = match core.rewritten_path(asked) {
            Some(path) => told.text(path),
            None => roadstead_str::of(asked.path),
        };
        let (request_ops, request_op_count) = told.operations(core.request_ops(asked));
        let (response_ops, response_op_count) =
            told.operations(core.response_ops(asked, &Known::status(core.status())));
        let (mirrors, mirror_count) = told.array(core.mirrors().map(roadstead_str::of).collect());
        let cookies: Vec<_> = core.set_cookies(asked).into_iter().map(|cookie| told.text(cookie)).collect();
        let (set_cookies, set_cookie_count) = told.array(cookies);
        let (delay, abort_status, abort_grpc_status) = core.fault().unwrap_or((0.0, 0, -1));
        let hash = core.hash(asked);
        Ok(roadstead_answer {
            struct_size: 0,
            kind: kind_of(core.kind) as i32,
            status: u32::from(core.status()),
            flags: roadstead_str::of(core.flags()),
            cluster: roadstead_str::of(core.cluster_name()),
            service: roadstead_str::of_option(core.service(asked).map(|service| &*service.given.host)),
            route: core.route_index().map_or(-1, |index| index as i32),
            destination: core.destination.map_or(-1, |index| index as i32),
            timeout: core.route().map(|route| route.timeout).filter(|timeout| *timeout > 0.0).unwrap_or(-1.0),
            path,
            authority: roadstead_str::of(core.authority(asked)),
            location: location.unwrap_or(roadstead_str::NONE),
            body: core.direct_response().map_or(roadstead_str::NONE, |(_, body)| roadstead_str::of_bytes(body)),
            request_ops,
            request_op_count,
            response_ops,
            response_op_count,
            mirrors,
            mirror_count,
            set_cookies,
            set_cookie_count,
            delay,
            abort_status: u32::from(abort_status),
            abort_grpc_status,
            draw: core.draw,
            hash: hash.unwrap_or(0),
            has_hash: hash.is_some(),
            application_tls: core.scheme.text::<A, _>(asked) == "https",
        })
    }
}

#[inline]
fn draw_of(given: &roadstead_request) -> Option<u64> {
    (given.flags & ROADSTEAD_REQUEST_DRAW != 0).then_some(given.draw)
}

fn kind_of(kind: Kind) -> roadstead_kind {
    match kind {
        Kind::Forward => roadstead_kind::ROADSTEAD_FORWARD,
        Kind::Redirect => roadstead_kind::ROADSTEAD_REDIRECT,
        Kind::DirectResponse => roadstead_kind::ROADSTEAD_DIRECT_RESPONSE,
        Kind::Passthrough => roadstead_kind::ROADSTEAD_PASSTHROUGH,
        Kind::Refused => roadstead_kind::ROADSTEAD_REFUSED_HOST,
        Kind::NotFound => roadstead_kind::ROADSTEAD_NO_ROUTE,
        Kind::NoCluster => roadstead_kind::ROADSTEAD_NO_CLUSTER,
    }
}

pub unsafe extern "C" fn new<A: Embed>(
    engine: *const roadstead_engine,
    out: *mut *mut roadstead_decision,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::set(out, "out", std::ptr::null_mut())?;
            let engine = Arc::clone(shared::<A>(engine)?);
            let place = Place::<A>::new(engine);
            raw::set(out, "out", raw::hand_out(place))
        }
    })
}

pub unsafe extern "C" fn free<A: Embed>(decision: *mut roadstead_decision) -> roadstead_status {
    call(std::ptr::null_mut(), || {
        if decision.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's: nobody uses the handle any more.
        unsafe {
            raw::behind_mut::<Place<A>>(decision)?.own()?;
            raw::take_back::<Place<A>>(decision)
        }
    })
}

pub unsafe extern "C" fn route<A: Embed>(
    decision: *mut roadstead_decision,
    request: *const roadstead_request,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's; what the request points to is lent until the place is filled again.
        unsafe {
            let place = raw::behind_mut::<Place<A>>(decision)?;
            let mut room = MaybeUninit::uninit();
            let given = raw::read(request, &mut room)?;
            place.own()?.route(Asked::of(given)?, given.port, draw_of(given));
        }
        Ok(())
    })
}

pub unsafe extern "C" fn connect<A: Embed>(
    decision: *mut roadstead_decision,
    request: *const roadstead_request,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: as in `route`.
        unsafe {
            let place = raw::behind_mut::<Place<A>>(decision)?;
            let mut room = MaybeUninit::uninit();
            let given = raw::read(request, &mut room)?;
            place.own()?.connect(Asked::of(given)?, given.port, draw_of(given));
        }
        Ok(())
    })
}

pub unsafe extern "C" fn kind<A: Embed>(decision: *const roadstead_decision) -> roadstead_kind {
    read(roadstead_kind::ROADSTEAD_NOTHING, || {
        // SAFETY: the caller's.
        let place = unsafe { raw::behind::<Place<A>>(decision)? };
        Ok(kind_of(place.filled()?.core.kind))
    })
}

pub unsafe extern "C" fn cluster<A: Embed>(decision: *const roadstead_decision) -> roadstead_str {
    read(roadstead_str::NONE, || {
        // SAFETY: the caller's.
        let place = unsafe { raw::behind::<Place<A>>(decision)? };
        Ok(roadstead_str::of(place.filled()?.core.cluster_name()))
    })
}

pub unsafe extern "C" fn answer<A: Embed>(
    decision: *mut roadstead_decision,
    out: *mut roadstead_answer,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            raw::writable(out)?;
            raw::write(out, raw::behind_mut::<Place<A>>(decision)?.answer()?)
        }
    })
}

pub unsafe extern "C" fn retry<A: Embed>(
    decision: *mut roadstead_decision,
    out: *mut roadstead_retry,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        let place = unsafe { raw::behind_mut::<Place<A>>(decision)? };
        let Some(retry) = place.rule()?.and_then(|rule| rule.retry.as_ref()) else {
            return Err(Failure::new(roadstead_status::ROADSTEAD_NOT_FOUND, "the rule has no retries"));
        };
        let told = roadstead_retry {
            struct_size: 0,
            attempts: retry.attempts,
            retry_on: roadstead_str::of(&retry.retry_on),
            status_codes: retry.status_codes.as_ptr(),
            status_code_count: retry.status_codes.len(),
            per_try_timeout: retry.per_try_timeout.unwrap_or(-1.0),
            backoff: retry.backoff.unwrap_or(-1.0),
        };
        // SAFETY: the caller's.
        unsafe { raw::write(out, told) }
    })
}

pub unsafe extern "C" fn tls<A: Embed>(
    decision: *mut roadstead_decision,
    out: *mut roadstead_tls,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        let place = unsafe { raw::behind_mut::<Place<A>>(decision)? };
        if place.upstream()?.is_none_or(|upstream| upstream.tls.is_none()) {
            return Err(Failure::new(roadstead_status::ROADSTEAD_NOT_FOUND, "the mesh originates no TLS here"));
        }
        let Place { told, .. } = place;
        let upstream = told.upstream.clone();
        let Some(tls) = upstream.as_deref().and_then(|upstream| upstream.tls.as_ref()) else {
            return Err(empty());
        };
        let strings = |texts: &[Box<str>]| texts.iter().map(|text| roadstead_str::of(text)).collect();
        let (subject_alt_names, subject_alt_name_count) = told.array(strings(&tls.subject_alt_names));
        let (alpn, alpn_count) = told.array(strings(&tls.alpn));
        let made = roadstead_tls {
            struct_size: 0,
            mode: roadstead_str::of(&tls.mode),
            sni: roadstead_str::of(&tls.sni),
            verify: roadstead_str::of(&tls.verify),
            ca: roadstead_str::of(&tls.ca),
            certificate: roadstead_str::of(&tls.certificate),
            private_key: roadstead_str::of(&tls.private_key),
            credential_name: roadstead_str::of(&tls.credential_name),
            subject_alt_names,
            subject_alt_name_count,
            alpn,
            alpn_count,
            auto_sni: tls.auto_sni,
        };
        // SAFETY: the caller's.
        unsafe { raw::write(out, made) }
    })
}

pub unsafe extern "C" fn connect_timeout<A: Embed>(decision: *mut roadstead_decision) -> f64 {
    read(-1.0, || {
        // SAFETY: the caller's.
        let place = unsafe { raw::behind_mut::<Place<A>>(decision)? };
        Ok(place.upstream()?.and_then(|upstream| upstream.connect_timeout).unwrap_or(-1.0))
    })
}

pub unsafe extern "C" fn reasons<A: Embed>(
    decision: *mut roadstead_decision,
    out: *mut roadstead_str,
    room: usize,
    count: *mut usize,
    error: *mut roadstead_error,
) -> roadstead_status {
    call(error, || {
        // SAFETY: the caller's.
        unsafe {
            let place = raw::behind_mut::<Place<A>>(decision)?;
            let filled = place.filled.as_ref().ok_or_else(empty)?;
            let reasons = filled.core.reasons(&place.asked);
            let told: Vec<_> = reasons.into_iter().map(|reason| place.told.text(reason)).collect();
            raw::fill(told, out, room, count)
        }
    })
}

pub unsafe extern "C" fn apply<A: Embed>(
    decision: *const roadstead_decision,
    response: bool,
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
            let place = raw::behind::<Place<A>>(decision)?;
            let (core, asked) = (&place.filled()?.core, &place.asked);
            let mut lines: Vec<Line> =
                raw::slice(headers, header_count, "headers")?.iter().map(|header| Line(*header)).collect();
            let operations = if response {
                let header = |name: &str| {
                    let line = lines.iter().find(|line| rewrite::Line::is(*line, name))?;
                    // SAFETY: lent for the call.
                    Some(String::from_utf8_lossy(line.0.value.header_bytes()).into_owned())
                };
                core.response_ops(asked, &Known { status: core.status(), header: &header })
            } else {
                core.request_ops(asked)
            };
            rewrite::apply(place.told.kept.all(operations), &mut lines);
            raw::fill(lines.into_iter().map(|line| line.0), out, room, count)
        }
    })
}

/// A header line of the caller's, or one of the decision's.
pub struct Line(pub roadstead_header);

impl rewrite::Line<'_> for Line {
    fn is(&self, name: &str) -> bool {
        // SAFETY: lent for the call.
        unsafe { self.0.name.header_bytes() }.eq_ignore_ascii_case(name.as_bytes())
    }

    fn of(name: &str, value: Cow<'_, str>) -> Self {
        Line(roadstead_header { name: roadstead_str::of(name), value: roadstead_str::of(&value) })
    }
}
