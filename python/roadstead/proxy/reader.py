"""Bytes of a client → requests (llhttp through httptools, strict), within limits.

What one reader takes for one request another must not take for two: a head that could be framed in two ways is refused,
and what goes on is always written anew, never passed through.
"""

from __future__ import annotations

from collections.abc import Callable

from roadstead.errors import MissingExtra
from roadstead.proxy.flow import Body, Flow
from roadstead.proxy.limits import Limits
from roadstead.proxy.messages import Lines, Refusal, Request

try:
    import httptools
except ImportError as error:
    raise MissingExtra("the proxy", "proxy", "httptools") from error

_EXPECTED = b"100-continue"


class RequestReader:
    """accept: gets each request when its head is here. head_began: the instant at which an unfinished head began, None
    between messages and in bodies. is_raw: the bytes are another protocol's by now (CONNECT, WebSocket)."""

    def __init__(self, flow: Flow, limits: Limits, accept: Callable[[Request], None], now: Callable[[], float]) -> None:
        self._flow = flow
        self._limits = limits
        self._most, self._most_bytes = limits.headers, limits.header_bytes
        self._accept = accept
        self._now = now
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Refusal | None = None
        self._body: Body | None = None
        self._is_framed_anew = False
        self._fresh()
        self.head_began: float | None = None
        self.is_raw = False

    def feed(self, data: bytes) -> bytes:
        """More was read. What of it belongs to another protocol. Refusal where it is no HTTP that we take; nothing can
        be read after it."""
        if self.is_raw:
            return data
        if self.head_began is None and self._body is None:
            self.head_began = self._now()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            raise self._failed(error) from error
        if self.head_began is not None:
            self._fed += len(data)
            if self._fed > self._limits.header_bytes:
                raise head_too_large(self._limits)
        return b""

    @property
    def is_within(self) -> bool:
        """A message is not read to its end."""
        return self.head_began is not None or self._body is not None

    def again(self) -> None:
        """What comes next is HTTP once more: the upgrade was not taken up, or a CONNECT is looked into."""
        self.is_raw = False
        self._parser = httptools.HttpRequestParser(self)
        self._fresh()

    def _failed(self, error: httptools.HttpParserError) -> Refusal:
        refusal = self._refusal
        if refusal is None:
            text = str(error) or type(error).__name__
            # Envoy: a coding it does not know is 501, all else 400.
            status = 501 if "Transfer-Encoding" in text and "Content-Length" not in text else 400
            refusal = Refusal(status, "http1.codec_error", f"not HTTP/1.1 as it has to be: {text}", "DPE")
        if self._body is not None:
            self._body.fail(refusal)
        return refusal

    def _upgraded(self, rest: bytes) -> bytes:
        self.head_began = None
        if not self._is_framed_anew:
            self.is_raw = True
            return rest
        # An upgrade that we do not know is no upgrade; llhttp left the body, if there is one, to us.
        self._parser = httptools.HttpRequestParser(self)
        framing = [line for line in self._headers if line[0].lower() in (b"content-length", b"transfer-encoding")]
        if not framing:
            self._is_framed_anew = False
            self._fresh()
        else:
            head = b"POST / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % line for line in framing) + b"\r\n"
            self._parser.feed_data(head)
        return self.feed(rest) if rest else b""

    def _fresh(self) -> None:
        self._url = b""
        self._headers: Lines = []
        self._size = 0
        self._fed = 0
        self._count = 0

    # Of httptools

    def on_message_begin(self) -> None:
        """Of httptools."""
        if self._is_framed_anew:
            return
        self._fresh()
        self.head_began = self._now()

    def on_url(self, url: bytes) -> None:
        """Of httptools."""
        if not self._is_framed_anew:
            self._url += url
            self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools; trailers too, which are counted and dropped, as Envoy does."""
        if self._is_framed_anew:
            return
        self._count += 1
        self._size += len(name) + len(value)
        if self._count > self._most or self._size > self._most_bytes:
            too_many = self._count > self._most
            self._refuse((too_many_headers if too_many else head_too_large)(self._limits))
        if self._body is None:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Of httptools."""
        if self._is_framed_anew:
            return
        method, version = self._parser.get_method().decode("ascii"), self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._refuse(Refusal(505, "http1.codec_error", f"HTTP/{version}: 1.0 and 1.1 are known", "DPE"))
        body = Body(self._flow, self._limits.buffer_bytes)
        now = self._now()
        request = Request(method, self._url, version, self._headers, body, self.head_began or now, now)
        self._check(request)
        request.keep = self._parser.should_keep_alive()
        if method != "CONNECT" and self._parser.should_upgrade():
            wanted = (request.value(b"upgrade") or b"").lower()
            if wanted == b"websocket":
                request.upgrade = wanted
            else:
                self._is_framed_anew = True
        self.head_began = None
        self._body = body
        self._accept(request)

    def on_body(self, block: bytes) -> None:
        """Of httptools."""
        assert self._body is not None
        most = self._limits.body_bytes
        if most is not None and self._body.total + len(block) > most:
            self._refuse(body_too_large(most))
        self._body.feed(block)

    def on_message_complete(self) -> None:
        """Of httptools."""
        if self._is_framed_anew and self._parser.should_upgrade():
            if any(line[0].lower() in (b"content-length", b"transfer-encoding") for line in self._headers):
                return
        else:
            self._is_framed_anew = False
        if self._body is not None:
            self._body.end()
            self._body = None

    # What is held against it

    def _check(self, request: Request) -> None:
        """What llhttp lets through and could be read in two ways, or goes beyond the limits."""
        coded = 0
        for name, value in request.headers:
            lower = name.lower()
            if lower == b"content-length":
                request.length = int(value)
            elif lower == b"transfer-encoding":
                coded += 1
            elif lower == b"expect" and value.lower() != _EXPECTED:
                self._refuse(Refusal(417, "expectation_failed", f"Expect: {value.decode('latin-1')}"))
            if lower == b"transfer-encoding" and value.strip().lower() != b"chunked":
                self._refuse(Refusal(501, "http1.codec_error", f"Transfer-Encoding: {value.decode('latin-1')}", "DPE"))
        if coded and (coded > 1 or request.version == "1.0"):
            self._refuse(Refusal(400, "http1.codec_error", "Transfer-Encoding twice, or in HTTP/1.0", "DPE"))
        request.is_streamed = bool(coded)
        most = self._limits.body_bytes
        if most is not None and request.length is not None and request.length > most:
            self._refuse(body_too_large(most))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.header_bytes:
            self._refuse(head_too_large(self._limits))

    def _refuse(self, refusal: Refusal) -> None:
        """Raise through llhttp, which says only that a callback failed."""
        self._refusal = refusal
        raise refusal


def head_too_large(limits: Limits) -> Refusal:
    """Beyond `Limits.header_bytes`."""
    return Refusal(431, "http1.headers_too_large", f"a head of more than {limits.header_bytes} bytes", "DPE")


def too_many_headers(limits: Limits) -> Refusal:
    """Beyond `Limits.headers`."""
    return Refusal(431, "http1.too_many_headers", f"more than {limits.headers} headers", "DPE")


def body_too_large(most: int) -> Refusal:
    """Beyond `Limits.body_bytes`."""
    return Refusal(413, "request_payload_too_large", f"a body of more than {most} bytes")


__all__ = ["RequestReader", "body_too_large", "head_too_large", "too_many_headers"]
