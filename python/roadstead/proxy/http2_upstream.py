"""HTTP/2 to an endpoint: many requests on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import h2.events
import h2.exceptions

from roadstead.proxy.codec import Asked, Cut, Ending, Head
from roadstead.proxy.http2 import Codes, Connection, Stream, indexed
from roadstead.proxy.messages import encoded, header_size

if TYPE_CHECKING:
    from roadstead.mesh import ConnectionPool
    from roadstead.proxy.limits import Limits
    from roadstead.proxy.messages import Lines

# Until the endpoint says how many streams it takes at once (RFC 9113 recommends no fewer).
_UNTOLD = 100
# Seconds for the answer to a ping where the policy says nothing.
_PING_TIMEOUT = 20.0
_PING = b"roadstea"


class UpstreamStream(Stream):
    """A request to an endpoint (`codec.Asking`)."""

    def __init__(self, connection: Http2Upstream) -> None:
        super().__init__(connection, 0)  # type: ignore[arg-type]
        self._upstream = connection
        self._head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._is_asked = False
        self.local = connection.local

    def ask(self, asked: Asked, body: bytes | None) -> asyncio.Future[Head]:
        """Of Asking."""
        pseudo = [
            (":method", asked.method),
            (":scheme", asked.scheme),
            (":authority", asked.authority),
            (":path", asked.path),
        ]
        lines = encoded([*pseudo, *asked.headers])
        if asked.length is not None:
            lines.append((b"content-length", b"%d" % asked.length))
        is_empty = not asked.is_streamed and not asked.length
        if not self._upstream.begin(self, lines, ends=is_empty):
            # It went away between the choice and now: nothing of the request was seen.
            self.broke(
                Cut("the upstream closed the connection")
                if self._upstream.is_dead
                else Cut("the endpoint takes no more requests on this connection", "remote_refused_stream_reset")
            )
            return self._head
        if is_empty:
            self.finished()
        elif body is not None:
            self.last(body, [])
        return self._head

    def answered(self, lines: Lines) -> None:
        """The head of the response is here."""
        status, length, headers = 0, None, []
        limits = self._upstream.limits
        if header_size(lines) > limits.header_bytes or len(lines) > limits.headers:
            self.broke(Cut("the head is too large", "protocol_error"))
            self.reset(Codes.ENHANCE_YOUR_CALM)
            return
        for name, value in lines:
            if name == b":status":
                status = int(value)
            elif not name.startswith(b":"):
                headers.append((name, value))
                if name == b"content-length":
                    length = int(value)
        if not self._head.done():
            self._head.set_result(Head(status, headers, length))

    def broke(self, cut: Cut) -> None:
        """The response does not come, or not wholly."""
        if not self._head.done():
            self._head.set_exception(cut)
            # Who gave up waiting has not to be told.
            self._head.exception()
        self.body.fail(cut)

    def done(self, *, is_sent: bool) -> None:
        """Of Asking."""
        self.reset(Codes.CANCEL)
        self._upstream.freed(self)

    def abort(self) -> None:
        """Of Asking."""
        if self._is_asked:
            self.reset(Codes.CANCEL)
        self._upstream.freed(self)

    def asked_as(self, number: int) -> None:
        """It has a number from now on."""
        self.number = number
        self._is_asked = True


class Http2Upstream(Connection[UpstreamStream]):
    """lost: called once when it is gone; freed: when a request is over. ready: the
    connection has come about, or an error."""

    def __init__(
        self, limits: Limits, policy: ConnectionPool, lost: Callable[[Http2Upstream], None], freed: Callable[[], None]
    ) -> None:
        super().__init__(limits, client=True)
        self.limits = limits
        self.policy = policy
        self._policy = policy.http
        self._lost = lost
        self._freed = freed
        self._pinging: asyncio.TimerHandle | None = None
        self._ended = False
        # The endpoint takes no more requests here, not even of those that have a place.
        self._has_gone = False
        self._is_told = False
        self._places: set[UpstreamStream] = set()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.used = 0
        self.since = self.now()
        self.local = ""

    # Places

    @property
    def has_room(self) -> bool:
        """One more request may be sent here."""
        if self.is_going or self.is_dead or (self.ready.done() and self.transport.is_closing()):
            return False
        most = self._policy.max_requests_per_connection
        if most and self.used >= most:
            return False
        return len(self._places) < self._most_streams()

    @property
    def is_idle(self) -> bool:
        """Nobody uses it."""
        return not self._places

    async def place(self) -> UpstreamStream:
        """A place for a request, once the connection is there: OSError or ssl.SSLError where it does not come about."""
        made = UpstreamStream(self)
        self._places.add(made)
        self.used += 1
        try:
            if not self.ready.done():
                await asyncio.shield(self.ready)
            else:
                self.ready.result()
        except BaseException:
            self._places.discard(made)
            raise
        made.local = self.local
        return made

    def freed(self, stream: UpstreamStream) -> None:
        """A request is over."""
        if stream not in self._places:
            return
        self._places.discard(stream)
        self.since = self.now()
        most = self._policy.max_requests_per_connection
        if not self._places and (self.is_going or (most and self.used >= most)):
            self.close()
        self._freed()

    def begin(self, stream: UpstreamStream, lines: Lines, *, ends: bool) -> bool:
        """Send the head of a request; whether the connection could take it."""
        if self._has_gone or self.is_dead:
            return False
        try:
            number = self._link.get_next_available_stream_id()
            self._link.send_headers(number, indexed(lines), end_stream=ends)
        except h2.exceptions.NoAvailableStreamIDError:
            # All numbers are used up, after a thousand million requests.
            self.is_going = self._has_gone = True
            return False
        except h2.exceptions.TooManyStreamsError:
            return False
        stream.asked_as(number)
        self.add(stream)
        self.out()
        return True

    def drain(self) -> None:
        """No new places; closed when the last request that has one is over."""
        self.is_going = True
        if not self._places and self.ready.done():
            self.close()

    def abort(self) -> None:
        """Cut it off."""
        if self.ready.done() and not self.is_lost and not self.ready.exception():
            self.transport.abort()

    def _most_streams(self) -> int:
        own = self._policy.max_concurrent_streams
        told = self._link.remote_settings.max_concurrent_streams if self._is_told else _UNTOLD
        return told if own is None else min(own, told)

    # What happens

    def began(self) -> None:
        """Of Connection."""
        interval, _ = self._policy.http2_keepalive or (None, None)
        if interval:
            self._pinging = self._loop.call_later(interval, self._ping, interval)

    def on(self, event: h2.events.Event) -> None:
        """Of Connection."""
        if isinstance(event, h2.events.ResponseReceived):
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                stream.answered(list(event.headers))
        elif isinstance(event, h2.events.PingAckReceived):
            if self._pinging is not None:
                self._pinging.cancel()
                interval, _ = self._policy.http2_keepalive or (None, None)
                self._pinging = self._loop.call_later(interval or _PING_TIMEOUT, self._ping, interval or _PING_TIMEOUT)
        else:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self._is_told = True
                self._freed()
            super().on(event)

    def was_reset(self, stream: UpstreamStream, code: int) -> None:
        """Of Connection."""
        if code == Codes.NO_ERROR and stream.is_heard:
            # It answered, and does not want the rest of the request (RFC 9113, 8.1).
            stream.closed()
            return
        ending: Ending = "remote_refused_stream_reset" if code == Codes.REFUSED_STREAM else "remote_reset"
        stream.broke(Cut(f"the endpoint reset the stream ({_name(code)})", ending))
        stream.closed()

    def went(self, last: int, code: int) -> None:
        """Of Connection: what it did not look at may be sent elsewhere."""
        self._has_gone = True
        for stream in [one for one in self.streams.values() if one.number > last]:
            stream.broke(Cut(f"the endpoint went away ({_name(code)})", "remote_refused_stream_reset"))
            stream.closed()
        if not self._places:
            self.close()
        self._freed()

    def failed(self, text: str) -> None:
        """Of Connection."""
        self._break(Cut(text, "protocol_error"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        super().connection_lost(exc)
        if self._pinging is not None:
            self._pinging.cancel()
        self._break(Cut(str(exc) if exc is not None else "the upstream closed the connection"))
        if not self._ended:
            self._ended = True
            self._lost(self)

    def _break(self, cut: Cut) -> None:
        for stream in list(self.streams.values()):
            stream.broke(cut)
            stream.closed()

    def _ping(self, interval: float) -> None:
        """Ask whether the endpoint is still there; without an answer the connection is cut."""
        if self.is_dead:
            return
        _, timeout = self._policy.http2_keepalive or (None, None)
        with suppress(h2.exceptions.ProtocolError):
            self._link.ping(_PING)
        self.out()
        self._pinging = self._loop.call_later(timeout or _PING_TIMEOUT, self.transport.abort)


def _name(code: int) -> str:
    try:
        return Codes(code).name
    except ValueError:
        return str(code)


__all__ = ["Http2Upstream", "UpstreamStream"]
