//! Names of the tables and who claims them: hosts, wildcards, networks of addresses, listeners.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use crate::chains::Chain;
use crate::cluster::{Service, UnitId};
use crate::model::Attach;
use crate::text::Network;
use crate::trie::Trie;
use crate::virtual_host::VirtualHost;

/// Tables are filled from configuration; what is looked up cannot make them collide, so the seed may be known.
const HASHER: FixedState = FixedState::with_seed(0x726F_6164_7374_6561);

#[inline]
pub fn hash_text(text: &[u8]) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write(text);
    hasher.finish()
}

/// Where a wildcard's star stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Exact,
    /// `*text`, also `*`.
    Suffix,
    /// `text*`.
    Prefix,
}

/// A host or wildcard, the star taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostKey<'a> {
    pub form: Form,
    pub text: &'a str,
}

impl<'a> HostKey<'a> {
    #[inline]
    pub fn of(text: &'a str) -> Self {
        match text.as_bytes() {
            [b'*', ..] => HostKey { form: Form::Suffix, text: &text[1..] },
            [.., b'*'] => HostKey { form: Form::Prefix, text: &text[..text.len() - 1] },
            _ => HostKey { form: Form::Exact, text },
        }
    }

    pub fn suffix(text: &'a str) -> Self {
        HostKey { form: Form::Suffix, text }
    }

    /// The text must not begin with a star.
    pub fn prefix(text: &'a str) -> Self {
        HostKey { form: Form::Prefix, text }
    }

    #[inline]
    pub fn hash(self) -> u64 {
        let hash = hash_text(self.text.as_bytes());
        match self.form {
            Form::Exact => hash,
            Form::Suffix => hash.rotate_left(17),
            Form::Prefix => hash.rotate_left(31),
        }
    }
}

/// What stands in the table. Short texts are kept in place, so that comparing them costs no further cache line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameKey {
    Host(Form, SmallVec<[u8; 40]>),
    /// Few names are networks; in a box they do not make the others larger.
    Network(Box<Network>),
}

impl NameKey {
    pub fn host(text: &str) -> Self {
        let key = HostKey::of(text);
        NameKey::Host(key.form, SmallVec::from_slice(key.text.as_bytes()))
    }

    pub fn hash(&self) -> u64 {
        match self {
            NameKey::Host(form, text) => {
                HostKey { form: *form, text: std::str::from_utf8(text).unwrap_or_default() }.hash()
            }
            NameKey::Network(network) => hash_network(**network),
        }
    }

    #[inline]
    pub fn is(&self, key: HostKey<'_>) -> bool {
        matches!(self, NameKey::Host(form, text) if *form == key.form && **text == *key.text.as_bytes())
    }

    pub fn is_network(&self, wanted: Network) -> bool {
        matches!(self, NameKey::Network(network) if **network == wanted)
    }

    /// As written, star included; a network as CIDR.
    pub fn text(&self) -> String {
        match self {
            NameKey::Host(form, text) => {
                let text = String::from_utf8_lossy(text);
                match form {
                    Form::Exact => text.into_owned(),
                    Form::Suffix => format!("*{text}"),
                    Form::Prefix => format!("{text}*"),
                }
            }
            NameKey::Network(network) => network.to_string(),
        }
    }
}

pub fn hash_network(network: Network) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write_u128(network.bits);
    hasher.write_u16(u16::from(network.v6) << 8 | u16::from(network.length));
    hasher.finish()
}

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Service,
    Http,
    HttpOverTls,
    Chain,
}

/// A role at a port, as one number that sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u32);

impl Place {
    #[inline]
    pub fn new(role: Role, port: u16) -> Self {
        Place((role as u32) << 16 | u32::from(port))
    }

    pub fn port(self) -> u16 {
        self.0 as u16
    }

    fn of_role(self, role: Role) -> bool {
        self.0 >> 16 == role as u32
    }
}

#[derive(Debug)]
pub enum Owner<A: Attach> {
    Service(Arc<Service<A>>),
    Host(Arc<VirtualHost<A>>),
    Chain(Arc<Chain<A>>),
}

impl<A: Attach> Clone for Owner<A> {
    fn clone(&self) -> Self {
        match self {
            Owner::Service(service) => Owner::Service(Arc::clone(service)),
            Owner::Host(host) => Owner::Host(Arc::clone(host)),
            Owner::Chain(chain) => Owner::Chain(Arc::clone(chain)),
        }
    }
}

/// Somebody's claim on a name. The lowest (tier, unit, position) of a place has it.
#[derive(Debug)]
pub struct Claim<A: Attach> {
    pub place: Place,
    pub tier: u32,
    pub position: u32,
    pub unit: Arc<UnitId>,
    pub owner: Owner<A>,
    /// For the embedder's object of the owner: one cache line less than the owner's own.
    pub cell: A::Cell,
}

impl<A: Attach> Clone for Claim<A> {
    fn clone(&self) -> Self {
        Claim {
            place: self.place,
            tier: self.tier,
            position: self.position,
            unit: Arc::clone(&self.unit),
            owner: self.owner.clone(),
            cell: A::Cell::default(),
        }
    }
}

impl<A: Attach> Claim<A> {
    fn rank(&self) -> (Place, u32, &UnitId, u32) {
        (self.place, self.tier, &self.unit, self.position)
    }

    pub fn chain(&self) -> Option<&Arc<Chain<A>>> {
        match &self.owner {
            Owner::Chain(chain) => Some(chain),
            Owner::Service(_) | Owner::Host(_) => None,
        }
    }
}

/// Claims in order of place, then rank.
///
/// The first stands in the name itself where no other wants its place, as it is with nearly every service: it is read from
/// there. The others lie in a piece of memory of their own.
#[derive(Debug)]
pub struct Claims<A: Attach> {
    first: Option<Claim<A>>,
    rest: Box<[Claim<A>]>,
}

impl<A: Attach> Clone for Claims<A> {
    fn clone(&self) -> Self {
        Claims { first: self.first.clone(), rest: self.rest.clone() }
    }
}

impl<A: Attach> Default for Claims<A> {
    fn default() -> Self {
        Claims { first: None, rest: Box::default() }
    }
}

impl<A: Attach> Claims<A> {
    pub fn add(&mut self, claim: Claim<A>) {
        let next = self.first.take();
        match next {
            // It stays the first, and alone in its place.
            Some(first) if first.place < claim.place => self.first = Some(first),
            Some(first) => self.insert(first),
            None => {}
        }
        let is_alone = self.rest.first().is_none_or(|next| claim.place < next.place);
        if self.first.is_none() && is_alone {
            self.first = Some(claim);
        } else {
            self.insert(claim);
        }
    }

    fn insert(&mut self, claim: Claim<A>) {
        let mut rest = std::mem::take(&mut self.rest).into_vec();
        let at = rest.partition_point(|known| known.rank() <= claim.rank());
        rest.reserve_exact(1);
        rest.insert(at, claim);
        self.rest = rest.into_boxed_slice();
    }

    /// Take away all claims of a unit.
    pub fn remove(&mut self, unit: &Arc<UnitId>) {
        let is_other = |claim: &Claim<A>| !Arc::ptr_eq(&claim.unit, unit);
        self.first.take_if(|first| !is_other(first));
        if !self.rest.iter().all(is_other) {
            let mut rest = std::mem::take(&mut self.rest).into_vec();
            rest.retain(is_other);
            self.rest = rest.into_boxed_slice();
        }
        let is_alone = match &*self.rest {
            [] => false,
            [_] => true,
            [one, next, ..] => one.place < next.place,
        };
        if self.first.is_none() && is_alone {
            let mut rest = std::mem::take(&mut self.rest).into_vec();
            self.first = Some(rest.remove(0));
            self.rest = rest.into_boxed_slice();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    /// All claims on a place, the one that has it first.
    #[inline]
    pub fn at(&self, place: Place) -> &[Claim<A>] {
        if let Some(first) = self.first.as_ref().filter(|first| first.place == place) {
            return std::slice::from_ref(first);
        }
        let found = &self.rest[self.behind(place)..];
        let count = found.iter().take_while(|claim| claim.place == place).count();
        &found[..count]
    }

    #[inline]
    pub fn first(&self, place: Place) -> Option<&Claim<A>> {
        match &self.first {
            Some(first) if first.place == place => Some(first),
            _ => self.rest.get(self.behind(place)).filter(|claim| claim.place == place),
        }
    }

    /// How many of the rest are claims on lower places.
    #[inline]
    fn behind(&self, place: Place) -> usize {
        match self.rest.len() {
            0..=8 => self.rest.iter().position(|claim| claim.place >= place).unwrap_or(self.rest.len()),
            _ => self.rest.partition_point(|claim| claim.place < place),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Claim<A>> {
        self.first.iter().chain(&self.rest)
    }
}

/// One name and what it means at each port. In the table it has two cache lines of its own: key, then claims.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Name<A: Attach> {
    pub key: NameKey,
    pub claims: Claims<A>,
}

impl<A: Attach> Clone for Name<A> {
    fn clone(&self) -> Self {
        Name { key: self.key.clone(), claims: self.claims.clone() }
    }
}

impl<A: Attach> Name<A> {
    #[inline]
    pub fn service(&self, port: u16) -> Option<Found<'_, A>> {
        let claim = self.claims.first(Place::new(Role::Service, port))?;
        match &claim.owner {
            Owner::Service(service) => Some(Found { service, cell: &claim.cell }),
            Owner::Host(_) | Owner::Chain(_) => None,
        }
    }

    #[inline]
    pub fn virtual_host(&self, port: u16, tls: bool) -> Option<&Arc<VirtualHost<A>>> {
        let role = if tls { Role::HttpOverTls } else { Role::Http };
        match &self.claims.first(Place::new(role, port))?.owner {
            Owner::Host(host) => Some(host),
            Owner::Service(_) | Owner::Chain(_) => None,
        }
    }

    pub fn chains(&self, port: u16) -> &[Claim<A>] {
        self.claims.at(Place::new(Role::Chain, port))
    }

    /// Whether anything is claimed at the port.
    pub fn knows(&self, port: u16) -> bool {
        self.claims.iter().any(|claim| claim.place.port() == port)
    }

    /// Ports that services declare, ascending.
    pub fn service_ports(&self) -> Vec<u16> {
        let claims = self.claims.iter().filter(|claim| claim.place.of_role(Role::Service));
        let mut ports: Vec<u16> = claims.map(|claim| claim.place.port()).collect();
        ports.dedup();
        ports
    }
}

/// A service with the cell of the claim it was found by.
#[derive(Debug)]
pub struct Found<'a, A: Attach> {
    pub service: &'a Arc<Service<A>>,
    pub cell: &'a A::Cell,
}

/// An address and port that chains listen on, with the networks of their nodes.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Of nodes without a network.
    spot: Arc<Spot>,
    nodes: u32,
    /// The spot of each, with the count of its nodes.
    networks: Trie<(Arc<Spot>, u32)>,
}

impl Listener {
    pub fn new(address: Option<IpAddr>, port: u16) -> Self {
        Listener { spot: Arc::new(Spot::new(address, port, None)), nodes: 0, networks: Trie::default() }
    }

    pub fn hash(address: Option<IpAddr>, port: u16) -> u64 {
        let network = address.map_or(0, |address| hash_network(Network::host(address)));
        network.wrapping_add(u64::from(port)).wrapping_mul(crate::rng::GOLDEN).rotate_left(29)
    }

    pub fn is(&self, address: Option<IpAddr>, port: u16) -> bool {
        self.spot.port == port && self.spot.address == address
    }

    /// Count a node (None: one without a network). The spot that it shares with the others there.
    pub fn add(&mut self, network: Option<Network>) -> Arc<Spot> {
        self.nodes += 1;
        let mut spot = Arc::clone(&self.spot);
        if let Some(network) = network {
            self.networks.change(network, |known| {
                let make = || (Arc::new(Spot::new(spot.address, spot.port, Some(network))), 0);
                let (own, count) = known.get_or_insert_with(make);
                *count += 1;
                spot = Arc::clone(own);
            });
        }
        spot
    }

    pub fn remove(&mut self, network: Option<Network>) {
        self.nodes -= 1;
        if let Some(network) = network {
            self.networks.change(network, |known| {
                known.iter_mut().for_each(|(_, count)| *count -= 1);
                known.take_if(|(_, count)| *count == 0);
            });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.nodes == 0
    }

    /// The longest network that holds the address.
    #[inline]
    pub fn network(&self, address: IpAddr) -> Option<Network> {
        self.networks.find(address, |(spot, _)| spot.network)
    }

    /// Of that network, or of nodes without one.
    #[inline]
    pub fn spot(&self, address: Option<IpAddr>) -> &Spot {
        address.and_then(|address| self.networks.find(address, |(spot, _)| Some(spot))).unwrap_or(&self.spot)
    }
}

/// The chains of a listener under one network and one server name ("" is none).
#[derive(Debug)]
pub struct Node<A: Attach> {
    pub key: NodeKey,
    pub claims: Claims<A>,
}

impl<A: Attach> Clone for Node<A> {
    fn clone(&self) -> Self {
        Node { key: self.key.clone(), claims: self.claims.clone() }
    }
}

/// A network of a listener, as part of a node's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    pub address: Option<IpAddr>,
    pub port: u16,
    pub network: Option<Network>,
    /// Of all of it.
    own_hash: u64,
}

impl Spot {
    pub fn new(address: Option<IpAddr>, port: u16, network: Option<Network>) -> Self {
        let own_hash = Listener::hash(address, port).wrapping_add(network.map_or(1, hash_network).rotate_left(7));
        Spot { address, port, network, own_hash }
    }

    /// With the hash of a server name.
    #[inline]
    pub fn hash(&self, sni: u64) -> u64 {
        sni ^ self.own_hash
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKey {
    /// Its listener's, so that all nodes there share one.
    pub spot: Arc<Spot>,
    /// A name or wildcard; "" is none.
    pub sni: NameKey,
}

impl NodeKey {
    pub fn hash(&self) -> u64 {
        self.spot.hash(self.sni.hash())
    }

    /// Where its chains are claimed.
    pub fn place(&self) -> Place {
        Place::new(Role::Chain, self.spot.port)
    }

    #[inline]
    pub fn is(&self, spot: &Spot, sni: HostKey<'_>) -> bool {
        self.sni.is(sni) && (std::ptr::eq(&*self.spot, spot) || *self.spot == *spot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, Plain};
    use crate::rng::SplitMix64;

    #[test]
    fn stars_are_taken_off() {
        for (text, form, rest) in [
            ("a.com", Form::Exact, "a.com"),
            ("*.a.com", Form::Suffix, ".a.com"),
            ("*", Form::Suffix, ""),
            ("a*", Form::Prefix, "a"),
            ("*a*", Form::Suffix, "a*"),
            ("", Form::Exact, ""),
        ] {
            assert_eq!(HostKey::of(text), HostKey { form, text: rest }, "{text}");
            let key = NameKey::host(text);
            assert_eq!(key.hash(), HostKey::of(text).hash());
            assert!(key.is(HostKey::of(text)));
            assert_eq!(key.text(), text);
        }
    }

    fn claim(place: Place, unit: &Arc<UnitId>, position: u32) -> Claim<Plain> {
        let given = model::Service {
            handle: (),
            host: "".into(),
            namespace: "".into(),
            addresses: vec![],
            ports: Arc::default(),
        };
        let owner = Owner::Service(Arc::new(Service { given: Arc::new(given), index: 0, cell: () }));
        Claim { place, tier: 0, position, unit: Arc::clone(unit), owner, cell: () }
    }

    #[test]
    fn claims_are_sorted_and_found_by_their_place() {
        let units: Vec<Arc<UnitId>> =
            (0..4).map(|at: u32| Arc::new(UnitId { order: "".into(), key: at.to_string().into() })).collect();
        let places = [80, 443].map(|port| [Role::Service, Role::Http, Role::Chain].map(|role| Place::new(role, port)));
        let places = places.concat();
        let (mut claims, mut known, mut draws) = (Claims::default(), Vec::new(), SplitMix64(1));
        for position in 0..5000 {
            let draw = draws.next_u64() as usize;
            let unit = &units[draw % units.len()];
            if (draw >> 8).is_multiple_of(5) {
                claims.remove(unit);
                known.retain(|(_, key, _): &(Place, Box<str>, u32)| *key != unit.key);
            } else {
                let place = places[(draw >> 16) % places.len()];
                claims.add(claim(place, unit, position));
                known.push((place, unit.key.clone(), position));
                known.sort();
            }
            let told = |claim: &Claim<Plain>| (claim.place, claim.unit.key.clone(), claim.position);
            assert_eq!(claims.iter().map(told).collect::<Vec<_>>(), known);
            assert_eq!(claims.is_empty(), known.is_empty());
            for place in &places {
                let wanted: Vec<_> = known.iter().filter(|(of, ..)| of == place).cloned().collect();
                assert_eq!(claims.at(*place).iter().map(told).collect::<Vec<_>>(), wanted);
                assert_eq!(claims.first(*place).map(told), wanted.first().cloned());
            }
        }
    }

    #[test]
    fn a_name_and_its_first_claim_take_two_cache_lines() {
        assert_eq!(size_of::<Name<Plain>>(), 128);
    }

    #[test]
    fn a_listener_counts_its_networks() {
        let network = |text| Network::parse(text).unwrap();
        let mut listener = Listener::new(None, 443);
        let general = listener.add(None);
        listener.add(Some(network("10.0.0.0/8")));
        let own = listener.add(Some(network("10.1.0.0/16")));
        let address = "10.1.2.3".parse().unwrap();
        assert_eq!(listener.network(address), Some(network("10.1.0.0/16")));
        assert!(std::ptr::eq(listener.spot(Some(address)), &*own));
        assert!(std::ptr::eq(listener.spot(None), &*general));
        listener.remove(Some(network("10.1.0.0/16")));
        assert_eq!(listener.network(address), Some(network("10.0.0.0/8")));
        listener.remove(Some(network("10.0.0.0/8")));
        assert_eq!(listener.network(address), None);
        assert!(!listener.is_empty());
        listener.remove(None);
        assert!(listener.is_empty());
    }
}
