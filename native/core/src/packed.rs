//! Endpoints of a cluster that nobody has picked from yet, in one piece of memory.

use std::sync::Arc;

use crate::model::{Attach, Endpoint, EndpointKind, Health, LocalityGroup};

/// Set in the number of a kind: the name is the address.
const NAMED_AS_ADDRESS: u64 = 0x80;

/// Groups written one after the other: numbers in base 128, texts after their length.
#[derive(Debug)]
pub struct PackedGroups<A: Attach> {
    bytes: Box<[u8]>,
    /// Of each endpoint, in order; none where no endpoint has any.
    labels: Box<[Option<A::Labels>]>,
}

impl<A: Attach> PackedGroups<A> {
    pub fn new(groups: Vec<LocalityGroup<A>>) -> Self {
        let (mut bytes, mut labels) = (Vec::new(), Vec::new());
        number(&mut bytes, groups.len() as u64);
        for group in groups {
            text(&mut bytes, &group.locality);
            number(&mut bytes, u64::from(group.priority));
            // One more than the weight, 0 without one.
            number(&mut bytes, group.weight.map_or(0, |weight| u64::from(weight) + 1));
            number(&mut bytes, group.endpoints.len() as u64);
            for endpoint in group.endpoints {
                let same = endpoint.hostname == endpoint.address;
                number(&mut bytes, endpoint.kind as u64 | if same { NAMED_AS_ADDRESS } else { 0 });
                number(&mut bytes, endpoint.health as u64);
                number(&mut bytes, u64::from(endpoint.port));
                number(&mut bytes, u64::from(endpoint.weight));
                text(&mut bytes, &endpoint.address);
                if !same {
                    text(&mut bytes, &endpoint.hostname);
                }
                text(&mut bytes, &endpoint.hash_key);
                labels.push(endpoint.labels);
            }
        }
        if labels.iter().all(Option::is_none) {
            labels.clear();
        }
        PackedGroups { bytes: bytes.into(), labels: labels.into() }
    }

    /// The groups as they were.
    pub fn unpack(self) -> Vec<LocalityGroup<A>> {
        let mut labels = self.labels.into_iter();
        let mut rest = Rest(&self.bytes);
        let groups = (0..rest.number()).map(|_| {
            let locality: Arc<str> = rest.text().into();
            let priority = rest.number() as u32;
            let weight = rest.number().checked_sub(1).map(|weight| weight as u32);
            let endpoints = (0..rest.number()).map(|_| rest.endpoint(labels.next().flatten())).collect();
            LocalityGroup { locality, priority, weight, endpoints }
        });
        groups.collect()
    }
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn number(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn text(&mut self) -> &'a str {
        let length = self.number() as usize;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(text).unwrap_or_default()
    }

    fn endpoint<A: Attach>(&mut self, labels: Option<A::Labels>) -> Endpoint<A> {
        let kind = self.number();
        let health = self.number();
        let (port, weight) = (self.number() as u16, self.number() as u32);
        let address = self.text();
        let hostname = if kind & NAMED_AS_ADDRESS == 0 { self.text() } else { address };
        Endpoint {
            labels,
            address: address.into(),
            port,
            kind: EndpointKind::CODES[(kind & !NAMED_AS_ADDRESS) as usize],
            weight,
            health: Health::CODES[health as usize],
            hostname: hostname.into(),
            hash_key: self.text().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Plain;

    fn endpoint(address: &str, hostname: &str, labels: Option<()>) -> Endpoint<Plain> {
        Endpoint {
            labels,
            address: address.into(),
            port: 65_535,
            kind: EndpointKind::Hostname,
            weight: u32::MAX,
            health: Health::Degraded,
            hostname: hostname.into(),
            hash_key: "k".into(),
        }
    }

    fn told(groups: &[LocalityGroup<Plain>]) -> String {
        format!("{groups:?}")
    }

    #[test]
    fn groups_come_back_as_they_were() {
        let long = "a".repeat(300);
        let make = || {
            vec![
                LocalityGroup {
                    locality: "r/z".into(),
                    priority: 128,
                    weight: Some(u32::MAX),
                    endpoints: vec![endpoint("a", "a", None), endpoint(&long, "", Some(())), endpoint("", "b", None)],
                },
                LocalityGroup { locality: "".into(), priority: 0, weight: None, endpoints: vec![] },
                LocalityGroup {
                    locality: "".into(),
                    priority: 1,
                    weight: Some(0),
                    endpoints: vec![endpoint("ü", "ü", Some(()))],
                },
            ]
        };
        assert_eq!(told(&PackedGroups::new(make()).unpack()), told(&make()));
        assert!(PackedGroups::<Plain>::new(vec![]).unpack().is_empty());
    }

    #[test]
    fn labels_that_nobody_has_take_no_room() {
        let groups = |labels| {
            vec![LocalityGroup {
                locality: "".into(),
                priority: 0,
                weight: None,
                endpoints: vec![endpoint("a", "", labels)],
            }]
        };
        assert_eq!(PackedGroups::<Plain>::new(groups(None)).labels.len(), 0);
        assert_eq!(PackedGroups::<Plain>::new(groups(Some(()))).labels.len(), 1);
    }
}
