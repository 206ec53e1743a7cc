//! Walking a dict's keys without touching their reference counts; beside `fastcall`, the only `unsafe` here.
//!
//! PyO3's own iterator takes and gives back a reference to each key and each value, which makes a walk over 15 headers cost
//! 160 ns instead of 70: more than the rest of a decision.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Calls `visit` for each str key whose length in code points is one of `lengths` (bits, modulo 64), with its value.
///
/// False when a key is no str.
pub fn keys_of_lengths<'py>(
    dict: &Bound<'py, PyDict>,
    lengths: u64,
    mut visit: impl FnMut(Bound<'py, PyAny>, Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<bool> {
    let py = dict.py();
    let mut all_str = true;
    let mut position: ffi::Py_ssize_t = 0;
    let mut key: *mut ffi::PyObject = std::ptr::null_mut();
    let mut value: *mut ffi::PyObject = std::ptr::null_mut();
    // SAFETY: `dict` is a live dict and the GIL (or, on free-threaded builds, its critical section: abi3 builds have none) is
    // held. `position` starts at 0 and is only changed by PyDict_Next; a dict that `visit` changed ends the walk early or
    // shows entries twice, but PyDict_Next checks bounds on each call. `key` and `value` are borrowed and valid until Python
    // code runs: PyUnicode_GetLength runs none, and owned references are taken before `visit` is called.
    unsafe {
        while ffi::PyDict_Next(dict.as_ptr(), &mut position, &mut key, &mut value) != 0 {
            let length = ffi::PyUnicode_GetLength(key);
            if length < 0 {
                ffi::PyErr_Clear();
                all_str = false;
            } else if lengths >> (length as u64 & 63) & 1 != 0 {
                visit(Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value))?;
            }
        }
    }
    Ok(all_str)
}
