//! Networks in a binary trie without the bits that all have in common: the longest that holds an address, and those around it.
//!
//! A copy shares everything; a change copies the nodes on the way to its network. Networks longer than 16 bits hang below
//! their first 16 bits, so that a look-up steps over those at once.

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::text::Network;

/// Addresses of one family.
trait Bits: Copy + std::fmt::Debug {
    const WIDTH: u8;

    fn of(network: Network) -> Self;
    /// How many leading bits both have in common.
    fn same(self, other: Self) -> u8;
    fn bit(self, at: u8) -> usize;
    fn byte(self, at: u8) -> usize;
}

macro_rules! bits {
    ($type:ty) => {
        impl Bits for $type {
            const WIDTH: u8 = <$type>::BITS as u8;

            fn of(network: Network) -> Self {
                (network.bits as $type).checked_shl(u32::from(Self::WIDTH - network.length)).unwrap_or(0)
            }

            #[inline]
            fn same(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }

            #[inline]
            fn bit(self, at: u8) -> usize {
                (self >> (Self::WIDTH - 1 - at)) as usize & 1
            }

            #[inline]
            fn byte(self, at: u8) -> usize {
                (self >> (Self::WIDTH - 8 - 8 * at)) as usize & 255
            }
        }
    };
}

bits!(u32);
bits!(u128);

/// The first `length` of the bits count.
#[derive(Clone, Copy, Debug)]
struct Key<B> {
    bits: B,
    length: u8,
}

impl<B: Bits> Key<B> {
    #[inline]
    fn holds(self, bits: B) -> bool {
        self.bits.same(bits) >= self.length
    }

    /// How many bits both have in common.
    fn shared(self, other: Key<B>) -> u8 {
        self.bits.same(other.bits).min(self.length).min(other.length)
    }
}

type Link<B, V> = Option<Arc<Node<B, V>>>;

/// A network, or a fork where two part.
#[derive(Clone, Debug)]
struct Node<B, V> {
    key: Key<B>,
    value: Option<V>,
    below: [Link<B, V>; 2],
}

impl<B, V> Node<B, V> {
    fn empty(key: Key<B>) -> Self {
        Node { key, value: None, below: [None, None] }
    }
}

/// Values of networks that hold an address, shortest first.
type Held<'t, V> = SmallVec<[&'t V; 8]>;

#[inline]
fn holding<B: Bits, V>(mut link: &Link<B, V>, bits: B) -> Held<'_, V> {
    let mut held = SmallVec::new();
    while let Some(node) = link.as_deref().filter(|node| node.key.holds(bits)) {
        if let Some(value) = &node.value {
            held.push(value);
        }
        if node.key.length == B::WIDTH {
            break;
        }
        link = &node.below[bits.bit(node.key.length)];
    }
    held
}

/// Lets `set` set, change or take the value of a key; nodes that are needed no more go.
fn change<B: Bits, V: Clone>(link: &mut Link<B, V>, key: Key<B>, set: impl FnOnce(&mut Option<V>)) {
    if let Some(node) = link.as_ref() {
        let shared = key.shared(node.key);
        if shared < node.key.length {
            // Bits beyond the length are never looked at.
            let mut fork = Node::empty(Key { length: shared, ..key });
            let side = node.key.bits.bit(shared);
            fork.below[side] = link.take();
            *link = Some(Arc::new(fork));
        }
    }
    let node = Arc::make_mut(link.get_or_insert_with(|| Arc::new(Node::empty(key))));
    if node.key.length == key.length {
        set(&mut node.value);
    } else {
        change(&mut node.below[key.bits.bit(node.key.length)], key, set);
    }
    if node.value.is_none() {
        match &mut node.below {
            [Some(_), Some(_)] => {}
            [one, other] => *link = one.take().or_else(|| other.take()),
        }
    }
}

const BLOCK: u8 = 16;
type Block<B, V> = [Link<B, V>; 256];

/// The networks of one family.
#[derive(Clone, Debug)]
struct Family<B, V> {
    /// Up to 16 bits long.
    short: Link<B, V>,
    /// Longer ones, by the first two bytes of their addresses.
    blocks: [Option<Arc<Block<B, V>>>; 256],
}

impl<B: Bits, V: Clone> Family<B, V> {
    #[inline]
    fn find<'t, T>(&'t self, bits: B, mut pick: impl FnMut(&'t V) -> Option<T>) -> Option<T> {
        let mut first = |link| holding(link, bits).into_iter().rev().find_map(&mut pick);
        let block = self.blocks[bits.byte(0)].as_ref().map_or(&None, |block| &block[bits.byte(1)]);
        first(block).or_else(|| first(&self.short))
    }

    fn change(this: &mut Option<Arc<Self>>, network: Network, set: impl FnOnce(&mut Option<V>)) {
        let key = Key { bits: B::of(network), length: network.length };
        let none = || Arc::new(Family { short: None, blocks: [const { None }; 256] });
        let family = Arc::make_mut(this.get_or_insert_with(none));
        if key.length <= BLOCK {
            return change(&mut family.short, key, set);
        }
        let block = family.blocks[key.bits.byte(0)].get_or_insert_with(|| Arc::new([const { None }; 256]));
        change(&mut Arc::make_mut(block)[key.bits.byte(1)], key, set);
    }
}

/// A map of networks.
#[derive(Clone, Debug)]
pub struct Trie<V> {
    v4: Option<Arc<Family<u32, V>>>,
    v6: Option<Arc<Family<u128, V>>>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Trie { v4: None, v6: None }
    }
}

impl<V: Clone> Trie<V> {
    /// The first value that `pick` takes of networks that hold the address, longest first.
    #[inline]
    pub fn find<'t, T>(&'t self, address: IpAddr, pick: impl FnMut(&'t V) -> Option<T>) -> Option<T> {
        match address {
            IpAddr::V4(address) => self.v4.as_deref()?.find(address.to_bits(), pick),
            IpAddr::V6(address) => self.v6.as_deref()?.find(address.to_bits(), pick),
        }
    }

    /// Lets `set` set, change or take the value of a network.
    pub fn change(&mut self, network: Network, set: impl FnOnce(&mut Option<V>)) {
        if network.v6 {
            Family::change(&mut self.v6, network, set);
        } else {
            Family::change(&mut self.v4, network, set);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::rng::SplitMix64;

    fn drawn(draws: &mut SplitMix64) -> (IpAddr, Network) {
        // Few distinct bits, so that networks lie in each other.
        let (draw, shape) = (draws.next_u64(), draws.next_u64());
        let some =
            u128::from(draw & 0x3) << 126 | u128::from(draw >> 2 & 0xF) << 100 | u128::from(draw >> 6 & 0x3) << 96;
        if shape & 1 == 0 {
            let address = IpAddr::V4(Ipv4Addr::from_bits((some >> 96) as u32));
            (address, Network::around(address, (shape >> 1) as u8 % 33))
        } else {
            let address = IpAddr::V6(Ipv6Addr::from_bits(some | u128::from(draw >> 60)));
            (address, Network::around(address, (shape >> 1) as u8 % 129))
        }
    }

    #[test]
    fn a_trie_is_a_map_and_finds_the_longest() {
        let (mut trie, mut map) = (Trie::default(), HashMap::new());
        let mut draws = SplitMix64(1);
        for step in 0..20_000_u32 {
            let (_, network) = drawn(&mut draws);
            if draws.next_u64().is_multiple_of(3) {
                trie.change(network, |value| *value = None);
                map.remove(&network);
            } else {
                trie.change(network, |value| *value = Some(step));
                map.insert(network, step);
            }
            let (address, _) = drawn(&mut draws);
            let mut holding: Vec<_> = map.iter().filter(|(network, _)| network.contains(address)).collect();
            holding.sort_by_key(|(network, _)| std::cmp::Reverse(network.length));
            let mut seen = Vec::new();
            assert_eq!(
                trie.find(address, |value| {
                    seen.push(*value);
                    None::<()>
                }),
                None
            );
            assert_eq!(seen, holding.iter().map(|(_, value)| **value).collect::<Vec<_>>(), "{address}");
        }
        for network in map.keys() {
            trie.change(*network, |value| *value = None);
        }
        assert!(trie.v4.is_some_and(|family| is_empty(&family)) && trie.v6.is_some_and(|family| is_empty(&family)));
    }

    fn is_empty<B, V>(family: &Family<B, V>) -> bool {
        family.short.is_none() && family.blocks.iter().flatten().all(|block| block.iter().all(Option::is_none))
    }

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let network = |text| Network::parse(text).unwrap();
        let mut trie = Trie::default();
        trie.change(network("10.0.0.0/8"), |value| *value = Some(1));
        let before = trie.clone();
        trie.change(network("10.0.0.0/8"), |value| *value = Some(2));
        trie.change(network("10.1.1.0/24"), |value| *value = Some(3));
        let address = "10.1.1.1".parse().unwrap();
        assert_eq!(before.find(address, |value| Some(*value)), Some(1));
        assert_eq!(trie.find(address, |value| Some(*value)), Some(3));
    }
}
