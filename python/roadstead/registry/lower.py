"""Mesh → the engine's columns: the only place where the two meet.

Nothing is decided here; values are renamed and flattened. Policies are interned by identity: the compiler hands out one
ClusterPolicy for equal policies, so one LbConfig and one Limits stand for thousands of clusters.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias, TypeVar, cast

import msgspec

from roadstead import _lowered as low
from roadstead.mesh import (
    Cluster,
    ClusterPolicy,
    ConnectionPool,
    Cors,
    Destination,
    FilterChain,
    HashKey,
    HeaderOps,
    HostMesh,
    LocalityGroup,
    OutlierDetection,
    Port,
    Redirect,
    Retry,
    Route,
    RouteMatch,
    Service,
    StringMatch,
    UnknownCluster,
    VirtualHost,
)
from roadstead.mesh.route import NO_OPS
from roadstead.protocol import Protocol
from roadstead.registry.formats import FORWARDED_HOST, taken_apart

_CLUSTER_TYPES = {
    "EDS": low.EDS,
    "STRICT_DNS": low.STRICT_DNS,
    "LOGICAL_DNS": low.LOGICAL_DNS,
    "ORIGINAL_DST": low.ORIGINAL_DST,
    "DYNAMIC_DNS": low.DYNAMIC_DNS,
}
_LB_POLICIES = {
    "ROUND_ROBIN": low.ROUND_ROBIN,
    "LEAST_REQUEST": low.LEAST_REQUEST,
    "RANDOM": low.RANDOM,
    "RING_HASH": low.RING_HASH,
    "MAGLEV": low.MAGLEV,
    "CLUSTER_PROVIDED": low.CLUSTER_PROVIDED,
}
_ENDPOINT_KINDS = {"ip": low.IP, "hostname": low.HOSTNAME, "unix": low.UNIX}
_HEALTH = {
    "": low.UNKNOWN,
    "HEALTHY": low.HEALTHY,
    "UNHEALTHY": low.UNHEALTHY,
    "DRAINING": low.DRAINING,
    "DEGRADED": low.DEGRADED,
}
MARKS = {"unknown": low.UNKNOWN, "healthy": low.HEALTHY, "unhealthy": low.UNHEALTHY, "degraded": low.DEGRADED}
"""What an active check may say of an endpoint, in the engine's numbers."""
_MATCH_KINDS = {"exact": low.EXACT, "prefix": low.PREFIX, "regex": low.REGEX, "present": low.PRESENT}
_HASH_KINDS = {
    "header": low.HASH_HEADER,
    "cookie": low.HASH_COOKIE,
    "source_ip": low.HASH_SOURCE_IP,
    "query": low.HASH_QUERY,
}
_OUTLIER_NUMBERS = (
    "consecutive_5xx",
    "enforcing_consecutive_5xx",
    "consecutive_gateway_failure",
    "enforcing_consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "enforcing_consecutive_local_origin_failure",
    "interval",
    "base_ejection_time",
    "max_ejection_percent",
)
_TRANSPORTS = {"": 0, "tls": 1, "raw": 2}
OUTBOUND = {
    "ALLOW_ANY": low.ALLOW_ANY,
    "REGISTRY_ONLY": low.REGISTRY_ONLY,
    "GATEWAY": low.GATEWAY,
    "ALLOW_ANY_DYNAMIC_DNS": low.ALLOW_ANY_DYNAMIC_DNS,
}
# Istio: MeshConfig.pathNormalization
PATHS = {
    "DEFAULT": low.NORMALIZE,
    "NONE": low.KEEP_PATH,
    "BASE": low.NORMALIZE,
    "MERGE_SLASHES": low.MERGE_SLASHES,
    "DECODE_AND_MERGE_SLASHES": low.DECODE_SLASHES,
}
_GRPC_CODES = {
    name: number
    for number, name in enumerate(
        [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ]
    )
}


_Column = TypeVar("_Column", bound=tuple[object, ...])
_Lowered: TypeAlias = tuple[ClusterPolicy, low.LbConfig, low.Limits, low.ClusterPolicy, low.OutlierDetection | None]

# What is told of TLS that the mesh originates.
_TLS = (
    "mode",
    "sni",
    "verify",
    "ca",
    "certificate",
    "private_key",
    "credential_name",
    "subject_alt_names",
    "alpn",
    "auto_sni",
)

# Made without the Python frame of a named tuple's own constructor, which would double the time; all fields are given.
_new = tuple.__new__
_ANY = low.Match(None)
# Istio: previous_priorities.update_frequency.
_PRIORITY_UPDATES = 2
# Policies remembered by identity: what neighbouring hosts share. Each keeps a policy of the mesh.
_KEPT = 512
# Different ones that were met; after so many it starts again, or those of old configurations would stay.
_DISTINCT = 4096


class Lowering:
    """Lowers the hosts of one node. It keeps what equal policies and shared routes became: they are made once."""

    __slots__ = ("_distinct", "_groups", "_policies", "_routes")

    def __init__(self) -> None:
        self._policies: dict[int, _Lowered] = {}
        self._distinct: dict[tuple[object, ...], tuple[object, ...]] = {}
        self._groups: dict[tuple[int, bool], tuple[tuple[LocalityGroup, ...], tuple[low.LocalityGroup, ...]]] = {}
        self._routes: dict[int, tuple[Route, low.Route]] = {}

    def unit(self, host: HostMesh, maker: low.Maker | None = None) -> low.Unit:
        """The unit of one host; maker: makes the host again. Groups and routes are shared inside one host only: their
        memory goes with it."""
        self._groups.clear()
        self._routes.clear()
        return low.Unit(
            host.key,
            host.order,
            _services(host.services),
            tuple([self._cluster(cluster) for cluster in host.clusters]),
            tuple([self._virtual_host(virtual_host, host) for virtual_host in host.virtual_hosts]),
            tuple([_chain(chain, self._one(low.RoutePolicy(tcp=chain.route.policy))) for chain in host.chains]),
            maker,
        )

    def _cluster(self, cluster: Cluster) -> low.Cluster:
        _, balancer, limits, policy, outliers = self._policies.get(id(cluster.policy)) or self._policy(cluster.policy)
        kind = _CLUSTER_TYPES[cluster.type]
        key = (id(cluster.groups), kind == low.EDS)
        shared = self._groups.get(key)
        if shared is None:
            shared = self._groups[key] = (cluster.groups, lowered_groups(cluster.groups, once=kind == low.EDS))
        port = cluster.port_override
        if kind == low.DYNAMIC_DNS:
            # Envoy's dynamic forward proxy forgets which port was dialled.
            port = 80 if cluster.tls is None or cluster.tls.mode == "AUTO" else 443
        if cluster.tls is not None:
            policy = policy._replace(tls=cluster.tls)
        return _new(low.Cluster, (None, cluster.name, kind, balancer, limits, shared[1], port, policy, outliers))

    def _policy(self, policy: ClusterPolicy) -> _Lowered:
        if len(self._policies) >= _KEPT:
            self._policies.clear()
        # Policies differ in where they come from; what is read of them is often the same.
        read = low.ClusterPolicy(
            policy.connection_pool, policy.outlier_detection, policy.health_checks, policy.load_balancer
        )
        outliers = _outliers(policy.outlier_detection)
        made = (
            policy,
            self._one(_lb_config(policy)),
            self._one(_limits(policy)),
            self._one(read),
            None if outliers is None else self._one(outliers),
        )
        self._policies[id(policy)] = made
        return made

    def _one(self, value: _Column) -> _Column:
        """The one object for equal values: policies of clusters and routes."""
        if len(self._distinct) >= _DISTINCT:
            self._distinct.clear()
        # Of different types with equal values one would do for the other otherwise.
        return cast("_Column", self._distinct.setdefault((type(value), value), value))

    def _virtual_host(self, host: VirtualHost, unit: HostMesh) -> low.VirtualHost:
        return low.VirtualHost(
            None,
            host.port,
            host.domains,
            tuple([self._route(route) for route in host.routes]),
            host.tls,
            heard_at(unit, host.port),
        )

    def _route(self, route: Route) -> low.Route:
        shared = self._routes.get(id(route))
        if shared is None:
            policy = self._one(low.RoutePolicy(route.timeout, route.retry, route.cors))
            shared = (route, _route(route, policy))
            self._routes[id(route)] = shared
        return shared[1]


def heard_at(unit: HostMesh, port: int) -> tuple[str, ...]:
    """Where HTTP of a port is heard: a sniffed port listens where its filter chains do, any other on every address."""
    if not unit.chains or any(
        _protocol_class(known.protocol) == low.PROTO_HTTP
        for service in unit.services
        for known in service.ports
        if known.number == port
    ):
        return ()
    heard = [address for chain in unit.chains if chain.port == port for address in chain.addresses or ("",)]
    return tuple(dict.fromkeys(heard))


def lowered_groups(groups: tuple[LocalityGroup, ...], *, once: bool) -> tuple[low.LocalityGroup, ...]:
    """Endpoint groups alone, for the endpoints' own door. once: of endpoints with one address and port the first counts
    (Envoy: EDS; a name that resolves to what another one does is a second host)."""
    if once and len({(one.address, one.port) for group in groups for one in group.endpoints}) < sum(
        [len(group.endpoints) for group in groups]
    ):
        groups = _without_repeats(groups)
    return tuple([_group(group) for group in groups])


def _without_repeats(groups: tuple[LocalityGroup, ...]) -> tuple[LocalityGroup, ...]:
    seen: set[tuple[str, int]] = set()
    made = []
    for group in groups:
        kept = []
        for one in group.endpoints:
            if (one.address, one.port) not in seen:
                seen.add((one.address, one.port))
                kept.append(one)
        made.append(msgspec.structs.replace(group, endpoints=tuple(kept)))
    return tuple(made)


def _services(services: tuple[Service, ...]) -> tuple[low.Service, ...]:
    """One service for all addresses that share a list of ports, in order."""
    if len(services) == 1:
        service = services[0]
        return (_service(service, addresses_of(service)),)
    return tuple([_service(service, tuple(addresses)) for service, addresses in distinct_services(services)])


def distinct_services(services: Iterable[Service]) -> list[tuple[Service, list[str]]]:
    """The services of a host as the engine has them, each with the addresses of all that share its ports."""
    by_ports: dict[object, tuple[Service, list[str]]] = {}
    for service in services:
        entry = by_ports.setdefault((service.namespace, service.ports), (service, []))
        entry[1].extend(address for address in addresses_of(service) if address not in entry[1])
    return list(by_ports.values())


def addresses_of(service: Service) -> tuple[str, ...]:
    """The virtual addresses of a service as compiled for its node; none for 0.0.0.0."""
    return service.addresses


def _service(service: Service, addresses: tuple[str, ...]) -> low.Service:
    ports = tuple([_port(port) for port in service.ports])
    return low.Service(None, service.host, service.namespace, addresses, ports)


@lru_cache(maxsize=256)
def _port(port: Port) -> low.Port:
    return low.Port(port.number, port.name, _protocol_class(port.protocol))


def _protocol_class(text: str) -> int:
    protocol = Protocol(text)
    if protocol.is_http:
        return low.PROTO_HTTP
    if protocol.is_tls:
        return low.PROTO_TLS
    if protocol.is_udp:
        return low.PROTO_UDP
    return low.PROTO_TCP if protocol.is_tcp else low.PROTO_AUTO


def _group(group: LocalityGroup) -> low.LocalityGroup:
    endpoints = [
        _new(
            low.Endpoint,
            (
                endpoint.address,
                endpoint.port,
                _ENDPOINT_KINDS[endpoint.kind],
                endpoint.weight or 1,
                _HEALTH[endpoint.health],
                endpoint.labels or None,
                endpoint.hostname or (endpoint.address if endpoint.kind == "hostname" else ""),
                "",
            ),
        )
        for endpoint in group.endpoints
        # What has no address is sent to Envoy as Istio has it, but nobody can connect to it.
        if endpoint.address
    ]
    return _new(low.LocalityGroup, (group.locality, group.priority, group.weight, tuple(endpoints)))


def _lb_config(policy: ClusterPolicy) -> low.LbConfig:
    balancer = policy.load_balancer
    warmup = balancer.warmup
    default = low.LbConfig()
    return low.LbConfig(
        policy=_LB_POLICIES[balancer.policy],
        panic_threshold=50 if balancer.panic_threshold is None else balancer.panic_threshold,
        locality_weighted=balancer.locality_weighted,
        ring_min=default.ring_min if balancer.ring_min is None else balancer.ring_min,
        table_size=default.table_size if balancer.table_size is None else balancer.table_size,
        slow_start_window=0.0 if warmup is None else warmup.duration,
        slow_start_aggression=1.0 if warmup is None or warmup.aggression is None else warmup.aggression,
        slow_start_min_percent=10.0 if warmup is None or warmup.minimum_percent is None else warmup.minimum_percent,
    )


def _limits(policy: ClusterPolicy) -> low.Limits:
    pool = policy.connection_pool
    return low.Limits(
        pool.tcp.max_connections,
        pool.http.max_pending_requests,
        pool.http.max_requests,
        pool.http.max_retries,
        pool.http.retry_budget,
        pool.http.retry_budget_interval or 0.0,
    )


def _outliers(ejection: OutlierDetection | None) -> low.OutlierDetection | None:
    """Envoy's defaults for what is not set; max_ejection_time never is: 300 s, or the base where that is longer."""
    if ejection is None:
        return None
    default = low.OutlierDetection()
    given = {name: getattr(ejection, name) for name in _OUTLIER_NUMBERS if getattr(ejection, name) is not None}
    made = default._replace(**given)
    return made._replace(
        max_ejection_time=max(default.max_ejection_time, made.base_ejection_time),
        split_external_local_origin_errors=ejection.split_external_local_origin_errors,
        always_eject_one_host=ejection.always_eject_one_host,
        error_codes=tuple([int(code) for code in ejection.error_codes]),
    )


def _chain(chain: FilterChain, policy: low.RoutePolicy) -> low.Chain:
    return low.Chain(
        None,
        chain.host,
        chain.port,
        chain.addresses,
        chain.cidrs,
        tuple([sni.lower() for sni in chain.snis]),
        _TRANSPORTS[chain.transport],
        _destinations(chain.route.destinations),
        _hash_policies(chain.route.hash_policies),
        policy,
    )


def _route(route: Route, policy: low.RoutePolicy) -> low.Route:
    if route.redirect is not None:
        action = low.REDIRECT
    else:
        action = low.FORWARD if route.direct_response is None else low.DIRECT_RESPONSE
    redirect = route.redirect
    direct = route.direct_response
    request_ops, response_ops = _ops(route.headers)
    if route.headers_after is not NO_OPS:
        request_ops, response_ops = _followed(request_ops, response_ops, route.headers_after)
    if route.forwards_host and route.host_rewrite:
        request_ops += (FORWARDED_HOST,)
    retry = route.retry
    return _new(
        low.Route,
        (
            None,
            _match(route.match),
            action,
            _destinations(route.destinations),
            request_ops,
            response_ops,
            route.prefix_rewrite,
            route.regex_rewrite,
            route.host_rewrite or None,
            None if redirect is None else _redirect(redirect),
            0 if direct is None else direct.status,
            b"" if direct is None else direct.body,
            tuple([low.Mirror(mirror.cluster, mirror.numerator) for mirror in route.mirrors]) if route.mirrors else (),
            _hash_policies(route.hash_policies) if route.hash_policies else (),
            _fault(route),
            0 if retry is None else retry.host_attempts,
            policy,
            route.timeout or 0.0,
            None if retry is None else _retry(retry),
            None if route.cors is None else _cors(route.cors),
        ),
    )


@lru_cache(maxsize=1024)
def _cors(cors: Cors) -> low.Cors:
    """One object for equal policies, wherever they were written."""
    return low.Cors(
        tuple([_value(origin) for origin in cors.allow_origins]),
        cors.allow_methods,
        cors.allow_headers,
        cors.expose_headers,
        "" if cors.max_age is None else str(cors.max_age),
        bool(cors.allow_credentials),
        cors.forward_unmatched,
    )


@lru_cache(maxsize=1024)
def _retry(retry: Retry) -> low.Retry:
    """One object for equal policies, wherever they were written."""
    return low.Retry(
        retry.retry_on,
        retry.attempts,
        retry.per_try_timeout or 0.0,
        low.Retry().base_interval if retry.backoff is None else retry.backoff,
        retry.retriable_status_codes,
        retry.ignore_previous_hosts,
        _PRIORITY_UPDATES if retry.remote_localities else 0,
    )


def _redirect(redirect: Redirect) -> low.Redirect:
    return low.Redirect(
        redirect.scheme,
        redirect.host,
        redirect.port,
        redirect.path,
        redirect.prefix_rewrite,
        redirect.code,
        redirect.keep_port,
    )


def _destinations(destinations: tuple[Destination, ...]) -> tuple[low.Destination, ...]:
    made = []
    for destination in destinations:
        request, response = _ops(destination.headers)
        rewrite = destination.host_rewrite or None
        made.append(_new(low.Destination, (destination.cluster, destination.weight, request, response, rewrite)))
    return tuple(made)


def _ops(headers: HeaderOps) -> tuple[tuple[low.HeaderOp, ...], tuple[low.HeaderOp, ...]]:
    """Envoy's order inside one level: removals, then the others as listed (Istio lists set before add)."""
    if headers is NO_OPS:
        return (), ()
    request = (
        *[low.HeaderOp(low.REMOVE, name) for name in headers.request_remove],
        *[_written(low.SET, name, value) for name, value in headers.request_set],
        *[_written(low.ADD, name, value) for name, value in headers.request_add],
    )
    response = (
        *[low.HeaderOp(low.REMOVE, name) for name in headers.response_remove],
        *[_written(low.SET, name, value) for name, value in headers.response_set],
        *[_written(low.ADD, name, value) for name, value in headers.response_add],
    )
    return request, response


def _written(kind: int, name: str, value: str) -> low.HeaderOp:
    return low.HeaderOp(kind, name, *taken_apart(value))


def _followed(
    request: tuple[low.HeaderOp, ...], response: tuple[low.HeaderOp, ...], after: HeaderOps
) -> tuple[tuple[low.HeaderOp, ...], tuple[low.HeaderOp, ...]]:
    """Operations of one level with those of a single destination behind them: Envoy sees one list, removals first."""
    more_request, more_response = _ops(after)
    return (
        tuple(sorted(request + more_request, key=_is_no_removal)),
        tuple(sorted(response + more_response, key=_is_no_removal)),
    )


def _is_no_removal(operation: low.HeaderOp) -> bool:
    return operation.kind != low.REMOVE


def _value(match: StringMatch, ignore_case: bool = False) -> low.ValueMatch:
    return low.ValueMatch(_MATCH_KINDS[match.kind], match.value, ignore_case)


def _match(match: RouteMatch) -> low.Match:
    if match.path is None and not (match.headers or match.queries or match.claims):
        return _ANY
    return low.Match(
        None if match.path is None else _value(match.path, match.ignore_case),
        tuple(
            [
                low.HeaderMatch(header.name.lower(), _value(header.match), header.invert, header.missing_as_empty)
                for header in match.headers
            ]
            # No request carries a header of that name: without the proxy's JWT filter a claim is never there.
            + [
                low.HeaderMatch(claim.name.lower(), _value(claim.match), claim.invert, claim.missing_as_empty)
                for claim in match.claims
            ]
        ),
        tuple([low.QueryMatch(query.name, _value(query.match)) for query in match.queries]),
    )


def _hash_policies(keys: tuple[HashKey, ...]) -> tuple[low.HashPolicy, ...]:
    return tuple(
        [
            low.HashPolicy(_HASH_KINDS[key.kind], key.name, key.ttl, key.path, key.attributes)
            for key in keys
            if key.kind != "nothing"
        ]
    )


def _fault(route: Route) -> low.Fault | None:
    delay, abort = route.delay, route.abort
    if delay is None and abort is None:
        return None
    return low.Fault(
        delay=delay.seconds if delay else 0.0,
        delay_numerator=delay.numerator if delay else 0,
        abort_numerator=abort.numerator if abort else 0,
        abort_status=abort.http_status if abort else 0,
        abort_grpc_status=_grpc_code(abort.grpc_status) if abort and abort.grpc_status else -1,
    )


def _grpc_code(text: str) -> int:
    return int(text) if text.isdigit() else _GRPC_CODES[text.upper()]


def facts(policy: object) -> dict[str, object] | None:
    """What a program without Python needs of a policy beyond the columns (native/capi: embed.rs), in plain values;
    None: nothing."""
    if isinstance(policy, low.RoutePolicy):
        retry = policy.retry
        return {
            "timeout": policy.timeout,
            "retry": None
            if not isinstance(retry, Retry)
            else {
                "attempts": retry.attempts,
                "retry_on": retry.retry_on,
                "status_codes": retry.retriable_status_codes,
                "per_try_timeout": retry.per_try_timeout,
                "backoff": retry.backoff,
            },
        }
    if isinstance(policy, low.ClusterPolicy | UnknownCluster):
        pool, tls = policy.connection_pool, policy.tls
        return {
            "connect_timeout": pool.tcp.connect_timeout if isinstance(pool, ConnectionPool) else None,
            "tls": None if tls is None else {name: getattr(tls, name) for name in _TLS},
        }
    return None


__all__ = ["MARKS", "OUTBOUND", "Lowering", "addresses_of", "distinct_services", "facts", "lowered_groups"]
