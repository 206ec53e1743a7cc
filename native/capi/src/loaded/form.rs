//! Columns as JSON: the fields of `roadstead/_lowered.py` in their order, one array for each tuple.

use std::sync::Arc;

use roadstead_core::error::Error as Refusal;
use roadstead_core::exchange::retry::Words;
use roadstead_core::model::{
    Action, Chain, Cluster, ClusterType, Cors, Destination, Endpoint, EndpointKind, Fault, HashKind, HashPolicy,
    HeaderMatch, HeaderOp, Health, LbConfig, LbPolicy, Limits, LocalityGroup, Match, MatchKind, Mirror, OpKind,
    OutlierDetection, Piece, PieceKind, Port, Protocol, QueryMatch, Redirect, Retry, Route, Service, Transport, Unit,
    ValueMatch, VirtualHost,
};
use roadstead_core::outliers::MOST_SECONDS as MOST_INTERVAL;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Unexpected};

use super::engine::{Interned, Loaded};
use super::facts::{Facts, RuleForm, UpstreamForm, facts};

/// One of the numbered words.
pub struct Code<T>(pub T);

macro_rules! coded {
    ($($kind:ident),*) => {
        $(impl<'de> Deserialize<'de> for Code<$kind> {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let code = u64::deserialize(from)?;
                let known = usize::try_from(code).ok().and_then(|code| $kind::CODES.get(code));
                let expected = concat!("a code of ", stringify!($kind));
                known.copied().map(Code).ok_or_else(|| D::Error::invalid_value(Unexpected::Unsigned(code), &expected))
            }
        })*
    };
}

coded!(
    Action,
    ClusterType,
    EndpointKind,
    HashKind,
    Health,
    LbPolicy,
    MatchKind,
    OpKind,
    PieceKind,
    Protocol,
    Transport
);

/// Bytes as Latin-1 text.
struct Bytes(Box<[u8]>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = text.chars().map(|one| u8::try_from(u32::from(one))).collect::<Result<_, _>>();
        bytes.map(Bytes).map_err(|_| D::Error::custom("bytes are written as Latin-1 text, up to U+00FF"))
    }
}

/// A number that is at least 1.
struct Positive(u32);

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u32::deserialize(from)? {
            0 => Err(D::Error::invalid_value(Unexpected::Unsigned(0), &"a number from 1")),
            number => Ok(Positive(number)),
        }
    }
}

/// A span of time that a protobuf Duration holds.
struct Seconds(f64);

const MOST_SECONDS: f64 = 315_576_000_000.0;

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match f64::deserialize(from)? {
            seconds if (0.0..=MOST_SECONDS).contains(&seconds) => Ok(Seconds(seconds)),
            other => Err(D::Error::invalid_value(Unexpected::Float(other), &"seconds from 0 to 315576000000")),
        }
    }
}

/// The tuples: a struct of the fields in order, and what becomes of them.
macro_rules! tuples {
    ($($name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(#[derive(serde::Deserialize)]
        pub struct $name { $($field: $type),* })*
    };
}

tuples! {
    ValueForm { kind: Code<MatchKind>, value: String, ignore_case: bool }
    HeaderForm { name: String, value: ValueForm, invert: bool, missing_as_empty: bool }
    QueryForm { name: String, value: ValueForm }
    MatchForm { path: Option<ValueForm>, headers: Vec<HeaderForm>, queries: Vec<QueryForm> }
    PieceForm { kind: Code<PieceKind>, text: Box<str>, other: Box<str>, limit: u32 }
    OpForm { kind: Code<OpKind>, name: Box<str>, value: Box<str>, format: Vec<PieceForm> }
    DestinationForm {
        cluster: String, weight: u32, request_ops: Vec<OpForm>, response_ops: Vec<OpForm>, host_rewrite: Option<Box<str>>,
    }
    RedirectForm {
        scheme: Box<str>, host: Box<str>, port: u16, path: Box<str>, prefix_rewrite: Box<str>, code: u16, keep_port: bool,
    }
    MirrorForm { cluster: Box<str>, numerator: u32 }
    HashForm {
        kind: Code<HashKind>, name: Box<str>, ttl: Option<f64>, path: Box<str>, attributes: Box<[(Box<str>, Box<str>)]>,
        terminal: bool,
    }
    FaultForm {
        delay: f64, delay_numerator: u32, abort_numerator: u32, abort_status: u16, abort_grpc_status: i32,
    }
    RetryForm {
        retry_on: String, attempts: u32, per_try_timeout: Seconds, base_interval: Seconds, status_codes: Box<[u32]>,
        previous_hosts: bool, previous_priorities: u32,
    }
    CorsForm {
        origins: Vec<ValueForm>, allow_methods: Box<str>, allow_headers: Box<str>, expose_headers: Box<str>,
        max_age: Box<str>, allow_credentials: bool, forward_unmatched: bool,
    }
    RouteForm {
        _handle: IgnoredAny, matcher: MatchForm, action: Code<Action>, destinations: Vec<DestinationForm>,
        request_ops: Vec<OpForm>, response_ops: Vec<OpForm>, prefix_rewrite: Option<Box<str>>,
        regex_rewrite: Option<(String, String)>, host_rewrite: Option<Box<str>>, redirect: Option<RedirectForm>,
        direct_status: u16, direct_body: Bytes, mirrors: Vec<MirrorForm>, hash_policies: Vec<HashForm>,
        fault: Option<FaultForm>, retry_host_attempts: u16, policy: Option<RuleForm>,
        timeout: Seconds, retry: Option<RetryForm>, cors: Option<CorsForm>,
    }
    HostForm {
        _handle: IgnoredAny, port: u16, domains: Vec<(String, u32)>, routes: Vec<RouteForm>, tls: bool,
        addresses: Vec<String>,
    }
    PortForm { number: u16, name: Box<str>, protocol: Code<Protocol> }
    ServiceForm {
        _handle: IgnoredAny, host: Box<str>, namespace: Box<str>, addresses: Vec<String>, ports: Vec<PortForm>,
    }
    EndpointForm {
        address: Box<str>, port: u16, kind: Code<EndpointKind>, weight: Positive, health: Code<Health>,
        _labels: IgnoredAny, hostname: Box<str>, hash_key: Box<str>,
    }
    GroupForm { locality: String, priority: u32, weight: Option<u32>, endpoints: Vec<EndpointForm> }
    LbForm {
        policy: Code<LbPolicy>, panic_threshold: u32, overprovisioning: u32, locality_weighted: bool, ring_min: u64,
        ring_max: u64, table_size: u64, choice_count: Positive, active_request_bias: f64, slow_start_window: f64,
        slow_start_aggression: f64, slow_start_min_percent: f64,
    }
    LimitsForm {
        max_connections: u32, max_pending_requests: u32, max_requests: u32, max_retries: u32,
        retry_budget: Option<(f64, u32)>, retry_budget_interval: Seconds,
    }
    OutlierForm {
        consecutive_5xx: u32, enforcing_consecutive_5xx: u32, consecutive_gateway_failure: u32,
        enforcing_consecutive_gateway_failure: u32, consecutive_local_origin_failure: u32,
        enforcing_consecutive_local_origin_failure: u32, split_external_local_origin_errors: bool, interval: f64,
        base_ejection_time: f64, max_ejection_time: f64, max_ejection_time_jitter: f64, max_ejection_percent: u32,
        always_eject_one_host: bool, error_codes: Box<[u16]>,
    }
    ClusterForm {
        _handle: IgnoredAny, name: String, kind: Code<ClusterType>, lb: LbForm, limits: LimitsForm,
        groups: Vec<GroupForm>, port_override: u16, policy: Option<UpstreamForm>, outliers: Option<OutlierForm>,
    }
    ChainForm {
        _handle: IgnoredAny, host: String, port: u16, addresses: Vec<String>, cidrs: Vec<String>, snis: Vec<String>,
        transport: Code<Transport>, destinations: Vec<DestinationForm>, hash_policies: Vec<HashForm>, _policy: IgnoredAny,
    }
    UnitForm {
        key: String, order: String, services: Vec<ServiceForm>, clusters: Vec<ClusterForm>, virtual_hosts: Vec<HostForm>,
        chains: Vec<ChainForm>, _maker: IgnoredAny,
    }
}

impl UnitForm {
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn each<F, T>(forms: Vec<F>, make: impl FnMut(F) -> T) -> Vec<T> {
    forms.into_iter().map(make).collect()
}

fn value(form: ValueForm) -> ValueMatch {
    ValueMatch { kind: form.kind.0, value: form.value, ignore_case: form.ignore_case }
}

fn matcher(form: MatchForm) -> Match {
    Match {
        path: form.path.map(value),
        headers: each(form.headers, |header| HeaderMatch {
            name: header.name,
            value: value(header.value),
            invert: header.invert,
            missing_as_empty: header.missing_as_empty,
        }),
        queries: each(form.queries, |query| QueryMatch { name: query.name, value: value(query.value) }),
    }
}

fn ops(forms: Vec<OpForm>) -> Box<[HeaderOp]> {
    let piece = |one: PieceForm| Piece { kind: one.kind.0, text: one.text, other: one.other, limit: one.limit };
    let op = |op: OpForm| {
        let format = each(op.format, piece).into();
        HeaderOp { kind: op.kind.0, name: op.name, value: op.value, format }
    };
    each(forms, op).into()
}

fn destinations(forms: Vec<DestinationForm>) -> Vec<Destination> {
    each(forms, |form| Destination {
        cluster: form.cluster,
        weight: form.weight,
        request_ops: ops(form.request_ops),
        response_ops: ops(form.response_ops),
        host_rewrite: form.host_rewrite,
    })
}

fn hash_policies(forms: Vec<HashForm>) -> Box<[HashPolicy]> {
    let made = each(forms, |form| HashPolicy {
        kind: form.kind.0,
        name: form.name,
        ttl: form.ttl,
        path: form.path,
        attributes: form.attributes,
        terminal: form.terminal,
    });
    made.into()
}

fn retry(form: RetryForm) -> Retry {
    Retry {
        words: Words::http(&form.retry_on) | Words::grpc(&form.retry_on),
        attempts: form.attempts,
        per_try_timeout: form.per_try_timeout.0,
        base_interval: form.base_interval.0,
        status_codes: form.status_codes,
        previous_hosts: form.previous_hosts,
        previous_priorities: form.previous_priorities,
    }
}

fn cors(form: CorsForm) -> Cors {
    Cors {
        origins: each(form.origins, value).into(),
        allow_methods: form.allow_methods,
        allow_headers: form.allow_headers,
        expose_headers: form.expose_headers,
        max_age: form.max_age,
        allow_credentials: form.allow_credentials,
        forward_unmatched: form.forward_unmatched,
    }
}

fn route(form: RouteForm) -> Route<Loaded> {
    Route {
        handle: facts(form.policy),
        matcher: matcher(form.matcher),
        action: form.action.0,
        destinations: destinations(form.destinations),
        request_ops: ops(form.request_ops),
        response_ops: ops(form.response_ops),
        prefix_rewrite: form.prefix_rewrite,
        regex_rewrite: form.regex_rewrite,
        host_rewrite: form.host_rewrite,
        redirect: form.redirect.map(|redirect| Redirect {
            scheme: redirect.scheme,
            host: redirect.host,
            port: redirect.port,
            path: redirect.path,
            prefix_rewrite: redirect.prefix_rewrite,
            code: redirect.code,
            keep_port: redirect.keep_port,
        }),
        direct_status: form.direct_status,
        direct_body: form.direct_body.0,
        mirrors: each(form.mirrors, |one| Mirror { cluster: one.cluster, numerator: one.numerator }).into(),
        hash_policies: hash_policies(form.hash_policies),
        fault: form.fault.map(|fault| Fault {
            delay: fault.delay,
            delay_numerator: fault.delay_numerator,
            abort_numerator: fault.abort_numerator,
            abort_status: fault.abort_status,
            abort_grpc_status: fault.abort_grpc_status,
        }),
        retry_host_attempts: u32::from(form.retry_host_attempts),
        timeout: form.timeout.0,
        retry: form.retry.map(|form| Arc::new(retry(form))),
        cors: form.cors.map(|form| Arc::new(cors(form))),
    }
}

fn service(form: ServiceForm) -> Service<Loaded> {
    Service {
        handle: Facts::None,
        host: form.host,
        namespace: form.namespace,
        addresses: form.addresses,
        ports: each(form.ports, |port| Port { number: port.number, name: port.name, protocol: port.protocol.0 }).into(),
    }
}

fn lb(form: LbForm) -> LbConfig {
    LbConfig {
        policy: form.policy.0,
        panic_threshold: form.panic_threshold,
        overprovisioning: form.overprovisioning,
        locality_weighted: form.locality_weighted,
        ring_min: form.ring_min,
        ring_max: form.ring_max,
        table_size: form.table_size,
        choice_count: form.choice_count.0,
        active_request_bias: form.active_request_bias,
        slow_start_window: form.slow_start_window,
        slow_start_aggression: form.slow_start_aggression,
        slow_start_min_percent: form.slow_start_min_percent,
    }
}

fn limits(form: LimitsForm) -> Limits {
    Limits {
        max_connections: form.max_connections,
        max_pending_requests: form.max_pending_requests,
        max_requests: form.max_requests,
        max_retries: form.max_retries,
        retry_budget: form.retry_budget,
        retry_budget_interval: form.retry_budget_interval.0.min(MOST_INTERVAL),
    }
}

pub fn groups(forms: Vec<GroupForm>, interned: &mut Interned) -> Vec<LocalityGroup<Loaded>> {
    each(forms, |form| LocalityGroup {
        locality: interned.locality(&form.locality),
        priority: form.priority,
        weight: form.weight,
        endpoints: each(form.endpoints, |endpoint| Endpoint {
            labels: None,
            address: endpoint.address,
            port: endpoint.port,
            kind: endpoint.kind.0,
            weight: endpoint.weight.0,
            health: endpoint.health.0,
            hostname: endpoint.hostname,
            hash_key: endpoint.hash_key,
        }),
    })
}

fn outliers(form: OutlierForm) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: form.consecutive_5xx,
        enforcing_consecutive_5xx: form.enforcing_consecutive_5xx,
        consecutive_gateway_failure: form.consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure: form.enforcing_consecutive_gateway_failure,
        consecutive_local_origin_failure: form.consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure: form.enforcing_consecutive_local_origin_failure,
        split_external_local_origin_errors: form.split_external_local_origin_errors,
        interval: form.interval,
        base_ejection_time: form.base_ejection_time,
        max_ejection_time: form.max_ejection_time,
        max_ejection_time_jitter: form.max_ejection_time_jitter,
        max_ejection_percent: form.max_ejection_percent,
        always_eject_one_host: form.always_eject_one_host,
        error_codes: form.error_codes,
    }
}

fn cluster(form: ClusterForm, interned: &mut Interned) -> Result<Cluster<Loaded>, Refusal> {
    Ok(Cluster {
        handle: facts(form.policy),
        name: form.name,
        kind: form.kind.0,
        lb: interned.balancer(lb(form.lb)),
        limits: interned.limits(limits(form.limits)),
        outliers: form.outliers.map(|given| interned.outliers(outliers(given))).transpose()?,
        groups: groups(form.groups, interned),
        port_override: form.port_override,
    })
}

pub fn unit(form: UnitForm, interned: &mut Interned) -> Result<Unit<Loaded>, Refusal> {
    let clusters = form.clusters.into_iter().map(|one| cluster(one, interned));
    Ok(Unit {
        key: form.key,
        order: form.order,
        services: each(form.services, service),
        clusters: clusters.collect::<Result<_, _>>()?,
        virtual_hosts: each(form.virtual_hosts, |host| VirtualHost {
            handle: Facts::None,
            port: host.port,
            domains: host.domains,
            routes: each(host.routes, route),
            tls: host.tls,
            addresses: host.addresses,
        }),
        chains: each(form.chains, |chain| Chain {
            handle: Facts::None,
            host: chain.host,
            port: chain.port,
            addresses: chain.addresses,
            cidrs: chain.cidrs,
            snis: chain.snis,
            transport: chain.transport.0,
            destinations: destinations(chain.destinations),
            hash_policies: hash_policies(chain.hash_policies),
        }),
    })
}
