//! Services and clusters as the tables hold them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use smallvec::SmallVec;

use crate::balance::ClusterLive;
use crate::model::{self, Attach, ClusterType, LbConfig, Limits, LocalityGroup, Protocol};
use crate::outliers::Policy;
use crate::packed::PackedGroups;

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
    pub live: Arc<Dormant<A>>,
}

/// What lives in a cluster, made when something is first asked of it: most clusters of a mesh are never used. Until then its
/// endpoints are packed.
#[derive(Debug)]
pub struct Dormant<A: Attach> {
    lb: Arc<LbConfig>,
    limits: Arc<Limits>,
    outliers: Option<Arc<Policy>>,
    packed: Mutex<Option<PackedGroups<A>>>,
    /// Where cursors of new schedules start.
    start: u64,
    woken: OnceLock<Arc<ClusterLive<A>>>,
}

impl<A: Attach> Dormant<A> {
    pub fn new(
        lb: Arc<LbConfig>,
        limits: Arc<Limits>,
        outliers: Option<Arc<Policy>>,
        groups: Vec<LocalityGroup<A>>,
        start: u64,
    ) -> Self {
        let packed = Mutex::new(Some(PackedGroups::new(groups)));
        Dormant { lb, limits, outliers, packed, start, woken: OnceLock::new() }
    }

    /// What lives in it.
    #[inline]
    pub fn wake(&self) -> &Arc<ClusterLive<A>> {
        self.woken.get_or_init(|| self.make())
    }

    #[cold]
    fn make(&self) -> Arc<ClusterLive<A>> {
        let packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let groups = packed.map(PackedGroups::unpack).unwrap_or_default();
        let (lb, limits) = (Arc::clone(&self.lb), Arc::clone(&self.limits));
        Arc::new(ClusterLive::new(lb, limits, self.outliers.clone(), groups, self.start))
    }

    /// What lives in it, if somebody has asked yet.
    pub fn awake(&self) -> Option<&Arc<ClusterLive<A>>> {
        self.woken.get()
    }

    /// Before it is seen: take over from the cluster that has the name now. Where nothing lives there, and no endpoint has to
    /// age, it can go on sleeping.
    pub fn begin(&self, old: Option<&Dormant<A>>, now: i64) {
        let before = old.and_then(Dormant::awake);
        if before.is_some() || self.awake().is_some() || self.lb.slow_start_window > 0.0 {
            self.wake().begin(before.map(|before| &**before), now);
        }
    }
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
