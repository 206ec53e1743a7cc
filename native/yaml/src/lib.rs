//! YAML text → normalised JSON bytes, document by document, with a position index on demand.
//!
//! The tree is the one Go's sigs.k8s.io/yaml gives (YAML 1.1 scalars as go-yaml v2 resolves them), so that a file means here what
//! it means to Kubernetes; keys keep their order. The crate knows nothing of Istio and nothing of Python.
//!
//! [`split`] cuts the text into documents, so that an error costs one document. [`plain`] reads the block style most files are
//! written in; what it does not know goes through saphyr-parser in [`events`]. Both feed [`tree`], which writes the JSON.
#![forbid(unsafe_code)]

mod events;
mod form;
mod plain;
mod scalar;
mod split;
mod tree;

pub use events::Position;
pub use form::{Form, Places, form};

/// How much one document may cost. A document over a limit is refused; the others are read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nesting of mappings and sequences.
    pub max_depth: usize,
    /// Nodes that aliases and merge keys may add to what is written.
    pub max_aliases: usize,
    /// Bytes of one scalar.
    pub max_scalar: usize,
    /// Bytes of JSON.
    pub max_bytes: usize,
}

/// What is wrong with a document and where; line and column are 1-based and those of the whole text, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub line: usize,
    pub column: usize,
}

/// One document that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Ordinal in the text; empty documents are counted, not returned.
    pub index: usize,
    /// 1-based line of its first content.
    pub line: usize,
    pub json: Result<Vec<u8>, Problem>,
}

/// Texts from this size on are read by two threads.
const LARGE: usize = 1 << 20;

/// All documents of a text, in order. Takes time linear in the text and in what its aliases add.
pub fn load(text: &[u8], limits: &Limits) -> Vec<Document> {
    let text = split::normalised(text);
    let chunks = split::documents(&text);
    if text.len() < LARGE {
        return read(&text, &chunks, 0, limits);
    }
    let half = chunks.len() / 2;
    let (first, second) = chunks.split_at(half);
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || read(&text, second, half, limits));
        let mut made = read(&text, first, 0, limits);
        // Where no thread is to be had, or one went wrong, this one does it all.
        let rest = other.ok().and_then(|other| other.join().ok());
        made.extend(rest.unwrap_or_else(|| read(&text, second, half, limits)));
        made
    })
}

/// The documents of chunks, the first of which has that ordinal.
fn read(text: &[u8], chunks: &[split::Chunk], first: usize, limits: &Limits) -> Vec<Document> {
    let mut out = Vec::with_capacity(chunks.len());
    for (index, chunk) in (first..).zip(chunks) {
        let json = match chunk.checked(text) {
            Err(problem) => Err(problem),
            Ok(body) => match plain::json(body, limits) {
                Some(json) => Ok(json),
                None => match events::json(body, chunk.line, limits) {
                    Ok(None) => continue,
                    Ok(Some(json)) => Ok(json),
                    Err(problem) => Err(problem),
                },
            },
        };
        out.push(Document { index, line: chunk.content_line, json });
    }
    out
}

/// Places of the nodes of document `index` that are reached before its end or its first error, in order of writing. A field that
/// an alias or a merge key brings has no place of its own. Nodes nested deeper than `max_depth` are left out.
pub fn positions(text: &[u8], index: usize, max_depth: usize) -> Vec<Position> {
    let text = split::normalised(text);
    match split::documents(&text).get(index) {
        Some(chunk) => events::positions(chunk.valid(&text), chunk.line, max_depth),
        None => Vec::new(),
    }
}
