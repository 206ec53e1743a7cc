//! What every unit of a template claims, told without making one.

use crate::cluster::UnitId;
use crate::model::{Action, Attach, Unit};
use crate::names::{Form, HostKey, Place, Role};
use crate::template::{Names, Template, taken_apart};
use crate::text::{fold, ip_of, port_start};

/// A text with one name in it.
#[derive(Debug)]
pub struct Pattern {
    before: Box<str>,
    /// The column of the name.
    column: usize,
    behind: Box<str>,
}

impl Pattern {
    /// None where the text has not exactly one place.
    fn new(text: &str, columns: &[usize]) -> Option<Self> {
        let (before, index, behind) = taken_apart(text)?;
        let column = columns.iter().position(|known| *known == index)?;
        Some(Pattern { before: before.into(), column, behind: behind.into() })
    }

    fn is_bare(&self) -> bool {
        self.before.is_empty() && self.behind.is_empty()
    }

    #[inline]
    pub fn is(&self, text: &str, names: &(impl Names + ?Sized)) -> bool {
        let inner = text.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.behind));
        inner.is_some() && inner == names.name(self.column)
    }

    /// Reads the text, put together in `room` where it is not the name alone.
    pub fn read<T>(&self, names: &(impl Names + ?Sized), room: &mut String, read: impl FnOnce(&str) -> T) -> T {
        let name = self.bare(names);
        if self.is_bare() {
            return read(name);
        }
        room.clear();
        [&*self.before, name, &*self.behind].iter().for_each(|part| room.push_str(part));
        read(room)
    }

    /// The name alone.
    pub fn bare<'n>(&self, names: &'n (impl Names + ?Sized)) -> &'n str {
        names.name(self.column).unwrap_or_default()
    }
}

/// Who of the unit claims something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Service,
    Host(usize),
    Chain(usize),
}

#[derive(Debug)]
pub struct Claimed {
    pub place: Place,
    tier: u32,
    pub owner: Owner,
}

/// A name that the unit has claims on.
#[derive(Debug)]
pub struct Key {
    /// As the template has it, its star and places in it.
    written: Box<str>,
    /// Without the star.
    pub pattern: Pattern,
    /// None: an address.
    pub form: Option<Form>,
    /// The one that has a place stands before its rivals.
    pub claims: Vec<Claimed>,
}

impl Key {
    #[inline]
    pub fn first(&self, place: Place) -> Option<Owner> {
        self.claims.iter().find(|claim| claim.place == place).map(|claim| claim.owner)
    }

    /// Ports at which the unit's service claims it, ascending.
    pub fn service_ports(&self) -> impl Iterator<Item = u16> {
        self.claims.iter().filter(|claim| claim.owner == Owner::Service).map(|claim| claim.place.port())
    }
}

/// Where a chain listens. It has its port for itself in the unit.
#[derive(Debug)]
pub struct ChainAt {
    pub port: u16,
    /// The key that is its address; None: the wildcard address.
    pub address: Option<usize>,
    /// The key that is its server name.
    pub sni: Option<usize>,
}

/// The claims of a template's units. Templates whose units are found by other things than their own names have none.
#[derive(Debug)]
pub struct Sketch {
    pub keys: Box<[Key]>,
    /// The name that the unit's key is.
    pub own: usize,
    pub clusters: Box<[Pattern]>,
    pub chains: Box<[ChainAt]>,
    /// Ports where the wildcard listener takes HTTP for it.
    pub heard: Box<[u16]>,
    /// The clusters that the destinations of each virtual host, and of the chains, lead to.
    pub leads: Box<[Box<[u32]>]>,
    pub chain_leads: Box<[Box<[u32]>]>,
}

impl Sketch {
    /// columns: indices of the names that are kept.
    pub fn new<A: Attach>(template: &Template<A>, columns: &[usize]) -> Option<Self> {
        let unit = &template.unit;
        let ages = unit.clusters.iter().any(|cluster| cluster.lb.slow_start_window > 0.0);
        if unit.services.len() != 1 || ages {
            return None;
        }
        let keys = Keys { columns, keys: Vec::new() }.of(unit)?;
        let own = keys.iter().position(|key| key.form.is_some() && *key.written == *unit.key)?;
        // A cluster is found by the host that its name ends with.
        let clusters = unit.clusters.iter().map(|cluster| {
            let host = cluster.name.rsplit('|').next()?;
            keys.iter().find(|key| key.form.is_some() && &*key.written == host)?;
            Pattern::new(&cluster.name, columns)
        });
        let hosts = unit.virtual_hosts.iter().map(|host| {
            let forward = host.routes.iter().filter(|route| route.action == Action::Forward);
            leads(unit, forward.flat_map(|route| &route.destinations))
        });
        let heard = unit
            .virtual_hosts
            .iter()
            .filter(|host| !host.tls && (host.addresses.is_empty() || host.addresses.iter().any(String::is_empty)));
        Some(Sketch {
            clusters: clusters.collect::<Option<_>>()?,
            chains: chains(unit, &keys)?,
            heard: heard.map(|host| host.port).collect(),
            leads: hosts.collect::<Option<_>>()?,
            chain_leads: unit.chains.iter().map(|chain| leads(unit, &chain.destinations)).collect::<Option<_>>()?,
            keys: keys.into(),
            own,
        })
    }

    /// Whether a row's names make names as the template's are: the same form, nothing to fold.
    pub fn fits(&self, names: &(impl Names + ?Sized)) -> bool {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        self.keys.iter().all(|key| {
            let name = key.pattern.bare(names);
            let whole = !name.is_empty() && !name.ends_with('.') && name.bytes().all(plain);
            whole && (key.form.is_some() || ip_of(name).is_some())
        })
    }
}

/// Positions of the clusters that destinations name; None where one is not of the unit.
fn leads<'a, A: Attach>(
    unit: &Unit<A>,
    destinations: impl IntoIterator<Item = &'a crate::model::Destination>,
) -> Option<Box<[u32]>> {
    let lead = |destination: &crate::model::Destination| {
        let at = unit.clusters.iter().position(|cluster| cluster.name == destination.cluster)?;
        Some(at as u32)
    };
    destinations.into_iter().map(lead).collect()
}

fn chains<A: Attach>(unit: &Unit<A>, keys: &[Key]) -> Option<Box<[ChainAt]>> {
    let place =
        |text: &str, host: bool| keys.iter().position(|key| key.form.is_some() == host && *key.written == *text);
    let one = |at: usize| {
        let chain = &unit.chains[at];
        let again = unit.chains[..at].iter().any(|other| other.port == chain.port);
        if again || !chain.cidrs.is_empty() || chain.addresses.len() > 1 || chain.snis.len() > 1 {
            return None;
        }
        let address = match chain.addresses.first().map(String::as_str) {
            None | Some("") => None,
            Some(text) => Some(place(text, false)?),
        };
        let sni = match chain.snis.first() {
            None => None,
            Some(text) => Some(place(&fold(text), true)?),
        };
        // A chain for everything on a port is nobody's own.
        (address.is_some() || sni.is_some()).then_some(ChainAt { port: chain.port, address, sni })
    };
    (0..unit.chains.len()).map(one).collect()
}

/// The names of a unit, as they are found.
struct Keys<'c> {
    columns: &'c [usize],
    keys: Vec<Key>,
}

impl Keys<'_> {
    /// In the order of `Compiled::claims`.
    fn of<A: Attach>(mut self, unit: &Unit<A>) -> Option<Vec<Key>> {
        for service in &unit.services {
            let mut ports: Vec<u16> = service.ports.iter().map(|port| port.number).collect();
            let mut seen = Vec::new();
            ports.retain(|port| {
                !seen.contains(port) && {
                    seen.push(*port);
                    true
                }
            });
            for port in ports {
                let place = Place::new(Role::Service, port);
                self.host(&bare(&service.host), place, 0, Owner::Service)?;
                for address in &service.addresses {
                    self.address(address, place, Owner::Service)?;
                }
            }
        }
        for (at, host) in unit.virtual_hosts.iter().enumerate() {
            let role = if host.tls { Role::HttpOverTls } else { Role::Http };
            let place = Place::new(role, host.port);
            for (domain, tier) in &host.domains {
                // No name of a row has a colon.
                if port_start(domain).is_none() {
                    self.host(&fold(domain), place, *tier, Owner::Host(at))?;
                }
            }
            let heard = host.addresses.iter().filter(|address| !host.tls && !address.is_empty());
            for address in heard {
                self.address(address, Place::new(Role::Http, host.port), Owner::Host(at))?;
            }
        }
        for (at, chain) in unit.chains.iter().enumerate() {
            self.host(&bare(&chain.host), Place::new(Role::Chain, chain.port), 0, Owner::Chain(at))?;
        }
        // Stable: the first of equals stays the first.
        self.keys.iter_mut().for_each(|key| key.claims.sort_by_key(|claim| (claim.place, claim.tier)));
        Some(self.keys)
    }

    fn host(&mut self, text: &str, place: Place, tier: u32, owner: Owner) -> Option<()> {
        let key = HostKey::of(text);
        let pattern = Pattern::new(key.text, self.columns)?;
        self.claim(text, pattern, Some(key.form), Claimed { place, tier, owner });
        Some(())
    }

    fn address(&mut self, text: &str, place: Place, owner: Owner) -> Option<()> {
        let pattern = Pattern::new(text, self.columns).filter(Pattern::is_bare)?;
        self.claim(text, pattern, None, Claimed { place, tier: 0, owner });
        Some(())
    }

    fn claim(&mut self, written: &str, pattern: Pattern, form: Option<Form>, claimed: Claimed) {
        match self.keys.iter_mut().find(|key| *key.written == *written && key.form == form) {
            Some(key) => key.claims.push(claimed),
            None => self.keys.push(Key { written: written.into(), pattern, form, claims: vec![claimed] }),
        }
    }
}

/// Hosts are looked up without a trailing dot.
fn bare(host: &str) -> String {
    fold(host.strip_suffix('.').unwrap_or(host)).into_owned()
}

/// What a unit is called in conflicts.
pub fn id_of(order: String, key: String) -> UnitId {
    UnitId { order: order.into(), key: key.into() }
}
