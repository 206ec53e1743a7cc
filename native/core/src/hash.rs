//! xxHash64, Envoy's hash for rings, Maglev tables and hash policies, and how policies add up (hash_policy.cc).

pub use xxhash_rust::xxh64::xxh64;

/// `rotl(hash, 1) ^ value`: the next policy's value on what the policies before gave.
#[inline]
pub fn combine(hash: Option<u64>, value: u64) -> u64 {
    hash.unwrap_or(0).rotate_left(1) ^ value
}

/// The lines of one header: sorted, then chained by seed. None for no line.
pub fn lines<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Option<u64> {
    let mut sorted: Vec<&[u8]> = lines.collect();
    sorted.sort_unstable();
    sorted.iter().fold(None, |seed, line| Some(xxh64(line, seed.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_values() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(combine(None, 5), 5);
        assert_eq!(combine(Some(1 << 63), 4), 5);
    }

    #[test]
    fn two_lines_are_chained_in_sorted_order() {
        let one: &[u8] = b"a";
        assert_eq!(lines([one].into_iter()), Some(xxh64(b"a", 0)));
        assert_eq!(lines([b"b".as_slice(), b"a"].into_iter()), Some(xxh64(b"b", xxh64(b"a", 0))));
        assert_eq!(lines(std::iter::empty()), None);
    }
}
