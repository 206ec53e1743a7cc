"""The proxy: its listeners, the clients that are connected, and how it ends without cutting anybody off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, cast

from roadstead.clients.tls import Originator
from roadstead.errors import InputError
from roadstead.proxy.connection import Connection, Wanted
from roadstead.proxy.downstream import Downstream
from roadstead.proxy.flow import cut
from roadstead.proxy.http2_downstream import Http2Downstream
from roadstead.proxy.limits import Limits
from roadstead.proxy.listeners import Listener
from roadstead.proxy.shared import Shared

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from roadstead.clients.bodies import Watcher
    from roadstead.metrics.access_log import AccessLog
    from roadstead.metrics.istio import ConnectionRecorder, RequestRecorder
    from roadstead.registry.view import View

_Client: TypeAlias = Downstream | Http2Downstream | Connection
# Connections that wait to be accepted.
_BACKLOG = 1024
# A host that no configuration declares (RFC 6761).
_NOBODY = "undeclared.invalid"


class Proxy:
    """Carries requests and connections as a registry's rules say, in the loop that starts it.

        async with Proxy(registry, [listener("http", "127.0.0.1:15001")]) as proxy:
            ...
            await proxy.drain(30)

    registry: a Registry or a view of one; a `Live` keeps it fresh. limits: what a client may ask for. identity,
    credentials: folders of certificates (`clients.tls.Originator`). ca: a file of authorities for requests whose URL is
    https, which the proxy encrypts itself; default the system's. trusted: x-envoy-… request headers steer retries and
    time limits. allow_open_relay: listeners that other machines reach also let through what nobody declared, where the
    mesh does (ALLOW_ANY). log, requests, connections: are told of everything that is over. watchers: hear
    of each request when it begins, too (trace context: `clients.tracing.Spans`)."""

    def __init__(
        self,
        registry: View,
        listeners: Sequence[Listener],
        *,
        limits: Limits | None = None,
        identity: str | os.PathLike[str] | None = None,
        credentials: str | os.PathLike[str] | None = None,
        ca: str | None = None,
        trusted: bool = False,
        allow_open_relay: bool = False,
        log: AccessLog | None = None,
        requests: RequestRecorder | None = None,
        connections: ConnectionRecorder | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._shared = Shared(
            registry,
            limits or Limits(),
            Originator(identity, credentials),
            trusted=trusted,
            ca=ca,
            log=log,
            requests=requests,
            connections=connections,
            watchers=watchers,
        )
        self._listeners = tuple(listeners)
        self._allows = allow_open_relay
        self._servers: list[asyncio.Server] = []
        self._addresses: list[tuple[str, int]] = []
        self._clients: set[_Client] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens, in order of the listeners."""
        return list(self._addresses)

    @property
    def counts(self) -> dict[str, int]:
        """What happened at the clients' side, in Envoy's words (http.<prefix>.…)."""
        return {**self._shared.counts, "downstream_cx_active": len(self._clients)}

    @property
    def connections(self) -> dict[str, tuple[int, int]]:
        """Of each cluster, for requests: open connections, and how many of them are idle."""
        return self._shared.pools.counts()

    @property
    def state(self) -> Literal["INITIALIZING", "LIVE", "DRAINING"]:
        """Whether it takes clients (what `/ready` of the admin pages says)."""
        if self._shared.is_draining:
            return "DRAINING"
        return "LIVE" if self._sweeping is not None else "INITIALIZING"

    async def start(self) -> None:
        """Listen. InputError where that would make an open relay of it; OSError where an address is taken."""
        open_ones = [one for one in self._listeners if not one.is_loopback and one.to is None]
        if open_ones and not self._allows and self._shared.view.route(_NOBODY).kind == "passthrough":
            raise InputError(
                f"{open_ones[0].host}:{open_ones[0].port} can be reached by other machines, and the mesh lets through"
                " what nobody declared (outboundTrafficPolicy ALLOW_ANY): that is an open relay. Set REGISTRY_ONLY,"
                " listen on 127.0.0.1, or allow it (--allow-open-relay, allow_open_relay=True)"
            )
        loop = asyncio.get_running_loop()
        try:
            for one in self._listeners:
                server = await loop.create_server(partial(self._made, one), one.host, one.port, backlog=_BACKLOG)
                self._servers.append(server)
                host, port = server.sockets[0].getsockname()[:2]
                self._addresses.append((host, port))
                self._shared.own |= {(host, port), ("localhost", port)}
        except BaseException:
            await self.close()
            raise
        self._sweeping = asyncio.create_task(self._sweep())

    async def drain(self, seconds: float) -> None:
        """Take no more clients; requests on their way are finished, idle connections are closed at once, tunnels may go
        on. Whoever is left after so many seconds is cut off."""
        self._shared.is_draining = True
        for server in self._servers:
            server.close()
        for client in list(self._clients):
            client.drain()
        try:
            async with asyncio.timeout(seconds):
                while self._clients:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            pass
        await self.close()

    async def close(self) -> None:
        """End at once: everything on its way is cut off."""
        self._shared.is_draining = True
        for server in self._servers:
            server.close()
        left = list(self._clients)
        for client in left:
            client.abort()
        await asyncio.gather(*[client.over() for client in left])
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        self._shared.pools.close()
        self._shared.flush()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _made(self, one: Listener) -> asyncio.Protocol:
        """For a connection that was accepted."""
        counts = self._shared.counts
        if len(self._clients) >= self._shared.limits.connections:
            counts["downstream_cx_overflow"] += 1
            return _Turned()
        counts["downstream_cx_total"] += 1
        may_pass = one.is_loopback or self._allows
        made: _Client
        if one.kind == "http":
            made = Downstream(self._shared, may_pass=may_pass, gone=self._forget, taken=self._clients.add)
        else:
            made = Connection(
                self._shared,
                None if one.to is None else Wanted(*one.to),
                by_name=one.kind == "tls",
                port=one.to_port,
                may_pass=may_pass or one.to is not None,
                gone=self._forget,
            )
        self._clients.add(made)
        return made

    def _forget(self, client: _Client) -> None:
        self._clients.discard(client)
        self._gone.set()

    async def _sweep(self) -> None:
        """What takes too long, what is idle for too long, what nobody wrote out yet."""
        loop, shared = asyncio.get_running_loop(), self._shared
        limits = shared.limits
        times = [limits.headers_timeout, limits.idle_timeout, limits.stream_idle_timeout]
        pause = max(0.01, min([1.0, *[one / 4 for one in times if one is not None]]))
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for client in list(self._clients):
                client.sweep(now)
                if shared.is_draining:
                    client.drain()
            shared.pools.sweep(now, shared.is_endpoint)
            shared.flush()


class _Turned(asyncio.Protocol):
    """A client too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cut(cast("asyncio.Transport", transport))


__all__ = ["Proxy"]
