//! Where a draw comes from when the caller gives none: one generator for each thread of each engine.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::rng::{GOLDEN, mix};

/// Names engines apart in the threads' memories.
static ENGINES: AtomicU32 = AtomicU32::new(1);
/// Counts forks of this process, seen from the child.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A generator is a state; 0 for `engine` is nobody's.
#[derive(Clone, Copy)]
struct Generator {
    engine: u32,
    forks: u32,
    state: u64,
}

thread_local! {
    /// The one used last: nearly always the one wanted.
    static LAST: Cell<Generator> = const { Cell::new(Generator { engine: 0, forks: 0, state: 0 }) };
    static OTHERS: RefCell<HashMap<u32, Generator>> = RefCell::new(HashMap::new());
}

/// The engine's share in the threads' generators.
#[derive(Debug)]
pub struct Draws {
    engine: u32,
    seed: Option<u64>,
    threads: AtomicU64,
}

impl Draws {
    pub fn new(seed: Option<u64>) -> Self {
        Draws { engine: ENGINES.fetch_add(1, Relaxed), seed, threads: AtomicU64::new(0) }
    }

    /// Where cursors of new schedules begin: runs with a seed can be repeated.
    pub fn start(&self) -> u64 {
        if self.seed.is_some() { 0 } else { entropy() }
    }

    /// The calling thread's next number.
    #[inline]
    pub fn draw(&self) -> u64 {
        let mut last = LAST.get();
        if last.engine != self.engine || last.forks != FORKS.load(Relaxed) {
            last = self.switch(last);
        }
        last.state = last.state.wrapping_add(GOLDEN);
        LAST.set(last);
        mix(last.state)
    }

    #[cold]
    fn switch(&self, last: Generator) -> Generator {
        OTHERS.with_borrow_mut(|others| {
            if last.engine != 0 {
                others.insert(last.engine, last);
            }
            let forks = FORKS.load(Relaxed);
            match (others.get(&self.engine), self.seed) {
                // A seed fixes the sequence, in a forked child too.
                (Some(known), Some(_)) => Generator { forks, ..*known },
                (Some(known), None) if known.forks == forks => *known,
                _ => Generator { engine: self.engine, forks, state: self.first() },
            }
        })
    }

    fn first(&self) -> u64 {
        match self.seed {
            Some(seed) => seed.wrapping_add(self.threads.fetch_add(1, Relaxed).wrapping_mul(GOLDEN)),
            None => entropy(),
        }
    }
}

/// 64 bits from the system: the standard library seeds its hash keys from there, once a thread; the fork count and a counter
/// keep what a forked child inherits from being used again.
pub fn entropy() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let process = u64::from(std::process::id());
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    RandomState::new().hash_one((CALLS.fetch_add(1, Relaxed), process, now))
}

/// Called in a forked child: generators without a seed start anew.
pub fn forked() {
    FORKS.fetch_add(1, Relaxed);
}
