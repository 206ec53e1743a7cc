"""Filters of a chain: TCP to a cluster, or HTTP by a table (Istio: core/networkfilter.go, listener_builder.go)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from roadstead.mesh import Destination, FilterChain, Proxy, TcpRoute, parse_cluster_name, sni_name
from roadstead.mesh.callers import Callers
from roadstead.xds.messages import core
from roadstead.xds.messages import listener as table
from roadstead.xds.messages.route import HTTP_FAULT
from roadstead.xds.resources.actions import CORS, FAULT
from roadstead.xds.resources.policies import preserved_case
from roadstead.xds.resources.tls import ads_in_time
from roadstead.xds.schema import Message, MessageType, Value

_TCP = "envoy.filters.network.tcp_proxy"
_HTTP = "envoy.filters.network.http_connection_manager"
_MONGO = "envoy.filters.network.mongo_proxy"
_SNI_DYNAMIC = "envoy.filters.network.sni_dynamic_forward_proxy"
_ROUTER = "envoy.filters.http.router"
_INSPECTOR_BUFFER = 512
# What gateways call themselves in responses.
_SERVER = "istio-envoy"
# Only then Envoy looks at what to tell of the caller's certificate.
_TOLD_OF = ("APPEND_FORWARD", "SANITIZE_SET")


def straight_to(cluster: str, idle_timeout: float | None = None) -> list[Message]:
    """Every connection to one cluster."""
    proxy = table.TCP_PROXY(stat_prefix=cluster, cluster=cluster, idle_timeout=idle_timeout)
    return [table.FILTER(name=_TCP, typed_config=proxy)]


def tcp_filters(chain: FilterChain, cache: Message | None = None) -> list[Message]:
    """The filters of a chain of the mesh. cache: of the dynamic forward proxy that looks up the server's name."""
    made: list[Message] = []
    prefix = _stat_prefix(chain.route)
    if cache is not None:
        lookup = table.SNI_DYNAMIC(dns_cache_config=cache, port_value=chain.port)
        made.append(table.FILTER(name=_SNI_DYNAMIC, typed_config=lookup))
    if chain.protocol == "MONGO":
        made.append(table.FILTER(name=_MONGO, typed_config=table.MONGO_PROXY(stat_prefix=prefix)))
    made.append(table.FILTER(name=_TCP, typed_config=_tcp_proxy(chain, prefix)))
    return made


def _stat_prefix(route: TcpRoute) -> str:
    if len(route.destinations) == 1:
        return route.destinations[0].cluster
    return f"{route.origin.name}.{route.origin.namespace}"


def _tcp_proxy(chain: FilterChain, prefix: str) -> Message:
    route = chain.route
    values: dict[str, Value] = {
        "stat_prefix": prefix,
        "idle_timeout": route.policy.idle_timeout,
        "max_downstream_connection_duration": route.policy.max_connection_duration,
        "hash_policy": [core.TCP_HASH_POLICY(source_ip=core.TCP_SOURCE_IP())] if route.hash_policies else (),
    }
    first = route.destinations[0]
    if len(route.destinations) == 1 and not first.weight:
        values["cluster"] = _by_name(first.cluster) if chain.automatic else first.cluster
    else:
        values["weighted_clusters"] = _weighted(route.destinations)
    tunnel = route.policy.tunnel
    if tunnel is not None:
        values["tunneling_config"] = table.TUNNELING(hostname=tunnel.authority, use_post=tunnel.protocol == "POST")
    return Message(table.TCP_PROXY, values)


def _by_name(cluster: str) -> str:
    """The cluster that passes the mesh's TLS on unopened."""
    port, subset, host = parse_cluster_name(cluster)
    return sni_name(port, subset, host)


def _weighted(destinations: Sequence[Destination]) -> Message:
    clusters = [table.TCP_WEIGHT(name=destination.cluster, weight=destination.weight) for destination in destinations]
    return table.TCP_WEIGHTED(clusters=clusters)


# HTTP


def http_filters(
    prefix: str,
    routes: str | Message,
    proxy: Proxy,
    *,
    router: bool = False,
    grpc_web: bool = False,
    asked: bool = False,
    caches: Iterable[Message] = (),
) -> list[Message]:
    """The filters of an HTTP chain. routes: the name of a route table, or the table. proxy: what is mesh-wide. asked:
    callers know that this is a proxy, and name the host that they want. caches: of the dynamic forward proxies behind
    it."""
    callers = proxy.callers
    values: dict[str, Value] = {
        "stat_prefix": prefix,
        "http_filters": _chain_of_filters(callers, grpc_web, caches),
        "http_protocol_options": _http1(callers, asked=asked),
        "proxy_100_continue": True,
        "upgrade_configs": [table.UPGRADE_CONFIG(upgrade_type="websocket")],
        "use_remote_address": router,
        "generate_request_id": None if callers.gives_ids else False,
        "append_x_forwarded_port": callers.forwards_port,
        **_paths(proxy),
        **_limits(callers),
        **_server_header(callers, router=router),
    }
    if isinstance(routes, str):
        values["rds"] = table.RDS(config_source=ads_in_time(), route_config_name=routes)
    else:
        values["route_config"] = routes
    if router:
        values["xff_num_trusted_hops"] = callers.trusted_hops
        values["forward_client_cert_details"] = callers.certificate
        if callers.certificate in _TOLD_OF:
            values["set_current_client_cert_details"] = table.CLIENT_CERT_DETAILS(
                subject=True, cert=True, dns=True, uri=True
            )
    return [table.FILTER(name=_HTTP, typed_config=Message(table.HTTP_CONNECTION_MANAGER, values))]


def _paths(proxy: Proxy) -> dict[str, Value]:
    """What becomes of a path before anything looks at it."""
    word, callers = proxy.paths, proxy.callers
    merges = word in ("MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
    escaped = "UNESCAPE_AND_FORWARD" if word == "DECODE_AND_MERGE_SLASHES" else "KEEP_UNCHANGED"
    return {
        "normalize_path": word != "NONE",
        "merge_slashes": merges if callers.merges_slashes is None else callers.merges_slashes,
        "path_with_escaped_slashes_action": callers.escaped_slashes or escaped,
    }


def _limits(callers: Callers) -> dict[str, Value]:
    times, http2 = callers.timeouts, callers.http2
    common = None
    if (times.idle, times.max_connection, times.max_stream, callers.underscores) != (None, None, None, None):
        common = core.COMMON_HTTP_OPTIONS(
            idle_timeout=times.idle,
            max_connection_duration=times.max_connection,
            max_stream_duration=times.max_stream,
            headers_with_underscores_action=callers.underscores,
        )
    return {
        "stream_idle_timeout": times.stream_idle,
        "request_timeout": times.request,
        "request_headers_timeout": times.request_headers,
        "drain_timeout": times.drain,
        "common_http_protocol_options": common,
        "http2_protocol_options": None
        if http2 is None
        else core.HTTP2_OPTIONS(
            max_concurrent_streams=http2.max_concurrent_streams,
            initial_stream_window_size=http2.stream_window,
            initial_connection_window_size=http2.connection_window,
        ),
    }


def _server_header(callers: Callers, *, router: bool) -> dict[str, Value]:
    if callers.keeps_server:
        return {"server_header_transformation": "PASS_THROUGH"}
    return {"server_name": callers.server or (_SERVER if router else "")}


def _http1(callers: Callers, *, asked: bool) -> Message | None:
    if not (asked or callers.accepts_http10 or callers.keeps_case):
        return None
    return core.HTTP1_OPTIONS(
        allow_absolute_url=True if asked else None,
        accept_http_10=callers.accepts_http10,
        header_key_format=preserved_case() if callers.keeps_case else None,
    )


def _chain_of_filters(callers: Callers, grpc_web: bool, caches: Iterable[Message]) -> list[Message]:
    made = [_filter("envoy.filters.http.grpc_web", table.GRPC_WEB)] if grpc_web else []
    made += [_filter(FAULT, HTTP_FAULT), _filter(CORS, table.CORS)]
    for cache in caches:
        lookup = table.DYNAMIC_FORWARD(dns_cache_config=cache)
        made.append(table.HTTP_FILTER(name="envoy.filters.http.dynamic_forward_proxy", typed_config=lookup))
    if callers.tells_of_envoy:
        made.append(_filter(_ROUTER, table.ROUTER))
    else:
        made.append(table.HTTP_FILTER(name=_ROUTER, typed_config=table.ROUTER(suppress_envoy_headers=True)))
    return made


@lru_cache(maxsize=16)
def _filter(name: str, config: MessageType) -> Message:
    return table.HTTP_FILTER.shared(name=name, typed_config=config())


@lru_cache(maxsize=1)
def tls_inspector() -> Message:
    """Reads the server's name from a TLS hello."""
    config = table.TLS_INSPECTOR(initial_read_buffer_size=_INSPECTOR_BUFFER)
    return table.LISTENER_FILTER.shared(name="envoy.filters.listener.tls_inspector", typed_config=config)


@lru_cache(maxsize=1)
def http_inspector() -> Message:
    """Tells HTTP from other bytes."""
    return table.LISTENER_FILTER.shared(
        name="envoy.filters.listener.http_inspector", typed_config=table.HTTP_INSPECTOR()
    )


@lru_cache(maxsize=1)
def proxy_protocol() -> Message:
    """Connections begin with the PROXY protocol."""
    return table.LISTENER_FILTER.shared(
        name="envoy.filters.listener.proxy_protocol", typed_config=table.PROXY_PROTOCOL_LISTENER()
    )
