"""A server of grpc.health.v1.Health/Check on loopback that behaves as a test tells it to, from call to call."""

from __future__ import annotations

import asyncio
from typing import Literal

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import GoAwayFrame

Behaviour = Literal[
    "serving",
    "not_serving",
    "nothing",
    "late_fields",
    "two_messages",
    "not_found",
    "unimplemented",
    "no_status",
    "early_status",
    "endless",
    "other_type",
    "http_404",
    "silent",
    "reset",
    "cut",
    "farewell",
    "goaway",
    "garbage",
]
_OK = [(":status", "200"), ("content-type", "application/grpc")]
_SERVING, _NOT_SERVING = b"\0\0\0\0\x02\x08\x01", b"\0\0\0\0\x02\x08\x02"
# The status after a field that nobody knows, of each shape.
_LATE = b"\x7a\x01x" + b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x78\xff\x01" + b"\x08\x01"
_BODIES = {
    "serving": _SERVING,
    "not_serving": _NOT_SERVING,
    "nothing": b"",
    "late_fields": b"\0" + len(_LATE).to_bytes(4) + _LATE,
    "two_messages": _SERVING + _SERVING,
    "no_status": _SERVING,
    "early_status": _SERVING,
    "endless": b"\0\0\1\0\0" + bytes(8192),
    "farewell": _SERVING,
}


class GrpcServer:
    """calls: (headers, body) of each."""

    def __init__(self, behaviour: Behaviour = "serving") -> None:
        self.behaviour: Behaviour = behaviour
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> GrpcServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        heads: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        try:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        heads[event.stream_id] = dict(event.headers)  # type: ignore[arg-type]
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] = bodies.get(event.stream_id, b"") + (event.data or b"")
                        connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        self.calls.append((heads[event.stream_id], bodies.get(event.stream_id, b"")))
                        self._answer(connection, event.stream_id, writer)
                writer.write(connection.data_to_send())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, connection: h2.connection.H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
        told = self.behaviour
        if told == "silent":
            return
        if told == "reset":
            connection.reset_stream(stream)
        elif told == "cut":
            writer.transport.abort()
        elif told == "garbage":
            writer.write(b"\0\0\x04\1\4\0\0\0\1garb")
        elif told == "goaway":
            connection.close_connection(error_code=2)
        elif told in ("not_found", "unimplemented"):
            status = "5" if told == "not_found" else "12"
            connection.send_headers(stream, [*_OK, ("grpc-status", status)], end_stream=True)
        elif told == "other_type":
            connection.send_headers(stream, [(":status", "200"), ("content-type", "text/html")])
            connection.send_data(stream, b"hello", end_stream=True)
        elif told == "http_404":
            connection.send_headers(stream, [(":status", "404")], end_stream=True)
        else:
            if told == "farewell":
                goodbye = GoAwayFrame(0)
                goodbye.last_stream_id, goodbye.error_code = stream, 0
                writer.write(connection.data_to_send() + goodbye.serialize())
            unended = told in ("no_status", "early_status")
            connection.send_headers(stream, [*_OK, *([("grpc-status", "0")] if told == "early_status" else [])])
            connection.send_data(stream, _BODIES[told], end_stream=unended)
            if not unended:
                connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
