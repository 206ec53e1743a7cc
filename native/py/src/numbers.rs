//! Python integers as the core's.

use pyo3::prelude::*;
use pyo3::types::PyInt;

/// Any integer, modulo 2**64.
pub fn wrapped(value: &Bound<'_, PyInt>) -> PyResult<u64> {
    match value.extract() {
        Ok(number) => Ok(number),
        Err(_) => value.as_any().bitand(u64::MAX)?.extract(),
    }
}
