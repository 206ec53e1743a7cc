"""One connection to one endpoint, by a blocking socket or in asyncio: socket options, time limit, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import NamedTuple, TypeAlias

from roadstead.clients.sent import keepalive_options
from roadstead.clients.tunnel import Answer, request_of
from roadstead.mesh import ConnectionPool, Tunnel
from roadstead.proxy_protocol import Peers, opening

_Address: TypeAlias = "str | tuple[str | int, ...] | tuple[int, bytes]"


class Target(NamedTuple):
    """Where to, and how. port 0: host is the path of a unix socket. context: None without TLS; sni: "" for none. peers:
    on whose behalf, where the pool has the connection tell that. tunnel: what is asked for once it is there. timeout:
    seconds until the connection is there, its handshake and the tunnel's answer included."""

    host: str
    port: int
    pool: ConnectionPool
    context: ssl.SSLContext | None = None
    sni: str = ""
    peers: Peers | None = None
    tunnel: Tunnel | None = None

    @property
    def timeout(self) -> float:
        return self.pool.tcp.connect_timeout

    @property
    def name(self) -> str:
        """The endpoint, for people."""
        return f"{self.host}:{self.port}" if self.port else self.host


def dial(target: Target, timeout: float | None) -> socket.socket:
    """A connected socket, still under its time limit; with TLS of the class that the context names. TimeoutError,
    another OSError or ssl.SSLError where it fails. timeout: None: no limit."""
    until = None if timeout is None else time.monotonic() + timeout
    made = _dialled(target, until)
    try:
        made.settimeout(_left(until))
        if first := opening(target.pool.tcp.proxy_protocol, target.peers, made):
            made.sendall(first)
        if target.context is not None:
            made = target.context.wrap_socket(made, server_hostname=target.sni or None)
        if target.tunnel is not None:
            _lead_on(made, target, target.tunnel, until)
    except BaseException:
        made.close()
        raise
    return made


def _lead_on(made: socket.socket, target: Target, tunnel: Tunnel, until: float | None) -> None:
    """Ask for the tunnel. Byte by byte, as what comes behind the answer is the caller's."""
    made.sendall(request_of(tunnel))
    answer = Answer(tunnel, target.name)
    while answer.feed(made.recv(1)) is None:
        made.settimeout(_left(until))


async def adial(target: Target) -> socket.socket:
    """A connected socket that does not block, without TLS and before any tunnel. The caller limits the time."""
    loop = asyncio.get_running_loop()
    failed: OSError | None = None
    for family, address in await _aaddresses(target, loop):
        made = _made(family, target.pool)
        made.setblocking(False)
        try:
            await loop.sock_connect(made, address)
            if first := opening(target.pool.tcp.proxy_protocol, target.peers, made):
                await loop.sock_sendall(made, first)
        except OSError as error:
            made.close()
            failed = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failed or OSError(f"{target.host} has no address")


async def aconnect(target: Target, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
    """The same with TLS, where it is spoken, and under a protocol that hears of it."""
    plain = await adial(target)
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            sock=plain,
            ssl=target.context,
            server_hostname=None if target.context is None else target.sni,
        )
    except BaseException:
        plain.close()
        raise
    return transport


def _dialled(target: Target, until: float | None) -> socket.socket:
    failed: OSError | None = None
    for family, address in _addresses(target):
        made = _made(family, target.pool)
        try:
            made.settimeout(_left(until))
            made.connect(address)
        except TimeoutError:
            made.close()
            raise
        except OSError as error:
            made.close()
            failed = error
        else:
            return made
    raise failed or OSError(f"{target.host} has no address")


def _made(family: int, pool: ConnectionPool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != getattr(socket, "AF_UNIX", None):
            for option in keepalive_options(pool.tcp.keepalive):
                made.setsockopt(*option)
    except BaseException:
        made.close()
        raise
    return made


def _addresses(target: Target) -> list[tuple[int, _Address]]:
    if not target.port:
        return [(socket.AF_UNIX, target.host)]
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


async def _aaddresses(target: Target, loop: asyncio.AbstractEventLoop) -> list[tuple[int, _Address]]:
    if not target.port:
        return [(socket.AF_UNIX, target.host)]
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _left(until: float | None) -> float | None:
    """Seconds, None for any number; TimeoutError where none are."""
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for the connection is up")
    return left
