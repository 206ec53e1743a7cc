//! Templates: units with names left out, of which the units of thousands of hosts are made.
//!
//! A name's place in a text is `\x01`, its index and `\x02`.

use std::fmt::Debug;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::Error;
use crate::model::{
    Attach, Chain, Cluster, Destination, Endpoint, LocalityGroup, Mirror, Redirect, Route, Service, Unit, VirtualHost,
};

const OPEN: char = '\x01';
const CLOSE: char = '\x02';

/// Parts of a unit that have a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Service,
    Cluster,
    VirtualHost,
    Route,
    Chain,
}

/// What the embedder attaches to units made of a template.
pub trait Making<A: Attach>: Debug + Send + Sync {
    /// The handle of a piece. row: of the unit, among those that are put together. like: the template's. at: its position among
    /// its sort; routes count through all virtual hosts.
    fn handle(&self, row: u32, like: &A::Handle, piece: Piece, at: u32) -> A::Handle;
    /// Labels have no names in them: all share the template's.
    fn labels(&self, like: &A::Labels) -> A::Labels;
}

/// Nothing is attached.
impl Making<crate::model::Plain> for () {
    fn handle(&self, _row: u32, (): &(), _piece: Piece, _at: u32) {}

    fn labels(&self, (): &()) {}
}

/// The names of one unit.
pub trait Names {
    fn name(&self, index: usize) -> Option<&str>;
}

impl Names for [&str] {
    fn name(&self, index: usize) -> Option<&str> {
        self.get(index).copied()
    }
}

/// A unit with places for names.
#[derive(Debug)]
pub struct Template<A: Attach> {
    pub(crate) unit: Unit<A>,
    /// The first route of each virtual host, among all.
    routes: Box<[u32]>,
}

impl<A: Attach> Template<A> {
    pub fn new(unit: Unit<A>) -> Result<Self, Error> {
        let named = unit.virtual_hosts.iter().flat_map(|host| &host.routes).any(|route| {
            has_name(&route.matcher)
                || has_name(&(&route.request_ops, &route.response_ops, &route.hash_policies))
                || has_name(&(&route.prefix_rewrite, &route.regex_rewrite, &route.fault, &route.cors))
        });
        if named || unit.chains.iter().any(|chain| has_name(&chain.hash_policies)) {
            let message =
                "a template has no names in conditions, rewrites of paths, header operations and hash policies";
            return Err(Error::Invalid(message.to_owned()));
        }
        let mut first = 0;
        let routes = unit.virtual_hosts.iter().map(|host| {
            let before = first;
            first += host.routes.len() as u32;
            before
        });
        Ok(Template { routes: routes.collect(), unit })
    }

    /// Indices of the names that stand somewhere, ascending.
    pub fn used(&self) -> Vec<usize> {
        let told = format!("{:?}", self.unit);
        let mut found: Vec<usize> = told.split("\\u{1}").skip(1).filter_map(index_before_close).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The unit with these names in their places.
    pub fn filled<'t, N: Names + ?Sized>(
        &'t self,
        row: u32,
        names: &'t N,
        making: &'t dyn Making<A>,
    ) -> Filling<'t, A, N> {
        Filling { template: self, row, names, making }
    }
}

fn has_name(part: &impl Debug) -> bool {
    format!("{part:?}").contains("\\u{1}")
}

/// In the debug format of a text.
fn index_before_close(text: &str) -> Option<usize> {
    text.split_once("\\u{2}")?.0.parse().ok()
}

/// A text with at most one place: what stands before it, the name's index, what stands behind.
pub(crate) fn taken_apart(text: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = text.split_once(OPEN)?;
    let (index, behind) = rest.split_once(CLOSE)?;
    (!behind.contains(OPEN)).then_some((before, index.parse().ok()?, behind))
}

/// One unit, piece by piece.
pub struct Filling<'t, A: Attach, N: Names + ?Sized> {
    template: &'t Template<A>,
    row: u32,
    names: &'t N,
    making: &'t dyn Making<A>,
}

impl<A: Attach, N: Names + ?Sized> Filling<'_, A, N> {
    pub(crate) fn text<T: for<'t> From<&'t str> + From<String>>(&self, text: &str) -> T {
        let mut pieces = text.split(OPEN);
        let first = pieces.next().unwrap_or_default();
        if first.len() == text.len() {
            return T::from(text);
        }
        let mut parts: SmallVec<[&str; 8]> = SmallVec::from_slice(&[first]);
        for piece in pieces {
            let (index, rest) = piece.split_once(CLOSE).unwrap_or_default();
            let name = index.parse().ok().and_then(|index| self.names.name(index));
            parts.extend([name.unwrap_or_default(), rest]);
        }
        // In one piece of the right size.
        T::from(parts.concat())
    }

    fn texts(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    fn handle(&self, like: &A::Handle, piece: Piece, at: usize) -> A::Handle {
        self.making.handle(self.row, like, piece, at as u32)
    }

    pub fn key(&self) -> String {
        self.text(&self.template.unit.key)
    }

    pub fn order(&self) -> String {
        self.text(&self.template.unit.order)
    }

    pub fn unit(&self) -> Unit<A> {
        let unit = &self.template.unit;
        Unit {
            key: self.key(),
            order: self.order(),
            services: (0..unit.services.len()).map(|at| self.service(at)).collect(),
            clusters: (0..unit.clusters.len()).map(|at| self.cluster(at)).collect(),
            virtual_hosts: (0..unit.virtual_hosts.len()).map(|at| self.virtual_host(at)).collect(),
            chains: (0..unit.chains.len()).map(|at| self.chain(at)).collect(),
        }
    }

    pub fn service(&self, at: usize) -> Service<A> {
        let service = &self.template.unit.services[at];
        Service {
            handle: self.handle(&service.handle, Piece::Service, at),
            host: self.text(&service.host),
            namespace: self.text(&service.namespace),
            addresses: self.texts(&service.addresses),
            ports: service.ports.clone(),
        }
    }

    pub fn cluster(&self, at: usize) -> Cluster<A> {
        let cluster = &self.template.unit.clusters[at];
        Cluster {
            handle: self.handle(&cluster.handle, Piece::Cluster, at),
            name: self.text(&cluster.name),
            kind: cluster.kind,
            lb: Arc::clone(&cluster.lb),
            limits: Arc::clone(&cluster.limits),
            groups: cluster.groups.iter().map(|group| self.group(group)).collect(),
            port_override: cluster.port_override,
            outliers: cluster.outliers.clone(),
        }
    }

    fn group(&self, group: &LocalityGroup<A>) -> LocalityGroup<A> {
        LocalityGroup {
            locality: Arc::clone(&group.locality),
            priority: group.priority,
            weight: group.weight,
            endpoints: group.endpoints.iter().map(|endpoint| self.endpoint(endpoint)).collect(),
        }
    }

    fn endpoint(&self, endpoint: &Endpoint<A>) -> Endpoint<A> {
        Endpoint {
            labels: endpoint.labels.as_ref().map(|labels| self.making.labels(labels)),
            address: self.text(&endpoint.address),
            port: endpoint.port,
            kind: endpoint.kind,
            weight: endpoint.weight,
            health: endpoint.health,
            hostname: self.text(&endpoint.hostname),
            hash_key: self.text(&endpoint.hash_key),
        }
    }

    pub fn virtual_host(&self, at: usize) -> VirtualHost<A> {
        let host = &self.template.unit.virtual_hosts[at];
        let first = self.template.routes[at] as usize;
        let routes = host.routes.iter().enumerate();
        VirtualHost {
            handle: self.handle(&host.handle, Piece::VirtualHost, at),
            port: host.port,
            domains: host.domains.iter().map(|(domain, tier)| (self.text(domain), *tier)).collect(),
            routes: routes.map(|(at, route)| self.route(route, first + at)).collect(),
            tls: host.tls,
            addresses: self.texts(&host.addresses),
        }
    }

    fn route(&self, route: &Route<A>, at: usize) -> Route<A> {
        Route {
            handle: self.handle(&route.handle, Piece::Route, at),
            matcher: route.matcher.clone(),
            action: route.action,
            destinations: self.destinations(&route.destinations),
            request_ops: route.request_ops.clone(),
            response_ops: route.response_ops.clone(),
            prefix_rewrite: route.prefix_rewrite.clone(),
            regex_rewrite: route.regex_rewrite.clone(),
            host_rewrite: route.host_rewrite.as_deref().map(|text| self.text(text)),
            redirect: route.redirect.as_ref().map(|redirect| Redirect {
                scheme: self.text(&redirect.scheme),
                host: self.text(&redirect.host),
                port: redirect.port,
                path: self.text(&redirect.path),
                prefix_rewrite: self.text(&redirect.prefix_rewrite),
                code: redirect.code,
                keep_port: redirect.keep_port,
            }),
            direct_status: route.direct_status,
            direct_body: route.direct_body.clone(),
            mirrors: route
                .mirrors
                .iter()
                .map(|mirror| Mirror { cluster: self.text(&mirror.cluster), numerator: mirror.numerator })
                .collect(),
            hash_policies: route.hash_policies.clone(),
            fault: route.fault.clone(),
            retry_host_attempts: route.retry_host_attempts,
            timeout: route.timeout,
            retry: route.retry.clone(),
            cors: route.cors.clone(),
        }
    }

    fn destinations(&self, destinations: &[Destination]) -> Vec<Destination> {
        let filled = |destination: &Destination| Destination {
            cluster: self.text(&destination.cluster),
            weight: destination.weight,
            request_ops: destination.request_ops.clone(),
            response_ops: destination.response_ops.clone(),
            host_rewrite: destination.host_rewrite.as_deref().map(|text| self.text(text)),
        };
        destinations.iter().map(filled).collect()
    }

    pub fn chain(&self, at: usize) -> Chain<A> {
        let chain = &self.template.unit.chains[at];
        Chain {
            handle: self.handle(&chain.handle, Piece::Chain, at),
            host: self.text(&chain.host),
            port: chain.port,
            addresses: self.texts(&chain.addresses),
            cidrs: self.texts(&chain.cidrs),
            snis: self.texts(&chain.snis),
            transport: chain.transport,
            destinations: self.destinations(&chain.destinations),
            hash_policies: chain.hash_policies.clone(),
        }
    }
}
