//! The engine: what is published, how it changes, and what is asked of it.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use crate::builder::Builder;
use crate::cluster::Cluster;
use crate::columns::HostColumn;
use crate::decision::{Decision, Kind};
use crate::error::Error;
use crate::model::{Attach, Health, LocalityGroup};
use crate::outliers::Hits;
use crate::overlay::Slot;
use crate::request::{PlainRequest, Request};
use crate::routing;
use crate::snapshot::Snapshot;
use crate::sync::{ArcSwap, Guard, Mutex, MutexGuard};
use crate::unit::check_groups;
use crate::view::View;

/// Where numbers come from: time and randomness are the embedder's.
pub type Source<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// One node's view. Readers load one pointer and wait for nobody; changes take turns.
pub struct Engine<A: Attach> {
    view: ArcSwap<View<A>>,
    writer: Mutex<Waiting>,
    clock: Source<i64>,
    starts: Source<u64>,
}

/// Names of clusters that ejected, until nothing there waits for a tick.
type Waiting = BTreeSet<Arc<str>>;

impl<A: Attach> std::fmt::Debug for Engine<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl<A: Attach> Engine<A> {
    /// clock: nanoseconds, monotonic. starts: where the cursors of a new cluster begin (0 where runs are to be repeated).
    pub fn new(clock: Source<i64>, starts: Source<u64>) -> Self {
        let view = ArcSwap::from_pointee(View::new(Arc::new(Snapshot::default())));
        Engine { view, writer: Mutex::new(Waiting::default()), clock, starts }
    }

    fn turn(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is left half done where a writer panics: the snapshot is swapped in one step.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is published now, for as long as the guard lives.
    #[inline]
    pub fn load(&self) -> Guard<Arc<View<A>>> {
        self.view.load()
    }

    pub fn snapshot(&self) -> Arc<Snapshot<A>> {
        Arc::clone(self.load().snapshot())
    }

    /// Counts published changes, from 0.
    pub fn version(&self) -> u64 {
        self.load().version
    }

    /// The engine's time.
    pub fn now(&self) -> i64 {
        (self.clock)()
    }

    // Changes

    /// A change that starts from what is published now.
    pub fn builder(&self) -> Builder<A> {
        Builder::over(self.snapshot(), Arc::clone(&self.starts))
    }

    /// Make the builder's state visible: one pointer swap. What was in use in a replaced cluster is ready before it is seen.
    pub fn publish(&self, builder: Builder<A>) -> Result<(), Error> {
        // The clock is the embedder's: it must not run while others wait.
        let now = self.now();
        let turn = self.turn();
        let before = self.snapshot();
        if !Arc::ptr_eq(&builder.base, &before) {
            return Err(Error::Stale);
        }
        for (name, cluster) in &builder.made {
            let known = before.known_cluster(name);
            if known.is_none_or(|known| !Arc::ptr_eq(known, cluster)) {
                cluster.live.begin(known.map(|known| &*known.live), now);
            }
        }
        self.view.store(Arc::new(View::new(Arc::new(builder.next))));
        // What was published before may go here, and objects of the embedder with it, whose end may want a turn of its own.
        drop(turn);
        drop(before);
        Ok(())
    }

    /// Replace a cluster's endpoints; visible when this returns.
    pub fn update_endpoints(&self, cluster: &str, groups: Vec<LocalityGroup<A>>) -> Result<(), Error> {
        check_groups(&groups)?;
        let now = self.now();
        let _turn = self.turn();
        self.known(cluster)?.live.wake().update(groups, now);
        Ok(())
    }

    /// Active health of an endpoint; `Unknown` takes the mark away. False: no such endpoint.
    pub fn set_health(&self, cluster: &str, address: &str, port: u16, health: Health) -> Result<bool, Error> {
        let now = self.now();
        let _turn = self.turn();
        Ok(self.known(cluster)?.live.wake().set_health(address, port, health, now))
    }

    /// An endpoint failed as often in a row as outlier detection lets it. What is published now decides. draw: the next number
    /// of the caller's generator.
    pub fn eject(&self, cluster: &str, slot: &Arc<Slot>, hits: Hits, now: i64, draw: &mut dyn FnMut() -> u64) {
        let mut waiting = self.turn();
        if let Some(cluster) = self.cluster(cluster)
            && cluster.live.wake().eject(slot, hits, now, draw)
        {
            waiting.insert(Arc::clone(&cluster.name));
        }
    }

    /// Do the ticks of outlier detection that are due. Nanoseconds until the next that has something to do; None while nothing
    /// is ejected. now: None: the engine's time.
    pub fn sweep(&self, now: Option<i64>) -> Option<i64> {
        if self.turn().is_empty() {
            return None;
        }
        let now = now.unwrap_or_else(|| self.now());
        let mut next: Option<i64> = None;
        self.turn().retain(|name| {
            let due = self.cluster(name).and_then(|cluster| cluster.live.awake()?.tick(now));
            next = [next, due].into_iter().flatten().min();
            due.is_some()
        });
        next.map(|next| next.saturating_sub(now))
    }

    fn known(&self, name: &str) -> Result<Arc<Cluster<A>>, Error> {
        self.cluster(name).ok_or_else(|| Error::UnknownCluster(name.to_owned()))
    }

    /// In a forked child: what the parent holds is not held here.
    pub fn forked(&self) {
        let snapshot = self.load();
        let special = [&snapshot.passthrough, &snapshot.blackhole, &snapshot.dynamic];
        for cluster in snapshot.known_clusters().chain(special) {
            if let Some(live) = cluster.live.awake() {
                live.forked();
            }
        }
    }

    // Look-ups; `find` is a method of the snapshot, which what it returns belongs to

    pub fn cluster(&self, name: &str) -> Option<Arc<Cluster<A>>> {
        self.load().cluster(name).cloned()
    }

    /// Where an HTTP request goes; its path is as `Snapshot::normal_path` makes it. `port` None: the scheme's default.
    #[inline]
    pub fn route<R: Request<A> + ?Sized>(&self, request: &R, port: Option<u16>, draw: u64) -> Decision<A> {
        routing::route(&self.load(), request, port, draw)
    }

    /// Where a connection goes: TCP, or TLS by server name. A host name selects its service, an IP the listener.
    pub fn connect<R: Request<A> + ?Sized>(&self, request: &R, port: u16, sni: Option<&str>, draw: u64) -> Decision<A> {
        routing::connect(&self.load(), request, port, sni, draw)
    }

    /// For each row the index into `services()`, or -1.
    pub fn find_many(&self, hosts: &HostColumn, ports: &[u16], out: &mut [i32]) -> Result<(), Error> {
        rows("ports", ports.len(), hosts.len())?;
        rows("out", out.len(), hosts.len())?;
        let snapshot = self.load();
        for ((row, port), out) in hosts.rows().zip(ports).zip(out) {
            *out = snapshot.index_hashed(row, *port).map_or(-1, |index| index as i32);
        }
        Ok(())
    }

    /// GET without headers for each row: the index into `clusters()`, or -1 where nothing is forwarded. `draw` gives the draw of
    /// a row.
    pub fn route_many(
        &self,
        hosts: &HostColumn,
        ports: &[u16],
        out: &mut [i32],
        paths: Option<&HostColumn>,
        mut draw: impl FnMut(usize) -> u64,
    ) -> Result<(), Error> {
        rows("ports", ports.len(), hosts.len())?;
        rows("out", out.len(), hosts.len())?;
        if let Some(paths) = paths {
            rows("paths", paths.len(), hosts.len())?;
        }
        let snapshot = self.load();
        for (at, (port, out)) in ports.iter().zip(out).enumerate() {
            let path = paths.map_or("/", |paths| paths.text(at));
            let path = snapshot.normal_path(path);
            let request = PlainRequest::get(hosts.text(at), &path);
            let decision = routing::route(&snapshot, &request, Some(*port), draw(at));
            let index = decision.cluster_index().filter(|_| decision.kind == Kind::Forward);
            *out = index.and_then(|index| i32::try_from(index).ok()).unwrap_or(-1);
        }
        Ok(())
    }
}

fn rows(what: &str, found: usize, wanted: usize) -> Result<(), Error> {
    if found == wanted {
        Ok(())
    } else {
        Err(Error::Invalid(format!("{what}: {found} rows where {wanted} were expected")))
    }
}
