//! One document through saphyr-parser: its events into a [`Tree`], or into the list of places.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag as EventTag};
use std::borrow::Cow;

use crate::scalar::Tag;
use crate::tree::Tree;
use crate::{Limits, Problem};

/// Where a field is written, 1-based (line, column in characters).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// JSON pointer, keys as they are in the JSON.
    pub pointer: String,
    /// Of its key; of a sequence's item, and of the document itself, the same as `value`.
    pub key: (usize, usize),
    /// Of its value; of its key where nothing is written.
    pub value: (usize, usize),
}

/// The document's JSON; None if there is nothing in it. line: of its first line in the whole text.
pub fn json(source: &str, line: usize, limits: &Limits) -> Result<Option<Vec<u8>>, Problem> {
    let mut parser = Parser::new_from_str(source);
    let mut tree = Tree::new(limits, source.len());
    let open_end = if source.ends_with('\n') { usize::MAX } else { source.chars().count() };
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| refused(&error, line))?;
        let step = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 { Err("content after the end of the document".to_owned()) } else { Ok(()) }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let (plain, tag) = style_and_tag(style, tag.as_deref());
                if tree.depth() == 0 && is_nothing(&text, style, anchor, tag) {
                    return rest(parser, line);
                }
                // The parser adds a line break to a block scalar that ends with the text.
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let value = if block && span.end.index() >= open_end { text.strip_suffix('\n') } else { None };
                tree.scalar(value.unwrap_or(&text), plain, tag, anchor)
            }
            Event::MappingStart(anchor, _) => tree.open(true, anchor),
            Event::SequenceStart(anchor, _) => tree.open(false, anchor),
            Event::MappingEnd | Event::SequenceEnd => tree.close(),
            Event::Alias(id) => tree.alias(id),
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => Ok(()),
        };
        step.map_err(|message| at(message, span.start, line))?;
    }
    Ok((documents > 0).then(|| tree.into_json()))
}

/// After an empty document there must be nothing.
fn rest(parser: Parser<'_, StrInput<'_>>, line: usize) -> Result<Option<Vec<u8>>, Problem> {
    for event in parser {
        let (event, span) = event.map_err(|error| refused(&error, line))?;
        if matches!(event, Event::DocumentStart(_)) {
            return Err(at("content after the end of the document".to_owned(), span.start, line));
        }
    }
    Ok(None)
}

fn refused(error: &ScanError, line: usize) -> Problem {
    at(error.info().to_owned(), *error.marker(), line)
}

fn at(message: String, mark: Marker, line: usize) -> Problem {
    let (line, column) = place(mark, line);
    Problem { message, line, column }
}

fn place(mark: Marker, line: usize) -> (usize, usize) {
    (mark.line() + line - 1, mark.col() + 1)
}

/// An implicit scalar counts as plain; the tag `!` makes one of any.
fn style_and_tag(style: ScalarStyle, tag: Option<&EventTag>) -> (bool, Tag) {
    let plain = style == ScalarStyle::Plain;
    match tag {
        None => (plain, Tag::None),
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => (true, Tag::None),
        Some(tag) if tag.handle.is_empty() => (plain, Tag::from_name(&tag.suffix)),
        Some(tag) => (plain, Tag::from_name(&format!("{}{}", tag.handle, tag.suffix))),
    }
}

fn is_nothing(text: &str, style: ScalarStyle, anchor: usize, tag: Tag) -> bool {
    text.is_empty() && style == ScalarStyle::Plain && anchor == 0 && tag == Tag::None
}

struct Level {
    map: bool,
    /// Length of the pointer of this mapping or sequence.
    pointer: usize,
    item: usize,
    /// Place of the key whose value comes next.
    key: Option<(usize, usize)>,
    /// The parser put the start of this sequence behind its first dash.
    behind_dash: bool,
}

struct Index<'t> {
    text: &'t str,
    line: usize,
    pointer: String,
    levels: Vec<Level>,
    out: Vec<Position>,
    /// The character and the byte up to which the text has been counted.
    counted: (usize, usize),
}

/// The places of the nodes of one document, up to its end or its first error.
pub fn positions(text: &str, line: usize, max_depth: usize) -> Vec<Position> {
    let mut index = Index { text, line, pointer: String::new(), levels: Vec::new(), out: Vec::new(), counted: (0, 0) };
    let mut previous = Marker::new(0, 1, 0);
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (plain, tag) = style_and_tag(style, tag.as_deref());
                let nothing = is_nothing(&text, style, anchor, tag);
                let start = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => index.indicator(previous, span),
                    _ if nothing => index.after_dash(previous, span),
                    _ => place(span.start, line),
                };
                index.scalar(&text, plain, tag, start, nothing);
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if index.key_next() {
                    break;
                }
                let map = matches!(event, Event::MappingStart(..));
                let (start, behind_dash) = index.collection(map, span);
                index.open(map, start, behind_dash);
                if index.levels.len() > max_depth {
                    break;
                }
            }
            Event::MappingEnd | Event::SequenceEnd => index.close(),
            Event::Alias(_) => index.scalar("", false, Tag::None, place(span.start, line), false),
            Event::DocumentEnd => break,
            Event::DocumentStart(true) => {}
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(false) => continue,
        }
        previous = span.end;
    }
    index.out
}

impl Index<'_> {
    fn key_next(&self) -> bool {
        self.levels.last().is_some_and(|level| level.map && level.key.is_none())
    }

    fn scalar(&mut self, text: &str, plain: bool, tag: Tag, start: (usize, usize), nothing: bool) {
        if self.key_next() {
            self.key(&key_text(text, plain, tag), start);
            return;
        }
        self.value(start, nothing);
        self.leave();
    }

    fn key(&mut self, text: &str, start: (usize, usize)) {
        let Some(level) = self.levels.last_mut() else { return };
        level.key = Some(start);
        self.pointer.push('/');
        self.pointer.push_str(&text.replace('~', "~0").replace('/', "~1"));
    }

    /// Note the node that starts here; its pointer is then the current one.
    fn value(&mut self, start: (usize, usize), nothing: bool) {
        let mut key = None;
        if let Some(level) = self.levels.last_mut() {
            if level.map {
                key = level.key;
            } else {
                self.pointer.push('/');
                self.pointer.push_str(&level.item.to_string());
                level.item += 1;
            }
        }
        let value = if nothing { key.unwrap_or(start) } else { start };
        self.out.push(Position { pointer: self.pointer.clone(), key: key.unwrap_or(value), value });
    }

    fn leave(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.key = None;
            self.pointer.truncate(level.pointer);
        }
    }

    fn open(&mut self, map: bool, start: (usize, usize), behind_dash: bool) {
        self.value(start, false);
        self.levels.push(Level { map, pointer: self.pointer.len(), item: 0, key: None, behind_dash });
    }

    fn close(&mut self) {
        self.levels.pop();
        self.leave();
    }

    /// Where a mapping or sequence starts, and whether the parser put it behind its first dash: so it does where a
    /// sequence is not indented.
    fn collection(&mut self, map: bool, span: Span) -> ((usize, usize), bool) {
        let (line, column) = place(span.start, self.line);
        let is_value = self.levels.last().is_some_and(|level| level.map);
        if !map && is_value && span.is_empty() {
            let byte = self.byte_of(span.start.index());
            let before = self.text[..byte].rsplit('\n').next().unwrap_or_default();
            if before.trim_start_matches(' ').starts_with('-') {
                return ((line, before.len() - before.trim_start_matches(' ').len() + 1), true);
            }
        }
        ((line, column), false)
    }

    /// Right behind its dash, where an item is not written: the parser may be lines further.
    fn after_dash(&mut self, previous: Marker, span: Span) -> (usize, usize) {
        let first_passed = self.levels.last().is_some_and(|level| level.behind_dash && level.item == 0);
        if !first_passed && let Some((line, column)) = self.seek(previous, b" \t\n", b"-") {
            return (line, column + 1);
        }
        let (line, column) = place(previous, self.line);
        let byte = self.byte_of(previous.index());
        let before = &self.text[..byte];
        let blanks = before.len() - before.trim_end_matches(' ').len();
        if before[..byte - blanks].ends_with('-') { (line, column - blanks) } else { place(span.start, self.line) }
    }

    /// The `|` or `>` of a block scalar (or its anchor or tag), which the parser passes over.
    fn indicator(&mut self, previous: Marker, span: Span) -> (usize, usize) {
        self.seek(previous, b" \t\n:-?", b"|>&!").unwrap_or_else(|| place(span.start, self.line))
    }

    /// The first of `wanted` behind a mark, with nothing but `passed` and comments between.
    fn seek(&mut self, from: Marker, passed: &[u8], wanted: &[u8]) -> Option<(usize, usize)> {
        let start = self.byte_of(from.index());
        let (mut line, mut column) = place(from, self.line);
        let mut comment = false;
        for byte in &self.text.as_bytes()[start..] {
            match byte {
                b'\n' => {
                    (line, column) = (line + 1, 0);
                    comment = false;
                }
                _ if comment => {}
                b'#' => comment = true,
                _ if passed.contains(byte) => {}
                _ if wanted.contains(byte) => return Some((line, column)),
                _ => return None,
            }
            column += 1;
        }
        None
    }

    /// Byte offset of a character, counted on from the last one asked for.
    fn byte_of(&mut self, character: usize) -> usize {
        let (counted, byte) = if character >= self.counted.0 { self.counted } else { (0, 0) };
        let rest = &self.text[byte..];
        let found = rest.char_indices().nth(character - counted).map_or(self.text.len(), |(at, _)| byte + at);
        self.counted = (character, found);
        found
    }
}

fn key_text(text: &str, plain: bool, tag: Tag) -> Cow<'_, str> {
    crate::scalar::key_text(text, plain, tag).map_or(Cow::Borrowed(text), Cow::Owned)
}
