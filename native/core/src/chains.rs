//! Filter chains: which one takes a connection (strict precedence, no going back).

use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::Error;
use crate::hashing::HashPolicy;
use crate::matching::NameList;
use crate::model::{self, Attach, Transport};
use crate::text::{Network, fold, ip_of};
use crate::virtual_host::Weighted;

/// One filter chain, its conditions taken apart.
#[derive(Debug)]
pub struct Chain<A: Attach> {
    pub handle: A::Handle,
    /// The service, for connections by name.
    pub host: Box<str>,
    pub port: u16,
    /// Where it listens; None is the wildcard address.
    pub addresses: Box<[Option<IpAddr>]>,
    pub networks: Box<[Network]>,
    pub snis: Box<[Box<str>]>,
    pub transport: Transport,
    pub weighted: Weighted,
    pub hash_policies: Box<[HashPolicy]>,
}

impl<A: Attach> Chain<A> {
    pub fn new(given: model::Chain<A>) -> Result<Self, Error> {
        let addresses = match given.addresses.as_slice() {
            [] => vec![None],
            texts => texts.iter().map(|text| listened(text)).collect::<Result<_, _>>()?,
        };
        let networks = given.cidrs.iter().map(|text| Network::parse(text)).collect::<Result<Box<[_]>, _>>()?;
        // Connections have no headers, so that a policy finds only pseudo headers.
        let mut names = NameList::default();
        Ok(Chain {
            handle: given.handle,
            host: given.host.into(),
            port: given.port,
            addresses: addresses.into(),
            networks,
            snis: given.snis.iter().map(|sni| Box::from(&*fold(sni))).collect(),
            transport: given.transport,
            weighted: Weighted::new(given.destinations)?,
            hash_policies: given.hash_policies.into_iter().map(|policy| HashPolicy::new(policy, &mut names)).collect(),
        })
    }

    /// A chain without conditions: the default of its listener.
    pub fn is_match_all(&self) -> bool {
        self.networks.is_empty() && self.snis.is_empty() && self.transport == Transport::Any
    }

    fn longest(&self, address: Option<IpAddr>) -> Option<u8> {
        let address = address?;
        self.networks.iter().filter(|network| network.contains(address)).map(|network| network.length).max()
    }

    fn has_network(&self, address: Option<IpAddr>, length: u8) -> bool {
        address.is_some_and(|address| self.networks.contains(&Network::around(address, length)))
    }
}

/// The address of a listener; "" is the wildcard address.
pub fn listened(text: &str) -> Result<Option<IpAddr>, Error> {
    match text {
        "" => Ok(None),
        text => ip_of(text).map(Some).ok_or_else(|| Error::Invalid(format!("{text:?} is not an IP address"))),
    }
}

/// The chain for a connection: longest network, then longest server name, then transport; the first of equals.
///
/// Where something specific matches at a level, only what stands below it is looked at.
pub fn choose<'a, A: Attach>(
    chains: impl IntoIterator<Item = &'a Arc<Chain<A>>>,
    address: Option<IpAddr>,
    sni: &str,
    transport: Transport,
) -> Option<&'a Arc<Chain<A>>> {
    let mut left: SmallVec<[&Arc<Chain<A>>; 8]> = chains.into_iter().collect();
    match left.iter().filter_map(|chain| chain.longest(address)).max() {
        Some(length) => left.retain(|chain| chain.has_network(address, length)),
        None => left.retain(|chain| chain.networks.is_empty()),
    }
    let names = left.iter().flat_map(|chain| &chain.snis).filter(|pattern| sni_matches(pattern, sni));
    match names.max_by_key(|pattern| (!pattern.starts_with('*'), pattern.len())).filter(|name| !name.is_empty()) {
        Some(name) => left.retain(|chain| chain.snis.contains(name)),
        None => left.retain(|chain| chain.snis.is_empty()),
    }
    [transport, Transport::Any]
        .into_iter()
        .find_map(|wanted| left.iter().find(|chain| chain.transport == wanted).copied())
}

/// `*.x` takes any name with at least one character before `.x`.
fn sni_matches(pattern: &str, sni: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => sni.len() > suffix.len() && sni.ends_with(suffix),
        None => pattern == sni,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Destination, Plain};

    fn chain(cidrs: &[&str], snis: &[&str], transport: Transport) -> Arc<Chain<Plain>> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let destination = Destination {
            cluster: "c".to_owned(),
            weight: 1,
            request_ops: Box::default(),
            response_ops: Box::default(),
            host_rewrite: None,
        };
        let given = model::Chain {
            handle: (),
            host: "h".to_owned(),
            port: 443,
            addresses: vec![],
            cidrs: texts(cidrs),
            snis: texts(snis),
            transport,
            destinations: vec![destination],
            hash_policies: Box::default(),
        };
        Arc::new(Chain::new(given).unwrap())
    }

    #[test]
    fn the_most_specific_takes_it() {
        let chains = [
            chain(&[], &[], Transport::Any),
            chain(&["10.0.0.0/8"], &[], Transport::Any),
            chain(&["10.1.0.0/16"], &["a.com"], Transport::Any),
            chain(&[], &["*.com"], Transport::Tls),
            chain(&[], &["b.a.com"], Transport::Tls),
            chain(&[], &["*.a.com"], Transport::Tls),
        ];
        for (address, sni, transport, expected) in [
            (None, "", Transport::Raw, Some(0)),
            (Some("10.2.0.1"), "", Transport::Raw, Some(1)),
            // 10.1.0.0/16 is the longest and there is no going back from it.
            (Some("10.1.0.1"), "", Transport::Raw, None),
            (Some("10.1.0.1"), "a.com", Transport::Raw, Some(2)),
            (Some("11.0.0.1"), "x.com", Transport::Tls, Some(3)),
            (Some("11.0.0.1"), "x.com", Transport::Raw, None),
            (Some("11.0.0.1"), "b.a.com", Transport::Tls, Some(4)),
            (Some("11.0.0.1"), "c.a.com", Transport::Tls, Some(5)),
            (Some("11.0.0.1"), ".com", Transport::Tls, Some(0)),
        ] {
            let address = address.map(|text| text.parse().unwrap());
            let found = choose(&chains, address, sni, transport);
            let at = found.and_then(|found| chains.iter().position(|chain| Arc::ptr_eq(chain, found)));
            assert_eq!(at, expected, "{address:?} {sni} {transport:?}");
        }
    }
}
