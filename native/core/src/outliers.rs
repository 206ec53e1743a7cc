//! Outlier detection: what the ends of leases say of an endpoint, when it is ejected and when it comes back (Envoy:
//! outlier_detection_impl.cc; the rules are in `_core.pyi`).
//!
//! Counting is atomics only. A counter that reaches its threshold is told to the engine, which decides under its lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::error::Error;
use crate::model::OutlierDetection;
use crate::overlay::{Outcome, Slot};

/// In the order they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    Gateway,
    /// Any 5xx.
    Server,
    LocalOrigin,
}

const DETECTORS: [Detector; 3] = [Detector::Gateway, Detector::Server, Detector::LocalOrigin];

/// Detectors whose thresholds are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits([bool; 3]);

impl Hits {
    pub fn any(self) -> bool {
        self.0 != [false; 3]
    }
}

/// What is known of one endpoint; made by its first failure.
#[derive(Debug, Default)]
pub struct Record {
    /// In a row, by detector.
    failures: [AtomicU32; 3],
    ejected: AtomicBool,
    ejections: AtomicU32,
    multiplier: AtomicU32,
    /// When the ejection is over; of one that is back, when it came back or its multiplier last went down.
    until: AtomicI64,
}

impl Record {
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }

    /// Back among the others, from a clean start.
    pub fn bring_back(&self, now: i64) {
        self.ejected.store(false, Relaxed);
        self.failures.iter().for_each(|count| count.store(0, Relaxed));
        self.until.store(now, Relaxed);
    }

    /// As if it had never failed.
    pub fn forget(&self) {
        self.bring_back(0);
        self.ejections.store(0, Relaxed);
        self.multiplier.store(0, Relaxed);
    }

    fn clear(&self, detector: Detector) {
        let count = &self.failures[detector as usize];
        // Not written where nothing changes: all threads read it.
        if count.load(Relaxed) != 0 {
            count.store(0, Relaxed);
        }
    }
}

/// Counters of a cluster, by detector.
#[derive(Debug, Default)]
pub struct Tally {
    detected: [AtomicU64; 3],
    enforced: [AtomicU64; 3],
    overflow: AtomicU64,
}

impl Tally {
    /// In Envoy's words.
    pub fn stats(&self, active: u64) -> [(&'static str, u64); 9] {
        let load = |counters: &[AtomicU64; 3], detector: Detector| counters[detector as usize].load(Relaxed);
        let (gateway, server, local) = (Detector::Gateway, Detector::Server, Detector::LocalOrigin);
        let total = DETECTORS.iter().map(|detector| load(&self.enforced, *detector)).sum();
        [
            ("outlier_detection.ejections_active", active),
            ("outlier_detection.ejections_enforced_total", total),
            ("outlier_detection.ejections_overflow", self.overflow.load(Relaxed)),
            ("outlier_detection.ejections_detected_consecutive_gateway_failure", load(&self.detected, gateway)),
            ("outlier_detection.ejections_enforced_consecutive_gateway_failure", load(&self.enforced, gateway)),
            ("outlier_detection.ejections_detected_consecutive_5xx", load(&self.detected, server)),
            ("outlier_detection.ejections_enforced_consecutive_5xx", load(&self.enforced, server)),
            ("outlier_detection.ejections_detected_consecutive_local_origin_failure", load(&self.detected, local)),
            ("outlier_detection.ejections_enforced_consecutive_local_origin_failure", load(&self.enforced, local)),
        ]
    }
}

/// How a lease ended, and what it was.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub outcome: Outcome,
    /// A connection, not a request.
    pub connection: bool,
    /// It was still waiting for a connection.
    pub pending: bool,
    /// That the connection is there was told before.
    pub told: bool,
}

/// A cluster's outlier detection, ready to use.
#[derive(Debug)]
pub struct Policy {
    thresholds: [u32; 3],
    enforcing: [u32; 3],
    split: bool,
    /// Nanoseconds.
    interval: i64,
    base: i64,
    longest: i64,
    /// Milliseconds.
    jitter: u64,
    percent: u32,
    always_one: bool,
    codes: Box<[u16]>,
}

const MILLISECOND: i64 = 1_000_000;
/// What times of policies may be.
pub const MOST_SECONDS: f64 = 1e9;

impl Policy {
    pub fn new(given: &OutlierDetection) -> Result<Self, Error> {
        let times = [
            ("interval", given.interval, 0.001),
            ("base_ejection_time", given.base_ejection_time, 0.001),
            ("max_ejection_time", given.max_ejection_time, 0.001),
            ("max_ejection_time_jitter", given.max_ejection_time_jitter, 0.0),
        ];
        for (name, seconds, least) in times {
            if !(least..=MOST_SECONDS).contains(&seconds) {
                let message = format!("OutlierDetection.{name}: {seconds} is not from {least} to {MOST_SECONDS:e}");
                return Err(Error::Invalid(message));
            }
        }
        let enforcing = [
            given.enforcing_consecutive_gateway_failure,
            given.enforcing_consecutive_5xx,
            given.enforcing_consecutive_local_origin_failure,
        ];
        if enforcing.iter().any(|percent| *percent > 100) {
            return Err(Error::Invalid("OutlierDetection: what is enforced is from 0 to 100 percent".to_owned()));
        }
        if given.max_ejection_time < given.base_ejection_time {
            return Err(Error::Invalid("max_ejection_time is shorter than base_ejection_time".to_owned()));
        }
        Ok(Policy {
            thresholds: [
                given.consecutive_gateway_failure,
                given.consecutive_5xx,
                given.consecutive_local_origin_failure,
            ],
            enforcing,
            split: given.split_external_local_origin_errors,
            interval: milliseconds(given.interval) * MILLISECOND,
            base: milliseconds(given.base_ejection_time) * MILLISECOND,
            longest: milliseconds(given.max_ejection_time) * MILLISECOND,
            jitter: milliseconds(given.max_ejection_time_jitter).unsigned_abs(),
            percent: given.max_ejection_percent.min(100),
            always_one: given.always_eject_one_host,
            codes: given.error_codes.clone(),
        })
    }

    // Counting

    /// A connection is there; of a lease of a connection that is all there is to it, so it counts as an answer too.
    pub fn connected(&self, slot: &Slot, connection: bool) {
        if let Some(record) = slot.record() {
            if self.split {
                record.clear(Detector::LocalOrigin);
            } else if connection {
                record.clear(Detector::Gateway);
                record.clear(Detector::Server);
            }
        }
    }

    /// What the end of a lease says.
    #[inline]
    pub fn ended(&self, slot: &Slot, end: End) -> Hits {
        let worked = match end.outcome {
            Outcome::Dropped => return Hits::default(),
            Outcome::Status(_) | Outcome::Grpc(_) | Outcome::Success => true,
            Outcome::Reset => end.connection || !end.pending,
            Outcome::Timeout | Outcome::TryTimeout => !end.connection && !end.pending,
            Outcome::ConnectFailure | Outcome::ConnectTimeout | Outcome::Failure => false,
        };
        if worked && !end.told {
            self.connected(slot, end.connection && matches!(end.outcome, Outcome::Success | Outcome::Reset));
        }
        match end.outcome {
            Outcome::Dropped => Hits::default(),
            // It was there.
            Outcome::Success | Outcome::Reset if end.connection => Hits::default(),
            Outcome::Success => self.code(slot, 200),
            Outcome::Status(status) if self.codes.is_empty() => self.code(slot, status),
            Outcome::Grpc(status) if self.codes.is_empty() => self.code(slot, status),
            // The statuses to look for are those of HTTP; an answer of gRPC has 200.
            Outcome::Grpc(_) => self.code(slot, 200),
            Outcome::Status(status) if !self.codes.contains(&status) => self.code(slot, 200),
            Outcome::Status(status) => self.code(slot, if is_5xx(status) { status } else { 500 }),
            Outcome::Timeout | Outcome::TryTimeout => self.failed(slot, 504),
            Outcome::ConnectFailure | Outcome::ConnectTimeout | Outcome::Reset | Outcome::Failure => {
                self.failed(slot, 503)
            }
        }
    }

    /// A failure of local origin, and the code it counts as where those are not told apart.
    fn failed(&self, slot: &Slot, code: u16) -> Hits {
        let mut hits = Hits::default();
        if self.split {
            self.count(slot.record_made(), Detector::LocalOrigin, &mut hits);
            return hits;
        }
        self.code(slot, code)
    }

    #[inline]
    fn code(&self, slot: &Slot, code: u16) -> Hits {
        let mut hits = Hits::default();
        if !is_5xx(code) {
            if let Some(record) = slot.record() {
                record.clear(Detector::Gateway);
                record.clear(Detector::Server);
            }
            return hits;
        }
        let record = slot.record_made();
        if (502..=504).contains(&code) {
            self.count(record, Detector::Gateway, &mut hits);
        } else {
            record.clear(Detector::Gateway);
        }
        self.count(record, Detector::Server, &mut hits);
        hits
    }

    fn count(&self, record: &Record, detector: Detector, hits: &mut Hits) {
        let at = detector as usize;
        let count = record.failures[at].fetch_add(1, Relaxed).wrapping_add(1);
        hits.0[at] = count == self.thresholds[at];
    }

    // Ejecting, under the engine's lock

    /// What was detected of one of the cluster's endpoints: whether it is ejected now.
    pub fn judge(
        &self,
        record: &Record,
        everyone: &[Arc<Slot>],
        hits: Hits,
        now: i64,
        draw: &mut dyn FnMut() -> u64,
        tally: &Tally,
    ) -> bool {
        if record.is_ejected() {
            return false;
        }
        for detector in DETECTORS.into_iter().filter(|detector| hits.0[*detector as usize]) {
            let at = detector as usize;
            tally.detected[at].fetch_add(1, Relaxed);
            if !self.has_room(everyone) {
                tally.overflow.fetch_add(1, Relaxed);
            } else if chance(self.enforcing[at], draw) {
                self.eject(record, now, draw);
                tally.enforced[at].fetch_add(1, Relaxed);
            }
            record.failures[at].store(0, Relaxed);
            if record.is_ejected() {
                return true;
            }
        }
        false
    }

    fn has_room(&self, everyone: &[Arc<Slot>]) -> bool {
        let active = active_in(everyone);
        let allowed = 100 * (active + 1) <= u64::from(self.percent) * everyone.len() as u64;
        allowed || (self.always_one && active == 0)
    }

    fn eject(&self, record: &Record, now: i64, draw: &mut dyn FnMut() -> u64) {
        record.ejected.store(true, Relaxed);
        record.ejections.fetch_add(1, Relaxed);
        let jitter = if self.jitter > 0 { (draw() % (self.jitter + 1)) as i64 * MILLISECOND } else { 0 };
        let mut multiplier = record.multiplier.load(Relaxed);
        if i64::from(multiplier) * self.base < self.longest + self.base {
            multiplier += 1;
            record.multiplier.store(multiplier, Relaxed);
        }
        let time = (i64::from(multiplier) * self.base).min(self.longest) + jitter;
        record.until.store(now.saturating_add(time), Relaxed);
    }

    // Coming back

    /// The first tick at an instant or after.
    fn tick_at(&self, when: i64) -> i64 {
        let before = when.div_euclid(self.interval) * self.interval;
        if before == when { when } else { before.saturating_add(self.interval) }
    }

    /// Do what the ticks until now have to do; the next one with something to do, None where there is none.
    pub fn tick(&self, record: &Record, now: i64) -> Option<i64> {
        if record.is_ejected() {
            let back = self.tick_at(record.until.load(Relaxed));
            if now < back {
                return Some(back);
            }
            record.bring_back(back);
        }
        let multiplier = record.multiplier.load(Relaxed);
        if multiplier == 0 {
            return None;
        }
        let lower = self.tick_at(record.until.load(Relaxed) + self.interval);
        if now < lower {
            return Some(lower);
        }
        let ticks = (now - lower) / self.interval + 1;
        let left = u32::try_from(i64::from(multiplier) - ticks).unwrap_or(0);
        let last = lower + (ticks - 1) * self.interval;
        record.multiplier.store(left, Relaxed);
        record.until.store(last, Relaxed);
        (left > 0).then_some(last + self.interval)
    }

    /// (name, value) in the order of the contract.
    pub fn stats(&self, slot: &Slot) -> [(&'static str, i64); 6] {
        let nothing = Record::default();
        let record = slot.record().unwrap_or(&nothing);
        let failures = |detector: Detector| i64::from(record.failures[detector as usize].load(Relaxed));
        let ejected = record.is_ejected();
        [
            ("ejected", i64::from(ejected)),
            ("ejected_until", if ejected { self.tick_at(record.until.load(Relaxed)) } else { 0 }),
            ("ejections", i64::from(record.ejections.load(Relaxed))),
            ("consecutive_gateway_failure", failures(Detector::Gateway)),
            ("consecutive_5xx", failures(Detector::Server)),
            ("consecutive_local_origin_failure", failures(Detector::LocalOrigin)),
        ]
    }
}

/// How many are ejected.
pub fn active_in(everyone: &[Arc<Slot>]) -> u64 {
    everyone.iter().filter(|slot| slot.is_ejected()).count() as u64
}

/// The HTTP status that stands for one of gRPC (Envoy: grpcToHttpStatus).
pub fn http_status(grpc_status: i64) -> u16 {
    const STATUSES: [u16; 17] = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    usize::try_from(grpc_status).ok().and_then(|code| STATUSES.get(code)).copied().unwrap_or(500)
}

fn is_5xx(code: u16) -> bool {
    (500..600).contains(&code)
}

fn chance(percent: u32, draw: &mut dyn FnMut() -> u64) -> bool {
    percent >= 100 || (percent > 0 && draw() % 100 < u64::from(percent))
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0 + 0.5) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn policy(change: impl FnOnce(&mut OutlierDetection)) -> Policy {
        let mut given = OutlierDetection::default();
        change(&mut given);
        Policy::new(&given).unwrap()
    }

    fn end(outcome: Outcome) -> End {
        End { outcome, connection: false, pending: false, told: false }
    }

    fn failures(slot: &Slot) -> [u32; 3] {
        slot.record().map_or([0; 3], |record| record.failures.each_ref().map(|count| count.load(Relaxed)))
    }

    #[test]
    fn codes_move_the_counters() {
        let plain = policy(|_| {});
        let slot = Slot::default();
        let cases = [
            (Outcome::Status(200), [0, 0, 0]),
            (Outcome::Status(503), [1, 1, 0]),
            (Outcome::Timeout, [2, 2, 0]),
            (Outcome::Status(500), [0, 3, 0]),
            (Outcome::Grpc(503), [1, 4, 0]),
            (Outcome::Dropped, [1, 4, 0]),
            (Outcome::Success, [0, 0, 0]),
        ];
        for (outcome, expected) in cases {
            plain.ended(&slot, end(outcome));
            assert_eq!(failures(&slot), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_split_detector_tells_local_failures_apart() {
        let split = policy(|given| given.split_external_local_origin_errors = true);
        let slot = Slot::default();
        let cases = [
            (end(Outcome::ConnectFailure), [0, 0, 1]),
            (end(Outcome::ConnectFailure), [0, 0, 2]),
            (End { pending: true, ..end(Outcome::Timeout) }, [0, 0, 3]),
            // The connection was there, which comes first.
            (end(Outcome::Timeout), [0, 0, 1]),
            (end(Outcome::Status(503)), [1, 1, 0]),
            (End { connection: true, ..end(Outcome::Timeout) }, [1, 1, 1]),
            (End { connection: true, ..end(Outcome::Reset) }, [1, 1, 0]),
        ];
        for (end, expected) in cases {
            split.ended(&slot, end);
            assert_eq!(failures(&slot), expected, "{end:?}");
        }
    }

    #[test]
    fn an_ejection_is_over_at_a_tick_and_its_multiplier_goes_down_tick_by_tick() {
        let detection = policy(|given| {
            (given.interval, given.base_ejection_time, given.max_ejection_time) = (0.5, 1.0, 3.0);
        });
        let record = Record::default();
        let mut none = || unreachable!("nothing is drawn");
        detection.eject(&record, 100, &mut none);
        assert_eq!(detection.tick(&record, SECOND), Some(3 * SECOND / 2));
        assert!(record.is_ejected());
        assert_eq!(detection.tick(&record, 3 * SECOND / 2), Some(2 * SECOND));
        assert!(!record.is_ejected());
        detection.eject(&record, 3 * SECOND / 2, &mut none);
        // 1.5 s and twice the base; then two ticks lower.
        assert_eq!(detection.tick(&record, 7 * SECOND / 2), Some(4 * SECOND));
        assert_eq!(detection.tick(&record, 10 * SECOND), None);
        assert_eq!(record.multiplier.load(Relaxed), 0);
    }

    #[test]
    fn bad_times_are_refused() {
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let given = OutlierDetection { interval: seconds, ..OutlierDetection::default() };
            assert!(Policy::new(&given).is_err(), "{seconds}");
        }
        let given = OutlierDetection { max_ejection_time: 1.0, ..OutlierDetection::default() };
        assert!(Policy::new(&given).is_err());
    }
}
