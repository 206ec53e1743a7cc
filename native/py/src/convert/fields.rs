//! Reading one tuple of `_lowered` by position, with errors that name the tuple and the field's position.

use std::ops::RangeInclusive;

use pyo3::Borrowed;
use pyo3::conversion::FromPyObject;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::errors;

const MOST_SECONDS: f64 = 315_576_000_000.0;

pub struct Fields<'a, 'py> {
    items: &'a Bound<'py, PyTuple>,
    what: &'static str,
}

impl<'a, 'py> Fields<'a, 'py> {
    /// Fields are only ever appended, so a longer tuple is fine.
    pub fn of(value: &'a Bound<'py, PyAny>, what: &'static str, arity: usize) -> PyResult<Self> {
        let items = value
            .cast::<PyTuple>()
            .map_err(|_| errors::engine(value.py(), &format!("{what}: expected a tuple, got {}", type_name(value))))?;
        if items.len() < arity {
            let message = format!("{what}: expected {arity} fields, got {}", items.len());
            return Err(errors::engine(value.py(), &message));
        }
        Ok(Fields { items, what })
    }

    pub fn get(&self, index: usize) -> PyResult<Borrowed<'a, 'py, PyAny>> {
        self.items.get_borrowed_item(index)
    }

    /// None where the field is None.
    pub fn optional(&self, index: usize) -> PyResult<Option<Borrowed<'a, 'py, PyAny>>> {
        let item = self.get(index)?;
        Ok(if item.is_none() { None } else { Some(item) })
    }

    fn wrong(&self, index: usize, expected: &str) -> PyErr {
        let got = self.get(index).map_or_else(|_| "nothing".to_owned(), |item| type_name(&item));
        errors::engine(self.items.py(), &format!("{}, field {index}: expected {expected}, got {got}", self.what))
    }

    /// None where the field is None.
    pub fn optional_tuple(&self, index: usize) -> PyResult<Option<Py<PyTuple>>> {
        let Some(item) = self.optional(index)? else {
            return Ok(None);
        };
        match (*item).cast::<PyTuple>() {
            Ok(tuple) => Ok(Some(tuple.clone().unbind())),
            Err(_) => Err(self.wrong(index, "a tuple")),
        }
    }

    fn with_str<T>(&self, index: usize, make: impl FnOnce(&str) -> T) -> PyResult<T> {
        let item = self.get(index)?;
        let text = item.cast::<PyString>().map_err(|_| self.wrong(index, "str"))?;
        Ok(make(text.to_str().map_err(|_| self.wrong(index, "text that is valid Unicode"))?))
    }

    pub fn string(&self, index: usize) -> PyResult<String> {
        self.with_str(index, str::to_owned)
    }

    pub fn text(&self, index: usize) -> PyResult<Box<str>> {
        self.with_str(index, |text| Box::from(text))
    }

    pub fn optional_text(&self, index: usize) -> PyResult<Option<Box<str>>> {
        self.optional(index)?.map(|_| self.text(index)).transpose()
    }

    pub fn bytes(&self, index: usize) -> PyResult<Box<[u8]>> {
        let item = self.get(index)?;
        let bytes = item.cast::<PyBytes>().map_err(|_| self.wrong(index, "bytes"))?;
        Ok(Box::from(bytes.as_bytes()))
    }

    pub fn number<T>(&self, index: usize) -> PyResult<T>
    where
        T: for<'b> FromPyObject<'b, 'py>,
    {
        self.get(index)?.extract().map_err(|_| {
            let value = self.get(index).and_then(|item| item.repr().map(|text| text.to_string()));
            let expected = format!("a {} (value {})", std::any::type_name::<T>(), value.unwrap_or_default());
            self.wrong(index, &expected)
        })
    }

    /// A number with limits beside those of its type.
    pub fn within(&self, index: usize, range: RangeInclusive<u32>) -> PyResult<u32> {
        let number = self.number(index)?;
        if range.contains(&number) {
            return Ok(number);
        }
        let message =
            format!("{}, field {index}: {number} is not from {} to {}", self.what, range.start(), range.end());
        Err(errors::engine(self.items.py(), &message))
    }

    /// A span of time, as protobuf has it.
    pub fn seconds(&self, index: usize) -> PyResult<f64> {
        self.seconds_to(index, MOST_SECONDS)
    }

    /// A span of time that is at most so long.
    pub fn seconds_to(&self, index: usize, most: f64) -> PyResult<f64> {
        let number: f64 = self.number(index)?;
        if (0.0..=most).contains(&number) {
            return Ok(number);
        }
        let message = format!("{}, field {index}: {number} is not from 0 to {most}", self.what);
        Err(errors::engine(self.items.py(), &message))
    }

    pub fn flag(&self, index: usize) -> PyResult<bool> {
        self.get(index)?.is_truthy()
    }

    pub fn optional_number<T>(&self, index: usize) -> PyResult<Option<T>>
    where
        T: for<'b> FromPyObject<'b, 'py>,
    {
        self.optional(index)?.map(|_| self.number(index)).transpose()
    }

    /// One of the numbered words of `_lowered`.
    pub fn code<T: Copy>(&self, index: usize, words: &[T]) -> PyResult<T> {
        let number: usize = self.number(index)?;
        words.get(number).copied().ok_or_else(|| {
            let message = format!("{}, field {index}: no code {number} (0 to {})", self.what, words.len() - 1);
            errors::engine(self.items.py(), &message)
        })
    }

    pub fn list<T>(&self, index: usize, make: impl FnMut(Bound<'py, PyAny>) -> PyResult<T>) -> PyResult<Vec<T>> {
        let item = self.get(index)?;
        match item.cast::<PyTuple>() {
            Ok(items) => items.iter().map(make).collect(),
            Err(_) => Err(self.wrong(index, "a tuple")),
        }
    }

    pub fn strings(&self, index: usize) -> PyResult<Vec<String>> {
        let what = self.what;
        self.list(index, |item| match item.cast::<PyString>() {
            Ok(text) => Ok(text.to_str()?.to_owned()),
            Err(_) => {
                let message = format!("{what}, field {index}: expected strings, got {}", type_name(&item));
                Err(errors::engine(item.py(), &message))
            }
        })
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}
