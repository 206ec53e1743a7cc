//! The YAML reader of `roadstead-yaml`, as plain tuples. Runs without the GIL.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::FixedState;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use roadstead_yaml::{
    Document, Formed, FormedDocument, Limits, Places, Position, Problem, load, load_forms, positions,
};

/// (JSON or None, ordinal, line, message or None, line and column of the problem or 0).
type Row<'py> = (Option<Bound<'py, PyBytes>>, usize, usize, Option<String>, usize, usize);

/// Documents that were read, given out one by one: what was given out takes no memory here any more.
#[pyclass(frozen)]
pub struct Rows(Mutex<std::vec::IntoIter<Document>>);

#[pymethods]
impl Rows {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Option<Row<'py>> {
        let document = self.0.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        Some(match document.json {
            Ok(json) => (Some(PyBytes::new(py, &json)), document.index, document.line, None, 0, 0),
            Err(problem) => (None, document.index, document.line, Some(problem.message), problem.line, problem.column),
        })
    }
}

#[pyfunction]
#[pyo3(signature = (data, *, max_depth, max_aliases, max_scalar, max_bytes))]
pub fn yaml_load(
    py: Python<'_>,
    data: &[u8],
    max_depth: usize,
    max_aliases: usize,
    max_scalar: usize,
    max_bytes: usize,
) -> Rows {
    let limits = Limits { max_depth, max_aliases, max_scalar, max_bytes };
    Rows(Mutex::new(py.detach(|| load(data, &limits)).into_iter()))
}

/// A row as `yaml_load` has it, and the names taken out of the JSON.
type FormRow<'py> = (Option<Bound<'py, PyBytes>>, usize, usize, Option<String>, usize, usize, Bound<'py, PyTuple>);

#[pyfunction]
#[pyo3(signature = (data, places, *, max_depth, max_aliases, max_scalar, max_bytes))]
pub fn yaml_forms<'py>(
    py: Python<'py>,
    data: &[u8],
    places: Vec<String>,
    max_depth: usize,
    max_aliases: usize,
    max_scalar: usize,
    max_bytes: usize,
) -> PyResult<Vec<FormRow<'py>>> {
    let limits = Limits { max_depth, max_aliases, max_scalar, max_bytes };
    let places = Places::new(places.iter().map(String::as_str));
    let halves = py.detach(|| load_forms(data, &places, &limits));
    // One object for equal forms, and for equal names: whoever looks one up hashes it once, and it is there once.
    let mut forms: HashMap<Vec<u8>, Bound<'py, PyBytes>, FixedState> = HashMap::default();
    let mut known: HashMap<Box<str>, Bound<'py, PyString>, FixedState> = HashMap::default();
    let mut rows = Vec::new();
    for Formed { forms: texts, names, documents } in halves {
        let texts: Vec<_> =
            texts.into_iter().map(|text| same(&mut forms, text, |text| PyBytes::new(py, text))).collect();
        let names: Vec<_> =
            names.into_iter().map(|name| same(&mut known, name, |name| PyString::new(py, name))).collect();
        for FormedDocument { index, line, form } in documents {
            rows.push(match form {
                Ok((form, used)) => {
                    let used = PyTuple::new(py, used.iter().map(|name| &names[*name]))?;
                    (Some(texts[form].clone()), index, line, None, 0, 0, used)
                }
                Err(Problem { message, line: at, column }) => {
                    (None, index, line, Some(message), at, column, PyTuple::empty(py))
                }
            });
        }
    }
    Ok(rows)
}

/// The object that was made of an equal one, or is made now.
fn same<'py, K: Hash + Eq, T>(
    known: &mut HashMap<K, Bound<'py, T>, FixedState>,
    key: K,
    make: impl FnOnce(&K) -> Bound<'py, T>,
) -> Bound<'py, T> {
    match known.get(&key) {
        Some(made) => made.clone(),
        None => {
            let made = make(&key);
            known.entry(key).or_insert(made).clone()
        }
    }
}

/// (JSON pointer, line and column of the key, line and column of the value).
#[pyfunction]
#[pyo3(signature = (data, doc_index, *, max_depth))]
pub fn yaml_positions(
    py: Python<'_>,
    data: &[u8],
    doc_index: usize,
    max_depth: usize,
) -> Vec<(String, usize, usize, usize, usize)> {
    let places = py.detach(|| positions(data, doc_index, max_depth));
    let row = |Position { pointer, key, value }| (pointer, key.0, key.1, value.0, value.1);
    places.into_iter().map(row).collect()
}
