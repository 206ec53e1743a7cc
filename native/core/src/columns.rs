//! Columns for many look-ups at once: strings in one piece, hashed once.

use crate::names::HostKey;

/// Hosts, or paths.
#[derive(Debug, Default)]
pub struct HostColumn {
    text: String,
    ends: Vec<usize>,
    hashes: Vec<u64>,
}

/// A host with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub key: HostKey<'a>,
    pub text: &'a str,
    pub hash: u64,
}

impl<T: AsRef<str>> FromIterator<T> for HostColumn {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut made = HostColumn::default();
        values.into_iter().for_each(|value| made.push(value.as_ref()));
        made
    }
}

impl HostColumn {
    pub fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.ends.push(self.text.len());
        self.hashes.push(HostKey::of(value).hash());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All strings in one, and where each ends.
    pub(crate) fn whole(&self) -> &str {
        &self.text
    }

    pub(crate) fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The string of a row.
    pub fn text(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[at]]
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.hashes.iter().enumerate().map(|(at, hash)| {
            let text = self.text(at);
            Row { key: HostKey::of(text), text, hash: *hash }
        })
    }
}
