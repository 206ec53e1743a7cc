//! What crosses the border: plain structs, in the order of the header.
//!
//! A struct that begins with `struct_size` may grow at its end; the others are as they are for good.
#![allow(non_camel_case_types, reason = "names of the C header")]

use std::ffi::{c_char, c_void};

/// Version of this interface. 0: anything may change until roadstead 1.0; a program asks for the version it was built with.
pub const ROADSTEAD_ABI_VERSION: u32 = 0;

/// Version of the bytes that `roadstead_engine_load` reads.
pub const ROADSTEAD_SNAPSHOT_FORMAT: u32 = 1;

/// `roadstead_request.flags`: `draw` is given. Without it the engine draws, from a generator of the calling thread.
pub const ROADSTEAD_REQUEST_DRAW: u32 = 1;
/// `roadstead_request.flags`: `now` is given. Without it the engine's clock is read where the time matters.
pub const ROADSTEAD_REQUEST_NOW: u32 = 2;

/// `roadstead_options.flags`: `seed` is given, so that a run can be repeated. Without it the system's entropy is used.
pub const ROADSTEAD_OPTIONS_SEED: u32 = 1;

/// `roadstead_choice.flags`: `hash` is the hash itself.
pub const ROADSTEAD_CHOICE_HASH: u32 = 1;
/// `roadstead_choice.flags`: `hash_key` is hashed as Envoy would. Without either, the route's hash policies decide.
pub const ROADSTEAD_CHOICE_HASH_KEY: u32 = 2;
/// `roadstead_choice.flags`, for `roadstead_lease_take`: a retry, which counts against max_retries too.
pub const ROADSTEAD_CHOICE_RETRY: u32 = 4;
/// `roadstead_choice.flags`, for `roadstead_lease_take`: the request waits for a connection first, and counts against
/// max_pending_requests instead of max_requests until `roadstead_lease_ready`.
pub const ROADSTEAD_CHOICE_PENDING: u32 = 8;

/// `roadstead_terms.flags`: the request comes from who may steer: its x-envoy- headers are read.
pub const ROADSTEAD_TERMS_TRUSTED: u32 = 1;
/// `roadstead_terms.flags`: the request cannot be sent again from its beginning, so nothing is tried twice.
pub const ROADSTEAD_TERMS_ONCE: u32 = 2;
/// `roadstead_terms.flags`: the request is not here as a whole; its time limits count from `roadstead_exchange_received`.
pub const ROADSTEAD_TERMS_STREAMED: u32 = 4;
/// `roadstead_terms.flags`: tries wait for a connection first, and count against max_pending_requests until
/// `roadstead_exchange_ready`.
pub const ROADSTEAD_TERMS_PENDING: u32 = 8;
/// `roadstead_terms.flags`: `hash` is the hash itself.
pub const ROADSTEAD_TERMS_HASH: u32 = 16;
/// `roadstead_terms.flags`: `hash_key` is hashed as Envoy would.
pub const ROADSTEAD_TERMS_HASH_KEY: u32 = 32;

/// How a call ended. More may come; those that are here keep their numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_status {
    /// Done.
    ROADSTEAD_OK = 0,
    /// A pointer that must be given is NULL.
    ROADSTEAD_NULL = 1,
    /// A `struct_size` is smaller than version 0 of that struct, or was not set.
    ROADSTEAD_STRUCT_SIZE = 2,
    /// A string is not UTF-8.
    ROADSTEAD_UTF8 = 3,
    /// The handle is of another kind, of another table of functions, or was freed.
    ROADSTEAD_HANDLE = 4,
    /// The decision holds none yet: `roadstead_route` or `roadstead_connect` comes first.
    ROADSTEAD_EMPTY = 5,
    /// The bytes are no snapshot that this version reads; `line` and `column` say where.
    ROADSTEAD_SNAPSHOT = 6,
    /// The engine refused a value (a regular expression outside RE2, a table size that is no prime …).
    ROADSTEAD_REFUSED = 7,
    /// There is no such service, cluster, endpoint or fact.
    ROADSTEAD_NOT_FOUND = 8,
    /// The decision has no endpoint: this process answers by itself (redirect, direct response).
    ROADSTEAD_NO_ENDPOINT = 9,
    /// No endpoint is healthy (Envoy: 503 UH), or there is no cluster.
    ROADSTEAD_NO_HEALTHY_ENDPOINT = 10,
    /// A circuit breaker is open (Envoy: 503 UO); `message` names the limit.
    ROADSTEAD_OVERFLOW = 11,
    /// A number or code is out of range.
    ROADSTEAD_RANGE = 12,
    /// The object is no engine and has none.
    ROADSTEAD_OBJECT = 13,
    /// This table of functions cannot do that (it was loaded from a snapshot, or is Python's).
    ROADSTEAD_UNSUPPORTED = 14,
    /// A defect of roadstead: a panic was caught. What was published stays as it was.
    ROADSTEAD_PANIC = 15,
    /// A report does not fit what the exchange is at; nothing has changed.
    ROADSTEAD_REPORT = 16,
}

/// What became of a request or connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_kind {
    /// Nothing was decided yet, or the handle is none.
    ROADSTEAD_NOTHING = 0,
    /// To an endpoint of the cluster.
    ROADSTEAD_FORWARD = 1,
    /// Answered here: `status` and `location`.
    ROADSTEAD_REDIRECT = 2,
    /// Answered here: `status` and `body`.
    ROADSTEAD_DIRECT_RESPONSE = 3,
    /// The host is unknown and let through to where the caller wanted to go.
    ROADSTEAD_PASSTHROUGH = 4,
    /// The host is unknown and refused (502, REGISTRY_ONLY).
    ROADSTEAD_REFUSED_HOST = 5,
    /// No rule takes the request (404).
    ROADSTEAD_NO_ROUTE = 6,
    /// The rule's cluster does not exist (503).
    ROADSTEAD_NO_CLUSTER = 7,
}

/// What an endpoint's `address` is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_address {
    ROADSTEAD_IP = 0,
    /// A name; the system resolves it.
    ROADSTEAD_HOSTNAME = 1,
    /// The path of a unix socket; the port is 0.
    ROADSTEAD_UNIX = 2,
}

/// Health of an endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_health {
    /// Nothing is known, which counts as healthy. As a mark: it is taken away.
    ROADSTEAD_UNKNOWN = 0,
    ROADSTEAD_HEALTHY = 1,
    ROADSTEAD_UNHEALTHY = 2,
    /// Unhealthy, and not counted.
    ROADSTEAD_DRAINING = 3,
    ROADSTEAD_DEGRADED = 4,
}

/// What is done to a header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_op {
    /// The first line of that name is replaced and the others go; without one it is added.
    ROADSTEAD_SET = 0,
    /// A line is added at the end.
    ROADSTEAD_ADD = 1,
    /// All lines of that name go.
    ROADSTEAD_REMOVE = 2,
    /// Added where no line of that name is there.
    ROADSTEAD_ADD_IF_ABSENT = 3,
}

/// How a lease ended, where no HTTP status says it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_end {
    /// `status` says it; without one the try or connection worked.
    ROADSTEAD_END_OK = 0,
    /// The connection could not be made, its time limit included.
    ROADSTEAD_END_CONNECT_FAILURE = 1,
    /// The stream or connection was reset.
    ROADSTEAD_END_RESET = 2,
    /// The try's or request's time was up.
    ROADSTEAD_END_TIMEOUT = 3,
    /// Another failure of local origin.
    ROADSTEAD_END_FAILURE = 4,
    /// `status` is the gRPC status in the response's headers.
    ROADSTEAD_END_GRPC = 5,
}

/// What an exchange says is to be done.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_do {
    /// Wait until `deadline`, then `roadstead_exchange_expired`: an injected fault, or the back-off before the next try.
    ROADSTEAD_DO_DELAY = 0,
    /// Send the request to `roadstead_exchange_endpoint`, then report the response or what broke, or that `deadline` passed.
    ROADSTEAD_DO_TRY = 1,
    /// Pass the response on as it comes; report its end, what broke, or that `deadline` passed.
    ROADSTEAD_DO_FORWARD = 2,
    /// It is over: answer with `status`, `headers` (the rule's operations on responses are still to be done) and `body`.
    ROADSTEAD_DO_RESPOND = 3,
    /// It is over: the response that was passed on is the answer.
    ROADSTEAD_DO_NOTHING = 4,
}

/// Why a try broke, in Envoy's words.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum roadstead_reset {
    ROADSTEAD_LOCAL_CONNECTION_FAILURE = 0,
    /// A refused connection.
    ROADSTEAD_REMOTE_CONNECTION_FAILURE = 1,
    ROADSTEAD_CONNECTION_TIMEOUT = 2,
    /// The peer closed it.
    ROADSTEAD_CONNECTION_TERMINATION = 3,
    ROADSTEAD_LOCAL_RESET = 4,
    ROADSTEAD_REMOTE_RESET = 5,
    ROADSTEAD_REMOTE_REFUSED_STREAM_RESET = 6,
    ROADSTEAD_PROTOCOL_ERROR = 7,
    /// A limit of the caller's own.
    ROADSTEAD_RESET_OVERFLOW = 8,
}

/// Text or bytes: a pointer and a length, no NUL at the end. NULL with length 0 is "not given".
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_str {
    pub data: *const c_char,
    pub len: usize,
}

/// One header line. The name's case does not matter; NULL pointers are empty text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_header {
    pub name: roadstead_str,
    pub value: roadstead_str,
}

/// One operation on headers; with an empty value all but ROADSTEAD_REMOVE do nothing, but in the answer to a CORS preflight.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_header_op {
    /// A `roadstead_op`.
    pub op: i32,
    pub name: roadstead_str,
    pub value: roadstead_str,
}

/// A counter or gauge in Envoy's words. `name` lives as long as the program.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_stat {
    pub name: roadstead_str,
    pub value: i64,
}

/// Where a call says what went wrong. Every call that takes one takes NULL too. Written only where the call fails.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_error {
    /// `sizeof(roadstead_error)`. Where it is too small nothing is written.
    pub struct_size: usize,
    /// The `roadstead_status` that the call returned.
    pub status: i32,
    /// Of a snapshot's text, from 1; 0 where the error is not about text.
    pub line: u32,
    /// In bytes, from 1.
    pub column: u32,
    /// UTF-8 with a NUL at the end, cut where it is longer.
    pub message: [c_char; 500],
}

/// How an engine is made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_options {
    /// `sizeof(roadstead_options)`.
    pub struct_size: usize,
    /// ROADSTEAD_OPTIONS_….
    pub flags: u32,
    /// With ROADSTEAD_OPTIONS_SEED.
    pub seed: u64,
    /// Monotonic nanoseconds, called from any thread; NULL: the system's monotonic clock. It must not unwind.
    pub clock: Option<unsafe extern "C" fn(context: *mut c_void) -> i64>,
    /// What `clock` is given; must live as long as the engine.
    pub context: *mut c_void,
}

/// One request or connection. Zero what is not known: `roadstead_request r = {.struct_size = sizeof r};`
///
/// Nothing is copied: what it points to must stay as it is for as long as the decision made from it is read or picked from.
/// The struct itself may go.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_request {
    /// `sizeof(roadstead_request)`.
    pub struct_size: usize,
    /// As in the Host header; its case, port and one trailing dot make no difference. Or an IP.
    pub host: roadstead_str,
    /// With its query, as it is sent; NULL: "/".
    pub path: roadstead_str,
    /// NULL: "GET".
    pub method: roadstead_str,
    /// "http" or "https"; NULL: what the port's protocol says.
    pub scheme: roadstead_str,
    /// The caller's address, for hashing by source; NULL: unknown.
    pub source_ip: roadstead_str,
    /// `roadstead_connect`: the server name of TLS; NULL: none is spoken.
    pub sni: roadstead_str,
    /// Where a captured request was on its way to (an IP); NULL: it was not captured.
    pub original_host: roadstead_str,
    /// In order; read only where a rule or hash policy asks.
    pub headers: *const roadstead_header,
    pub header_count: usize,
    /// The random number of the decision: weights, faults, mirrors, the pick. With ROADSTEAD_REQUEST_DRAW.
    pub draw: u64,
    /// Nanoseconds of the engine's clock. With ROADSTEAD_REQUEST_NOW.
    pub now: i64,
    /// ROADSTEAD_REQUEST_….
    pub flags: u32,
    /// The port asked for; 0: the scheme's default, or `original_port`.
    pub port: u16,
    pub original_port: u16,
}

/// Who owns a host and port. The strings live as long as the snapshot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_service {
    /// `sizeof(roadstead_service)`.
    pub struct_size: usize,
    /// As written: "*.x" for wildcards.
    pub host: roadstead_str,
    pub namespace_: roadstead_str,
    /// Name of the port that was asked for.
    pub port_name: roadstead_str,
    /// Its protocol: 0 HTTP, 1 TCP, 2 TLS, 3 sniffed, 4 UDP.
    pub protocol: i32,
}

/// What a decision says. The strings and arrays live until the decision is used again or freed; texts that were not changed
/// are the request's own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_answer {
    /// `sizeof(roadstead_answer)`.
    pub struct_size: usize,
    /// A `roadstead_kind`.
    pub kind: i32,
    /// What this process answers with itself (404, 502, 503, a redirect's code, a direct response); 0 where it forwards.
    pub status: u32,
    /// Envoy's response flags: "", "NR", "NC", "UH".
    pub flags: roadstead_str,
    /// The cluster's name, existing or not ("outbound|80|v1|host"); empty without one.
    pub cluster: roadstead_str,
    /// Host of the service that was asked for; NULL where nobody owns it.
    pub service: roadstead_str,
    /// Position in the virtual host; -1 without a rule.
    pub route: i32,
    /// Position among the rule's weighted destinations; -1 without one.
    pub destination: i32,
    /// Seconds for the whole request, retries included; below 0: no limit.
    pub timeout: f64,
    /// Path and query as sent upstream.
    pub path: roadstead_str,
    /// Host header as sent upstream.
    pub authority: roadstead_str,
    /// Where a redirect leads; NULL without one.
    pub location: roadstead_str,
    /// Body of a direct response; NULL without one.
    pub body: roadstead_str,
    /// Operations on the request's headers, in order (`roadstead_decision_apply` does them).
    pub request_ops: *const roadstead_header_op,
    pub request_op_count: usize,
    /// The same for the response.
    pub response_ops: *const roadstead_header_op,
    pub response_op_count: usize,
    /// Clusters that get a copy of the request.
    pub mirrors: *const roadstead_str,
    pub mirror_count: usize,
    /// Set-Cookie values for hash cookies that were made.
    pub set_cookies: *const roadstead_str,
    pub set_cookie_count: usize,
    /// Fault injection that the draw hits: seconds to wait first; 0: none.
    pub delay: f64,
    /// HTTP status to answer with; 0: none.
    pub abort_status: u32,
    /// gRPC status to answer with; -1: none.
    pub abort_grpc_status: i32,
    /// The random number that decided; given again it decides the same.
    pub draw: u64,
    /// What the hash policies give for the request; see `has_hash`.
    pub hash: u64,
    pub has_hash: bool,
    /// The caller itself speaks TLS to the service (beside what the mesh originates, `roadstead_decision_tls`).
    pub application_tls: bool,
}

/// When a try is repeated (Envoy: RetryPolicy). The strings and arrays live as those of `roadstead_answer`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_retry {
    /// `sizeof(roadstead_retry)`.
    pub struct_size: usize,
    /// After the first try.
    pub attempts: u32,
    /// Envoy's conditions, comma separated.
    pub retry_on: roadstead_str,
    /// For "retriable-status-codes".
    pub status_codes: *const u32,
    pub status_code_count: usize,
    /// Seconds; below 0: that of the request alone.
    pub per_try_timeout: f64,
    /// Base interval of the back-off in seconds; below 0: Envoy's 25 ms.
    pub backoff: f64,
}

/// TLS that the mesh originates towards the endpoint. The strings and arrays live as those of `roadstead_answer`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_tls {
    /// `sizeof(roadstead_tls)`.
    pub struct_size: usize,
    /// In Istio's words: "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "AUTO" (mTLS where the endpoint has a sidecar).
    pub mode: roadstead_str,
    /// Server name; empty with `auto_sni`: the authority.
    pub sni: roadstead_str,
    /// What is checked of the server's certificate: "" nothing, "san" one of `subject_alt_names`, "auto" the authority, "ca"
    /// the signature alone.
    pub verify: roadstead_str,
    /// File of certificate authorities; empty: the system's.
    pub ca: roadstead_str,
    /// Files of the client's own certificate and key; empty: none.
    pub certificate: roadstead_str,
    pub private_key: roadstead_str,
    /// Secret, or "configmap://namespace/name"; empty: files.
    pub credential_name: roadstead_str,
    pub subject_alt_names: *const roadstead_str,
    pub subject_alt_name_count: usize,
    /// Protocols to offer; none: "http/1.1" for HTTP/1.1, nothing for bytes alone.
    pub alpn: *const roadstead_str,
    pub alpn_count: usize,
    pub auto_sni: bool,
}

/// One endpoint of a cluster. The strings live as long as what it came from: decision (until it is used again), lease or
/// snapshot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_endpoint {
    /// `sizeof(roadstead_endpoint)`.
    pub struct_size: usize,
    /// IP, name or path, by `kind`.
    pub address: roadstead_str,
    /// Its name; empty for an address alone.
    pub hostname: roadstead_str,
    /// "region/zone/subzone"; empty: unknown.
    pub locality: roadstead_str,
    /// A `roadstead_address`.
    pub kind: i32,
    /// A `roadstead_health`, checks and configuration together.
    pub health: i32,
    /// Envoy's; 0 is tried first.
    pub priority: u32,
    pub weight: u32,
    pub port: u16,
}

/// How an endpoint is chosen. NULL in its place: nothing special.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_choice {
    /// `sizeof(roadstead_choice)`.
    pub struct_size: usize,
    /// ROADSTEAD_CHOICE_….
    pub flags: u32,
    /// With ROADSTEAD_CHOICE_HASH.
    pub hash: u64,
    /// With ROADSTEAD_CHOICE_HASH_KEY; any bytes.
    pub hash_key: roadstead_str,
    /// Endpoints to avoid (address and port count), as those of earlier tries: Envoy's previous_hosts.
    pub exclude: *const roadstead_endpoint,
    pub exclude_count: usize,
}

/// How a request is carried on. NULL in its place: nothing special.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_terms {
    /// `sizeof(roadstead_terms)`.
    pub struct_size: usize,
    /// ROADSTEAD_TERMS_….
    pub flags: u32,
    /// With ROADSTEAD_TERMS_HASH.
    pub hash: u64,
    /// With ROADSTEAD_TERMS_HASH_KEY; any bytes.
    pub hash_key: roadstead_str,
}

/// What is to be done now. The strings and arrays live until the next report, or until the exchange is freed. Instants are
/// nanoseconds of the clock that `now` is of.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct roadstead_step {
    /// `sizeof(roadstead_step)`.
    pub struct_size: usize,
    /// A `roadstead_do`.
    pub what: i32,
    /// Tries begun.
    pub attempts: u32,
    /// When `roadstead_exchange_expired` is due; see `has_deadline`.
    pub deadline: i64,
    /// When the request's time is up, all tries together; see `has_limit`.
    pub limit: i64,
    /// Envoy's response flags so far, comma separated.
    pub flags: roadstead_str,
    /// Of the response that is passed on or of the answer; 0 where the client left first.
    pub status: u32,
    /// Envoy's RESPONSE_CODE_DETAILS, once it is over.
    pub details: roadstead_str,
    /// ROADSTEAD_DO_TRY: what `roadstead_exchange_apply` sets on the request. ROADSTEAD_DO_RESPOND: of the answer.
    pub headers: *const roadstead_header,
    pub header_count: usize,
    /// ROADSTEAD_DO_RESPOND.
    pub body: roadstead_str,
    /// Clusters that get a copy (`roadstead_exchange_mirror`); with the first try only.
    pub mirrors: *const roadstead_str,
    pub mirror_count: usize,
    pub has_deadline: bool,
    pub has_limit: bool,
    /// ROADSTEAD_DO_NOTHING: the response is cut off, so the client's stream must be too.
    pub reset: bool,
}

/// One node's engine: what is published in it and what lives in it. For all threads at once.
pub struct roadstead_engine {
    _opaque: (),
}

/// What was published at one moment, for as long as it is held. For all threads at once.
pub struct roadstead_snapshot {
    _opaque: (),
}

/// A place for one decision after another; keep one for each thread. It is used by one thread at a time.
pub struct roadstead_decision {
    _opaque: (),
}

/// An endpoint in use, counted against the cluster's limits until it is finished or freed. For all threads at once.
pub struct roadstead_lease {
    _opaque: (),
}

/// One request on its way, from its first try to its answer: faults, tries, time limits, mirrors. It does no I/O and owns no
/// timer. It is used by one thread at a time.
pub struct roadstead_exchange {
    _opaque: (),
}
