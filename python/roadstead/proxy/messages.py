"""HTTP/1.1 heads between client and upstream: what is a request's target, what goes no further than one connection
(RFC 9110, 7.6.1), and how a head is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from roadstead.clients.bodies import HeaderList
    from roadstead.proxy.flow import Body

Lines = list[tuple[bytes, bytes]]
# Header lines of one connection only; `Connection` names more.
_HOP: Final = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    ]
)
TRAILERS: Final = (b"te", b"trailers")
"""What a client of HTTP/2 may say of trailers, and Envoy passes on."""
# What is not longer is remembered once it was looked at; who sends the rest must not fill the memory with it.
_REMEMBERED: Final = 128
_ENDS: Final = re.compile("[/?]")
# What `Connection` may not take away.
_END_TO_END: Final = frozenset(
    [b"host", b"content-length", b"content-type", b"authorization", b"cookie", b"x-request-id"]
)
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_PORTS: Final = {"http": 80, "https": 443}


class Refusal(Exception):
    """A request that goes nowhere. status, flags, details: as Envoy says it; text: for people, in the body."""

    def __init__(self, status: int, details: str, text: str, flags: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.details = details
        self.text = text
        self.flags = flags


class Target(NamedTuple):
    """Where a request wants to go. authority: as in a Host header; path: with its query."""

    scheme: str
    authority: str
    host: str
    port: int
    path: str


class Request:
    """A head that came, and its body on the way. version: 1.0, 1.1 or 2. headers: as they came. keep: the connection
    lives on after it. upgrade: it asks for another protocol. length: of its body; None: not told. is_streamed: there is
    one all the same. began: the loop's time of its first byte."""

    __slots__ = (
        *("began", "body", "headers", "is_streamed", "keep", "length", "method", "raw_target", "started", "upgrade"),
        "version",
    )

    def __init__(
        self, method: str, raw_target: bytes, version: str, headers: Lines, body: Body, began: float, started: float
    ) -> None:
        self.method = method
        self.raw_target = raw_target
        self.version = version
        self.headers = headers
        self.body = body
        self.keep = True
        self.upgrade = b""
        self.length: int | None = None
        self.is_streamed = False
        self.began = began
        self.started = started

    def value(self, name: bytes) -> bytes | None:
        """The first value of a header; name in lower case."""
        length = len(name)
        for known, value in self.headers:
            if len(known) == length and known.lower() == name:
                return value
        return None

    def text(self, name: bytes) -> str | None:
        """The same as text."""
        value = self.value(name)
        return None if value is None else value.decode("latin-1")


def target_of(request: Request, through: tuple[str, int] | None) -> Target:
    """Where a request wants to go. through: the host and port that a CONNECT before it named; the target is then a path
    alone. Refusal where that cannot be told."""
    hosts = [value for name, value in request.headers if len(name) == 4 and name.lower() == b"host"]
    if len(hosts) > 1:
        raise Refusal(400, "http1.codec_error", "two Host headers", "DPE")
    raw = request.raw_target.decode("latin-1")
    if "#" in raw:
        raise Refusal(400, "path_normalization_failed", "a fragment (#) in the request target")
    if request.method == "CONNECT":
        host, port = split_authority(raw, None)
        return Target("", raw, host, port, "")
    if "://" in raw and not raw.startswith("/"):
        scheme, _, rest = raw.partition("://")
        scheme = scheme.lower()
        if scheme not in _PORTS:
            raise Refusal(400, "unsupported_scheme", f"scheme {scheme!r}: http and https are known")
        authority, slash, path = _cut(rest)
        path = slash + path if slash != "?" else "/?" + path
    elif raw.startswith("/") or raw == "*":
        if not hosts:
            raise Refusal(400, "missing_host_header", "no Host header")
        scheme, authority, path = "http", hosts[0].decode("latin-1"), raw
    else:
        raise Refusal(400, "http1.codec_error", f"request target {raw!r}: a URL or a path is wanted", "DPE")
    if request.version == "1.1" and not hosts:
        raise Refusal(400, "missing_host_header", "no Host header")
    default = _PORTS[scheme] if through is None else through[1]
    host, port = split_authority(authority, default)
    return Target(scheme, authority, host, port, path or "/")


def _cut(rest: str) -> tuple[str, str, str]:
    """Authority, what ends it, and what follows."""
    found = _ENDS.search(rest)
    return (rest, "", "") if found is None else (rest[: found.start()], found[0], rest[found.end() :])


def split_authority(text: str, default: int | None) -> tuple[str, int]:
    """Host and port. default: where there is no port; None: there has to be one. Refusal for what is neither."""
    return _known_authority(text, default) if len(text) <= _REMEMBERED else _authority(text, default)


def _authority(text: str, default: int | None) -> tuple[str, int]:
    if "@" in text:
        raise Refusal(400, "http1.codec_error", "user information in the request target", "DPE")
    host, colon, number = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        host, number = text, ""
        colon = ""
    if colon and not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise Refusal(400, "http1.codec_error", f"authority {text!r}: {number!r} is no port", "DPE")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or not _is_name(bare) or (":" in bare and bare is host):
        raise Refusal(400, "http1.codec_error", f"authority {text!r}: no host", "DPE")
    if not colon:
        if default is None:
            raise Refusal(400, "http1.codec_error", f"authority {text!r}: a port is wanted, as in {bare}:443", "DPE")
        return bare, default
    return bare, int(number)


_known_authority = lru_cache(2048)(_authority)


def _is_name(host: str) -> bool:
    return all(letter.isalnum() or letter in "-._:%~*" for letter in host) and host.isascii()


def end_to_end(headers: Lines) -> HeaderList:
    """As text, without what belongs to the connection, and without what frames the body (Content-Length stays)."""
    kept, named = [], b""
    for name, value in headers:
        is_end_to_end, text = _known(name) if len(name) <= _REMEMBERED else _looked_at(name)
        if is_end_to_end:
            kept.append((text, value.decode("latin-1")))
        elif text == "connection":
            named = named + b"," + value if named else value
    also = _also(named.lower()) if named and named != b"keep-alive" else ()
    return [line for line in kept if line[0].lower() not in also] if also else kept


def _looked_at(name: bytes) -> tuple[bool, str]:
    """Whether a header goes on, and its name as text (in lower case, where it does not)."""
    lower = name.lower()
    return (False, lower.decode("latin-1")) if lower in _HOP else (True, name.decode("latin-1"))


_known = lru_cache(2048)(_looked_at)


def _also(named: bytes) -> frozenset[str]:
    """What a `Connection` (lower case) takes away beside what never goes on."""
    words = {word.strip() for word in named.split(b",")} - _END_TO_END - _HOP
    return frozenset(word.decode("latin-1") for word in words)


def connection_words(headers: Lines) -> set[bytes]:
    """What `Connection` names, in lower case."""
    named = b",".join([value for name, value in headers if name.lower() == b"connection"]).lower()
    return {word.strip() for word in named.split(b",")}


def encoded(headers: Iterable[tuple[str, str]]) -> Lines:
    """Header lines as HTTP/2 sends them. Refusal where one of them would be two."""
    made = [(_encoded(name.lower()), _encoded(value)) for name, value in headers]
    text = b"".join([name + value for name, value in made])
    if b"\n" in text or b"\r" in text or b"\0" in text:
        raise _unsendable()
    return made


def chunk(block: bytes) -> bytes:
    """A block of a body whose length nobody knows; b"" is none."""
    return b"%x\r\n%b\r\n" % (len(block), block) if block else b""


def header_size(lines: Lines) -> int:
    """Bytes of a head."""
    return sum(len(name) + len(value) for name, value in lines)


def request_head(method: str, path: str, authority: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request as it is sent. Refusal where a line of it would be two."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return _joined(lines)


def response_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A response as it is sent."""
    reason = _REASONS.get(status, b"Unknown").decode()
    return _joined([f"HTTP/1.1 {status} {reason}", *[f"{name}: {value}" for name, value in headers]])


def _joined(lines: list[str]) -> bytes:
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text or lines[0].count(" ") < 2:
        raise _unsendable()
    try:
        return f"{text}\r\n\r\n".encode("latin-1")
    except UnicodeEncodeError:
        # What came over the wire is Latin-1 to us; what the configuration sets may be any text.
        return b"\r\n".join([_encoded(line) for line in lines]) + b"\r\n\r\n"


def _unsendable() -> Refusal:
    return Refusal(502, "unsendable_head", "what the configuration sets in the head holds a line break")


def _encoded(line: str) -> bytes:
    try:
        return line.encode("latin-1")
    except UnicodeEncodeError:
        return line.encode()


__all__ = [
    "TRAILERS",
    "Lines",
    "Refusal",
    "Request",
    "Target",
    "chunk",
    "connection_words",
    "encoded",
    "end_to_end",
    "header_size",
    "request_head",
    "response_head",
    "split_authority",
    "target_of",
]
