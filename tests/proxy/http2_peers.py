"""A server and a client of HTTP/2 on loopback (h2 reads and writes the frames) that do what a test tells them to, frame by
frame: with none of the proxy's own code."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

Lines = list[tuple[str, str]]
CODES = h2.errors.ErrorCodes
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Stream:
    """One request as a peer knows it. headers: of the other side's head; trailers; body: so far. taken: bytes are given
    back to the other side's window as they come."""

    def __init__(self, peer: Peer, number: int) -> None:
        self.peer, self.number = peer, number
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.body = b""
        self.interim: list[str] = []
        self.begun, self.ended, self.changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.reset: int | None = None
        self.takes = True
        self._owed = 0

    def head(self, lines: Lines, *, end: bool = False) -> None:
        self.peer.link.send_headers(self.number, lines, end_stream=end)
        self.peer.out()

    def answer(self, status: int = 200, body: bytes = b"", *headers: tuple[str, str]) -> None:
        self.head([(":status", str(status)), *headers], end=not body)
        if body:
            self.peer.link.send_data(self.number, body, end_stream=True)
            self.peer.out()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """No faster than the other side takes it."""
        link = self.peer.link
        while data:
            size = min(link.local_flow_control_window(self.number), link.max_outbound_frame_size, len(data))
            if not size:
                self.peer.window.clear()
                await self.peer.window.wait()
                continue
            link.send_data(self.number, data[:size], end_stream=end and size == len(data))
            data = data[size:]
            self.peer.out()
            await self.peer.writer.drain()

    def end(self, *trailers: tuple[str, str]) -> None:
        if trailers:
            self.peer.link.send_headers(self.number, list(trailers), end_stream=True)
        else:
            self.peer.link.end_stream(self.number)
        self.peer.out()

    def cancel(self, code: int) -> None:
        self.peer.link.reset_stream(self.number, code)
        self.peer.out()

    def take(self) -> None:
        """Give back what was held, and all that comes."""
        self.takes = True
        if self._owed:
            self.peer.link.acknowledge_received_data(self._owed, self.number)
            self._owed = 0
            self.peer.out()

    def got(self, data: bytes, size: int) -> None:
        self.body += data
        self._owed += size
        if self.takes:
            self.take()

    async def done(self) -> Stream:
        async with asyncio.timeout(30):
            await self.ended.wait()
        return self

    async def head_came(self) -> Stream:
        async with asyncio.timeout(30):
            await self.begun.wait()
        return self


class Peer:
    """One connection. settings: the other side's are known. gone: (last stream, code) of a GOAWAY that came."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool, settings: dict[Any, int]
    ) -> None:
        self.reader, self.writer = reader, writer
        config = h2.config.H2Configuration(client_side=client, header_encoding="utf-8", validate_outbound_headers=False)
        self.link = h2.connection.H2Connection(config)
        self.link.local_settings = h2.settings.Settings(client=client, initial_values=settings)
        self.streams: dict[int, Stream] = {}
        self.window = asyncio.Event()
        self.settled = asyncio.Event()
        self.gone: tuple[int, int] | None = None
        self.is_closed = False
        self.pings = 0
        self.answers_pings = True
        self.new: Callable[[Stream], None] = lambda _: None
        self.link.initiate_connection()
        # One stream that is not read holds up no other.
        self.link.increment_flow_control_window(1 << 24)
        self.out()

    def out(self) -> None:
        data = self.link.data_to_send()
        if data and not self.writer.is_closing():
            self.writer.write(data)

    def open(self, *lines: tuple[str, str], end: bool = True) -> Stream:
        """Another request."""
        stream = self._stream(self.link.get_next_available_stream_id())
        stream.head(list(lines), end=end)
        return stream

    def get(
        self, authority: str, path: str = "/", *lines: tuple[str, str], method: str = "GET", end: bool = True
    ) -> Stream:
        pseudo = ((":method", method), (":scheme", "http"), (":authority", authority), (":path", path))
        return self.open(*pseudo, *lines, end=end)

    async def run(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, h2.exceptions.ProtocolError):
            if not self.link.config.client_side:
                self.link.receive_data(await self.reader.readexactly(24))
            while True:
                head = await self.reader.readexactly(9)
                frame = head + await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                if frame[3] == 7:
                    # After a GOAWAY h2 would fall silent, though streams go on.
                    self.gone = (int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big"))
                    continue
                for event in self.link.receive_data(frame):
                    self._on(event)
                self.out()
        self.is_closed = True
        for stream in self.streams.values():
            stream.ended.set()
            stream.begun.set()
            stream.changed.set()

    def _stream(self, number: int) -> Stream:
        made = self.streams[number] = Stream(self, number)
        return made

    def _on(self, event: h2.events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.RequestReceived):
            stream = self._stream(event.stream_id)
            stream.headers = dict(event.headers)  # type: ignore[arg-type]
            stream.begun.set()
            self.new(stream)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self.window.set()
            self.settled.set()
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)  # type: ignore[arg-type]
            stream.begun.set()
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(dict(event.headers)[":status"])  # type: ignore[index,arg-type]
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)  # type: ignore[arg-type]
        elif isinstance(event, h2.events.DataReceived):
            stream.got(event.data or b"", event.flow_controlled_length or 0)
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code)
            stream.begun.set()
            stream.ended.set()
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended.set()
        if stream is not None:
            stream.changed.set()


class Http2Server:
    """handle: a coroutine for each request. requests: what came. peers: its connections, from the first."""

    def __init__(self, handle: Callable[[Stream], Awaitable[None]], settings: dict[Any, int]) -> None:
        self._handle, self._settings = handle, settings
        self.peers: list[Peer] = []
        self.requests: list[Stream] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, client=False, settings=self._settings)
        peer.new = self._new
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        await peer.run()
        self._tasks.discard(task)
        writer.transport.abort()

    def _new(self, stream: Stream) -> None:
        self.requests.append(stream)
        task = asyncio.get_running_loop().create_task(self._answer(stream))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, stream: Stream) -> None:
        with suppress(h2.exceptions.ProtocolError, ConnectionError):
            await self._handle(stream)

    async def close(self) -> None:
        for peer in self.peers:
            peer.writer.transport.abort()
        for answering in self._answering:
            answering.cancel()
        await asyncio.gather(*self._tasks, *self._answering, return_exceptions=True)


async def echo(stream: Stream) -> None:
    """Say what came, once it is here."""
    await stream.done()
    stream.answer(200, stream.body or b"ok", ("x-path", stream.headers[":path"]))


# How an endpoint ends a stream before its time.


async def refused(stream: Stream) -> None:
    stream.cancel(CODES.REFUSED_STREAM)


async def reset(stream: Stream) -> None:
    stream.cancel(CODES.INTERNAL_ERROR)


async def gone(stream: Stream) -> None:
    """GOAWAY, with the stream beyond its last one."""
    stream.peer.link.close_connection(0, last_stream_id=stream.number - 2 if stream.number > 1 else 0)
    stream.peer.out()


async def closed(stream: Stream) -> None:
    stream.peer.writer.transport.abort()


async def garbage(stream: Stream) -> None:
    stream.peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@asynccontextmanager
async def http2_server(
    handle: Callable[[Stream], Awaitable[None]] = echo,
    *,
    context: ssl.SSLContext | None = None,
    settings: Iterable[tuple[Any, int]] = (),
) -> AsyncIterator[Http2Server]:
    made = Http2Server(handle, dict(settings))
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        await made.close()


@asynccontextmanager
async def http2_client(
    port: int, *, through: str = "", settings: Iterable[tuple[Any, int]] = ()
) -> AsyncIterator[Peer]:
    """A connection to a proxy that speaks HTTP/2 from its first byte. through: in a CONNECT to this host and port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if through:
        writer.write(f"CONNECT {through} HTTP/1.1\r\nHost: {through}\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    peer = Peer(reader, writer, client=True, settings=dict(settings))
    running = asyncio.create_task(peer.run())
    try:
        yield peer
    finally:
        writer.transport.abort()
        await asyncio.wait([running])
