//! Cases timed in turn, round by round, so that ratios hold on a machine that drifts; in time of the processor, so that what
//! else runs does not count.

use std::hint::black_box;

use cpu_time::ThreadTime;
use serde::Serialize;

/// One question at one size.
#[derive(Serialize)]
pub struct Section {
    pub title: String,
    pub about: &'static str,
    pub cases: Vec<Row>,
}

/// Seconds for one operation, a value for each round.
#[derive(Serialize)]
pub struct Row {
    pub name: &'static str,
    pub rounds: Vec<f64>,
    /// Bytes that the structure takes; None where there is none to speak of.
    pub bytes: Option<usize>,
    /// (name of the case it is held against, most times as long).
    pub owed: Vec<(&'static str, f64)>,
}

pub struct Case<'a> {
    row: Row,
    run: Box<dyn FnMut() -> u64 + 'a>,
}

/// `run` does one operation. Its result is used, so that it is not optimised away.
pub fn case<'a>(name: &'static str, bytes: Option<usize>, mut run: impl FnMut() -> u64 + 'a) -> Case<'a> {
    // The loop is compiled with the operation, so that no call is counted.
    let many = move || (0..OPERATIONS).fold(0, |sum: u64, _| sum.wrapping_add(black_box(run())));
    Case { row: Row { name, rounds: Vec::new(), bytes, owed: Vec::new() }, run: Box::new(many) }
}

impl Case<'_> {
    /// At most so many times what `other` takes.
    pub fn owed(mut self, other: &'static str, most: f64) -> Self {
        self.row.owed.push((other, most));
        self
    }
}

/// Enough that reading the clock does not count.
const OPERATIONS: usize = 4096;

/// One round is not counted.
pub fn measured(title: String, about: &'static str, rounds: usize, mut cases: Vec<Case<'_>>) -> Section {
    for round in 0..=rounds {
        for case in &mut cases {
            let start = ThreadTime::now();
            black_box((case.run)());
            let seconds = start.elapsed().as_secs_f64() / OPERATIONS as f64;
            if round > 0 {
                case.row.rounds.push(seconds);
            }
        }
    }
    Section { title, about, cases: cases.into_iter().map(|case| case.row).collect() }
}
