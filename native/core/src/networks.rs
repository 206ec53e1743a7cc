//! Names that are networks of more than one address, as they stand in the trie.

use std::sync::Arc;

use crate::cluster::Service;
use crate::model::Attach;
use crate::names::{Claims, Found, Name, NameKey, Owner};

/// A network's name. Its first service is kept beside it, so that a match seldom reads the name itself.
#[derive(Debug)]
pub struct NetworkName<A: Attach> {
    name: Arc<Name<A>>,
    service: Option<Arc<Service<A>>>,
    /// For the embedder's object of the service.
    cell: A::Cell,
    port: u16,
}

impl<A: Attach> Clone for NetworkName<A> {
    fn clone(&self) -> Self {
        let cell = A::Cell::default();
        NetworkName { name: Arc::clone(&self.name), service: self.service.clone(), cell, port: self.port }
    }
}

impl<A: Attach> NetworkName<A> {
    /// Nobody claims it yet.
    pub fn new(key: NameKey) -> Self {
        let name = Arc::new(Name { key, claims: Claims::default() });
        NetworkName { name, service: None, cell: A::Cell::default(), port: 0 }
    }

    pub fn name(&self) -> &Name<A> {
        &self.name
    }

    pub fn change(&mut self, change: impl FnOnce(&mut Claims<A>)) {
        let name = Arc::make_mut(&mut self.name);
        change(&mut name.claims);
        // Services' places are the lowest.
        let first = name.claims.iter().next();
        self.cell = A::Cell::default();
        (self.service, self.port) = match first.map(|claim| (&claim.owner, claim.place.port())) {
            Some((Owner::Service(service), port)) => (Some(Arc::clone(service)), port),
            Some((Owner::Host(_) | Owner::Chain(_), _)) | None => (None, 0),
        };
    }

    #[inline]
    pub fn service(&self, port: u16) -> Option<Found<'_, A>> {
        match &self.service {
            Some(service) if self.port == port => Some(Found { service, cell: &self.cell }),
            _ => self.name.service(port),
        }
    }
}
