"""Plain connections through a registry (databases, caches, brokers): a connected `socket.socket`, or asyncio's streams.

A connection goes where `registry.connect` says, counts against the cluster's maxConnections until it is closed, has its
connect timeout and keepalive, and speaks the TLS that the mesh originates. idleTimeout and maxConnectionDuration are
for proxies, which close other people's connections; these belong to the caller.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar, cast
from weakref import ref

from roadstead.clients.dial import Target, adial, dial
from roadstead.clients.drive import ASYNCHRONOUS, BLOCKING, Waits, finished
from roadstead.clients.held import ConnectionRecorder, Held, HeldProtocol, Place, give_back, holding, moved
from roadstead.clients.tls import Originator, server_name
from roadstead.errors import ConnectionNotAllowed, EndpointsPending, TlsRefused, Unavailable
from roadstead.mesh import ConnectionPool, TlsOrigination

if TYPE_CHECKING:
    from roadstead._core import ConnectionLease, Decision
    from roadstead.registry.view import View

T = TypeVar("T")
_Path: TypeAlias = "str | os.PathLike[str]"


# A target is to be connected to, then None is sent in, or the error.
Dialling: TypeAlias = "Generator[EndpointsPending | Target, OSError | None, Place]"


class _Streams(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: HeldProtocol


def create_connection(
    registry: View,
    host: str,
    port: int,
    *,
    sni: str | None = None,
    source_ip: str | None = None,
    identity: _Path | None = None,
    credentials: _Path | None = None,
    max_connect_attempts: int = 1,
    recorder: ConnectionRecorder | None = None,
) -> socket.socket:
    """A connected socket, an `ssl.SSLSocket` where the mesh originates TLS. Closing it gives its place back.

    sni: the server name of the caller's own TLS, which it speaks over the socket itself. source_ip: whom rules take the
    caller for. identity, credentials: folders of certificates (`clients.tls.Originator`). max_connect_attempts: picks
    of an endpoint until one answers, at once and without back-off (Envoy: tcp_proxy; Istio leaves it at 1). recorder:
    counts connections (`metrics.istio.ConnectionRecorder`); bytes only where the system tells them (Linux).

    ConnectionNotAllowed where the mesh lets nobody through, NoHealthyEndpoint, Overflow at maxConnections; TlsRefused
    where TLS cannot be spoken; what the last try met (ConnectionRefusedError, TimeoutError, ssl.SSLError …)."""
    decision = registry.connect(host, port, sni=sni, source_ip=source_ip)
    work = dialling(decision, host, _originator(_text(identity), _text(credentials)), max_connect_attempts, recorder)

    async def dialled(target: Target) -> Held:
        return _dial(target)

    made, place = finished(_made(work, BLOCKING, dialled))
    made.place = place
    place.read_by(partial(_moved, ref(made)))
    return made


async def open_connection(
    registry: View,
    host: str,
    port: int,
    *,
    sni: str | None = None,
    source_ip: str | None = None,
    identity: _Path | None = None,
    credentials: _Path | None = None,
    max_connect_attempts: int = 1,
    recorder: ConnectionRecorder | None = None,
    limit: int = 65_536,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """asyncio's streams; otherwise as `create_connection`. The place is given back when the connection is gone.

    limit: bytes that the reader buffers, as in `asyncio.open_connection`."""
    decision = registry.connect(host, port, sni=sni, source_ip=source_ip)
    work = dialling(decision, host, _originator(_text(identity), _text(credentials)), max_connect_attempts, recorder)
    made, place = await _made(work, ASYNCHRONOUS, partial(_streams, limit=limit))
    place.read_by(partial(moved, made.writer.get_extra_info("socket")))
    made.protocol.hold(place)
    return made.reader, made.writer


async def _made(work: Dialling, waits: Waits, dialled: Callable[[Target], Awaitable[T]]) -> tuple[T, Place]:
    """What comes of a dialling, for connections that block and those that do not."""
    made: list[T] = []
    failed: OSError | None = None
    while True:
        try:
            asked = work.send(failed)
        except StopIteration as stop:
            return made[-1], stop.value
        failed = None
        try:
            if isinstance(asked, EndpointsPending):
                await waits.resolved(asked)
            else:
                made.append(await dialled(asked))
        except OSError as error:
            failed = error
        except BaseException as error:
            throw(work, error)
            raise


def dialling(
    decision: Decision, host: str, origin: Originator, attempts: int, recorder: ConnectionRecorder | None
) -> Dialling:
    """What is done for a connection, by whatever makes it; returns its place. host: the name that was asked for. A
    cancellation that is thrown in (`throw`) tells nothing of the endpoint."""
    if attempts < 1:
        raise ValueError(f"max_connect_attempts is at least 1, not {attempts}")
    flow = None if recorder is None else recorder.opened(decision)
    try:
        lease = yield from _connected(decision, host, origin, attempts)
    except BaseException as error:
        if flow is not None:
            flow.closed(_flags(error))
        raise
    return Place(lease, flow)


def _connected(
    decision: Decision, host: str, origin: Originator, attempts: int
) -> Generator[EndpointsPending | Target, OSError | None, ConnectionLease]:
    if decision.kind not in ("forward", "passthrough"):
        raise ConnectionNotAllowed(f"{host}: {decision.kind} ({', '.join(decision.reasons)})")
    while True:
        lease = yield from _leased(decision)
        try:
            failed = yield _target(decision, lease, host, origin)
        except BaseException:
            lease.__exit__(*sys.exc_info())
            raise
        if failed is None:
            lease.ready()
            return lease
        lease.finish(error="connect_failure")
        attempts -= 1
        if not attempts:
            raise failed


def _flags(error: BaseException) -> str:
    """Envoy's of a connection that did not come about. Its black hole is a cluster without endpoints."""
    if isinstance(error, Unavailable):
        return error.flags
    if isinstance(error, ConnectionNotAllowed):
        return "UH"
    if isinstance(error, OSError):
        return "UF,URX"
    return "DC" if not isinstance(error, Exception) else "UF"


def _leased(decision: Decision) -> Generator[EndpointsPending, OSError | None, ConnectionLease]:
    give_back()
    while True:
        try:
            return cast("ConnectionLease", decision.lease())
        except EndpointsPending as pending:
            yield pending


def _target(decision: Decision, lease: ConnectionLease, host: str, origin: Originator) -> Target:
    endpoint, cluster = lease.endpoint, lease.cluster
    pool = cast("ConnectionPool | None", cluster.connection_pool) or ConnectionPool()
    tls = origin.wanted(cast("TlsOrigination | None", cluster.tls), endpoint.labels)
    if tls is None:
        return Target(endpoint.address, endpoint.port, pool)
    if decision.application_tls:
        raise TlsRefused(
            f"{decision.cluster_name}: the DestinationRule's tls would carry the caller's own TLS inside (a TLS port"
            " that originates TLS): declare the port as TCP, or leave tls out of the rule"
        )
    context = origin.context(tls)
    holding(context)
    return Target(endpoint.address, endpoint.port, pool, context, server_name(tls, decision.authority or host))


def _dial(target: Target) -> Held:
    made = dial(target, target.timeout)
    if not isinstance(made, Held):
        made = Held(fileno=made.detach())
    made.settimeout(socket.getdefaulttimeout())
    return made


async def _streams(target: Target, limit: int) -> _Streams:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit, loop=loop)
    protocol = HeldProtocol(reader, loop=loop)
    name = None if target.context is None else target.sni
    async with asyncio.timeout(target.timeout):
        plain = await adial(target)
        transport, _ = await loop.create_connection(
            lambda: protocol, sock=plain, ssl=target.context, server_hostname=name
        )
    return _Streams(reader, asyncio.StreamWriter(transport, protocol, reader, loop), protocol)


def _moved(made: ref[Held]) -> tuple[int, int]:
    """Who counts does not keep a socket alive."""
    known = made()
    return (0, 0) if known is None else moved(known)


@lru_cache(64)
def _originator(identity: str | None, credentials: str | None) -> Originator:
    """Contexts are made once for each folder."""
    return Originator(identity, credentials)


def _text(path: _Path | None) -> str | None:
    return None if path is None else os.fspath(path)


def throw(work: Dialling, error: BaseException) -> None:
    """Let the lease hear of an error that is the caller's."""
    try:
        work.throw(error)
    except BaseException as raised:
        if raised is not error:
            raise


__all__ = ["Dialling", "create_connection", "dialling", "open_connection", "throw"]
