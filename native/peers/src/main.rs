//! Measures the core and its peers side by side; one JSON array of sections on standard output.
//!
//! Arguments: rounds, then sizes (three of them). `python -m benchmarks peers` runs it and writes the page.

mod hosts;
mod measure;
mod memory;
#[path = "../../core/benches/mesh/mod.rs"]
mod mesh;
mod networks;
mod picks;
mod threads;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse().expect("arguments are whole numbers")).collect();
    let [rounds, sizes @ ..] = numbers.as_slice() else { panic!("rounds, then sizes") };
    let mut sections = Vec::new();
    for size in sizes {
        sections.extend(hosts::sections(*size, *rounds));
        sections.push(networks::section(*size, *rounds));
    }
    for endpoints in [10, 50, 500] {
        sections.extend(picks::sections(endpoints, *rounds));
    }
    sections.push(threads::section(*rounds));
    println!("{}", serde_json::to_string(&sections).expect("numbers and texts"));
}
