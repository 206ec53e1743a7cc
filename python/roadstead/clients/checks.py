"""How active health checks reach endpoints that speak TLS: as requests to them do."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, cast

from roadstead.clients import dial
from roadstead.clients.tls import Originator, server_name
from roadstead.health.target import Opener, Streams, Target
from roadstead.mesh import Cluster, ConnectionPool, TcpPool, TlsOrigination

if TYPE_CHECKING:
    from roadstead.registry.view import View


# What is offered where the policy names nothing; by the kind of check.
_ALPN: dict[str, tuple[str, ...]] = {"http": (), "grpc": ("h2",), "tcp": ()}


def opener(
    view: View,
    *,
    identity: str | os.PathLike[str] | None = None,
    credentials: str | os.PathLike[str] | None = None,
    verify: ssl.SSLContext | None = None,
) -> Opener:
    """For `Live(opener=…)`. identity, credentials: folders of certificates (`clients.tls.Originator`). verify: what
    endpoints are checked against whose service itself speaks TLS (HTTPS ports); default the system's authorities."""
    originator = Originator(identity, credentials)
    made: list[ssl.SSLContext] = [] if verify is None else [verify]

    def application() -> ssl.SSLContext:
        if not made:
            made.append(ssl.create_default_context())
        return made[0]

    async def opened(target: Target) -> Streams:
        context, sni = None, ""
        live = view.cluster(target.secure) if target.secure else None
        if live is not None:
            tls = originator.wanted(
                cast("TlsOrigination | None", live.tls), _labels(cast("Cluster", live.spec), target)
            )
            if tls is not None:
                context = originator.context(tls, alpn=_ALPN[target.check.kind])
                sni = server_name(tls, target.authority)
            elif live.tls is None and target.check.kind != "tcp":
                context, sni = application(), target.authority
        name = None if context is None else sni
        if target.proxied:
            pool = ConnectionPool(TcpPool(proxy_protocol=target.proxied))
            plain = await dial.adial(dial.Target(target.address, target.port, pool))
            return await asyncio.open_connection(sock=plain, ssl=context, server_hostname=name)
        if not target.port:
            return await asyncio.open_unix_connection(target.address, ssl=context, server_hostname=name)
        return await asyncio.open_connection(target.address, target.port, ssl=context, server_hostname=name)

    return opened


def _labels(spec: Cluster, target: Target) -> dict[str, str]:
    """Of the endpoint; its addresses may have come from DNS, then it has no others than its name."""
    for group in spec.groups:
        for endpoint in group.endpoints:
            if (endpoint.address, endpoint.port) == (target.address, target.port):
                return endpoint.labels
    return {}


__all__ = ["opener"]
