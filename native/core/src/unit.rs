//! A unit made ready, and every key it has a claim on.

use std::sync::Arc;

use crate::balance::hashing::check_sizes;
use crate::chains::Chain;
use crate::cluster::{Cluster, Service, UnitId};
use crate::error::Error;
use crate::model::{self, Attach, LocalityGroup};
use crate::names::{Claim, NameKey, NodeKey, Owner, Place, Role, Spot};
use crate::regex::Regexes;
use crate::text::{Network, fold, ip_of, port_start};
use crate::virtual_host::{VirtualHost, Weighted};

/// Envoy's limit.
const MOST_PRIORITY: u32 = 128;

/// What can be made of a unit without the tables: everything that can fail.
pub struct Draft<A: Attach> {
    pub id: Arc<UnitId>,
    pub services: Vec<model::Service<A>>,
    pub clusters: Vec<model::Cluster<A>>,
    pub hosts: Vec<VirtualHost<A>>,
    pub chains: Vec<Chain<A>>,
}

impl<A: Attach> Draft<A> {
    pub fn new(unit: model::Unit<A>, regexes: &mut Regexes) -> Result<Self, Error> {
        for service in &unit.services {
            service.addresses.iter().try_for_each(|address| Network::of_address(address).map(drop))?;
        }
        for cluster in &unit.clusters {
            check_sizes(&cluster.lb)?;
            check_groups(&cluster.groups)?;
        }
        let hosts = unit.virtual_hosts.into_iter().map(|host| VirtualHost::new(host, regexes));
        Ok(Draft {
            id: Arc::new(UnitId { order: unit.order.into(), key: unit.key.into() }),
            services: unit.services,
            clusters: unit.clusters,
            hosts: hosts.collect::<Result<_, _>>()?,
            chains: unit.chains.into_iter().map(Chain::new).collect::<Result<_, _>>()?,
        })
    }
}

/// Endpoints that a cluster may have.
pub fn check_groups<A: Attach>(groups: &[LocalityGroup<A>]) -> Result<(), Error> {
    for group in groups {
        if group.priority > MOST_PRIORITY {
            return Err(Error::Invalid(format!("priority {} is not from 0 to {MOST_PRIORITY}", group.priority)));
        }
        if group.endpoints.iter().any(|endpoint| endpoint.weight == 0) {
            return Err(Error::Invalid("an endpoint's weight is at least 1".to_owned()));
        }
    }
    Ok(())
}

/// A unit of the tables.
#[derive(Debug)]
pub struct Compiled<A: Attach> {
    pub id: Arc<UnitId>,
    pub services: Box<[Arc<Service<A>>]>,
    pub clusters: Box<[Arc<Cluster<A>>]>,
    pub hosts: Box<[Arc<VirtualHost<A>>]>,
    pub chains: Box<[Arc<Chain<A>>]>,
}

impl<A: Attach> Compiled<A> {
    /// Calls `each` for every claim on a name.
    pub fn claims(&self, mut each: impl FnMut(NameKey, Claim<A>)) {
        let mut position = 0;
        let mut claim = |key: NameKey, role: Role, port: u16, tier: u32, owner: Owner<A>| {
            let unit = Arc::clone(&self.id);
            each(key, Claim { place: Place::new(role, port), tier, position, unit, owner, cell: A::Cell::default() });
            position += 1;
        };
        for service in &self.services {
            let keys = names_of(&service.given);
            for port in declared_once(&service.given) {
                for key in &keys {
                    claim(key.clone(), Role::Service, port, 0, Owner::Service(Arc::clone(service)));
                }
            }
        }
        for host in &self.hosts {
            let role = if host.tls { Role::HttpOverTls } else { Role::Http };
            for (domain, tier) in &host.domains {
                // The port of a Host header is ignored, so a domain with one never matches.
                if port_start(domain).is_none() || ip_of(domain).is_some() {
                    claim(NameKey::host(&fold(domain)), role, host.port, *tier, Owner::Host(Arc::clone(host)));
                }
            }
            for address in &host.addresses {
                let key = NameKey::Network(Box::new(Network::host(*address)));
                claim(key, Role::Http, host.port, 0, Owner::Host(Arc::clone(host)));
            }
        }
        for chain in &self.chains {
            claim(host_key(&chain.host), Role::Chain, chain.port, 0, Owner::Chain(Arc::clone(chain)));
        }
    }

    /// Destinations of its routes and chains.
    pub fn weighted(&self) -> impl Iterator<Item = &Weighted> {
        let routes = self.hosts.iter().flat_map(|host| &host.routes).filter_map(|route| route.weighted.as_ref());
        routes.chain(self.chains.iter().map(|chain| &chain.weighted))
    }

    /// Ports where its virtual hosts make the wildcard listener take HTTP.
    pub fn heard(&self) -> impl Iterator<Item = u16> {
        self.hosts.iter().filter(|host| host.everywhere).map(|host| host.port)
    }

    /// Calls `each` for every claim on a node of a listener.
    pub fn nodes(&self, mut each: impl FnMut(NodeKey, Claim<A>)) {
        for (position, chain) in self.chains.iter().enumerate() {
            for address in &chain.addresses {
                for network in or_none(&chain.networks) {
                    for sni in or_none(&chain.snis) {
                        let key = NodeKey {
                            spot: Arc::new(Spot::new(*address, chain.port, network.copied())),
                            sni: NameKey::host(sni.map_or("", |sni| sni)),
                        };
                        let claim = Claim {
                            place: Place::new(Role::Chain, chain.port),
                            tier: 0,
                            position: position as u32,
                            unit: Arc::clone(&self.id),
                            owner: Owner::Chain(Arc::clone(chain)),
                            cell: A::Cell::default(),
                        };
                        each(key, claim);
                    }
                }
            }
        }
    }
}

/// The items, or once nothing where there are none.
fn or_none<T>(items: &[T]) -> impl Iterator<Item = Option<&T>> {
    let none = items.is_empty().then_some(None);
    items.iter().map(Some).chain(none)
}

/// Hosts are looked up without a trailing dot.
fn host_key(host: &str) -> NameKey {
    NameKey::host(&fold(host.strip_suffix('.').unwrap_or(host)))
}

fn names_of<A: Attach>(service: &model::Service<A>) -> Vec<NameKey> {
    // `Draft::new` has refused what is no address.
    let networks = service.addresses.iter().filter_map(|address| Network::of_address(address).ok());
    std::iter::once(host_key(&service.host))
        .chain(networks.map(|network| NameKey::Network(Box::new(network))))
        .collect()
}

fn declared_once<A: Attach>(service: &model::Service<A>) -> impl Iterator<Item = u16> {
    let ports = &service.ports;
    ports.iter().enumerate().filter_map(|(at, port)| {
        let again = ports[..at].iter().any(|earlier| earlier.number == port.number);
        (!again).then_some(port.number)
    })
}
