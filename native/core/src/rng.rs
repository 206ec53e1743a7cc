//! SplitMix64: the one generator, so that both engines draw alike.

pub const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function: a permutation of u64.
#[inline]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of numbers from one state.
#[derive(Clone, Debug)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The numbers of the n-th pick of one decision.
    #[inline]
    pub fn for_pick(draw: u64, pick: u32) -> Self {
        SplitMix64(draw.wrapping_add(GOLDEN.wrapping_mul(16).wrapping_mul(pick as u64)))
    }

    /// Leave one number out.
    #[inline]
    pub fn skip(&mut self) {
        self.0 = self.0.wrapping_add(GOLDEN);
    }

    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_state_zero() {
        let mut random = SplitMix64(0);
        assert_eq!(random.next_u64(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next_u64(), 0x6E78_9E6A_A1B9_65F4);
        random.skip();
        assert_eq!(random.next_u64(), 0xF88B_B8A8_724C_81EC);
    }

    #[test]
    fn picks_of_a_decision_stand_sixteen_numbers_apart() {
        let mut first = SplitMix64::for_pick(7, 0);
        (0..16).for_each(|_| first.skip());
        assert_eq!(first.next_u64(), SplitMix64::for_pick(7, 1).next_u64());
    }
}
