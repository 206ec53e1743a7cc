//! Which CIDR holds an address? Beside a prefix trie of the same networks.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use prefix_trie::PrefixMap;
use roadstead_core::rng::SplitMix64;

use crate::measure::{Section, case, measured};
use crate::memory::kept;
use crate::mesh;

const TRIE: &str = "prefix-trie";

/// As in a routing table: half are /24, the rest from /8 to /28.
fn networks(count: usize) -> Vec<Ipv4Net> {
    let mut draws = SplitMix64(11);
    let mut found = BTreeSet::new();
    while found.len() < count {
        let draw = draws.next_u64();
        let length = if draw & 1 == 0 { 24 } else { 8 + (draw >> 1) % 21 };
        let network = Ipv4Net::new(Ipv4Addr::from_bits((draw >> 32) as u32), length as u8).expect("at most 32");
        found.insert(network.trunc());
    }
    found.into_iter().collect()
}

pub fn section(count: usize, rounds: usize) -> Section {
    let networks = networks(count);
    let (trie, trie_bytes) = kept(|| {
        let mut trie: PrefixMap<Ipv4Net, u32> = PrefixMap::new();
        networks.iter().enumerate().for_each(|(at, network)| {
            trie.insert(*network, at as u32);
        });
        trie
    });
    let (engine, bytes) = kept(|| {
        let engine = mesh::empty();
        let (lb, limits) = (Arc::default(), Arc::default());
        let mut builder = engine.builder();
        for (at, network) in networks.iter().enumerate() {
            let mut unit = mesh::unit(&mesh::host(at), vec![], &lb, &limits);
            unit.services[0].addresses = vec![network.to_string()];
            unit.clusters.clear();
            unit.virtual_hosts.clear();
            builder.put(unit).expect("the unit is good");
        }
        engine.publish(builder).expect("nobody else publishes");
        engine
    });
    let mut draws = SplitMix64(5);
    let asked: Vec<Ipv4Addr> = (0..4096)
        .map(|_| {
            let draw = draws.next_u64();
            let network = networks[(draw % count as u64) as usize];
            Ipv4Addr::from_bits(network.network().to_bits() | (draw >> 32) as u32 & !network.netmask().to_bits())
        })
        .collect();
    let texts: Vec<String> = asked.iter().map(ToString::to_string).collect();
    let next = || {
        let mut at = 0;
        move || {
            at = (at + 1) & 4095;
            at
        }
    };
    let (mut of_trie, mut of_text, mut of_find, mut of_address) = (next(), next(), next(), next());
    let (asked, texts, trie) = (&asked, &texts, &trie);
    let (one, two) = (engine.load(), engine.load());
    let cases = vec![
        case(TRIE, Some(trie_bytes), move || {
            let network = Ipv4Net::from(black_box(asked[of_trie()]));
            trie.get_lpm(&network).map_or(0, |(_, found)| u64::from(*found))
        }),
        case("find_address", Some(bytes), move || {
            let address = IpAddr::V4(black_box(asked[of_address()]));
            one.find_address(address, mesh::PORT).map_or(0, |found| u64::from(found.service.index))
        })
        .owed(TRIE, 1.0),
        case("prefix-trie, from text", None, move || {
            let address: Ipv4Addr = black_box(&*texts[of_text()]).parse().expect("an address");
            trie.get_lpm(&Ipv4Net::from(address)).map_or(0, |(_, found)| u64::from(*found))
        }),
        case("find, from text", None, move || {
            let found = two.find(black_box(&texts[of_find()]), mesh::PORT);
            found.map_or(0, |found| u64::from(found.service.index))
        }),
    ];
    let about = "Whose CIDR is the longest that holds an address? From the address, and from its text.";
    measured(format!("Networks, {count} of them"), about, rounds, cases)
}
