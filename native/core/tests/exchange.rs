//! The state machine of an exchange under an embedder of its own: no Python, no leases but a count.

use std::convert::Infallible;
use std::sync::Arc;

use roadstead_core::exchange::retry::{Answered, Reset, Words};
use roadstead_core::exchange::steering::Steering;
use roadstead_core::exchange::{Choice, Exchange, Leased, Step, Terms, Upstream, Wrong};
use roadstead_core::model::Retry;
use roadstead_core::overlay::Outcome;

const MS: i64 = 1_000_000;

/// Endpoints that are always there; `healthy` of them, `retries` at a time.
#[derive(Default)]
struct Counted {
    healthy: bool,
    retries: u32,
    leased: u32,
    held: u32,
    outcomes: Vec<Outcome>,
}

impl Upstream for Counted {
    type Error = Infallible;

    fn lease(&mut self, _choice: Choice<'_>) -> Result<Leased, Infallible> {
        self.leased += u32::from(self.healthy);
        Ok(if self.healthy { Leased::Endpoint { priority: 0 } } else { Leased::NoneHealthy })
    }

    fn ready(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn finish(&mut self, outcome: Outcome, _now: i64) -> Result<(), Infallible> {
        self.leased -= 1;
        self.outcomes.push(outcome);
        Ok(())
    }

    fn take_retry(&mut self) -> bool {
        let free = self.held < self.retries;
        self.held += u32::from(free);
        free
    }

    fn give_retry(&mut self) {
        self.held -= 1;
    }
}

fn upstream() -> Counted {
    Counted { healthy: true, retries: 1, ..Counted::default() }
}

fn begun(words: &str, timeout: f64, upstream: &mut Counted) -> Exchange {
    let retry = Retry { words: Words::http(words) | Words::grpc(words), attempts: 2, ..Retry::default() };
    let steering = Steering::new(Some(&Arc::new(retry)), timeout, &[], false);
    let terms = Terms { steering, delay: 0, answer: None, draw: 0, replayable: true, received: true, pending: false };
    Exchange::begin(terms, 0, upstream).unwrap()
}

fn status(status: u16) -> Answered {
    Answered { status, ..Answered::default() }
}

#[test]
fn tries_are_used_up() {
    let mut upstream = upstream();
    let mut exchange = begun("5xx", 0.0, &mut upstream);
    // The first numbers from mix(0) modulo 25 and 50.
    for (now, until) in [(0, 10), (15, 15)] {
        exchange.response(&status(503), true, now * MS, &mut upstream).unwrap();
        assert_eq!(exchange.step(), &Step::Delay { until: until * MS });
        assert_eq!((upstream.leased, upstream.held), (0, 1));
        exchange.expired(until * MS, &mut upstream).unwrap();
        assert!(matches!(exchange.step(), Step::Try { deadline: None, .. }));
    }
    exchange.response(&status(503), true, 20 * MS, &mut upstream).unwrap();
    assert_eq!(exchange.step(), &Step::Done { status: 503, details: "via_upstream".to_owned(), reset: false });
    assert_eq!((exchange.attempts(), &*exchange.flags()), (3, "URX"));
    assert_eq!((upstream.leased, upstream.held, upstream.outcomes.len()), (0, 0, 3));
}

#[test]
fn a_refused_retry_leaves_the_response_as_it_is() {
    let mut upstream = Counted { retries: 0, ..upstream() };
    let mut exchange = begun("5xx", 0.0, &mut upstream);
    exchange.response(&status(500), true, 0, &mut upstream).unwrap();
    assert_eq!((exchange.is_over(), &*exchange.flags()), (true, "UO"));
}

#[test]
fn time_is_up() {
    let mut upstream = upstream();
    let mut exchange = begun("5xx", 0.5, &mut upstream);
    assert!(matches!(exchange.step(), Step::Try { deadline: Some(at), .. } if *at == 500 * MS));
    exchange.expired(500 * MS - 1, &mut upstream).unwrap();
    assert!(!exchange.is_over());
    exchange.expired(500 * MS, &mut upstream).unwrap();
    let Step::Respond(reply) = exchange.step() else { panic!("{:?}", exchange.step()) };
    assert_eq!(
        (reply.status, &*reply.body, &*reply.details),
        (504, &b"upstream request timeout"[..], "response_timeout")
    );
    assert_eq!(upstream.outcomes, [Outcome::Timeout]);
}

#[test]
fn nobody_is_healthy() {
    let exchange = begun("5xx", 0.0, &mut Counted::default());
    assert!(matches!(exchange.step(), Step::Respond(reply) if reply.status == 503 && reply.flag == "UH"));
}

#[test]
fn a_report_that_does_not_fit_changes_nothing() {
    let mut upstream = upstream();
    let mut exchange = begun("connect-failure", 0.0, &mut upstream);
    exchange.reset(Reset::RemoteConnectionFailure, false, 0, &mut upstream).unwrap();
    let before = exchange.step().clone();
    let wrong = exchange.response(&status(200), true, 0, &mut upstream);
    assert_eq!(wrong, Err(Wrong::Report("response: no try is under way")));
    assert_eq!(exchange.step(), &before);
    exchange.cancel(0, &mut upstream).unwrap();
    assert_eq!((&*exchange.flags(), upstream.held), ("DC", 0));
    assert_eq!(upstream.outcomes, [Outcome::ConnectFailure]);
}
