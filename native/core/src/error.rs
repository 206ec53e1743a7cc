//! What can go wrong when the engine is told something.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A regular expression outside RE2's language or over its size limit.
    Regex { pattern: String, message: String },
    /// A value the engine cannot work with (Maglev table size, CIDR text …).
    Invalid(String),
    /// A builder that does not start from what is published now.
    Stale,
    /// No cluster of that name.
    UnknownCluster(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Regex { pattern, message } => write!(f, "regular expression {pattern:?}: {message}"),
            Error::Invalid(message) => f.write_str(message),
            Error::Stale => f.write_str("the builder is older than what is published"),
            Error::UnknownCluster(name) => write!(f, "no cluster named {name:?}"),
        }
    }
}

impl std::error::Error for Error {}
