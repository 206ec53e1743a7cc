//! Ring hash and Maglev tables: Envoy's arithmetic, in doubles as there (spec sections 3.7 and 3.8).

use xxhash_rust::xxh64::xxh64;

/// A host on a table: the text that is hashed, its normalised weight, its index.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub weight: f64,
    pub index: u32,
}

#[derive(Debug)]
pub enum HashTable {
    Ring(Box<[(u64, u32)]>),
    Maglev(Box<[u32]>),
}

impl HashTable {
    pub fn ring(entries: &[Entry], min: u64, max: u64) -> HashTable {
        let smallest = entries.iter().map(|entry| entry.weight).fold(f64::INFINITY, f64::min);
        if entries.is_empty() || smallest <= 0.0 {
            return HashTable::Ring(Box::default());
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
        ring.sort_by_key(|(hash, _)| *hash);
        HashTable::Ring(ring.into_boxed_slice())
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
    pub fn choose(&self, hash: u64, attempt: u32) -> Option<u32> {
        match self {
            HashTable::Ring(ring) => {
                if ring.is_empty() {
                    return None;
                }
                let first = ring.partition_point(|(point, _)| *point < hash);
                Some(ring[(first + attempt as usize) % ring.len()].1)
            }
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

/// Envoy refuses other Maglev sizes.
pub fn is_prime(n: u64) -> bool {
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

    fn points(table: &HashTable, hosts: usize) -> Vec<usize> {
        let list: Vec<u32> = match table {
            HashTable::Ring(ring) => ring.iter().map(|(_, index)| *index).collect(),
            HashTable::Maglev(table) => table.to_vec(),
        };
        (0..hosts).map(|host| list.iter().filter(|index| **index as usize == host).count()).collect()
    }

    #[test]
    fn measured_sizes() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(points(&HashTable::ring(&entries(&[1.0, 1.0, 1.0]), 1024, 8 << 20), 3), [342, 342, 342]);
        assert_eq!(points(&HashTable::ring(&entries(&[1.0, 2.0, 3.0]), 10, 8 << 20), 3), [2, 4, 6]);
        let mut equal = points(&HashTable::maglev(&entries(&[1.0, 1.0, 1.0]), 65537), 3);
        equal.sort_unstable();
        assert_eq!(equal, [21845, 21846, 21846]);
        assert_eq!(points(&HashTable::maglev(&entries(&[1.0, 2.0, 3.0]), 65537), 3), [10923, 21846, 32768]);
    }

    #[test]
    fn primes() {
        assert!(is_prime(65537) && is_prime(2) && !is_prime(65536) && !is_prime(1));
    }
}
