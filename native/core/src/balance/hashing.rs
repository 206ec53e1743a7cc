//! Ring hash and Maglev tables: Envoy's arithmetic, in doubles as there (ring_hash_lb.cc, maglev_lb.cc).

use xxhash_rust::xxh64::xxh64;

use crate::error::Error;
use crate::model::LbConfig;

/// Envoy's limits.
pub const MAX_RING: u64 = 8 * 1024 * 1024;
pub const MAX_TABLE: u64 = 5_000_011;

/// A host on a table: the text that is hashed, its normalised weight, its index.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub weight: f64,
    pub index: u32,
}

#[derive(Debug)]
pub enum HashTable {
    Ring(Ring),
    Maglev(Box<[u32]>),
}

impl HashTable {
    pub fn ring(entries: &[Entry], min: u64, max: u64) -> HashTable {
        let smallest = entries.iter().map(|entry| entry.weight).fold(f64::INFINITY, f64::min);
        if entries.is_empty() || smallest <= 0.0 {
            return HashTable::Ring(Ring::default());
        }
        let scale = ((smallest * min as f64).ceil() / smallest).min(max as f64);
        let mut ring = Vec::with_capacity(scale.ceil() as usize);
        let (mut current, mut target) = (0.0, 0.0);
        let mut text = String::new();
        for entry in entries {
            target += scale * entry.weight;
            let mut i = 0_u64;
            while current < target {
                text.clear();
                text.push_str(&entry.key);
                text.push('_');
                text.push_str(&i.to_string());
                ring.push((xxh64(text.as_bytes(), 0), entry.index));
                i += 1;
                current += 1.0;
            }
        }
        // Equal hashes keep the order of the hosts.
        ring.sort_by_key(|(hash, _)| *hash);
        HashTable::Ring(Ring::new(&ring))
    }

    pub fn maglev(entries: &[Entry], size: u64) -> HashTable {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        let largest = sorted.iter().map(|entry| entry.weight).fold(0.0, f64::max);
        if sorted.is_empty() || largest <= 0.0 {
            return HashTable::Maglev(Box::default());
        }
        const FREE: u32 = u32::MAX;
        let mut table = vec![FREE; size as usize].into_boxed_slice();
        let mut walks: Vec<(u64, u64, f64)> = sorted
            .iter()
            .map(|entry| {
                let key = entry.key.as_bytes();
                (xxh64(key, 0) % size, xxh64(key, 1) % (size - 1) + 1, 0.0)
            })
            .collect();
        let (mut placed, mut iteration) = (0, 0.0);
        while placed < size {
            iteration += 1.0;
            for (entry, (position, skip, target)) in sorted.iter().zip(&mut walks) {
                if placed == size {
                    break;
                }
                if iteration * entry.weight < *target {
                    continue;
                }
                *target += largest;
                while table[*position as usize] != FREE {
                    *position = (*position + *skip) % size;
                }
                table[*position as usize] = entry.index;
                *position = (*position + *skip) % size;
                placed += 1;
            }
        }
        HashTable::Maglev(table)
    }

    /// The host for a hash; `attempt` counts hosts of this pick that were refused.
    #[inline]
    pub fn choose(&self, hash: u64, attempt: u32) -> Option<u32> {
        match self {
            HashTable::Ring(ring) => ring.choose(hash, attempt),
            HashTable::Maglev(table) => {
                if table.is_empty() {
                    return None;
                }
                let hash = if attempt == 0 { hash } else { hash ^ (!0 - u64::from(attempt) + 1) };
                Some(table[(hash % table.len() as u64) as usize])
            }
        }
    }
}

impl HashTable {
    /// How many entries each of the first `hosts` hosts has.
    pub fn points(&self, hosts: usize) -> Vec<usize> {
        let owners: &[u32] = match self {
            HashTable::Ring(ring) => &ring.owners,
            HashTable::Maglev(table) => table,
        };
        let mut points = vec![0; hosts];
        owners.iter().for_each(|owner| points[*owner as usize] += 1);
        points
    }
}

/// Points of a ring in ascending order. Hashes are even, so a look-up starts where the hash's leading bits say.
#[derive(Debug, Default)]
pub struct Ring {
    hashes: Box<[u64]>,
    owners: Box<[u32]>,
    /// For each value of the leading bits, the first point that is not below it.
    starts: Box<[u32]>,
    shift: u32,
}

impl Ring {
    fn new(points: &[(u64, u32)]) -> Ring {
        // As many buckets as points or up to twice that, and at least two, so that the shift is below 64.
        let bits = usize::BITS - points.len().max(2).leading_zeros();
        let shift = 64 - bits;
        let mut starts = vec![0; 1 << bits];
        let mut at = 0;
        for (bucket, start) in starts.iter_mut().enumerate() {
            while points.get(at).is_some_and(|(hash, _)| (hash >> shift) < bucket as u64) {
                at += 1;
            }
            *start = at as u32;
        }
        Ring {
            hashes: points.iter().map(|(hash, _)| *hash).collect(),
            owners: points.iter().map(|(_, owner)| *owner).collect(),
            starts: starts.into(),
            shift,
        }
    }

    /// The first point that is not below the hash, `attempt` points further, round the ring.
    #[inline]
    fn choose(&self, hash: u64, attempt: u32) -> Option<u32> {
        if self.hashes.is_empty() {
            return None;
        }
        let mut at = self.starts[(hash >> self.shift) as usize] as usize;
        while self.hashes.get(at).is_some_and(|point| *point < hash) {
            at += 1;
        }
        at += attempt as usize;
        Some(self.owners[if at < self.owners.len() { at } else { at % self.owners.len() }])
    }
}

/// Sizes Envoy refuses.
pub fn check_sizes(lb: &LbConfig) -> Result<(), Error> {
    let LbConfig { ring_min, ring_max, table_size, .. } = lb;
    if ring_min > ring_max || *ring_max > MAX_RING {
        return Err(Error::Invalid(format!(
            "ring sizes {ring_min} (least), {ring_max} (most) must be in order and at most {MAX_RING}"
        )));
    }
    if *table_size > MAX_TABLE || !is_prime(*table_size) {
        return Err(Error::Invalid(format!("Maglev table size {table_size} must be prime and at most {MAX_TABLE}")));
    }
    Ok(())
}

fn is_prime(n: u64) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(weights: &[f64]) -> Vec<Entry> {
        let total: f64 = weights.iter().sum();
        weights
            .iter()
            .enumerate()
            .map(|(i, w)| Entry { key: format!("127.0.0.1:{}", 18001 + i), weight: w / total, index: i as u32 })
            .collect()
    }

    #[test]
    fn measured_sizes() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(HashTable::ring(&entries(&[1.0, 1.0, 1.0]), 1024, 8 << 20).points(3), [342, 342, 342]);
        assert_eq!(HashTable::ring(&entries(&[1.0, 2.0, 3.0]), 10, 8 << 20).points(3), [2, 4, 6]);
        let mut equal = HashTable::maglev(&entries(&[1.0, 1.0, 1.0]), 65537).points(3);
        equal.sort_unstable();
        assert_eq!(equal, [21845, 21846, 21846]);
        assert_eq!(HashTable::maglev(&entries(&[1.0, 2.0, 3.0]), 65537).points(3), [10923, 21846, 32768]);
    }

    #[test]
    fn a_ring_is_searched_from_the_leading_bits() {
        let HashTable::Ring(ring) = HashTable::ring(&entries(&[1.0, 2.0, 3.0]), 10, 8 << 20) else { panic!() };
        let search = |hash: u64| ring.owners[ring.hashes.partition_point(|point| *point < hash) % ring.owners.len()];
        let edges = ring.hashes.iter().flat_map(|hash| [hash - 1, *hash, hash + 1]);
        for hash in edges.chain([0, 1, u64::MAX, u64::MAX / 2]) {
            assert_eq!(ring.choose(hash, 0), Some(search(hash)));
        }
        let first = ring.owners[0];
        assert_eq!(ring.choose(u64::MAX, 0), Some(first));
        assert_eq!(ring.choose(0, ring.owners.len() as u32), Some(first));
    }

    #[test]
    fn primes() {
        assert!(is_prime(65537) && is_prime(2) && !is_prime(65536) && !is_prime(1));
        assert!(check_sizes(&LbConfig::default()).is_ok());
        assert!(check_sizes(&LbConfig { table_size: 65536, ..LbConfig::default() }).is_err());
        assert!(check_sizes(&LbConfig { ring_min: 2048, ring_max: 1024, ..LbConfig::default() }).is_err());
    }
}
