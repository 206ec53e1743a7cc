//! YAML text → normalised JSON bytes, document by document, with a position index on demand.
//!
//! The tree is the one Go's sigs.k8s.io/yaml gives (YAML 1.1 scalars as go-yaml v2 resolves them), so that a file means here what
//! it means to Kubernetes; keys keep their order. The crate knows nothing of Istio and nothing of Python.
//!
//! [`split`] cuts the text into documents, so that an error costs one document. [`plain`] reads the block style most files are
//! written in; what it does not know goes through saphyr-parser in [`events`]. Both feed [`tree`], which writes the JSON. Large
//! texts are read by two threads.
#![forbid(unsafe_code)]

mod events;
mod form;
mod plain;
mod scalar;
mod split;
mod tree;

pub use events::Position;
pub use form::{Form, Formed, FormedDocument, Places, form};

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
    let made = halves(&text, &chunks, |part, first| read(&text, part, first, limits).collect::<Vec<_>>());
    made.into_iter().flatten().collect()
}

/// The same documents with the names taken out: by halves of the text, each with the forms and names it met.
pub fn load_forms(text: &[u8], places: &Places, limits: &Limits) -> Vec<Formed> {
    let text = split::normalised(text);
    let chunks = split::documents(&text);
    halves(&text, &chunks, |part, first| Formed::new(read(&text, part, first, limits), places))
}

/// What is made of the chunks, in order: of a large text by two threads, half of its bytes each. `make` also gets the ordinal
/// of the first.
fn halves<T: Send>(text: &[u8], chunks: &[split::Chunk], make: impl Fn(&[split::Chunk], usize) -> T + Sync) -> Vec<T> {
    if text.len() < LARGE {
        return vec![make(chunks, 0)];
    }
    let half = chunks.partition_point(|chunk| chunk.start() < text.len() / 2);
    let (first, second) = chunks.split_at(half);
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || make(second, half));
        let made = make(first, 0);
        // Where no thread is to be had, or one went wrong, this one does it all.
        let rest = other.ok().and_then(|other| other.join().ok());
        vec![made, rest.unwrap_or_else(|| make(second, half))]
    })
}

/// The documents of chunks, the first of which has that ordinal.
fn read<'t>(
    text: &'t [u8],
    chunks: &'t [split::Chunk],
    first: usize,
    limits: &'t Limits,
) -> impl Iterator<Item = Document> + 't {
    (first..).zip(chunks).filter_map(move |(index, chunk)| {
        let json = match chunk.checked(text) {
            Err(problem) => Err(problem),
            Ok(body) => match plain::json(body, limits) {
                Some(json) => Ok(json),
                None => events::json(body, chunk.line, limits).transpose()?,
            },
        };
        Some(Document { index, line: chunk.content_line, json })
    })
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
