//! What requests were like that are over: counted by what they have in common, their numbers in histograms.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use crate::decision::Kind;

/// Numbers of a request: milliseconds, bytes of its body, bytes of the response's.
pub const NUMBERS: usize = 3;
/// Classes that are told apart by their authority: names that clients make up must not fill the memory.
const MOST: usize = 4096;

/// What the requests of one cell have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class<'a> {
    pub cluster: &'a str,
    pub kind: Kind,
    /// Of requests to what nobody declared, whose cluster says too little; else "".
    pub authority: &'a str,
    pub status: u16,
    pub flags: &'a str,
    pub grpc: bool,
    /// -1: none was told.
    pub grpc_status: i32,
}

/// One class and what was counted. `about`: the embedder's.
#[derive(Clone, Debug)]
pub struct Cell<A> {
    cluster: Box<str>,
    kind: Kind,
    authority: Box<str>,
    pub status: u16,
    pub flags: Box<str>,
    pub grpc: bool,
    pub grpc_status: i32,
    pub about: A,
    pub count: u64,
    pub sums: [f64; NUMBERS],
    /// By bucket, the last one for what is above all bounds; not cumulated.
    pub buckets: [Box<[u64]>; NUMBERS],
}

impl<A> Cell<A> {
    fn new(class: Class<'_>, about: A, buckets: usize) -> Self {
        Cell {
            cluster: class.cluster.into(),
            kind: class.kind,
            authority: class.authority.into(),
            status: class.status,
            flags: class.flags.into(),
            grpc: class.grpc,
            grpc_status: class.grpc_status,
            about,
            count: 0,
            sums: [0.0; NUMBERS],
            buckets: std::array::from_fn(|_| vec![0; buckets].into()),
        }
    }

    #[inline]
    fn is_of(&self, class: &Class<'_>) -> bool {
        self.status == class.status
            && self.grpc_status == class.grpc_status
            && self.grpc == class.grpc
            && self.kind == class.kind
            && is_equal(&self.cluster, class.cluster)
            && is_equal(&self.flags, class.flags)
            && is_equal(&self.authority, class.authority)
    }
}

/// Cells by the hash of their class; those of one hash in a row.
#[derive(Debug)]
struct Cells<A> {
    all: Vec<Cell<A>>,
    found: HashMap<u64, Vec<usize>>,
    /// Of the request before: often it is the next one's too.
    last: usize,
}

impl<A> Cells<A> {
    fn find(&self, class: &Class<'_>) -> Option<usize> {
        self.found.get(&hash(class))?.iter().copied().find(|&row| self.all[row].is_of(class))
    }
}

/// Counts; any thread may.
#[derive(Debug)]
pub struct Tally<A> {
    bounds: Arc<[f64]>,
    cells: Mutex<Cells<A>>,
}

impl<A: Clone> Tally<A> {
    /// `bounds`: of the buckets, each inclusive, in ascending order.
    pub fn new(bounds: Arc<[f64]>) -> Self {
        Tally { bounds, cells: Mutex::new(Cells { all: Vec::new(), found: HashMap::default(), last: 0 }) }
    }

    /// Count one request; false where its class is new (`add` it then).
    #[inline]
    pub fn count(&self, class: &Class<'_>, numbers: [f64; NUMBERS]) -> bool {
        let mut guard = self.lock();
        let cells = &mut *guard;
        if !cells.all.get(cells.last).is_some_and(|cell| cell.is_of(class)) {
            let Some(row) = cells.find(class) else { return false };
            cells.last = row;
        }
        let cell = &mut cells.all[cells.last];
        cell.count += 1;
        for ((value, sum), buckets) in numbers.into_iter().zip(&mut cell.sums).zip(&mut cell.buckets) {
            *sum += value;
            buckets[bucket(&self.bounds, value)] += 1;
        }
        true
    }

    /// A class that is new; its authority does not count where there are very many.
    pub fn new_class<'a>(&self, class: &Class<'a>) -> Class<'a> {
        let full = self.lock().all.len() >= MOST;
        Class { authority: if full { "" } else { class.authority }, ..*class }
    }

    /// A cell for a class; one that is there already stays.
    pub fn add(&self, class: &Class<'_>, about: A) {
        let mut guard = self.lock();
        let Cells { all, found, .. } = &mut *guard;
        let rows = found.entry(hash(class)).or_default();
        if !rows.iter().any(|&row| all[row].is_of(class)) {
            rows.push(all.len());
            all.push(Cell::new(*class, about, self.bounds.len() + 1));
        }
    }

    /// All cells as they are now, in order of their first request.
    pub fn read(&self) -> Vec<Cell<A>> {
        self.lock().all.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Cells<A>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comparing no bytes at no address, as the C library does it, costs more than all the rest.
#[inline]
fn is_equal(known: &str, other: &str) -> bool {
    known.len() == other.len() && (known.is_empty() || known == other)
}

/// How many bounds are below. No body, the usual case, is told apart first.
#[inline]
fn bucket(bounds: &[f64], value: f64) -> usize {
    if bounds.first().is_none_or(|&least| value <= least) { 0 } else { bounds.partition_point(|&bound| bound < value) }
}

fn hash(class: &Class<'_>) -> u64 {
    use std::hash::{BuildHasher, Hash, Hasher};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    class.cluster.hash(&mut hasher);
    hasher.write_u64(u64::from(class.status) << 32 | u64::from(class.grpc) << 31 | u64::from(class.grpc_status as u32));
    if !class.flags.is_empty() || !class.authority.is_empty() {
        class.flags.hash(&mut hasher);
        class.authority.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: Class<'_> = Class {
        cluster: "c",
        kind: Kind::Forward,
        authority: "",
        status: 200,
        flags: "",
        grpc: false,
        grpc_status: -1,
    };

    #[test]
    fn classes_are_told_apart() {
        let tally = Tally::new(Arc::from([1.0, 10.0]));
        let others = [
            Class { cluster: "d", ..CLASS },
            Class { kind: Kind::Refused, ..CLASS },
            Class { authority: "a", ..CLASS },
            Class { status: 503, ..CLASS },
            Class { flags: "UF", ..CLASS },
            Class { grpc: true, ..CLASS },
            Class { grpc_status: 0, ..CLASS },
        ];
        for (number, class) in others.iter().chain([&CLASS]).enumerate() {
            assert!(!tally.count(class, [0.0; NUMBERS]));
            tally.add(class, number);
            tally.add(class, 99);
            assert!(tally.count(class, [0.0; NUMBERS]));
        }
        let read = tally.read();
        assert_eq!(
            read.iter().map(|cell| (cell.about, cell.count)).collect::<Vec<_>>(),
            (0..8).map(|at| (at, 1)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn bounds_are_inclusive() {
        let tally = Tally::new(Arc::from([1.0, 10.0]));
        tally.add(&CLASS, ());
        for value in [0.0, 1.0, 1.5, 10.0, 11.0] {
            tally.count(&CLASS, [value, 0.0, 100.0]);
        }
        let [cell] = &tally.read()[..] else { panic!("one class") };
        assert_eq!(cell.sums, [23.5, 0.0, 500.0]);
        assert_eq!(cell.buckets.each_ref().map(|row| row.to_vec()), [vec![2, 2, 1], vec![5, 0, 0], vec![0, 0, 5]]);
    }
}
