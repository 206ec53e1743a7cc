"""Routes: which request goes to which cluster (Envoy: config.route.v3)."""

from __future__ import annotations

from typing import Literal

import msgspec

from roadstead.host import with_port
from roadstead.mesh.cluster import HashKey
from roadstead.mesh.listener import ServerTls
from roadstead.mesh.origin import Origin

HashPolicy = HashKey


class StringMatch(msgspec.Struct, frozen=True, gc=False):
    """kind "exact" | "prefix" | "regex" (RE2, the whole string) | "present"."""

    kind: Literal["exact", "prefix", "regex", "present"]
    value: str = ""


class HeaderMatch(msgspec.Struct, frozen=True, gc=False):
    """Envoy HeaderMatcher; pseudo headers as ":method". missing_as_empty: treat_missing_header_as_empty.
    `name` keeps the case it was written in."""

    name: str
    match: StringMatch
    invert: bool = False
    missing_as_empty: bool = False


class QueryMatch(msgspec.Struct, frozen=True, gc=False):
    name: str
    match: StringMatch


class RouteMatch(msgspec.Struct, frozen=True, gc=False):
    """Conditions of one route, all of them. path None: prefix "/". ignore_case: exact and prefix path only.
    claims: JWT claim matches (routers), name -> match."""

    path: StringMatch | None = None
    ignore_case: bool = False
    headers: tuple[HeaderMatch, ...] = ()
    queries: tuple[QueryMatch, ...] = ()
    claims: tuple[HeaderMatch, ...] = ()


class HeaderOps(msgspec.Struct, frozen=True, gc=False):
    """set and add as (name, value), sorted by name, set before add in execution; remove runs before both."""

    request_set: tuple[tuple[str, str], ...] = ()
    request_add: tuple[tuple[str, str], ...] = ()
    request_remove: tuple[str, ...] = ()
    response_set: tuple[tuple[str, str], ...] = ()
    response_add: tuple[tuple[str, str], ...] = ()
    response_remove: tuple[str, ...] = ()


NO_OPS = HeaderOps()


class Destination(msgspec.Struct, frozen=True, gc=False):
    """cluster: name, existing or not. weight: 0 only where it is the single destination. headers: empty for a single
    destination (they are the route's `headers_after`). host_rewrite: authority set by this destination."""

    cluster: str
    weight: int = 0
    headers: HeaderOps = NO_OPS
    host_rewrite: str = ""


class Redirect(msgspec.Struct, frozen=True, gc=False):
    """Envoy RedirectAction; "" and 0: not set. keep_port: stands for a VirtualHost's require_tls, which leaves the Host
    as it is; a RedirectAction drops the default port of the scheme it leaves."""

    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix_rewrite: str = ""
    code: int = 301
    keep_port: bool = False


class DirectResponse(msgspec.Struct, frozen=True, gc=False):
    """is_text: the body was written as text, not in base64."""

    status: int
    body: bytes = b""
    is_text: bool = True


Share = Literal["", "HUNDRED", "MILLION"]
"""How a share was written: as a whole percentage, finer, or not at all. Numerators are per million all the same."""


class Delay(msgspec.Struct, frozen=True, gc=False):
    """seconds; numerator per million of requests."""

    seconds: float
    numerator: int
    share: Share = "MILLION"


class Abort(msgspec.Struct, frozen=True, gc=False):
    """http_status 0 / grpc_status "" where not set; numerator per million. grpc_status in gRPC's words or a number."""

    numerator: int
    http_status: int = 0
    grpc_status: str = ""
    share: Share = "MILLION"


class Mirror(msgspec.Struct, frozen=True, gc=False):
    """numerator per million."""

    cluster: str
    numerator: int
    share: Share = "MILLION"


class Retry(msgspec.Struct, frozen=True, gc=False):
    """Envoy RetryPolicy as Istio writes it. attempts: retries after the first try (num_retries). Seconds.
    backoff: base interval; None: Envoy's 25 ms. retry_on: comma separated. ignore_previous_hosts: previous_hosts
    predicate. remote_localities: previous_priorities with update frequency 2. host_attempts:
    host_selection_retry_max_attempts."""

    attempts: int = 2
    retry_on: str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    retriable_status_codes: tuple[int, ...] = ()
    per_try_timeout: float | None = None
    backoff: float | None = None
    ignore_previous_hosts: bool = True
    remote_localities: bool = False
    host_attempts: int = 5


class Cors(msgspec.Struct, frozen=True, gc=False):
    """allow_methods, allow_headers, expose_headers as comma joined text; max_age seconds or None;
    forward_unmatched: preflights of other origins go upstream."""

    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: str = ""
    allow_headers: str = ""
    expose_headers: str = ""
    max_age: int | None = None
    allow_credentials: bool | None = None
    forward_unmatched: bool = True


class Route(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One route. Exactly one of destinations, redirect, direct_response. name: Istio's route name ("default" without a
    rule).

    timeout: seconds, None = none. host_rewrite: authority. regex_rewrite: (pattern, substitution). headers_after: those
    of a single destination; their removals run with the route's, their set and add after the route's.
    forwards_host: what a rewrite makes of the host, the old one goes along as x-forwarded-host.
    has_fault: a fault is written, if only an empty one. refused: Envoy takes no table with it (a redirect with no code
    it knows, which then has no action; a direct response with no status; a header's value with no command it knows).
    origin: the rule ("/spec/http/1" or the match "/spec/http/1/match/0"); of a default route the service. retry_origin:
    where `retry` is written; None: it is the mesh's."""

    name: str
    match: RouteMatch
    destinations: tuple[Destination, ...] = ()
    redirect: Redirect | None = None
    direct_response: DirectResponse | None = None
    headers: HeaderOps = NO_OPS
    headers_after: HeaderOps = NO_OPS
    timeout: float | None = None
    retry: Retry | None = None
    prefix_rewrite: str | None = None
    regex_rewrite: tuple[str, str] | None = None
    host_rewrite: str = ""
    mirrors: tuple[Mirror, ...] = ()
    delay: Delay | None = None
    abort: Abort | None = None
    cors: Cors | None = None
    hash_policies: tuple[HashKey, ...] = ()
    stat_prefix: str = ""
    origin: Origin
    delegate_origin: Origin | None = None
    has_fault: bool = False
    refused: bool = False
    retry_origin: Origin | None = None
    forwards_host: bool = False


class VirtualHost(msgspec.Struct, frozen=True, gc=False):
    """Domains of one listener port. domains: (text, tier): tier 0 the host's own names, 1 the same of a host without a
    rule, 2 alternative names, 3 addresses, 4 those of a host without a rule; where two virtual hosts of a port claim
    one domain the lower tier, then the older wins.
    tls: rules on a TLS port: on a sidecar they hold only for requests this process makes itself (dialect extended), on
    a router for what it terminates. table: name of Istio's route table, on routers and behind a sidecar's HTTP proxies.
    require_tls: routers: httpsRedirect;
    the routes then are a redirect.
    sent: what Istio sends to Envoy, where that is not `routes`: what lies behind a redirect, routes that Envoy refuses.
    plain: of a host that is no service at the port. order: of a VirtualService's: sorts by its place among those that
    the client sees; decides before the age of hosts.
    """

    name: str
    port: int
    domains: tuple[tuple[str, int], ...]
    routes: tuple[Route, ...]
    tls: bool = False
    origin: Origin | None = None
    table: str = ""
    require_tls: bool = False
    sent: tuple[Route, ...] = ()
    order: str = ""
    plain: bool = False


class Tunnel(msgspec.Struct, frozen=True, gc=False):
    """What is asked of the endpoint first, so that it leads on to another place (Istio: trafficPolicy.tunnel; Envoy:
    tunneling_config). With POST the bytes go as the bodies of a request and its response."""

    protocol: Literal["CONNECT", "POST"]
    target_host: str
    target_port: int

    @property
    def authority(self) -> str:
        """The place, as it is written for HTTP."""
        return with_port(self.target_host, self.target_port)


class TcpPolicy(msgspec.Struct, frozen=True, gc=False):
    """What holds for the connections of a route (Envoy: tcp_proxy). Seconds without a byte after which one is ended,
    and after which any is; None: not set, 0: never."""

    idle_timeout: float | None = None
    max_connection_duration: float | None = None
    tunnel: Tunnel | None = None


class TcpRoute(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where connections go (Envoy: tcp_proxy). timeout, retry and cors exist so that a decision reads alike: always
    None."""

    destinations: tuple[Destination, ...]
    origin: Origin
    name: str = ""
    policy: TcpPolicy = TcpPolicy()
    hash_policies: tuple[HashKey, ...] = ()
    timeout: None = None
    retry: None = None
    cors: None = None


class FilterChain(msgspec.Struct, frozen=True, gc=False):
    """Conditions of a connection and its route. host/port: the service. addresses: VIPs, empty = wildcard listener.
    cidrs, snis: empty = no condition. transport: "" any, "tls", "raw". protocol: the port's, a word of
    roadstead.protocol, "" = sniffed. tls: routers: TLS that the server ends. automatic: routers: TLS of the mesh goes
    through by the cluster's name (AUTO_PASSTHROUGH)."""

    host: str
    port: int
    route: TcpRoute
    addresses: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    snis: tuple[str, ...] = ()
    transport: Literal["", "tls", "raw"] = ""
    protocol: str = ""
    tls: ServerTls | None = None
    automatic: bool = False
