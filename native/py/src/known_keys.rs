//! Keys of header dicts that come again and again, by identity, each with the mark of its name.
//!
//! Programs write header names as literals, so that the same few string objects are the keys of every request's dict. What
//! one of them says needs to be looked at once: a key that is in here is held, so that its address is its own.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed},
};

use pyo3::ffi;

/// A number from 0 to 255 that names equal but for case share, and few others.
#[inline]
pub fn mark(name: &[u8]) -> u8 {
    let folded = |at: usize| name.get(at).map_or(0, |byte| byte | 0x20);
    let ends = folded(0).wrapping_mul(7) ^ folded(name.len().wrapping_sub(1)).wrapping_mul(31);
    let middle = folded(name.len() / 2).wrapping_mul(101);
    (ends ^ middle).wrapping_add((name.len() as u8).wrapping_mul(13))
}

/// A set of marks.
#[derive(Clone, Copy)]
pub struct Marks([u64; 4]);

impl Marks {
    pub const NONE: Marks = Marks([0; 4]);

    #[inline]
    pub fn add(&mut self, mark: u8) {
        self.0[usize::from(mark >> 6)] |= 1 << (mark & 63);
    }

    #[inline]
    pub fn has(&self, mark: u8) -> bool {
        self.0[usize::from(mark >> 6)] >> (mark & 63) & 1 != 0
    }
}

const PLACES: usize = 1024;
const TRIED: usize = 4;

/// Address and mark in one number, 0 where there is none. Readers need no lock: whoever has a live key finds its address only
/// while the entry's own object, the same one then, is alive.
static KNOWN: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];

/// Where an address is looked for first.
#[inline]
fn home(address: u64) -> usize {
    ((address >> 4) ^ (address >> 14)) as usize % PLACES
}

fn places(address: u64) -> impl Iterator<Item = &'static AtomicU64> + Clone {
    let first = home(address);
    (first..first + TRIED).map(|at| &KNOWN[at % PLACES])
}

/// The mark of a key that was met before.
#[inline]
pub fn known(key: *mut ffi::PyObject) -> Option<u8> {
    let address = key as u64;
    let entry = KNOWN[home(address)].load(Relaxed);
    if entry >> 8 == address { Some(entry as u8) } else { known_beside(address) }
}

/// Where another key has the first place.
fn known_beside(address: u64) -> Option<u8> {
    let entries = places(address).skip(1).map(|place| place.load(Relaxed));
    entries.take_while(|entry| *entry != 0).find(|entry| entry >> 8 == address).map(|entry| entry as u8)
}

/// Addresses that were met once: a key made for one request does not come again.
static MET: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];

/// Remember a key that comes for the second time; where there is no place, another one goes.
///
/// # Safety
/// `key` is a live str object, and the thread is attached.
pub unsafe fn remember(key: *mut ffi::PyObject, mark: u8) {
    let address = key as u64;
    let met = &MET[home(address)];
    if met.load(Relaxed) != address || address << 8 >> 8 != address {
        return met.store(address, Relaxed);
    }
    let mut places = places(address);
    let Some(place) = places.clone().find(|place| place.load(Relaxed) == 0).or_else(|| places.next()) else {
        return;
    };
    // SAFETY: `key` is live; its reference is taken before the entry is seen, that of the entry before is given back after.
    unsafe {
        ffi::Py_INCREF(key);
        let before = place.swap(address << 8 | u64::from(mark), AcqRel);
        ffi::Py_XDECREF((before >> 8) as *mut ffi::PyObject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_equal_but_for_case_share_their_mark() {
        for name in ["", "a", "x-tenant", "Content-Type", "X-Forwarded-For", "é"] {
            assert_eq!(mark(name.as_bytes()), mark(name.to_ascii_uppercase().as_bytes()), "{name}");
        }
        let mut marks = Marks::NONE;
        marks.add(mark(b"x-tenant"));
        assert!(marks.has(mark(b"X-TENANT")) && !marks.has(mark(b"x-beta")));
    }
}
