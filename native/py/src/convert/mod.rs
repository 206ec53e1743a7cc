//! `roadstead._lowered` tuples → the core's model, by position: one crossing for a unit.

mod cluster;
mod fields;
mod route;

use pyo3::prelude::*;
use roadstead_core::model::{Port, Protocol, Service, Unit};

use crate::attach::{Handle, PyAttach};
use fields::Fields;

pub use cluster::{Interned, groups};

/// A `_lowered.Unit` (or a plain tuple of the same shape).
pub fn unit(value: &Bound<'_, PyAny>, interned: &mut Interned) -> PyResult<Unit<PyAttach>> {
    let fields = Fields::of(value, "Unit", 6)?;
    Ok(Unit {
        key: fields.string(0)?,
        order: fields.string(1)?,
        services: fields.list(2, |item| service(&item))?,
        clusters: fields.list(3, |item| cluster::cluster(&item, interned))?,
        virtual_hosts: fields.list(4, |item| route::virtual_host(&item))?,
        chains: fields.list(5, |item| route::chain(&item))?,
    })
}

fn service(value: &Bound<'_, PyAny>) -> PyResult<Service<PyAttach>> {
    let fields = Fields::of(value, "Service", 5)?;
    Ok(Service {
        handle: handle(&fields, 0)?,
        host: fields.text(1)?,
        namespace: fields.text(2)?,
        addresses: fields.strings(3)?,
        ports: fields.list(4, |item| port(&item))?.into_boxed_slice(),
    })
}

fn port(value: &Bound<'_, PyAny>) -> PyResult<Port> {
    let fields = Fields::of(value, "Port", 3)?;
    Ok(Port { number: fields.number(0)?, name: fields.text(1)?, protocol: fields.code(2, &Protocol::CODES)? })
}

fn handle(fields: &Fields<'_, '_>, index: usize) -> PyResult<Handle> {
    Ok(Handle::new(fields.get(index)?.to_owned().unbind()))
}
