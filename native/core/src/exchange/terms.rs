//! What an exchange begins with.

use super::replies::Reply;
use super::retry::milliseconds;
use super::steering::Steering;
use crate::decision::Decision;
use crate::model::Attach;
use crate::request::Request;

/// How an exchange is to be carried on.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The request's x-envoy- headers are read.
    pub trusted: bool,
    pub replayable: bool,
    /// The whole request is here.
    pub received: bool,
    pub pending: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Asked { trusted: false, replayable: true, received: true, pending: false }
    }
}

/// What an exchange begins with.
#[derive(Debug)]
pub struct Terms {
    pub steering: Steering,
    /// Of an injected fault, in milliseconds.
    pub delay: u64,
    /// Given after the delay, where the request is not sent on.
    pub answer: Option<Reply>,
    /// The decision's.
    pub draw: u64,
    pub replayable: bool,
    pub received: bool,
    pub pending: bool,
}

impl Terms {
    /// Of a decision. `values`: of the request's headers that `steering::read_names` names. `copy`: of a mirror, which has no
    /// fault and no retries.
    pub fn of<A: Attach, R: Request<A> + ?Sized>(
        decision: &Decision<A>,
        request: &R,
        asked: Asked,
        values: &[Option<String>],
        copy: bool,
    ) -> Terms {
        let route = decision.route();
        let retry = route.and_then(|route| route.retry.as_ref());
        let mut steering = Steering::new(retry, route.map_or(0.0, |route| route.timeout), values, asked.trusted);
        if copy {
            steering.policy = None;
        }
        Terms {
            steering,
            delay: if copy { 0 } else { decision.fault().map_or(0, |(delay, _, _)| milliseconds(delay)) },
            answer: Reply::own(decision, request, !copy),
            draw: decision.draw,
            replayable: asked.replayable,
            received: asked.received,
            pending: asked.pending,
        }
    }
}
