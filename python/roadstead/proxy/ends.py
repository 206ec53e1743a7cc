"""The two ends of a connection that the proxy carries: a client's, and an endpoint's or that of a tunnel through it."""

from __future__ import annotations

import asyncio

from roadstead.clients.tunnel import Answer, request_of
from roadstead.errors import MissingExtra, TunnelRefused
from roadstead.mesh import Tunnel
from roadstead.proxy.flow import Flow

try:
    import httptools
except ImportError as error:
    raise MissingExtra("the proxy", "proxy", "httptools") from error


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
        if peer.is_ended or not peer.can_finish:
            peer.transport.close()
            return False
        peer.finish()
        return self.transport.get_extra_info("sslcontext") is None

    def begin(self) -> None:
        """The other end is there."""

    @property
    def can_finish(self) -> bool:
        """Whether it can be told that nothing more comes, and go on telling."""
        return self.transport.can_write_eof()

    def finish(self) -> None:
        """Nothing more comes."""
        self.transport.write_eof()

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


class Led(End):
    """An endpoint that leads on to another place (Envoy: tunneling_config). asked: its name, for messages. led: is done
    once it does; TunnelRefused where it does not."""

    def __init__(self, tunnel: Tunnel, asked: str) -> None:
        super().__init__()
        self._tunnel = tunnel
        self._answer = Answer(tunnel, asked)
        # What came of the place before the other end was there.
        self._early = b""
        self.led: asyncio.Future[None] = self._loop.create_future()

    def ask(self) -> None:
        """Have it lead on."""
        self.transport.write(request_of(self._tunnel))
        self.release()

    def begin(self) -> None:
        """The other end is there."""
        if self._early:
            self._carry(self._early)

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        if self.led.done():
            self._carry(data)
        elif rest := self._heard(data):
            self._carry(rest)

    def eof_received(self) -> bool:
        """Of asyncio.Protocol."""
        self._heard(b"")
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        self._heard(b"")
        super().connection_lost(exc)

    def _heard(self, data: bytes) -> bytes | None:
        """More of the answer; b"": its end."""
        if self.led.done():
            return None
        try:
            rest = self._answer.feed(data)
        except TunnelRefused as error:
            self.led.set_exception(error)
            # Who was cut off meanwhile does not ask.
            self.led.exception()
            return None
        if rest is not None:
            self.hold()
            self.led.set_result(None)
        return rest

    def _carry(self, data: bytes) -> None:
        if self.peer is None:
            self._early += data
        else:
            super().data_received(data)


class Posted(Led):
    """The same by POST: what goes is the body of a request in chunks, what comes is that of its response."""

    def __init__(self, tunnel: Tunnel, asked: str) -> None:
        super().__init__(tunnel, asked)
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._is_over = self._is_broken = False

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self._heard(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            # What is no answer was told; a body that breaks off must not look whole.
            self._is_broken = True
            self.transport.abort()
            if self.peer is not None:
                self.peer.cut()
            return
        if self._body:
            body = b"".join(self._body)
            self._body.clear()
            self._carry(body)
        if self._is_over and self.peer is not None:
            self._ended()

    def begin(self) -> None:
        """The other end is there."""
        super().begin()
        if self._is_broken and self.peer is not None:
            self.peer.cut()
        elif self._is_over:
            self._ended()

    def write(self, data: bytes) -> None:
        """Hand bytes over; wait for `room` before much more."""
        super().write(b"%x\r\n%b\r\n" % (len(data), data))

    @property
    def can_finish(self) -> bool:
        """Whether it can be told that nothing more comes, and go on telling."""
        return not self._is_over

    def finish(self) -> None:
        """Nothing more comes."""
        self.transport.write(b"0\r\n\r\n")

    def _ended(self) -> None:
        if not self.is_ended and not super().eof_received():
            self.transport.close()

    # Of httptools

    def on_body(self, block: bytes) -> None:
        """Of httptools."""
        self._body.append(block)

    def on_message_complete(self) -> None:
        """Of httptools."""
        self._is_over = self._parser.get_status_code() >= 200


__all__ = ["End", "Led", "Posted"]
