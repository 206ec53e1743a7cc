//! A text cut into documents, so that an error costs one document and not the rest.
//!
//! A document ends at a line that is `---` or `...`, alone or followed by a blank, wherever it stands: YAML allows such a line
//! inside no scalar. What stands before the first `---` is a document only if it holds more than comments and directives.

use std::borrow::Cow;
use std::ops::Range;

use crate::Problem;

pub struct Chunk {
    range: Range<usize>,
    /// 1-based line of the chunk's first byte.
    pub line: usize,
    /// 1-based line of its first content.
    pub content_line: usize,
}

/// Without a byte order mark, every line break as `\n`.
pub fn normalised(text: &[u8]) -> Cow<'_, [u8]> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if !text.contains(&b'\r') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            out.push(b'\n');
            bytes.next_if_eq(&b'\n');
        } else {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

/// The documents of a normalised text, the empty ones too.
pub fn documents(text: &[u8]) -> Vec<Chunk> {
    let mut out = Vec::new();
    let mut open: Option<Chunk> = None;
    // Where directives began that belong to the next `---`.
    let mut directives: Option<(usize, usize)> = None;
    let (mut start, mut number) = (0, 1);
    while start < text.len() {
        let end = text[start..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| start + at + 1);
        let line = &text[start..end];
        if is_marker(line, b"---") {
            if let Some(mut chunk) = open.take() {
                chunk.range.end = start;
                out.push(chunk);
            }
            let (from, line_of) = directives.take().unwrap_or((start, number));
            let content_line = if is_blank(&line[3..]) { 0 } else { number };
            open = Some(Chunk { range: from..end, line: line_of, content_line });
        } else if is_marker(line, b"...") {
            if let Some(mut chunk) = open.take() {
                chunk.range.end = end;
                out.push(chunk);
            }
        } else if let Some(chunk) = &mut open {
            if chunk.content_line == 0 && !is_blank(line) {
                chunk.content_line = number;
            }
        } else if line[0] == b'%' {
            directives.get_or_insert((start, number));
        } else if !is_blank(line) {
            let (from, line_of) = directives.take().unwrap_or((start, number));
            open = Some(Chunk { range: from..end, line: line_of, content_line: number });
        }
        start = end;
        number += 1;
    }
    if let Some((from, line)) = directives {
        open = Some(Chunk { range: from..from, line, content_line: line });
    }
    if let Some(mut chunk) = open {
        chunk.range.end = text.len();
        out.push(chunk);
    }
    for chunk in &mut out {
        chunk.content_line = chunk.content_line.max(chunk.line);
    }
    out
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.starts_with(marker) && matches!(line.get(3), None | Some(b' ' | b'\t' | b'\n'))
}

/// Nothing but blanks and a comment.
fn is_blank(line: &[u8]) -> bool {
    matches!(line.iter().find(|byte| !matches!(byte, b' ' | b'\t')), None | Some(b'\n' | b'#'))
}

impl Chunk {
    pub fn start(&self) -> usize {
        self.range.start
    }

    /// The document's text, or the first character that may not stand in it.
    pub fn checked<'t>(&self, text: &'t [u8]) -> Result<&'t str, Problem> {
        let body = self.valid(text);
        if body.len() == self.range.len() {
            return Ok(body);
        }
        let (line, column) = place_at_end(body, self.line);
        let rest = &text[self.range.start + body.len()..];
        let message = match std::str::from_utf8(&rest[..rest.len().min(4)]) {
            Ok(text) => text.chars().next(),
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).ok().and_then(|text| text.chars().next()),
        }
        .map_or_else(
            || "not UTF-8".to_owned(),
            |found| {
                format!("character U+{:04X} is not allowed here: write it as an escape in quotes", u32::from(found))
            },
        );
        Err(Problem { message, line, column })
    }

    /// The document's text up to the first character that may not stand in it.
    pub fn valid<'t>(&self, text: &'t [u8]) -> &'t str {
        let bytes = &text[self.range.clone()];
        if bytes.iter().all(|byte| matches!(byte, b'\t' | b'\n' | 0x20..0x7f)) {
            return std::str::from_utf8(bytes).unwrap_or_default();
        }
        let body = match std::str::from_utf8(bytes) {
            Ok(body) => body,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        body.find(is_refused).map_or(body, |at| &body[..at])
    }
}

/// Characters YAML does not let stand, and those that YAML 1.1 and 1.2 read differently (line separators, a byte order mark).
fn is_refused(found: char) -> bool {
    !matches!(found, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
        || matches!(found, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Line and column right after `body`, whose first line has this number.
fn place_at_end(body: &str, first_line: usize) -> (usize, usize) {
    let line = first_line + body.bytes().filter(|byte| *byte == b'\n').count();
    let tail = body.rfind('\n').map_or(body, |at| &body[at + 1..]);
    (line, tail.chars().count() + 1)
}
