"""A call of `grpc.health.v1.Health/Check` on a connection (Envoy: grpc_health_check)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from roadstead.errors import MissingExtra
from roadstead.health.session import Result
from roadstead.health.target import AGENT, Target

try:
    import h2.config
    import h2.connection
    import h2.events
    import h2.exceptions
except ImportError as error:
    raise MissingExtra("gRPC health checks", "health", "h2") from error

_METHOD = "/grpc.health.v1.Health/Check"
_TYPE = b"application/grpc"
_SERVING = 1
_GOAWAY = 7
_HEAD = 9
# Bytes of an answer; a good one has seven.
_MOST = 4096


async def ask(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, secure: bool) -> Result:
    """SERVING is good; any other answer is bad, also that the server does not know the call or the service. A stream
    that is reset, and a connection that ends, are the network's failure."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, _head(target, "https" if secure else "http"))
    connection.send_data(stream, _message(target.check.service), end_stream=True)
    writer.write(connection.data_to_send())
    frames, answer = _Frames(), _Answer()
    while data := await reader.read(65536):
        try:
            events = connection.receive_data(frames.without_farewells(data))
        except h2.exceptions.ProtocolError:
            return "network"
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated):
                return "network"
            if (found := answer.took(event)) is not None:
                return found
        writer.write(connection.data_to_send())
    return "network"


def _head(target: Target, scheme: str) -> Iterator[tuple[str, str]]:
    yield from ((":method", "POST"), (":scheme", scheme), (":path", _METHOD), (":authority", target.authority))
    yield from (("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", AGENT))
    yield "grpc-timeout", f"{round(target.check.timeout * 1000)}m"
    yield from target.check.headers


class _Answer:
    """What came of one call so far."""

    __slots__ = ("_body",)

    def __init__(self) -> None:
        self._body = b""

    def took(self, event: h2.events.Event) -> Result | None:
        """The result, once it is known."""
        if isinstance(event, h2.events.ResponseReceived):
            # A status without a message is an error, whatever it says.
            return "bad" if event.stream_ended or not _is_grpc(dict(event.headers or ())) else None
        if isinstance(event, h2.events.DataReceived):
            self._body += event.data or b""
            return "bad" if event.stream_ended or len(self._body) > _MOST else None
        if isinstance(event, h2.events.TrailersReceived):
            well = dict(event.headers or ()).get(b"grpc-status") == b"0" and _serving(self._body)
            return "passed" if well else "bad"
        return "network" if isinstance(event, h2.events.StreamReset) else None


def _is_grpc(headers: Mapping[bytes, bytes]) -> bool:
    kind = headers.get(b"content-type", b"")
    return headers.get(b":status") == b"200" and (kind == _TYPE or kind.startswith(_TYPE + b"+"))


class _Frames:
    """The frames of a connection without those that say goodbye to calls that are still to come: h2 would take no more
    of the one that is under way."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = b""

    def without_farewells(self, data: bytes) -> bytes:
        """All whole frames by now but such."""
        self._kept += data
        passed = bytearray()
        while len(self._kept) >= _HEAD:
            end = _HEAD + int.from_bytes(self._kept[:3])
            if len(self._kept) < end:
                # A frame that is too long is h2's to refuse.
                if end - _HEAD > 1 << 14:
                    passed += self._kept
                    self._kept = b""
                break
            frame, self._kept = self._kept[:end], self._kept[end:]
            if not _is_farewell(frame):
                passed += frame
        return bytes(passed)


def _is_farewell(frame: bytes) -> bool:
    """GOAWAY without an error, that does not take the one call back."""
    last, code = frame[_HEAD : _HEAD + 4], frame[_HEAD + 4 : _HEAD + 8]
    return frame[3] == _GOAWAY and code == bytes(4) and int.from_bytes(last) >= 1


# HealthCheckRequest {string service = 1}, HealthCheckResponse {ServingStatus status = 1}


def _message(service: str) -> bytes:
    name = service.encode()
    body = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(body).to_bytes(4) + body


def _serving(body: bytes) -> bool:
    """Whether a body is one message that says so."""
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5]) != len(body) - 5:
        return False
    try:
        return _status(body[5:]) == _SERVING
    except (ValueError, IndexError):
        return False


def _status(message: bytes) -> int:
    """Field 1, the last one; others are skipped. ValueError, IndexError where this is no message."""
    at = status = 0
    while at < len(message):
        tag, at = _number(message, at)
        if tag & 7 == 0:
            value, at = _number(message, at)
            status = value if tag >> 3 == 1 else status
        elif tag & 7 == 2:
            size, at = _number(message, at)
            at += size
        else:
            at += {1: 8, 5: 4}.get(tag & 7, _MOST)
    if at > len(message):
        raise ValueError("cut off")
    return status


def _number(message: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = place = 0
    while (byte := message[at]) > 127:
        value |= (byte & 127) << place
        place, at = place + 7, at + 1
    return value | byte << place, at + 1


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes((*made, number))


__all__ = ["ask"]
