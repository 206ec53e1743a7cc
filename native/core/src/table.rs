//! Tables that share what a change does not touch: a copy costs pointers, a write copies one shard or page.

use std::sync::Arc;

/// Branches of the root and shards of a branch: a copy of a table copies one, a write one of each.
const BRANCHES: usize = 64;
const SHARDS: usize = 64;
const PAGE: usize = 256;

/// Open addressing with linear probing over tags, a part of the hash each (0: free). The values lie side by side, so that a
/// look-up takes one cache line of tags and then the value itself.
#[derive(Debug)]
struct Shard<T> {
    /// A power of two of them, or none.
    tags: Arc<[u32]>,
    values: Arc<[Option<T>]>,
    used: u32,
}

impl<T> Clone for Shard<T> {
    fn clone(&self) -> Self {
        Shard { tags: Arc::clone(&self.tags), values: Arc::clone(&self.values), used: self.used }
    }
}

impl<T: Clone> Shard<T> {
    fn empty() -> Self {
        Shard { tags: Arc::default(), values: Arc::from(Vec::new()), used: 0 }
    }

    /// Where the value is, and itself, or the first free place behind it.
    #[inline]
    fn probe(&self, tag: u32, mut is: impl FnMut(&T) -> bool) -> Result<(usize, &T), usize> {
        let mask = self.tags.len().wrapping_sub(1);
        let mut at = tag as usize & mask;
        loop {
            match self.tags.get(at) {
                Some(known) if *known == tag => {
                    if let Some(Some(value)) = self.values.get(at)
                        && is(value)
                    {
                        return Ok((at, value));
                    }
                }
                Some(known) if *known != 0 => {}
                _ => return Err(at),
            }
            at = (at + 1) & mask;
        }
    }

    /// At most seven eighths are used, so that a probe ends soon.
    fn has_room(&self) -> bool {
        (self.used as usize + 1) * 8 <= self.tags.len() * 7
    }

    fn grow(&mut self) {
        let wanted = (self.tags.len() * 2).max(2);
        let mut tags = vec![0; wanted];
        let mut values: Vec<Option<T>> = (0..wanted).map(|_| None).collect();
        let old = Arc::make_mut(&mut self.values);
        for (tag, value) in self.tags.iter().zip(old) {
            if *tag != 0 {
                let mut at = *tag as usize & (wanted - 1);
                while tags[at] != 0 {
                    at = (at + 1) & (wanted - 1);
                }
                (tags[at], values[at]) = (*tag, value.take());
            }
        }
        (self.tags, self.values) = (tags.into(), values.into());
    }

    /// Where the value was put.
    fn put(&mut self, tag: u32, value: T, is: impl FnMut(&T) -> bool) -> usize {
        if !self.has_room() {
            self.grow();
        }
        let at = match self.probe(tag, is) {
            Ok((at, _)) => at,
            Err(at) => {
                self.used += 1;
                Arc::make_mut(&mut self.tags)[at] = tag;
                at
            }
        };
        Arc::make_mut(&mut self.values)[at] = Some(value);
        at
    }

    /// What follows is moved up, so that no tombstone is left.
    fn remove(&mut self, tag: u32, is: impl FnMut(&T) -> bool) {
        let Ok((mut hole, _)) = self.probe(tag, is) else {
            return;
        };
        self.used -= 1;
        let (tags, values) = (Arc::make_mut(&mut self.tags), Arc::make_mut(&mut self.values));
        let mask = tags.len() - 1;
        (tags[hole], values[hole]) = (0, None);
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            if tags[at] == 0 {
                return;
            }
            let home = tags[at] as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                (tags[hole], tags[at]) = (tags[at], 0);
                values[hole] = values[at].take();
                hole = at;
            }
        }
    }
}

type Branch<T> = [Shard<T>; SHARDS];

/// A hash table in shards. Keys are part of the values; the caller hashes and compares.
#[derive(Debug)]
pub struct Sharded<T> {
    branches: [Arc<Branch<T>>; BRANCHES],
}

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Sharded { branches: self.branches.clone() }
    }
}

impl<T: Clone> Default for Sharded<T> {
    fn default() -> Self {
        let empty = Shard::empty();
        let branch = Arc::new(std::array::from_fn(|_| empty.clone()));
        Sharded { branches: std::array::from_fn(|_| Arc::clone(&branch)) }
    }
}

impl<T: Clone> Sharded<T> {
    /// Branch, shard and tag of a hash; no tag is 0.
    #[inline]
    fn split(hash: u64) -> (usize, usize, u32) {
        (hash as usize % BRANCHES, (hash >> 8) as usize % SHARDS, (hash >> 32) as u32 | 1 << 31)
    }

    #[inline]
    fn shard(&self, hash: u64) -> (&Shard<T>, u32) {
        let (branch, shard, tag) = Self::split(hash);
        (&self.branches[branch][shard], tag)
    }

    fn shard_mut(&mut self, hash: u64) -> (&mut Shard<T>, u32) {
        let (branch, shard, tag) = Self::split(hash);
        (&mut Arc::make_mut(&mut self.branches[branch])[shard], tag)
    }

    pub fn is_empty(&self) -> bool {
        self.branches.iter().flat_map(|branch| branch.iter()).all(|shard| shard.used == 0)
    }

    #[inline]
    pub fn get(&self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&T> {
        let (shard, tag) = self.shard(hash);
        shard.probe(tag, is).ok().map(|(_, value)| value)
    }

    /// Add the value, or put it in the place of the one it equals.
    pub fn put(&mut self, hash: u64, value: T, is: impl FnMut(&T) -> bool) {
        let (shard, tag) = self.shard_mut(hash);
        shard.put(tag, value, is);
    }

    pub fn remove(&mut self, hash: u64, is: impl FnMut(&T) -> bool) {
        let (shard, tag) = self.shard_mut(hash);
        shard.remove(tag, is);
    }

    /// The value, to be changed; what is shared with a copy of the table is copied first.
    pub fn get_mut(&mut self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let (shard, tag) = self.shard_mut(hash);
        let (at, _) = shard.probe(tag, is).ok()?;
        Arc::make_mut(&mut shard.values).get_mut(at)?.as_mut()
    }

    /// The value, to be changed, made where there is none.
    pub fn get_or_put(&mut self, hash: u64, mut is: impl FnMut(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
        let (shard, tag) = self.shard_mut(hash);
        let at = match shard.probe(tag, &mut is) {
            Ok((at, _)) => at,
            Err(_) => shard.put(tag, make(), is),
        };
        match &mut Arc::make_mut(&mut shard.values)[at] {
            Some(value) => value,
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

    /// That many positions in a row; they take no room while they are empty.
    pub fn reserve_many(&mut self, count: u32) -> u32 {
        let first = self.len;
        self.len += count;
        let wanted = (self.len as usize).div_ceil(PAGE);
        if wanted > self.pages.len() {
            self.pages.resize(wanted, Arc::new(Page([const { None }; PAGE])));
        }
        first
    }

    pub fn set(&mut self, at: u32, value: Option<Arc<T>>) {
        if value.is_none() && self.get(at).is_none() {
            return;
        }
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
                table.put(hash(key), (key, value), |(known, _)| *known == key);
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
        table.put(1, 1, |value| *value == 1);
        let before = table.clone();
        table.put(2, 2, |value| *value == 2);
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
