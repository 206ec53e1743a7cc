"""A client's connection: requests one after another, each carried out before the next is looked at."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

from roadstead.proxy.carrying import Carrier
from roadstead.proxy.flow import Flow, name_of
from roadstead.proxy.http1_answer import Answer
from roadstead.proxy.http2_downstream import PREFACE, Http2Downstream
from roadstead.proxy.messages import Refusal, Request
from roadstead.proxy.reader import RequestReader
from roadstead.proxy_protocol import Peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from roadstead.proxy.shared import Shared

Expiry: TypeAlias = Literal["idle", "head", "stream"]
# Seconds in which a client may read why it was refused, before the connection is cut.
_LINGER = 1.0
# Seconds of silence after which a peer is asked whether it is still there, between two questions, and how many.
_KEEPALIVE = (60, 10, 6)


class Downstream(Flow):
    """may_pass: requests to what nobody declared are let through, where the mesh lets them. gone: called once when the
    connection is. through: host and port of the CONNECT that the requests came in. taken: called where the client turns
    out to speak HTTP/2: the connection is that one's from now on."""

    def __init__(
        self,
        shared: Shared,
        *,
        may_pass: bool,
        gone: Callable[[Downstream | Http2Downstream], None],
        taken: Callable[[Http2Downstream], None],
    ) -> None:
        super().__init__()
        self.shared = shared
        self.may_pass = may_pass
        self.through: tuple[str, int] | None = None
        self.is_busy = False
        self.local = self.remote = self.remote_ip = ""
        # Whom connections are made for, where endpoints are told.
        self.peers: Peers | None = None
        self._gone = gone
        self._taken = taken
        # What came so far of what may be the preface of HTTP/2; None: it is not.
        self._preface: bytes | None = b""
        self._queue: deque[Request | Refusal] = deque()
        self._raw = b""
        self._next: asyncio.Future[None] | None = None
        self._more_raw: asyncio.Future[None] | None = None
        self._reader = RequestReader(self, shared.limits, self._accept, self._loop.time)
        self._is_refused = False
        self._expired: Expiry | None = None
        self._is_waiting = False
        self._is_handed_over = False

    # Of asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        super().connection_made(transport)
        self.local = name_of(transport.get_extra_info("sockname"))
        peer = transport.get_extra_info("peername")
        self.remote = name_of(peer)
        self.remote_ip = str(peer[0]) if isinstance(peer, tuple) else ""
        local = transport.get_extra_info("sockname")
        self.peers = Peers(peer[:2], local[:2]) if isinstance(peer, tuple) else None
        keep_alive(transport.get_extra_info("socket"))
        self._task = self._loop.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self.moved = self._loop.time()
        if self._is_refused:
            return
        if self._preface is not None:
            data = self._preface + data
            if PREFACE.startswith(data[: len(PREFACE)]):
                self._may_be_http2(data)
                return
            self._preface = None
            if self.through is None:
                self.shared.counts["downstream_cx_http1_total"] += 1
        try:
            raw = self._reader.feed(data)
        except Refusal as refusal:
            self._is_refused = True
            self._put(refusal)
            return
        if raw:
            self._raw += raw
            if len(self._raw) > self.shared.limits.buffer_bytes and not self._is_waiting:
                self._is_waiting = True
                self.hold()
            if self._more_raw is not None and not self._more_raw.done():
                self._more_raw.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        super().connection_lost(exc)
        self._task.cancel()
        self.shared.pools.leave(self.peers)
        self._gone(self)

    # For who carries requests out

    def take_raw(self) -> bytes:
        """What was read of another protocol."""
        raw, self._raw = self._raw, b""
        if self._is_waiting:
            self._is_waiting = False
            self.release()
        return raw

    async def first_raw(self) -> bytes:
        """The first bytes of another protocol, once there are any; they stay."""
        while not self._raw:
            self._more_raw = self._loop.create_future()
            await self._more_raw
        return self._raw

    def look_into(self, host: str, port: int) -> None:
        """What comes in a CONNECT is HTTP: it is read like any other."""
        self.through = (host, port)
        self._preface = b""
        self.http_again()

    def _may_be_http2(self, data: bytes) -> None:
        self._preface = data
        if self._reader.head_began is None:
            self._reader.head_began = self.moved
        if len(data) < len(PREFACE):
            return
        names = (self.local, self.remote, self.remote_ip)
        made = Http2Downstream(
            self.shared, may_pass=self.may_pass, gone=self._gone, through=self.through, names=names, peers=self.peers
        )
        self._taken(made)
        self._is_handed_over = True
        self.transport.set_protocol(made)
        made.connection_made(self.transport)
        made.data_received(data)
        if not self.is_busy:
            self._task.cancel()

    def http_again(self) -> None:
        """The upgrade was not taken up; what came after it was the next request."""
        self._reader.again()
        raw = self.take_raw()
        if raw:
            self.data_received(raw)

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """The connection is somebody else's from now on; what of it was read already."""
        self._is_handed_over = True
        self.shared.pools.leave(self.peers)
        raw = self.take_raw()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        return raw

    @property
    def is_expired(self) -> bool:
        """The request on its way is given up because nothing moved."""
        return self._expired == "stream"

    # Time

    def sweep(self, now: float) -> None:
        """End what takes too long."""
        limits = self.shared.limits
        if self._is_handed_over or self._expired is not None:
            return
        if self.is_busy:
            if limits.stream_idle_timeout is not None and now - self.moved > limits.stream_idle_timeout:
                self._expire("stream")
        elif self._is_refused:
            # Told already; the rest of what it sends is waited for, and not for long.
            return
        elif self._reader.head_began is not None:
            if limits.headers_timeout is not None and now - self._reader.head_began > limits.headers_timeout:
                self._expire("head")
        elif limits.idle_timeout is not None and now - self.moved > limits.idle_timeout:
            self._expire("idle")

    def drain(self) -> None:
        """Close as soon as nothing is on its way."""
        if not self.is_busy and not self._queue and not self._is_handed_over and self._reader.head_began is None:
            self.transport.close()

    def abort(self) -> None:
        """Cut off whatever is on its way."""
        self._task.cancel()
        self.transport.abort()

    async def over(self) -> None:
        """Returns when the connection is served to its end."""
        await asyncio.wait([self._task])

    def _expire(self, what: Expiry) -> None:
        self._expired = what
        if what == "head":
            self.shared.counts["downstream_rq_header_timeout"] += 1
            self._is_refused = True
            self._put(Refusal(408, "request_header_timeout", "the head of the request did not come in time"))
        elif what == "idle":
            self.transport.close()
        else:
            self.shared.counts["downstream_rq_idle_timeout"] += 1
            self._task.cancel()

    # One request after another

    def _accept(self, request: Request) -> None:
        self._put(request)

    def _put(self, item: Request | Refusal) -> None:
        self._queue.append(item)
        if len(self._queue) == 2:
            # Pipelined: the next ones wait where they are.
            self.hold()
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    async def _take(self) -> Request | Refusal:
        while not self._queue:
            self._next = self._loop.create_future()
            await self._next
        item = self._queue.popleft()
        if len(self._queue) == 1:
            self.release()
        return item

    async def _serve(self) -> None:
        keep = True
        carrier: Carrier | None = None
        try:
            while keep:
                item = await self._take()
                self.is_busy = True
                self.moved = self._loop.time()
                request = item if isinstance(item, Request) else None
                carrier = Carrier(Answer(self, request), request)
                keep = await (carrier.refused(item) if isinstance(item, Refusal) else carrier.run(item))
                self.is_busy = False
                self._expired = None
                self.moved = self._loop.time()
                if self._is_handed_over:
                    return
                if keep and self._reader.is_raw:
                    # What was asked for did not come about; HTTP goes on.
                    self.http_again()
                if self.shared.is_draining and not self._queue:
                    keep = False
        except asyncio.CancelledError:
            if self._expired != "stream" or carrier is None or self.is_lost:
                raise
            await carrier.took_too_long()
        finally:
            if self._is_handed_over:
                self._gone(self)
            elif not self.is_lost:
                self._close()

    def _close(self) -> None:
        """Close once what was written is sent. A client that goes on sending would lose it by that: it gets a while."""
        unread = self._is_refused or self._reader.is_within
        self._is_refused = True
        if not unread or not self.transport.can_write_eof() or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write_eof()
        self._loop.call_later(_LINGER, self.transport.abort)


def keep_alive(sock: socket.socket | None) -> None:
    """Have the system find out about a client that is gone without a word."""
    if sock is None or sock.family == getattr(socket, "AF_UNIX", None):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), _KEEPALIVE, strict=True):
        number = getattr(socket, name, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)


__all__ = ["Downstream", "keep_alive"]
