//! Request headers as Python gives them: read only when a rule asks, names without regard to case, repeats kept.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use roadstead_core::request::HeaderName;
use roadstead_core::rewrite;

use crate::attach::PyAttach;
use crate::known_keys::{Marks, mark};
use crate::scan;

/// The headers of one request.
pub struct Headers<'a, 'py> {
    given: Given<'a, 'py>,
    /// Marks of a dict's keys, or of those as long as a name that rules read; None before they were looked through.
    marks: Cell<Option<Marks>>,
    /// The first thing that went wrong while the core was reading; raised when it is done.
    failure: RefCell<Option<PyErr>>,
}

enum Given<'a, 'py> {
    None,
    Dict(&'a Bound<'py, PyDict>),
    Other(&'a Bound<'py, PyAny>),
}

/// What a decision keeps: something that can be read more than once.
pub fn keep<'py>(headers: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if headers.is_exact_instance_of::<PyDict>()
        || headers.is_exact_instance_of::<PyList>()
        || headers.is_exact_instance_of::<PyTuple>()
        || headers.hasattr(intern!(headers.py(), "items"))?
    {
        return Ok(headers.clone());
    }
    // An iterator is spent by its first reader.
    let pairs = headers.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    Ok(PyTuple::new(headers.py(), pairs)?.into_any())
}

impl<'a, 'py> Headers<'a, 'py> {
    #[inline]
    pub fn new(headers: Option<&'a Bound<'py, PyAny>>) -> Self {
        let given = match headers {
            None => Given::None,
            Some(headers) => match headers.cast_exact::<PyDict>() {
                Ok(dict) => Given::Dict(dict),
                Err(_) => Given::Other(headers),
            },
        };
        Headers { given, marks: Cell::new(None), failure: RefCell::new(None) }
    }

    /// What went wrong while reading.
    #[inline]
    pub fn check(&self) -> PyResult<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Each line of the header `name`, in order, until `visit` says stop. `key` is the name as a Python string.
    pub fn lines(
        &self,
        name: &HeaderName<PyAttach>,
        key: impl FnOnce() -> Bound<'py, PyAny>,
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) {
        let result = match &self.given {
            Given::None => Ok(()),
            Given::Dict(dict) => self.in_dict(dict, name, key, visit),
            Given::Other(headers) => in_pairs(headers, &name.text, visit),
        };
        if let Err(error) = result {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }

    /// The lower-case key first: where it is there, it is the header. Other spellings take a walk over the keys, unless the
    /// keys' marks tell that there is none.
    #[inline]
    fn in_dict(
        &self,
        dict: &Bound<'py, PyDict>,
        name: &HeaderName<PyAttach>,
        key: impl FnOnce() -> Bound<'py, PyAny>,
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> PyResult<()> {
        let own = mark(name.text.as_bytes());
        if self.marks.get().is_some_and(|marks| !marks.has(own)) {
            return Ok(());
        }
        if let Some(value) = dict.get_item(key())? {
            return with_bytes(&value, |line| visit(line)).map(drop);
        }
        if self.marks.get().is_none() {
            self.marks.set(scan::marks(dict));
            if self.marks.get().is_some_and(|marks| !marks.has(own)) {
                return Ok(());
            }
        }
        let (mut more, mut marks) = (true, Marks::NONE);
        let all_str = scan::keys_of_lengths(dict, name.lengths, |key, value| {
            marks.add(with_bytes(&key, mark)?);
            if more && is_name(&key, &name.text)? {
                more = with_bytes(&value, |line| visit(line))?;
            }
            Ok(())
        })?;
        self.marks.set(all_str.then_some(marks));
        Ok(())
    }
}

fn in_pairs(headers: &Bound<'_, PyAny>, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> PyResult<()> {
    let pairs = match headers.getattr_opt(intern!(headers.py(), "items"))? {
        Some(items) => items.call0()?,
        None => headers.clone(),
    };
    for pair in pairs.try_iter()? {
        let (key, value) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        if is_name(&key, name)? && !with_bytes(&value, |line| visit(line))? {
            break;
        }
    }
    Ok(())
}

#[inline]
fn is_name(key: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
    with_bytes(key, |key| key.len() == name.len() && key.eq_ignore_ascii_case(name.as_bytes()))
}

#[inline]
fn with_bytes<T>(value: &Bound<'_, PyAny>, read: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    if let Ok(text) = value.cast::<PyString>() {
        Ok(read(text.to_str()?.as_bytes()))
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        Ok(read(bytes.as_bytes()))
    } else {
        let kind = value.get_type().name()?;
        Err(PyTypeError::new_err(format!("header names and values are str or bytes, not {kind}")))
    }
}

/// The values of these headers (lower case), the lines of one joined by commas; None where there is none. In a plain dict the
/// lower-case key comes first, as everywhere.
pub fn joined(headers: &Bound<'_, PyAny>, names: &[&str]) -> PyResult<Vec<Option<String>>> {
    let mut values: Vec<Option<String>> = vec![None; names.len()];
    let mut open = vec![true; names.len()];
    if let Ok(dict) = headers.cast_exact::<PyDict>() {
        for (at, name) in names.iter().enumerate() {
            if let Some(value) = dict.get_item(name)? {
                (values[at], open[at]) = (Some(text(&value)?), false);
            }
        }
        if !open.contains(&true) {
            return Ok(values);
        }
    }
    each(headers, |_, key, value| {
        with_bytes(key, |key| names.iter().position(|name| key.eq_ignore_ascii_case(name.as_bytes())))?
            .filter(|at| open[*at])
            .map_or(Ok(()), |at| {
                let line = text(value)?;
                match &mut values[at] {
                    Some(joined) => *joined = format!("{joined},{line}"),
                    none => *none = Some(line),
                }
                Ok(())
            })
    })?;
    Ok(values)
}

/// Every line in order: the pair where it is a tuple, its name and its value.
fn each<'py>(
    headers: &Bound<'py, PyAny>,
    mut visit: impl FnMut(Option<&Bound<'py, PyTuple>>, &Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let mut one = |pair: Bound<'py, PyAny>| match pair.cast_exact::<PyTuple>() {
        Ok(line) if line.len() == 2 => visit(Some(line), &line.get_item(0)?, &line.get_item(1)?),
        _ => {
            let (name, value) = pair.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
            visit(None, &name, &value)
        }
    };
    // The usual kind first: asking a list for `items` costs as much as reading it.
    if let Ok(list) = headers.cast_exact::<PyList>() {
        return list.iter().try_for_each(one);
    }
    // What is there now: another thread may change it meanwhile.
    if let Ok(dict) = headers.cast_exact::<PyDict>() {
        return dict.items().iter().try_for_each(one);
    }
    let items = match headers.getattr_opt(intern!(headers.py(), "items"))? {
        Some(items) => items.call0()?,
        None => headers.clone(),
    };
    items.try_iter()?.try_for_each(|pair| one(pair?))
}

/// The lines that `apply` was given, as pairs of text.
pub struct Lines<'py> {
    held: Vec<(Bound<'py, PyTuple>, Bound<'py, PyString>)>,
}

/// A line on its way through the operations: one that none touched stays the object it is.
pub enum Line<'o, 'py> {
    Given { pair: &'o Bound<'py, PyTuple>, name: &'o str },
    Made { name: &'o str, value: Cow<'o, str> },
}

impl<'py> Lines<'py> {
    pub fn of(headers: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = headers.py();
        let mut held = Vec::with_capacity(headers.cast_exact::<PyList>().map_or(8, PyListMethods::len));
        each(headers, |pair, name, value| {
            held.push(match (pair, name.cast::<PyString>(), value.is_instance_of::<PyString>()) {
                (Some(pair), Ok(name), true) => (pair.clone(), name.clone()),
                _ => {
                    let name = PyString::new(py, &text(name)?);
                    (PyTuple::new(py, [&name, &PyString::new(py, &text(value)?)])?, name)
                }
            });
            Ok(())
        })?;
        Ok(Lines { held })
    }

    /// To work on. UnicodeEncodeError where a name is no text.
    pub fn open(&self) -> PyResult<Vec<Line<'_, 'py>>> {
        self.held.iter().map(|(pair, name)| Ok(Line::Given { pair, name: name.to_str()? })).collect()
    }

    /// The value of the first line of that name.
    pub fn first(&self, name: &str) -> Option<String> {
        let is_it = |(_, known): &&(_, Bound<'py, PyString>)| {
            known.to_str().is_ok_and(|known| known.eq_ignore_ascii_case(name))
        };
        self.held.iter().find(is_it).and_then(|(pair, _)| pair.get_item(1).ok()?.extract().ok())
    }
}

impl<'o> rewrite::Line<'o> for Line<'o, '_> {
    fn is(&self, name: &str) -> bool {
        let (Line::Given { name: own, .. } | Line::Made { name: own, .. }) = self;
        own.eq_ignore_ascii_case(name)
    }

    fn of(name: &'o str, value: Cow<'o, str>) -> Self {
        Line::Made { name, value }
    }
}

/// What came of the lines.
pub fn list<'py>(py: Python<'py>, lines: Vec<Line<'_, 'py>>) -> PyResult<Bound<'py, PyList>> {
    let pairs = lines.into_iter().map(|line| match line {
        Line::Given { pair, .. } => Ok(pair.clone()),
        Line::Made { name, value } => (name, value).into_pyobject(py),
    });
    PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)
}

/// Bytes are read as the octets they are (Latin-1), as HTTP libraries do.
fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    match value.cast::<PyString>() {
        Ok(text) => Ok(text.to_str()?.to_owned()),
        Err(_) => with_bytes(value, |bytes| match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        }),
    }
}
