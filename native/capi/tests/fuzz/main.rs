//! Input that nobody would write: the C ABI with damaged snapshots and odd requests, host texts, YAML.
//!
//! `cargo test -p roadstead-capi --test fuzz` takes a second for each; `ROADSTEAD_FUZZ_SECONDS=600` takes longer, and
//! `ROADSTEAD_FUZZ_SEED` repeats a run that failed (its seed is printed). Run it with `--release` for more.

mod abi;
mod exchanges;
mod hosts;
mod mutate;
mod yaml;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use roadstead_core::draws::entropy;
use roadstead_core::rng::SplitMix64;

/// Calls `round` with one generator after another until the time is up; tells the seed of one that fails.
pub fn rounds(what: &str, mut round: impl FnMut(&mut SplitMix64)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("ROADSTEAD_FUZZ_SEED") {
        return round(&mut SplitMix64(seed));
    }
    let budget = Duration::from_secs(number("ROADSTEAD_FUZZ_SECONDS").unwrap_or(1));
    let (begun, mut count) = (Instant::now(), 0_u64);
    while begun.elapsed() < budget {
        let seed = entropy();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| round(&mut SplitMix64(seed)))) {
            eprintln!("{what}: ROADSTEAD_FUZZ_SEED={seed}");
            resume_unwind(panic);
        }
        count += 1;
    }
    eprintln!("{what}: {count} rounds");
}

#[test]
fn the_c_abi() {
    let seeds = abi::seeds();
    rounds("the C ABI", |random| abi::round(random, &seeds));
}

#[test]
fn host_texts() {
    let engine = hosts::engine();
    rounds("host texts", |random| hosts::round(random, &engine));
}

#[test]
fn the_yaml_reader() {
    rounds("the YAML reader", yaml::round);
}
