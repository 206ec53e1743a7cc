"""HTTP/1.1 to an endpoint: requests written, responses out of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from roadstead.errors import MissingExtra
from roadstead.proxy.codec import Asked, Cut, Head
from roadstead.proxy.flow import Body, Flow
from roadstead.proxy.limits import Limits
from roadstead.proxy.messages import Lines, chunk, request_head

try:
    import httptools
except ImportError as error:
    raise MissingExtra("the proxy", "proxy", "httptools") from error


_LAST_CHUNK = b"0\r\n\r\n"


class Upstream(Flow):
    """One connection to one endpoint, used by one request at a time (`codec.Asking`). lost: called once when it is
    gone; over: when a request is."""

    def __init__(self, limits: Limits, lost: Callable[[Upstream], None], over: Callable[[Upstream], None]) -> None:
        super().__init__()
        self._limits = limits
        self._lost = lost
        self._over = over
        self._is_chunked = False
        self._head: asyncio.Future[Head] | None = None
        self._headers: Lines = []
        self._until_end = False
        self._is_complete = True
        # The parser has read a response to its end, and waits for the next one.
        self._is_between = False
        self._bodiless = False
        self.body = Body(self, limits.buffer_bytes)
        # Bytes after a 101, which are another protocol's.
        self.rest = b""
        self.is_raw = False
        self.keep = True
        # No other request comes after this one.
        self.is_last = False
        self.used = 0
        self.since = self._loop.time()
        self.local = ""

    def ask(self, asked: Asked, body: bytes | None) -> asyncio.Future[Head]:
        """Of Asking."""
        lines = [line for line in asked.headers if line[0] != "te"]
        if asked.upgrade:
            lines += [("connection", "upgrade"), ("upgrade", asked.upgrade.decode("latin-1"))]
        elif asked.closes:
            lines.append(("connection", "close"))
        if asked.is_streamed:
            lines.append(("transfer-encoding", "chunked"))
        elif asked.length is not None:
            lines.append(("content-length", str(asked.length)))
        written = request_head(asked.method, asked.path, asked.authority, lines)
        self._is_chunked = asked.is_streamed
        head = self._begin(asked.method)
        if body is not None:
            written += (chunk(body) + _LAST_CHUNK) if asked.is_streamed else body
        super().write(written)
        return head

    def write(self, data: bytes) -> None:
        """Of Asking."""
        super().write(chunk(data) if self._is_chunked else data)

    def end(self, trailers: Lines) -> None:
        """Of Asking; trailers go no further, as with Envoy."""
        if self._is_chunked:
            super().write(_LAST_CHUNK)

    def done(self, *, is_sent: bool) -> None:
        """Of Asking: the connection is the next one's, if it can be."""
        if not is_sent:
            self.keep = False
        self._over(self)

    def _begin(self, method: str) -> asyncio.Future[Head]:
        """A request is about to be written; the head of its response."""
        if not self._is_between:
            self._parser = httptools.HttpResponseParser(self)
        self._is_between = False
        self._head = self._loop.create_future()
        self.body = Body(self, self._limits.buffer_bytes)
        self._bodiless = method == "HEAD"
        self._is_complete = self._until_end = False
        self._size = self._fed = 0
        self.used += 1
        return self._head

    @property
    def is_reusable(self) -> bool:
        """The response is over, and nothing else came."""
        return (
            self._is_complete
            and self.keep
            and not self.is_last
            and not (self.is_lost or self.is_raw or self.transport.is_closing())
        )

    @property
    def is_resting(self) -> bool:
        """Nobody uses it."""
        return self._head is None

    def rest_until_used(self, now: float) -> None:
        """It is idle from now on; bytes that come meanwhile are nobody's."""
        self._head = None
        self.since = now

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self.moved = self._loop.time()
        if self._head is None or self._is_complete:
            # What nobody asked for must not be taken for the next answer.
            self.keep = False
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if self._is_complete:
                self.keep = False
            else:
                cause = error.__context__ if isinstance(error.__context__, Cut) else None
                self._broke(cause or Cut(str(error), "protocol_error"))
                self.transport.abort()
        else:
            if not self._head.done():
                self._fed += len(data)
                if self._fed > self._limits.header_bytes:
                    self._broke(Cut("the head is too large", "protocol_error"))
                    self.transport.abort()

    def eof_received(self) -> None:
        """Of asyncio.Protocol; the connection is closed after it."""
        if self._head is not None and self._head.done() and self._until_end and not self._is_complete:
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        super().connection_lost(exc)
        if not self._is_complete:
            if exc is None and self._head is not None and self._head.done() and self._until_end:
                self._complete()
            else:
                self._broke(Cut(str(exc) if exc is not None else "the upstream closed the connection"))
        self._lost(self)

    def abort(self) -> None:
        """Nobody wants it any more."""
        self.keep = False
        if not self.is_lost:
            self.transport.abort()

    def _broke(self, cut: Cut) -> None:
        self.keep = False
        self._is_complete = True
        if self._head is not None and not self._head.done():
            self._head.set_exception(cut)
            # Who gave up waiting has not to be told.
            self._head.exception()
        self.body.fail(cut)

    def _complete(self) -> None:
        self._is_complete = True
        if self._until_end:
            self.keep = False
        self.body.end()

    # Of httptools

    def on_message_begin(self) -> None:
        """Of httptools."""
        if self._is_complete:
            # A second response to one request.
            self.keep = False
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools."""
        self._size += len(name) + len(value)
        if self._size > self._limits.header_bytes or len(self._headers) >= self._limits.headers:
            raise Cut("the head is too large", "protocol_error")
        if not self._is_complete and self._head is not None and not self._head.done():
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Of httptools."""
        if self._is_complete or self._head is None:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            # Interim: the client got its own 100 from us.
            return
        length, coding = None, b""
        for name, value in self._headers:
            size = len(name)
            if size == 14 and name.lower() == b"content-length":
                length = int(value)
            elif size == 17 and name.lower() == b"transfer-encoding":
                coding += b"," + value.lower() if coding else value.lower()
        if coding and coding != b"chunked":
            raise Cut(f"Transfer-Encoding {coding.decode('latin-1')}", "protocol_error")
        self.keep = self._parser.should_keep_alive()
        self.is_raw = status == 101
        bodiless = self._bodiless or status in (101, 204, 304)
        self._until_end = not bodiless and length is None and not coding
        self._head.set_result(Head(status, self._headers, length))
        if bodiless:
            # llhttp does not know what was asked: after HEAD it would wait for the body that Content-Length tells of.
            self.keep = self.keep or (self._bodiless and not _closes(self._headers))
            self._complete()

    def on_body(self, block: bytes) -> None:
        """Of httptools."""
        if self._is_complete:
            self.keep = False
        else:
            self.body.feed(block)

    def on_message_complete(self) -> None:
        """Of httptools."""
        if not self._is_complete and self._head is not None and self._head.done():
            self._is_between = not self._until_end
            self._complete()


def _closes(headers: Lines) -> bool:
    return any(name.lower() == b"connection" and b"close" in value.lower() for name, value in headers)


__all__ = ["Upstream"]
