"""Filters of a chain: TCP to a cluster, or HTTP by a table (Istio: core/networkfilter.go, listener_builder.go)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from roadstead.mesh import Destination, FilterChain, TcpRoute, parse_cluster_name, sni_name
from roadstead.mesh.listener import Paths
from roadstead.xds.messages import core
from roadstead.xds.messages import listener as table
from roadstead.xds.messages.route import HTTP_FAULT
from roadstead.xds.resources.actions import CORS, FAULT
from roadstead.xds.resources.tls import ads_in_time
from roadstead.xds.schema import Message, MessageType, Value

_TCP = "envoy.filters.network.tcp_proxy"
_HTTP = "envoy.filters.network.http_connection_manager"
_MONGO = "envoy.filters.network.mongo_proxy"
_SNI_DYNAMIC = "envoy.filters.network.sni_dynamic_forward_proxy"
_INSPECTOR_BUFFER = 512


def straight_to(cluster: str) -> list[Message]:
    """Every connection to one cluster."""
    proxy = table.TCP_PROXY(stat_prefix=cluster, cluster=cluster)
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
        "idle_timeout": route.idle_timeout,
        "max_downstream_connection_duration": route.max_connection_duration,
        "hash_policy": [core.TCP_HASH_POLICY(source_ip=core.TCP_SOURCE_IP())] if route.hash_policies else (),
    }
    first = route.destinations[0]
    if len(route.destinations) == 1 and not first.weight:
        values["cluster"] = _by_name(first.cluster) if chain.automatic else first.cluster
    else:
        values["weighted_clusters"] = _weighted(route.destinations)
    if route.tunnel is not None:
        tunnel = route.tunnel
        values["tunneling_config"] = table.TUNNELING(
            hostname=f"{tunnel.target_host}:{tunnel.target_port}", use_post=tunnel.protocol == "POST"
        )
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
    *,
    router: bool = False,
    grpc_web: bool = False,
    asked: bool = False,
    paths: Paths = "BASE",
    caches: Iterable[Message] = (),
) -> list[Message]:
    """The filters of an HTTP chain. routes: the name of a route table, or the table. asked: callers know that this is a
    proxy, and name the host that they want. paths: what becomes of a path first. caches: of the dynamic forward proxies
    behind it."""
    values: dict[str, Value] = {
        "stat_prefix": prefix,
        "http_filters": _chain_of_filters(grpc_web, caches),
        "http_protocol_options": core.HTTP1_OPTIONS(allow_absolute_url=True) if asked else None,
        "normalize_path": paths != "NONE",
        "merge_slashes": paths in ("MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"),
        "path_with_escaped_slashes_action": (
            "UNESCAPE_AND_FORWARD" if paths == "DECODE_AND_MERGE_SLASHES" else "KEEP_UNCHANGED"
        ),
        "proxy_100_continue": True,
        "stream_idle_timeout": 0.0,
        "upgrade_configs": [table.UPGRADE_CONFIG(upgrade_type="websocket")],
        "use_remote_address": router,
    }
    if isinstance(routes, str):
        values["rds"] = table.RDS(config_source=ads_in_time(), route_config_name=routes)
    else:
        values["route_config"] = routes
    if router:
        values["server_name"] = "istio-envoy"
        values["forward_client_cert_details"] = "SANITIZE_SET"
        values["set_current_client_cert_details"] = table.CLIENT_CERT_DETAILS(
            subject=True, cert=True, dns=True, uri=True
        )
    return [table.FILTER(name=_HTTP, typed_config=Message(table.HTTP_CONNECTION_MANAGER, values))]


def _chain_of_filters(grpc_web: bool, caches: Iterable[Message]) -> list[Message]:
    made = [_filter("envoy.filters.http.grpc_web", table.GRPC_WEB)] if grpc_web else []
    made += [_filter(FAULT, HTTP_FAULT), _filter(CORS, table.CORS)]
    for cache in caches:
        lookup = table.DYNAMIC_FORWARD(dns_cache_config=cache)
        made.append(table.HTTP_FILTER(name="envoy.filters.http.dynamic_forward_proxy", typed_config=lookup))
    made.append(_filter("envoy.filters.http.router", table.ROUTER))
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
