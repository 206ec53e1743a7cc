//! Where one request or connection goes. Kind and cluster are settled at once; the rest follows when it is read.

use std::sync::Arc;

use crate::chains::Chain;
use crate::cluster::{Cluster, Service};
use crate::formats::{self, Told};
use crate::hashing::{self, HashPolicy};
use crate::matching::Seen;
use crate::model::{Attach, ClusterType, EndpointKind, Outbound, Piece, PieceKind};
use crate::request::Request;
use crate::rewrite::{self, Operation};
use crate::text::{bare, fold, ip_of, port_start};
use crate::view::Hold;
use crate::virtual_host::{
    Destination, DestinationChanges, Extras, FaultHit, MILLION, Route, VirtualHost, Weighted, is_abort,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Forward,
    Redirect,
    DirectResponse,
    Passthrough,
    Refused,
    NotFound,
    NoCluster,
}

impl Kind {
    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Forward => "forward",
            Kind::Redirect => "redirect",
            Kind::DirectResponse => "direct_response",
            Kind::Passthrough => "passthrough",
            Kind::Refused => "refused",
            Kind::NotFound => "not_found",
            Kind::NoCluster => "no_cluster",
        }
    }
}

/// The scheme that was settled on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A connection without TLS.
    None,
    Http,
    Https,
    /// Another word that the caller gave.
    Given,
}

impl Scheme {
    pub fn text<A: Attach, R: Request<A> + ?Sized>(self, request: &R) -> &str {
        match self {
            Scheme::None => "",
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Given => request.scheme().unwrap_or_default(),
        }
    }
}

/// Where the decision comes from, and steps between that of the host and that of the route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub default_port: bool,
    pub tls_on_http: bool,
    pub http_on_tls: bool,
    pub undeclared: bool,
    pub egress: bool,
    /// HTTP on a listener that takes no HTTP.
    pub as_connection: bool,
    /// Passed through by its Host.
    pub by_name: bool,
    /// From `connect`: no method, path or headers.
    pub connection: bool,
    /// A CORS preflight that is answered here.
    pub preflight: bool,
}

/// What took the request.
#[derive(Debug)]
pub enum Matched<A: Attach> {
    Nothing,
    /// A virtual host and the position of its route, if one took it.
    Host(Arc<VirtualHost<A>>, Option<u32>),
    Chain(Arc<Chain<A>>),
}

impl<A: Attach> Clone for Matched<A> {
    fn clone(&self) -> Self {
        match self {
            Matched::Nothing => Matched::Nothing,
            Matched::Host(host, rule) => Matched::Host(Arc::clone(host), *rule),
            Matched::Chain(chain) => Matched::Chain(Arc::clone(chain)),
        }
    }
}

/// One decision. Methods that depend on the request are given it again.
#[derive(Debug)]
pub struct Decision<A: Attach> {
    pub snapshot: Arc<Hold<A>>,
    pub matched: Matched<A>,
    pub draw: u64,
    /// The cluster's place in the snapshot, where a destination was chosen: to hold the cluster itself would count its holders,
    /// which costs more than finding it.
    pub(crate) slot: Option<u32>,
    /// Position among the destinations.
    pub destination: Option<u32>,
    pub port: u16,
    pub kind: Kind,
    pub scheme: Scheme,
    pub notes: Notes,
}

impl<A: Attach> Decision<A> {
    pub fn virtual_host(&self) -> Option<&Arc<VirtualHost<A>>> {
        match &self.matched {
            Matched::Host(host, _) => Some(host),
            Matched::Nothing | Matched::Chain(_) => None,
        }
    }

    /// Position in the virtual host.
    pub fn route_index(&self) -> Option<u32> {
        match &self.matched {
            Matched::Host(_, rule) => *rule,
            Matched::Nothing | Matched::Chain(_) => None,
        }
    }

    pub fn route(&self) -> Option<&Route<A>> {
        match &self.matched {
            Matched::Host(host, rule) => rule.and_then(|rule| host.routes.get(rule as usize)),
            Matched::Nothing | Matched::Chain(_) => None,
        }
    }

    pub fn chain(&self) -> Option<&Arc<Chain<A>>> {
        match &self.matched {
            Matched::Chain(chain) => Some(chain),
            Matched::Nothing | Matched::Host(..) => None,
        }
    }

    /// What the embedder attached to the route or chain.
    pub fn rule_handle(&self) -> Option<&A::Handle> {
        self.route().map(|route| &route.handle).or_else(|| self.chain().map(|chain| &chain.handle))
    }

    /// From `connect`, so that a lease counts a connection.
    pub fn is_connection(&self) -> bool {
        self.notes.connection
    }

    /// Nothing of the route is done to a preflight that is answered here.
    fn extras(&self) -> Option<&Extras> {
        if self.notes.preflight { None } else { self.route()?.extras.as_deref() }
    }

    fn weighted(&self) -> Option<&Weighted> {
        match &self.matched {
            Matched::Chain(chain) => Some(&chain.weighted),
            Matched::Nothing | Matched::Host(..) => self.route()?.weighted.as_ref(),
        }
    }

    fn chosen(&self) -> Option<&Destination> {
        self.weighted()?.destinations.get(self.destination? as usize)
    }

    fn changes(&self) -> Option<&DestinationChanges> {
        self.chosen()?.changes.as_deref()
    }

    /// Status this process answers with itself, else 0.
    pub fn status(&self) -> u16 {
        match self.kind {
            Kind::Redirect => {
                self.extras().and_then(|extras| extras.redirect.as_ref()).map_or(0, |redirect| redirect.code)
            }
            Kind::DirectResponse if self.notes.preflight => 200,
            Kind::DirectResponse => self.extras().map_or(0, |extras| extras.direct_status),
            Kind::NotFound => 404,
            Kind::Refused => 502,
            Kind::NoCluster => 503,
            Kind::Forward | Kind::Passthrough => 0,
        }
    }

    /// Envoy's response flags.
    pub fn flags(&self) -> &'static str {
        match self.kind {
            Kind::Refused if self.notes.connection || self.notes.as_connection => "UH",
            Kind::NotFound => "NR",
            Kind::NoCluster => "NC",
            _ => "",
        }
    }

    pub fn service<R: Request<A> + ?Sized>(&self, request: &R) -> Option<&Arc<Service<A>>> {
        let (host, port) = match &self.matched {
            Matched::Nothing => return None,
            Matched::Host(host, _) => match &host.service {
                Some(service) => return Some(service),
                None => (request.host(), self.port),
            },
            Matched::Chain(chain) => (&*chain.host, chain.port),
        };
        self.snapshot.find(host, port).map(|found| found.service)
    }

    /// None where no cluster was chosen; the clusters of the outbound policy are clusters without endpoints.
    #[inline]
    pub fn cluster(&self) -> Option<&Arc<Cluster<A>>> {
        match (self.slot, self.kind) {
            (Some(slot), _) => self.snapshot.at_slot(slot),
            (None, Kind::Passthrough) if self.notes.by_name => Some(&self.snapshot.dynamic),
            (None, Kind::Passthrough) => Some(&self.snapshot.passthrough),
            (None, Kind::Refused) => Some(&self.snapshot.blackhole),
            (None, Kind::Forward) => match &self.snapshot.outbound {
                Outbound::AllowAny { egress_cluster } => self.snapshot.cluster(egress_cluster),
                Outbound::RegistryOnly | Outbound::Gateway | Outbound::AllowAnyDynamicDns => None,
            },
            (None, _) => None,
        }
    }

    /// The index of the cluster, which is not made for it where it is kept as columns.
    pub fn cluster_index(&self) -> Option<u32> {
        match self.slot {
            Some(slot) => self.snapshot.index_at_slot(slot),
            None => self.cluster().map(|cluster| cluster.index),
        }
    }

    /// The cluster's name, also where there is no such cluster.
    pub fn cluster_name(&self) -> &str {
        if let Some(cluster) = self.cluster() {
            return &cluster.name;
        }
        match (self.chosen(), &self.snapshot.outbound) {
            (Some(destination), _) => &destination.cluster,
            (None, Outbound::AllowAny { egress_cluster }) if self.kind == Kind::NoCluster => egress_cluster,
            _ => "",
        }
    }

    /// As sent upstream, query included; None: as given.
    pub fn rewritten_path<R: Request<A> + ?Sized>(&self, request: &R) -> Option<String> {
        let route = self.route().filter(|route| route.weighted.is_some())?;
        let rewrite = self.extras()?.path_rewrite.as_ref()?;
        Some(rewrite.apply(&route.path, request.path()))
    }

    /// Host header as sent upstream. The route is applied after the destination, so it wins.
    pub fn authority<'a, R: Request<A> + ?Sized>(&'a self, request: &'a R) -> &'a str {
        let route = self.extras().and_then(|extras| extras.host_rewrite.as_deref());
        let destination = self.changes().and_then(|changes| changes.host_rewrite.as_deref());
        let mut rewrites = [route, destination].into_iter().flatten();
        rewrites.find(|text| !text.is_empty()).unwrap_or_else(|| request.host())
    }

    /// Operations on the request's headers; those of the destination run before those of the route.
    pub fn request_ops<R: Request<A> + ?Sized>(&self, request: &R) -> Vec<Operation<'_>> {
        let destination = self.route().and_then(|_| self.changes()).map_or(&[][..], |changes| &changes.request_ops);
        let route = self.extras().map_or(&[][..], |extras| &extras.request_ops);
        let seen = self.seen(request);
        formats::rendered(destination.iter().chain(route), |piece, made| {
            self.fact(piece, request, 0, &|name| formats::after(made, name, seen.first(name)), &|_| None)
        })
    }

    /// Operations on the response's headers, in the same order, then what CORS writes; for a preflight its answer.
    pub fn response_ops<R: Request<A> + ?Sized>(&self, request: &R, told: &Told<'_>) -> Vec<Operation<'_>> {
        let destination = self.route().and_then(|_| self.changes()).map_or(&[][..], |changes| &changes.response_ops);
        let route = self.extras().map_or(&[][..], |extras| &extras.response_ops);
        let mut made = formats::rendered(destination.iter().chain(route), |piece, made| {
            let header = |name: &str| formats::after(made, name, (told.header)(name));
            self.fact(piece, request, told.status, &|name| self.sent_header(request, name), &header)
        });
        made.extend(self.cors_ops(request));
        made
    }

    /// What a piece of a header's value stands for.
    fn fact<R: Request<A> + ?Sized>(
        &self,
        piece: &Piece,
        request: &R,
        status: u16,
        of_request: &dyn Fn(&str) -> Option<String>,
        of_response: &dyn Fn(&str) -> Option<String>,
    ) -> Option<String> {
        let either = |header: &dyn Fn(&str) -> Option<String>| {
            header(&piece.text).or_else(|| Some(&*piece.other).filter(|other| !other.is_empty()).and_then(header))
        };
        match piece.kind {
            PieceKind::Text => None,
            PieceKind::RequestHeader => either(of_request),
            PieceKind::ResponseHeader => either(of_response),
            PieceKind::SourceIp => request.source_ip().map(str::to_owned),
            PieceKind::Status => Some(status.to_string()),
            PieceKind::Cluster => {
                Some(self.cluster_name()).filter(|name| !name.is_empty()).map(|name| format!("{name}{}", piece.text))
            }
        }
    }

    /// The first value of a request header as it goes upstream.
    fn sent_header<R: Request<A> + ?Sized>(&self, request: &R, name: &str) -> Option<String> {
        let seen = self.seen(request);
        if self.route().is_none_or(|route| route.weighted.is_none()) {
            return seen.first(name);
        }
        match name {
            ":path" => Some(self.rewritten_path(request).unwrap_or_else(|| request.path().to_owned())),
            ":authority" | "host" => Some(self.authority(request).to_owned()),
            name => formats::after(&self.request_ops(request), name, seen.first(name)),
        }
    }

    /// (status, Location).
    pub fn redirect<R: Request<A> + ?Sized>(&self, request: &R) -> Option<(u16, String)> {
        let route = self.route().filter(|_| self.kind == Kind::Redirect)?;
        let redirect = route.extras.as_ref()?.redirect.as_ref()?;
        let seen = self.seen(request);
        let scheme = seen.scheme();
        let location = rewrite::location(redirect, &route.path, scheme, request.host(), request.path());
        Some((redirect.code, location))
    }

    pub fn direct_response(&self) -> Option<(u16, &[u8])> {
        if self.kind != Kind::DirectResponse {
            return None;
        }
        let none = (if self.notes.preflight { 200 } else { 0 }, &[][..]);
        Some(self.extras().map_or(none, |extras| (extras.direct_status, &extras.direct_body)))
    }

    /// What the draw hits of the route's fault.
    pub fn fault(&self) -> Option<FaultHit> {
        self.route()?.extras.as_ref()?.fault_hit(self.draw)
    }

    /// What the route's CORS policy writes into the response; the fault that aborts a request comes before it.
    fn cors_ops<R: Request<A> + ?Sized>(&self, request: &R) -> Vec<Operation<'_>> {
        let cors = self.route().and_then(|route| route.extras.as_ref()?.cors.as_ref());
        let cors = cors.filter(|_| !is_abort(self.fault()));
        cors.map_or_else(Vec::new, |cors| cors.operations(&self.seen(request), self.notes.preflight))
    }

    /// Names of the clusters that get a copy; none where a fault answers the request.
    pub fn mirrors(&self) -> impl Iterator<Item = &str> {
        let part = self.draw % MILLION;
        let extras = self.extras().filter(|_| !is_abort(self.fault()));
        let mirrors = extras.map_or(&[][..], |extras| &extras.mirrors);
        mirrors.iter().filter(move |mirror| part < u64::from(mirror.numerator)).map(|mirror| &*mirror.cluster)
    }

    fn policies(&self) -> &[HashPolicy] {
        match &self.matched {
            Matched::Chain(chain) => &chain.hash_policies,
            Matched::Nothing | Matched::Host(..) => self.extras().map_or(&[], |extras| &extras.hash_policies),
        }
    }

    fn seen<'a, R: Request<A> + ?Sized>(&'a self, request: &'a R) -> Seen<'a, A, R> {
        let names = self.virtual_host().map_or(&[][..], |host| &host.names);
        Seen { request, scheme: self.scheme.text(request), names, connection: self.notes.connection }
    }

    /// What the hash policies give for this request.
    pub fn hash<R: Request<A> + ?Sized>(&self, request: &R) -> Option<u64> {
        match self.policies() {
            [] => None,
            policies => hashing::request_hash(policies, &self.seen(request), self.draw),
        }
    }

    /// Set-Cookie values for generated hash cookies.
    pub fn set_cookies<R: Request<A> + ?Sized>(&self, request: &R) -> Vec<String> {
        match self.policies() {
            [] => Vec::new(),
            policies => hashing::set_cookies(policies, &self.seen(request), self.draw),
        }
    }

    /// Steps, machine readable, in order.
    pub fn reasons<R: Request<A> + ?Sized>(&self, request: &R) -> Vec<String> {
        let host = self.snapshot.normal(request.host());
        let mut found = vec![self.host_reason(&host)];
        if self.notes.default_port {
            found.push(format!("port:default:{}", self.port));
        }
        if self.notes.tls_on_http {
            found.push("sniff:tls-on-http".to_owned());
        }
        if self.notes.http_on_tls {
            found.push("sniff:http-on-tls".to_owned());
        }
        if self.notes.as_connection {
            found.push("sniff:as-connection".to_owned());
        }
        if self.notes.undeclared {
            let ports: Vec<String> = self.snapshot.ports_of(&host).iter().map(ToString::to_string).collect();
            found.push(format!("port:undeclared:{}", ports.join(",")));
        }
        if self.notes.egress {
            found.push("policy:allow_any".to_owned());
        }
        if self.notes.preflight {
            found.push("cors:preflight".to_owned());
        }
        match &self.matched {
            Matched::Host(_, Some(rule)) => found.push(format!("route:{rule}")),
            Matched::Host(_, None) => found.push("route:none".to_owned()),
            Matched::Nothing | Matched::Chain(_) => {}
        }
        if let (Some(at), Some(_)) = (self.destination, self.weighted().filter(|weighted| weighted.total > 0)) {
            found.push(format!("weight:{at}"));
        }
        match self.kind {
            Kind::Passthrough => found.push("policy:allow_any".to_owned()),
            Kind::Refused => found.push("policy:registry_only".to_owned()),
            Kind::NoCluster => found.push("cluster:missing".to_owned()),
            _ => {}
        }
        found
    }

    fn host_reason(&self, host: &str) -> String {
        if let (Some(address), None) = (ip_of(host), self.virtual_host()) {
            match self.snapshot.network_at(address, self.port) {
                Some(network) if network.is_host() => return "host:vip".to_owned(),
                Some(network) => return format!("host:cidr:{network}"),
                None => {}
            }
        }
        match self.snapshot.name_at(host, self.port).or_else(|| self.snapshot.name_of(host)).as_deref() {
            None | Some("") => "host:unknown".to_owned(),
            Some(name) if name.contains('*') => format!("host:wildcard:{name}"),
            Some(_) => "host:exact".to_owned(),
        }
    }

    /// The slow walk: each route of the virtual host up to the one taken: (position, taken, first condition that failed).
    pub fn explain<R: Request<A> + ?Sized>(&self, request: &R) -> Vec<(u32, bool, String)> {
        let Matched::Host(host, rule) = &self.matched else {
            return Vec::new();
        };
        let (path, seen) = (bare(request.path()), self.seen(request));
        let last = rule.map_or(host.routes.len(), |rule| rule as usize);
        let refused = host.routes.iter().take(last).enumerate();
        let mut steps: Vec<_> =
            refused.map(|(at, route)| (at as u32, false, route.first_failure(path, &seen))).collect();
        steps.extend(rule.map(|rule| (rule, true, String::new())));
        steps
    }

    /// Clusters without endpoints of their own: the original destination, or what was asked for, as (host, port, kind).
    ///
    /// None where the cluster has endpoints to pick from, or where there is no cluster.
    pub fn asked_for<R: Request<A> + ?Sized>(
        &self,
        request: &R,
        original_destination: Option<(&str, u16)>,
    ) -> Option<(String, u16, EndpointKind)> {
        let cluster = self.cluster()?;
        let own = Some(cluster.port_override).filter(|port| *port > 0);
        let folded;
        let (host, port) = match (cluster.kind, original_destination) {
            (ClusterType::OriginalDst, Some((host, port))) => (host, own.unwrap_or(port)),
            (ClusterType::OriginalDst, None) => dialled(request.host(), own.unwrap_or(self.port), false),
            // The dynamic forward proxy dials the authority as it is sent, its port included; a connection's server name.
            (ClusterType::DynamicDns, _) if !self.notes.connection => {
                dialled(self.authority(request), own.unwrap_or(self.port), true)
            }
            (ClusterType::DynamicDns, _) => match request.server_name() {
                "" => dialled(request.host(), self.port, false),
                name => {
                    folded = fold(name);
                    (&*folded, self.port)
                }
            },
            (ClusterType::Eds | ClusterType::StrictDns | ClusterType::LogicalDns, _) => return None,
        };
        let kind = if ip_of(host).is_none() { EndpointKind::Hostname } else { EndpointKind::Ip };
        Some((host.to_owned(), port, kind))
    }

    /// The same decision for another holder.
    pub fn again(&self) -> Self {
        Decision { snapshot: Arc::clone(&self.snapshot), matched: self.matched.clone(), ..*self }
    }

    /// The same request sent to another cluster; None where there is no cluster of the name.
    pub fn to_cluster(&self, name: &str) -> Option<Self> {
        let slot = self.snapshot.cluster_slot(name)?;
        Some(Decision { slot: Some(slot), kind: Kind::Forward, ..self.again() })
    }

    /// Further picks of one `pick(exclude=…)`.
    pub fn retry_host_attempts(&self) -> u32 {
        self.route().map_or(0, |route| route.retry_host_attempts)
    }
}

/// Host and port to dial for a host text. `own_port`: a port in the text counts.
fn dialled(text: &str, port: u16, own_port: bool) -> (&str, u16) {
    let whole = text.bytes().filter(|byte| *byte == b':').count() > 1 && ip_of(text).is_some();
    let (host, port) = match port_start(text).filter(|_| !whole) {
        None => (text, port),
        Some(end) => {
            let digits = &text[end + 1..];
            let plain = own_port && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let own = plain.then(|| digits.trim_start_matches('0').parse().ok()).flatten();
            (&text[..end], own.filter(|own| *own > 0).unwrap_or(port))
        }
    };
    (host.trim_matches(['[', ']']), port)
}
