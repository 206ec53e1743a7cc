//! What the engine is told: the mirror of `roadstead/_lowered.py`, field by field.
//!
//! A unit is everything that one host means for one node. Every name is resolved, every port settled, locality became
//! priority and weight, and times are seconds. `handle` values belong to the embedder: stored, handed back, never read.

use std::sync::Arc;

use crate::exchange::retry::Words;
use crate::outliers::Policy;

/// What the embedder attaches to the engine's objects.
///
/// `Handle` comes in with a unit, `Labels` with an endpoint; `Cell` starts empty and lets an embedder keep an object it made.
pub trait Attach: std::fmt::Debug + Send + Sync + 'static {
    type Handle: std::fmt::Debug + Send + Sync;
    type Labels: std::fmt::Debug + Send + Sync;
    type Cell: std::fmt::Debug + Default + Send + Sync;
}

/// No attachments: for tests, benchmarks and embedders that go by names.
#[derive(Debug)]
pub struct Plain;

impl Attach for Plain {
    type Handle = ();
    type Labels = ();
    type Cell = ();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchKind {
    Exact,
    Prefix,
    Regex,
    Present,
    Suffix,
}

impl MatchKind {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 5] = [Self::Exact, Self::Prefix, Self::Regex, Self::Present, Self::Suffix];
}

#[derive(Clone, Debug)]
pub struct ValueMatch {
    pub kind: MatchKind,
    pub value: String,
    /// For `Exact` and `Prefix` only.
    pub ignore_case: bool,
}

/// Envoy `HeaderMatcher`; `name` in lower case, pseudo headers as `:method`.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    pub name: String,
    pub value: ValueMatch,
    pub invert: bool,
    pub missing_as_empty: bool,
}

/// Envoy `QueryParameterMatcher`: first occurrence, nothing decoded.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    pub name: String,
    pub value: ValueMatch,
}

#[derive(Clone, Debug, Default)]
pub struct Match {
    /// None: prefix "/".
    pub path: Option<ValueMatch>,
    pub headers: Vec<HeaderMatch>,
    pub queries: Vec<QueryMatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    Set,
    Add,
    Remove,
    /// Envoy's; Istio writes none.
    AddIfAbsent,
}

impl OpKind {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 4] = [Self::Set, Self::Add, Self::Remove, Self::AddIfAbsent];
}

/// What a piece of a formatted value stands for (Envoy: %REQ%, %RESP%, %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%,
/// %RESPONSE_CODE%, %UPSTREAM_CLUSTER%).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    Text,
    RequestHeader,
    ResponseHeader,
    SourceIp,
    Status,
    Cluster,
}

impl PieceKind {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 6] =
        [Self::Text, Self::RequestHeader, Self::ResponseHeader, Self::SourceIp, Self::Status, Self::Cluster];
}

#[derive(Clone, Debug)]
pub struct Piece {
    pub kind: PieceKind,
    /// The text, the name of the header, or what follows the cluster's name.
    pub text: Box<str>,
    /// The header that is read where that one is missing; "" none.
    pub other: Box<str>,
    /// Most bytes of the value; 0: all.
    pub limit: u32,
}

#[derive(Clone, Debug)]
pub struct HeaderOp {
    pub kind: OpKind,
    pub name: Box<str>,
    pub value: Box<str>,
    /// Pieces that make the value instead, for each request.
    pub format: Box<[Piece]>,
}

#[derive(Clone, Debug)]
pub struct Destination {
    pub cluster: String,
    pub weight: u32,
    pub request_ops: Box<[HeaderOp]>,
    pub response_ops: Box<[HeaderOp]>,
    pub host_rewrite: Option<Box<str>>,
}

/// Envoy `RedirectAction`; empty text and 0 mean not set.
#[derive(Clone, Debug)]
pub struct Redirect {
    pub scheme: Box<str>,
    pub host: Box<str>,
    pub port: u16,
    pub path: Box<str>,
    pub prefix_rewrite: Box<str>,
    pub code: u16,
    /// The Host's port stays even where it is the default of the scheme left (Envoy: `require_tls`).
    pub keep_port: bool,
}

/// Copied when `draw % 1_000_000 < numerator`.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub cluster: Box<str>,
    pub numerator: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    Header,
    Cookie,
    SourceIp,
    Query,
}

impl HashKind {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 4] = [Self::Header, Self::Cookie, Self::SourceIp, Self::Query];
}

#[derive(Clone, Debug)]
pub struct HashPolicy {
    pub kind: HashKind,
    pub name: Box<str>,
    /// Seconds; None: a cookie is read but never made.
    pub ttl: Option<f64>,
    pub path: Box<str>,
    pub attributes: Box<[(Box<str>, Box<str>)]>,
    pub terminal: bool,
}

/// Shares per million; `abort_status` 0 and `abort_grpc_status` -1: none.
#[derive(Clone, Debug)]
pub struct Fault {
    pub delay: f64,
    pub delay_numerator: u32,
    pub abort_numerator: u32,
    pub abort_status: u16,
    pub abort_grpc_status: i32,
}

/// Envoy `RetryPolicy`; routes with equal policies share one.
#[derive(Clone, Debug)]
pub struct Retry {
    pub words: Words,
    /// After the first try.
    pub attempts: u32,
    /// Seconds; 0: none.
    pub per_try_timeout: f64,
    pub base_interval: f64,
    pub status_codes: Box<[u32]>,
    pub previous_hosts: bool,
    /// After so many tries priorities already tried are avoided; 0: never.
    pub previous_priorities: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            words: Words::default(),
            attempts: 1,
            per_try_timeout: 0.0,
            base_interval: 0.025,
            status_codes: Box::default(),
            previous_hosts: false,
            previous_priorities: 0,
        }
    }
}

/// Envoy `CorsPolicy`; texts are values of the answer's headers, "" none.
#[derive(Clone, Debug)]
pub struct Cors {
    pub origins: Box<[ValueMatch]>,
    pub allow_methods: Box<str>,
    pub allow_headers: Box<str>,
    pub expose_headers: Box<str>,
    pub max_age: Box<str>,
    pub allow_credentials: bool,
    /// Preflights of origins that are not allowed are sent on.
    pub forward_unmatched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Forward,
    Redirect,
    DirectResponse,
}

impl Action {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 3] = [Self::Forward, Self::Redirect, Self::DirectResponse];
}

#[derive(Debug)]
pub struct Route<A: Attach> {
    pub handle: A::Handle,
    pub matcher: Match,
    pub action: Action,
    pub destinations: Vec<Destination>,
    pub request_ops: Box<[HeaderOp]>,
    pub response_ops: Box<[HeaderOp]>,
    pub prefix_rewrite: Option<Box<str>>,
    pub regex_rewrite: Option<(String, String)>,
    pub host_rewrite: Option<Box<str>>,
    pub redirect: Option<Redirect>,
    pub direct_status: u16,
    pub direct_body: Box<[u8]>,
    pub mirrors: Box<[Mirror]>,
    pub hash_policies: Box<[HashPolicy]>,
    pub fault: Option<Fault>,
    pub retry_host_attempts: u32,
    /// Seconds; 0: none.
    pub timeout: f64,
    pub retry: Option<Arc<Retry>>,
    pub cors: Option<Arc<Cors>>,
}

#[derive(Debug)]
pub struct VirtualHost<A: Attach> {
    pub handle: A::Handle,
    pub port: u16,
    /// (domain in lower case, tier).
    pub domains: Vec<(String, u32)>,
    pub routes: Vec<Route<A>>,
    pub tls: bool,
    /// Where its port listens; "" is the wildcard address, and so is none.
    pub addresses: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Tcp,
    Tls,
    Auto,
    Udp,
}

impl Protocol {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 5] = [Self::Http, Self::Tcp, Self::Tls, Self::Auto, Self::Udp];
}

#[derive(Clone, Debug)]
pub struct Port {
    pub number: u16,
    pub name: Box<str>,
    pub protocol: Protocol,
}

#[derive(Debug)]
pub struct Service<A: Attach> {
    pub handle: A::Handle,
    pub host: Box<str>,
    pub namespace: Box<str>,
    pub addresses: Vec<String>,
    pub ports: Arc<[Port]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    Ip,
    Hostname,
    Unix,
}

impl EndpointKind {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 3] = [Self::Ip, Self::Hostname, Self::Unix];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
    Draining,
    Degraded,
}

impl Health {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 5] = [Self::Unknown, Self::Healthy, Self::Unhealthy, Self::Draining, Self::Degraded];
}

#[derive(Debug)]
pub struct Endpoint<A: Attach> {
    /// What the embedder keeps of the endpoint as it came.
    pub labels: Option<A::Labels>,
    pub address: Box<str>,
    pub port: u16,
    pub kind: EndpointKind,
    pub weight: u32,
    pub health: Health,
    pub hostname: Box<str>,
    /// Text hashed by ring hash and Maglev; empty: "address:port".
    pub hash_key: Box<str>,
}

#[derive(Debug)]
pub struct LocalityGroup<A: Attach> {
    pub locality: Arc<str>,
    pub priority: u32,
    pub weight: Option<u32>,
    pub endpoints: Vec<Endpoint<A>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LbPolicy {
    RoundRobin,
    LeastRequest,
    Random,
    RingHash,
    Maglev,
    ClusterProvided,
}

impl LbPolicy {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 6] =
        [Self::RoundRobin, Self::LeastRequest, Self::Random, Self::RingHash, Self::Maglev, Self::ClusterProvided];
}

#[derive(Clone, Debug, PartialEq)]
pub struct LbConfig {
    pub policy: LbPolicy,
    pub panic_threshold: u32,
    pub overprovisioning: u32,
    pub locality_weighted: bool,
    pub ring_min: u64,
    pub ring_max: u64,
    pub table_size: u64,
    pub choice_count: u32,
    pub active_request_bias: f64,
    pub slow_start_window: f64,
    pub slow_start_aggression: f64,
    pub slow_start_min_percent: f64,
}

impl Default for LbConfig {
    fn default() -> Self {
        LbConfig {
            policy: LbPolicy::LeastRequest,
            panic_threshold: 0,
            overprovisioning: 140,
            locality_weighted: false,
            ring_min: 1024,
            ring_max: 8 * 1024 * 1024,
            table_size: 65537,
            choice_count: 2,
            active_request_bias: 1.0,
            slow_start_window: 0.0,
            slow_start_aggression: 1.0,
            slow_start_min_percent: 10.0,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub max_connections: u32,
    pub max_pending_requests: u32,
    pub max_requests: u32,
    pub max_retries: u32,
    /// (percent, minimum concurrency).
    pub retry_budget: Option<(f64, u32)>,
    /// Seconds; the requests that began in it count for the budget, not those active now; 0: no.
    pub retry_budget_interval: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: u32::MAX,
            max_pending_requests: u32::MAX,
            max_requests: u32::MAX,
            max_retries: u32::MAX,
            retry_budget: None,
            retry_budget_interval: 0.0,
        }
    }
}

/// Envoy's outlier detection: times in seconds, shares in percent.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetection {
    pub consecutive_5xx: u32,
    pub enforcing_consecutive_5xx: u32,
    pub consecutive_gateway_failure: u32,
    pub enforcing_consecutive_gateway_failure: u32,
    pub consecutive_local_origin_failure: u32,
    pub enforcing_consecutive_local_origin_failure: u32,
    pub split_external_local_origin_errors: bool,
    pub interval: f64,
    pub base_ejection_time: f64,
    pub max_ejection_time: f64,
    pub max_ejection_time_jitter: f64,
    pub max_ejection_percent: u32,
    pub always_eject_one_host: bool,
    /// The statuses that count as failures; none: 5xx.
    pub error_codes: Box<[u16]>,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        OutlierDetection {
            consecutive_5xx: 5,
            enforcing_consecutive_5xx: 100,
            consecutive_gateway_failure: 5,
            enforcing_consecutive_gateway_failure: 0,
            consecutive_local_origin_failure: 5,
            enforcing_consecutive_local_origin_failure: 100,
            split_external_local_origin_errors: false,
            interval: 10.0,
            base_ejection_time: 30.0,
            max_ejection_time: 300.0,
            max_ejection_time_jitter: 0.0,
            max_ejection_percent: 10,
            always_eject_one_host: false,
            error_codes: Box::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterType {
    Eds,
    StrictDns,
    LogicalDns,
    OriginalDst,
    DynamicDns,
}

impl ClusterType {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 5] = [Self::Eds, Self::StrictDns, Self::LogicalDns, Self::OriginalDst, Self::DynamicDns];
}

#[derive(Debug)]
pub struct Cluster<A: Attach> {
    pub handle: A::Handle,
    pub name: String,
    pub kind: ClusterType,
    pub lb: Arc<LbConfig>,
    pub limits: Arc<Limits>,
    pub groups: Vec<LocalityGroup<A>>,
    pub port_override: u16,
    pub outliers: Option<Arc<Policy>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Any,
    Tls,
    Raw,
}

impl Transport {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 3] = [Self::Any, Self::Tls, Self::Raw];
}

#[derive(Debug)]
pub struct Chain<A: Attach> {
    pub handle: A::Handle,
    pub host: String,
    pub port: u16,
    pub addresses: Vec<String>,
    pub cidrs: Vec<String>,
    pub snis: Vec<String>,
    pub transport: Transport,
    pub destinations: Vec<Destination>,
    pub hash_policies: Box<[HashPolicy]>,
}

#[derive(Debug)]
pub struct Unit<A: Attach> {
    pub key: String,
    pub order: String,
    pub services: Vec<Service<A>>,
    pub clusters: Vec<Cluster<A>>,
    pub virtual_hosts: Vec<VirtualHost<A>>,
    pub chains: Vec<Chain<A>>,
}

/// What an unknown destination gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// `egress_cluster` "" = pass through.
    AllowAny {
        egress_cluster: String,
    },
    RegistryOnly,
    /// A router: 404 for hosts it does not know.
    Gateway,
    /// Plain HTTP is dialled by its Host; anything else passes through.
    AllowAnyDynamicDns,
}

impl Outbound {
    /// By its number in `_lowered.py`.
    pub fn of_code(code: usize, egress_cluster: &str) -> Option<Self> {
        let all = [
            Outbound::AllowAny { egress_cluster: egress_cluster.to_owned() },
            Outbound::RegistryOnly,
            Outbound::Gateway,
            Outbound::AllowAnyDynamicDns,
        ];
        all.into_iter().nth(code)
    }
}

/// How paths are normalised before anything looks at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    Keep,
    #[default]
    Normalize,
    MergeSlashes,
    DecodeSlashes,
}

impl Paths {
    /// By their numbers in `_lowered.py`.
    pub const CODES: [Self; 4] = [Self::Keep, Self::Normalize, Self::MergeSlashes, Self::DecodeSlashes];
}
