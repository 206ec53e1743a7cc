//! Which service owns (host, port)? Beside a hash map of the same pairs.

mod mesh;

use divan::{Bencher, black_box};
use hashbrown::HashMap;
use roadstead_core::columns::HostColumn;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

#[divan::bench_group(sample_size = 1000, max_time = 0.5)]
mod one {
    use super::*;

    fn find(bencher: Bencher, count: usize, hot: bool) {
        let engine = mesh::engine(count);
        let mut turn = mesh::Turn::new(count, hot);
        bencher.bench_local(|| {
            let snapshot = engine.load();
            let found = snapshot.find(black_box(turn.take()), mesh::PORT);
            found.map(|found| found.service.index)
        });
    }

    fn map(bencher: Bencher, count: usize, hot: bool) {
        let state = foldhash::quality::FixedState::default();
        let mut map: HashMap<(String, u16), Box<u32>, _> = HashMap::with_hasher(state);
        (0..count).for_each(|at| drop(map.insert((mesh::host(at), mesh::PORT), Box::new(at as u32))));
        let mut turn = mesh::Turn::new(count, hot);
        bencher.bench_local(|| {
            let key = Key(black_box(turn.take()), mesh::PORT);
            map.get(&key).map(|found| **found)
        });
    }

    /// Looks up a pair without making one.
    #[derive(Hash)]
    struct Key<'a>(&'a str, u16);

    impl hashbrown::Equivalent<(String, u16)> for Key<'_> {
        fn equivalent(&self, pair: &(String, u16)) -> bool {
            self.0 == pair.0 && self.1 == pair.1
        }
    }

    #[divan::bench(args = SIZES)]
    fn hot(bencher: Bencher, count: usize) {
        find(bencher, count, true);
    }

    #[divan::bench(args = SIZES)]
    fn hot_hashbrown(bencher: Bencher, count: usize) {
        map(bencher, count, true);
    }

    #[divan::bench(args = SIZES)]
    fn cold(bencher: Bencher, count: usize) {
        find(bencher, count, false);
    }

    #[divan::bench(args = SIZES)]
    fn cold_hashbrown(bencher: Bencher, count: usize) {
        map(bencher, count, false);
    }

    #[divan::bench(args = SIZES)]
    fn wildcard(bencher: Bencher, count: usize) {
        let engine = mesh::engine(count);
        let asked: Vec<String> =
            (0..count).filter(|at| at % 20 == 19).map(|at| format!("x.{}", mesh::host(at))).collect();
        let mut at = 0;
        bencher.bench_local(|| {
            at = if at + 1 == asked.len() { 0 } else { at + 1 };
            let snapshot = engine.load();
            let found = snapshot.find(black_box(&asked[at]), mesh::PORT);
            found.map(|found| found.service.index)
        });
    }
}

/// A thousand rows at once.
#[divan::bench(args = SIZES, max_time = 0.5)]
fn column(bencher: Bencher, count: usize) {
    let engine = mesh::engine(count);
    let hosts: HostColumn = mesh::questions(count, true).iter().collect();
    let ports = vec![mesh::PORT; hosts.len()];
    let mut out = vec![0; hosts.len()];
    bencher.bench_local(|| engine.find_many(&hosts, &ports, black_box(&mut out)));
}
