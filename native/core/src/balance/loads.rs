//! Priority loads and panic: Envoy's integer arithmetic (load_balancer_impl.cc).

use std::collections::BTreeSet;

use crate::model::LbConfig;

/// Hosts of one priority by class. Excluded hosts count in `hosts` and leave the denominators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub hosts: u64,
    pub healthy: u64,
    pub degraded: u64,
    pub excluded: u64,
}

impl Census {
    fn denominator(self) -> u64 {
        self.hosts - self.excluded
    }

    fn availability(self, class: u64, overprovisioning: u64) -> u64 {
        match self.denominator() {
            0 => 0,
            n => (overprovisioning * class / n).min(100),
        }
    }
}

/// What each priority gets, in percent, and whether it is in panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loads {
    pub healthy: Vec<u32>,
    pub degraded: Vec<u32>,
    pub panic: Vec<bool>,
}

impl Loads {
    pub fn compute(census: &[Census], lb: &LbConfig) -> Loads {
        let factor = u64::from(lb.overprovisioning);
        let healthy: Vec<u64> = census.iter().map(|c| c.availability(c.healthy, factor)).collect();
        let degraded: Vec<u64> = census.iter().map(|c| c.availability(c.degraded, factor)).collect();
        let total = (healthy.iter().sum::<u64>() + degraded.iter().sum::<u64>()).min(100);
        let mut loads =
            Loads { healthy: vec![0; census.len()], degraded: vec![0; census.len()], panic: vec![false; census.len()] };
        if total > 0 {
            loads.share(&healthy, &degraded, total);
        } else if let Some(first) = loads.healthy.first_mut() {
            *first = 100;
        }
        if total < 100 {
            loads.panic = census.iter().map(|c| in_panic(*c, lb.panic_threshold)).collect();
            if loads.panic.iter().all(|panic| *panic) && !census.is_empty() {
                loads.total_panic(census);
            }
        }
        loads
    }

    /// The same with these priorities left out; None where nothing is available then.
    pub fn without(&self, census: &[Census], lb: &LbConfig, excluded: &BTreeSet<u32>) -> Option<Loads> {
        let available = |class: fn(&Census) -> u64| -> Vec<u64> {
            let factor = u64::from(lb.overprovisioning);
            let of = |(at, c): (usize, &Census)| match excluded.contains(&(at as u32)) {
                true => 0,
                false => c.availability(class(c), factor),
            };
            census.iter().enumerate().map(of).collect()
        };
        let (healthy, degraded) = (available(|c| c.healthy), available(|c| c.degraded));
        let total = (healthy.iter().sum::<u64>() + degraded.iter().sum::<u64>()).min(100);
        if total == 0 {
            return None;
        }
        let none = vec![0; census.len()];
        let mut made = Loads { healthy: none.clone(), degraded: none, panic: self.panic.clone() };
        let mut remaining = 100;
        // What truncation leaves is handed out in further rounds, from the first priority on.
        while remaining > 0 {
            let loads = made.healthy.iter_mut().chain(&mut made.degraded);
            for (load, availability) in loads.zip(healthy.iter().chain(&degraded)) {
                let part = (availability * 100 / total).min(remaining);
                *load += part as u32;
                remaining -= part;
            }
        }
        Some(made)
    }

    fn share(&mut self, healthy: &[u64], degraded: &[u64], total: u64) {
        let mut remaining = 100;
        for (load, availability) in self.healthy.iter_mut().zip(healthy) {
            let part = (availability * 100 / total).min(remaining);
            *load = part as u32;
            remaining -= part;
        }
        for (load, availability) in self.degraded.iter_mut().zip(degraded) {
            let part = (availability * 100 / total).min(remaining);
            *load = part as u32;
            remaining -= part;
        }
        // The residue of the truncations goes to the first available priority only.
        if let Some(first) = healthy.iter().position(|h| *h > 0) {
            self.healthy[first] += remaining as u32;
        } else if let Some(first) = degraded.iter().position(|d| *d > 0) {
            self.degraded[first] += remaining as u32;
        }
    }

    /// Every priority is in panic: loads by raw host counts, health ignored.
    fn total_panic(&mut self, census: &[Census]) {
        let hosts: u64 = census.iter().map(|c| c.hosts).sum();
        if hosts == 0 {
            return;
        }
        let mut remaining = 100;
        for (load, c) in self.healthy.iter_mut().zip(census) {
            *load = (100 * c.hosts / hosts) as u32;
            remaining -= u64::from(*load);
        }
        if let Some(first) = census.iter().position(|c| c.hosts > 0) {
            self.healthy[first] += remaining as u32;
        }
        self.degraded.fill(0);
    }

    /// The priority that gets everything with its healthy hosts; then no number is needed to choose.
    pub fn single(&self) -> Option<usize> {
        self.healthy.iter().position(|load| *load == 100)
    }

    /// The priority for a number, and whether its degraded hosts are meant.
    #[inline]
    pub fn choose(&self, number: u64) -> (usize, bool) {
        let x = (number % 100) as u32 + 1;
        let mut sum = 0;
        for (priority, load) in self.healthy.iter().enumerate() {
            sum += load;
            if x <= sum {
                return (priority, false);
            }
        }
        for (priority, load) in self.degraded.iter().enumerate() {
            sum += load;
            if x <= sum {
                return (priority, true);
            }
        }
        (0, false)
    }
}

/// Strictly below the threshold, as a double; no host at all is 0 %.
fn in_panic(census: Census, threshold: u32) -> bool {
    let available = match census.denominator() {
        0 => 0.0,
        n => 100.0 * (census.healthy + census.degraded) as f64 / n as f64,
    };
    available < f64::from(threshold.min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(rows: &[(u64, u64, u64, u64)]) -> Vec<Census> {
        rows.iter().map(|&(healthy, degraded, excluded, hosts)| Census { hosts, healthy, degraded, excluded }).collect()
    }

    fn loads(rows: &[(u64, u64, u64, u64)], threshold: u32) -> (Vec<u32>, Vec<u32>) {
        let lb = LbConfig { panic_threshold: threshold, ..LbConfig::default() };
        let loads = Loads::compute(&census(rows), &lb);
        (loads.healthy, loads.degraded)
    }

    #[test]
    fn table_of_section_1_2() {
        assert_eq!(loads(&[(5, 0, 0, 7), (1, 0, 0, 1)], 0).0, [100, 0]);
        assert_eq!(loads(&[(71, 0, 0, 100), (1, 0, 0, 1)], 0).0, [99, 1]);
        assert_eq!(loads(&[(1, 0, 0, 2), (1, 0, 0, 1)], 0).0, [70, 30]);
        assert_eq!(loads(&[(1, 0, 0, 4), (1, 0, 0, 4)], 0).0, [50, 50]);
        assert_eq!(loads(&[(1, 0, 0, 4), (1, 0, 0, 4), (1, 0, 0, 5)], 0).0, [37, 35, 28]);
        assert_eq!(loads(&[(1, 2, 0, 4)], 0), (vec![35], vec![65]));
        assert_eq!(loads(&[(1, 1, 1, 4)], 0), (vec![50], vec![50]));
    }

    #[test]
    fn total_panic_shares_by_raw_counts() {
        assert_eq!(loads(&[(1, 0, 0, 4), (1, 0, 0, 4), (1, 0, 0, 5)], 50).0, [32, 30, 38]);
    }

    #[test]
    fn exactly_at_the_threshold_is_no_panic() {
        let lb = LbConfig { panic_threshold: 50, ..LbConfig::default() };
        assert_eq!(Loads::compute(&census(&[(1, 0, 0, 2)]), &lb).panic, [false]);
        assert_eq!(Loads::compute(&census(&[(1, 0, 0, 3)]), &lb).panic, [true]);
        assert_eq!(Loads::compute(&census(&[(0, 0, 0, 3), (3, 0, 0, 3)]), &lb).panic, [false, false]);
    }
}
