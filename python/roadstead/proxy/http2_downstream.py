"""A client's connection of HTTP/2: many requests at once, each carried out by itself.

No TLS is ended here: a client knows beforehand that the proxy speaks HTTP/2 (prior knowledge), on the listener or
inside a CONNECT, as gRPC does it with `http_proxy`.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import h2.events
import h2.exceptions
import h2.settings

from roadstead.proxy.carrying import Carrier
from roadstead.proxy.http2 import PREFACE, Codes, Connection, Flooded, Stream, indexed
from roadstead.proxy.messages import Refusal, Request, encoded, header_size
from roadstead.proxy.reader import body_too_large, head_too_large, too_many_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from roadstead.clients.bodies import HeaderList
    from roadstead.proxy.messages import Lines
    from roadstead.proxy.shared import Shared
    from roadstead.proxy_protocol import Peers

# What was put together of :scheme, :authority and :path; none of them reaches into the next.
_URL = re.compile(rb"https?://[^/\x00-\x20\x7f]+/[^\x00-\x20\x7f]*")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUTSIDE = re.compile(rb"[/?#@]")
_NO_ANSWER: Lines = [(b":status", b"100")]
# Envoy's premature resets: a stream the client gives up within so many seconds of its life, and unanswered.
_PREMATURE = 1.0


class ClientStream(Stream):
    """One request, and what its client is told (`codec.Answering`)."""

    whole = None

    def __init__(self, connection: Http2Downstream, number: int) -> None:
        super().__init__(connection, number)  # type: ignore[arg-type]
        self.client = connection
        self.keep = True
        self.is_expired = False
        self.has_begun = False
        self.began = connection.now()
        self.task: asyncio.Task[None] | None = None

    def proceed(self) -> None:
        """Of Answering."""
        self.client.head(self, _NO_ANSWER, ends=False)

    def finish(self, status: int, headers: HeaderList, length: int | None, body: bytes, trailers: Lines) -> None:
        """Of Answering."""
        is_bare = not body and not trailers
        self._begin(status, headers, length, ends=is_bare)
        if not is_bare:
            self.last(body, trailers)

    def begin(self, status: int, headers: HeaderList, length: int | None) -> None:
        """Of Answering."""
        self._begin(status, headers, length, ends=False)

    def cut(self) -> None:
        """Of Answering."""
        self.reset(Codes.INTERNAL_ERROR)

    def _begin(self, status: int, headers: HeaderList, length: int | None, *, ends: bool) -> None:
        lines = encoded(headers)
        lines.insert(0, (b":status", b"%d" % status))
        if length is not None and status != 204:
            lines.append((b"content-length", b"%d" % length))
        self.has_begun = True
        self.client.head(self, lines, ends=ends)
        if ends:
            self.finished()

    async def serve(self, request: Request, refusal: Refusal | None) -> None:
        """Carry its request out."""
        carrier = Carrier(self, request)
        try:
            await (carrier.run(request) if refusal is None else carrier.refused(refusal))
        except asyncio.CancelledError:
            if not self.is_expired or self.client.is_lost:
                raise
            await carrier.took_too_long()


class Http2Downstream(Connection[ClientStream]):
    """As `Downstream`: may_pass, gone, through, peers."""

    def __init__(
        self,
        shared: Shared,
        *,
        may_pass: bool,
        gone: Callable[[Http2Downstream], None],
        through: tuple[str, int] | None,
        names: tuple[str, str, str],
        peers: Peers | None,
    ) -> None:
        super().__init__(shared.limits, client=False)
        self.shared = shared
        self.may_pass = may_pass
        self.through = through
        self.local, self.remote, self.remote_ip = names
        self.peers = peers
        self._gone = gone
        self._serving: set[ClientStream] = set()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._settled = False
        # Since when there is no request; PINGs are none.
        self._since = self.now()
        self._premature = 0
        self._is_draining = False

    # Of asyncio.Protocol

    def began(self) -> None:
        """Of Connection. The limit of streams is said apart: it holds once the client knows it, and until then a stream
        too many is refused, not an error."""
        if self.through is None:
            self.shared.counts["downstream_cx_http2_total"] += 1
        self._link.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.streams})

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        super().connection_lost(exc)
        for stream in list(self._serving):
            self._give_up(stream)
        self.shared.pools.leave(self.peers)
        self._end_if_over()

    # What happens

    def on(self, event: h2.events.Event) -> None:
        """Of Connection."""
        if isinstance(event, h2.events.RequestReceived):
            self._requested(event.stream_id, list(event.headers), ended=event.stream_ended is not None)
        else:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self._settled = True
            super().on(event)

    def fed(self, stream: ClientStream, block: bytes) -> None:
        """Of Connection."""
        most = self._limits.body_bytes
        if most is not None and stream.body.total + len(block) > most:
            stream.body.fail(body_too_large(most))
            self._link.acknowledge_received_data(len(block), stream.number)
            return
        super().fed(stream, block)

    def was_reset(self, stream: ClientStream, code: int) -> None:
        """Of Connection: the client left. Who opens streams only to give them up floods us (rapid reset)."""
        self.shared.counts["downstream_rq_rx_reset"] += 1
        if not stream.has_begun and self.now() - stream.began < _PREMATURE:
            self._premature += 1
        stream.closed()
        self._give_up(stream)
        if self._premature >= self._limits.premature_resets and self._premature * 2 > self._opened:
            self.shared.counts["downstream_rq_too_many_premature_resets"] += 1
            raise Flooded("streams that are given up at once")

    def went(self, last: int, code: int) -> None:
        """Of Connection: the client opens no more streams."""
        self._close_if_done()

    def failed(self, text: str) -> None:
        """Of Connection."""
        self.shared.counts["downstream_cx_protocol_error"] += 1
        for stream in list(self.streams.values()):
            stream.closed()
        for stream in list(self._serving):
            self._give_up(stream)

    def head(self, stream: ClientStream, lines: Lines, *, ends: bool) -> None:
        """Send a head."""
        if not stream.is_over and not self.is_dead:
            self._link.send_headers(stream.number, indexed(lines), end_stream=ends)
            self.out()

    def served(self, stream: ClientStream) -> None:
        """Its request is over; what is still to be sent is sent."""
        if stream.is_finished:
            # It is answered; the rest of the request is not wanted (RFC 9113, 8.1).
            stream.reset(Codes.NO_ERROR)
        self._serving.discard(stream)
        self._since = self.now()
        self._close_if_done()
        self._end_if_over()

    def reset(self, stream: Stream, code: Codes) -> None:
        """Of Connection."""
        self.shared.counts["downstream_rq_tx_reset"] += 1
        super().reset(stream, code)

    def forget(self, stream: Stream) -> None:
        """Of Connection."""
        super().forget(stream)
        self._close_if_done()

    # Time, and the end: as of Downstream

    def sweep(self, now: float) -> None:
        """End what takes too long."""
        limits = self.shared.limits
        # What has to come first, or a head: begun, and not ended.
        began = self._since if not self._settled else self.head_began
        if began is not None and limits.headers_timeout is not None and now - began > limits.headers_timeout:
            self.shared.counts["downstream_rq_header_timeout"] += 1
            self.abort()
        elif not self.streams and not self._serving:
            if limits.idle_timeout is not None and now - self._since > limits.idle_timeout:
                self._leave()
        elif limits.stream_idle_timeout is not None:
            for stream in list(self._serving | set(self.streams.values())):
                if now - stream.moved > limits.stream_idle_timeout and not stream.is_expired:
                    self._expire(stream)

    def drain(self) -> None:
        """No new requests; closed as soon as nothing is on its way."""
        if not self._is_draining and not self.is_dead:
            self._is_draining = True
            self.shared.counts["downstream_cx_drain_close"] += 1
            # What is on the wire by now is still taken.
            self.goaway(2**31 - 1)
        self._close_if_done()

    def abort(self) -> None:
        """Cut off whatever is on its way."""
        for stream in list(self._serving):
            self._give_up(stream)
        self.transport.abort()

    async def over(self) -> None:
        """Returns when the connection is served to its end."""
        await asyncio.shield(self._over)

    # Inside

    def _requested(self, number: int, lines: Lines, *, ended: bool) -> None:
        stream = ClientStream(self, number)
        self.add(stream)
        if len(self.streams) > self._limits.streams:
            stream.reset(Codes.REFUSED_STREAM)
            return
        request = _request(stream, lines, ended=ended)
        self._serving.add(stream)
        stream.task = self._loop.create_task(stream.serve(request, _refused(request, lines, self.shared)))
        # A task that is cancelled before it began does nothing of its own.
        stream.task.add_done_callback(lambda _: self.served(stream))

    def _give_up(self, stream: ClientStream) -> None:
        stream.body.fail(ConnectionResetError("the client is gone"))
        if stream.task is not None:
            stream.task.cancel()

    def _expire(self, stream: ClientStream) -> None:
        stream.is_expired = True
        self.shared.counts["downstream_rq_idle_timeout"] += 1
        if stream in self._serving and stream.task is not None:
            stream.task.cancel()
        else:
            stream.reset(Codes.CANCEL)

    def _leave(self) -> None:
        """Say that it is over, and close."""
        self.goaway(self._link.highest_inbound_stream_id)
        self.close()

    def _close_if_done(self) -> None:
        if self.is_going and not self.streams and not self._serving and not self.is_dead:
            self._leave()

    def _end_if_over(self) -> None:
        if self.is_lost and not self._serving and not self._over.done():
            self._over.set_result(None)
            self._gone(self)


def _request(stream: ClientStream, lines: Lines, *, ended: bool) -> Request:
    """A request as those of HTTP/1.1 are: its authority is the Host, a URL its target."""
    pseudo = {name: value for name, value in lines if name.startswith(b":")}
    method = pseudo.get(b":method", b"").decode("latin-1")
    authority = pseudo.get(b":authority", b"")
    headers = [line for line in lines if not line[0].startswith(b":")]
    if authority:
        headers = [(b"host", authority), *[line for line in headers if line[0] != b"host"]]
    else:
        authority = next((value for name, value in headers if name == b"host"), b"")
    path = pseudo.get(b":path", b"")
    if method == "CONNECT":
        target = authority
    elif path[:1] == b"/" and not _OUTSIDE.search(authority):
        target = b"%b://%b%b" % (pseudo.get(b":scheme", b"http"), authority, path)
    else:
        target = path if path == b"*" else b""
    request = Request(method, target, "2", headers, stream.body, stream.began, stream.began)
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            request.length = int(value)
    request.is_streamed = not ended and request.length is None
    return request


def _refused(request: Request, lines: Lines, shared: Shared) -> Refusal | None:
    """What is beyond the limits."""
    limits = shared.limits
    if header_size(lines) > limits.header_bytes:
        return head_too_large(limits)
    if len(request.headers) > limits.headers:
        return too_many_headers(limits)
    if limits.body_bytes is not None and (request.length or 0) > limits.body_bytes:
        return body_too_large(limits.body_bytes)
    if not _METHOD.fullmatch(request.method):
        return Refusal(400, "http2.violation.of.messaging.rule", f"{request.method!r} is no method", "DPE")
    if request.method != "CONNECT" and request.raw_target != b"*" and not _URL.fullmatch(request.raw_target):
        return Refusal(400, "http2.violation.of.messaging.rule", "no :authority and :path of a request", "DPE")
    expected = request.value(b"expect")
    if expected is not None and expected.lower() != b"100-continue":
        return Refusal(417, "expectation_failed", f"Expect: {expected.decode('latin-1')}")
    return None


__all__ = ["PREFACE", "ClientStream", "Http2Downstream"]
