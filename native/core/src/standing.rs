//! Where the name of a row leads: to its row, and, once somebody has asked for its service, to that one at once.

use std::num::NonZeroU64;
use std::sync::Arc;

use once_cell::race::OnceBox;
use smallvec::SmallVec;

use crate::cluster::Service;
use crate::model::Attach;
use crate::names::{Form, Found, HostKey};
use crate::text::Network;

/// A row of a shelf, and one of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowAt(NonZeroU64);

impl RowAt {
    pub const SHELVES: u64 = 1 << 16;
    const KEYS: u64 = 1 << 8;

    pub fn new(shelf: usize, key: usize, row: u32) -> Self {
        let packed = (shelf as u64 * Self::KEYS + key as u64) << 32 | u64::from(row);
        // The highest bit is free: there are at most 2^16 shelves and 2^8 keys.
        RowAt(NonZeroU64::new(packed | 1 << 63).unwrap_or(NonZeroU64::MIN))
    }

    pub fn shelf(self) -> usize {
        (self.0.get() >> 40) as usize & (Self::SHELVES as usize - 1)
    }

    pub fn key(self) -> usize {
        (self.0.get() >> 32) as usize & (Self::KEYS as usize - 1)
    }

    pub fn row(self) -> u32 {
        self.0.get() as u32
    }
}

/// What stands in the table of names.
pub struct Standing<A: Attach> {
    pub at: RowAt,
    asked: OnceBox<Asked<A>>,
}

impl<A: Attach> Clone for Standing<A> {
    /// Only the few names of a table's piece that changes are cloned; who asks for them next makes the rest again.
    fn clone(&self) -> Self {
        Standing::new(self.at)
    }
}

impl<A: Attach> Standing<A> {
    pub fn new(at: RowAt) -> Self {
        Standing { at, asked: OnceBox::new() }
    }

    /// None while nobody has asked for the service.
    #[inline]
    pub fn asked(&self) -> Option<&Asked<A>> {
        self.asked.get()
    }

    /// Where two ask for the first time at once, one's is kept.
    pub fn ask(&self, make: impl FnOnce() -> Asked<A>) -> &Asked<A> {
        self.asked.get_or_init(|| Box::new(make()))
    }
}

/// Ports that are kept beside a service; few have more.
const PORTS: usize = 4;

/// A name whose service was asked for: what the next look-up needs, side by side.
#[repr(C, align(64))]
pub struct Asked<A: Attach> {
    name: AskedName,
    /// At which the name's service is declared, one of them again where there are fewer.
    ports: [u16; PORTS],
    /// For the embedder's object.
    cell: A::Cell,
    service: Arc<Service<A>>,
}

enum AskedName {
    /// The star taken off.
    Host(Form, SmallVec<[u8; 64]>),
    Network(Network),
}

impl<A: Attach> Asked<A> {
    pub fn host(name: HostKey<'_>, ports: impl Iterator<Item = u16>, service: &Arc<Service<A>>) -> Self {
        Asked::new(AskedName::Host(name.form, SmallVec::from_slice(name.text.as_bytes())), ports, service)
    }

    pub fn network(name: Network, ports: impl Iterator<Item = u16>, service: &Arc<Service<A>>) -> Self {
        Asked::new(AskedName::Network(name), ports, service)
    }

    fn new(name: AskedName, mut ports: impl Iterator<Item = u16>, service: &Arc<Service<A>>) -> Self {
        let first = ports.next().unwrap_or_default();
        let mut kept = [first; PORTS];
        kept[1..].iter_mut().zip(ports).for_each(|(kept, port)| *kept = port);
        Asked { name, ports: kept, cell: A::Cell::default(), service: Arc::clone(service) }
    }

    #[inline]
    pub fn is(&self, wanted: HostKey<'_>) -> bool {
        matches!(&self.name, AskedName::Host(form, text) if *form == wanted.form && **text == *wanted.text.as_bytes())
    }

    pub fn is_network(&self, wanted: Network) -> bool {
        matches!(&self.name, AskedName::Network(network) if *network == wanted)
    }

    /// Whether the service is known to be declared at the port; more ports may be than are kept here.
    #[inline]
    pub fn has(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    #[inline]
    pub fn found(&self) -> Found<'_, A> {
        Found { service: &self.service, cell: &self.cell }
    }
}
