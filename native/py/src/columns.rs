//! `HostColumn`: strings prepared once for many look-ups, readable without the GIL.

use pyo3::prelude::*;
use pyo3::types::PyString;
use roadstead_core::columns;

use crate::errors;

#[pyclass(frozen, module = "roadstead._core")]
pub struct HostColumn(columns::HostColumn);

impl HostColumn {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn column(&self) -> &columns::HostColumn {
        &self.0
    }
}

#[pymethods]
impl HostColumn {
    #[new]
    fn new(values: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut column = columns::HostColumn::default();
        for value in values.try_iter()? {
            column.push(value?.cast::<PyString>()?.to_str()?);
        }
        Ok(HostColumn(column))
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
