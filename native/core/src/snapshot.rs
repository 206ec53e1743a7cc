//! One published view: who owns which name, address, port and listener. Never changed once it is published.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::chains::Chain;
use crate::cluster::{Cluster, ClusterName, Dormant, Service, UnitId};
use crate::columns::Row;
use crate::model::{Attach, ClusterType, LbConfig, LbPolicy, Limits, Outbound, Paths, Transport};
use crate::names::{Claim, Found, HostKey, Listener, Name, Node, Spot, hash_network, hash_text};
use crate::networks::NetworkName;
use crate::normal_path::normal_path;
use crate::rows::{ListenerRef, NameRef, Rows};
use crate::table::{Paged, Sharded};
use crate::text::{Network, dotted_suffixes, ip_of, normal_host};
use crate::trie::Trie;
use crate::unit::Compiled;
use crate::virtual_host::VirtualHost;

/// The tables.
#[derive(Debug)]
pub struct Snapshot<A: Attach> {
    pub version: u64,
    pub outbound: Outbound,
    pub paths: Paths,
    /// By host, wildcard or single address.
    pub(crate) names: Sharded<Name<A>>,
    /// Names that are networks of more than one address.
    pub(crate) networks: Trie<NetworkName<A>>,
    pub(crate) cluster_names: Sharded<ClusterName<A>>,
    /// By slot: the cluster that has the name.
    pub(crate) clusters: Paged<Cluster<A>>,
    pub(crate) listeners: Sharded<Arc<Listener>>,
    pub(crate) nodes: Sharded<Node<A>>,
    pub(crate) units: Sharded<Arc<Compiled<A>>>,
    /// Units that are kept as columns; what they claim stands in no other table.
    pub(crate) rows: Rows<A>,
    pub(crate) services_at: Paged<Service<A>>,
    pub(crate) clusters_at: Paged<Cluster<A>>,
    pub(crate) forms: Forms,
    pub passthrough: Arc<Cluster<A>>,
    pub blackhole: Arc<Cluster<A>>,
    pub dynamic: Arc<Cluster<A>>,
}

/// Which forms of names there are, so that look-ups try only those. Lengths are of the text without the star, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forms {
    /// `*.x`.
    pub dotted: usize,
    /// `*x`, by length.
    pub suffixes: BTreeMap<usize, usize>,
    /// `x*`, by length.
    pub prefixes: BTreeMap<usize, usize>,
    /// Single addresses: IPv4, IPv6.
    pub addresses: [usize; 2],
    /// Ports whose wildcard listener takes HTTP, counted by virtual host.
    pub heard: BTreeMap<u16, usize>,
}

impl<A: Attach> Clone for Snapshot<A> {
    /// Costs pointers only: the tables share what is in them.
    fn clone(&self) -> Self {
        Snapshot {
            version: self.version,
            outbound: self.outbound.clone(),
            paths: self.paths,
            names: self.names.clone(),
            networks: self.networks.clone(),
            cluster_names: self.cluster_names.clone(),
            clusters: self.clusters.clone(),
            listeners: self.listeners.clone(),
            nodes: self.nodes.clone(),
            units: self.units.clone(),
            rows: self.rows.clone(),
            services_at: self.services_at.clone(),
            clusters_at: self.clusters_at.clone(),
            forms: self.forms.clone(),
            passthrough: Arc::clone(&self.passthrough),
            blackhole: Arc::clone(&self.blackhole),
            dynamic: Arc::clone(&self.dynamic),
        }
    }
}

impl<A: Attach> Default for Snapshot<A> {
    fn default() -> Self {
        Snapshot {
            version: 0,
            outbound: Outbound::AllowAny { egress_cluster: String::new() },
            paths: Paths::default(),
            names: Sharded::default(),
            networks: Trie::default(),
            cluster_names: Sharded::default(),
            clusters: Paged::default(),
            listeners: Sharded::default(),
            nodes: Sharded::default(),
            units: Sharded::default(),
            rows: Rows::default(),
            services_at: Paged::default(),
            clusters_at: Paged::default(),
            forms: Forms::default(),
            passthrough: special("PassthroughCluster", ClusterType::OriginalDst, 0),
            blackhole: special("BlackHoleCluster", ClusterType::Eds, 0),
            dynamic: special("AllowAnyDynamicDNSCluster", ClusterType::DynamicDns, 80),
        }
    }
}

/// A cluster of the outbound policy: nobody made it, it has no endpoints.
fn special<A: Attach>(name: &str, kind: ClusterType, port: u16) -> Arc<Cluster<A>> {
    let lb = LbConfig { policy: LbPolicy::ClusterProvided, ..LbConfig::default() };
    Arc::new(Cluster {
        handle: None,
        name: Arc::from(name),
        kind,
        port_override: port,
        index: u32::MAX,
        unit: Arc::new(UnitId { order: "".into(), key: "".into() }),
        cell: A::Cell::default(),
        live: Arc::new(Dormant::new(Arc::new(lb), Arc::new(Limits::default()), None, Vec::new(), 0)),
    })
}

impl<A: Attach> Snapshot<A> {
    // Tables

    /// Whether nothing was put yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.units.is_empty() && self.rows.is_empty()
    }

    #[inline]
    pub(crate) fn name(&self, key: HostKey<'_>) -> Option<NameRef<'_, A>> {
        self.hashed(key, key.hash())
    }

    #[inline]
    fn hashed(&self, key: HostKey<'_>, hash: u64) -> Option<NameRef<'_, A>> {
        match self.rows.find(hash, key) {
            Some(name) => Some(NameRef::Row(name)),
            None => self.names.get(hash, |name| name.key.is(key)).map(NameRef::Own),
        }
    }

    /// The name that is one address alone.
    fn address(&self, address: IpAddr) -> Option<NameRef<'_, A>> {
        if self.forms.addresses[usize::from(address.is_ipv6())] == 0 {
            return None;
        }
        let network = Network::host(address);
        match self.rows.network(network) {
            Some(name) => Some(NameRef::Row(name)),
            None => self.names.get(hash_network(network), |name| name.key.is_network(network)).map(NameRef::Own),
        }
    }

    /// The cluster that has the name.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster<A>>> {
        match self.cluster_names.get(hash_text(name.as_bytes()), |known| &*known.name == name) {
            Some(known) => known.holders.first(),
            None => self.rows.cluster(name).map(|(row, at)| row.shelf().cluster(row.row(), at)),
        }
    }

    /// The same, unless nobody has asked for it yet.
    pub(crate) fn known_cluster(&self, name: &str) -> Option<&Arc<Cluster<A>>> {
        match self.cluster_names.get(hash_text(name.as_bytes()), |known| &*known.name == name) {
            Some(known) => known.holders.first(),
            None => self.rows.cluster(name).and_then(|(row, at)| row.shelf().known_cluster(row.row(), at)),
        }
    }

    /// Where the cluster that has the name is found.
    pub(crate) fn cluster_slot(&self, name: &str) -> Option<u32> {
        match self.cluster_names.get(hash_text(name.as_bytes()), |known| &*known.name == name) {
            Some(known) => (!known.holders.is_empty()).then_some(known.slot),
            None => self.rows.cluster(name).map(|(row, at)| row.shelf().slot(row.row(), at)),
        }
    }

    /// The cluster of a slot.
    #[inline]
    pub(crate) fn at_slot(&self, slot: u32) -> Option<&Arc<Cluster<A>>> {
        self.clusters.get(slot).or_else(|| self.rows.at_slot(slot))
    }

    #[inline]
    pub(crate) fn has_slot(&self, slot: u32) -> bool {
        self.clusters.get(slot).is_some() || self.rows.index_at_slot(slot).is_some()
    }

    /// The index of a slot's cluster.
    pub(crate) fn index_at_slot(&self, slot: u32) -> Option<u32> {
        self.clusters.get(slot).map(|cluster| cluster.index).or_else(|| self.rows.index_at_slot(slot))
    }

    /// All services in order of their index; None where one was removed.
    pub fn services(&self) -> impl Iterator<Item = Option<&Arc<Service<A>>>> {
        (0..).zip(self.services_at.iter()).map(|(at, known)| known.or_else(|| self.rows.service_at(at)))
    }

    /// All clusters in order of their index; None where one was removed.
    pub fn clusters(&self) -> impl Iterator<Item = Option<&Arc<Cluster<A>>>> {
        (0..).zip(self.clusters_at.iter()).map(|(at, known)| known.or_else(|| self.rows.cluster_at(at)))
    }

    /// Clusters that somebody has asked for, and all that stand in the tables.
    pub(crate) fn known_clusters(&self) -> impl Iterator<Item = &Arc<Cluster<A>>> {
        self.clusters_at.iter().flatten().chain(self.rows.known_clusters())
    }

    // Names

    /// Routers list every name they answer to; only for them a trailing dot makes another name.
    pub fn normal<'t>(&self, host: &'t str) -> Cow<'t, str> {
        normal_host(host, self.outbound == Outbound::Gateway)
    }

    /// The first that `pick` takes of the wildcard names for a normalised host: longest suffix, longest prefix, `*`.
    pub(crate) fn wildcard<'s, T>(
        &'s self,
        host: &str,
        mut pick: impl FnMut(NameRef<'s, A>) -> Option<T>,
    ) -> Option<T> {
        let mut try_key = |key: HostKey<'_>| self.name(key).and_then(&mut pick);
        let forms = &self.forms;
        if !forms.suffixes.is_empty() {
            let mut dots = dotted_suffixes(host).map(str::len).peekable();
            let mut others = forms.suffixes.keys().rev().copied().peekable();
            while let Some(length) = dots.peek().max(others.peek()).copied() {
                dots.next_if_eq(&length);
                others.next_if_eq(&length);
                let suffix = host.len().checked_sub(length).filter(|at| *at > 0).and_then(|at| host.get(at..));
                if let Some(found) = suffix.and_then(|suffix| try_key(HostKey::suffix(suffix))) {
                    return Some(found);
                }
            }
        } else if forms.dotted > 0
            && let Some(found) = dotted_suffixes(host).find_map(|suffix| try_key(HostKey::suffix(suffix)))
        {
            return Some(found);
        }
        for length in forms.prefixes.keys().rev().filter(|length| **length < host.len()) {
            let Some(prefix) = host.get(..*length) else {
                continue;
            };
            // A host may begin with a star itself; then the key is another form.
            let found = if prefix.starts_with('*') {
                try_key(HostKey::of(&format!("{prefix}*")))
            } else {
                try_key(HostKey::prefix(prefix))
            };
            if found.is_some() {
                return found;
            }
        }
        try_key(HostKey::suffix(""))
    }

    /// The owner of (host, port).
    #[inline]
    pub fn find(&self, host: &str, port: u16) -> Option<Found<'_, A>> {
        match self.name(HostKey::of(host)).and_then(|name| name.service(port)) {
            Some(found) => Some(found),
            None => self.find_other(host, port),
        }
    }

    /// `find` for a host that was hashed before.
    #[inline]
    pub fn find_hashed(&self, row: Row<'_>, port: u16) -> Option<Found<'_, A>> {
        match self.hashed(row.key, row.hash).and_then(|name| name.service(port)) {
            Some(found) => Some(found),
            None => self.find_other(row.text, port),
        }
    }

    /// The index of the service that `find_hashed` gives.
    pub(crate) fn index_hashed(&self, row: Row<'_>, port: u16) -> Option<u32> {
        match self.hashed(row.key, row.hash).and_then(|name| name.service_index(port)) {
            Some(found) => Some(found),
            None => self.find_other(row.text, port).map(|found| found.service.index),
        }
    }

    /// The exact probe missed: another spelling, an address, a wildcard.
    #[cold]
    fn find_other(&self, host: &str, port: u16) -> Option<Found<'_, A>> {
        match self.normal(host) {
            // The very text that was not found.
            Cow::Borrowed(same) if same.len() == host.len() => self.find_unnamed(host, ip_of(host), port),
            normal => self.find_normal(&normal, port),
        }
    }

    /// The owner of a normalised host.
    pub(crate) fn find_normal(&self, host: &str, port: u16) -> Option<Found<'_, A>> {
        self.find_known(host, ip_of(host), port)
    }

    /// The same where it is known which address the host is.
    pub(crate) fn find_known(&self, host: &str, address: Option<IpAddr>, port: u16) -> Option<Found<'_, A>> {
        if let Some(found) = self.name(HostKey::of(host)).and_then(|name| name.service(port)) {
            return Some(found);
        }
        self.find_unnamed(host, address, port)
    }

    /// The same for a host that has no name of its own at the port.
    fn find_unnamed(&self, host: &str, address: Option<IpAddr>, port: u16) -> Option<Found<'_, A>> {
        match address {
            Some(address) => self.find_address(address, port),
            None => self.wildcard(host, |name| name.service(port)),
        }
    }

    /// The owner of an IP: its VIP, else the longest CIDR that declares the port.
    #[inline]
    pub fn find_address(&self, address: IpAddr, port: u16) -> Option<Found<'_, A>> {
        match self.address(address).and_then(|name| name.service(port)) {
            Some(found) => Some(found),
            None => self.networks.find(address, |network| network.service(port)),
        }
    }

    /// The network by which the owner of an IP is found.
    pub(crate) fn network_at(&self, address: IpAddr, port: u16) -> Option<Network> {
        self.held(address, |name| name.service_index(port).and_then(|_| name.network()))
    }

    /// The first that `pick` takes of the names that hold an address: itself, then the networks around, longest first.
    #[inline]
    fn held<'s, T>(&'s self, address: IpAddr, mut pick: impl FnMut(NameRef<'s, A>) -> Option<T>) -> Option<T> {
        match self.address(address).and_then(&mut pick) {
            Some(found) => Some(found),
            None => self.networks.find(address, |network| pick(NameRef::Own(network.name()))),
        }
    }

    /// The virtual host of a port that takes a normalised host.
    pub(crate) fn virtual_host(&self, host: &str, port: u16, tls: bool) -> Option<&Arc<VirtualHost<A>>> {
        let exact = self.name(HostKey::of(host)).and_then(|name| name.virtual_host(port, tls));
        exact.or_else(|| self.wildcard(host, |name| name.virtual_host(port, tls)))
    }

    /// The first that `pick` takes of the names that a normalised host goes by: itself (an IP: its networks), then wildcards.
    fn known_name<T>(&self, host: &str, mut pick: impl FnMut(NameRef<'_, A>) -> Option<T>) -> Option<T> {
        if let Some(found) = self.name(HostKey::of(host)).and_then(&mut pick) {
            return Some(found);
        }
        match ip_of(host) {
            None => self.wildcard(host, pick),
            Some(address) => self.held(address, pick),
        }
    }

    /// The text of a name that a host goes by: an IP goes by its own.
    fn known_text(host: &str, name: NameRef<'_, A>) -> String {
        if name.network().is_some() { host.to_owned() } else { name.text() }
    }

    /// The name under which a normalised host is known at a port.
    pub(crate) fn name_at(&self, host: &str, port: u16) -> Option<String> {
        self.known_name(host, |name| name.knows(port).then(|| Self::known_text(host, name)))
    }

    /// The same, whatever the port.
    pub(crate) fn name_of(&self, host: &str) -> Option<String> {
        self.known_name(host, |name| Some(Self::known_text(host, name)))
    }

    /// Ports that the service of a normalised host declares, ascending.
    pub(crate) fn ports_of(&self, host: &str) -> Vec<u16> {
        self.known_name(host, |name| Some(name.service_ports()).filter(|ports| !ports.is_empty())).unwrap_or_default()
    }

    /// Filter chains of the service that a normalised host selects.
    pub(crate) fn chains_of(&self, host: &str, port: u16) -> &[Claim<A>] {
        match self.name(HostKey::of(host)) {
            Some(name) if !name.chains(port).is_empty() => name.chains(port),
            _ => self
                .wildcard(host, |name| Some(name.chains(port)).filter(|chains| !chains.is_empty()))
                .unwrap_or_default(),
        }
    }

    // Listeners

    fn listener(&self, address: Option<IpAddr>, port: u16) -> Option<ListenerRef<'_>> {
        match self.listeners.get(Listener::hash(address, port), |listener| listener.is(address, port)) {
            Some(listener) => Some(ListenerRef::Own(listener)),
            None => address.filter(|address| self.rows.listens(*address, port)).map(ListenerRef::Row),
        }
    }

    /// Whether HTTP that was dialled to an address is routed as HTTP, and then the virtual host that takes all of it (None: the
    /// Host decides). Where the address fits a chain's network, that chain has all bytes.
    pub(crate) fn hears(&self, address: IpAddr, port: u16) -> (bool, Option<&Arc<VirtualHost<A>>>) {
        let host = self.address(address).and_then(|name| name.virtual_host(port, false));
        let mut listener = self.listener(Some(address), port);
        if host.is_none() {
            if listener.is_some() || !self.forms.heard.contains_key(&port) {
                return (false, None);
            }
            listener = self.listener(None, port);
        }
        (listener.is_none_or(|listener| listener.network(address).is_none()), host)
    }

    /// Whether chains listen on the address or on every address.
    pub(crate) fn listens(&self, address: IpAddr, port: u16) -> bool {
        self.listener(Some(address), port).or_else(|| self.listener(None, port)).is_some()
    }

    /// A path as rules see it.
    #[inline]
    pub fn normal_path<'t>(&self, path: &'t str) -> Cow<'t, str> {
        normal_path(path, self.paths)
    }

    fn node(&self, spot: &Spot, sni: HostKey<'_>) -> &[Claim<A>] {
        match self.nodes.get(spot.hash(sni.hash()), |node| node.key.is(spot, sni)) {
            Some(node) => node.claims.at(node.key.place()),
            None => self.rows.node(*spot, sni),
        }
    }

    /// The chain that takes a connection to an address: its own listener, else the wildcard one; inside, the most specific
    /// network, server name and transport without going back, then the listener's match-all chain.
    pub fn accept(
        &self,
        address: Option<IpAddr>,
        port: u16,
        sni: &str,
        transport: Transport,
    ) -> Option<&Arc<Chain<A>>> {
        let own = address.and_then(|_| self.listener(address, port));
        let listener = match own {
            Some(listener) => listener,
            None => self.listener(None, port)?,
        };
        let of_row;
        let [spot, general] = match listener {
            ListenerRef::Own(listener) => [listener.spot(address), listener.spot(None)],
            ListenerRef::Row(address) => {
                of_row = Spot::new(Some(address), port, None);
                [&of_row; 2]
            }
        };
        let claims = self.by_sni(spot, sni);
        let chains = || claims.iter().filter_map(Claim::chain);
        let found =
            [transport, Transport::Any].into_iter().find_map(|wanted| chains().find(|chain| chain.transport == wanted));
        found.or_else(|| {
            self.node(general, HostKey::of("")).iter().filter_map(Claim::chain).find(|chain| chain.is_match_all())
        })
    }

    fn by_sni(&self, spot: &Spot, sni: &str) -> &[Claim<A>] {
        if !sni.is_empty() {
            let wildcards = dotted_suffixes(sni).chain([""]).map(HostKey::suffix);
            let mut keys = std::iter::once(HostKey::of(sni)).chain(wildcards);
            let found = keys.find_map(|key| Some(self.node(spot, key)).filter(|claims| !claims.is_empty()));
            if let Some(claims) = found {
                return claims;
            }
        }
        self.node(spot, HostKey::of(""))
    }
}
