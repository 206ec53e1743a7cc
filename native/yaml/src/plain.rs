//! The block style most files are written in, read line by line: mappings and sequences, keys and one-line scalars.
//!
//! Whatever is not certain to mean the same to a full parser (flow style, anchors, tags, block scalars, scalars over several
//! lines, escapes, tabs, odd indentation, any error) gives None, and the document is read again in full. So nothing is refused
//! here, and no messages are needed.

use crate::Limits;
use crate::scalar::Tag;
use crate::tree::Tree;

/// Longest key without `?`, in bytes (YAML: 1024 characters).
const LONGEST_KEY: usize = 1000;

struct Block {
    map: bool,
    column: usize,
    /// The key or the dash is read, its value is not.
    pending: bool,
}

struct Reader<'l> {
    tree: Tree<'l>,
    blocks: Vec<Block>,
}

pub fn json(text: &str, limits: &Limits) -> Option<Vec<u8>> {
    let mut reader = Reader { tree: Tree::new(limits, text.len()), blocks: Vec::with_capacity(16) };
    let mut rest = text;
    if let Some(after) = rest.strip_prefix("---") {
        let (line, after) = after.split_once('\n')?;
        if !line.trim_end_matches(' ').is_empty() {
            return None;
        }
        rest = after;
    }
    let mut started = false;
    for line in rest.split('\n') {
        let content = line.trim_start_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if line.as_bytes().contains(&b'\t') || line.starts_with("...") || line.starts_with('%') {
            return None;
        }
        reader.line(content, line.len() - content.len(), started)?;
        started = true;
    }
    if !started {
        return None;
    }
    while !reader.blocks.is_empty() {
        reader.leave()?;
    }
    Some(reader.tree.into_json())
}

fn is_dash(content: &str) -> bool {
    content.starts_with("- ") || content == "-"
}

impl Reader<'_> {
    /// One line that is not empty. column: of its first character.
    fn line(&mut self, content: &str, column: usize, started: bool) -> Option<()> {
        let dash = is_dash(content);
        while let Some(top) = self.blocks.last() {
            if top.column < column || (top.column == column && (top.map || dash)) {
                break;
            }
            self.leave()?;
        }
        if started && self.blocks.is_empty() {
            return None;
        }
        let (mut content, mut column) = (content, column);
        while is_dash(content) {
            self.item(column)?;
            let after = content[1..].trim_start_matches(' ');
            if after.is_empty() || after.starts_with('#') {
                return Some(());
            }
            column += content.len() - after.len();
            content = after;
        }
        match split_key(content) {
            Some((key, value)) => self.member(key, value, column),
            // A scalar on a line of its own may go on in the next one; only one behind a dash is read here.
            None if dash => self.value(content),
            None => None,
        }
    }

    /// A dash at this column: the next item, or the first one of a new sequence.
    fn item(&mut self, column: usize) -> Option<()> {
        match self.blocks.last_mut() {
            Some(top) if !top.map && top.column == column => {
                if std::mem::replace(&mut top.pending, true) {
                    self.nothing()?;
                }
                Some(())
            }
            Some(top) if top.pending && (top.column < column || (top.map && top.column == column)) => {
                top.pending = false;
                self.enter(false, column)
            }
            None => self.enter(false, column),
            _ => None,
        }
    }

    fn member(&mut self, key: &str, value: &str, column: usize) -> Option<()> {
        match self.blocks.last_mut() {
            Some(top) if top.map && top.column == column => {
                if std::mem::replace(&mut top.pending, true) {
                    self.nothing()?;
                }
            }
            Some(top) if top.pending && top.column < column => {
                top.pending = false;
                self.enter(true, column)?;
            }
            None => self.enter(true, column)?,
            _ => return None,
        }
        self.tree.scalar(key, true, Tag::None, 0).ok()?;
        if value.is_empty() || value.starts_with('#') { Some(()) } else { self.value(value) }
    }

    /// The one-line scalar that ends this line.
    fn value(&mut self, text: &str) -> Option<()> {
        let (text, plain) = scalar(text)?;
        self.blocks.last_mut()?.pending = false;
        self.tree.scalar(text, plain, Tag::None, 0).ok()
    }

    /// Nothing is written where a value belongs.
    fn nothing(&mut self) -> Option<()> {
        self.tree.scalar("", true, Tag::None, 0).ok()
    }

    fn enter(&mut self, map: bool, column: usize) -> Option<()> {
        self.tree.open(map, 0).ok()?;
        self.blocks.push(Block { map, column, pending: true });
        Some(())
    }

    fn leave(&mut self) -> Option<()> {
        if self.blocks.pop()?.pending {
            self.nothing()?;
        }
        self.tree.close().ok()
    }
}

/// `key: value` or `key:` with a key of ordinary characters; the value without the blanks before it.
fn split_key(content: &str) -> Option<(&str, &str)> {
    let bytes = content.as_bytes();
    let end = bytes
        .iter()
        .position(|byte| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'/' | b'-'))?;
    let first_is_ordinary = end > 0 && end <= LONGEST_KEY && bytes[0] != b'-';
    if !first_is_ordinary || bytes[end] != b':' || !matches!(bytes.get(end + 1), None | Some(b' ')) {
        return None;
    }
    Some((&content[..end], content[end + 1..].trim_start_matches(' ')))
}

/// The text of a scalar that is all of this line but for a comment, and whether it is plain.
fn scalar(line: &str) -> Option<(&str, bool)> {
    let bytes = line.as_bytes();
    match bytes[0] {
        quote @ (b'"' | b'\'') => {
            let end = 1 + bytes[1..].iter().position(|byte| *byte == quote || *byte == b'\\')?;
            let after = line[end + 1..].trim_start_matches(' ');
            let closed =
                bytes[end] == quote && (after.is_empty() || (after.starts_with('#') && bytes[end + 1] == b' '));
            closed.then(|| (&line[1..end], false))
        }
        b'-' if matches!(bytes.get(1), None | Some(b' ')) => None,
        b'?' | b':' | b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'%' | b'@'
        | b'`' => None,
        _ => {
            let mut end = bytes.len();
            for (at, byte) in bytes.iter().enumerate() {
                match byte {
                    b':' if matches!(bytes.get(at + 1), None | Some(b' ')) => return None,
                    b'#' if bytes[at - 1] == b' ' => {
                        end = at;
                        break;
                    }
                    _ => {}
                }
            }
            Some((line[..end].trim_end_matches(' '), true))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, json};

    const LIMITS: Limits = Limits { max_depth: 10, max_aliases: 0, max_scalar: 100, max_bytes: 1000 };

    #[test]
    fn everyday_text_is_read_here_and_the_rest_is_not() {
        for text in ["a: 1\n", "---\na:\n- 'b'\n- c: \"d\" # e\n  f:\n", "# c\n- - a\n  -\n"] {
            assert!(json(text, &LIMITS).is_some(), "{text:?}");
        }
        let others = [
            "",
            "a",
            "a: [b]",
            "a: &b c",
            "a: |\n b",
            "a: b\n c\n",
            "a:\tb",
            "\"a\": b",
            "a: \"\\n\"",
            "a: 'b''c'",
            "a: b: c",
            "? a",
            "a: 1\na: 2",
            "a: .inf",
            "a: 1\n...",
            "%YAML 1.1\n---\na: 1",
            "--- a",
            " a: 1\nb: 2",
            "a: 'b' c",
            "- a\nb: c",
            "a: - b",
            "<<: {}",
            "a: 'b'#c",
        ];
        for text in others {
            assert!(json(text, &LIMITS).is_none(), "{text:?}");
        }
    }
}
