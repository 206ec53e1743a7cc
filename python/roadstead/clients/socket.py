"""Plain connections through a registry (databases, caches, brokers): a connected `socket.socket`, or asyncio's streams.

A connection goes where `registry.connect` says, counts against the cluster's maxConnections until it is closed, has its
connect timeout and keepalive, begins with the PROXY protocol where the rule asks for it, speaks the TLS that the mesh
originates and goes through the rule's tunnel. Where the rule says how long it may be idle (Linux alone knows) or last,
it ends then as if the other side had closed it.
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

from roadstead.clients.dial import Target, aconnect, dial
from roadstead.clients.drive import ASYNCHRONOUS, BLOCKING, Waits, finished
from roadstead.clients.held import ConnectionRecorder, Held, HeldProtocol, Place, give_back, holding, moved
from roadstead.clients.lifetime import keep, keep_stream, refuse_unkept
from roadstead.clients.tls import Originator, server_name
from roadstead.clients.tunnel import Answer, request_of
from roadstead.errors import ConnectionNotAllowed, EndpointsPending, NotSpoken, TlsRefused, Unavailable
from roadstead.mesh import ConnectionPool, TcpPolicy, TlsOrigination, Tunnel
from roadstead.proxy_protocol import Peers

if TYPE_CHECKING:
    from roadstead._core import ConnectionLease, Decision
    from roadstead.registry.view import View

_UNSET = TcpPolicy()

T = TypeVar("T")
_Path: TypeAlias = "str | os.PathLike[str]"


# A target is to be connected to, then None is sent in, or the error.
Dialling: TypeAlias = "Generator[EndpointsPending | Target, OSError | None, Place]"


class Skills(NamedTuple):
    """What whoever makes connections can do with them.

    nests: speak the caller's TLS within the mesh's, once a tunnel leads on. posts: send bytes as bodies, as a tunnel by
    POST wants it. ends: end them when they are idle for too long, whatever they are."""

    nests: bool = False
    posts: bool = False
    ends: bool = False


_SOCKETS, _STREAMS = Skills(), Skills(nests=True)


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
    where TLS cannot be spoken, NotSpoken where another part of the rule cannot be kept; what the last try met
    (ConnectionRefusedError, TunnelRefused, TimeoutError, ssl.SSLError …)."""
    decision = registry.connect(host, port, sni=sni, source_ip=source_ip)
    origin = _originator(_text(identity), _text(credentials))
    work = dialling(decision, host, origin, max_connect_attempts, recorder)

    async def dialled(target: Target) -> Held:
        return _dial(target)

    made, place = finished(_made(work, BLOCKING, dialled))
    made.place = place
    place.read_by(partial(_moved, ref(made)))
    keep(made, tcp_policy(decision), place.over)
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
    origin = _originator(_text(identity), _text(credentials))
    work = dialling(decision, host, origin, max_connect_attempts, recorder, skills=_STREAMS)
    made, place = await _made(work, ASYNCHRONOUS, partial(_streams, limit=limit))
    place.read_by(partial(moved, made.writer.get_extra_info("socket")))
    made.protocol.hold(place)
    keep_stream(made.writer, tcp_policy(decision))
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


def tcp_policy(decision: Decision) -> TcpPolicy:
    """What holds for the connection."""
    return cast("TcpPolicy | None", decision.tcp_policy) or _UNSET


def dialling(
    decision: Decision,
    host: str,
    origin: Originator,
    attempts: int,
    recorder: ConnectionRecorder | None,
    *,
    peers: Peers | None = None,
    skills: Skills = _SOCKETS,
) -> Dialling:
    """What is done for a connection, by whatever makes it; returns its place. host: the name that was asked for.
    peers: on whose behalf, None: this process's. A cancellation that is thrown in (`throw`) tells nothing of the
    endpoint."""
    if attempts < 1:
        raise ValueError(f"max_connect_attempts is at least 1, not {attempts}")
    flow = None if recorder is None else recorder.opened(decision)
    how = _How(host, origin, peers, skills)
    try:
        lease = yield from _connected(decision, how, attempts)
    except BaseException as error:
        if flow is not None:
            flow.closed(_flags(error))
        raise
    return Place(lease, flow)


class _How(NamedTuple):
    """Of `dialling`."""

    host: str
    origin: Originator
    peers: Peers | None
    skills: Skills


def _connected(
    decision: Decision, how: _How, attempts: int
) -> Generator[EndpointsPending | Target, OSError | None, ConnectionLease]:
    if decision.kind not in ("forward", "passthrough"):
        raise ConnectionNotAllowed(f"{how.host}: {decision.kind} ({', '.join(decision.reasons)})")
    while True:
        lease = yield from _leased(decision)
        try:
            failed = yield _target(decision, lease, how)
        except BaseException:
            lease.__exit__(*sys.exc_info())
            raise
        if failed is None:
            lease.ready()
            return lease
        lease.finish(error="connect_timeout" if isinstance(failed, TimeoutError) else "connect_failure")
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


def _target(decision: Decision, lease: ConnectionLease, how: _How) -> Target:
    endpoint, cluster = lease.endpoint, lease.cluster
    pool = cast("ConnectionPool | None", cluster.connection_pool) or ConnectionPool()
    policy = tcp_policy(decision)
    tunnel = policy.tunnel
    if tunnel is not None:
        _refuse_tunnel(decision, tunnel, pool, how.skills)
    if not how.skills.ends:
        refuse_unkept(policy, unix=not endpoint.port)
    tls = how.origin.wanted(cast("TlsOrigination | None", cluster.tls), endpoint.labels)
    plain = Target(endpoint.address, endpoint.port, pool, peers=how.peers, tunnel=tunnel)
    if tls is None:
        return plain
    # Within a tunnel it is spoken to somebody else.
    if decision.application_tls and not (how.skills.nests and tunnel is not None):
        raise TlsRefused(
            f"{decision.cluster_name}: the DestinationRule's tls would carry the caller's own TLS inside (a TLS port"
            " that originates TLS): declare the port as TCP, or leave tls out of the rule"
        )
    context = how.origin.context(tls)
    holding(context)
    return plain._replace(context=context, sni=server_name(tls, decision.authority or how.host))


def _refuse_tunnel(decision: Decision, tunnel: Tunnel, pool: ConnectionPool, skills: Skills) -> None:
    """NotSpoken where it cannot be gone through."""
    what = f"{decision.cluster_name}: the DestinationRule's tunnel to {tunnel.authority}"
    if pool.http.protocol == "http2":
        raise NotSpoken(f"{what} would be asked for by HTTP/2, and is asked for by HTTP/1.1 alone: take HTTP/2 from it")
    if tunnel.protocol == "POST" and not skills.posts:
        raise NotSpoken(
            f"{what} by POST would have what the caller writes go as a body, which a plain socket does not: write"
            " protocol: CONNECT, or let the proxy make the connection"
        )


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
    async with asyncio.timeout(target.timeout):
        transport = await aconnect(target, protocol)
        made = _Streams(reader, asyncio.StreamWriter(transport, protocol, reader, loop), protocol)
        if target.tunnel is not None:
            try:
                await _lead_on(made, target, target.tunnel)
            except BaseException:
                transport.abort()
                raise
    return made


async def _lead_on(made: _Streams, target: Target, tunnel: Tunnel) -> None:
    """Ask for the tunnel. Byte by byte, as what comes behind the answer is the caller's."""
    made.writer.write(request_of(tunnel))
    answer = Answer(tunnel, target.name)
    while answer.feed(await made.reader.read(1)) is None:
        pass


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


__all__ = ["Dialling", "Skills", "create_connection", "dialling", "open_connection", "tcp_policy", "throw"]
