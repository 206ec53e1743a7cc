//! The C ABI of roadstead: `python/roadstead/include/roadstead.h`, and the reader of serialised snapshots.
//!
//! The functions are generic over who embeds ([`embed::Embed`]): linked programs get engines that were loaded from bytes
//! ([`loaded`]), Python's module a table of the same functions over its own engines. Pointers are looked at in `raw`; the core
//! knows nothing of this.
#![cfg_attr(doctest, doc = include_str!("../../../python/docs/embed.md"))]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod api;
mod asked;
mod decision;
pub mod embed;
mod endpoint;
mod engine;
mod exchange;
#[cfg(feature = "exports")]
pub mod exports;
pub mod failure;
mod lease;
pub mod loaded;
mod pick;
mod raw;
mod snapshot;
pub mod types;

pub use failure::Failure;
pub use loaded::{Loaded, Options, load};
