//! The mesh that the benchmarks ask: `count` services of one HTTP port with a cluster of three endpoints and one route.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::sync::Arc;

use roadstead_core::columns::HostColumn;
use roadstead_core::engine::Engine;
use roadstead_core::model::{
    Action, Cluster, ClusterType, Destination, Endpoint, EndpointKind, Health, LbConfig, Limits, LocalityGroup, Match,
    MatchKind, Plain, Port, Protocol, Route, Service, Unit, ValueMatch, VirtualHost,
};
use roadstead_core::rng::SplitMix64;
use roadstead_core::template::Template;

pub const PORT: u16 = 8080;

pub fn host(at: usize) -> String {
    format!("service-{at}.namespace-{}.example.com", at % 50)
}

/// The host as its service declares it: one in twenty is a wildcard.
pub fn declared(at: usize) -> String {
    if at % 20 == 19 { format!("*.{}", host(at)) } else { host(at) }
}

pub fn value(kind: MatchKind, value: &str) -> ValueMatch {
    ValueMatch { kind, value: value.to_owned(), ignore_case: false }
}

pub fn path(kind: MatchKind, text: &str) -> Match {
    Match { path: Some(value(kind, text)), ..Match::default() }
}

pub fn route(matcher: Match, cluster: &str) -> Route<Plain> {
    let destination = Destination {
        cluster: cluster.to_owned(),
        weight: 1,
        request_ops: Box::default(),
        response_ops: Box::default(),
        host_rewrite: None,
    };
    Route {
        handle: (),
        matcher,
        action: Action::Forward,
        destinations: vec![destination],
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

pub fn unit(host: &str, routes: Vec<Route<Plain>>, lb: &Arc<LbConfig>, limits: &Arc<Limits>) -> Unit<Plain> {
    let endpoint = |last: u8| Endpoint {
        labels: None,
        address: format!("10.0.0.{last}").into(),
        port: PORT,
        kind: EndpointKind::Ip,
        weight: 1,
        health: Health::Unknown,
        hostname: "".into(),
        hash_key: "".into(),
    };
    let group = LocalityGroup {
        locality: Arc::from(""),
        priority: 0,
        weight: None,
        endpoints: (1..=3).map(endpoint).collect(),
    };
    Unit {
        key: host.to_owned(),
        order: String::new(),
        services: vec![Service {
            handle: (),
            host: host.into(),
            namespace: "default".into(),
            addresses: vec![],
            ports: Arc::new([Port { number: PORT, name: "http".into(), protocol: Protocol::Http }]),
        }],
        clusters: vec![Cluster {
            handle: (),
            name: cluster(host),
            kind: ClusterType::Eds,
            lb: Arc::clone(lb),
            limits: Arc::clone(limits),
            groups: vec![group],
            port_override: 0,
            outliers: None,
        }],
        virtual_hosts: vec![VirtualHost {
            handle: (),
            port: PORT,
            domains: vec![(host.to_owned(), 0)],
            routes,
            tls: false,
            addresses: vec![],
        }],
        chains: vec![],
    }
}

pub fn cluster(host: &str) -> String {
    format!("outbound|{PORT}||{host}")
}

pub fn empty() -> Engine<Plain> {
    Engine::new(Arc::new(|| 0), Arc::new(|| 0))
}

/// An engine with `count` services; one in twenty is a wildcard.
pub fn engine(count: usize) -> Engine<Plain> {
    let engine = empty();
    let (lb, limits) = (Arc::default(), Arc::default());
    let mut builder = engine.builder();
    for at in 0..count {
        let host = declared(at);
        let routes = vec![route(path(MatchKind::Prefix, "/"), &cluster(&host))];
        builder.put(unit(&host, routes, &lb, &limits)).expect("the unit is good");
    }
    engine.publish(builder).expect("nobody else publishes");
    engine
}

/// The exact ones of those services as rows of one template.
pub fn rows(count: usize) -> Engine<Plain> {
    let engine = empty();
    let name = "\x010\x02";
    let routes = vec![route(path(MatchKind::Prefix, "/"), &cluster(name))];
    let template = Template::new(unit(name, routes, &Arc::default(), &Arc::default())).expect("the template is good");
    let hosts: HostColumn = (0..count).filter(|at| at % 20 != 19).map(host).collect();
    let mut builder = engine.builder();
    builder.put_rows(&Arc::new(template), &[&hosts], Arc::new(())).expect("the rows are good");
    engine.publish(builder).expect("nobody else publishes");
    engine
}

/// Hosts that are asked for, exact ones only: 1,000 again and again, or all of them, shuffled.
pub fn questions(count: usize, hot: bool) -> Vec<String> {
    shuffled((0..count).filter(|at| at % 20 != 19), hot).map(host).collect()
}

/// The same of hosts that only a wildcard has.
pub fn under_wildcards(count: usize, hot: bool) -> Vec<String> {
    shuffled((0..count).filter(|at| at % 20 == 19), hot).map(|at| format!("any.{}", host(at))).collect()
}

fn shuffled(asked: impl Iterator<Item = usize>, hot: bool) -> impl Iterator<Item = usize> {
    let mut asked: Vec<usize> = asked.collect();
    let mut draws = SplitMix64(7);
    for at in (1..asked.len()).rev() {
        asked.swap(at, (draws.next_u64() % (at as u64 + 1)) as usize);
    }
    if hot {
        asked.truncate(1000);
    }
    asked.into_iter()
}

/// Gives out the questions in turn.
pub struct Turn {
    questions: Vec<String>,
    at: usize,
}

impl Turn {
    pub fn new(count: usize, hot: bool) -> Self {
        Turn::of(questions(count, hot))
    }

    pub fn of(questions: Vec<String>) -> Self {
        Turn { questions, at: 0 }
    }

    #[inline]
    pub fn take(&mut self) -> &str {
        self.at = if self.at + 1 == self.questions.len() { 0 } else { self.at + 1 };
        &self.questions[self.at]
    }
}
