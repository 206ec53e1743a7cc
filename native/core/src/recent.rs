//! Requests that began lately, as Envoy's retry budget counts them: in ten slots of time. Atomics only; threads that race may
//! count a request in the neighbouring slot.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

pub const SLOTS: usize = 10;

#[derive(Debug, Default)]
pub struct Recent {
    slots: [AtomicU64; SLOTS],
    since: AtomicU64,
    at: AtomicUsize,
    turned: AtomicI64,
    /// Nanoseconds of one slot; 0 before the first request.
    time: AtomicI64,
}

impl Recent {
    /// A request. time: of one slot.
    pub fn begin(&self, time: i64, now: i64) {
        self.turn(time, now);
        self.since.fetch_add(1, Relaxed);
    }

    pub fn count(&self, time: i64, now: i64) -> u64 {
        self.turn(time, now);
        self.slots.iter().map(|slot| slot.load(Relaxed)).sum::<u64>() + self.since.load(Relaxed)
    }

    fn turn(&self, time: i64, now: i64) {
        if self.time.load(Relaxed) != time {
            // Counted from the first one on; another interval begins anew.
            self.time.store(time, Relaxed);
            self.turned.store(now, Relaxed);
            self.since.store(0, Relaxed);
            self.at.store(0, Relaxed);
            self.slots.iter().for_each(|slot| slot.store(0, Relaxed));
        }
        let turned = self.turned.load(Relaxed);
        let elapsed = now.saturating_sub(turned);
        if elapsed < time || self.turned.compare_exchange(turned, now, Relaxed, Relaxed).is_err() {
            return;
        }
        let mut at = self.at.load(Relaxed);
        self.slots[at].store(self.since.swap(0, Relaxed), Relaxed);
        at = (at + 1) % SLOTS;
        for _ in 0..((elapsed - 1) / time).min(SLOTS as i64) {
            self.slots[at].store(0, Relaxed);
            at = (at + 1) % SLOTS;
        }
        self.at.store(at, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_ten_slots_is_forgotten() {
        let recent = Recent::default();
        (0..5).for_each(|_| recent.begin(10, 100));
        assert_eq!(recent.count(10, 109), 5);
        assert_eq!(recent.count(10, 110), 5);
        recent.begin(10, 115);
        assert_eq!(recent.count(10, 199), 6);
        assert_eq!(recent.count(10, 400), 0);
    }

    #[test]
    fn another_interval_begins_anew() {
        let recent = Recent::default();
        recent.begin(10, 0);
        recent.begin(20, 0);
        assert_eq!(recent.count(20, 0), 1);
    }
}
