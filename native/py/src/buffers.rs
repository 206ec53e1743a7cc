//! Columns of numbers lent by Python (the buffer protocol), read and written without the GIL's help.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;

use crate::errors;

/// A one-dimensional, contiguous buffer of `T` and exactly `len` items.
fn lent<T: Element>(value: &Bound<'_, PyAny>, what: &str, format: &str, len: usize) -> PyResult<PyBuffer<T>> {
    let py = value.py();
    let Ok(buffer) = PyBuffer::<T>::get(value) else {
        return Err(errors::engine(py, &format!("{what}: expected a contiguous buffer of {format}")));
    };
    if buffer.dimensions() != 1 || !buffer.is_c_contiguous() {
        return Err(errors::engine(py, &format!("{what}: expected one dimension without gaps")));
    }
    if buffer.item_count() != len {
        return Err(errors::engine(py, &format!("{what}: {} items where {len} were expected", buffer.item_count())));
    }
    Ok(buffer)
}

/// A copy of what was lent: another thread may write to it meanwhile.
pub fn read<T: Element>(value: &Bound<'_, PyAny>, what: &str, format: &str, len: usize) -> PyResult<Vec<T>> {
    if is_empty(value, len) {
        return Ok(Vec::new());
    }
    lent::<T>(value, what, format, len)?.to_vec(value.py())
}

/// Empty where that is expected: such a buffer may point nowhere, and is not looked at.
fn is_empty(value: &Bound<'_, PyAny>, len: usize) -> bool {
    len == 0 && value.len().is_ok_and(|len| len == 0)
}

/// Where results go.
pub struct Target(Option<PyBuffer<i32>>);

impl Target {
    pub fn of(value: &Bound<'_, PyAny>, what: &str, len: usize) -> PyResult<Self> {
        if is_empty(value, len) {
            return Ok(Target(None));
        }
        let buffer = lent::<i32>(value, what, "int32", len)?;
        if buffer.readonly() {
            return Err(errors::engine(value.py(), &format!("{what}: the buffer is read-only")));
        }
        Ok(Target(Some(buffer)))
    }

    pub fn write(&self, py: Python<'_>, values: &[i32]) -> PyResult<()> {
        self.0.as_ref().map_or(Ok(()), |buffer| buffer.copy_from_slice(py, values))
    }
}
