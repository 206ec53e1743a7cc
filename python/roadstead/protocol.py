"""Protocol words of ServiceEntry, Gateway and Sidecar ports.

| written (any case) | text | is_http | is_http2 | is_tls | is_tcp | is_udp |
|---|---|---|---|---|---|---|
| HTTP, HTTP_PROXY | HTTP, HTTP_PROXY | yes | | | | |
| HTTP2, GRPC, GRPC-Web | HTTP2, GRPC, GRPC-Web | yes | yes | | | |
| HTTPS, TLS | HTTPS, TLS | | | yes | yes | |
| TCP, Mongo, Redis, MySQL | TCP, MONGO, REDIS, MYSQL | | | | yes | |
| UDP | UDP | | | | | yes |
| anything else, "" | "" (sniffed; Istio: Unsupported) | | | | | |

HTTPS is opaque TLS, not HTTP. The bytes of Mongo and MySQL only their own filter understands: they share a listener
with nothing else. UDP has no clusters, listeners or look-ups.
"""

from __future__ import annotations

from typing import Final

_HTTP = ("HTTP", "HTTP_PROXY")
_HTTP2 = ("HTTP2", "GRPC", "GRPC-Web")
_TLS = ("HTTPS", "TLS")
_TCP = ("TCP", "MONGO", "REDIS", "MYSQL")
_UDP = ("UDP",)
_ALONE = ("MONGO", "MYSQL")


class Protocol(str):
    """A protocol word in its one spelling; `Protocol("grpc") == "GRPC"`, `Protocol("quic") == ""`. Equal words are one
    object."""

    __slots__ = ("is_http", "is_http2", "is_tcp", "is_tls", "is_udp")
    is_http: bool
    is_http2: bool
    is_tls: bool
    is_tcp: bool
    is_udp: bool

    def __new__(cls, text: str) -> Protocol:
        return _KNOWN.get(text) or _KNOWN.get(text.upper(), UNSUPPORTED)

    def shares_with(self, other: str) -> bool:
        """Whether both may be spoken on one address and port."""
        return self == other or not (self in _ALONE or other in _ALONE)

    @property
    def is_sniffed(self) -> bool:
        """No usable protocol was declared: the proxy finds out by looking."""
        return not self


def _make(word: str) -> Protocol:
    made = str.__new__(Protocol, word)
    made.is_http = word in _HTTP or word in _HTTP2
    made.is_http2 = word in _HTTP2
    made.is_tls = word in _TLS
    made.is_tcp = word in _TLS or word in _TCP
    made.is_udp = word in _UDP
    return made


UNSUPPORTED: Final = _make("")
_KNOWN: Final[dict[str, Protocol]] = {}
for _word in _HTTP + _HTTP2 + _TLS + _TCP + _UDP:
    _KNOWN[_word] = _KNOWN[_word.upper()] = _make(_word)

WORDS: Final = _HTTP + _HTTP2 + _TLS + _TCP + _UDP
"""What may be written, in one spelling."""

__all__ = ["UNSUPPORTED", "WORDS", "Protocol"]
