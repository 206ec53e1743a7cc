//! Engines that come from bytes: the reader of serialised snapshots.
//!
//! The text is JSON: what `roadstead/_lowered.py` describes, tuples as arrays by position, bytes as Latin-1 text, handles as
//! null; in the place of a policy stands null or an object with what a caller needs of it (`facts`). `roadstead snapshot` writes it.

mod engine;
mod facts;
mod form;

pub use engine::{Loaded, Options, load, reload, set_endpoints};
