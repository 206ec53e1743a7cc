"""What is checked, and how a connection to it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from roadstead.host import with_port
from roadstead.mesh import Endpoint, HealthCheck, WorkloadProbe
from roadstead.mesh.cluster import ProxyProtocol
from roadstead.proxy_protocol import opening

AGENT = "Envoy/HC"
"""How a check introduces itself."""
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Target(msgspec.Struct, frozen=True, gc=False):
    """What is checked, and how; equal targets are one probe. port 0: `address` is the path of a unix socket.
    authority: the Host header. secure: the cluster whose TLS is spoken first, "" for none. proxied: connections begin
    with the PROXY protocol."""

    address: str
    port: int
    check: HealthCheck
    authority: str
    secure: str = ""
    proxied: ProxyProtocol = ""


def targets_of(
    endpoint: Endpoint, checks: Sequence[HealthCheck], host: str, secure: str, proxied: ProxyProtocol = ""
) -> list[Target]:
    """What is checked of an endpoint: by the cluster's checks, and by its own probe. host: the service's. secure: the
    cluster, where it speaks TLS. proxied: of the cluster's connections."""
    # No server is called "*.example.com".
    host = (endpoint.hostname or endpoint.address) if host.startswith("*") else host
    made = [
        Target(endpoint.address, endpoint.port, check, check.authority or host, secure, proxied) for check in checks
    ]
    probe = endpoint.probe
    if probe is not None and (port := probe.port or endpoint.port):
        # Who has a socket here is here.
        address = probe.address or ("127.0.0.1" if endpoint.kind == "unix" else endpoint.address)
        authority = probe.authority or with_port(address, port)
        made.append(Target(address, port, probe, authority))
    return made


def delay_of(target: Target) -> float:
    """Seconds before the first check."""
    return target.check.initial_delay if isinstance(target.check, WorkloadProbe) else 0.0


Opener: TypeAlias = Callable[[Target], Awaitable[Streams]]
"""Opens a connection to a target, TLS included. OSError where it cannot."""


async def open_plain(target: Target) -> Streams:
    """A connection without TLS."""
    if not target.port:
        reader, writer = await asyncio.open_unix_connection(target.address)
    else:
        reader, writer = await asyncio.open_connection(target.address, target.port)
    if target.proxied:
        writer.write(opening(target.proxied, None, writer.get_extra_info("socket")))
    return reader, writer
