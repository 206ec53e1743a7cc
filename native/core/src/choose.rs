//! From a decision's cluster to one endpoint, for embedders that have no objects of their own for them.

use std::sync::Arc;

use crate::balance::{ClusterLive, ClusterState, PickInput};
use crate::decision::Decision;
use crate::exchange::retry::PreviousPriorities;
use crate::model::{Attach, ClusterType, EndpointKind};
use crate::overlay::Slot;
use crate::request::Request;

/// An endpoint.
#[derive(Debug)]
pub enum Chosen<A: Attach> {
    /// Of a cluster, by its position.
    Of(Arc<ClusterState<A>>, u32),
    /// What a cluster without endpoints of its own dials: host, port, and what the host is.
    Dialled(Arc<(String, u16, EndpointKind)>),
}

impl<A: Attach> Clone for Chosen<A> {
    fn clone(&self) -> Self {
        match self {
            Chosen::Of(state, index) => Chosen::Of(Arc::clone(state), *index),
            Chosen::Dialled(dialled) => Chosen::Dialled(Arc::clone(dialled)),
        }
    }
}

impl<A: Attach> Chosen<A> {
    /// (IP, name or path; port; which of them).
    pub fn target(&self) -> (&str, u16, EndpointKind) {
        match self {
            Chosen::Of(state, index) => {
                let def = &state.membership.endpoints[*index as usize].def;
                (&def.address, def.port, def.kind)
            }
            Chosen::Dialled(dialled) => (&dialled.0, dialled.1, dialled.2),
        }
    }

    pub fn priority(&self) -> u32 {
        match self {
            Chosen::Of(state, index) => state.membership.priority(*index),
            Chosen::Dialled(_) => 0,
        }
    }

    /// What counts its leases; what is dialled has a new one each time.
    pub fn slot(&self) -> Arc<Slot> {
        match self {
            Chosen::Of(state, index) => Arc::clone(&state.slots()[*index as usize]),
            Chosen::Dialled(_) => Arc::default(),
        }
    }
}

/// The hash that balancers which need one go by.
#[derive(Clone, Copy, Debug, Default)]
pub enum HashBy {
    /// What the rule's hash policies give for the request.
    #[default]
    Policies,
    Given(u64),
    Nothing,
}

/// What is special about one choice.
#[derive(Debug, Default)]
pub struct Wish<'a> {
    pub hash: HashBy,
    /// (address, port) of those to avoid; after `Decision::retry_host_attempts` more picks the last one is taken all the same.
    pub exclude: &'a [(&'a str, u16)],
    pub priorities: Option<&'a mut PreviousPriorities>,
    /// Where a captured request was on its way to.
    pub original: Option<(&'a str, u16)>,
}

/// Why nothing was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchosen {
    /// The decision has no cluster.
    Nowhere,
    NoneHealthy,
}

impl<A: Attach> Decision<A> {
    /// picks: how many were made for the decision; it is counted on. now: the embedder's clock, read where slow start needs it.
    #[inline]
    pub fn choose<R: Request<A> + ?Sized>(
        &self,
        request: &R,
        picks: &mut u32,
        wish: Wish<'_>,
        now: impl Fn() -> i64,
    ) -> Result<Chosen<A>, Unchosen> {
        let cluster = self.cluster().ok_or(Unchosen::Nowhere)?;
        if matches!(cluster.kind, ClusterType::OriginalDst | ClusterType::DynamicDns) {
            *picks += 1;
            let dialled = self.asked_for(request, wish.original).ok_or(Unchosen::Nowhere)?;
            return Ok(Chosen::Dialled(Arc::new(dialled)));
        }
        let live = &**cluster.live.wake();
        let hash = match wish.hash {
            _ if !live.hashes() => None,
            HashBy::Policies => self.hash(request),
            HashBy::Given(hash) => Some(hash),
            HashBy::Nothing => None,
        };
        let now = if live.lb.slow_start_window > 0.0 { now() } else { 0 };
        let input = PickInput { draw: self.draw, number: *picks, hash, attempt: 0, now };
        let state = live.state_full();
        let (index, used) = if wish.exclude.is_empty() && wish.priorities.is_none() {
            (live.pick(&state, input), 1)
        } else {
            pick_other(live, &state, input, wish, self.retry_host_attempts())
        };
        *picks += used;
        index.map(|index| Chosen::Of(state, index)).ok_or(Unchosen::NoneHealthy)
    }
}

/// An index, and how many picks that took. Up to `last + 1` picks until one is not excluded; then the last one is used.
fn pick_other<A: Attach>(
    live: &ClusterLive<A>,
    state: &ClusterState<A>,
    mut input: PickInput,
    mut wish: Wish<'_>,
    last: u32,
) -> (Option<u32>, u32) {
    loop {
        let index = match &mut wish.priorities {
            None => live.pick(state, input),
            some => live.pick_again(state, input, some.as_deref_mut()),
        };
        let excluded = index.is_some_and(|index| {
            let def = &state.membership.endpoints[index as usize].def;
            wish.exclude.contains(&(&*def.address, def.port))
        });
        if !excluded || input.attempt == last {
            return (index, input.attempt + 1);
        }
        input.attempt += 1;
        input.number += 1;
    }
}
