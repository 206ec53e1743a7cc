"""VirtualService: routes of HTTP, TLS and TCP traffic by host."""

from __future__ import annotations

from typing import Literal

from roadstead.config.message import (
    BoolValue,
    Duration,
    Int32,
    Message,
    Percent,
    PortSelector,
    StringMatch,
    UInt32,
    UInt32Value,
)

RedirectPort = Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]
UnmatchedPreflights = Literal["UNSPECIFIED", "FORWARD", "IGNORE"]


class Destination(Message, frozen=True, kw_only=True):
    """Where traffic goes. host: full or short name. subset "": all. port None: the only one, or the listener's."""

    host: str = ""
    subset: str = ""
    port: PortSelector | None = None


class HeaderOperations(Message, frozen=True, kw_only=True):
    set: dict[str, str] = {}
    add: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Headers(Message, frozen=True, kw_only=True):
    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HTTPMatchRequest(Message, frozen=True, kw_only=True):
    """All conditions of one entry hold together. port 0: any. gateways (): those of the VirtualService."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, StringMatch] = {}
    port: UInt32 = 0
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    query_params: dict[str, StringMatch] = {}
    ignore_uri_case: bool = False
    without_headers: dict[str, StringMatch] = {}
    source_namespace: str = ""
    stat_prefix: str = ""


class HTTPRouteDestination(Message, frozen=True, kw_only=True):
    """weight: relative to the sum; a lone destination takes all whatever it says."""

    destination: Destination | None = None
    weight: Int32 = 0
    headers: Headers | None = None


class RouteDestination(Message, frozen=True, kw_only=True):
    """A destination of TLS and TCP routes."""

    destination: Destination | None = None
    weight: Int32 = 0


class HTTPRedirect(Message, frozen=True, kw_only=True):
    """port or derive_port, one of them. redirect_code 0: 301."""

    uri: str = ""
    authority: str = ""
    port: UInt32 | None = None
    derive_port: RedirectPort | None = None
    scheme: str = ""
    redirect_code: UInt32 = 0
    prefix_rewrite: str = ""


class HTTPBody(Message, frozen=True, kw_only=True):
    """One of string, or bytes in base64."""

    string: str | None = None
    bytes: str | None = None


class HTTPDirectResponse(Message, frozen=True, kw_only=True):
    status: UInt32 = 0
    body: HTTPBody | None = None


class Delegate(Message, frozen=True, kw_only=True):
    """Another VirtualService whose rules take this rule's place. namespace "": that of the root."""

    name: str = ""
    namespace: str = ""


class RegexRewrite(Message, frozen=True, kw_only=True):
    match: str = ""
    rewrite: str = ""


class HTTPRewrite(Message, frozen=True, kw_only=True):
    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(Message, frozen=True, kw_only=True):
    """attempts 0: no retries. retry_on "": Istio's default conditions. per_try_timeout None: the route's timeout."""

    attempts: Int32 = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: BoolValue = None
    retry_ignore_previous_hosts: BoolValue = None
    backoff: Duration | None = None


class FaultDelay(Message, frozen=True, kw_only=True):
    """percent: deprecated, whole numbers. Without a percentage the fault never happens."""

    percent: Int32 = 0
    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None


class FaultAbort(Message, frozen=True, kw_only=True):
    """One of http_status, grpc_status, http2_error. Without a percentage the fault never happens."""

    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None


class HTTPFaultInjection(Message, frozen=True, kw_only=True):
    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


class HTTPMirrorPolicy(Message, frozen=True, kw_only=True):
    """percentage None: all requests."""

    destination: Destination | None = None
    percentage: Percent | None = None


class CorsPolicy(Message, frozen=True, kw_only=True):
    """allow_origin: deprecated, exact texts; ignored where allow_origins is given. unmatched_preflights UNSPECIFIED:
    FORWARD."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: BoolValue = None
    unmatched_preflights: UnmatchedPreflights = "UNSPECIFIED"


class HTTPRoute(Message, frozen=True, kw_only=True):
    """One rule. match (): every request. mirror_percent: deprecated, whole numbers. timeout None: none."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: UInt32Value = None
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


class TLSMatchAttributes(Message, frozen=True, kw_only=True):
    sni_hosts: tuple[str, ...] = ()
    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


class L4MatchAttributes(Message, frozen=True, kw_only=True):
    """source_subnet: accepted and without effect, as in Istio."""

    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_subnet: str = ""
    source_labels: dict[str, str] = {}
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


class TLSRoute(Message, frozen=True, kw_only=True):
    match: tuple[TLSMatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class TCPRoute(Message, frozen=True, kw_only=True):
    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class VirtualService(Message, frozen=True, kw_only=True):
    """hosts (): a delegate. gateways (): the mesh. export_to (): the mesh's default."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: tuple[str, ...] = ()
