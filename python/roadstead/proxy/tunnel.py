"""Bytes in both directions between a client and an endpoint: what a connection through the proxy comes to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from roadstead.clients.dial import Target, adial
from roadstead.clients.socket import dialling, throw
from roadstead.errors import ConnectionNotAllowed, EndpointsPending, TlsRefused, Unavailable
from roadstead.mesh import ConnectionPool
from roadstead.proxy.flow import Flow
from roadstead.proxy.messages import Refusal
from roadstead.proxy.shared import name_of, reason

if TYPE_CHECKING:
    from roadstead._core import Decision
    from roadstead.clients.held import Place
    from roadstead.proxy.shared import Shared

# Seconds without a byte after which Envoy ends a connection where the policy says nothing (tcp_proxy: idle_timeout).
_IDLE = 3600.0


class End(Flow):
    """One of two ends. What comes before the other is there waits. total: bytes that came."""

    def __init__(self) -> None:
        super().__init__()
        self.peer: End | None = None
        self.total = 0
        self.is_ended = False
        self.error: Exception | None = None
        self.over: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        super().connection_made(transport)
        self.hold()

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        assert self.peer is not None
        self.total += len(data)
        self.moved = self._loop.time()
        self.peer.write(data)

    def pause_writing(self) -> None:
        """Of asyncio.Protocol."""
        super().pause_writing()
        if self.peer is not None:
            self.peer.hold()

    def resume_writing(self) -> None:
        """Of asyncio.Protocol."""
        super().resume_writing()
        if self.peer is not None:
            self.peer.release()

    def eof_received(self) -> bool:
        """Of asyncio.Protocol: the other direction may go on, where both sides can be closed by halves (not TLS)."""
        self.is_ended = True
        peer = self.peer
        if peer is None or peer.is_lost:
            return False
        if peer.is_ended or not peer.transport.can_write_eof():
            peer.transport.close()
            return False
        peer.transport.write_eof()
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        super().connection_lost(exc)
        self.error = exc
        peer = self.peer
        if peer is not None and not peer.is_lost:
            if exc is None:
                peer.transport.close()
            else:
                peer.cut()
        if not self.over.done():
            self.over.set_result(None)


class Opened(NamedTuple):
    """A connection to an endpoint that counts against its cluster until `place` is ended."""

    end: End
    place: Place
    target: Target


async def opened(shared: Shared, decision: Decision, host: str, port: int) -> Opened:
    """Connect to where a decision leads. Refusal, with Envoy's flags, where that does not come about."""
    work = dialling(decision, host, shared.terms.tls, shared.limits.connect_attempts, shared.connections)
    target: Target | None = None
    end: End | None = None
    failed: OSError | None = None
    while True:
        try:
            asked = work.send(failed)
        except StopIteration as stop:
            assert end is not None
            assert target is not None
            return Opened(end, stop.value, target)
        except ConnectionNotAllowed as error:
            flags = decision.flags or "UH"
            text = reason(decision, host, port) or str(error)
            raise Refusal(decision.status or 502, "direct_response", text, flags) from error
        except Unavailable as error:
            raise Refusal(error.status, "upstream_connection_refused", str(error), error.flags) from error
        except TlsRefused as error:
            raise Refusal(502, "tls_refused", str(error), "UF") from error
        except OSError as error:
            raise Refusal(503, "upstream_reset_before_response_started", _told(error, target), "UF,URX") from error
        failed = None
        try:
            if isinstance(asked, EndpointsPending):
                await asked
            else:
                target = asked
                end = await _connected(asked)
        except OSError as error:
            failed = error
        except BaseException as error:
            throw(work, error)
            raise


async def _connected(target: Target) -> End:
    loop = asyncio.get_running_loop()
    end = End()
    name = None if target.context is None else target.sni
    async with asyncio.timeout(target.timeout):
        plain = await adial(target)
        try:
            await loop.create_connection(lambda: end, sock=plain, ssl=target.context, server_hostname=name)
        except BaseException:
            plain.close()
            raise
    return end


def _told(error: OSError, target: Target | None) -> str:
    where = "" if target is None else f"{target.host}:{target.port}: "
    what = "connect timeout" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return f"{where}{what}"


async def splice(near: End, far: End, first: bytes, pool: ConnectionPool) -> str:
    """Carry bytes until either side has ended; why it was ended by us, "" for not at all. first: of the client, read
    already. near, far: held ends, the client's and the endpoint's. Cancelled, it cuts both off."""
    loop = asyncio.get_running_loop()
    near.peer, far.peer = far, near
    idle = _IDLE if pool.tcp.idle_timeout is None else pool.tcp.idle_timeout
    end = None if pool.tcp.max_connection_duration is None else loop.time() + pool.tcp.max_connection_duration
    both = asyncio.gather(near.over, far.over)
    try:
        if first:
            near.total += len(first)
            far.write(first)
        for one in (near, far):
            one.release()
        while not both.done():
            now = loop.time()
            quiet = max(near.moved, far.moved) + idle - now if idle else None
            left = None if end is None else end - now
            if left is not None and left <= 0:
                return "max_connection_duration"
            if quiet is not None and quiet <= 0:
                return "idle_timeout"
            waits = [one for one in (quiet, left) if one is not None]
            await asyncio.wait([both], timeout=min(waits, default=None))
        return ""
    finally:
        for one in (near, far):
            if not one.is_lost:
                one.transport.abort()


def address_of(target: Target) -> str:
    """An endpoint's address as Envoy writes it."""
    return name_of((target.host, target.port)) if target.port else target.host


__all__ = ["End", "Opened", "address_of", "opened", "splice"]
