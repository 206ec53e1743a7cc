//! The embedder's side of an exchange where endpoints are the core's own: each try is chosen and leased here.

use std::convert::Infallible;
use std::sync::Arc;

use super::retry::Answered;
use super::{Asked, Choice, Exchange, Leased, Terms, Upstream, steering};
use crate::balance::ClusterLive;
use crate::choose::{Chosen, HashBy, Unchosen, Wish};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::lease::Lease;
use crate::model::Attach;
use crate::overlay::{LeaseKind, Outcome, acquire_retry, release_retry};
use crate::request::Request;

/// The tries of one exchange: what is leased, and who was tried. Dropped before the exchange is over it gives back what it
/// holds, and tells nothing of the endpoint.
#[derive(Debug)]
pub struct Tries<A: Attach> {
    lease: Option<Lease<A>>,
    /// Where a retry is counted.
    retrying: Option<Arc<ClusterLive<A>>>,
    tried: Vec<Chosen<A>>,
    picks: u32,
    hash: HashBy,
}

impl<A: Attach> Tries<A> {
    /// picks: made for the decision so far.
    pub fn new(picks: u32, hash: HashBy) -> Self {
        Tries { lease: None, retrying: None, tried: Vec::new(), picks, hash }
    }

    /// The endpoint of the try that is under way; None without one.
    pub fn endpoint(&self) -> Option<&Chosen<A>> {
        self.lease.as_ref().and_then(|_| self.tried.last())
    }
}

impl<A: Attach> Drop for Tries<A> {
    fn drop(&mut self) {
        if let Some(lease) = &self.lease {
            lease.end(Outcome::Dropped);
        }
        if let Some(live) = &self.retrying {
            release_retry(live.counters());
        }
    }
}

/// What the machine acts on while one report is worked on.
pub struct Acting<'a, A: Attach, R: ?Sized> {
    pub engine: &'a Engine<A>,
    pub decision: &'a Decision<A>,
    pub request: &'a R,
    pub original: Option<(&'a str, u16)>,
    /// The next number of the embedder's generator, for ejections.
    pub draw: &'a dyn Fn() -> u64,
    pub tries: &'a mut Tries<A>,
}

impl<A: Attach, R: Request<A> + ?Sized> Upstream for Acting<'_, A, R> {
    type Error = Infallible;

    fn lease(&mut self, choice: Choice<'_>) -> Result<Leased, Infallible> {
        let now = || self.engine.now();
        let tries = &mut *self.tries;
        let tried: Vec<(&str, u16)> = if choice.other {
            tries.tried.iter().map(Chosen::target).map(|(address, port, _)| (address, port)).collect()
        } else {
            Vec::new()
        };
        let wish = Wish { hash: tries.hash, exclude: &tried, priorities: choice.priorities, original: self.original };
        let chosen = match self.decision.choose(self.request, &mut tries.picks, wish, now) {
            Ok(chosen) => chosen,
            Err(Unchosen::Nowhere | Unchosen::NoneHealthy) => return Ok(Leased::NoneHealthy),
        };
        let Some(cluster) = self.decision.cluster() else { return Ok(Leased::NoneHealthy) };
        // The exchange counts its retries itself.
        let kind = LeaseKind::Request { retry: false, pending: choice.pending };
        let (priority, slot) = (chosen.priority(), chosen.slot());
        tries.tried.push(chosen);
        match Lease::take(Arc::clone(cluster.live.wake()), slot, kind, &now) {
            Ok(lease) => tries.lease = Some(lease),
            Err(_) => return Ok(Leased::Overflow),
        }
        Ok(Leased::Endpoint { priority })
    }

    fn ready(&mut self) -> Result<bool, Infallible> {
        let now = || self.engine.now();
        let bound = self.tries.lease.as_ref().is_none_or(|lease| lease.ready(&now).is_ok());
        if !bound {
            self.tries.lease = None;
        }
        Ok(bound)
    }

    fn finish(&mut self, outcome: Outcome, now: i64) -> Result<(), Infallible> {
        if let (Some(lease), Some(cluster)) = (self.tries.lease.take(), self.decision.cluster())
            && let Some(hits) = lease.end(outcome).filter(|hits| hits.any())
        {
            self.engine.eject(&cluster.name, lease.slot(), hits, now, &mut || (self.draw)());
        }
        Ok(())
    }

    fn take_retry(&mut self) -> bool {
        let now = || self.engine.now();
        let Some(live) = self.decision.cluster().map(|cluster| Arc::clone(cluster.live.wake())) else { return false };
        let taken = acquire_retry(live.counters(), &live.limits, &now).is_ok();
        if taken {
            self.tries.retrying = Some(live);
        }
        taken
    }

    fn give_retry(&mut self) {
        if let Some(live) = self.tries.retrying.take() {
            release_retry(live.counters());
        }
    }
}

/// A header line.
type Bytes<'l> = (&'l [u8], &'l [u8]);

impl Exchange {
    /// Begins with the request's headers, of which those that steer are read. copy: of a mirror, which has no fault and no
    /// retries.
    pub fn of<'l, A: Attach, R: Request<A> + ?Sized>(
        acting: &mut Acting<'_, A, R>,
        asked: Asked,
        headers: impl Iterator<Item = Bytes<'l>>,
        copy: bool,
        now: i64,
    ) -> Exchange {
        let values = steering::joined(steering::read_names(asked.trusted), headers);
        let terms = Terms::of(acting.decision, acting.request, asked, &values, copy);
        let Ok(begun) = Exchange::begin(terms, now, acting);
        begun
    }

    /// What the retry policy reads of a response.
    pub fn answered<'l>(&self, status: u16, headers: impl Iterator<Item = Bytes<'l>>) -> Answered {
        Answered::of(status, &steering::joined(&self.reads(), headers))
    }
}
