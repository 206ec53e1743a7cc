//! Node by node into one JSON buffer: keys and duplicates, anchors as ranges of the buffer, merge keys, budgets.

use std::collections::HashSet;
use std::ops::Range;

use crate::Limits;
use crate::scalar::{self, Tag, Value};

/// Mappings up to this size are searched for a duplicate key one by one.
const FEW_KEYS: usize = 16;

#[derive(Default)]
struct Frame {
    map: bool,
    /// Has a member already.
    begun: bool,
    /// A mapping whose key is written and whose value comes next.
    value_next: bool,
    /// The value that comes next belongs to `<<`: where it starts in the buffer, and how many anchors were closed before it.
    merging: Option<(usize, usize)>,
    start: usize,
    nodes: usize,
    /// Levels below it.
    height: usize,
    anchor: usize,
    /// The first of its keys in `Tree::keys`.
    keys: usize,
    /// Its keys, once they are many.
    seen: Option<HashSet<Box<[u8]>>>,
    /// Mappings to merge, in the arena, the strongest first.
    sources: Vec<Range<usize>>,
}

#[derive(Clone)]
struct Anchor {
    in_arena: bool,
    range: Range<usize>,
    nodes: usize,
    /// Levels of mappings and sequences, itself included.
    height: usize,
}

pub struct Tree<'l> {
    out: Vec<u8>,
    /// JSON that is not, or not yet, part of the result: values of `<<`, anchored keys.
    arena: Vec<u8>,
    frames: Vec<Frame>,
    /// Ranges of `out` that hold the keys of the open mappings, quotes included.
    keys: Vec<Range<usize>>,
    /// By anchor id; None while the anchored node is open.
    anchors: Vec<Option<Anchor>>,
    /// Anchor ids in the order in which their nodes were closed.
    closed: Vec<usize>,
    nodes: usize,
    expanded: usize,
    limits: &'l Limits,
}

type Step = Result<(), String>;

impl<'l> Tree<'l> {
    pub fn new(limits: &'l Limits, expected: usize) -> Self {
        Self {
            out: Vec::with_capacity(expected),
            arena: Vec::new(),
            frames: Vec::new(),
            keys: Vec::new(),
            anchors: Vec::new(),
            closed: Vec::new(),
            nodes: 0,
            expanded: 0,
            limits,
        }
    }

    pub fn into_json(self) -> Vec<u8> {
        self.out
    }

    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    /// A mapping or a sequence starts. anchor: its id, 0 for none.
    pub fn open(&mut self, map: bool, anchor: usize) -> Step {
        if self.key_next() {
            return Err("a mapping key must be a scalar".to_owned());
        }
        if self.frames.len() >= self.limits.max_depth {
            return Err(self.too_deep());
        }
        self.before_value();
        self.reserve_anchor(anchor);
        let (start, nodes, keys) = (self.out.len(), self.nodes, self.keys.len());
        self.nodes += 1;
        self.frames.push(Frame { map, start, nodes, anchor, keys, ..Frame::default() });
        self.out.push(if map { b'{' } else { b'[' });
        Ok(())
    }

    pub fn close(&mut self) -> Step {
        let Some(mut frame) = self.frames.pop() else { return Ok(()) };
        if !frame.sources.is_empty() {
            self.merge(&mut frame)?;
        }
        self.keys.truncate(frame.keys);
        self.out.push(if frame.map { b'}' } else { b']' });
        let (nodes, height) = (self.nodes - frame.nodes, frame.height + 1);
        self.raise(height);
        self.close_anchor(frame.anchor, Anchor { in_arena: false, range: frame.start..self.out.len(), nodes, height });
        self.after_value(false)
    }

    /// plain: written without quotes (or with the tag `!`).
    pub fn scalar(&mut self, text: &str, plain: bool, tag: Tag, anchor: usize) -> Step {
        if text.len() > self.limits.max_scalar {
            return Err(format!("a scalar of more than {} bytes", self.limits.max_scalar));
        }
        if self.key_next() {
            return self.key(text, plain, tag, anchor);
        }
        self.before_value();
        self.reserve_anchor(anchor);
        let start = self.out.len();
        self.nodes += 1;
        let value = scalar::resolve(text, plain, tag)?;
        scalar::write_json(&mut self.out, &value, text).ok_or_else(|| format!("JSON has no number `{text}`"))?;
        self.check_bytes()?;
        self.close_anchor(anchor, Anchor { in_arena: false, range: start..self.out.len(), nodes: 1, height: 0 });
        self.after_value(false)
    }

    pub fn alias(&mut self, id: usize) -> Step {
        let Some(anchor) = self.anchors.get(id).cloned().flatten() else {
            return Err("an anchor's value contains itself".to_owned());
        };
        self.expanded += anchor.nodes;
        if self.expanded > self.limits.max_aliases {
            return Err(format!("aliases add more than {} nodes", self.limits.max_aliases));
        }
        if self.frames.len() + anchor.height > self.limits.max_depth {
            return Err(self.too_deep());
        }
        if self.out.len() + self.arena.len() + anchor.range.len() > self.limits.max_bytes {
            return Err(self.too_large());
        }
        if self.key_next() {
            return self.alias_key(&anchor);
        }
        self.before_value();
        self.raise(anchor.height);
        self.nodes += anchor.nodes;
        if anchor.in_arena {
            self.out.extend_from_slice(&self.arena[anchor.range]);
        } else {
            self.out.extend_from_within(anchor.range);
        }
        self.after_value(true)
    }

    fn key_next(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.map && !frame.value_next)
    }

    fn key(&mut self, text: &str, plain: bool, tag: Tag, anchor: usize) -> Step {
        if text == "<<" && (tag == Tag::Merge || (plain && tag == Tag::None)) {
            let merging = Some((self.out.len(), self.closed.len()));
            if let Some(frame) = self.frames.last_mut() {
                frame.merging = merging;
                frame.value_next = true;
            }
            return Ok(());
        }
        let value = scalar::resolve(text, plain, tag)?;
        if anchor != 0 {
            self.reserve_anchor(anchor);
            let start = self.arena.len();
            scalar::write_json(&mut self.arena, &value, text).ok_or_else(|| format!("JSON has no number `{text}`"))?;
            self.close_anchor(anchor, Anchor { in_arena: true, range: start..self.arena.len(), nodes: 1, height: 0 });
        }
        let start = self.before_key();
        scalar::write_key(&mut self.out, &value, text).ok_or_else(|| unsupported_key(&value))?;
        self.after_key(start)
    }

    fn alias_key(&mut self, anchor: &Anchor) -> Step {
        let source = if anchor.in_arena { &self.arena } else { &self.out };
        let json = source[anchor.range.clone()].to_vec();
        match json[0] {
            b'{' | b'[' => Err("a mapping key must be a scalar".to_owned()),
            b'n' => Err(unsupported_key(&Value::Null)),
            b'"' => {
                let start = self.before_key();
                self.out.extend_from_slice(&json);
                self.after_key(start)
            }
            _ => {
                let start = self.before_key();
                self.out.push(b'"');
                self.out.extend_from_slice(&json);
                self.out.push(b'"');
                self.after_key(start)
            }
        }
    }

    fn before_key(&mut self) -> usize {
        if let Some(frame) = self.frames.last_mut() {
            if frame.begun {
                self.out.push(b',');
            }
            frame.begun = true;
            frame.value_next = true;
        }
        self.out.len()
    }

    fn after_key(&mut self, start: usize) -> Step {
        let key = start..self.out.len();
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if !is_new(&self.out, &self.keys[frame.keys..], &mut frame.seen, &self.out[key.clone()]) {
            return Err(format!("key {} already set in map", String::from_utf8_lossy(&self.out[key])));
        }
        self.keys.push(key);
        self.out.push(b':');
        self.check_bytes()
    }

    fn before_value(&mut self) {
        if let Some(frame) = self.frames.last_mut()
            && !frame.map
        {
            if frame.begun {
                self.out.push(b',');
            }
            frame.begun = true;
        }
    }

    fn after_value(&mut self, alias: bool) -> Step {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        frame.value_next = false;
        let Some((start, closed)) = frame.merging.take() else { return Ok(()) };
        let moved = self.arena.len();
        self.arena.extend_from_slice(&self.out[start..]);
        self.out.truncate(start);
        for id in &self.closed[closed..] {
            if let Some(Some(anchor)) = self.anchors.get_mut(*id)
                && !anchor.in_arena
            {
                anchor.in_arena = true;
                anchor.range = anchor.range.start - start + moved..anchor.range.end - start + moved;
            }
        }
        let mut sources = merge_sources(&self.arena, moved, alias)
            .ok_or_else(|| "map merge requires map or sequence of maps as the value".to_owned())?;
        sources.append(&mut frame.sources);
        frame.sources = sources;
        Ok(())
    }

    /// Members of the sources whose keys the mapping does not have, after its own.
    fn merge(&mut self, frame: &mut Frame) -> Step {
        for source in std::mem::take(&mut frame.sources) {
            for (key, value) in members(&self.arena, source) {
                if !is_new(&self.out, &self.keys[frame.keys..], &mut frame.seen, &self.arena[key.clone()]) {
                    continue;
                }
                if frame.begun {
                    self.out.push(b',');
                }
                frame.begun = true;
                let start = self.out.len();
                self.out.extend_from_slice(&self.arena[key]);
                self.keys.push(start..self.out.len());
                self.out.push(b':');
                self.out.extend_from_slice(&self.arena[value]);
                self.nodes += 1;
                self.check_bytes()?;
            }
        }
        Ok(())
    }

    /// The open node holds one of this height.
    fn raise(&mut self, height: usize) {
        if let Some(frame) = self.frames.last_mut() {
            frame.height = frame.height.max(height);
        }
    }

    fn reserve_anchor(&mut self, id: usize) {
        if id != 0 && id >= self.anchors.len() {
            self.anchors.resize(id + 1, None);
        }
    }

    fn close_anchor(&mut self, id: usize, anchor: Anchor) {
        if id != 0 {
            self.anchors[id] = Some(anchor);
            self.closed.push(id);
        }
    }

    fn check_bytes(&self) -> Step {
        if self.out.len() + self.arena.len() > self.limits.max_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    fn too_deep(&self) -> String {
        format!("nested deeper than {} levels", self.limits.max_depth)
    }

    fn too_large(&self) -> String {
        format!("a document of more than {} bytes of JSON", self.limits.max_bytes)
    }
}

fn unsupported_key(value: &Value) -> String {
    match value {
        Value::Null => "a mapping key must not be null".to_owned(),
        _ => "a mapping key is too large an integer".to_owned(),
    }
}

/// Whether a mapping with these keys does not have this one yet; it is noted where the mapping keeps a set.
fn is_new(out: &[u8], keys: &[Range<usize>], seen: &mut Option<HashSet<Box<[u8]>>>, key: &[u8]) -> bool {
    if seen.is_none() && keys.len() < FEW_KEYS {
        return keys.iter().all(|range| &out[range.clone()] != key);
    }
    let seen = seen.get_or_insert_with(|| keys.iter().map(|range| out[range.clone()].into()).collect());
    seen.insert(key.into())
}

/// The mappings of a `<<` value that starts at `at`, the strongest first; None where it is anything else.
fn merge_sources(json: &[u8], at: usize, alias: bool) -> Option<Vec<Range<usize>>> {
    match json[at] {
        b'{' => Some(std::iter::once(at..json.len()).collect()),
        b'[' if !alias => {
            let mut out = Vec::new();
            let mut from = at + 1;
            while json[from] != b']' {
                if json[from] != b'{' {
                    return None;
                }
                let end = value_end(json, from);
                out.push(from..end);
                from = end + usize::from(json[end] == b',');
            }
            Some(out)
        }
        _ => None,
    }
}

/// Keys and values of a mapping of our own JSON.
fn members(json: &[u8], range: Range<usize>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut at = range.start + 1;
    std::iter::from_fn(move || {
        if json[at] == b'}' {
            return None;
        }
        let colon = value_end(json, at);
        let end = value_end(json, colon + 1);
        let member = (at..colon, colon + 1..end);
        at = end + usize::from(json[end] == b',');
        Some(member)
    })
}

/// Where the JSON value that starts at `at` ends.
pub fn value_end(json: &[u8], at: usize) -> usize {
    let (mut at, mut depth) = (at, 0usize);
    loop {
        match json[at] {
            b'"' => {
                at += 1;
                while json[at] != b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => {
                at += 1;
                if depth == 0 {
                    while at < json.len() && !matches!(json[at], b',' | b'}' | b']') {
                        at += 1;
                    }
                }
            }
        }
        if depth == 0 {
            return at;
        }
    }
}
