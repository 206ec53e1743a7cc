//! Virtual hosts made ready for requests: routes with their conditions, found through an index of paths.

use std::net::IpAddr;
use std::sync::Arc;

use crate::chains::listened;
use crate::cluster::Service;
use crate::cors::Cors;
use crate::error::Error;
use crate::hashing::HashPolicy;
use crate::matching::{Condition, FORWARDED_PROTO, NameList, Seen, TextTest};
use crate::model::{self, Action, Attach, Fault, HeaderOp, MatchKind, Mirror, PieceKind, Protocol, Redirect, Retry};
use crate::paths::PathIndex;
use crate::regex::Regexes;
use crate::request::{HeaderName, Request};
use crate::rewrite::PathRewrite;
use crate::rng::mix;
use crate::text::bare;

/// The condition on the path.
#[derive(Debug)]
pub enum PathTest {
    Prefix(Box<str>),
    Exact(Box<str>),
    Text(TextTest),
}

impl PathTest {
    fn new(given: Option<&model::ValueMatch>, regexes: &mut Regexes) -> Result<Self, Error> {
        Ok(match given {
            None => PathTest::Prefix("/".into()),
            Some(given) => match given.kind {
                MatchKind::Prefix if !given.ignore_case => PathTest::Prefix(Box::from(&*given.value)),
                MatchKind::Exact if !given.ignore_case => PathTest::Exact(Box::from(&*given.value)),
                _ => PathTest::Text(TextTest::new(given, regexes)?),
            },
        })
    }

    /// `path` is without query.
    #[inline]
    pub fn holds(&self, path: &str) -> bool {
        match self {
            PathTest::Prefix(prefix) => path.starts_with(&**prefix),
            PathTest::Exact(exact) => path == &**exact,
            PathTest::Text(test) => test.holds(path.as_bytes()),
        }
    }
}

impl std::fmt::Display for PathTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PathTest::Prefix(prefix) => write!(f, "path prefix \"{prefix}\""),
            PathTest::Exact(exact) => write!(f, "path \"{exact}\""),
            PathTest::Text(test) => write!(f, "path {test}"),
        }
    }
}

/// What a destination does to a request beside receiving it.
#[derive(Debug)]
pub struct DestinationChanges {
    pub request_ops: Box<[HeaderOp]>,
    pub response_ops: Box<[HeaderOp]>,
    pub host_rewrite: Option<Box<str>>,
}

/// One weighted destination. The slot leads to the cluster without a look-up by name; it is given when the unit is linked.
#[derive(Debug)]
pub struct Destination {
    pub cluster: Arc<str>,
    pub slot: u32,
    pub weight: u32,
    pub changes: Option<Box<DestinationChanges>>,
}

/// Destinations of a route or chain; `total` is the sum of weights, 0 for a single destination.
#[derive(Debug)]
pub struct Weighted {
    pub destinations: Box<[Destination]>,
    pub total: u64,
}

impl Weighted {
    pub fn new(given: Vec<model::Destination>) -> Result<Self, Error> {
        let total = match given.len() {
            0 => return Err(Error::Invalid("a forwarding route without destinations".to_owned())),
            1 => 0,
            _ => given.iter().map(|destination| u64::from(destination.weight)).sum(),
        };
        if given.len() > 1 && total == 0 {
            return Err(Error::Invalid("the weights of a route's destinations add up to nothing".to_owned()));
        }
        let destinations = given.into_iter().map(|given| {
            let plain = given.request_ops.is_empty() && given.response_ops.is_empty() && given.host_rewrite.is_none();
            let changes = (!plain).then(|| {
                Box::new(DestinationChanges {
                    request_ops: given.request_ops,
                    response_ops: given.response_ops,
                    host_rewrite: given.host_rewrite,
                })
            });
            Destination { cluster: Arc::from(given.cluster), slot: u32::MAX, weight: given.weight, changes }
        });
        Ok(Weighted { destinations: destinations.collect(), total })
    }

    /// Position of the destination for a draw.
    #[inline]
    pub fn choose(&self, draw: u64) -> usize {
        if self.total == 0 {
            return 0;
        }
        let mut rest = draw % self.total;
        for (at, destination) in self.destinations.iter().enumerate() {
            match rest.checked_sub(u64::from(destination.weight)) {
                Some(left) => rest = left,
                None => return at,
            }
        }
        self.destinations.len() - 1
    }
}

/// (delay seconds, abort status or 0, abort gRPC status or -1).
pub type FaultHit = (f64, u16, i32);

/// Shares of faults and mirrors are counted in these.
pub const MILLION: u64 = 1_000_000;

/// Whether a fault answers the request.
pub fn is_abort(hit: Option<FaultHit>) -> bool {
    hit.is_some_and(|(_, status, grpc_status)| status > 0 || grpc_status >= 0)
}

/// What few routes have.
#[derive(Debug, Default)]
pub struct Extras {
    pub request_ops: Box<[HeaderOp]>,
    pub response_ops: Box<[HeaderOp]>,
    pub path_rewrite: Option<PathRewrite>,
    pub host_rewrite: Option<Box<str>>,
    pub redirect: Option<Redirect>,
    pub direct_status: u16,
    pub direct_body: Box<[u8]>,
    pub mirrors: Box<[Mirror]>,
    pub hash_policies: Box<[HashPolicy]>,
    pub fault: Option<Fault>,
    pub cors: Option<Cors>,
}

/// One route.
#[derive(Debug)]
pub struct Route<A: Attach> {
    pub handle: A::Handle,
    pub path: PathTest,
    pub conditions: Box<[Condition]>,
    /// None: this process answers by itself.
    pub weighted: Option<Weighted>,
    pub extras: Option<Box<Extras>>,
    pub action: Action,
    pub retry_host_attempts: u32,
    /// Seconds for the whole request; 0: no limit.
    pub timeout: f64,
    pub retry: Option<Arc<Retry>>,
}

impl<A: Attach> Route<A> {
    fn new(given: model::Route<A>, names: &mut NameList, regexes: &mut Regexes) -> Result<Self, Error> {
        let path = PathTest::new(given.matcher.path.as_ref(), regexes)?;
        let headers = given.matcher.headers.iter().map(|header| Condition::header(header, names, regexes));
        let mut conditions = headers.collect::<Result<Vec<_>, _>>()?;
        for query in &given.matcher.queries {
            conditions.push(Condition::query(query, regexes)?);
        }
        let reads_scheme = given.matcher.headers.iter().any(|header| header.name.eq_ignore_ascii_case(":scheme"));
        if reads_scheme || given.action == Action::Redirect {
            names.source(FORWARDED_PROTO);
        }
        let destinations = given.destinations.iter().flat_map(|one| [&one.request_ops, &one.response_ops]);
        for piece in destinations
            .chain([&given.request_ops, &given.response_ops])
            .flat_map(|ops| ops.iter())
            .flat_map(|op| &op.format)
        {
            if piece.kind == PieceKind::RequestHeader {
                for name in [&piece.text, &piece.other].into_iter().filter(|name| !name.is_empty()) {
                    names.source(name);
                }
            }
        }
        let path_rewrite = match given.regex_rewrite {
            Some((pattern, substitution)) => Some(PathRewrite::regex(&pattern, &substitution)?),
            None => given.prefix_rewrite.map(PathRewrite::Matched),
        };
        if given.action == Action::Redirect && given.redirect.is_none() {
            return Err(Error::Invalid("a redirect route without a redirect".to_owned()));
        }
        let weighted = match given.action {
            Action::Forward => Some(Weighted::new(given.destinations)?),
            Action::Redirect | Action::DirectResponse => None,
        };
        let extras = Extras {
            request_ops: given.request_ops,
            response_ops: given.response_ops,
            path_rewrite,
            host_rewrite: given.host_rewrite,
            redirect: given.redirect,
            direct_status: given.direct_status,
            direct_body: given.direct_body,
            mirrors: given.mirrors,
            hash_policies: given.hash_policies.into_iter().map(|policy| HashPolicy::new(policy, names)).collect(),
            fault: given.fault,
            cors: given.cors.map(|cors| Cors::new(cors, names, regexes)).transpose()?,
        };
        Ok(Route {
            handle: given.handle,
            path,
            conditions: conditions.into(),
            weighted,
            extras: (!extras.are_none()).then(|| Box::new(extras)),
            action: given.action,
            retry_host_attempts: given.retry_host_attempts,
            timeout: given.timeout,
            retry: given.retry,
        })
    }

    #[inline]
    fn conditions_hold<R: Request<A> + ?Sized>(&self, seen: &Seen<'_, A, R>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(seen))
    }

    /// For explain: the first condition that does not hold, "" when all do. `path` is without query.
    pub fn first_failure<R: Request<A> + ?Sized>(&self, path: &str, seen: &Seen<'_, A, R>) -> String {
        if !self.path.holds(path) {
            return self.path.to_string();
        }
        self.conditions.iter().find(|condition| !condition.holds(seen)).map(ToString::to_string).unwrap_or_default()
    }
}

impl Extras {
    fn are_none(&self) -> bool {
        let changes = self.path_rewrite.is_some() || self.host_rewrite.is_some() || self.redirect.is_some();
        let lists = [self.request_ops.len(), self.response_ops.len(), self.mirrors.len(), self.hash_policies.len()];
        let answers =
            self.direct_status != 0 || !self.direct_body.is_empty() || self.fault.is_some() || self.cors.is_some();
        !changes && lists == [0; 4] && !answers
    }

    /// What a draw hits of the fault; its parts for a delay and an abort have nothing to do with each other.
    pub fn fault_hit(&self, draw: u64) -> Option<FaultHit> {
        let fault = self.fault.as_ref()?;
        let part = mix(draw);
        let delayed = part % MILLION < u64::from(fault.delay_numerator);
        let aborted = part / MILLION % MILLION < u64::from(fault.abort_numerator);
        (delayed || aborted).then(|| {
            let delay = if delayed { fault.delay } else { 0.0 };
            if aborted { (delay, fault.abort_status, fault.abort_grpc_status) } else { (delay, 0, -1) }
        })
    }

    /// Whether the request is a preflight that is answered here; a fault that aborts it comes first.
    pub fn answers_preflight<A: Attach, R: Request<A> + ?Sized>(&self, seen: &Seen<'_, A, R>, draw: u64) -> bool {
        self.cors.as_ref().is_some_and(|cors| cors.answers(seen)) && !is_abort(self.fault_hit(draw))
    }
}

/// Domains of one port and their routes.
#[derive(Debug)]
pub struct VirtualHost<A: Attach> {
    pub handle: A::Handle,
    pub port: u16,
    pub tls: bool,
    /// A service of the unit declares the port and speaks no TLS there: a request without scheme is plain HTTP.
    pub plain: bool,
    /// The first route takes every path, as most services have it.
    takes_all: bool,
    pub service: Option<Arc<Service<A>>>,
    pub names: Box<[HeaderName<A>]>,
    pub routes: Box<[Route<A>]>,
    paths: PathIndex,
    pub domains: Box<[(Box<str>, u32)]>,
    /// Whether HTTP for it is heard on the wildcard address.
    pub everywhere: bool,
    /// Where else HTTP for it is heard.
    pub addresses: Box<[IpAddr]>,
}

impl<A: Attach> VirtualHost<A> {
    pub fn new(given: model::VirtualHost<A>, regexes: &mut Regexes) -> Result<Self, Error> {
        let mut names = NameList::default();
        let routes = given.routes.into_iter().map(|route| Route::new(route, &mut names, regexes));
        let routes = routes.collect::<Result<Box<[_]>, _>>()?;
        let takes_all = routes.first().is_some_and(|route| {
            route.conditions.is_empty() && matches!(&route.path, PathTest::Prefix(prefix) if &**prefix == "/")
        });
        let heard = given.addresses.iter().filter(|_| !given.tls).map(|text| listened(text));
        let heard = heard.collect::<Result<Vec<_>, _>>()?;
        Ok(VirtualHost {
            everywhere: !given.tls && (heard.is_empty() || heard.contains(&None)),
            addresses: heard.into_iter().flatten().collect(),
            handle: given.handle,
            port: given.port,
            tls: given.tls,
            plain: false,
            takes_all,
            service: None,
            names: names.finish(),
            paths: PathIndex::new(routes.iter().map(|route| &route.path)),
            routes,
            domains: given.domains.into_iter().map(|(domain, tier)| (domain.into(), tier)).collect(),
        })
    }

    /// The unit's service that declares the port.
    pub fn set_service(&mut self, service: Option<&Arc<Service<A>>>) {
        self.service = service.cloned();
        let protocol = service.and_then(|service| service.protocol(self.port));
        self.plain = service.is_some() && protocol != Some(Protocol::Tls);
    }

    pub fn seen<'a, R: Request<A> + ?Sized>(&'a self, request: &'a R, scheme: &'a str) -> Seen<'a, A, R> {
        Seen { request, scheme, names: &self.names, connection: false }
    }

    /// The first route that takes the request. Headers are read only where a candidate asks for them.
    #[inline]
    pub fn find<R: Request<A> + ?Sized>(&self, request: &R, scheme: &str) -> Option<u32> {
        if self.takes_all && request.path().starts_with('/') {
            return Some(0);
        }
        let path = bare(request.path());
        let seen = self.seen(request, scheme);
        if !self.paths.is_used() {
            let found = self.routes.iter().position(|route| route.path.holds(path) && route.conditions_hold(&seen));
            return found.map(|at| at as u32);
        }
        self.paths.first(path, |at| {
            let route = &self.routes[at as usize];
            // The index has tested exact paths and prefixes.
            (!matches!(route.path, PathTest::Text(_)) || route.path.holds(path)) && route.conditions_hold(&seen)
        })
    }
}
