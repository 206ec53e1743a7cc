"""The two sides of one request, whatever protocol each of them speaks: `Answering`, what its client is told, and
`Asking`, what an endpoint is asked. Who carries requests out knows these, and no bytes.

    side       HTTP/1.1                 HTTP/2
    ---------  -----------------------  ---------------------------
    Answering  http1_answer.Answer      http2_downstream.Answer
    Asking     upstream.Upstream        http2_upstream.Stream
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roadstead.clients.bodies import HeaderList
    from roadstead.proxy.flow import Body
    from roadstead.proxy.messages import Lines
    from roadstead.proxy.shared import Shared
    from roadstead.proxy_protocol import Peers

# Framing is ours on each side.
_FRAMING: Final = frozenset(["content-length", "transfer-encoding", "connection", "host"])
_LENGTHS: Final = frozenset(map(len, _FRAMING))
# Envoy's words for how a stream ended that was not finished.
Ending: TypeAlias = Literal["connection_termination", "protocol_error", "remote_reset", "remote_refused_stream_reset"]


class Cut(Exception):
    """An upstream's response breaks off, or is no HTTP. ending: how, in Envoy's words."""

    def __init__(self, text: str, ending: Ending = "connection_termination") -> None:
        super().__init__(text)
        self.ending: Ending = ending


class Head(NamedTuple):
    """Of a response. length: Content-Length; None: chunked, or until the connection or stream ends."""

    status: int
    headers: Lines
    length: int | None


class Asked(NamedTuple):
    """The head of a request as an endpoint gets it, without what frames it. length: of its body; None: not known, or
    there is none. is_streamed: there is one, of a length nobody knows. upgrade: the protocol it asks for, b"" for none.
    closes: the last one on its connection."""

    method: str
    scheme: str
    authority: str
    path: str
    headers: HeaderList
    length: int | None
    is_streamed: bool
    upgrade: bytes = b""
    closes: bool = False


class Client(Protocol):
    """A client's connection. through: host and port of the CONNECT that the requests came in. is_lost: it is gone.
    peers: its two ends, for endpoints that are told of them."""

    shared: Shared
    may_pass: bool
    through: tuple[str, int] | None
    local: str
    remote: str
    remote_ip: str
    is_lost: bool
    peers: Peers | None


class Switchable(Protocol):
    """A client's connection that can be another protocol's, wholly."""

    async def first_raw(self) -> bytes:
        """The first bytes of another protocol, once there are any; they stay."""

    def look_into(self, host: str, port: int) -> None:
        """What comes in a CONNECT is HTTP: it is read like any other."""

    def hand_over(self, protocol: asyncio.Protocol) -> bytes:
        """The connection is somebody else's from now on; what of it was read already."""

    def write(self, data: bytes) -> None:
        """Bytes of it."""


class Answering(Protocol):
    """keep: after the answer another request may come on the connection."""

    keep: bool

    @property
    def client(self) -> Client:
        """Whose request it is."""

    @property
    def whole(self) -> Switchable | None:
        """The connection, where the request has it for itself."""

    @property
    def is_expired(self) -> bool:
        """The request is given up because nothing moved."""

    def proceed(self) -> None:
        """The body is wanted (100 Continue)."""

    def finish(self, status: int, headers: HeaderList, length: int | None, body: bytes, trailers: Lines) -> None:
        """A whole answer. headers: without framing. length: Content-Length; None: what the body has."""

    def begin(self, status: int, headers: HeaderList, length: int | None) -> None:
        """The head of an answer whose body comes by and by."""

    def write(self, block: bytes) -> None:
        """More of the body; wait for `room` before much more."""

    async def room(self) -> None:
        """Returns when there is room. ConnectionResetError where the client is gone."""

    def end(self, trailers: Lines) -> None:
        """The body is over."""

    def cut(self) -> None:
        """What was begun must not look whole."""


class Asking(Protocol):
    """local: our address."""

    local: str

    @property
    def body(self) -> Body:
        """Of the response."""

    def ask(self, asked: Asked, body: bytes | None) -> asyncio.Future[Head]:
        """Send a request; the head of its response, or Cut. body: all of it; None: it comes by and by."""

    def write(self, block: bytes) -> None:
        """More of the body; wait for `room` before much more."""

    async def room(self) -> None:
        """Returns when there is room. ConnectionError where the endpoint is gone."""

    def end(self, trailers: Lines) -> None:
        """The request is over."""

    def done(self, *, is_sent: bool) -> None:
        """The response is over. is_sent: so is the request."""

    def abort(self) -> None:
        """Nobody wants the rest."""


def split(lines: Iterable[tuple[bytes, bytes]]) -> HeaderList:
    """Header lines as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in lines]


def unframed(headers: HeaderList) -> HeaderList:
    """Without what frames a message: each side has framing of its own."""
    return [line for line in headers if len(line[0]) not in _LENGTHS or line[0].lower() not in _FRAMING]
