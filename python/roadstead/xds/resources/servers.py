"""Listeners (LDS) of a router: the servers of its Gateways (Istio: core/gateway.go)."""

from __future__ import annotations

from roadstead.mesh import FilterChain, Mesh, Node, Proxy, Server
from roadstead.xds.messages import listener as table
from roadstead.xds.resources.drafts import ANYTHING, Chain, Condition, chain_message, networks
from roadstead.xds.resources.endpoints import socket_address
from roadstead.xds.resources.filters import http_filters, proxy_protocol, tcp_filters, tls_inspector
from roadstead.xds.resources.listeners import Made, wildcards
from roadstead.xds.resources.tls import downstream_socket
from roadstead.xds.schema import Message

_ALPN = ("h2", "http/1.1")
_TCP_IN_MESH = ("istio-peer-exchange", *_ALPN)
# What sidecars offer when they speak TLS for the mesh.
_MESH_PROTOCOLS = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")


def router_listeners(mesh: Mesh, node: Node) -> Made:
    """One listener for each address and port that a server wants."""
    chains: dict[tuple[str, int], list[Chain]] = {}
    tables: dict[str, frozenset[str] | None] = {}
    wildcard, *more = wildcards(node)
    for host in mesh.hosts.values():
        for server in host.servers:
            if not mesh.proxy.may_open(server.port):
                continue
            chain, found = _http_chain(server, mesh.proxy), chains.setdefault((server.bind, server.port), [])
            if all(chain.condition != known.condition for known in found):
                found.append(chain)
            tables[server.table] = None
        for written in host.chains:
            if not mesh.proxy.may_open(written.port):
                continue
            bind = written.addresses[0] if written.addresses else ""
            # As in Istio, also where two want the same: Envoy then refuses them.
            chains.setdefault((bind, written.port), []).append(_tcp_chain(written))
    listeners = [
        _listener(bind or wildcard, () if bind else tuple(more), port, found, mesh.proxy)
        for (bind, port), found in chains.items()
    ]
    return Made(listeners, tables, [])


def _http_chain(server: Server, proxy: Proxy) -> Chain:
    prefix = f"outbound_{server.bind or '0.0.0.0'}_{server.port}"
    filters = http_filters(prefix, server.table, proxy, router=True)
    if server.tls is None:
        return Chain(ANYTHING, filters)
    return Chain(Condition(snis=frozenset(server.snis)), filters, downstream_socket(server.tls, _ALPN))


def _tcp_chain(chain: FilterChain) -> Chain:
    protocols = _MESH_PROTOCOLS if chain.automatic else ()
    socket = None
    if chain.tls is not None:
        socket = downstream_socket(chain.tls, _TCP_IN_MESH if chain.tls.mode == "ISTIO_MUTUAL" else _ALPN)
    condition = Condition(networks(chain.cidrs), frozenset(chain.snis), protocols)
    return Chain(condition, tcp_filters(chain), socket)


def _listener(address: str, more: tuple[str, ...], port: int, chains: list[Chain], proxy: Proxy) -> Message:
    first = [proxy_protocol()] if proxy.callers.proxy_protocol else []
    by_name = any(chain.condition.snis or chain.socket is not None for chain in chains)
    return table.LISTENER(
        name=f"{address}_{port}",
        address=socket_address(address, port),
        additional_addresses=[table.ADDITIONAL_ADDRESS(address=socket_address(other, port)) for other in more],
        filter_chains=[chain_message(chain) for chain in chains],
        per_connection_buffer_limit_bytes=proxy.callers.buffer_limit,
        listener_filters=[*first, *([tls_inspector()] if by_name else [])],
        traffic_direction="OUTBOUND",
        max_connections_to_accept_per_socket_event=1,
    )
