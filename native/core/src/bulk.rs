//! Changes of many units at once: a template and columns of names, kept as such until somebody asks for a unit or something
//! else comes in its way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::builder::{Builder, counted, wide};
use crate::cluster::ClusterName;
use crate::columns::HostColumn;
use crate::error::Error;
use crate::model::Attach;
use crate::names::{Form, HostKey, Name, NameKey, NodeKey, Spot, hash_network, hash_text};
use crate::rows::RowName;
use crate::shelf::{Columns, First, Shelf};
use crate::sketch::Sketch;
use crate::template::{Making, Names, Template};
use crate::unit::Draft;

/// The names of one row as they came.
struct Given<'c>(&'c [&'c HostColumn], usize);

impl Names for Given<'_> {
    fn name(&self, index: usize) -> Option<&str> {
        Some(self.0.get(index)?.text(self.1))
    }
}

impl<A: Attach> Builder<A> {
    /// `put` of the template's unit for each row: with the names of that row, a column for each name. Bad input changes nothing.
    pub fn put_rows(
        &mut self,
        template: &Arc<Template<A>>,
        columns: &[&HostColumn],
        making: Arc<dyn Making<A>>,
    ) -> Result<(), Error> {
        let used = template.used();
        let rows = columns.first().map_or(0, |column| column.len());
        if columns.iter().any(|column| column.len() != rows) || used.last().is_some_and(|last| *last >= columns.len()) {
            return Err(Error::Invalid(
                "a column for each name of the template is needed, all of one length".to_owned(),
            ));
        }
        let Ok(count) = u32::try_from(rows) else {
            return Err(Error::Invalid(format!("{rows} rows are too many")));
        };
        let each = template.unit.clusters.len() as u64;
        let fits = u64::from(count) * each < 1 << 30 && self.next.rows.has_room() && rows > 1;
        let sketch = Sketch::new(template, &used).filter(|sketch| fits && sketch.keys.len() < 256);
        let kept = sketch.zip(Columns::new(columns, used, count));
        // Rows that are put otherwise, by number: later ones take the place of earlier ones of the same key.
        let mut drafts = BTreeMap::new();
        for row in 0..count {
            let own = kept.as_ref().is_some_and(|(sketch, columns)| sketch.fits(&columns.row(row)));
            // One of them is tried, so that what the template alone gets wrong is told.
            if !own || row == 0 {
                let unit = template.filled(row, &Given(columns, row as usize), &*making).unit();
                let wrong = |error: Error| Error::Invalid(format!("row {row}: {error}"));
                let draft = Draft::new(unit, &mut self.regexes).map_err(wrong)?;
                if !own {
                    drafts.insert(row, draft);
                }
            }
        }
        if let Some((sketch, columns)) = kept {
            self.shelve(Arc::clone(template), sketch, columns, making, &mut drafts);
        }
        drafts.into_values().for_each(|draft| self.put_draft(draft));
        Ok(())
    }

    /// All rows but the drafts, and those that something is in the way of: they become drafts.
    fn shelve(
        &mut self,
        template: Arc<Template<A>>,
        sketch: Sketch,
        columns: Columns,
        making: Arc<dyn Making<A>>,
        drafts: &mut BTreeMap<u32, Draft<A>>,
    ) {
        let each = sketch.clusters.len() as u32;
        let first = First {
            service: self.next.services_at.reserve_many(columns.len()),
            cluster: self.next.clusters_at.reserve_many(columns.len() * each),
            slot: self.next.clusters.reserve_many(columns.len() * each),
        };
        let shelf = Arc::new(Shelf::new(template, sketch, columns, making, first, Arc::clone(&self.starts)));
        let number = self.next.rows.add(Arc::clone(&shelf));
        let (mut shelved, mut room) = (0, String::new());
        let mut others: HashSet<Box<str>> = drafts.values().map(|draft| draft.id.key.clone()).collect();
        // Then only another row may be in the way.
        let alone = self.next.units.is_empty() && self.base.is_empty();
        for row in 0..shelf.columns.len() {
            let own = !drafts.contains_key(&row);
            let free = own
                && (others.is_empty() || !others.contains(&*shelf.key(row)))
                && !self.is_taken(&shelf, row, &mut room)
                && (alone || self.is_new(&shelf, row, &mut room));
            if free {
                for (at, key) in shelf.sketch.keys.iter().enumerate() {
                    self.next.rows.put(shelf.hash(row, key, &mut room), number, at, row);
                }
                self.count_names(&shelf, row, 1);
                shelved += 1;
                continue;
            }
            self.next.rows.take_off(number, row);
            self.free_positions(&shelf, row);
            if own {
                let draft = Draft::new(shelf.unit(row), &mut self.regexes);
                let draft = draft.unwrap_or_else(|_| unreachable!("one like it was made, and its addresses were read"));
                others.insert(draft.id.key.clone());
                drafts.insert(row, draft);
            }
        }
        self.count(&shelf, shelved);
    }

    /// Whether somebody else is called like the row.
    fn is_taken(&self, shelf: &Shelf<A>, row: u32, room: &mut String) -> bool {
        let (next, names) = (&self.next, shelf.columns.row(row));
        shelf.sketch.keys.iter().any(|key| match (key.form, shelf.network(row, key)) {
            (Some(form), _) => key.pattern.read(&names, room, |text| next.name(HostKey { form, text }).is_some()),
            (None, Some(network)) => {
                let is = |known: &Name<A>| known.key.is_network(network);
                next.rows.network(network).is_some() || next.names.get(hash_network(network), is).is_some()
            }
            (None, None) => true,
        })
    }

    /// Whether nothing is known of the row's unit, its clusters and its listeners, by another name either.
    fn is_new(&self, shelf: &Shelf<A>, row: u32, room: &mut String) -> bool {
        let (next, names, sketch) = (&self.next, shelf.columns.row(row), &shelf.sketch);
        let key = shelf.key(row);
        let put = next.units.get(hash_text(key.as_bytes()), |known| *known.id.key == *key).is_some();
        let known = |name: &str| {
            let is = |known: &ClusterName<A>| &*known.name == name;
            next.cluster_names.get(hash_text(name.as_bytes()), is).is_some() || self.base.cluster_slot(name).is_some()
        };
        !put && !sketch.clusters.iter().any(|name| name.read(&names, room, known)) && !self.is_heard(shelf, row)
    }

    /// Whether somebody else has chains where those of the row would be.
    fn is_heard(&self, shelf: &Shelf<A>, row: u32) -> bool {
        let sketch = &shelf.sketch;
        sketch.chains.iter().any(|chain| {
            let address = chain.address.and_then(|key| shelf.network(row, &sketch.keys[key])?.address());
            let sni = chain.sni.map_or_else(String::new, |key| shelf.text(row, &sketch.keys[key]));
            let key = NodeKey { spot: Arc::new(Spot::new(address, chain.port, None)), sni: NameKey::host(&sni) };
            self.next.nodes.get(key.hash(), |known| known.key == key).is_some()
        })
    }

    /// Count the forms of a row's names.
    fn count_names(&mut self, shelf: &Shelf<A>, row: u32, step: isize) {
        let (forms, names, mut room) = (&mut self.next.forms, shelf.columns.row(row), String::new());
        for key in &shelf.sketch.keys {
            match key.form {
                Some(Form::Exact) => {}
                Some(form) => {
                    key.pattern.read(&names, &mut room, |text| forms.count_host(form, text.as_bytes(), step));
                }
                None => forms.count_address(shelf.network(row, key).is_some_and(|network| network.v6), step),
            }
        }
    }

    /// Count what rows hear on the wildcard address. step: how many come, or go.
    fn count(&mut self, shelf: &Shelf<A>, step: isize) {
        for port in &shelf.sketch.heard {
            counted(&mut self.next.forms.heard, *port, step);
        }
        for chain in shelf.sketch.chains.iter().filter(|chain| chain.address.is_none()) {
            for _ in 0..step {
                self.listener(None, chain.port).add(None);
            }
            for _ in step..0 {
                self.leave_listener(None, chain.port, None);
            }
        }
    }

    /// Give the positions of a row back. Backwards, so that a unit put in its place gets the same again.
    fn free_positions(&mut self, shelf: &Shelf<A>, row: u32) {
        for at in (0..shelf.sketch.clusters.len() as u32).rev() {
            let at = row * shelf.sketch.clusters.len() as u32 + at;
            self.next.clusters_at.remove(shelf.first.cluster + at);
            self.next.clusters.remove(shelf.first.slot + at);
        }
        self.next.services_at.remove(shelf.first.service + row);
    }

    /// Remove a row.
    pub(crate) fn delete_row(&mut self, number: usize, row: u32) {
        if let Some(shelf) = self.next.rows.take_off(number, row) {
            self.count_names(&shelf, row, -1);
            self.count(&shelf, -1);
            self.free_positions(&shelf, row);
        }
    }

    /// Before something is said of a name in the tables: the row that has it goes there, too.
    pub(crate) fn make_way(&mut self, key: &NameKey) {
        if self.next.rows.is_empty() {
            return;
        }
        let found = match key {
            NameKey::Network(network) if wide(key).is_none() => self.next.rows.network(**network),
            NameKey::Network(_) => None,
            NameKey::Host(form, text) => {
                let wanted = HostKey { form: *form, text: std::str::from_utf8(text).unwrap_or_default() };
                self.next.rows.find(wanted.hash(), wanted)
            }
        };
        if let Some((number, row)) = found.map(RowName::place) {
            self.move_to_tables(number, row);
        }
    }

    /// The same of a cluster's name.
    pub(crate) fn make_way_for_cluster(&mut self, name: &str) {
        if let Some((number, row)) = self.next.rows.cluster(name).map(|(found, _)| found.place()) {
            self.move_to_tables(number, row);
        }
    }

    /// A row becomes a unit of the tables. What was made of it stays the same, positions too.
    fn move_to_tables(&mut self, number: usize, row: u32) {
        let Some(shelf) = self.next.rows.take_off(number, row) else {
            return;
        };
        self.count_names(&shelf, row, -1);
        self.count(&shelf, -1);
        let compiled = shelf.compiled(row);
        for service in &compiled.services {
            self.next.services_at.set(service.index, Some(Arc::clone(service)));
        }
        for (at, cluster) in compiled.clusters.iter().enumerate() {
            let slot = shelf.slot(row, at);
            self.next.clusters_at.set(cluster.index, Some(Arc::clone(cluster)));
            self.next.clusters.set(slot, Some(Arc::clone(cluster)));
            self.enter_cluster(slot, cluster);
        }
        compiled.weighted().flat_map(|weighted| &weighted.destinations).for_each(|destination| {
            self.cluster_name(&destination.cluster).users += 1;
        });
        self.enter(compiled);
    }
}
