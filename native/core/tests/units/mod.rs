//! Units in few words, for the tests of the engine.
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Arc;

use roadstead_core::engine::Engine;
use roadstead_core::model::{
    Action, Chain, Cluster, ClusterType, Destination, Match, MatchKind, Plain, Port, Protocol, Route, Service,
    Transport, Unit, ValueMatch, VirtualHost,
};

pub fn engine(units: Vec<Unit<Plain>>) -> Engine<Plain> {
    let engine = Engine::new(Arc::new(|| 0), Arc::new(|| 0));
    put(&engine, units);
    engine
}

pub fn put(engine: &Engine<Plain>, units: Vec<Unit<Plain>>) {
    let mut builder = engine.builder();
    units.into_iter().for_each(|unit| builder.put(unit).unwrap());
    engine.publish(builder).unwrap();
}

pub fn delete(engine: &Engine<Plain>, key: &str) {
    let mut builder = engine.builder();
    builder.delete(key);
    engine.publish(builder).unwrap();
}

pub fn unit(key: &str) -> Unit<Plain> {
    Unit {
        key: key.to_owned(),
        order: String::new(),
        services: vec![],
        clusters: vec![],
        virtual_hosts: vec![],
        chains: vec![],
    }
}

pub fn service(host: &str, addresses: &[&str], ports: &[(u16, Protocol)]) -> Service<Plain> {
    Service {
        handle: (),
        host: host.into(),
        namespace: "default".into(),
        addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
        ports: ports
            .iter()
            .map(|(number, protocol)| Port { number: *number, name: "p".into(), protocol: *protocol })
            .collect(),
    }
}

pub fn cluster(name: &str) -> Cluster<Plain> {
    Cluster {
        handle: (),
        name: name.to_owned(),
        kind: ClusterType::Eds,
        lb: Arc::default(),
        limits: Arc::default(),
        groups: vec![],
        port_override: 0,
        outliers: None,
    }
}

pub fn destination(cluster: &str, weight: u32) -> Destination {
    Destination {
        cluster: cluster.to_owned(),
        weight,
        request_ops: Box::default(),
        response_ops: Box::default(),
        host_rewrite: None,
    }
}

pub fn route(kind: MatchKind, path: &str, clusters: &[(&str, u32)]) -> Route<Plain> {
    let value = ValueMatch { kind, value: path.to_owned(), ignore_case: false };
    Route {
        handle: (),
        matcher: Match { path: Some(value), ..Match::default() },
        action: Action::Forward,
        destinations: clusters.iter().map(|(cluster, weight)| destination(cluster, *weight)).collect(),
        request_ops: Box::default(),
        response_ops: Box::default(),
        prefix_rewrite: None,
        regex_rewrite: None,
        host_rewrite: None,
        redirect: None,
        direct_status: 0,
        direct_body: Box::default(),
        mirrors: Box::default(),
        hash_policies: Box::default(),
        fault: None,
        retry_host_attempts: 5,
        timeout: 0.0,
        retry: None,
        cors: None,
    }
}

pub fn virtual_host(port: u16, domains: &[&str], routes: Vec<Route<Plain>>) -> VirtualHost<Plain> {
    let domains = domains.iter().map(|domain| ((*domain).to_owned(), 0)).collect();
    VirtualHost { handle: (), port, domains, routes, tls: false, addresses: Vec::new() }
}

pub fn chain(
    host: &str,
    port: u16,
    addresses: &[&str],
    snis: &[&str],
    transport: Transport,
    cluster: &str,
) -> Chain<Plain> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Chain {
        handle: (),
        host: host.to_owned(),
        port,
        addresses: texts(addresses),
        cidrs: vec![],
        snis: texts(snis),
        transport,
        destinations: vec![destination(cluster, 1)],
        hash_policies: Box::default(),
    }
}

/// A service of one HTTP port whose requests all go to a cluster of its own.
pub fn plain(host: &str, port: u16) -> Unit<Plain> {
    Unit {
        services: vec![service(host, &[], &[(port, Protocol::Http)])],
        clusters: vec![cluster(host)],
        virtual_hosts: vec![virtual_host(port, &[host], vec![route(MatchKind::Prefix, "/", &[(host, 1)])])],
        ..unit(host)
    }
}
