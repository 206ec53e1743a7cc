//! RE2's language as a tree: the parser decides what RE2 accepts, so that both engines refuse the same patterns.
//!
//! Text is matched as bytes. Flags (i, m, s, U) are resolved while parsing, so the tree has none. Unicode classes (`\pL`)
//! are refused: they mean nothing over bytes.

use std::collections::HashSet;

use super::bytes::{ANY, ByteSet, perl, posix};

const MAX_REPEAT: u64 = 1000;
const MAX_DEPTH: u32 = 250;

/// An empty-width assertion; line ends are those of multi-line mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Start,
    End,
    Word,
    NotWord,
    LineStart,
    LineEnd,
}

#[derive(Debug)]
pub enum Node {
    Bytes(ByteSet),
    Look(Look),
    /// A capturing group.
    Group(Box<Node>),
    Concat(Vec<Node>),
    Either(Vec<Node>),
    /// `high` None: without end.
    Repeat {
        body: Box<Node>,
        low: u64,
        high: Option<u64>,
        greedy: bool,
    },
}

type Parsed<T> = Result<T, String>;

/// The tree of a pattern, or what RE2 would not take.
pub fn parse(pattern: &str) -> Parsed<Node> {
    let mut parser =
        Parser { text: pattern.chars().collect(), at: 0, depth: 0, names: HashSet::new(), flags: Flags::default() };
    let node = parser.choices()?;
    if parser.at < parser.text.len() {
        return Err("unexpected )".to_owned());
    }
    Ok(node)
}

#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_newline: bool,
    ungreedy: bool,
}

impl Flags {
    fn field(&mut self, letter: char) -> Option<&mut bool> {
        match letter {
            'i' => Some(&mut self.ignore_case),
            'm' => Some(&mut self.multi_line),
            's' => Some(&mut self.dot_newline),
            'U' => Some(&mut self.ungreedy),
            _ => None,
        }
    }
}

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: u32,
    names: HashSet<String>,
    flags: Flags,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn second(&self) -> Option<char> {
        self.text.get(self.at + 1).copied()
    }

    fn take(&mut self) -> Parsed<char> {
        let taken = self.peek().ok_or("the pattern ends too early")?;
        self.at += 1;
        Ok(taken)
    }

    /// What stands between the position and the next `end`; the position of `end`.
    fn until(&self, from: usize, end: char) -> Option<(String, usize)> {
        let found = self.text.get(from..)?.iter().position(|c| *c == end)? + from;
        Some((self.text[from..found].iter().collect(), found))
    }

    fn choices(&mut self) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("groups are nested too deeply".to_owned());
        }
        let first = self.sequence()?;
        let mut choices = vec![first];
        while self.peek() == Some('|') {
            self.at += 1;
            choices.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(single(choices, Node::Either))
    }

    fn sequence(&mut self) -> Parsed<Node> {
        let mut items = Vec::new();
        while !matches!(self.peek(), None | Some('|' | ')')) {
            if let Some(item) = self.atom()? {
                items.push(self.repeated(item)?);
            }
        }
        Ok(single(items, Node::Concat))
    }

    fn atom(&mut self) -> Parsed<Option<Node>> {
        let char = self.take()?;
        Ok(Some(match char {
            '(' => return self.group(),
            '[' => Node::Bytes(self.class()?),
            '.' if self.flags.dot_newline => Node::Bytes(ANY),
            '.' => Node::Bytes(ByteSet::one(b'\n').negated()),
            '^' => Node::Look(if self.flags.multi_line { Look::LineStart } else { Look::Start }),
            '$' => Node::Look(if self.flags.multi_line { Look::LineEnd } else { Look::End }),
            '\\' => return self.escape(),
            '*' | '+' | '?' => return Err(format!("nothing to repeat before {char}")),
            '{' => {
                self.at -= 1;
                if self.counts()?.is_some() {
                    return Err("nothing to repeat before {".to_owned());
                }
                self.at += 1;
                self.literal('{')
            }
            _ => self.literal(char),
        }))
    }

    fn literal(&self, char: char) -> Node {
        let mut buffer = [0; 4];
        match char.encode_utf8(&mut buffer).as_bytes() {
            [byte] => Node::Bytes(self.cased(ByteSet::one(*byte))),
            bytes => Node::Concat(bytes.iter().map(|byte| Node::Bytes(ByteSet::one(*byte))).collect()),
        }
    }

    fn cased(&self, bytes: ByteSet) -> ByteSet {
        if self.flags.ignore_case { bytes.folded() } else { bytes }
    }

    // Repetition

    fn repeated(&mut self, item: Node) -> Parsed<Node> {
        let Some((low, high)) = self.bounds()? else {
            return Ok(item);
        };
        let lazy = self.peek() == Some('?');
        if lazy {
            self.at += 1;
        }
        let made = Node::Repeat { body: Box::new(item), low, high, greedy: lazy == self.flags.ungreedy };
        let start = self.at;
        if self.bounds()?.is_some() {
            let operator: String = self.text[start..self.at].iter().collect();
            return Err(format!("bad repetition operator {operator:?} after a repetition"));
        }
        if most(&made) > MAX_REPEAT {
            return Err(format!("repeated more than {MAX_REPEAT} times"));
        }
        Ok(made)
    }

    fn bounds(&mut self) -> Parsed<Option<(u64, Option<u64>)>> {
        let found = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counts(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(found))
    }

    /// `{n}`, `{n,}` or `{n,m}`; any other brace is a literal, as in RE2.
    fn counts(&mut self) -> Parsed<Option<(u64, Option<u64>)>> {
        let Some((inside, end)) = self.until(self.at + 1, '}') else {
            return Ok(None);
        };
        let (low, high) = match inside.split_once(',') {
            Some((low, high)) => (low, Some(high)),
            None => (&*inside, None),
        };
        let Some(least) = number(low) else {
            return Ok(None);
        };
        let most = match high {
            None => Some(least),
            Some("") => None,
            Some(high) => match number(high) {
                Some(most) => Some(most),
                None => return Ok(None),
            },
        };
        if least > MAX_REPEAT || most.is_some_and(|most| most > MAX_REPEAT || most < least) {
            return Err(format!("bad repetition {{{inside}}}: at most {MAX_REPEAT}, in order"));
        }
        self.at = end + 1;
        Ok(Some((least, most)))
    }

    // Groups and flags

    fn group(&mut self) -> Parsed<Option<Node>> {
        let before = self.flags;
        let mut capture = self.peek() != Some('?');
        if !capture {
            self.at += 1;
            let named = match self.peek() {
                Some('P') => true,
                Some('<') => !matches!(self.second(), Some('=' | '!')),
                _ => false,
            };
            if named {
                self.name()?;
                capture = true;
            } else if !self.read_flags()? {
                return Ok(None);
            }
        }
        let body = self.choices()?;
        if self.peek() != Some(')') {
            return Err("missing )".to_owned());
        }
        self.at += 1;
        self.flags = before;
        Ok(Some(if capture { Node::Group(Box::new(body)) } else { body }))
    }

    fn name(&mut self) -> Parsed<()> {
        if self.peek() == Some('P') {
            self.at += 1;
        }
        let found = if self.peek() == Some('<') { self.until(self.at + 1, '>') } else { None };
        let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        match found {
            Some((name, end)) if plain(&name) => {
                if self.names.contains(&name) {
                    return Err(format!("group name {name:?} is used twice"));
                }
                self.names.insert(name);
                self.at = end + 1;
                Ok(())
            }
            _ => Err("bad group name or (?P construct that RE2 does not have".to_owned()),
        }
    }

    /// After `(?`. True: a group follows (`:`), false: the flags hold for the rest of the group that is open.
    fn read_flags(&mut self) -> Parsed<bool> {
        let start = self.at;
        let (mut value, mut seen, mut flags) = (true, false, self.flags);
        loop {
            let char = self.take()?;
            match char {
                ':' | ')' => {
                    if !seen && (!value || char == ')') {
                        break;
                    }
                    self.flags = flags;
                    return Ok(char == ':');
                }
                '-' if value => (value, seen) = (false, false),
                _ => match flags.field(char) {
                    Some(field) => (*field, seen) = (value, true),
                    None => break,
                },
            }
        }
        let read: String = self.text[start..self.at].iter().collect();
        Err(format!("RE2 has no group of the form (?{read}"))
    }

    // Escapes and classes

    fn escape(&mut self) -> Parsed<Option<Node>> {
        let char = self.take()?;
        Ok(Some(match char {
            'A' => Node::Look(Look::Start),
            'z' => Node::Look(Look::End),
            'b' => Node::Look(Look::Word),
            'B' => Node::Look(Look::NotWord),
            'C' => Node::Bytes(ANY),
            'Q' => return self.quoted(),
            _ => match perl(char) {
                Some(bytes) => Node::Bytes(bytes),
                None => {
                    self.at -= 1;
                    let byte = self.escaped_byte()?;
                    Node::Bytes(self.cased(ByteSet::one(byte)))
                }
            },
        }))
    }

    fn quoted(&mut self) -> Parsed<Option<Node>> {
        let rest = &self.text[self.at..];
        let end = rest.windows(2).position(|pair| pair == ['\\', 'E']);
        let quoted: Vec<char> = rest[..end.unwrap_or(rest.len())].to_vec();
        self.at = end.map_or(self.text.len(), |end| self.at + end + 2);
        let mut items: Vec<Node> = quoted.iter().map(|char| self.literal(*char)).collect();
        if items.len() < 2 {
            return Ok(items.pop());
        }
        // A repetition after \E is for the last character only.
        if let Some(last) = items.pop() {
            items.push(self.repeated(last)?);
        }
        Ok(Some(Node::Concat(items)))
    }

    fn escaped_byte(&mut self) -> Parsed<u8> {
        let char = self.take()?;
        match char {
            'a' => Ok(7),
            't' => Ok(9),
            'n' => Ok(10),
            'v' => Ok(11),
            'f' => Ok(12),
            'r' => Ok(13),
            '0'..='7' => self.octal(char),
            'x' => self.hexadecimal(),
            _ if char.is_ascii() && !char.is_ascii_alphanumeric() => Ok(char as u8),
            _ => Err(format!("RE2 has no escape \\{char}")),
        }
    }

    fn octal(&mut self, first: char) -> Parsed<u8> {
        let octal = |char: Option<char>| char.filter(|char| matches!(char, '0'..='7'));
        if first != '0' && octal(self.peek()).is_none() {
            return Err(format!("RE2 has no back references (\\{first})"));
        }
        let mut digits = String::from(first);
        while digits.len() < 3 {
            let Some(digit) = octal(self.peek()) else {
                break;
            };
            digits.push(digit);
            self.at += 1;
        }
        one_byte(&digits, 8)
    }

    fn hexadecimal(&mut self) -> Parsed<u8> {
        let digits = if self.peek() == Some('{') {
            let (digits, end) = self.until(self.at + 1, '}').ok_or("bad \\x escape")?;
            self.at = end + 1;
            digits
        } else {
            let digits: String = self.text.iter().skip(self.at).take(2).collect();
            self.at += 2;
            if digits.chars().count() == 2 { digits } else { String::new() }
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("bad \\x escape".to_owned());
        }
        one_byte(&digits, 16)
    }

    fn class(&mut self) -> Parsed<ByteSet> {
        let negated = self.peek() == Some('^');
        if negated {
            self.at += 1;
        }
        let (mut bytes, mut first) = (ByteSet::default(), true);
        while first || self.peek() != Some(']') {
            first = false;
            bytes = bytes.with(self.class_item()?);
        }
        self.at += 1;
        Ok(if negated { bytes.negated() } else { bytes })
    }

    fn class_item(&mut self) -> Parsed<ByteSet> {
        if self.peek() == Some('[')
            && self.second() == Some(':')
            && let Some(named) = self.named_class()?
        {
            return Ok(named);
        }
        if self.peek() == Some('\\')
            && let Some(bytes) = self.second().and_then(perl)
        {
            self.at += 2;
            return Ok(bytes);
        }
        let low = self.class_byte()?;
        if self.peek() == Some('-') && self.second() != Some(']') {
            self.at += 1;
            let high = self.class_byte()?;
            if high < low {
                return Err("a range of a class runs backwards".to_owned());
            }
            return Ok(self.cased(ByteSet::span(low, high)));
        }
        Ok(self.cased(ByteSet::one(low)))
    }

    fn class_byte(&mut self) -> Parsed<u8> {
        match self.take()? {
            '\\' => self.escaped_byte(),
            char if char.is_ascii() => Ok(char as u8),
            _ => Err("a class may hold ASCII characters only: it matches bytes".to_owned()),
        }
    }

    fn named_class(&mut self) -> Parsed<Option<ByteSet>> {
        let rest = self.text.get(self.at + 2..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|pair| pair == [':', ']']) else {
            return Ok(None);
        };
        let name: String = rest[..end].iter().collect();
        let bytes = posix(name.trim_start_matches('^')).ok_or_else(|| format!("no character class [:{name}:]"))?;
        self.at += end + 4;
        let bytes = self.cased(bytes);
        Ok(Some(if name.starts_with('^') { bytes.negated() } else { bytes }))
    }
}

fn single(mut items: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match (items.len(), items.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            items.extend(last);
            many(items)
        }
    }
}

/// A number of digits; what does not fit is more than any limit.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn one_byte(digits: &str, radix: u32) -> Parsed<u8> {
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(|value| u8::try_from(value).ok())
        .ok_or_else(|| format!("\\x{{{digits}}} is more than one byte"))
}

/// The largest product of counted repetitions inside each other; RE2 has a limit on it.
fn most(node: &Node) -> u64 {
    match node {
        Node::Repeat { body, low, high, .. } => high.unwrap_or(*low).max(1) * most(body),
        Node::Group(body) => most(body),
        Node::Concat(items) | Node::Either(items) => items.iter().map(most).max().unwrap_or(1),
        Node::Bytes(_) | Node::Look(_) => 1,
    }
}
