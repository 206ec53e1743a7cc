//! How long until a change is visible? It must not grow with the mesh.

mod mesh;

use std::sync::Arc;

use divan::{Bencher, black_box};
use roadstead_core::model::{LbConfig, Limits, MatchKind};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// One document: builder, put, publish, and the old tables dropped.
#[divan::bench(args = SIZES, max_time = 0.5)]
fn one_unit(bencher: Bencher, count: usize) {
    let engine = mesh::engine(count);
    let (lb, limits): (Arc<LbConfig>, Arc<Limits>) = (Arc::default(), Arc::default());
    let host = mesh::host(count / 2);
    bencher
        .with_inputs(|| {
            let routes = vec![mesh::route(mesh::path(MatchKind::Prefix, "/"), &mesh::cluster(&host))];
            mesh::unit(&host, routes, &lb, &limits)
        })
        .bench_local_values(|unit| {
            let mut builder = engine.builder();
            builder.put(black_box(unit)).expect("the unit is good");
            engine.publish(builder)
        });
}

/// The endpoints' own door.
#[divan::bench(args = SIZES, max_time = 0.5)]
fn endpoints(bencher: Bencher, count: usize) {
    let engine = mesh::engine(count);
    let host = mesh::host(count / 2);
    let name = mesh::cluster(&host);
    bencher
        .with_inputs(|| {
            let unit = mesh::unit(&host, vec![], &Arc::default(), &Arc::default());
            unit.clusters.into_iter().flat_map(|cluster| cluster.groups).collect::<Vec<_>>()
        })
        .bench_local_values(|groups| engine.update_endpoints(black_box(&name), groups));
}

/// The whole mesh from nothing.
#[divan::bench(args = [1_000, 10_000], max_time = 0.5)]
fn load(bencher: Bencher, count: usize) {
    bencher.bench_local(|| mesh::engine(count));
}
