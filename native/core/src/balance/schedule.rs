//! Round robin and Envoy's EDF order as schedules with one atomic cursor.
//!
//! The EDF queue with fixed weights repeats after `sum(w / gcd)` picks: entry i stands at the deadlines k / w_i, and ties
//! come in order of insertion, which is the smaller weight first (it was put back earlier), then list order. Up to
//! `MAX_CYCLE` entries the cycle is written out; beyond that an entry is found by its rank.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::sync::AtomicU64;

pub const MAX_CYCLE: u64 = 65_536;

/// What a schedule runs over: indices (of endpoints or localities), their order and their shares.
#[derive(Debug)]
pub enum Order {
    Empty,
    /// Equal weights: the list itself.
    Plain(Box<[u32]>),
    /// Unequal weights, written out.
    Cycle(Box<[u32]>),
    /// Unequal weights whose cycle is too long to write out.
    Ranked(Box<[(u32, u64)]>),
}

/// In cache lines of its own: threads that pick from one cluster must not slow down those that pick from another.
#[derive(Debug)]
#[repr(align(64))]
pub struct Schedule {
    cursor: AtomicU64,
    /// Of the written order's length.
    wrap: Wrap,
    order: Order,
    /// Members and reduced weights: equal ones mean an equal schedule, whose cursor survives a rebuild.
    members: Box<[(u32, u64)]>,
}

impl Schedule {
    pub fn new(members: Vec<(u32, u64)>, start: u64) -> Schedule {
        Schedule::of_reduced(reduced(members), start)
    }

    /// The schedule there is, cursor and all, where its members are the same; else a new one.
    pub fn keep_or_make(known: Option<&Arc<Schedule>>, members: Vec<(u32, u64)>, start: u64) -> Arc<Schedule> {
        let members = reduced(members);
        match known {
            Some(known) if known.members == members => Arc::clone(known),
            _ => Arc::new(Schedule::of_reduced(members, start)),
        }
    }

    fn of_reduced(members: Box<[(u32, u64)]>, start: u64) -> Schedule {
        let total: u64 = members.iter().map(|(_, weight)| weight).sum();
        let order = if members.is_empty() {
            Order::Empty
        } else if members.iter().all(|(_, weight)| *weight == members[0].1) {
            Order::Plain(members.iter().map(|(index, _)| *index).collect())
        } else if total <= MAX_CYCLE {
            Order::Cycle(cycle(&members))
        } else {
            Order::Ranked(members.clone())
        };
        let length = match &order {
            Order::Plain(list) | Order::Cycle(list) => list.len(),
            Order::Empty | Order::Ranked(_) => 1,
        };
        // The same place, in a number that is small for a long time.
        let start = if total > 0 && !matches!(order, Order::Ranked(_)) { start % length as u64 } else { start };
        Schedule { order, cursor: AtomicU64::new(start), wrap: Wrap::new(length), members }
    }

    pub fn members(&self) -> &[(u32, u64)] {
        &self.members
    }

    /// Weights differ.
    #[inline]
    pub fn weighted(&self) -> bool {
        matches!(self.order, Order::Cycle(_) | Order::Ranked(_))
    }

    /// The member at a number, taken modulo how many there are; no cursor, no weights.
    #[inline]
    pub fn at(&self, number: u64) -> Option<u32> {
        match &self.order {
            Order::Empty => None,
            Order::Plain(list) => list.get(self.wrap.of(number)).copied(),
            Order::Cycle(_) | Order::Ranked(_) => Some(self.members[(number % self.members.len() as u64) as usize].0),
        }
    }

    /// How many picks until the order repeats.
    pub fn period(&self) -> u64 {
        match &self.order {
            Order::Empty => 0,
            Order::Plain(list) | Order::Cycle(list) => list.len() as u64,
            Order::Ranked(members) => members.iter().map(|(_, weight)| weight).sum(),
        }
    }

    /// The next in order.
    #[inline]
    pub fn next(&self) -> Option<u32> {
        match &self.order {
            Order::Empty => None,
            Order::Plain(list) | Order::Cycle(list) => {
                let at = self.cursor.fetch_add(1, Relaxed);
                list.get(self.wrap.of(at)).copied()
            }
            Order::Ranked(members) => {
                let at = self.cursor.fetch_add(1, Relaxed);
                Some(by_rank(members, at % self.period()))
            }
        }
    }
}

/// The remainder by one length, without a division where the number has 32 bits (Lemire, Kaser, Kurz: Faster remainder by
/// direct computation, 2019).
#[derive(Debug)]
struct Wrap {
    length: u32,
    /// 2^64 / length, rounded up.
    magic: u64,
}

impl Wrap {
    fn new(length: usize) -> Self {
        let length = length as u32;
        Wrap { length, magic: (u64::MAX / u64::from(length)).wrapping_add(1) }
    }

    #[inline]
    fn of(&self, at: u64) -> usize {
        match u32::try_from(at) {
            Ok(at) => {
                let fraction = self.magic.wrapping_mul(u64::from(at));
                ((u128::from(fraction) * u128::from(self.length)) >> 64) as usize
            }
            Err(_) => (at % u64::from(self.length)) as usize,
        }
    }
}

fn reduced(members: Vec<(u32, u64)>) -> Box<[(u32, u64)]> {
    let divisor = members.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
    members.into_iter().map(|(index, weight)| (index, weight / divisor)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A deadline k / w as an exact fraction, then weight, then list position.
#[derive(Debug, PartialEq, Eq)]
struct Deadline {
    k: u64,
    weight: u64,
    position: usize,
}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let left = u128::from(self.k) * u128::from(other.weight);
        let right = u128::from(other.k) * u128::from(self.weight);
        left.cmp(&right).then(self.weight.cmp(&other.weight)).then(self.position.cmp(&other.position))
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn cycle(members: &[(u32, u64)]) -> Box<[u32]> {
    let total: u64 = members.iter().map(|(_, weight)| weight).sum();
    let mut queue: BinaryHeap<Reverse<Deadline>> = members
        .iter()
        .enumerate()
        .map(|(position, (_, weight))| Reverse(Deadline { k: 1, weight: *weight, position }))
        .collect();
    let mut order = Vec::with_capacity(total as usize);
    while order.len() < total as usize {
        let Some(Reverse(Deadline { k, weight, position })) = queue.pop() else { break };
        order.push(members[position].0);
        queue.push(Reverse(Deadline { k: k + 1, weight, position }));
    }
    order.into_boxed_slice()
}

/// The entry at `rank` of the order, without writing the order out: for each member, the k whose deadline has that rank.
fn by_rank(members: &[(u32, u64)], rank: u64) -> u32 {
    for (position, (index, weight)) in members.iter().enumerate() {
        let (mut low, mut high) = (1, *weight);
        while low <= high {
            let k = low + (high - low) / 2;
            let found = rank_of(members, position, k);
            match found.cmp(&rank) {
                std::cmp::Ordering::Equal => return *index,
                std::cmp::Ordering::Less => low = k + 1,
                std::cmp::Ordering::Greater => high = k - 1,
            }
        }
    }
    // Ranks 0..total are a permutation of the deadlines, so one member always has it.
    members[0].0
}

/// How many deadlines come before the k-th of the member at `position`.
fn rank_of(members: &[(u32, u64)], position: usize, k: u64) -> u64 {
    let own = u128::from(members[position].1);
    let mut before = 0;
    for (other, (_, weight)) in members.iter().enumerate() {
        if other == position {
            before += k - 1;
            continue;
        }
        let product = u128::from(k) * u128::from(*weight);
        let ties_first = (*weight, other) < (members[position].1, position);
        before += if product % own == 0 && !ties_first { (product / own) as u64 - 1 } else { (product / own) as u64 };
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(weights: &[u64], picks: usize) -> Vec<u32> {
        let members = weights.iter().enumerate().map(|(i, w)| (i as u32, *w)).collect();
        let schedule = Schedule::new(members, 0);
        (0..picks).filter_map(|_| schedule.next()).collect()
    }

    #[test]
    fn edf_order_of_1_2_3() {
        assert_eq!(run(&[1, 2, 3], 7), [2, 1, 2, 0, 1, 2, 2]);
    }

    #[test]
    fn equal_weights_are_a_plain_list() {
        assert_eq!(run(&[7, 7, 7], 5), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn ranks_agree_with_the_written_cycle() {
        for weights in [vec![1, 2, 3], vec![5, 1, 1], vec![3, 7, 7, 2], vec![10, 10, 1], vec![1, 100, 31]] {
            let members = reduced(weights.iter().enumerate().map(|(i, w)| (i as u32, *w)).collect());
            let written = cycle(&members);
            let ranked: Vec<u32> = (0..written.len() as u64).map(|rank| by_rank(&members, rank)).collect();
            assert_eq!(written.as_ref(), ranked.as_slice(), "{weights:?}");
        }
    }

    #[test]
    fn remainders_are_exact() {
        for length in [1, 2, 3, 7, 50, 65_535, 65_536, 4_000_000_000] {
            let wrap = Wrap::new(length);
            let edges = [0, 1, length as u64 - 1, length as u64, length as u64 + 1, u32::MAX as u64 - 1];
            for at in edges.into_iter().chain([u32::MAX as u64, 1 << 32, u64::MAX, 0x9E37_79B9, 0xDEAD_BEEF_1234]) {
                assert_eq!(wrap.of(at), (at % length as u64) as usize, "{at} % {length}");
            }
        }
    }

    #[test]
    fn long_cycles_keep_their_shares() {
        let picks = run(&[1, 99_999], 200_000);
        assert_eq!(picks.iter().filter(|index| **index == 0).count(), 2);
    }
}
