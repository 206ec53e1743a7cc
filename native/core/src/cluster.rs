//! Services and clusters as the tables hold them.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::balance::ClusterLive;
use crate::model::{self, Attach, ClusterType, Protocol};

/// What decides conflicts between units: order, then key.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitId {
    pub order: Box<str>,
    pub key: Box<str>,
}

/// What `find` hands out; made once per unit.
#[derive(Debug)]
pub struct Service<A: Attach> {
    pub given: Arc<model::Service<A>>,
    /// Position in `services()`.
    pub index: u32,
    /// For the embedder's object.
    pub cell: A::Cell,
}

impl<A: Attach> Service<A> {
    /// The protocol of a declared port; the first declaration counts.
    pub fn protocol(&self, port: u16) -> Option<Protocol> {
        self.given.ports.iter().find(|known| known.number == port).map(|known| known.protocol)
    }
}

/// One upstream cluster of a snapshot; `live` is what changes in it without a publish.
#[derive(Debug)]
pub struct Cluster<A: Attach> {
    pub handle: Option<A::Handle>,
    pub name: Arc<str>,
    pub kind: ClusterType,
    /// ORIGINAL_DST: the port that replaces the original one; 0 = none.
    pub port_override: u16,
    /// Position in `clusters()`; `u32::MAX` for the clusters of the outbound policy.
    pub index: u32,
    pub unit: Arc<UnitId>,
    /// For the embedder's object; so that one can hold `live`, not the cluster.
    pub cell: A::Cell,
    pub live: Arc<ClusterLive<A>>,
}

impl<A: Attach> Cluster<A> {
    /// The same cluster, that came with something else. What lives in it goes on.
    #[must_use]
    pub fn with_handle(&self, handle: A::Handle) -> Self {
        Cluster {
            handle: Some(handle),
            name: Arc::clone(&self.name),
            kind: self.kind,
            port_override: self.port_override,
            index: self.index,
            unit: Arc::clone(&self.unit),
            cell: A::Cell::default(),
            live: Arc::clone(&self.live),
        }
    }
}

/// A name that clusters have or destinations use. Its slot leads to the cluster that has it now.
#[derive(Debug)]
pub struct ClusterName<A: Attach> {
    pub name: Arc<str>,
    pub slot: u32,
    /// Destinations that use it.
    pub users: u32,
    /// Clusters of that name, the one that has it first.
    pub holders: SmallVec<[Arc<Cluster<A>>; 1]>,
}

impl<A: Attach> Clone for ClusterName<A> {
    fn clone(&self) -> Self {
        let name = Arc::clone(&self.name);
        ClusterName { name, slot: self.slot, users: self.users, holders: self.holders.clone() }
    }
}
