//! Which rows of shelves are published, and how they are found: each name is either a row's or in the tables of names.

use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{Cluster, Service};
use crate::model::Attach;
use crate::names::{Claim, Found, HostKey, Listener, Name, NameKey, Place, Role, Spot, hash_network};
use crate::shelf::Shelf;
use crate::sketch::{Key, Owner};
use crate::standing::{Asked, RowAt, Standing};
use crate::table::Sharded;
use crate::text::Network;
use crate::virtual_host::VirtualHost;

/// Rows of one page of marks.
const MARKED: usize = 4096;

/// A shelf with the rows that are not on it any more.
struct OnShelf<A: Attach> {
    /// None where no row is left.
    shelf: Option<Arc<Shelf<A>>>,
    first: crate::shelf::First,
    left: u32,
    gone: Vec<Arc<[u64; MARKED / 64]>>,
}

impl<A: Attach> Clone for OnShelf<A> {
    fn clone(&self) -> Self {
        OnShelf { shelf: self.shelf.clone(), first: self.first, left: self.left, gone: self.gone.clone() }
    }
}

impl<A: Attach> OnShelf<A> {
    fn is_gone(&self, row: u32) -> bool {
        let row = row as usize;
        self.gone[row / MARKED][row % MARKED / 64] & 1 << (row % 64) != 0
    }

    fn go(&mut self, row: u32) {
        let row = row as usize;
        Arc::make_mut(&mut self.gone[row / MARKED])[row % MARKED / 64] |= 1 << (row % 64);
        self.left -= 1;
    }

    fn rows(&self) -> impl Iterator<Item = (&Shelf<A>, u32)> {
        let shelf = self.shelf.as_deref();
        let rows = 0..shelf.map_or(0, |shelf| shelf.columns.len());
        rows.filter(|row| !self.is_gone(*row)).filter_map(move |row| Some((shelf?, row)))
    }
}

/// All shelves, in the order of their positions.
pub struct Rows<A: Attach> {
    names: Sharded<Standing<A>>,
    shelves: Vec<OnShelf<A>>,
}

impl<A: Attach> Clone for Rows<A> {
    fn clone(&self) -> Self {
        Rows { names: self.names.clone(), shelves: self.shelves.clone() }
    }
}

impl<A: Attach> Default for Rows<A> {
    fn default() -> Self {
        Rows { names: Sharded::default(), shelves: Vec::new() }
    }
}

impl<A: Attach> std::fmt::Debug for Rows<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("shelves", &self.shelves.len()).finish_non_exhaustive()
    }
}

impl<A: Attach> Rows<A> {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.shelves.is_empty()
    }

    /// Whether another shelf can be told from the others.
    pub fn has_room(&self) -> bool {
        (self.shelves.len() as u64) < RowAt::SHELVES / 2
    }

    #[inline]
    fn named<'s>(&'s self, standing: &'s Standing<A>) -> RowName<'s, A> {
        RowName { rows: self, standing }
    }

    /// Whose a host or wildcard is.
    #[inline]
    pub fn find(&self, hash: u64, wanted: HostKey<'_>) -> Option<RowName<'_, A>> {
        if self.is_empty() {
            return None;
        }
        let is = |standing: &Standing<A>| match standing.asked() {
            Some(asked) => asked.is(wanted),
            None => self.named(standing).is(wanted),
        };
        Some(self.named(self.names.get(hash, is)?))
    }

    /// Whose an address is.
    pub fn network(&self, wanted: Network) -> Option<RowName<'_, A>> {
        if self.is_empty() {
            return None;
        }
        let is = |standing: &Standing<A>| match standing.asked() {
            Some(asked) => asked.is_network(wanted),
            None => self.named(standing).network() == Some(wanted),
        };
        Some(self.named(self.names.get(hash_network(wanted), is)?))
    }

    /// The row that has the cluster of that name, and its position there.
    pub fn cluster(&self, name: &str) -> Option<(RowName<'_, A>, usize)> {
        if self.is_empty() {
            return None;
        }
        let host = HostKey::of(name.rsplit('|').next()?);
        let found = self.find(host.hash(), host)?;
        Some((found, found.shelf().cluster_named(found.row(), name)?))
    }

    /// The row of a unit.
    pub fn unit(&self, key: &str) -> Option<RowName<'_, A>> {
        let host = HostKey::of(key);
        self.find(host.hash(), host).filter(|name| name.standing.at.key() == name.shelf().sketch.own)
    }

    /// The row and position that a number belongs to. first: of a shelf's numbers. each: how many a row has.
    #[inline]
    fn numbered(
        &self,
        at: u32,
        first: impl Fn(&OnShelf<A>) -> u32,
        each: impl Fn(&Shelf<A>) -> u32,
    ) -> Option<(&Shelf<A>, u32, usize)> {
        let after = self.shelves.partition_point(|known| first(known) <= at);
        let known = &self.shelves[after.checked_sub(1)?];
        let shelf = known.shelf.as_deref()?;
        let (row, place) = ((at - first(known)).checked_div(each(shelf))?, (at - first(known)) % each(shelf));
        (row < shelf.columns.len() && !known.is_gone(row)).then_some((shelf, row, place as usize))
    }

    /// The cluster of a slot.
    #[inline]
    pub fn at_slot(&self, slot: u32) -> Option<&Arc<Cluster<A>>> {
        let each = |shelf: &Shelf<A>| shelf.sketch.clusters.len() as u32;
        let (shelf, row, at) = self.numbered(slot, |known| known.first.slot, each)?;
        Some(shelf.cluster(row, at))
    }

    /// The cluster's index of a slot, without making it.
    pub fn index_at_slot(&self, slot: u32) -> Option<u32> {
        let each = |shelf: &Shelf<A>| shelf.sketch.clusters.len() as u32;
        let (shelf, ..) = self.numbered(slot, |known| known.first.slot, each)?;
        Some(shelf.first.cluster + (slot - shelf.first.slot))
    }

    pub fn cluster_at(&self, index: u32) -> Option<&Arc<Cluster<A>>> {
        let each = |shelf: &Shelf<A>| shelf.sketch.clusters.len() as u32;
        let (shelf, row, at) = self.numbered(index, |known| known.first.cluster, each)?;
        Some(shelf.cluster(row, at))
    }

    pub fn service_at(&self, index: u32) -> Option<&Arc<Service<A>>> {
        let (shelf, row, _) = self.numbered(index, |known| known.first.service, |_| 1)?;
        Some(shelf.service(row))
    }

    /// Clusters that were made already.
    pub fn known_clusters(&self) -> impl Iterator<Item = &Arc<Cluster<A>>> {
        let rows = self.shelves.iter().flat_map(OnShelf::rows);
        rows.flat_map(|(shelf, row)| {
            (0..shelf.sketch.clusters.len()).filter_map(move |at| shelf.known_cluster(row, at))
        })
    }

    // Changes

    /// A new shelf, on which nothing stands yet.
    pub fn add(&mut self, shelf: Arc<Shelf<A>>) -> usize {
        let rows = shelf.columns.len();
        let (empty, full) = (Arc::new([0; MARKED / 64]), (rows as usize).div_ceil(MARKED));
        self.shelves.push(OnShelf { first: shelf.first, left: rows, shelf: Some(shelf), gone: vec![empty; full] });
        self.shelves.len() - 1
    }

    /// Let a row be found by a key.
    pub fn put(&mut self, hash: u64, shelf: usize, key: usize, row: u32) {
        let at = RowAt::new(shelf, key, row);
        self.names.put(hash, Standing::new(at), |known| known.at == at);
    }

    /// Let a row be found no more. Where it was the last of its shelf, that goes too.
    pub fn take_off(&mut self, number: usize, row: u32) -> Option<Arc<Shelf<A>>> {
        let known = self.shelves.get_mut(number)?;
        let shelf = known.shelf.clone()?;
        known.go(row);
        if known.left == 0 {
            known.shelf = None;
        }
        let mut room = String::new();
        for (at, key) in shelf.sketch.keys.iter().enumerate() {
            let at = RowAt::new(number, at, row);
            self.names.remove(shelf.hash(row, key, &mut room), |known| known.at == at);
        }
        Some(shelf)
    }
}

/// One name of a row.
pub struct RowName<'s, A: Attach> {
    rows: &'s Rows<A>,
    standing: &'s Standing<A>,
}

impl<A: Attach> Clone for RowName<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Attach> Copy for RowName<'_, A> {}

impl<'s, A: Attach> RowName<'s, A> {
    pub fn shelf(self) -> &'s Shelf<A> {
        let shelf = self.rows.shelves.get(self.standing.at.shelf()).and_then(|known| known.shelf.as_deref());
        shelf.unwrap_or_else(|| unreachable!("what stands in the table is on a shelf"))
    }

    #[inline]
    fn key(self) -> &'s Key {
        &self.shelf().sketch.keys[self.standing.at.key()]
    }

    #[inline]
    pub fn row(self) -> u32 {
        self.standing.at.row()
    }

    fn is(self, wanted: HostKey<'_>) -> bool {
        self.shelf().is(self.row(), self.key(), wanted)
    }

    /// The service, if it is declared at the port.
    #[inline]
    fn service(self, port: u16) -> Option<Found<'s, A>> {
        match self.standing.asked() {
            Some(asked) if asked.has(port) => Some(asked.found()),
            _ => self.ask(port),
        }
    }

    #[cold]
    fn ask(self, port: u16) -> Option<Found<'s, A>> {
        let (shelf, key, row) = (self.shelf(), self.key(), self.row());
        key.first(Place::new(Role::Service, port))?;
        let asked = self.standing.ask(|| {
            let service = shelf.service(row);
            match shelf.network(row, key) {
                Some(network) => Asked::network(network, key.service_ports(), service),
                None => shelf.host_name(row, key, |name| Asked::host(name, key.service_ports(), service)),
            }
        });
        Some(asked.found())
    }

    /// Where the row stands: shelf and row.
    pub fn place(self) -> (usize, u32) {
        (self.standing.at.shelf(), self.standing.at.row())
    }

    fn network(self) -> Option<Network> {
        self.shelf().network(self.row(), self.key())
    }

    /// Its claims on a node of a listener, if the name is what the node goes by.
    fn node(self, spot: Spot, by_sni: bool) -> &'s [Claim<A>] {
        if spot.network.is_some() {
            return &[];
        }
        let (shelf, own) = (self.shelf(), Some(self.standing.at.key()));
        let sketch = &shelf.sketch;
        let found = sketch.chains.iter().position(|chain| {
            let address = match (chain.address, spot.address) {
                (None, None) => true,
                (Some(key), Some(address)) => {
                    shelf.network(self.row(), &sketch.keys[key]) == Some(Network::host(address))
                }
                _ => false,
            };
            chain.port == spot.port && address && if by_sni { chain.sni == own } else { chain.sni.is_none() }
        });
        found.map_or(&[], |at| shelf.chain(self.row(), at))
    }

    /// Whether a chain listens on the address that this name is.
    fn listens(self, port: u16) -> bool {
        let own = Some(self.standing.at.key());
        self.shelf().sketch.chains.iter().any(|chain| chain.port == port && chain.address == own)
    }
}

impl<A: Attach> Rows<A> {
    /// The chains under a server name ("" is none) of a listener.
    pub fn node(&self, spot: Spot, sni: HostKey<'_>) -> &[Claim<A>] {
        let named = if sni == HostKey::of("") {
            spot.address.and_then(|address| self.network(Network::host(address)))
        } else {
            self.find(sni.hash(), sni)
        };
        named.map_or(&[], |name| name.node(spot, sni != HostKey::of("")))
    }

    /// Whether a chain listens on the address.
    pub fn listens(&self, address: IpAddr, port: u16) -> bool {
        self.network(Network::host(address)).is_some_and(|name| name.listens(port))
    }
}

/// A name, wherever it stands.
pub enum NameRef<'s, A: Attach> {
    Own(&'s Name<A>),
    Row(RowName<'s, A>),
}

impl<A: Attach> Clone for NameRef<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Attach> Copy for NameRef<'_, A> {}

impl<'s, A: Attach> NameRef<'s, A> {
    #[inline]
    pub fn service(self, port: u16) -> Option<Found<'s, A>> {
        match self {
            NameRef::Own(name) => name.service(port),
            NameRef::Row(name) => name.service(port),
        }
    }

    /// The index of the service, which is not made for it.
    #[inline]
    pub fn service_index(self, port: u16) -> Option<u32> {
        match self {
            NameRef::Own(name) => name.service(port).map(|found| found.service.index),
            NameRef::Row(name) => {
                name.key().first(Place::new(Role::Service, port))?;
                Some(name.shelf().first.service + name.row())
            }
        }
    }

    #[inline]
    pub fn virtual_host(self, port: u16, tls: bool) -> Option<&'s Arc<VirtualHost<A>>> {
        match self {
            NameRef::Own(name) => name.virtual_host(port, tls),
            NameRef::Row(name) => {
                let role = if tls { Role::HttpOverTls } else { Role::Http };
                match name.key().first(Place::new(role, port))? {
                    Owner::Host(at) => Some(name.shelf().host(name.row(), at)),
                    Owner::Service | Owner::Chain(_) => None,
                }
            }
        }
    }

    pub fn chains(self, port: u16) -> &'s [Claim<A>] {
        match self {
            NameRef::Own(name) => name.chains(port),
            NameRef::Row(name) => match name.key().first(Place::new(Role::Chain, port)) {
                Some(Owner::Chain(at)) => name.shelf().chain(name.row(), at),
                _ => &[],
            },
        }
    }

    /// Whether anything is claimed at the port.
    pub fn knows(self, port: u16) -> bool {
        match self {
            NameRef::Own(name) => name.knows(port),
            NameRef::Row(name) => name.key().claims.iter().any(|claim| claim.place.port() == port),
        }
    }

    /// Ports that services declare, ascending.
    pub fn service_ports(self) -> Vec<u16> {
        match self {
            NameRef::Own(name) => name.service_ports(),
            NameRef::Row(name) => {
                let mut ports: Vec<u16> = name.key().service_ports().collect();
                ports.dedup();
                ports
            }
        }
    }

    /// The network that the name is.
    pub fn network(self) -> Option<Network> {
        match self {
            NameRef::Own(name) => match &name.key {
                NameKey::Network(network) => Some(**network),
                NameKey::Host(..) => None,
            },
            NameRef::Row(name) => name.network(),
        }
    }

    /// As written, star included.
    pub fn text(self) -> String {
        match self {
            NameRef::Own(name) => name.key.text(),
            NameRef::Row(name) => name.shelf().text(name.row(), name.key()),
        }
    }
}

/// A listener, wherever it stands. That of a row has no networks.
pub enum ListenerRef<'s> {
    Own(&'s Listener),
    Row(IpAddr),
}

impl ListenerRef<'_> {
    pub fn network(&self, address: IpAddr) -> Option<Network> {
        match self {
            ListenerRef::Own(listener) => listener.network(address),
            ListenerRef::Row(_) => None,
        }
    }
}
