//! `roadstead._core`: the native engine's Python face. The contract is `python/roadstead/_core.pyi`.

mod attach;
mod convert;
mod draws;
mod errors;
mod headers;
mod scan;
mod buffers;
mod probe;
