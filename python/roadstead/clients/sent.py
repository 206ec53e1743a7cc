"""What the clients of all libraries have in common beside the logic: what they tell of a response, socket options."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from roadstead.errors import NotSpoken
from roadstead.mesh import UNLIMITED, ConnectionPool, Keepalive

if TYPE_CHECKING:
    from roadstead._core import Decision

KEPT = 1024 * 1024
"""A body that is not larger is kept, so that it can be sent again (Envoy: per_request_buffer_limit_bytes)."""
# Seconds an idle connection is kept where the policy says nothing (Envoy's default).
_IDLE = 3600.0


class Sent(NamedTuple):
    """Whose answer a response is. flags and details: Envoy's; "" for an upstream's."""

    decision: Decision
    flags: str
    details: str


def most_connections(pool: ConnectionPool) -> int | None:
    """At once, all endpoints together; None: any number."""
    return None if pool.tcp.max_connections == UNLIMITED else pool.tcp.max_connections


def idle_time(pool: ConnectionPool) -> float | None:
    """Seconds an unused connection is kept; None: for ever."""
    return _IDLE if pool.http.idle_timeout is None else pool.http.idle_timeout or None


def refuse_http2(cluster: str, pool: ConnectionPool | None) -> None:
    """Of libraries that speak HTTP/1.1 alone."""
    if pool is not None and pool.http.protocol == "http2":
        raise NotSpoken(
            f"{cluster} is spoken to by HTTP/2, which this library does not speak: use roadstead.clients.httpx (extras"
            " httpx and http2; roadstead.clients.grpc for gRPC), ask through `roadstead proxy`, which does, or, where"
            " endpoints take HTTP/1.1 too, leave h2UpgradePolicy and the port's protocol HTTP2 out of the configuration"
        )


def refuse_proxy_protocol(cluster: str, pool: ConnectionPool | None) -> None:
    """Of libraries that open their connections themselves, and write to them first."""
    if pool is not None and pool.tcp.proxy_protocol:
        raise NotSpoken(
            f"{cluster}: connections begin with the PROXY protocol, which this library has no place for: use another"
            " one of roadstead.clients, or take proxyProtocol out of the DestinationRule"
        )


def keepalive_options(keepalive: Keepalive | None) -> list[tuple[int, int, int]]:
    """Socket options of a cluster's connections. None: keepalive is off, as in Envoy."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    if keepalive is None:
        return options
    options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    for name, value in (
        ("TCP_KEEPCNT", keepalive.probes),
        ("TCP_KEEPIDLE", keepalive.time),
        ("TCP_KEEPINTVL", keepalive.interval),
    ):
        number = getattr(socket, name, None)
        if number is not None and value is not None:
            options.append((socket.IPPROTO_TCP, number, max(1, round(value))))
    return options
