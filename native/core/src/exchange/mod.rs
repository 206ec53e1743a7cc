//! One request on its way: faults, tries, time limits, mirrors. A state machine without I/O, clock or leases of its own: the
//! embedder leases endpoints ([`Upstream`]), carries steps out and reports. The table of its states is in the contract
//! (`python/roadstead/_core.pyi`, Exchange).

pub mod replies;
pub mod retry;
pub mod steering;
mod terms;
pub mod tries;

pub use terms::{Asked, Terms};

use crate::model::{HeaderOp, OpKind};
use crate::outliers::http_status;
use crate::overlay::Outcome;
use crate::rewrite::{self, Operation};
use crate::rng::{SplitMix64, mix};
use replies::Reply;
use retry::{Answered, PreviousPriorities, Reset, Verdict};
use steering::Steering;

const NANOSECONDS: i64 = 1_000_000;
const SWITCHING_PROTOCOLS: u16 = 101;

/// What is to be done now. Instants are nanoseconds of the embedder's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Delay {
        until: i64,
    },
    /// `headers`: to be set on the request.
    Try {
        number: u32,
        deadline: Option<i64>,
        headers: Vec<(&'static str, String)>,
    },
    Forward {
        status: u16,
        deadline: Option<i64>,
    },
    Respond(Reply),
    /// `reset`: what was passed on is cut off.
    Done {
        status: u16,
        details: String,
        reset: bool,
    },
}

/// What leasing an endpoint came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leased {
    Endpoint { priority: u32 },
    NoneHealthy,
    Overflow,
}

/// How the endpoint of a try is chosen.
#[derive(Debug)]
pub struct Choice<'a> {
    /// Those tried before are avoided.
    pub other: bool,
    pub priorities: Option<&'a mut PreviousPriorities>,
    pub pending: bool,
}

/// The embedder's side: one lease at a time, and the count of retries of the cluster.
pub trait Upstream {
    type Error;

    fn lease(&mut self, choice: Choice<'_>) -> Result<Leased, Self::Error>;
    /// The pending lease has its connection; false at the limit, which ends the lease.
    fn ready(&mut self) -> Result<bool, Self::Error>;
    fn finish(&mut self, outcome: Outcome, now: i64) -> Result<(), Self::Error>;
    /// Count a retry; false where max_retries (or the budget) are out.
    fn take_retry(&mut self) -> bool;
    fn give_retry(&mut self);
}

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong<E> {
    /// It does not fit the step there is.
    Report(&'static str),
    Upstream(E),
}

impl<E> From<E> for Wrong<E> {
    fn from(error: E) -> Self {
        Wrong::Upstream(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fault,
    Backoff,
    Trying,
    Forwarding,
    Over,
}

#[derive(Debug)]
pub struct Exchange {
    steering: Steering,
    answer: Option<Reply>,
    /// Tries left after this one.
    left: u64,
    previous: Option<PreviousPriorities>,
    backoffs: SplitMix64,
    /// Tries wait for a connection first; this one still does.
    pending: bool,
    waiting: bool,
    leased: bool,
    /// A retry is counted.
    held: bool,
    /// Something of a response was passed on; something of the request was written.
    started: bool,
    sent: bool,
    flags: Vec<&'static str>,
    /// Since when the request is here as a whole.
    complete_at: Option<i64>,
    per_try_at: Option<i64>,
    deadline: Option<i64>,
    state: State,
    /// Of the response that is passed on.
    learnt: Outcome,
    attempts: u32,
    step: Step,
    pub replayable: bool,
}

type Report<U> = Result<(), Wrong<<U as Upstream>::Error>>;

impl Exchange {
    pub fn begin<U: Upstream>(terms: Terms, now: i64, upstream: &mut U) -> Result<Exchange, U::Error> {
        let policy = terms.steering.policy.as_ref();
        let frequency = policy.map_or(0, |policy| policy.route.previous_priorities);
        let mut made = Exchange {
            left: policy.map_or(0, |policy| policy.attempts),
            previous: (frequency > 0).then(|| PreviousPriorities::new(frequency)),
            steering: terms.steering,
            answer: terms.answer,
            backoffs: SplitMix64(mix(terms.draw)),
            pending: terms.pending,
            waiting: false,
            leased: false,
            held: false,
            started: false,
            sent: false,
            flags: Vec::new(),
            complete_at: terms.received.then_some(now),
            per_try_at: None,
            deadline: None,
            state: State::Fault,
            learnt: Outcome::Success,
            attempts: 0,
            step: Step::Delay { until: now },
            replayable: terms.replayable,
        };
        if terms.delay > 0 {
            made.tell("DI");
            made.step = Step::Delay { until: after(now, terms.delay) };
        } else {
            made.after_delay(now, upstream)?;
        }
        Ok(made)
    }

    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Tries begun.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the request's time is up.
    pub fn deadline(&self) -> Option<i64> {
        self.deadline
    }

    /// Envoy's response flags so far, comma separated in order of occurrence.
    pub fn flags(&self) -> String {
        // Most have none: nothing is joined for them.
        if self.flags.is_empty() { String::new() } else { self.flags.join(",") }
    }

    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The whole request is here.
    pub fn is_complete(&self) -> bool {
        self.complete_at.is_some()
    }

    /// Tries wait for a connection first.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// The response headers that are read, for `Answered::of`.
    pub fn reads(&self) -> Vec<&str> {
        let named = self.steering.policy.as_ref().map_or(&[][..], |policy| &policy.headers);
        retry::READ.into_iter().chain(named.iter().map(String::as_str)).collect()
    }

    /// What is set on the request of this try.
    pub fn own_ops(&self) -> Vec<HeaderOp> {
        let Step::Try { headers, .. } = &self.step else { return Vec::new() };
        let set = |(name, value): &(&'static str, String)| HeaderOp {
            kind: OpKind::Set,
            name: (*name).into(),
            value: value.as_str().into(),
            format: Box::default(),
        };
        headers.iter().map(set).collect()
    }

    /// The header lines of this try: the rule's operations done, without those that steer Envoy, with its own (`own_ops`).
    /// rule: `Decision::request_ops`.
    pub fn apply<'o, L: rewrite::Line<'o>>(&self, rule: Vec<Operation<'o>>, own: &'o [HeaderOp], lines: &mut Vec<L>) {
        rewrite::apply(rule, lines);
        let stripped = steering::stripped(self.steering.trusted);
        lines.retain(|line| !stripped.iter().any(|name| line.is(name)));
        rewrite::apply(own.iter().map(Operation::from), lines);
    }

    /// Whether a retry is still counted; who drops an exchange that is not over gives it back.
    pub fn take_held(&mut self) -> bool {
        std::mem::take(&mut self.held)
    }

    fn tell(&mut self, flag: &'static str) {
        if !flag.is_empty() && !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    // Reports

    /// The whole request is here; the time limits count from now.
    pub fn received(&mut self, now: i64) {
        if self.complete_at.is_some() || self.is_over() {
            return;
        }
        self.complete_at = Some(now);
        if self.state == State::Fault {
            return;
        }
        self.count(now);
        if self.state == State::Trying && !self.waiting {
            self.limit_try(now);
        }
        self.refresh();
    }

    /// The try has its connection.
    pub fn ready<U: Upstream>(&mut self, now: i64, upstream: &mut U) -> Report<U> {
        if self.is_over() {
            return Ok(());
        }
        self.under_way("ready: no try is under way")?;
        if !upstream.ready()? {
            self.leased = false;
            self.broken(Reset::Overflow, false, upstream);
            return Ok(());
        }
        self.waiting = false;
        if self.complete_at.is_some() {
            self.limit_try(now);
            self.refresh();
        }
        Ok(())
    }

    /// Response headers are here; `end_stream`: nothing comes after them.
    pub fn response<U: Upstream>(
        &mut self,
        response: &Answered,
        end_stream: bool,
        now: i64,
        upstream: &mut U,
    ) -> Report<U> {
        if self.is_over() {
            return Ok(());
        }
        self.under_way("response: no try is under way")?;
        self.sent = true;
        let status = response.status;
        if (100..200).contains(&status) && status != SWITCHING_PROTOCOLS {
            (self.started, self.per_try_at) = (true, None);
            self.refresh();
            return Ok(());
        }
        let verdict = self.repeatable().map(|policy| policy.after_response(response));
        let verdict = verdict.map_or(Verdict::No, |verdict| self.settled(verdict, upstream));
        let learnt = match response.grpc_status {
            Some(grpc) if self.steering.grpc => Outcome::Grpc(http_status(i64::from(grpc))),
            _ => Outcome::Status(status),
        };
        if verdict != Verdict::No {
            upstream.finish(learnt, now)?;
            return Ok(self.repeat(verdict, now, upstream)?);
        }
        self.release(upstream);
        if end_stream {
            upstream.finish(learnt, now)?;
            self.over(Step::Done { status, details: "via_upstream".to_owned(), reset: false }, upstream);
        } else {
            (self.state, self.started, self.per_try_at) = (State::Forwarding, true, None);
            self.learnt = learnt;
            self.step = Step::Forward { status, deadline: self.deadline };
        }
        Ok(())
    }

    /// The response that is passed on came to its end.
    pub fn ended<U: Upstream>(&mut self, now: i64, upstream: &mut U) -> Report<U> {
        if self.is_over() {
            return Ok(());
        }
        let Step::Forward { status, .. } = self.step else {
            return Err(Wrong::Report("ended: no response is being passed on"));
        };
        upstream.finish(self.learnt, now)?;
        self.over(Step::Done { status, details: "via_upstream".to_owned(), reset: false }, upstream);
        Ok(())
    }

    /// The try broke. `sent`: something of the request was written.
    pub fn reset<U: Upstream>(&mut self, reason: Reset, sent: bool, now: i64, upstream: &mut U) -> Report<U> {
        if self.is_over() {
            return Ok(());
        }
        if !self.leased {
            return Err(Wrong::Report("reset: no try is under way"));
        }
        self.sent |= sent && !reason.is_connection_failure();
        let verdict = self.after_reset(reason, upstream);
        let outcome = match reason {
            Reset::Overflow => Outcome::Dropped,
            Reset::ConnectionTimeout => Outcome::ConnectTimeout,
            _ if reason.is_connection_failure() => Outcome::ConnectFailure,
            _ => Outcome::Reset,
        };
        upstream.finish(outcome, now)?;
        self.leased = false;
        if verdict != Verdict::No {
            return Ok(self.repeat(verdict, now, upstream)?);
        }
        self.broken(reason, self.started, upstream);
        Ok(())
    }

    /// Time has passed; nothing changes where nothing is due yet.
    pub fn expired<U: Upstream>(&mut self, now: i64, upstream: &mut U) -> Report<U> {
        if self.is_over() {
            return Ok(());
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(self.timed_out("response_timeout", now, upstream)?);
        }
        match (&self.step, self.state) {
            (Step::Delay { until }, _) if now < *until => {}
            (Step::Delay { .. }, State::Fault) => self.after_delay(now, upstream)?,
            (Step::Delay { .. }, _) => self.begin_try(now, upstream)?,
            _ if self.leased && self.per_try_at.is_some_and(|at| now >= at) => {
                self.sent = true;
                match self.after_reset(Reset::LocalReset, upstream) {
                    Verdict::No => self.timed_out("upstream_per_try_timeout", now, upstream)?,
                    verdict => {
                        upstream.finish(Outcome::TryTimeout, now)?;
                        self.repeat(verdict, now, upstream)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The client went away.
    pub fn cancel<U: Upstream>(&mut self, now: i64, upstream: &mut U) -> Result<(), U::Error> {
        if self.is_over() {
            return Ok(());
        }
        let status = self.passed_on();
        self.tell("DC");
        if self.leased {
            upstream.finish(Outcome::Dropped, now)?;
        }
        self.over(Step::Done { status, details: "downstream_remote_disconnect".to_owned(), reset: false }, upstream);
        Ok(())
    }

    // What follows

    /// A fault answers, or the decision does, or a try begins.
    fn after_delay<U: Upstream>(&mut self, now: i64, upstream: &mut U) -> Result<(), U::Error> {
        if let Some(reply) = self.answer.take() {
            self.respond(reply, upstream);
            return Ok(());
        }
        if self.complete_at.is_some() {
            self.complete_at = Some(now);
            self.count(now);
        }
        self.begin_try(now, upstream)
    }

    /// The request's time limit, from now.
    fn count(&mut self, now: i64) {
        if self.steering.timeout > 0 {
            self.deadline = Some(after(now, self.steering.timeout));
        }
    }

    fn limit_try(&mut self, now: i64) {
        let limited = self.steering.per_try > 0 && !self.started;
        self.per_try_at = limited.then(|| after(now, self.steering.per_try));
    }

    /// Where leasing fails otherwise, nothing has changed.
    fn begin_try<U: Upstream>(&mut self, now: i64, upstream: &mut U) -> Result<(), U::Error> {
        let again = self.attempts > 0;
        let other = again && self.steering.policy.as_ref().is_some_and(|policy| policy.route.previous_hosts);
        let priorities = self.previous.as_mut().filter(|_| again);
        let leased = upstream.lease(Choice { other, priorities, pending: self.pending })?;
        self.state = State::Trying;
        self.attempts += 1;
        match leased {
            Leased::Endpoint { priority } => {
                if let Some(previous) = &mut self.previous {
                    previous.tried.push(priority);
                }
            }
            Leased::NoneHealthy => {
                self.respond(Reply::none_healthy(), upstream);
                return Ok(());
            }
            Leased::Overflow => {
                self.broken(Reset::Overflow, false, upstream);
                return Ok(());
            }
        }
        (self.leased, self.waiting, self.per_try_at) = (true, self.pending, None);
        if self.complete_at.is_some() && !self.waiting {
            self.limit_try(now);
        }
        let elapsed = self.complete_at.map_or(0, |at| now.saturating_sub(at));
        let headers = self.steering.headers(self.attempts, elapsed);
        self.step = Step::Try { number: self.attempts, deadline: self.due(), headers };
        Ok(())
    }

    /// When something is due of the try that there is.
    fn due(&self) -> Option<i64> {
        self.per_try_at.into_iter().chain(self.deadline).min()
    }

    fn refresh(&mut self) {
        let (due, whole, backoff) = (self.due(), self.deadline, self.state == State::Backoff);
        match &mut self.step {
            Step::Try { deadline, .. } => *deadline = due,
            Step::Forward { deadline, .. } => *deadline = whole,
            Step::Delay { until } if backoff => *until = whole.map_or(*until, |whole| whole.min(*until)),
            Step::Delay { .. } | Step::Respond(_) | Step::Done { .. } => {}
        }
    }

    /// The retry policy, where anything can be tried again.
    fn repeatable(&self) -> Option<&retry::Policy> {
        self.steering.policy.as_ref().filter(|_| self.replayable && !self.started)
    }

    fn after_reset<U: Upstream>(&mut self, reason: Reset, upstream: &mut U) -> Verdict {
        let verdict = self.repeatable().map(|policy| policy.after_reset(reason, self.sent));
        verdict.map_or(Verdict::No, |verdict| self.settled(verdict, upstream))
    }

    /// What tries that are left and max_retries make of it; a retry counts until the next outcome.
    fn settled<U: Upstream>(&mut self, verdict: Verdict, upstream: &mut U) -> Verdict {
        self.release(upstream);
        if verdict == Verdict::No {
            return verdict;
        }
        if self.left == 0 {
            self.tell("URX");
            return Verdict::No;
        }
        // Gone, whatever comes of it.
        self.left -= 1;
        self.held = upstream.take_retry();
        if !self.held {
            self.tell("UO");
            return Verdict::No;
        }
        verdict
    }

    fn release<U: Upstream>(&mut self, upstream: &mut U) {
        if std::mem::take(&mut self.held) {
            upstream.give_retry();
        }
    }

    fn repeat<U: Upstream>(&mut self, verdict: Verdict, now: i64, upstream: &mut U) -> Result<(), U::Error> {
        (self.leased, self.per_try_at, self.state) = (false, None, State::Backoff);
        let until = match &self.steering.policy {
            Some(policy) if verdict == Verdict::AfterBackoff => {
                let interval = policy.interval(policy.attempts - self.left);
                after(now, self.backoffs.next_u64() % interval)
            }
            _ => now,
        };
        self.step = Step::Delay { until: self.deadline.map_or(until, |deadline| deadline.min(until)) };
        if verdict == Verdict::AtOnce { self.begin_try(now, upstream) } else { Ok(()) }
    }

    /// The status that was passed on; 0 for none.
    fn passed_on(&self) -> u16 {
        if let Step::Forward { status, .. } = self.step { status } else { 0 }
    }

    /// A reset that is not repaired. `cut`: something was passed on already.
    fn broken<U: Upstream>(&mut self, reason: Reset, cut: bool, upstream: &mut U) {
        self.tell(reason.flag());
        if cut {
            let details = format!("upstream_reset_after_response_started{{{}}}", reason.word());
            self.over(Step::Done { status: self.passed_on(), details, reset: true }, upstream);
        } else {
            self.respond(Reply::of_reset(reason, self.attempts > 1), upstream);
        }
    }

    fn timed_out<U: Upstream>(&mut self, details: &'static str, now: i64, upstream: &mut U) -> Result<(), U::Error> {
        if self.leased {
            let own = details == "upstream_per_try_timeout";
            upstream.finish(if own { Outcome::TryTimeout } else { Outcome::Timeout }, now)?;
        }
        self.tell("UT");
        if self.started {
            self.over(Step::Done { status: self.passed_on(), details: details.to_owned(), reset: true }, upstream);
        } else {
            self.respond(Reply::timed_out(details, self.steering.alternative), upstream);
        }
        Ok(())
    }

    fn respond<U: Upstream>(&mut self, reply: Reply, upstream: &mut U) {
        self.tell(reply.flag);
        self.over(Step::Respond(reply.worded(self.steering.grpc)), upstream);
    }

    fn over<U: Upstream>(&mut self, step: Step, upstream: &mut U) {
        self.release(upstream);
        (self.state, self.leased, self.step) = (State::Over, false, step);
    }

    fn under_way<E>(&self, otherwise: &'static str) -> Result<(), Wrong<E>> {
        if self.state == State::Trying && self.leased { Ok(()) } else { Err(Wrong::Report(otherwise)) }
    }
}

fn after(now: i64, milliseconds: u64) -> i64 {
    now.saturating_add(i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(NANOSECONDS))
}
