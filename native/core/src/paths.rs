//! An index of path conditions: hundreds of prefixes and exact paths are looked up, not scanned.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::virtual_host::PathTest;

/// Up to so many routes a scan is faster.
const SCAN: usize = 6;
const ROOT: u32 = u32::MAX;

/// A prefix, its routes in order, and the longest other prefix that it begins with.
#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    routes: Box<[u32]>,
    parent: u32,
}

/// Routes by their path condition. Empty where a scan does.
#[derive(Debug, Default)]
pub struct PathIndex(Option<Box<Tables>>);

#[derive(Debug)]
struct Tables {
    exact: HashMap<Box<str>, Box<[u32]>, FixedState>,
    /// In order of the text.
    prefixes: Box<[Prefix]>,
    /// What all prefixes but `/` begin with: a path that does not needs no search.
    stem: Box<str>,
    /// Routes with other conditions, in order.
    others: Box<[u32]>,
}

impl PathIndex {
    pub fn new<'a>(tests: impl ExactSizeIterator<Item = &'a PathTest>) -> PathIndex {
        if tests.len() <= SCAN {
            return PathIndex(None);
        }
        let mut exact: HashMap<&str, Vec<u32>> = HashMap::new();
        let mut prefixes: HashMap<&str, Vec<u32>> = HashMap::new();
        let mut others = Vec::new();
        for (at, test) in tests.enumerate() {
            match test {
                PathTest::Exact(text) => exact.entry(text).or_default().push(at as u32),
                PathTest::Prefix(text) => prefixes.entry(text).or_default().push(at as u32),
                PathTest::Text(_) => others.push(at as u32),
            }
        }
        let stem = stem(prefixes.keys().copied());
        PathIndex(Some(Box::new(Tables {
            stem,
            exact: exact.into_iter().map(|(text, routes)| (text.into(), routes.into())).collect(),
            prefixes: linked(prefixes),
            others: others.into(),
        })))
    }

    #[inline]
    pub fn is_used(&self) -> bool {
        self.0.is_some()
    }

    /// The first route, in order of routes, whose path condition may hold and that `takes` accepts. Exact paths and prefixes
    /// do hold; other conditions are left to `takes`.
    pub fn first(&self, path: &str, mut takes: impl FnMut(u32) -> bool) -> Option<u32> {
        let tables = self.0.as_ref()?;
        // Each list is in order; the heads are merged.
        let mut lists: SmallVec<[&[u32]; 8]> = SmallVec::new();
        lists.push(&tables.others);
        if let Some(routes) = tables.exact.get(path) {
            lists.push(routes);
        }
        let mut at = tables.longest_prefix(path);
        while let Some(prefix) = tables.prefixes.get(at as usize) {
            lists.push(&prefix.routes);
            at = prefix.parent;
        }
        loop {
            let mut least: Option<usize> = None;
            for (list, routes) in lists.iter().enumerate() {
                if let Some(route) = routes.first()
                    && least.is_none_or(|least| *route < lists[least][0])
                {
                    least = Some(list);
                }
            }
            let routes = &mut lists[least?];
            let route = routes[0];
            if takes(route) {
                return Some(route);
            }
            *routes = &routes[1..];
        }
    }
}

impl Tables {
    /// The longest prefix of the path. What stands before the path in order is it, or begins with it.
    fn longest_prefix(&self, path: &str) -> u32 {
        if !path.starts_with(&*self.stem) {
            let root = self.prefixes.first().filter(|first| &*first.text == "/" && path.starts_with('/'));
            return root.map_or(ROOT, |_| 0);
        }
        let after = self.prefixes.partition_point(|prefix| &*prefix.text <= path);
        let mut at = (after as u32).wrapping_sub(1);
        while let Some(prefix) = self.prefixes.get(at as usize) {
            if path.starts_with(&*prefix.text) {
                break;
            }
            at = prefix.parent;
        }
        at
    }
}

fn stem<'a>(prefixes: impl Iterator<Item = &'a str>) -> Box<str> {
    let common = prefixes.filter(|text| *text != "/").reduce(|common, text| {
        let equal = common.char_indices().zip(text.chars()).take_while(|((_, ours), theirs)| ours == theirs);
        &common[..equal.last().map_or(0, |((at, last), _)| at + last.len_utf8())]
    });
    common.unwrap_or_default().into()
}

fn linked(routes: HashMap<&str, Vec<u32>>) -> Box<[Prefix]> {
    let mut sorted: Vec<(&str, Vec<u32>)> = routes.into_iter().collect();
    sorted.sort_unstable_by_key(|(text, _)| *text);
    let mut made: Vec<Prefix> = Vec::with_capacity(sorted.len());
    for (text, routes) in sorted {
        let mut parent = (made.len() as u32).wrapping_sub(1);
        while let Some(candidate) = made.get(parent as usize) {
            if text.starts_with(&*candidate.text) {
                break;
            }
            parent = candidate.parent;
        }
        let parent = if made.get(parent as usize).is_some() { parent } else { ROOT };
        made.push(Prefix { text: text.into(), routes: routes.into(), parent });
    }
    made.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;

    /// Paths over a tiny alphabet, so that prefixes nest.
    fn path(draws: &mut SplitMix64) -> Box<str> {
        let length = draws.next_u64() % 6;
        (0..length).map(|_| ['/', 'a', 'b'][(draws.next_u64() % 3) as usize]).collect::<String>().into()
    }

    #[test]
    fn the_index_agrees_with_a_scan() {
        let mut draws = SplitMix64(3);
        for round in 0..300_u64 {
            let count = SCAN + 1 + (round % 40) as usize;
            let tests: Vec<PathTest> = (0..count)
                .map(|_| match draws.next_u64() % 2 {
                    0 => PathTest::Exact(path(&mut draws)),
                    _ => PathTest::Prefix(path(&mut draws)),
                })
                .collect();
            let index = PathIndex::new(tests.iter());
            assert!(index.is_used());
            for _ in 0..20 {
                let (path, refused) = (path(&mut draws), draws.next_u64());
                let takes = |at: u32| refused >> (at % 64) & 1 == 0;
                let scanned = (0..count as u32).find(|at| tests[*at as usize].holds(&path) && takes(*at));
                assert_eq!(index.first(&path, takes), scanned, "{tests:?} {path}");
            }
        }
    }

    #[test]
    fn few_routes_are_scanned() {
        assert!(!PathIndex::new([PathTest::Prefix("/".into())].iter()).is_used());
    }
}
