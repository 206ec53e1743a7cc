//! Where a request goes under an Istio configuration: host and port matching, routing, load balancing.
//!
//! Input is [`model::Unit`]: one host's meaning for one node, every name resolved. [`engine::Engine`] publishes snapshots of
//! units; [`snapshot::Snapshot`] answers `find`, `route` and `connect`; [`balance`] picks endpoints. The crate knows no YAML, no
//! Istio and no Python; time and randomness are arguments.
#![forbid(unsafe_code)]

pub mod balance;
pub mod builder;
mod bulk;
pub mod chains;
pub mod choose;
pub mod cluster;
pub mod columns;
pub mod cors;
pub mod decision;
pub mod draws;
pub mod engine;
pub mod error;
pub mod exchange;
pub mod formats;
pub mod hash;
pub mod hashing;
pub mod lease;
pub mod matching;
pub mod model;
pub mod names;
mod networks;
pub mod normal_path;
pub mod outliers;
pub mod overlay;
mod packed;
mod paths;
mod recent;
pub mod regex;
pub mod request;
pub mod rewrite;
pub mod rng;
pub mod routing;
mod rows;
mod shelf;
mod sketch;
pub mod snapshot;
mod standing;
mod sync;
mod table;
pub mod tally;
pub mod template;
pub mod text;
mod trie;
mod unit;
pub mod view;
pub mod virtual_host;
