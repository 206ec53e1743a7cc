//! `Template`: a unit with its names left out, of which the units of thousands of hosts are made without a crossing for
//! each of their parts.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use roadstead_core::model::Unit;
use roadstead_core::template::{self, Making, Piece};

use crate::attach::{Handle, Kept, Makers, PyAttach};
use crate::errors;

#[pyclass(frozen, module = "roadstead._core")]
pub struct Template(Arc<template::Template<PyAttach>>);

impl Template {
    pub fn new(py: Python<'_>, unit: Unit<PyAttach>) -> PyResult<Self> {
        let made = template::Template::new(unit).map_err(|error| errors::from_core(py, &error))?;
        Ok(Template(Arc::new(made)))
    }

    pub fn core(&self) -> &Arc<template::Template<PyAttach>> {
        &self.0
    }

    /// The unit with these names in their places. maker: see `_lowered.Unit`.
    pub fn unit(&self, names: &Bound<'_, PyTuple>, maker: Py<PyAny>) -> PyResult<Unit<PyAttach>> {
        let borrowed: Vec<_> = names.iter_borrowed().collect();
        let names = borrowed.iter().map(|name| (**name).cast::<PyString>()?.to_str()).collect::<PyResult<Vec<_>>>()?;
        Ok(self.0.filled(0, &*names, &Attached::new(Some(vec![maker]))).unit())
    }
}

/// What units of a template come with: theirs is made of the template's without the GIL.
#[derive(Debug)]
pub struct Attached(Arc<Makers>);

impl Attached {
    pub fn new(makers: Option<Vec<Py<PyAny>>>) -> Self {
        Attached(Arc::new(Makers(makers.map(Vec::into_boxed_slice))))
    }
}

impl Making<PyAttach> for Attached {
    fn handle(&self, row: u32, like: &Handle, piece: Piece, at: u32) -> Handle {
        like.like(&self.0, row, piece, at)
    }

    fn labels(&self, like: &Kept<PyAny>) -> Kept<PyAny> {
        like.again()
    }
}
