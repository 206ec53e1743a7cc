//! `roadstead._lowered` tuples → the core's model, by position: one crossing for a unit.

mod cluster;
mod fields;
mod route;

use pyo3::prelude::*;
use roadstead_core::model::{Port, Protocol, Service, Unit};
use roadstead_core::template::Piece;

use crate::attach::{Handle, Kept, PyAttach};
use fields::Fields;

pub use cluster::{Interned, groups};

/// A `_lowered.Unit` (or a plain tuple of the same shape).
pub fn unit(value: &Bound<'_, PyAny>, interned: &mut Interned) -> PyResult<Unit<PyAttach>> {
    whole(value, interned, false)
}

/// The same of which others are made.
pub fn template(value: &Bound<'_, PyAny>, interned: &mut Interned) -> PyResult<Unit<PyAttach>> {
    whole(value, interned, true)
}

/// shared: what it comes with is for many units.
fn whole(value: &Bound<'_, PyAny>, interned: &mut Interned, shared: bool) -> PyResult<Unit<PyAttach>> {
    let fields = Fields::of(value, "Unit", 7)?;
    let maker = fields.optional(6)?.map(|maker| maker.to_owned());
    let mut handles = Handles { maker, shared, counts: [0; 5] };
    Ok(Unit {
        key: fields.string(0)?,
        order: fields.string(1)?,
        services: fields.list(2, |item| service(&item, &mut handles))?,
        clusters: fields.list(3, |item| cluster::cluster(&item, interned, &mut handles))?,
        virtual_hosts: fields.list(4, |item| route::virtual_host(&item, interned, &mut handles))?,
        chains: fields.list(5, |item| route::chain(&item, &mut handles))?,
    })
}

/// The handles of one unit: what came with each piece, or its place for the unit's maker.
struct Handles<'py> {
    maker: Option<Bound<'py, PyAny>>,
    shared: bool,
    /// Pieces of each sort so far.
    counts: [u32; 5],
}

impl Handles<'_> {
    /// The handle of the next piece of a sort. policy: the field that has one.
    fn next(&mut self, fields: &Fields<'_, '_>, piece: Piece, policy: Option<usize>) -> PyResult<Handle> {
        let policy = policy.map(|field| fields.optional_tuple(field)).transpose()?.flatten();
        let policy = policy.map(|policy| Kept::new(policy, self.shared));
        let Some(maker) = &self.maker else {
            let object = Kept::new(fields.get(0)?.to_owned().unbind(), self.shared);
            return Ok(Handle::given(object, piece, policy));
        };
        let count = &mut self.counts[piece as usize];
        let at = *count;
        *count += 1;
        Ok(Handle::made_by(maker.clone().unbind(), piece, at, policy))
    }
}

fn service(value: &Bound<'_, PyAny>, handles: &mut Handles<'_>) -> PyResult<Service<PyAttach>> {
    let fields = Fields::of(value, "Service", 5)?;
    Ok(Service {
        handle: handles.next(&fields, Piece::Service, None)?,
        host: fields.text(1)?,
        namespace: fields.text(2)?,
        addresses: fields.strings(3)?,
        ports: fields.list(4, |item| port(&item))?.into(),
    })
}

fn port(value: &Bound<'_, PyAny>) -> PyResult<Port> {
    let fields = Fields::of(value, "Port", 3)?;
    Ok(Port { number: fields.number(0)?, name: fields.text(1)?, protocol: fields.code(2, &Protocol::CODES)? })
}
