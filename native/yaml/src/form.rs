//! A document's JSON as a form with its names taken out.
//!
//! Thousands of documents of a mesh are one text but for their names. Where a name stands is the caller's to say
//! ([`Places`]); a text that looks like one of the three kinds of [`kind`] is taken out of such a place, any other stays
//! part of the form. Two documents with one form differ in nothing but those names, and have the same ones equal.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::tree::value_end;
use crate::{Document, Problem};

/// Where names may stand: JSON pointers, `*` for every item of a list.
#[derive(Debug, Default)]
pub struct Places {
    inside: HashMap<Box<str>, Places>,
    here: bool,
}

impl Places {
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p str>) -> Self {
        let mut all = Places::default();
        for pointer in pointers {
            let mut at = &mut all;
            for step in pointer.split('/').skip(1) {
                at = at.inside.entry(Box::from(step)).or_default();
            }
            at.here = true;
        }
        all
    }

    fn item(&self, index: usize) -> Option<&Places> {
        self.inside.get("*").or_else(|| self.inside.get(index.to_string().as_str()))
    }
}

/// Text, in which `\x01`, the kind of the name, its index in `names` and `\x02` stand for a name; JSON has no such bytes.
/// names: each once, in order of first use.
#[derive(Debug, PartialEq, Eq)]
pub struct Form<'j> {
    pub text: Vec<u8>,
    pub names: Vec<&'j str>,
}

/// The form of a document's JSON as [`crate::load`] gives it.
pub fn form<'j>(json: &'j [u8], places: &Places) -> Form<'j> {
    let mut walk = Walk { json, copied: 0, form: Form { text: Vec::with_capacity(json.len()), names: Vec::new() } };
    walk.value(0, places);
    walk.form.text.extend_from_slice(&json[walk.copied..]);
    walk.form
}

/// Documents as forms and names. Equal forms are one, equal names too.
#[derive(Debug, Default)]
pub struct Formed {
    pub forms: Vec<Vec<u8>>,
    pub names: Vec<Box<str>>,
    pub documents: Vec<FormedDocument>,
}

/// One document that is not empty.
#[derive(Debug)]
pub struct FormedDocument {
    /// Ordinal in the text.
    pub index: usize,
    /// 1-based line of its first content.
    pub line: usize,
    /// Positions of its form and of its names.
    pub form: Result<(usize, Box<[usize]>), Problem>,
}

impl Formed {
    pub(crate) fn new(read: impl Iterator<Item = Document>, places: &Places) -> Self {
        let mut made = Formed::default();
        let mut forms: HashMap<Vec<u8>, usize, FixedState> = HashMap::default();
        let mut names: HashMap<Box<str>, usize, FixedState> = HashMap::default();
        for Document { index, line, json } in read {
            let form = json.map(|json| {
                let Form { text, names: used } = form(&json, places);
                let used = used.into_iter().map(|name| match names.get(name) {
                    Some(known) => *known,
                    None => {
                        made.names.push(name.into());
                        *names.entry(name.into()).or_insert(made.names.len() - 1)
                    }
                });
                let used = used.collect();
                let known = forms.get(&text).copied().unwrap_or_else(|| {
                    made.forms.push(text.clone());
                    *forms.entry(text).or_insert(made.forms.len() - 1)
                });
                (known, used)
            });
            made.documents.push(FormedDocument { index, line, form });
        }
        made
    }
}

struct Walk<'j> {
    json: &'j [u8],
    /// Up to here the form has what the document has.
    copied: usize,
    form: Form<'j>,
}

impl<'j> Walk<'j> {
    /// Walks the value that starts at `at`; where it ends.
    fn value(&mut self, at: usize, places: &Places) -> usize {
        match self.json[at] {
            b'{' => self.members(at + 1, places),
            b'[' => self.items(at + 1, places),
            b'"' if places.here => self.text(at),
            _ => value_end(self.json, at),
        }
    }

    fn members(&mut self, mut at: usize, places: &Places) -> usize {
        while self.json[at] != b'}' {
            let colon = value_end(self.json, at);
            let key = std::str::from_utf8(&self.json[at + 1..colon - 1]).unwrap_or_default();
            at = match places.inside.get(key) {
                Some(inside) => self.value(colon + 1, inside),
                None => value_end(self.json, colon + 1),
            };
            at += usize::from(self.json[at] == b',');
        }
        at + 1
    }

    fn items(&mut self, mut at: usize, places: &Places) -> usize {
        let mut index = 0;
        while self.json[at] != b']' {
            at = match places.item(index) {
                Some(inside) => self.value(at, inside),
                None => value_end(self.json, at),
            };
            at += usize::from(self.json[at] == b',');
            index += 1;
        }
        at + 1
    }

    fn text(&mut self, at: usize) -> usize {
        let end = value_end(self.json, at);
        let Ok(whole) = std::str::from_utf8(&self.json[at + 1..end - 1]) else { return end };
        // Of a wildcard the rest is the name.
        let name = whole.strip_prefix("*.").unwrap_or(whole);
        let Some(kind) = kind(name).filter(|kind| name.len() == whole.len() || *kind == b'h') else { return end };
        let names = &mut self.form.names;
        let index = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        let text = &mut self.form.text;
        text.extend_from_slice(&self.json[self.copied..end - 1 - name.len()]);
        text.extend_from_slice(&[1, kind]);
        text.extend_from_slice(index.to_string().as_bytes());
        text.push(2);
        self.copied = end - 1;
        end
    }
}

/// `n` a DNS label, `h` a host of at least two labels whose last one begins with a letter, `4` an IPv4 address; None for
/// anything else. All in lower case and as long as DNS allows.
fn kind(name: &str) -> Option<u8> {
    if name.len() > 253 || !name.split('.').all(is_label) {
        return None;
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.len() == name.len() {
        return Some(b'n');
    }
    if last.as_bytes()[0].is_ascii_lowercase() {
        return Some(b'h');
    }
    (name.split('.').count() == 4 && name.split('.').all(is_octet) && name != "0.0.0.0").then_some(b'4')
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_octet(text: &str) -> bool {
    text.parse::<u8>().is_ok_and(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formed(json: &str) -> (String, Vec<String>) {
        let places = Places::new(["/name", "/hosts/0", "/ends/*/address"]);
        let form = form(json.as_bytes(), &places);
        (String::from_utf8(form.text).unwrap(), form.names.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn names_are_taken_out_of_their_places_only() {
        let (text, names) = formed(
            r#"{"name":"a","other":"a","hosts":["x.com","y.com"],"ends":[{"address":"10.0.0.1"},{"address":"x.com"}]}"#,
        );
        assert_eq!(
            text,
            "{\"name\":\"\x01n0\x02\",\"other\":\"a\",\"hosts\":[\"\x01h1\x02\",\"y.com\"],\"ends\":[{\"address\":\"\x0142\x02\"},{\"address\":\"\x01h1\x02\"}]}"
        );
        assert_eq!(names, ["a", "x.com", "10.0.0.1"]);
    }

    #[test]
    fn a_wildcard_keeps_its_star() {
        assert_eq!(
            formed(r#"{"hosts":["*.x.com"]}"#),
            ("{\"hosts\":[\"*.\x01h0\x02\"]}".to_owned(), vec!["x.com".to_owned()])
        );
    }

    #[test]
    fn what_looks_like_no_name_stays() {
        for text in [
            "",
            "A",
            "a_b",
            "-a",
            "a-",
            "a..b",
            "a.b.",
            "1.2.3",
            "1.2.3.04",
            "1.2.3.256",
            "0.0.0.0",
            "*",
            "*x.com",
            "*.a",
            "::1",
            "a\\\"b",
        ] {
            let json = format!("{{\"name\":\"{text}\"}}");
            assert_eq!(formed(&json), (json.clone(), vec![]), "{text}");
        }
        assert_eq!(formed(r#"{"name":7,"hosts":{},"ends":[[],"a"]}"#).1, Vec::<String>::new());
    }
}
