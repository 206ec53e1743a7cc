//! Do two threads that decide do twice as much while a third changes things?

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use cpu_time::ThreadTime;
use roadstead_core::balance::PickInput;
use roadstead_core::engine::Engine;
use roadstead_core::model::Plain;
use roadstead_core::request::PlainRequest;

use crate::measure::{Row, Section};
use crate::mesh;

const HOSTS: usize = 1000;
const OPERATIONS: u64 = 400_000;
const PAUSE: Duration = Duration::from_millis(10);

pub fn section(rounds: usize) -> Section {
    let engine = mesh::engine(HOSTS);
    let decisions = |threads| run(threads, Some(&engine), |thread| decide(&engine, thread));
    let mut cases = vec![
        row("empty loop, one thread", vec![]),
        row("empty loop, two threads", vec![]),
        row("route + pick, one thread", vec![]),
        row("route + pick, two threads", vec![("route + pick, one thread", 1.0 / 0.9)]),
    ];
    for _ in 0..rounds {
        let seconds = [run(1, None, |_| spin()), run(2, None, |_| spin()), decisions(1), decisions(2)];
        cases.iter_mut().zip(seconds).for_each(|(case, seconds)| case.rounds.push(seconds));
    }
    Section {
        title: "Two threads, 100 changes a second".to_owned(),
        about: "Processor time of one decision, each thread on a cluster of its own: what threads take from each other.",
        cases,
    }
}

fn row(name: &'static str, owed: Vec<(&'static str, f64)>) -> Row {
    Row { name, rounds: Vec::new(), bytes: None, owed }
}

/// Seconds of processor time for one operation.
fn run(threads: u64, changed: Option<&Engine<Plain>>, work: impl Fn(u64) + Sync) -> f64 {
    let (done, start) = (AtomicBool::new(false), Barrier::new(threads as usize));
    std::thread::scope(|scope| {
        if let Some(engine) = changed {
            let done = &done;
            scope.spawn(move || change(engine, done));
        }
        let worker = |thread| {
            let (work, start) = (&work, &start);
            scope.spawn(move || {
                start.wait();
                let begun = ThreadTime::now();
                work(thread);
                begun.elapsed().as_secs_f64()
            })
        };
        let workers: Vec<_> = (0..threads).map(worker).collect();
        let seconds: f64 = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).sum();
        done.store(true, Relaxed);
        seconds / (OPERATIONS * threads) as f64
    })
}

fn spin() {
    let mut sum = 0_u64;
    for at in 0..OPERATIONS * 100 {
        sum = black_box(sum.wrapping_add(at));
    }
}

fn decide(engine: &Engine<Plain>, thread: u64) {
    let host = mesh::host(thread as usize);
    for draw in 0..OPERATIONS {
        let decision = engine.route(&PlainRequest::get(black_box(&host), "/"), Some(mesh::PORT), draw);
        let live = decision.cluster().expect("it has one").live.wake();
        let state = live.state();
        black_box(live.pick(&state, PickInput { draw, ..PickInput::default() }));
    }
}

/// One endpoint update and one unit in turn, each on other clusters than those asked.
fn change(engine: &Engine<Plain>, done: &AtomicBool) {
    let (lb, limits) = Default::default();
    let mut at = 10;
    while !done.load(Relaxed) {
        at = 10 + (at + 1) % 900;
        let host = mesh::declared(at);
        let route = mesh::route(mesh::path(roadstead_core::model::MatchKind::Prefix, "/"), &mesh::cluster(&host));
        let mut builder = engine.builder();
        builder.put(mesh::unit(&host, vec![route], &lb, &limits)).expect("the unit is good");
        engine.publish(builder).expect("nobody else publishes");
        std::thread::sleep(PAUSE);
    }
}
