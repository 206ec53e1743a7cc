//! Sets of bytes, and the classes that RE2 has names for.

/// 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSet([u128; 2]);

pub const ANY: ByteSet = ByteSet([u128::MAX; 2]);

impl ByteSet {
    pub fn one(byte: u8) -> ByteSet {
        ByteSet::span(byte, byte)
    }

    pub fn span(low: u8, high: u8) -> ByteSet {
        (low..=high).fold(ByteSet::default(), |mut set, byte| {
            set.0[usize::from(byte >> 7)] |= 1 << (byte & 127);
            set
        })
    }

    fn of(bytes: &[u8]) -> ByteSet {
        bytes.iter().fold(ByteSet::default(), |set, byte| set.with(ByteSet::one(*byte)))
    }

    pub fn has(self, byte: u8) -> bool {
        self.0[usize::from(byte >> 7)] >> (byte & 127) & 1 == 1
    }

    pub fn with(self, other: ByteSet) -> ByteSet {
        ByteSet([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    pub fn negated(self) -> ByteSet {
        ByteSet([!self.0[0], !self.0[1]])
    }

    /// With the other case of its ASCII letters.
    pub fn folded(self) -> ByteSet {
        (b'A'..=b'Z').fold(self, |set, upper| {
            let lower = upper.to_ascii_lowercase();
            if set.has(upper) || set.has(lower) { set.with(ByteSet::of(&[upper, lower])) } else { set }
        })
    }

    /// First and last byte of each run.
    pub fn runs(self) -> Vec<(u8, u8)> {
        let mut runs: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=u8::MAX).filter(|byte| self.has(*byte)) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == byte => *last = byte,
                _ => runs.push((byte, byte)),
            }
        }
        runs
    }
}

/// `\d \s \w` and their negations.
pub fn perl(letter: char) -> Option<ByteSet> {
    let found = match letter.to_ascii_lowercase() {
        'd' => digits(),
        's' => ByteSet::of(b"\t\n\x0C\r "),
        'w' => words(),
        _ => return None,
    };
    Some(if letter.is_ascii_lowercase() { found } else { found.negated() })
}

/// `[:name:]`.
pub fn posix(name: &str) -> Option<ByteSet> {
    Some(match name {
        "alnum" => digits().with(letters()),
        "alpha" => letters(),
        "ascii" => ByteSet::span(0, 0x7F),
        "blank" => ByteSet::of(b"\t "),
        "cntrl" => ByteSet::span(0, 0x1F).with(ByteSet::one(0x7F)),
        "digit" => digits(),
        "graph" => ByteSet::span(0x21, 0x7E),
        "lower" => ByteSet::span(b'a', b'z'),
        "print" => ByteSet::span(0x20, 0x7E),
        "punct" => ByteSet::span(0x21, 0x7E).with(digits()).without(digits().with(letters())),
        "space" => ByteSet::of(b"\t\n\x0B\x0C\r "),
        "upper" => ByteSet::span(b'A', b'Z'),
        "word" => words(),
        "xdigit" => digits().with(ByteSet::span(b'A', b'F')).with(ByteSet::span(b'a', b'f')),
        _ => return None,
    })
}

impl ByteSet {
    fn without(self, other: ByteSet) -> ByteSet {
        ByteSet([self.0[0] & !other.0[0], self.0[1] & !other.0[1]])
    }
}

fn digits() -> ByteSet {
    ByteSet::span(b'0', b'9')
}

fn letters() -> ByteSet {
    ByteSet::span(b'A', b'Z').with(ByteSet::span(b'a', b'z'))
}

fn words() -> ByteSet {
    digits().with(letters()).with(ByteSet::one(b'_'))
}
