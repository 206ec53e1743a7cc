//! Changes: copy on write over a snapshot, unit by unit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::cluster::{Cluster, ClusterName, Dormant, Service, UnitId};
use crate::engine::Source;
use crate::error::Error;
use crate::model::{self, Attach, Outbound, Paths};
use crate::names::{Claim, Claims, Form, Listener, Name, NameKey, Node, NodeKey, Spot, hash_text};
use crate::networks::NetworkName;
use crate::regex::Regexes;
use crate::rows::RowName;
use crate::snapshot::{Forms, Snapshot};
use crate::text::Network;
use crate::unit::{Compiled, Draft};
use crate::virtual_host::{VirtualHost, Weighted};

/// A change under way; readers see nothing until `Engine::publish`.
pub struct Builder<A: Attach> {
    pub(crate) base: Arc<Snapshot<A>>,
    pub(crate) next: Snapshot<A>,
    /// Clusters that took a name, for what lives in those they replace.
    pub(crate) made: HashMap<Arc<str>, Arc<Cluster<A>>>,
    pub(crate) regexes: Regexes,
    pub(crate) starts: Source<u64>,
}

impl<A: Attach> std::fmt::Debug for Builder<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("version", &self.next.version).finish_non_exhaustive()
    }
}

impl<A: Attach> Builder<A> {
    pub(crate) fn over(base: Arc<Snapshot<A>>, starts: Source<u64>) -> Self {
        let mut next = Snapshot::clone(&base);
        next.version += 1;
        Builder { base, next, made: HashMap::new(), regexes: Regexes::default(), starts }
    }

    /// Add or replace the unit of that key. Bad input changes nothing.
    pub fn put(&mut self, unit: model::Unit<A>) -> Result<(), Error> {
        let draft = Draft::new(unit, &mut self.regexes)?;
        self.put_draft(draft);
        Ok(())
    }

    pub(crate) fn put_draft(&mut self, draft: Draft<A>) {
        self.delete(&draft.id.key);
        let compiled = self.link(draft);
        self.enter(compiled);
    }

    /// Into all tables but those of services and clusters.
    pub(crate) fn enter(&mut self, compiled: Compiled<A>) {
        let compiled = Arc::new(compiled);
        compiled.claims(|key, claim| self.add_name(key, claim));
        compiled.nodes(|key, claim| self.add_node(key, claim));
        compiled.heard().for_each(|port| counted(&mut self.next.forms.heard, port, 1));
        let hash = hash_text(compiled.id.key.as_bytes());
        let id = Arc::clone(&compiled.id);
        self.next.units.put(hash, compiled, |known| known.id.key == id.key);
    }

    /// Remove the unit of that key, if there is one.
    pub fn delete(&mut self, key: &str) {
        if let Some((shelf, row)) = self.next.rows.unit(key).map(RowName::place) {
            return self.delete_row(shelf, row);
        }
        let hash = hash_text(key.as_bytes());
        let Some(old) = self.next.units.get(hash, |known| &*known.id.key == key).cloned() else {
            return;
        };
        self.next.units.remove(hash, |known| &*known.id.key == key);
        old.heard().for_each(|port| counted(&mut self.next.forms.heard, port, -1));
        old.nodes(|key, claim| self.remove_node(&key, &claim.unit));
        old.claims(|key, claim| self.remove_name(&key, &claim.unit));
        for weighted in old.weighted() {
            weighted.destinations.iter().for_each(|destination| self.release(&destination.cluster));
        }
        // Backwards, so that a unit put in its place gets the same positions again.
        for cluster in old.clusters.iter().rev() {
            self.remove_cluster(cluster);
        }
        for service in old.services.iter().rev() {
            self.next.services_at.remove(service.index);
        }
    }

    /// What unknown hosts get.
    pub fn set_outbound(&mut self, outbound: Outbound) {
        self.next.outbound = outbound;
    }

    /// The cluster of connections that go where their caller dialled.
    pub fn passthrough(&mut self) -> &mut Arc<Cluster<A>> {
        &mut self.next.passthrough
    }

    /// The cluster of hosts that are looked up by the name in each request.
    pub fn dynamic(&mut self) -> &mut Arc<Cluster<A>> {
        &mut self.next.dynamic
    }

    /// How paths are normalised.
    pub fn set_paths(&mut self, paths: Paths) {
        self.next.paths = paths;
    }

    // Units

    fn link(&mut self, mut draft: Draft<A>) -> Compiled<A> {
        let services: Box<[_]> = draft.services.into_iter().map(|given| self.add_service(given)).collect();
        let clusters = draft.clusters.into_iter().map(|given| self.add_cluster(given, &draft.id)).collect();
        for host in &mut draft.hosts {
            let port = host.port;
            host.set_service(services.iter().find(|service: &&Arc<Service<A>>| service.protocol(port).is_some()));
            for weighted in host.routes.iter_mut().filter_map(|route| route.weighted.as_mut()) {
                self.resolve(weighted);
            }
        }
        for chain in &mut draft.chains {
            self.resolve(&mut chain.weighted);
        }
        Compiled {
            id: draft.id,
            services,
            clusters,
            hosts: draft.hosts.into_iter().map(Arc::<VirtualHost<A>>::new).collect(),
            chains: draft.chains.into_iter().map(Arc::new).collect(),
        }
    }

    fn add_service(&mut self, given: model::Service<A>) -> Arc<Service<A>> {
        let index = self.next.services_at.reserve();
        let service = Arc::new(Service { given: Arc::new(given), index, cell: A::Cell::default() });
        self.next.services_at.set(index, Some(Arc::clone(&service)));
        service
    }

    // Clusters

    /// Leads the destinations to the clusters of their names, those to come included.
    fn resolve(&mut self, weighted: &mut Weighted) {
        for destination in &mut weighted.destinations {
            self.make_way_for_cluster(&destination.cluster);
            let known = self.cluster_name(&destination.cluster);
            known.users += 1;
            destination.slot = known.slot;
            destination.cluster = Arc::clone(&known.name);
        }
    }

    fn release(&mut self, name: &str) {
        self.cluster_name(name).users -= 1;
        self.forget_unused(name);
    }

    /// The entry of a name, made where there is none.
    pub(crate) fn cluster_name(&mut self, name: &str) -> &mut ClusterName<A> {
        let clusters = &mut self.next.clusters;
        let make = || {
            let slot = clusters.reserve();
            ClusterName { name: Arc::from(name), slot, users: 0, holders: SmallVec::new() }
        };
        self.next.cluster_names.get_or_put(hash_text(name.as_bytes()), |known| &*known.name == name, make)
    }

    /// A name that nobody knows yet, with the cluster that has it.
    pub(crate) fn enter_cluster(&mut self, slot: u32, cluster: &Arc<Cluster<A>>) {
        let name = Arc::clone(&cluster.name);
        let holders = SmallVec::from_iter([Arc::clone(cluster)]);
        let known = ClusterName { name, slot, users: 0, holders };
        let hash = hash_text(cluster.name.as_bytes());
        self.next.cluster_names.put(hash, known, |known| known.name == cluster.name);
    }

    fn forget_unused(&mut self, name: &str) {
        let known = self.cluster_name(name);
        if known.users == 0 && known.holders.is_empty() {
            let slot = known.slot;
            self.next.clusters.remove(slot);
            self.next.cluster_names.remove(hash_text(name.as_bytes()), |known| &*known.name == name);
        }
    }

    fn add_cluster(&mut self, given: model::Cluster<A>, unit: &Arc<UnitId>) -> Arc<Cluster<A>> {
        let index = self.next.clusters_at.reserve();
        let start = (self.starts)();
        self.make_way_for_cluster(&given.name);
        let known = self.cluster_name(&given.name);
        let cluster = Arc::new(Cluster {
            handle: Some(given.handle),
            name: Arc::clone(&known.name),
            kind: given.kind,
            port_override: given.port_override,
            index,
            unit: Arc::clone(unit),
            cell: A::Cell::default(),
            live: Arc::new(Dormant::new(given.lb, given.limits, given.outliers, given.groups, start)),
        });
        let at = known.holders.partition_point(|holder| holder.unit <= *unit);
        known.holders.insert(at, Arc::clone(&cluster));
        self.next.clusters_at.set(index, Some(Arc::clone(&cluster)));
        if at == 0 {
            self.take(&cluster);
        }
        cluster
    }

    fn take(&mut self, cluster: &Arc<Cluster<A>>) {
        let slot = self.cluster_name(&cluster.name).slot;
        self.next.clusters.set(slot, Some(Arc::clone(cluster)));
        self.made.insert(Arc::clone(&cluster.name), Arc::clone(cluster));
    }

    fn remove_cluster(&mut self, cluster: &Arc<Cluster<A>>) {
        self.next.clusters_at.remove(cluster.index);
        let known = self.cluster_name(&cluster.name);
        let Some(at) = known.holders.iter().position(|holder| Arc::ptr_eq(holder, cluster)) else {
            return;
        };
        known.holders.remove(at);
        match known.holders.first().cloned() {
            Some(holder) if at == 0 => self.take(&holder),
            Some(_) => {}
            None => {
                let slot = known.slot;
                self.next.clusters.set(slot, None);
                self.made.remove(&cluster.name);
                self.forget_unused(&cluster.name);
            }
        }
    }

    // Names and listeners

    fn add_name(&mut self, key: NameKey, claim: Claim<A>) {
        if let Some(network) = wide(&key) {
            let add = |known: &mut Option<NetworkName<A>>| {
                known.get_or_insert_with(|| NetworkName::new(key)).change(|claims| claims.add(claim));
            };
            return self.next.networks.change(network, add);
        }
        self.make_way(&key);
        let (hash, mut fresh) = (key.hash(), false);
        let is = |known: &Name<A>| known.key == key;
        let name = self.next.names.get_or_put(hash, is, || {
            fresh = true;
            Name { key: key.clone(), claims: Claims::default() }
        });
        name.claims.add(claim);
        if fresh {
            self.next.forms.count(&key, 1);
        }
    }

    fn remove_name(&mut self, key: &NameKey, unit: &Arc<UnitId>) {
        if let Some(network) = wide(key) {
            return self.next.networks.change(network, |known| {
                known.iter_mut().for_each(|known| known.change(|claims| claims.remove(unit)));
                known.take_if(|known| known.name().claims.is_empty());
            });
        }
        let hash = key.hash();
        let Some(name) = self.next.names.get_mut(hash, |known| known.key == *key) else {
            return;
        };
        name.claims.remove(unit);
        if name.claims.is_empty() {
            self.next.names.remove(hash, |known| known.key == *key);
            self.next.forms.count(key, -1);
        }
    }

    fn add_node(&mut self, mut key: NodeKey, claim: Claim<A>) {
        self.make_way(&key.sni);
        let Spot { address, port, network, .. } = *key.spot;
        if let Some(address) = address {
            self.make_way(&NameKey::Network(Box::new(Network::host(address))));
        }
        let hash = key.hash();
        if self.next.nodes.get(hash, |known| known.key == key).is_none() {
            key.spot = self.listener(address, port).add(network);
        }
        let make = || Node { key: key.clone(), claims: Claims::default() };
        self.next.nodes.get_or_put(hash, |known| known.key == key, make).claims.add(claim);
    }

    /// A listener, made where there is none.
    pub(crate) fn listener(&mut self, address: Option<IpAddr>, port: u16) -> &mut Listener {
        let hash = Listener::hash(address, port);
        let make = || Arc::new(Listener::new(address, port));
        Arc::make_mut(self.next.listeners.get_or_put(hash, |known| known.is(address, port), make))
    }

    /// Take a node away from a listener, which goes with the last one.
    pub(crate) fn leave_listener(&mut self, address: Option<IpAddr>, port: u16, network: Option<Network>) {
        let hash = Listener::hash(address, port);
        if let Some(listener) = self.next.listeners.get_mut(hash, |known| known.is(address, port)) {
            let listener = Arc::make_mut(listener);
            listener.remove(network);
            if listener.is_empty() {
                self.next.listeners.remove(hash, |known| known.is(address, port));
            }
        }
    }

    fn remove_node(&mut self, key: &NodeKey, unit: &Arc<UnitId>) {
        let hash = key.hash();
        let Some(node) = self.next.nodes.get_mut(hash, |known| known.key == *key) else {
            return;
        };
        node.claims.remove(unit);
        if !node.claims.is_empty() {
            return;
        }
        self.next.nodes.remove(hash, |known| known.key == *key);
        let Spot { address, port, network, .. } = *key.spot;
        self.leave_listener(address, port, network);
    }
}

/// The network of a key, unless it is one address alone.
pub(crate) fn wide(key: &NameKey) -> Option<Network> {
    match key {
        NameKey::Network(network) => Some(**network).filter(|network| !network.is_host()),
        NameKey::Host(..) => None,
    }
}

impl Forms {
    fn count(&mut self, key: &NameKey, step: isize) {
        match key {
            NameKey::Network(network) => self.count_address(network.v6, step),
            NameKey::Host(form, text) => self.count_host(*form, text, step),
        }
    }

    pub(crate) fn count_address(&mut self, v6: bool, step: isize) {
        let count = &mut self.addresses[usize::from(v6)];
        *count = count.saturating_add_signed(step);
    }

    /// text: without the star.
    pub(crate) fn count_host(&mut self, form: Form, text: &[u8], step: isize) {
        match form {
            Form::Exact => {}
            Form::Prefix => counted(&mut self.prefixes, text.len(), step),
            Form::Suffix if text.starts_with(b".") => self.dotted = self.dotted.saturating_add_signed(step),
            Form::Suffix if text.is_empty() => {}
            Form::Suffix => counted(&mut self.suffixes, text.len(), step),
        }
    }
}

pub(crate) fn counted<K: Ord>(counts: &mut std::collections::BTreeMap<K, usize>, key: K, step: isize) {
    let count = counts.get(&key).copied().unwrap_or(0).saturating_add_signed(step);
    if count == 0 {
        counts.remove(&key);
    } else {
        counts.insert(key, count);
    }
}
