"""The contract of the engine. Two implementations: `_core` (native/py over native/core) and `_fallback` (pure Python, the
readable specification). Written by hand, first; stubtest and tests/core hold both engines against it.

Rules both engines keep
-----------------------
* Input is `roadstead._lowered`; nothing here knows YAML or Istio. Errors raised are the classes of `roadstead.errors`.
* `spec`, `route` and `virtual_host` give the handle of a piece, or what its unit's maker makes of it each time they are read; what a maker raises is raised. What
  is read of every decision (timeout, retry, cors, a cluster's policy) is handed back as it came.
* Time and randomness are arguments or come from `seed`/`clock`. A `draw` is a u64. Where one is not given it is the next number of the calling thread's generator:
  SplitMix64, state seeded with `seed + i * 0x9E3779B97F4A7C15` for the i-th thread (i from 0, in order of first use) of the engine, or from the system's entropy
  without `seed` and again after a fork.
* SplitMix64: `state += 0x9E3779B97F4A7C15; z = state; z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9; z = (z ^ z >> 27) * 0x94D049BB133111EB; return z ^ z >> 31`, all
  modulo 2**64.
* One draw serves a decision: weighted destinations take `draw % total_weight` in list order, runtime fractions and mirrors `draw % 1_000_000 < numerator`; faults,
  for which Envoy draws anew each time, take `mix(draw) % 1_000_000` for a delay and `mix(draw) // 1_000_000 % 1_000_000` for an abort. mix: the last two steps of
  SplitMix64 (no increment). Picks use a SplitMix64 whose state starts at `draw + 0x9E3779B97F4A7C15 * 16 * n` for the n-th pick (from 0) of one decision; in order:
  r1 = next() chooses the priority (`r1 % 100 + 1` against the loads) and, for RANDOM, the host (`r1 % n`); the locality comes from the locality schedule's cursor,
  not from a draw; LEAST_REQUEST over equal weights then draws `choice_count` indices (`next() % n`, with replacement, a later one wins only with strictly fewer
  active requests). Hash policies replace r1 by the hash (for priority too); where no policy gives one, r1 is the hash.
* Cursors (round robin, EDF schedules) start at `mix(seed of the engine ^ hash of the cluster name)` = 0 when `seed` is given (so that runs can be repeated), at a
  random position otherwise; they survive an update that leaves the schedule equal.
* Weighted schedules are Envoy's EDF order (spec: deadline (k+1)/w, ties FIFO in list order) as a cycle of `sum(w / gcd)` entries up to 65,536, computed by rank
  beyond. LEAST_REQUEST over unequal weights walks the same cycle, but a slot of a host with `a` active requests only counts `1 / (a + 1) ** bias`: each endpoint
  adds that credit (in units of 2**-16, truncated) when its slot comes up and is taken once its credit reaches 1 (65,536), which is then subtracted; so with no
  active requests it is weighted round robin. At most `n * max(8, 1024 // n) + 1` slots (n: cycle length) are walked, then the slot's host is taken (so that where
  nobody saves up enough, the hosts still take turns).
* Slow start (`slow_start_window` > 0, ROUND_ROBIN and LEAST_REQUEST, not in panic): an endpoint's age is the engine's clock minus the instant it came into the
  cluster, the cluster got a slow start, or its mark left UNHEALTHY. Below the window its factor is `max((max(1, age in whole ms) / window in ms) ** (1 /
  aggression), min_percent / 100)`, else 1. While the youngest endpoint of the cluster is below the window, both policies walk the schedule by credit as above,
  equal weights too: a slot adds `65,536 * factor / (a + 1) ** bias`, truncated (ROUND_ROBIN: bias 0). Aggression <= 0 and bias < 0 (or NaN) count as 1.
* A hash cookie that is made for a request has the value `f"{mix(draw):016x}"`.
* Headers: names without regard to case, each value a line, in order. Where a plain `dict` has a name in lower case, that is the header, and other spellings of it
  in the same dict are not looked at. Other threads may change such a dict meanwhile.
* Text is compared as its UTF-8 bytes, case folded as ASCII; text that has none (lone surrogates) raises UnicodeEncodeError where the engine reads it. Ports beyond
  65,535 and draws beyond 2**64 - 1 raise OverflowError.
* The n-th back-off of an exchange (n from 1) lasts `r % interval` whole milliseconds: r the n-th number of a SplitMix64 whose state starts at mix(draw), interval
  the base (at least 1 ms) doubled n - 1 times, at most 10 bases. Seconds of policies are made whole milliseconds by `int(seconds * 1000 + 0.5)`.
* Health: an endpoint is unhealthy when UNHEALTHY by EDS health or by `set_health`, or ejected; DRAINING is unhealthy and excluded from denominators; DEGRADED is
  its own class. Loads, panic, locality weighting: as Envoy (load_balancer_impl.cc), integer arithmetic.
* A retry budget lets `max(percent / 100 * n, min concurrency)` retries, truncated, be active at once (Envoy: resource_manager_impl.h); n: the requests that are
  active or wait for a connection, or, with `retry_budget_interval` (whole ms, half up), those that got a connection lately: those since the last turn and those in
  ten slots of a tenth of the interval. A request or retry makes a turn when a slot's time or more passed since the last one (the first: since the first of them):
  what was counted since then goes into the current slot; of the slots after it one is emptied for each slot of time, or part of one, beyond the first, at most ten;
  the one after those is the current one.
* Outlier detection (clusters with `_lowered.OutlierDetection`) is Envoy's (outlier_detection_impl.cc) with its three detectors of
  consecutive failures: gateway, 5xx, local origin. How a lease ends becomes a code c, or with `split_external_local_origin_errors`
  a code, a local failure or a local success:

      end of a lease                            not split   split
      status c of an answer                     c           local success, then c
      neither status nor error                  200         local success, then, of a request, 200
      "connect_failure", "connect_timeout"      503         local failure
      "reset", "timeout" of a request           503, 504    local success, then local failure; while pending only that
      "timeout" of a ConnectionLease            504         local failure
      other errors, an Exception passing        503         local failure
      "reset" of a ConnectionLease              200         local success

  What `ready()` told (a local success; of a ConnectionLease its 200 too) is not told again. A grpc_status counts as the HTTP status
  that Envoy maps it to. With `error_codes` an answer counts as 200 unless its status is one of them, then as 500 where it is no 5xx.
  Code 5xx: gateway + 1 for 502, 503, 504, else gateway = 0; 5xx + 1. Other codes: both 0. Local failure: local + 1, success: local = 0.
  A counter that *equals* its threshold detects: in the order gateway, 5xx, and each only if the endpoint is not ejected (yet): count
  the detection; where `100 * (ejected + 1) > max_ejection_percent * endpoints` of the cluster (but for the first with
  `always_eject_one_host`) count an overflow; else eject with the chance of `enforcing_…` percent (between 0 and 100 exclusive:
  a draw of the calling thread's generator, `draw % 100 < percent`). Then that counter is 0 again.
  Ejecting: `ejections` + 1; jitter = a draw `% (max_ejection_time_jitter + 1 ms)` in ms, where there is jitter; multiplier m + 1 where
  `m * base < max + base`; the time is `min(m * base, max) + jitter`. Times are whole ms, half up, at most 10**9 s.
  Ticks are the multiples of the cluster's interval on the engine's clock. At the first tick when the time is over the endpoint is
  back and its three counters are 0; m goes down by 1 at each tick that is an interval or more after that. Ticks are done by
  `Engine.sweep`, and those of a cluster before it ejects, as if in time. A mark HEALTHY or DEGRADED (a check that passed)
  brings an ejected endpoint back at once. A threshold that a cluster's earlier version was asked for counts in the published one.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self, TypeAlias, final

from typing_extensions import Buffer

from roadstead._lowered import LocalityGroup, Maker, Unit
from roadstead.errors import Waiting
from roadstead.steps import Step

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
Kind: TypeAlias = Literal["forward", "redirect", "direct_response", "passthrough", "refused", "not_found", "no_cluster"]

Reset: TypeAlias = Literal[
    "local_connection_failure", "remote_connection_failure", "connection_timeout", "connection_termination", "local_reset",
    "remote_reset", "remote_refused_stream_reset", "protocol_error", "overflow",
]

# (what `describe` made, status, flags, gRPC, gRPC status, count, sums, counts by bucket and not cumulated: one more than bounds)
TallyRow: TypeAlias = tuple[
    object, int, str, bool, int, int, tuple[float, float, float], tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
]

NAME: Literal["native", "fallback"]

@final
class Engine:
    """One node's view: the published snapshot, its balancers and what lives in them (health, counters, cursors)."""

    def __new__(cls, *, seed: int | None = None, clock: Callable[[], int] | None = None) -> Self:
        """clock: nanoseconds, monotonic; default the system's."""
    @property
    def version(self) -> int:
        """Counts published changes, from 0."""
    def builder(self) -> Builder:
        """A change that starts from what is published now. One at a time is the caller's business (the registry's)."""
    def template(self, unit: Unit) -> Template:
        """unit: with "\x01", the index of a name and "\x02" where its names stand; its handles and its maker are not looked at.
        EngineError for a name in a condition, a rewrite of a path, a header operation or a hash policy."""
    def publish(self, builder: Builder) -> None:
        """Make the builder's state visible: one pointer swap. A builder that is not the newest raises EngineError."""
    def find(self, host: str, port: int) -> Service | None:
        """The service that owns (host, port): exact name, else longest wildcard that declares the port; an IP: VIP, else longest
        CIDR. `host:port` text (its port is ignored), case and one trailing dot are normalised."""
    def route(
        self,
        host: str,
        port: int | None = None,
        path: str = "/",
        method: str = "GET",
        headers: Headers | None = None,
        *,
        scheme: str | None = None,
        source_ip: str | None = None,
        original_destination: tuple[str, int] | None = None,
        draw: int | None = None,
    ) -> Decision:
        """Where an HTTP request goes. Never raises for 404, 502, 503: see Decision.kind.

        original_destination: the request was captured on its way to this IP and port (what a sidecar sees). `port` defaults
        to its port; the listener of the address is asked first: HTTP of a virtual host with that address (any Host), a chain
        whose network holds it, the wildcard listener (there the Host decides, to the letter: a trailing dot is part of it), else
        the outbound policy. Where that listener takes no HTTP the request is a connection's bytes: reason "sniff:as-connection".
        A destination that is a name chooses nothing; it is only the endpoint of clusters that have none of their own."""
    def connect(
        self, host: str, port: int, *, sni: str | None = None, source_ip: str | None = None, draw: int | None = None
    ) -> Decision:
        """Where a connection goes (TCP, TLS by SNI; a host name selects its service, an IP the listener)."""
    def find_many(self, hosts: HostColumn, ports: Buffer, out: Buffer) -> None:
        """ports: uint16[n]; out: int32[n], index into `services()` or -1. Runs without the GIL. EngineError for buffers of
        another type or length, or read-only ones for results."""
    def route_many(
        self, hosts: HostColumn, ports: Buffer, out: Buffer, *, paths: HostColumn | None = None, draws: Buffer | None = None
    ) -> None:
        """GET without headers for each row. out: int32[n], index into `clusters()` or -1 where nothing is forwarded. Without the GIL."""
    def services(self) -> Sequence[Service | None]:
        """All services in order of their index, None in the place of removed ones."""
    def clusters(self) -> Sequence[Cluster | None]: ...
    def cluster(self, name: str) -> Cluster | None: ...
    def trim(self) -> None:
        """Give memory that is free back to the system; after much was loaded or thrown away."""
    def update_endpoints(self, cluster: str, groups: Sequence[LocalityGroup]) -> None:
        """Replace a cluster's endpoints; visible when this returns. KeyError for an unknown cluster. Counters, health and
        ejections of endpoints that stay (same address, port, ordinal) survive. An update by `publish` replaces it again."""
    def hold(self, cluster: str, want: Callable[[], Waiting]) -> None:
        """Take a cluster's endpoints away until `update_endpoints` brings some (or none): what they are is not known yet.
        A pick there meanwhile raises EndpointsPending, which calls `want`, in the thread of the pick. KeyError for an
        unknown cluster."""
    def set_health(self, cluster: str, address: str, port: int, health: int) -> None:
        """Active health (HEALTHY, UNHEALTHY, DEGRADED; UNKNOWN takes the mark away); takes effect at once. HEALTHY and DEGRADED
        also end an ejection, so report each check that an ejected endpoint passes."""
    def sweep(self, now: int | None = None) -> int | None:
        """Do the ticks of outlier detection that are due: bring back endpoints whose ejection is over. now: ns of the engine's
        clock, default its time. Nanoseconds until the next tick that has something to do; None while nothing is ejected (an
        ejection that is made meanwhile lasts its base time at least). Looks only at clusters that have ejected."""
    def explain(self, decision: Decision) -> Sequence[tuple[int, int, str]]:
        """The slow walk: for each route of the decision's virtual host up to the one taken: (index, 1 taken / 0 not,
        first condition that failed, "" for the one taken): `path prefix "/api"`, `path "/exact"`, `path regex "a+"`,
        `header x-a suffix "v"`, `header x-a not "v"`, `header x-a present`, `query k "v"`."""

@final
class Builder:
    """Copy on write over a snapshot; readers see nothing until `publish`."""

    def put(self, unit: Unit) -> None:
        """Add or replace the unit of that key. Bad input (regex RE2 refuses, table size not prime…) raises EngineError and changes nothing."""
    def delete(self, key: str) -> None: ...
    def set_outbound(
        self,
        policy: int,
        *,
        egress_cluster: str = "",
        paths: int = 1,
        passthrough: object | None = None,
        dynamic: object | None = None,
    ) -> None:
        """ALLOW_ANY | REGISTRY_ONLY | GATEWAY | ALLOW_ANY_DYNAMIC_DNS for unknown hosts (the last one: plain HTTP is dialled by
        its Host: "AllowAnyDynamicDNSCluster"); egress_cluster: unknown traffic goes there (ALLOW_ANY). paths: KEEP_PATH |
        NORMALIZE | MERGE_SLASHES | DECODE_SLASHES, how `route` normalises paths before anything looks at them. passthrough,
        dynamic: the mesh.UnknownCluster of "PassthroughCluster" and of "AllowAnyDynamicDNSCluster", their `spec`, whose attributes are the policy; None: as it was."""
    def put_like(self, template: Template, names: tuple[str, ...], maker: Maker) -> None:
        """`put` of the template's unit with these names in their places and this maker."""
    def put_rows(self, template: Template, names: Sequence[HostColumn], makers: Sequence[Maker] | None = None) -> None:
        """`put_like` for each row of a column a name, all or nothing; parts are made when asked for. makers: None: the template's handles."""

@final
class Template:
    """A unit of which others are made (`Engine.template`)."""

@final
class HostColumn:
    """Strings prepared once for `find_many` and `route_many` (hosts normalised and hashed, or paths)."""

    def __new__(cls, values: Iterable[str]) -> Self: ...
    def __len__(self) -> int: ...

@final
class Service:
    """What `find` hands out; made once per unit and handed out again."""

    @property
    def host(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def addresses(self) -> tuple[str, ...]: ...
    @property
    def ports(self) -> tuple[tuple[int, str, int], ...]:
        """(number, name, protocol class) in declared order."""
    @property
    def spec(self) -> object:
        """The mesh.Service: resolution, location, origin, …"""

@final
class Cluster:
    """One upstream cluster: the policy that compile made and its live state."""

    @property
    def name(self) -> str:
        """ "outbound|80|v1|host": direction, port, subset, host, as Istio writes it."""
    @property
    def spec(self) -> object:
        """The mesh.Cluster."""
    @property
    def connection_pool(self) -> object:
        """The mesh.ConnectionPool: `.tcp` and `.http` limits (Envoy: circuit_breakers, upstream options)."""
    @property
    def outlier_detection(self) -> object | None:
        """The mesh.OutlierDetection, None without one."""
    @property
    def health_checks(self) -> Sequence[object]:
        """mesh.HealthCheck objects; only the extended dialect has any."""
    @property
    def load_balancer(self) -> object:
        """The mesh.LoadBalancer: `.policy` in Envoy's words, `.hash_key`, `.warmup` …"""
    @property
    def tls(self) -> object | None:
        """The mesh.TlsOrigination: TLS that the mesh speaks to the endpoints; None: none."""
    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All, in order of group and position."""
    @property
    def stats(self) -> dict[str, int]:
        """Envoy's names: upstream_cx_active, upstream_cx_total, upstream_rq_active, upstream_rq_total, upstream_rq_pending_active,
        upstream_rq_retry_active, upstream_rq_pending_overflow, upstream_cx_overflow, upstream_rq_active_overflow, upstream_rq_retry_overflow,
        upstream_cx_none_healthy, upstream_cx_connect_timeout, upstream_rq_retry, upstream_rq_timeout, upstream_rq_per_try_timeout, lb_healthy_panic, membership_total, membership_healthy, membership_degraded, membership_excluded;
        circuit_breakers.default. cx_open, rq_pending_open, rq_open, rq_retry_open (1 at the limit), remaining_cx, remaining_pending,
        remaining_rq, remaining_retries (0 with a retry budget); with outlier detection outlier_detection. ejections_active,
        ejections_enforced_total, ejections_overflow, and ejections_detected_… and ejections_enforced_… of consecutive_5xx,
        consecutive_gateway_failure, consecutive_local_origin_failure."""
    def connected(self, endpoint: Endpoint) -> None:
        """A connection is being made that requests are sent over (no ConnectionLease): it counts in upstream_cx_active and _total."""
    def disconnected(self, endpoint: Endpoint) -> None:
        """It is gone, or did not come about. Once for each `connected`."""
    def priority_load(self) -> tuple[tuple[int, int], ...]:
        """(healthy load, degraded load) in percent of each priority."""
    def endpoint_stats(self) -> tuple[dict[str, int], ...]:
        """Per endpoint: rq_active, rq_total, rq_success, rq_error, cx_active, cx_total, cx_connect_fail; order of `endpoints`. With
        outlier detection also ejected (1 while it is), ejected_until (the tick that brings it back, ns of the engine's clock; 0
        where it is not ejected), ejections (so far), consecutive_5xx, consecutive_gateway_failure, consecutive_local_origin_failure."""

@final
class Endpoint:
    """One host of a cluster. Equal to another when address and port are, so that one from before an update can be excluded."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @property
    def address(self) -> str:
        """IP, host name, or path of a unix socket, by `kind`."""
    @property
    def port(self) -> int:
        """Where to connect, targetPort applied; 0 for a unix socket."""
    @property
    def kind(self) -> Literal["ip", "hostname", "unix"]:
        """hostname: a DNS endpoint that no resolver has reported addresses for; let the system resolve it."""
    @property
    def locality(self) -> str:
        """ "region/zone/subzone", "" where unknown."""
    @property
    def priority(self) -> int:
        """Envoy's priority level; 0 is tried first."""
    @property
    def weight(self) -> int:
        """Istio's `weight`, 1 where none is written."""
    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the endpoint or its WorkloadEntry, with those Istio adds (topology)."""
    @property
    def hostname(self) -> str:
        """Its name: what a DNS endpoint is, or its addresses were resolved from; "" for an address alone."""
    @property
    def health(self) -> Literal["unknown", "healthy", "unhealthy", "draining", "degraded"]:
        """What configuration and checks say by now; unknown counts as healthy, an ejected endpoint is unhealthy."""

@final
class Decision:
    """The one new object of a request. Everything but kind and cluster is computed when it is read."""

    @property
    def kind(self) -> Kind:
        """ "forward" "passthrough" (unknown, let through) "redirect" "direct_response" "refused" (502, REGISTRY_ONLY) "not_found" (404, no rule) "no_cluster" (503)."""
    @property
    def status(self) -> int:
        """Status this process answers with itself: 404, 502, 503, redirect code, direct response; 0 for forward and passthrough."""
    @property
    def flags(self) -> str:
        """Envoy's response flags: "" NR NC UH UO …"""
    @property
    def service(self) -> Service | None:
        """The service that was asked for; None where nothing in the registry owns it."""
    @property
    def cluster(self) -> Cluster | None:
        """None where no cluster was chosen; PassthroughCluster and BlackHoleCluster are Cluster objects without endpoints."""
    @property
    def cluster_name(self) -> str:
        """Name of the chosen cluster, existing or not; "" without one."""
    @property
    def route(self) -> object | None:
        """The mesh.Route or mesh.TcpRoute."""
    @property
    def virtual_host(self) -> object | None:
        """The mesh.VirtualHost whose rules were looked at; None for connections and unknown hosts."""
    @property
    def route_index(self) -> int:
        """Position in the virtual host; -1 without one."""
    @property
    def destination_index(self) -> int:
        """Position among the route's weighted destinations; -1 without a route that forwards."""
    @property
    def timeout(self) -> float | None:
        """Seconds for the whole request, retries included (Istio: http.timeout); None: no limit."""
    @property
    def retry(self) -> object | None:
        """The mesh.Retry: `.attempts` after the first try, `.per_try_timeout`, `.retry_on` …; None: no retries."""
    @property
    def path(self) -> str:
        """As sent upstream, query included."""
    @property
    def authority(self) -> str:
        """Host header as sent upstream."""
    @property
    def request_headers(self) -> tuple[tuple[str, str, str], ...]:
        """(op, name, value) in order; op "set" | "add" | "remove" | "add_if_absent"."""
    @property
    def response_headers(self) -> tuple[tuple[str, str, str], ...]:
        """The same for the response."""
    def apply(self, headers: Headers) -> list[tuple[str, str]]:
        """Request headers after the operations. SET takes the place of the first line of that name (the others go) or comes last;
        ADD and ADD_IF_ABSENT come last; with an empty value all three are no operation."""
    def apply_response(self, headers: Headers, status: int = 0) -> list[tuple[str, str]]:
        """Response headers after the operations, as `apply`. status: the response's, for values that name it (%RESPONSE_CODE%); 0: that
        of an answer of this process."""
    @property
    def redirect(self) -> tuple[int, str] | None:
        """(status, Location)."""
    @property
    def direct_response(self) -> tuple[int, bytes] | None:
        """(status, body)."""
    @property
    def fault(self) -> tuple[float, int, int] | None:
        """(delay seconds, abort status or 0, abort grpc status or -1) that this draw hits, else None."""
    @property
    def mirrors(self) -> tuple[str, ...]:
        """Names of the clusters that get a copy; one that does not exist gets none."""
    @property
    def tcp_policy(self) -> object | None:
        """The mesh.TcpPolicy of a connection's route: `.idle_timeout`, `.max_connection_duration`, `.tunnel`; None: of a request, or unset."""
    @property
    def cors(self) -> object | None:
        """The mesh.Cors of the rule (Istio: corsPolicy). What it writes into a response, `response_headers` has, last. A preflight
        that Envoy answers by itself is a direct response, status 200, and its headers are written even if they are empty."""
    @property
    def set_cookies(self) -> tuple[str, ...]:
        """Set-Cookie values for generated hash cookies (Envoy's text)."""
    @property
    def connection_pool(self) -> object | None:
        """The chosen cluster's mesh.ConnectionPool."""
    @property
    def application_tls(self) -> bool:
        """The caller itself speaks TLS to the service."""
    @property
    def tls(self) -> object | None:
        """What the mesh originates (the cluster's), or None."""
    @property
    def hash(self) -> int | None:
        """What the hash policies give for this request; None when they give nothing."""
    @property
    def reasons(self) -> tuple[str, ...]:
        """Steps, machine readable: "host:exact", "host:wildcard:*.x", "host:vip", "host:cidr:10.0.0.0/8", "host:unknown",
        "port:undeclared:80,443", "port:default:443", "sniff:tls-on-http", "sniff:http-on-tls", "sniff:as-connection",
        "cors:preflight", "route:N", "route:none", "weight:N", "policy:allow_any", "policy:registry_only", "cluster:missing"."""
    @property
    def draw(self) -> int:
        """The random number that decided; given to `route(…, draw=)` it decides the same again."""
    def pick(self, *, hash_key: bytes | int | None = None, exclude: Iterable[Endpoint] = ()) -> Endpoint:
        """Choose an endpoint; each call is a new pick. NoHealthyEndpoint (503 UH) when there is none, EndpointsPending in a
        cluster that is on `Engine.hold`.

        exclude: as Envoy's previous_hosts predicate: up to retry_host_attempts + 1 picks, then the last one is used."""
    def lease(
        self, *, retry: bool = False, pending: bool = False, hash_key: bytes | int | None = None, exclude: Iterable[Endpoint] = ()
    ) -> RequestLease | ConnectionLease:
        """Pick and count: RequestLease from route, ConnectionLease from connect. Overflow (503 UO, `.limit`) at a limit.

        retry: counts against max_retries too. pending: the request waits for a connection first, and counts against
        max_pending_requests instead of max_requests until `RequestLease.ready()`. EngineError for either from connect."""
    def exchange(
        self,
        now: int | None = None,
        *,
        trusted: bool = False,
        replayable: bool = True,
        received: bool = True,
        pending: bool = False,
        hash_key: bytes | int | None = None,
    ) -> Exchange:
        """Carry the request out: its faults, tries, time limits and mirrors. EngineError for a connection.

        trusted: the x-envoy-… headers of the request (retry-on, retry-grpc-on, max-retries, retriable-status-codes,
        retriable-header-names, upstream-rq-timeout-ms, upstream-rq-per-try-timeout-ms, upstream-rq-timeout-alt-response) are
        honoured, as Envoy does for internal requests only. replayable: its body can be sent again. received: all of it is
        here (else report `received`). pending: tries wait for a connection first (report `ready`). hash_key: as in `pick`."""

@final
class Exchange:
    """One request on its way (Envoy: router and fault filter): it says what to do now in steps, the caller does it and reports
    what came of it. It does no I/O and owns no timer; `now` is an instant of the engine's clock, None: now. Reports come one
    after another; a report about an exchange that is over changes nothing. A report that does not fit raises EngineError.

    state       report                                      next step
    ----------  ------------------------------------------  -----------------------------------------------------------------
    (begin)     a fault delays                              Delay
                a fault aborts, or the decision answers     Respond
                else                                        a try
    Delay       expired, delay or back-off over             Respond (abort), or a try
                expired, the request's limit passed         Respond 504 UT
    a try       an endpoint is leased                       Try
                none is healthy, or a limit is reached      Respond 503 UH, or 503 UO
    Try         response, reset, expired (this try's        Delay, where the retry policy has it, tries are left (else flag
                limit): to be tried again                   URX) and max_retries lets it (else flag UO); else as below
                response                                    Forward; Done where end_stream
                reset                                       Respond 503 (502 UPE), flags UF UC UR LR UO
                expired, this try's or the request's limit  Respond 504 UT
    Forward     ended                                       Done
                reset, expired                              Done with reset
    any         cancel                                      Done, flag DC
    any         expired where nothing is due                the same step

    A try is repeated only while nothing of a response was passed on. The time limits: `deadline` counts from the whole request
    received (and a fault's delay over), spans all tries and back-offs, and is never retried; that of a try counts from its
    `ready`, else from its start, and is left out where it is not below the request's. A gRPC request's limit is its
    grpc-timeout, at most the route's. Time limits are whole milliseconds; 0 is none.
    EndpointsPending comes through where a try would begin, and changes nothing: begin, or `expired`, again once it is over.
    Leases are taken and finished by the exchange. One that is left as a context manager is cancelled; one that is collected gives
    back what it holds, and its lease warns."""

    @property
    def decision(self) -> Decision:
        """Whose request it is."""
    @property
    def step(self) -> Step:
        """What is to be done now."""
    @property
    def attempts(self) -> int:
        """Tries begun (Envoy: UPSTREAM_REQUEST_ATTEMPT_COUNT)."""
    @property
    def deadline(self) -> int | None:
        """When the request's time is up; None: no limit, or not counting yet."""
    @property
    def flags(self) -> str:
        """Envoy's response flags so far, comma separated in order of occurrence."""
    def apply(self, headers: Headers) -> list[tuple[str, str]]:
        """The headers of this try: `Decision.apply`, without those that steer Envoy (x-envoy-retry-on …), with `Try.headers`."""
    def received(self, now: int | None = None) -> Step:
        """The whole request is here; the time limits count from now. For exchanges that began with `received=False`."""
    def ready(self, now: int | None = None) -> Step:
        """The try has its connection: its time limit counts from now, and with `pending=True` it counts against max_requests
        instead of max_pending_requests (Respond 503 UO at that limit)."""
    def response(
        self, status: int, headers: Headers | None = None, *, end_stream: bool = True, now: int | None = None
    ) -> Step:
        """Response headers are here. end_stream: nothing comes after them, or it is all here. 1xx (but 101): passed on, so
        that nothing is tried again. Of the headers grpc-status and x-envoy-ratelimited are read."""
    def ended(self, now: int | None = None) -> Step:
        """The response that is passed on came to its end."""
    def reset(self, reason: Reset, *, sent: bool = True, now: int | None = None) -> Step:
        """The try broke. reason: Envoy's; "remote_connection_failure" is a refused connection, "connection_termination" one
        that the peer closed. sent: something of the request was written (never of a failed connection)."""
    def expired(self, now: int | None = None) -> Step:
        """Time has passed; the same step where nothing is due yet."""
    def cancel(self, now: int | None = None) -> Step:
        """The client went away, or lost interest."""
    @property
    def replayable(self) -> bool:
        """The request can be sent again from its beginning. Set False (a body too large to keep) nothing more is tried again."""
    @replayable.setter
    def replayable(self, value: bool, /) -> None: ...
    def mirror(self, cluster: str, now: int | None = None) -> Exchange:
        """The copy for one of `Try.mirrors`: an exchange of its own without fault and retries, with the request's time limit,
        authority and path. Its outcome is nobody's business. EngineError for a cluster that does not exist."""
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None: ...

@final
class Tally:
    """Requests that are over, counted by class: cluster, kind, status, flags, whether it is gRPC, its gRPC status and, of what
    nobody declared, the authority (of the first 4,096 classes). Three numbers of each go into sums and histograms: milliseconds,
    bytes of the request's body, bytes of the response's. Any thread may count."""

    def __new__(cls, describe: Callable[[Decision, str], object], bounds: Sequence[float]) -> Self:
        """describe: called with the first decision of each class and the authority that tells it apart ("" where none does);
        `read` hands back what it made. bounds: of the histograms' buckets, inclusive, ascending."""
    def count(self, exchange: Exchange, request_bytes: int = 0, response_bytes: int = 0, grpc_status: int = -1) -> None:
        """An exchange that is over: Done or Respond (else EngineError); it lasted from its begin until the report that ended it.
        grpc_status: -1 where none was told."""
    def add(
        self,
        decision: Decision,
        status: int,
        flags: str = "",
        *,
        nanoseconds: int,
        request_bytes: int = 0,
        response_bytes: int = 0,
        grpc: bool = False,
        grpc_status: int = -1,
    ) -> None:
        """A request that was carried out without an exchange."""
    def read(self) -> list[TallyRow]:
        """A row for each class, in order of their first request."""

class _Lease:
    """An endpoint in use, counted until it is finished. As a context manager: leaving without `finish` is success, or a
    local-origin failure if an Exception passes (another BaseException, as cancellation, tells nothing of the endpoint: it only
    releases). A lease that is collected unfinished releases and warns."""

    @property
    def endpoint(self) -> Endpoint:
        """Where to connect."""
    @property
    def cluster(self) -> Cluster:
        """Whose limits it counts against."""
    def finish(
        self, *, status: int | None = None, error: str | None = None, grpc_status: int | None = None, now: int | None = None
    ) -> None:
        """End it; the first call counts. status: HTTP status; error: "connect_failure" | "connect_timeout" | "reset" | "timeout" | "try_timeout" (its own limit) |
        other text (local origin); grpc_status: of a response's headers, in place of its HTTP status. An error outweighs both. now: ns
        of the engine's clock, for outlier detection, default its time."""
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None: ...

@final
class RequestLease(_Lease):
    """One try of a request: counts against max_requests (and max_retries with `retry=True`)."""

    def ready(self) -> None:
        """The connection that a pending request waited for is there: from now on it counts against max_requests. Overflow at
        that limit, which ends the lease. Nothing happens where the lease is not pending, or finished."""

@final
class ConnectionLease(_Lease):
    """One upstream connection: counts against max_connections."""

    def ready(self) -> None:
        """The connection is there: a success for outlier detection now, not only when it ends. Later calls do nothing."""

def yaml_load(
    data: bytes, *, max_depth: int, max_aliases: int, max_scalar: int, max_bytes: int
) -> Iterator[tuple[bytes | None, int, int, str | None, int, int]]:
    """Documents of UTF-8 YAML text one by one, as (json, index, first line, message, line, column); native only.

    json is None where the document is refused; message, line and column (1-based, of the whole text) then say why and
    where, else they are None, 0, 0. Empty documents are counted in index and left out. Limits: roadstead.config.yaml."""

def yaml_forms(
    data: bytes, places: Sequence[str], *, max_depth: int, max_aliases: int, max_scalar: int, max_bytes: int
) -> list[tuple[bytes | None, int, int, str | None, int, int, tuple[str, ...]]]:
    """The same documents with names taken out: as (form, the columns of `yaml_load`, names); native only.

    A form is the JSON in which "\x01", the kind, the index and "\x02" stand for a name; equal forms are one object. places: JSON
    pointers of where names may stand, `*` for every item of a list. A text there is a name where it is of a kind: "n" a DNS label,
    "h" a host (two labels or more, the last begins with a letter; of "*.x" it is what follows the star), "4" an IPv4 address that
    is not 0.0.0.0; all in lower case. names: each once, in order of first use; () where there is no form."""

def yaml_positions(data: bytes, doc_index: int, *, max_depth: int) -> list[tuple[str, int, int, int, int]]:
    """(JSON pointer, line and column of the key, line and column of the value), 1-based, for each node of one document
    that is reached before its end or its first error; native only. See roadstead.config.yaml."""
