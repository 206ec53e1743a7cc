//! Tables that share what a change does not touch: a copy costs pointers, a write copies one shard or page.

use std::sync::Arc;

const SHARDS: usize = 1024;
const PAGE: usize = 256;

/// Upper half of the hash, and the value.
type Slot<T> = Option<(u32, Arc<T>)>;

/// Open addressing with linear probing: the hash's upper half is kept beside the value, so that a probe that is not
/// the one wanted is told apart without following the pointer.
#[derive(Debug)]
struct Shard<T> {
    /// A power of two, or empty.
    slots: Box<[Slot<T>]>,
    used: usize,
}

impl<T> Clone for Shard<T> {
    fn clone(&self) -> Self {
        Shard { slots: self.slots.clone(), used: self.used }
    }
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Shard { slots: Box::default(), used: 0 }
    }
}

impl<T> Shard<T> {
    /// Where the value is, or the first free slot behind it.
    #[inline]
    fn probe(&self, tag: u32, mut is: impl FnMut(&T) -> bool) -> Result<usize, usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = tag as usize & mask;
        loop {
            match self.slots.get(at) {
                Some(Some((known, value))) => {
                    if *known == tag && is(value) {
                        return Ok(at);
                    }
                }
                _ => return Err(at),
            }
            at = (at + 1) & mask;
        }
    }

    /// At most two thirds are used, so that a probe ends soon.
    fn grow(&mut self) {
        let wanted = if self.used == 0 { 4 } else { self.slots.len() * 2 };
        let mut slots: Box<[Slot<T>]> = (0..wanted).map(|_| None).collect();
        for (tag, value) in std::mem::take(&mut self.slots).into_iter().flatten() {
            let mut at = tag as usize & (wanted - 1);
            while slots[at].is_some() {
                at = (at + 1) & (wanted - 1);
            }
            slots[at] = Some((tag, value));
        }
        self.slots = slots;
    }

    /// Where the value was put.
    fn put(&mut self, tag: u32, value: Arc<T>, is: impl FnMut(&T) -> bool) -> usize {
        if self.slots.is_empty() || (self.used + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let at = match self.probe(tag, is) {
            Ok(at) => at,
            Err(at) => {
                self.used += 1;
                at
            }
        };
        self.slots[at] = Some((tag, value));
        at
    }

    /// What follows is moved up, so that no tombstone is left.
    fn remove(&mut self, tag: u32, is: impl FnMut(&T) -> bool) {
        let Ok(mut hole) = self.probe(tag, is) else {
            return;
        };
        let mask = self.slots.len() - 1;
        self.slots[hole] = None;
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some((tag, _)) = &self.slots[at] else {
                return;
            };
            let home = *tag as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[at].take();
                hole = at;
            }
        }
    }
}

/// A hash table in shards. Keys are part of the values; the caller hashes and compares.
#[derive(Debug)]
pub struct Sharded<T> {
    shards: Box<[Arc<Shard<T>>]>,
}

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Sharded { shards: self.shards.clone() }
    }
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        let empty = Arc::new(Shard::default());
        Sharded { shards: (0..SHARDS).map(|_| Arc::clone(&empty)).collect() }
    }
}

impl<T> Sharded<T> {
    #[inline]
    fn split(hash: u64) -> (usize, u32) {
        (hash as usize & (SHARDS - 1), (hash >> 32) as u32)
    }

    #[inline]
    pub fn get(&self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&Arc<T>> {
        let (shard, tag) = Self::split(hash);
        let shard = &self.shards[shard];
        let at = shard.probe(tag, is).ok()?;
        shard.slots.get(at)?.as_ref().map(|(_, value)| value)
    }

    /// Add the value, or put it in the place of the one it equals.
    pub fn put(&mut self, hash: u64, value: Arc<T>, is: impl FnMut(&T) -> bool) {
        let (shard, tag) = Self::split(hash);
        Arc::make_mut(&mut self.shards[shard]).put(tag, value, is);
    }

    pub fn remove(&mut self, hash: u64, is: impl FnMut(&T) -> bool) {
        let (shard, tag) = Self::split(hash);
        Arc::make_mut(&mut self.shards[shard]).remove(tag, is);
    }

    /// The value, to be changed; what is shared with a copy of the table is copied first.
    pub fn get_mut(&mut self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&mut T>
    where
        T: Clone,
    {
        let (shard, tag) = Self::split(hash);
        let at = self.shards[shard].probe(tag, is).ok()?;
        let slot = Arc::make_mut(&mut self.shards[shard]).slots.get_mut(at)?;
        slot.as_mut().map(|(_, value)| Arc::make_mut(value))
    }

    /// The value, to be changed, made where there is none.
    pub fn get_or_put(&mut self, hash: u64, mut is: impl FnMut(&T) -> bool, make: impl FnOnce() -> T) -> &mut T
    where
        T: Clone,
    {
        let (shard, tag) = Self::split(hash);
        let shard = Arc::make_mut(&mut self.shards[shard]);
        let at = match shard.probe(tag, &mut is) {
            Ok(at) => at,
            Err(_) => shard.put(tag, Arc::new(make()), is),
        };
        match &mut shard.slots[at] {
            Some((_, value)) => Arc::make_mut(value),
            None => unreachable!("a value was found or put there"),
        }
    }
}

#[derive(Debug)]
struct Page<T>([Option<Arc<T>>; PAGE]);

impl<T> Clone for Page<T> {
    fn clone(&self) -> Self {
        Page(self.0.clone())
    }
}

/// A list with holes in pages; freed positions are given out again, the last freed first.
#[derive(Debug)]
pub struct Paged<T> {
    pages: Vec<Arc<Page<T>>>,
    free: Vec<u32>,
    len: u32,
}

impl<T> Clone for Paged<T> {
    fn clone(&self) -> Self {
        Paged { pages: self.pages.clone(), free: self.free.clone(), len: self.len }
    }
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Paged { pages: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Paged<T> {
    /// A position that nobody has; empty until `set`.
    pub fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let at = self.len;
            self.len += 1;
            if (at as usize).is_multiple_of(PAGE) {
                self.pages.push(Arc::new(Page([const { None }; PAGE])));
            }
            at
        })
    }

    pub fn set(&mut self, at: u32, value: Option<Arc<T>>) {
        let at = at as usize;
        if let Some(page) = self.pages.get_mut(at / PAGE) {
            Arc::make_mut(page).0[at % PAGE] = value;
        }
    }

    /// Empty the position and give it back.
    pub fn remove(&mut self, at: u32) {
        self.set(at, None);
        self.free.push(at);
    }

    #[inline]
    pub fn get(&self, at: u32) -> Option<&Arc<T>> {
        let at = at as usize;
        self.pages.get(at / PAGE)?.0[at % PAGE].as_ref()
    }

    /// All positions in order, None where there is a hole.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Arc<T>>> {
        (0..self.len).map(|at| self.get(at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::rng::SplitMix64;

    /// A weak hash, so that shards and probes collide.
    fn hash(key: u64) -> u64 {
        (key & 3) | (key & 0x1F) << 32
    }

    #[test]
    fn a_sharded_table_is_a_map() {
        let (mut table, mut map) = (Sharded::default(), HashMap::new());
        let mut draws = SplitMix64(1);
        for _ in 0..20_000 {
            let key = draws.next_u64() % 300;
            if draws.next_u64().is_multiple_of(3) {
                table.remove(hash(key), |(known, _)| *known == key);
                map.remove(&key);
            } else {
                let value = draws.next_u64();
                table.put(hash(key), Arc::new((key, value)), |(known, _)| *known == key);
                map.insert(key, value);
            }
            let key = draws.next_u64() % 300;
            let found = table.get(hash(key), |(known, _)| *known == key).map(|entry| entry.1);
            assert_eq!(found, map.get(&key).copied());
        }
        for key in 0..300 {
            let found = table.get(hash(key), |(known, _)| *known == key).map(|entry| entry.1);
            assert_eq!(found, map.get(&key).copied());
        }
    }

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let mut table = Sharded::default();
        table.put(1, Arc::new(1), |value| *value == 1);
        let before = table.clone();
        table.put(2, Arc::new(2), |value| *value == 2);
        table.remove(1, |value| *value == 1);
        assert!(before.get(1, |value| *value == 1).is_some());
        assert!(before.get(2, |value| *value == 2).is_none());
        assert!(table.get(1, |value| *value == 1).is_none());
    }

    #[test]
    fn pages_give_out_the_last_freed_first() {
        let mut list = Paged::default();
        for value in 0..600 {
            let at = list.reserve();
            list.set(at, Some(Arc::new(value)));
        }
        let before = list.clone();
        list.remove(300);
        list.remove(5);
        assert_eq!((list.reserve(), list.reserve(), list.reserve()), (5, 300, 600));
        assert_eq!(list.get(5), None);
        assert_eq!(before.get(5).map(|value| **value), Some(5));
        assert_eq!(before.iter().count(), 600);
    }
}
