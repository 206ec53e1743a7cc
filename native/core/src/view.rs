//! What is published: a snapshot, with holds on it for those who keep it.
//!
//! A decision keeps the view it was made from. Were all to count themselves in one place, threads that decide at the same
//! time would take that cache line from each other; so there are several holds, and each thread has one of them. Embedders do
//! the same with what their objects keep (`Shares`).

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::model::Attach;
use crate::snapshot::Snapshot;

const HOLDS: usize = 8;

/// A value that many keep: a count of holders for each of some threads, each on a cache line of its own.
#[derive(Debug)]
pub struct Shares<T>([Arc<Share<T>>; HOLDS]);

/// A thread's share.
#[derive(Debug)]
#[repr(align(64))]
pub struct Share<T>(Arc<T>);

impl<T> Shares<T> {
    pub fn new(value: T) -> Self {
        let value = Arc::new(value);
        Shares(std::array::from_fn(|_| Arc::new(Share(Arc::clone(&value)))))
    }

    /// To be kept by something that the calling thread makes.
    #[inline]
    pub fn share(&self) -> Arc<Share<T>> {
        Arc::clone(&self.0[OWN.with(|own| *own)])
    }
}

impl<T> Deref for Shares<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0[0]
    }
}

impl<T> Deref for Share<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A hold's count of its holders has a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub struct Hold<A: Attach>(Arc<Snapshot<A>>);

impl<A: Attach> Deref for Hold<A> {
    type Target = Snapshot<A>;

    #[inline]
    fn deref(&self) -> &Snapshot<A> {
        &self.0
    }
}

/// The published snapshot.
#[derive(Debug)]
pub struct View<A: Attach> {
    snapshot: Arc<Snapshot<A>>,
    holds: [Arc<Hold<A>>; HOLDS],
}

impl<A: Attach> View<A> {
    pub fn new(snapshot: Arc<Snapshot<A>>) -> Self {
        let holds = std::array::from_fn(|_| Arc::new(Hold(Arc::clone(&snapshot))));
        View { snapshot, holds }
    }

    pub fn snapshot(&self) -> &Arc<Snapshot<A>> {
        &self.snapshot
    }

    /// The calling thread's hold.
    #[inline]
    pub fn hold(&self) -> Arc<Hold<A>> {
        Arc::clone(&self.holds[OWN.with(|own| *own)])
    }
}

impl<A: Attach> Deref for View<A> {
    type Target = Snapshot<A>;

    #[inline]
    fn deref(&self) -> &Snapshot<A> {
        &self.snapshot
    }
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which hold the thread counts itself in.
    static OWN: usize = THREADS.fetch_add(1, Relaxed) % HOLDS;
}
