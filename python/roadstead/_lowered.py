"""What the engine is told: plain columns, one `Unit` a host.

`registry/lower.py` makes these from the mesh and hands each unit to `Builder.put` in one crossing; both engines read
them by position, so **the order of the fields is part of the contract** (`_core.pyi`): fields are only appended.
Everything here is already decided: names are resolved, ports are settled, locality became priority and weight, time is
seconds. `handle` fields are opaque to the engine: it stores the object and hands it back (the mesh object a decision
names). Where the unit has a `maker`, handles are None and the maker makes the object whenever somebody reads it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

# StringMatch kinds
EXACT, PREFIX, REGEX, PRESENT, SUFFIX = 0, 1, 2, 3, 4
# Service / protocol classes
PROTO_HTTP, PROTO_TCP, PROTO_TLS, PROTO_AUTO, PROTO_UDP = 0, 1, 2, 3, 4
# Cluster discovery kinds (Envoy: cluster.type)
EDS, STRICT_DNS, LOGICAL_DNS, ORIGINAL_DST, DYNAMIC_DNS = 0, 1, 2, 3, 4
# Load balancer policies (Envoy: lb_policy)
ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH, MAGLEV, CLUSTER_PROVIDED = 0, 1, 2, 3, 4, 5
# Endpoint kinds and health
IP, HOSTNAME, UNIX = 0, 1, 2
UNKNOWN, HEALTHY, UNHEALTHY, DRAINING, DEGRADED = 0, 1, 2, 3, 4
# Hash policy kinds
HASH_HEADER, HASH_COOKIE, HASH_SOURCE_IP, HASH_QUERY = 0, 1, 2, 3
# Header operation kinds
SET, ADD, REMOVE, ADD_IF_ABSENT = 0, 1, 2, 3
TEXT, REQUEST_HEADER, RESPONSE_HEADER, SOURCE_IP, STATUS, CLUSTER = 0, 1, 2, 3, 4, 5
# Route actions
FORWARD, REDIRECT, DIRECT_RESPONSE = 0, 1, 2
# Outbound traffic policy of the node
ALLOW_ANY, REGISTRY_ONLY, GATEWAY, ALLOW_ANY_DYNAMIC_DNS = 0, 1, 2, 3
# How paths are normalised before anything looks at them
KEEP_PATH, NORMALIZE, MERGE_SLASHES, DECODE_SLASHES = 0, 1, 2, 3


class ValueMatch(NamedTuple):
    """A test of one string. kind EXACT PREFIX REGEX(RE2, full match) PRESENT SUFFIX; ignore_case for EXACT and PREFIX
    only."""

    kind: int
    value: str
    ignore_case: bool = False


class HeaderMatch(NamedTuple):
    """Envoy HeaderMatcher. `name` lower case (":method" ":authority" ":scheme" are the pseudo headers).

    Each header line is tested by itself; without `invert` one matching line is enough, with `invert` no line may match.
    `missing_as_empty` (treat_missing_header_as_empty): an absent header is the empty string; otherwise an absent header
    fails every test, inverted ones too, except inverted PRESENT (which asks for absence)."""

    name: str
    match: ValueMatch
    invert: bool = False
    missing_as_empty: bool = False


class QueryMatch(NamedTuple):
    """Envoy QueryParameterMatcher: first occurrence only, no percent-decoding, names case-sensitive. PRESENT: `?k` or
    `?k=…`."""

    name: str
    match: ValueMatch


class Match(NamedTuple):
    """All conditions hold (AND). `path` None means prefix "/"; path conditions see the path without query."""

    path: ValueMatch | None
    headers: tuple[HeaderMatch, ...] = ()
    queries: tuple[QueryMatch, ...] = ()


class Piece(NamedTuple):
    """A piece of a header's value (Envoy: substitution format strings); what is not known is "".

    TEXT: itself. REQUEST_HEADER (%REQ%): the first value of the header `text`, or else of `other` ("" none): in an
    operation on the request as the operations before left it, with the path and authority as given; in one on the
    response as it went upstream. RESPONSE_HEADER (%RESP%): of the response, as the operations before left it. SOURCE_IP
    (%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%). STATUS (%RESPONSE_CODE%): 0 before the response. CLUSTER
    (%UPSTREAM_CLUSTER%): its name, and `text` behind it. limit: most bytes, 0: all."""

    kind: int
    text: str = ""
    other: str = ""
    limit: int = 0


class HeaderOp(NamedTuple):
    """One operation in the order of execution. SET overwrites (or adds), ADD appends a line, REMOVE drops all lines,
    ADD_IF_ABSENT adds where no line of that name is there (Envoy's; Istio writes none). format: makes the value instead
    of `value`, for each request; () without commands."""

    kind: int
    name: str
    value: str = ""
    format: tuple[Piece, ...] = ()


class Destination(NamedTuple):
    """One weighted destination. `cluster` is a cluster name; it need not exist (503 NC then).

    Operations of the destination run before those of the route (Envoy: weighted cluster, then route)."""

    cluster: str
    weight: int
    request_ops: tuple[HeaderOp, ...] = ()
    response_ops: tuple[HeaderOp, ...] = ()
    host_rewrite: str | None = None


class Redirect(NamedTuple):
    """Envoy RedirectAction. Empty string / 0 = not set. Exactly one of path, prefix_rewrite may be set.
    keep_port: the Host's port stays even where it is the old scheme's default (Envoy: VirtualHost.require_tls)."""

    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix_rewrite: str = ""
    code: int = 301
    keep_port: bool = False


class Mirror(NamedTuple):
    """RequestMirrorPolicy: copied when `draw % 1_000_000 < numerator`."""

    cluster: str
    numerator: int


class HashPolicy(NamedTuple):
    """Envoy HashPolicy. kind HASH_*; name of header, cookie or query parameter; ttl seconds (cookie; None: never
    generated)."""

    kind: int
    name: str = ""
    ttl: float | None = None
    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    terminal: bool = False


class Fault(NamedTuple):
    """Percentages per million; 0 = never. delay in seconds. status 0: none; grpc_status -1: none."""

    delay: float = 0.0
    delay_numerator: int = 0
    abort_numerator: int = 0
    abort_status: int = 0
    abort_grpc_status: int = -1


class Cors(NamedTuple):
    """Envoy CorsPolicy. Responses to an origin of `origins` say so (allow-origin, allow-credentials, expose-headers),
    whoever answers, but for a fault's abort. Preflights (OPTIONS with origin and access-control-request-method) are
    answered here, with 200 and no body: those of `origins` and, without forward_unmatched, all others, without headers.

    Texts are the values of the answer's headers, "" none; "*" of methods and headers allows what was asked for."""

    origins: tuple[ValueMatch, ...] = ()
    allow_methods: str = ""
    allow_headers: str = ""
    expose_headers: str = ""
    max_age: str = ""
    allow_credentials: bool = False
    forward_unmatched: bool = True


class RoutePolicy(NamedTuple):
    """What callers read of every decision: opaque, handed back as it is; routes and chains with equal policies share
    one object. timeout: seconds; retry: the mesh.Retry; cors: the mesh.Cors; tcp: the mesh.TcpPolicy; None: none."""

    timeout: float | None = None
    retry: object | None = None
    cors: object | None = None
    tcp: object | None = None


class Retry(NamedTuple):
    """Envoy RetryPolicy; interned: routes with equal policies share one object.

    retry_on: Envoy's words (x-envoy-retry-on and x-envoy-retry-grpc-on), comma separated, unknown ones ignored.
    attempts: retries after the first try. Seconds, in whole milliseconds; per_try_timeout 0: none. status_codes: for
    "retriable-status-codes". previous_hosts: hosts already tried are avoided. previous_priorities: after so many tries
    priorities already tried are avoided (update_frequency), 0: never."""

    retry_on: str = ""
    attempts: int = 1
    per_try_timeout: float = 0.0
    base_interval: float = 0.025
    status_codes: tuple[int, ...] = ()
    previous_hosts: bool = False
    previous_priorities: int = 0


class Route(NamedTuple):
    """One Envoy route. `handle` is the mesh.Route.

    timeout: seconds, in whole milliseconds, 0: none; for gRPC requests the most that their grpc-timeout may ask for
    (Istio: max_grpc_timeout is the same)."""

    handle: object
    match: Match
    action: int  # FORWARD REDIRECT DIRECT_RESPONSE
    destinations: tuple[Destination, ...] = ()
    request_ops: tuple[HeaderOp, ...] = ()
    response_ops: tuple[HeaderOp, ...] = ()
    # path rewrite: prefix_rewrite replaces what the path condition matched (whole path for EXACT and REGEX);
    # regex_rewrite = (pattern, substitution with \N), every match replaced
    prefix_rewrite: str | None = None
    regex_rewrite: tuple[str, str] | None = None
    host_rewrite: str | None = None
    redirect: Redirect | None = None
    direct_status: int = 0
    direct_body: bytes = b""
    mirrors: tuple[Mirror, ...] = ()
    hash_policies: tuple[HashPolicy, ...] = ()
    fault: Fault | None = None
    retry_host_attempts: int = 5  # host_selection_retry_max_attempts, for `pick(exclude=…)`; 16 bits
    policy: RoutePolicy | None = None  # None: nothing is set
    timeout: float = 0.0
    retry: Retry | None = None
    cors: Cors | None = None


class VirtualHost(NamedTuple):
    """Domains of one listener port and their routes, first match wins.

    domains: (domain, tier): lower case; `*.x` is a suffix wildcard (at least one character), `*` everything. Where two
    units claim one (port, domain), the lower (tier, unit order) has it; the other takes over when that one goes.
    tls: the port speaks TLS; the rules hold for requests this process makes itself (dialect `extended`).
    addresses: where its port listens: HTTP that was dialled to one of these IPs is for this virtual host, whatever its
    Host. "" is the wildcard address, where the Host decides; so does () mean."""

    handle: object
    port: int
    domains: tuple[tuple[str, int], ...]
    routes: tuple[Route, ...]
    tls: bool = False
    addresses: tuple[str, ...] = ()


class Port(NamedTuple):
    number: int
    name: str
    protocol: int  # PROTO_*


class Service(NamedTuple):
    """What `find` hands out. addresses: VIPs (IP text) and CIDRs ("10.0.0.0/8"), none when it has none."""

    handle: object
    host: str  # as written; "*.x" for wildcards
    namespace: str
    addresses: tuple[str, ...]
    ports: tuple[Port, ...]


class Endpoint(NamedTuple):
    """One host of a cluster. port 0 with UNIX. `hostname` is what auto_host_rewrite and hashing by name use.
    hash_key: text hashed by ring hash and Maglev when not the address ("" = "address:port")."""

    address: str
    port: int
    kind: int = 0
    weight: int = 1
    health: int = 0
    labels: dict[str, str] | None = None
    hostname: str = ""
    hash_key: str = ""


class LocalityGroup(NamedTuple):
    """Envoy LocalityLbEndpoints. weight None: unset (0 under locality weighting unless all are unset)."""

    locality: str
    priority: int
    weight: int | None
    endpoints: tuple[Endpoint, ...]


class LbConfig(NamedTuple):
    """How a cluster balances; interned: clusters with equal policies share one object.

    panic_threshold percent (0 = off). locality_weighted: locality_weighted_lb_config is set. ring_min/ring_max points,
    table_size Maglev. choice_count and active_request_bias for LEAST_REQUEST. Slow start: window seconds (0 = off),
    aggression, min_weight_percent."""

    policy: int = LEAST_REQUEST
    panic_threshold: int = 0
    overprovisioning: int = 140
    locality_weighted: bool = False
    ring_min: int = 1024
    ring_max: int = 8 * 1024 * 1024
    table_size: int = 65537
    choice_count: int = 2
    active_request_bias: float = 1.0
    slow_start_window: float = 0.0
    slow_start_aggression: float = 1.0
    slow_start_min_percent: float = 10.0


class Limits(NamedTuple):
    """Circuit breakers (default priority). 2**32 - 1 = no limit. retry_budget: (percent, min concurrency) or None.
    retry_budget_interval: seconds; the requests that began in it count for the budget, not those active now; 0: no."""

    max_connections: int = 0xFFFFFFFF
    max_pending_requests: int = 0xFFFFFFFF
    max_requests: int = 0xFFFFFFFF
    max_retries: int = 0xFFFFFFFF
    retry_budget: tuple[float, int] | None = None
    retry_budget_interval: float = 0.0


class ClusterPolicy(NamedTuple):
    """What callers read of a cluster: opaque, handed back as it is; clusters with equal policies share one object.
    mesh.ConnectionPool, mesh.OutlierDetection, mesh.HealthCheck objects, mesh.LoadBalancer, mesh.TlsOrigination."""

    connection_pool: object | None = None
    outlier_detection: object | None = None
    health_checks: tuple[object, ...] = ()
    load_balancer: object | None = None
    tls: object | None = None


class OutlierDetection(NamedTuple):
    """Envoy's outlier detection, its defaults filled in; interned. Times in seconds, shares in percent.

    A threshold is the count of failures in a row that detects; `enforcing_…` the chance that what is detected is
    ejected. interval: of the ticks that end ejections. max_ejection_time is at least base_ejection_time. error_codes:
    the statuses that count as failures, () = 5xx."""

    consecutive_5xx: int = 5
    enforcing_consecutive_5xx: int = 100
    consecutive_gateway_failure: int = 5
    enforcing_consecutive_gateway_failure: int = 0
    consecutive_local_origin_failure: int = 5
    enforcing_consecutive_local_origin_failure: int = 100
    split_external_local_origin_errors: bool = False
    interval: float = 10.0
    base_ejection_time: float = 30.0
    max_ejection_time: float = 300.0
    max_ejection_time_jitter: float = 0.0
    max_ejection_percent: int = 10
    always_eject_one_host: bool = False
    error_codes: tuple[int, ...] = ()


class Cluster(NamedTuple):
    """`handle` is the mesh.Cluster.

    name: "outbound|80|v1|host". port_override: ORIGINAL_DST upstream_port_override; DYNAMIC_DNS: the port of a request
    whose authority names none (0: none; there the request's own)."""

    handle: object
    name: str
    type: int
    lb: LbConfig
    limits: Limits
    groups: tuple[LocalityGroup, ...]
    port_override: int = 0
    policy: ClusterPolicy | None = None  # None: nothing is set
    outlier_detection: OutlierDetection | None = None


class Chain(NamedTuple):
    """One filter chain for a connection (TCP, TLS by SNI). `handle` is the mesh.TcpRoute.

    host/port: the service (for connect by name). addresses: VIPs this chain listens on; empty = the wildcard address.
    cidrs: destination CIDRs; snis: lower case server names ("*.x" suffix wildcards), both empty = no condition.
    transport: 0 any, 1 tls, 2 raw. Equal conditions on one listener: the lower unit order wins, later ones are dropped.
    destinations: weight per connection; one destination ignores weight."""

    handle: object
    host: str
    port: int
    addresses: tuple[str, ...]
    cidrs: tuple[str, ...]
    snis: tuple[str, ...]
    transport: int
    destinations: tuple[Destination, ...]
    hash_policies: tuple[HashPolicy, ...] = ()
    policy: RoutePolicy | None = None  # None: nothing is set


def place(index: int) -> str:
    """Where a name goes in a unit that is a template (`Engine.template`)."""
    return f"\x01{index}\x02"


class Maker(Protocol):
    """Makes what the handles of a unit stand for, each time somebody reads one: positions are those in the unit; those
    of routes count through all its virtual hosts."""

    def service(self, at: int, /) -> object: ...
    def cluster(self, at: int, /) -> object: ...
    def virtual_host(self, at: int, /) -> object: ...
    def route(self, at: int, /) -> object: ...
    def chain(self, at: int, /) -> object: ...


class Unit(NamedTuple):
    """What one host (or one VirtualService host without a service) means for this node; replaced as one piece.

    key: unique name of the unit. order: text that sorts by (creation time, name, namespace); decides conflicts. maker:
    None: the handles are the objects themselves."""

    key: str
    order: str
    services: tuple[Service, ...]
    clusters: tuple[Cluster, ...]
    virtual_hosts: tuple[VirtualHost, ...]
    chains: tuple[Chain, ...]
    maker: Maker | None = None
