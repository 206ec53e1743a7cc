//! What threads meet at: the standard library's and arc-swap's, or, compiled with `--cfg loom`, loom's, which tries every order
//! of their steps (tests/loom.rs).

#[cfg(not(loom))]
mod kind {
    pub use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64};
    pub use std::sync::{Mutex, MutexGuard, OnceLock};

    pub use arc_swap::{ArcSwap, Guard};
}

#[cfg(loom)]
mod kind {
    use std::sync::{Arc, PoisonError};

    pub use loom::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64};
    pub use loom::sync::{Mutex, MutexGuard};

    /// Takes arc-swap's word for it that a load or a store is one step.
    #[derive(Debug)]
    pub struct ArcSwap<T>(Mutex<Arc<T>>);

    pub type Guard<T> = T;

    impl<T> ArcSwap<T> {
        pub fn from_pointee(value: T) -> Self {
            ArcSwap(Mutex::new(Arc::new(value)))
        }

        pub fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        pub fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub fn store(&self, value: Arc<T>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        }
    }

    /// A value that is set once; who comes while another makes it waits, in loom's eyes too.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        turn: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            OnceLock::new()
        }
    }

    impl<T> OnceLock<T> {
        pub fn new() -> Self {
            OnceLock { turn: Mutex::new(()), value: std::sync::OnceLock::new() }
        }

        pub fn get(&self) -> Option<&T> {
            let _turn = self.turn.lock();
            self.value.get()
        }

        pub fn set(&self, value: T) -> Result<(), T> {
            let _turn = self.turn.lock();
            self.value.set(value)
        }

        pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            let _turn = self.turn.lock();
            if self.value.get().is_none() {
                let _ = self.value.set(make());
            }
            self.value.get().unwrap_or_else(|| unreachable!("it was set"))
        }
    }
}

pub use kind::*;
