//! Units that are kept as a template and columns of names. Each of their parts is made when somebody asks for it.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use once_cell::race::OnceBox;

use crate::chains::Chain;
use crate::cluster::{Cluster, Dormant, Service, UnitId};
use crate::columns::HostColumn;
use crate::engine::Source;
use crate::model::Attach;
use crate::names::{Claim, Form, HostKey, Owner, Place, Role, hash_network};
use crate::regex::Regexes;
use crate::sketch::{Key, Sketch, id_of};
use crate::template::{Filling, Making, Names, Template};
use crate::text::{Network, ip_of};
use crate::unit::Compiled;
use crate::virtual_host::{VirtualHost, Weighted};

/// Rows whose places are made together.
const CHUNK: usize = 64;

/// The names of many units, those that their template uses.
pub struct Columns {
    texts: Box<[Texts]>,
    /// Which name of the template a column is.
    pub indices: Box<[usize]>,
    rows: u32,
}

/// Strings in one piece.
struct Texts {
    text: Box<str>,
    ends: Box<[u32]>,
}

impl Texts {
    #[inline]
    fn get(&self, row: usize) -> Option<&str> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..*self.ends.get(row)? as usize)
    }
}

impl Columns {
    /// None where there is more text than 4 GB in one column.
    pub fn new(columns: &[&HostColumn], indices: Vec<usize>, rows: u32) -> Option<Self> {
        let texts = indices.iter().map(|index| {
            let column = columns.get(*index)?;
            let ends = column.ends().iter().map(|end| u32::try_from(*end).ok());
            Some(Texts { text: column.whole().into(), ends: ends.collect::<Option<_>>()? })
        });
        Some(Columns { texts: texts.collect::<Option<_>>()?, indices: indices.into(), rows })
    }

    #[inline]
    pub fn row(&self, row: u32) -> RowNames<'_> {
        RowNames { columns: self, row: row as usize }
    }

    pub fn len(&self) -> u32 {
        self.rows
    }
}

/// The names of one row, by column.
#[derive(Clone, Copy)]
pub struct RowNames<'c> {
    columns: &'c Columns,
    row: usize,
}

impl Names for RowNames<'_> {
    #[inline]
    fn name(&self, column: usize) -> Option<&str> {
        self.columns.texts.get(column)?.get(self.row)
    }
}

/// The same by the index in the template.
struct ByIndex<'c>(RowNames<'c>);

impl Names for ByIndex<'_> {
    fn name(&self, index: usize) -> Option<&str> {
        let column = self.0.columns.indices.iter().position(|known| *known == index)?;
        self.0.name(column)
    }
}

/// The first positions of a shelf's units; each has as many of each as the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    pub service: u32,
    pub cluster: u32,
    pub slot: u32,
}

pub struct Shelf<A: Attach> {
    template: Arc<Template<A>>,
    pub sketch: Sketch,
    pub columns: Columns,
    making: Arc<dyn Making<A>>,
    pub first: First,
    kept: Box<[OnceLock<Chunk<A>>]>,
    starts: Source<u64>,
    regexes: Mutex<Regexes>,
}

type Chunk<A> = Box<[OnceBox<Kept<A>>]>;

/// What was made of a row.
struct Kept<A: Attach> {
    service: OnceLock<Arc<Service<A>>>,
    hosts: Box<[OnceLock<Arc<VirtualHost<A>>>]>,
    beyond: OnceBox<Beyond<A>>,
}

/// What is made of a row where requests go further than to its routes.
struct Beyond<A: Attach> {
    id: OnceLock<Arc<UnitId>>,
    clusters: Box<[OnceLock<Arc<Cluster<A>>>]>,
    chains: OnceLock<Box<[Claim<A>]>>,
}

impl<A: Attach> fmt::Debug for Shelf<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("rows", &self.columns.len()).field("first", &self.first).finish_non_exhaustive()
    }
}

/// Where two make the same at the same time, the first one's is kept. They do not wait for each other: making may wait for a
/// lock of the embedder, and who has that may wait here.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> T) -> &T {
    if let Some(known) = cell.get() {
        return known;
    }
    drop(cell.set(make()));
    cell.get().unwrap_or_else(|| unreachable!("it was set"))
}

fn unset<T>(count: usize) -> Box<[OnceLock<T>]> {
    (0..count).map(|_| OnceLock::new()).collect()
}

impl<A: Attach> Shelf<A> {
    pub fn new(
        template: Arc<Template<A>>,
        sketch: Sketch,
        columns: Columns,
        making: Arc<dyn Making<A>>,
        first: First,
        starts: Source<u64>,
    ) -> Self {
        let kept = unset((columns.len() as usize).div_ceil(CHUNK));
        Shelf { template, sketch, columns, making, first, kept, starts, regexes: Mutex::default() }
    }

    fn kept(&self, row: u32) -> &Kept<A> {
        let row = row as usize;
        let chunk = self.kept[row / CHUNK].get_or_init(|| (0..CHUNK).map(|_| OnceBox::new()).collect());
        chunk[row % CHUNK].get_or_init(|| {
            let hosts = unset(self.sketch.leads.len());
            Box::new(Kept { service: OnceLock::new(), hosts, beyond: OnceBox::new() })
        })
    }

    fn beyond(&self, row: u32) -> &Beyond<A> {
        self.kept(row).beyond.get_or_init(|| {
            let clusters = unset(self.sketch.clusters.len());
            Box::new(Beyond { id: OnceLock::new(), clusters, chains: OnceLock::new() })
        })
    }

    /// What was made of a row, if anything was.
    fn known(&self, row: u32) -> Option<&Kept<A>> {
        let row = row as usize;
        self.kept[row / CHUNK].get()?.get(row % CHUNK)?.get()
    }

    fn with<T>(&self, row: u32, make: impl FnOnce(&Filling<'_, A, ByIndex<'_>>) -> T) -> T {
        make(&self.template.filled(row, &ByIndex(self.columns.row(row)), &*self.making))
    }

    /// The whole unit, as it would be put by itself.
    pub fn unit(&self, row: u32) -> crate::model::Unit<A> {
        self.with(row, |unit| unit.unit())
    }

    fn id(&self, row: u32) -> &Arc<UnitId> {
        once(&self.beyond(row).id, || self.with(row, |unit| Arc::new(id_of(unit.order(), unit.key()))))
    }

    pub fn service(&self, row: u32) -> &Arc<Service<A>> {
        once(&self.kept(row).service, || {
            let given = Arc::new(self.with(row, |unit| unit.service(0)));
            Arc::new(Service { given, index: self.first.service + row, cell: A::Cell::default() })
        })
    }

    /// Position among all of the row's clusters.
    fn nth(&self, row: u32, at: usize) -> u32 {
        row * self.sketch.clusters.len() as u32 + at as u32
    }

    pub fn cluster(&self, row: u32, at: usize) -> &Arc<Cluster<A>> {
        once(&self.beyond(row).clusters[at], || {
            let given = self.with(row, |unit| unit.cluster(at));
            let start = (self.starts)();
            Arc::new(Cluster {
                handle: Some(given.handle),
                name: Arc::from(given.name),
                kind: given.kind,
                port_override: given.port_override,
                index: self.first.cluster + self.nth(row, at),
                unit: Arc::clone(self.id(row)),
                cell: A::Cell::default(),
                live: Arc::new(Dormant::new(given.lb, given.limits, given.outliers, given.groups, start)),
            })
        })
    }

    /// A cluster that was made already.
    pub fn known_cluster(&self, row: u32, at: usize) -> Option<&Arc<Cluster<A>>> {
        self.known(row)?.beyond.get()?.clusters[at].get()
    }

    pub fn slot(&self, row: u32, at: usize) -> u32 {
        self.first.slot + self.nth(row, at)
    }

    /// Leads destinations to the clusters of their own unit.
    fn resolve<'w>(&self, row: u32, leads: &[u32], weighted: impl Iterator<Item = &'w mut Weighted>) {
        let destinations = weighted.flat_map(|weighted| &mut weighted.destinations);
        for (destination, at) in destinations.zip(leads) {
            destination.slot = self.slot(row, *at as usize);
        }
    }

    pub fn host(&self, row: u32, at: usize) -> &Arc<VirtualHost<A>> {
        once(&self.kept(row).hosts[at], || {
            let given = self.with(row, |unit| unit.virtual_host(at));
            let mut regexes = self.regexes.lock().unwrap_or_else(PoisonError::into_inner);
            let made = VirtualHost::new(given, &mut regexes);
            drop(regexes);
            let mut host = made.unwrap_or_else(|_| unreachable!("one like it was made, and its addresses were read"));
            let service = Some(self.service(row)).filter(|service| service.protocol(host.port).is_some());
            host.set_service(service);
            let weighted = host.routes.iter_mut().filter_map(|route| route.weighted.as_mut());
            self.resolve(row, &self.sketch.leads[at], weighted);
            Arc::new(host)
        })
    }

    /// Its chains, each with its claim on its listener, in order.
    fn chains(&self, row: u32) -> &[Claim<A>] {
        once::<Box<[_]>>(&self.beyond(row).chains, || {
            let made = |at: usize| {
                let given = self.with(row, |unit| unit.chain(at));
                let made = Chain::new(given);
                let mut chain = made.unwrap_or_else(|_| unreachable!("one like it was made, and its address was read"));
                self.resolve(row, &self.sketch.chain_leads[at], std::iter::once(&mut chain.weighted));
                Claim {
                    place: Place::new(Role::Chain, chain.port),
                    tier: 0,
                    position: at as u32,
                    unit: Arc::clone(self.id(row)),
                    owner: Owner::Chain(Arc::new(chain)),
                    cell: A::Cell::default(),
                }
            };
            (0..self.sketch.chains.len()).map(made).collect()
        })
    }

    pub fn chain(&self, row: u32, at: usize) -> &[Claim<A>] {
        self.chains(row).get(at).map_or(&[], std::slice::from_ref)
    }

    /// All of it, to be put into the tables. What was made already is the same.
    pub fn compiled(&self, row: u32) -> Compiled<A> {
        Compiled {
            id: Arc::clone(self.id(row)),
            services: Box::new([Arc::clone(self.service(row))]),
            clusters: (0..self.sketch.clusters.len()).map(|at| Arc::clone(self.cluster(row, at))).collect(),
            hosts: (0..self.sketch.leads.len()).map(|at| Arc::clone(self.host(row, at))).collect(),
            chains: self.chains(row).iter().filter_map(Claim::chain).cloned().collect(),
        }
    }

    // Names

    /// The hash of each key of a row, in order.
    pub fn hash(&self, row: u32, key: &Key, room: &mut String) -> u64 {
        let names = self.columns.row(row);
        match key.form {
            Some(form) => key.pattern.read(&names, room, |text| HostKey { form, text }.hash()),
            None => self.network(row, key).map_or(0, hash_network),
        }
    }

    /// Reads a name; an address as one that is written so.
    pub fn host_name<T>(&self, row: u32, key: &Key, read: impl FnOnce(HostKey<'_>) -> T) -> T {
        let (names, form) = (self.columns.row(row), key.form.unwrap_or(Form::Exact));
        key.pattern.read(&names, &mut String::new(), |text| read(HostKey { form, text }))
    }

    /// The address that a key is.
    pub fn network(&self, row: u32, key: &Key) -> Option<Network> {
        let names = self.columns.row(row);
        ip_of(key.pattern.bare(&names)).filter(|_| key.form.is_none()).map(Network::host)
    }

    #[inline]
    pub fn is(&self, row: u32, key: &Key, wanted: HostKey<'_>) -> bool {
        key.form == Some(wanted.form) && key.pattern.is(wanted.text, &self.columns.row(row))
    }

    /// A name as it is written, star included.
    pub fn text(&self, row: u32, key: &Key) -> String {
        self.host_name(row, key, |name| match name.form {
            Form::Suffix => format!("*{}", name.text),
            Form::Prefix => format!("{}*", name.text),
            Form::Exact => name.text.to_owned(),
        })
    }

    /// The key of a row's unit.
    pub fn key(&self, row: u32) -> String {
        self.text(row, &self.sketch.keys[self.sketch.own])
    }

    /// Which of a row's clusters has the name.
    pub fn cluster_named(&self, row: u32, name: &str) -> Option<usize> {
        let names = self.columns.row(row);
        self.sketch.clusters.iter().position(|pattern| pattern.is(name, &names))
    }
}
