//! Walking a dict's keys without touching their reference counts.
//!
//! PyO3's own iterator takes and gives back a reference to each key and each value, which makes a walk over 15 headers cost
//! 160 ns instead of 50: more than the rest of a decision.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::PyDict;

use crate::known_keys::{self, Marks, mark};

/// A walk ends where it meets more unknown keys than that: a dict made for one request costs less by `keys_of_lengths`.
const UNKNOWN: u32 = 2;

/// The marks of all keys; None where too many of them are unknown, one is no str or has no UTF-8.
pub fn marks(dict: &Bound<'_, PyDict>) -> Option<Marks> {
    with_critical_section(dict, || {
        let (mut marks, mut unknown) = (Marks::NONE, 0);
        let mut position: ffi::Py_ssize_t = 0;
        let mut key: *mut ffi::PyObject = std::ptr::null_mut();
        // SAFETY: `dict` is a live dict, the thread is attached, and without a GIL nobody changes the dict meanwhile. `position`
        // starts at 0 and is only changed by PyDict_Next. `key` is borrowed and valid until Python code runs: nothing in here
        // runs any.
        unsafe {
            while ffi::PyDict_Next(dict.as_ptr(), &mut position, &mut key, std::ptr::null_mut()) != 0 {
                let mark = match known_keys::known(key) {
                    Some(mark) => mark,
                    None if unknown < UNKNOWN => {
                        unknown += 1;
                        look_at(key)?
                    }
                    None => return None,
                };
                marks.add(mark);
            }
        }
        Some(marks)
    })
}

/// # Safety
/// `key` is a live object, and the thread is attached.
#[cold]
unsafe fn look_at(key: *mut ffi::PyObject) -> Option<u8> {
    let mut length: ffi::Py_ssize_t = 0;
    // SAFETY: the caller promises a live object; the text belongs to it, and is `length` bytes long.
    unsafe {
        if ffi::PyUnicode_CheckExact(key) == 0 {
            return None;
        }
        let text = ffi::PyUnicode_AsUTF8AndSize(key, &mut length);
        if text.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let mark = mark(std::slice::from_raw_parts(text.cast::<u8>(), length as usize));
        known_keys::remember(key, mark);
        Some(mark)
    }
}

/// Calls `visit` for each str key whose length in code points is one of `lengths` (bits, modulo 64), with its value.
///
/// False when a key is no str.
pub fn keys_of_lengths<'py>(
    dict: &Bound<'py, PyDict>,
    lengths: u64,
    mut visit: impl FnMut(Bound<'py, PyAny>, Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<bool> {
    with_critical_section(dict, || {
        let py = dict.py();
        let mut all_str = true;
        let mut position: ffi::Py_ssize_t = 0;
        let mut key: *mut ffi::PyObject = std::ptr::null_mut();
        let mut value: *mut ffi::PyObject = std::ptr::null_mut();
        // SAFETY: `dict` is a live dict, the thread is attached, and without a GIL its critical section is held. `position` starts
        // at 0 and is only changed by PyDict_Next; a dict that `visit` changed ends the walk early or shows entries twice, but
        // PyDict_Next checks bounds on each call. `key` and `value` are borrowed and valid until Python code runs, or the section
        // is left for it: PyUnicode_GetLength runs none, and owned references are taken before `visit` is called.
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
    })
}
