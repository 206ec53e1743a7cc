//! `HostColumn`: strings prepared once for many look-ups, readable without the GIL.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors;

/// Strings one after the other, and where each ends.
#[pyclass(frozen, module = "roadstead._core")]
pub struct HostColumn {
    text: String,
    ends: Vec<usize>,
}

impl HostColumn {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

#[pymethods]
impl HostColumn {
    #[new]
    fn new(values: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut column = HostColumn { text: String::new(), ends: Vec::new() };
        for value in values.try_iter()? {
            column.text.push_str(value?.cast::<PyString>()?.to_str()?);
            column.ends.push(column.text.len());
        }
        column.text.shrink_to_fit();
        Ok(column)
    }

    fn __len__(&self) -> usize {
        self.len()
    }
}

/// A column that must have as many strings as there are rows.
pub fn of_length<'c>(py: Python<'_>, column: &'c HostColumn, what: &str, rows: usize) -> PyResult<&'c HostColumn> {
    if column.len() == rows {
        return Ok(column);
    }
    Err(errors::engine(py, &format!("{what}: {} strings where {rows} were expected", column.len())))
}
