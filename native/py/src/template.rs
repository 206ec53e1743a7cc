//! `Template`: a unit with its names left out, of which the units of thousands of hosts are made without a crossing for
//! each of their parts.

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use roadstead_core::model::{
    Chain, Cluster, Destination, Endpoint, LocalityGroup, Mirror, Redirect, Route, Service, Unit, VirtualHost,
};
use smallvec::SmallVec;

use crate::attach::{Handle, Piece, PyAttach};
use crate::errors;

/// Before and behind the index of a name in a text.
const OPEN: char = '\x01';
const CLOSE: char = '\x02';

#[pyclass(frozen, module = "roadstead._core")]
pub struct Template(Unit<PyAttach>);

impl Template {
    pub fn new(py: Python<'_>, unit: Unit<PyAttach>) -> PyResult<Self> {
        let mut routes = unit.virtual_hosts.iter().flat_map(|host| &host.routes);
        let named = routes.any(|route| {
            has_name(&route.matcher)
                || has_name(&(&route.request_ops, &route.response_ops, &route.hash_policies))
                || has_name(&(&route.prefix_rewrite, &route.regex_rewrite, &route.fault, &route.cors))
        });
        let chained = unit.chains.iter().any(|chain| has_name(&chain.hash_policies));
        if named || chained {
            let message =
                "a template has no names in conditions, rewrites of paths, header operations and hash policies";
            return Err(errors::engine(py, message));
        }
        Ok(Template(unit))
    }

    /// The unit with these names in their places. maker: see `_lowered.Unit`.
    pub fn unit(&self, names: &Bound<'_, PyTuple>, maker: Py<PyAny>) -> PyResult<Unit<PyAttach>> {
        let py = names.py();
        let borrowed: Vec<_> = names.iter_borrowed().collect();
        let names = borrowed.iter().map(|name| (**name).cast::<PyString>()?.to_str()).collect::<PyResult<_>>()?;
        let filling = Filling { py, names, maker, counts: Default::default() };
        Ok(filling.unit(&self.0))
    }
}

fn has_name(part: &impl Debug) -> bool {
    format!("{part:?}").contains("\\u{1}")
}

/// One unit in the making.
struct Filling<'n> {
    py: Python<'n>,
    names: Vec<&'n str>,
    maker: Py<PyAny>,
    /// Pieces of each sort so far.
    counts: [Cell<u32>; 5],
}

impl Filling<'_> {
    fn text<T: for<'t> From<&'t str> + From<String>>(&self, text: &str) -> T {
        let mut pieces = text.split(OPEN);
        let first = pieces.next().unwrap_or_default();
        if first.len() == text.len() {
            return T::from(text);
        }
        let mut parts: SmallVec<[&str; 8]> = SmallVec::from_slice(&[first]);
        for piece in pieces {
            let (index, rest) = piece.split_once(CLOSE).unwrap_or_default();
            let name = index.parse().ok().and_then(|index: usize| self.names.get(index));
            parts.extend([name.copied().unwrap_or_default(), rest]);
        }
        // In one piece of the right size.
        T::from(parts.concat())
    }

    fn texts(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    fn handle(&self, like: &Handle, piece: Piece) -> Handle {
        let count = &self.counts[piece as usize];
        let at = count.replace(count.get() + 1);
        like.like(self.py, &self.maker, piece, at)
    }

    fn unit(&self, unit: &Unit<PyAttach>) -> Unit<PyAttach> {
        Unit {
            key: self.text(&unit.key),
            order: self.text(&unit.order),
            services: unit.services.iter().map(|service| self.service(service)).collect(),
            clusters: unit.clusters.iter().map(|cluster| self.cluster(cluster)).collect(),
            virtual_hosts: unit.virtual_hosts.iter().map(|host| self.virtual_host(host)).collect(),
            chains: unit.chains.iter().map(|chain| self.chain(chain)).collect(),
        }
    }

    fn service(&self, service: &Service<PyAttach>) -> Service<PyAttach> {
        Service {
            handle: self.handle(&service.handle, Piece::Service),
            host: self.text(&service.host),
            namespace: self.text(&service.namespace),
            addresses: self.texts(&service.addresses),
            ports: service.ports.clone(),
        }
    }

    fn cluster(&self, cluster: &Cluster<PyAttach>) -> Cluster<PyAttach> {
        Cluster {
            handle: self.handle(&cluster.handle, Piece::Cluster),
            name: self.text(&cluster.name),
            kind: cluster.kind,
            lb: Arc::clone(&cluster.lb),
            limits: Arc::clone(&cluster.limits),
            groups: cluster.groups.iter().map(|group| self.group(group)).collect(),
            port_override: cluster.port_override,
            outliers: cluster.outliers.clone(),
        }
    }

    fn group(&self, group: &LocalityGroup<PyAttach>) -> LocalityGroup<PyAttach> {
        LocalityGroup {
            locality: Arc::clone(&group.locality),
            priority: group.priority,
            weight: group.weight,
            endpoints: group.endpoints.iter().map(|endpoint| self.endpoint(endpoint)).collect(),
        }
    }

    fn endpoint(&self, endpoint: &Endpoint<PyAttach>) -> Endpoint<PyAttach> {
        Endpoint {
            // They have no names in them: all share the template's.
            labels: endpoint.labels.as_ref().map(|labels| labels.clone_ref(self.py)),
            address: self.text(&endpoint.address),
            port: endpoint.port,
            kind: endpoint.kind,
            weight: endpoint.weight,
            health: endpoint.health,
            hostname: self.text(&endpoint.hostname),
            hash_key: self.text(&endpoint.hash_key),
        }
    }

    fn virtual_host(&self, host: &VirtualHost<PyAttach>) -> VirtualHost<PyAttach> {
        VirtualHost {
            handle: self.handle(&host.handle, Piece::VirtualHost),
            port: host.port,
            domains: host.domains.iter().map(|(domain, tier)| (self.text(domain), *tier)).collect(),
            routes: host.routes.iter().map(|route| self.route(route)).collect(),
            tls: host.tls,
            addresses: self.texts(&host.addresses),
        }
    }

    fn route(&self, route: &Route<PyAttach>) -> Route<PyAttach> {
        Route {
            handle: self.handle(&route.handle, Piece::Route),
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

    fn chain(&self, chain: &Chain<PyAttach>) -> Chain<PyAttach> {
        Chain {
            handle: self.handle(&chain.handle, Piece::Chain),
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
