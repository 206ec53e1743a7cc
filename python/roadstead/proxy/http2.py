"""HTTP/2 on one connection (the h2 library), from either side: frames in and out, each stream at its own pace.

What a stream sends waits in it until the peer's windows and the socket have room; what it receives is given back to the
peer's window when somebody took it, so that one slow stream holds up nobody else. Whatever costs us more than it costs
the peer is counted, and ends the connection (`Limits`: floods).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from roadstead.errors import MissingExtra
from roadstead.proxy.flow import Body, Flow
from roadstead.proxy.limits import Limits
from roadstead.proxy.messages import header_size

try:
    import h2.config
    import h2.connection
    import h2.errors
    import h2.events
    import h2.exceptions
    import h2.settings
    import hpack
    import hyperframe.exceptions
    import hyperframe.frame
except ImportError as error:
    raise MissingExtra("the proxy", "proxy", "h2") from error

if TYPE_CHECKING:
    from roadstead.proxy.messages import Lines

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Codes = h2.errors.ErrorCodes
_Setting = h2.settings.SettingCodes
_HEAD = 9
_DATA, _HEADERS, _PRIORITY, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 2, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
# The window of a connection: streams have their own, which bound what is on the way.
_CONNECTION_WINDOW = 2**31 - 1
_INITIAL_WINDOW = 65535
# What Envoy lets a peer send of frames that carry nothing (http2_protocol_options).
_PRIORITIES_A_STREAM = 100
_UPDATES, _UPDATES_A_STREAM, _UPDATES_A_BLOCK = 5, 2, 10
_EMPTY_BLOCKS = 1
# Ours, where Envoy counts only what waits to be sent: SETTINGS that come, and answers to PING and SETTINGS that wait.
_SETTINGS_FRAMES = 100
_WAITING_ANSWERS = 1000
# Bytes that are not kept back for more.
_AT_ONCE = 64 * 1024
# Seconds in which a peer may read why the connection ends.
_LINGER = 1.0


# Of each message another value: in the table of those that come again they would only push out others.
_FLEETING: Final = frozenset(
    [
        *(b"x-request-id", b"traceparent", b"x-b3-spanid", b"x-b3-traceid", b"grpc-timeout", b"content-length"),
        *(b"date", b"x-envoy-upstream-service-time", b"x-envoy-expected-rq-timeout-ms"),
    ]
)


class _Encoder(hpack.Encoder):
    """Huffman's code costs more here, in Python, than the bytes that it saves."""

    def encode(self, headers: Iterable[object], huffman: bool = False) -> bytes:
        """Of hpack.Encoder."""
        return super().encode(headers, huffman)  # type: ignore[arg-type]


def indexed(lines: Lines) -> Lines:
    """Header lines, those that differ from message to message marked as such."""
    return [hpack.NeverIndexedHeaderTuple(*line) if line[0] in _FLEETING else line for line in lines]


class Flooded(Exception):
    """The peer sends more frames that carry nothing than anybody needs."""


class _Windows:
    """What holds the peer of a stream up: nothing here, its window does."""

    def hold(self) -> None:
        """Of flow.Source."""

    def release(self) -> None:
        """Of flow.Source."""


_WINDOWS = _Windows()


class WindowedBody(Body):
    """A body whose peer may send more when somebody took what is here."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        super().__init__(_WINDOWS, _CONNECTION_WINDOW)
        self._stream = stream

    def now(self) -> bytes:
        """Of Body."""
        block = super().now()
        self._stream.taken(len(block))
        return block


class Stream:
    """One request on a connection. moved: the loop's instant at which something last moved."""

    def __init__(self, connection: Connection[Stream], number: int) -> None:
        self._on = connection
        self.number = number
        self.body = WindowedBody(self)
        self._pending: deque[memoryview] = deque()
        self._is_ending = False
        self._trailers: Lines = []
        self._room: asyncio.Future[None] | None = None
        # This side said all it has to say; so did the peer; the stream is over, well or not.
        self.is_finished = False
        self.is_heard = False
        self.is_over = False
        self.moved = connection.now()

    def taken(self, size: int) -> None:
        """Somebody took so many bytes of the body."""
        self.moved = self._on.now()
        if size and not self.is_over:
            self._on.give_back(self, size)

    # Out

    def write(self, block: bytes) -> None:
        """More of the body; wait for `room` before much more."""
        if block and not self.is_over:
            self._pending.append(memoryview(block))
            self._on.flush(self)

    async def room(self) -> None:
        """Returns when all that was written is on its way. ConnectionResetError where the stream is gone."""
        while self._pending and not self.is_over:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None
        if self.is_over and not self.is_finished:
            raise ConnectionResetError("the stream is gone")

    def end(self, trailers: Lines) -> None:
        """Nothing more is written but these."""
        if self.is_over or self._is_ending:
            return
        self._is_ending = True
        self._trailers = trailers
        self._on.flush(self)

    def last(self, block: bytes, trailers: Lines) -> None:
        """All the rest."""
        if block and not self.is_over:
            self._pending.append(memoryview(block))
        self.end(trailers)

    def reset(self, code: Codes) -> None:
        """Give it up."""
        if not self.is_over:
            self._on.reset(self, code)

    # For the connection

    def pump(self, link: h2.connection.H2Connection) -> bool:
        """Send what the peer's windows take, up to one frame; whether there may be more."""
        if not self._pending:
            if self._is_ending and not self.is_finished:
                if self._trailers:
                    link.send_headers(self.number, self._trailers, end_stream=True)
                else:
                    link.end_stream(self.number)
                self.finished()
            self._wake()
            return False
        size = min(link.local_flow_control_window(self.number), link.max_outbound_frame_size)
        if size <= 0:
            return False
        block = self._pending[0]
        if len(block) <= size:
            self._pending.popleft()
        else:
            self._pending[0] = block[size:]
            block = block[:size]
        is_last = self._is_ending and not self._pending and not self._trailers
        link.send_data(self.number, block, end_stream=is_last)
        self._on.blocks_sent += 1
        self.moved = self._on.now()
        if is_last:
            self.finished()
        if not self._pending:
            self._wake()
        return bool(self._pending) or (self._is_ending and not self.is_finished)

    @property
    def waits(self) -> bool:
        """It has something to send."""
        return bool(self._pending) or (self._is_ending and not self.is_finished)

    def finished(self) -> None:
        """This side sent its end."""
        self.is_finished = True
        if self.is_heard:
            self.closed()

    def ended(self, trailers: Lines) -> None:
        """The peer's side ended."""
        self.is_heard = True
        self.body.trailers = trailers
        self.body.end()
        if self.is_finished:
            self.closed()

    def closed(self) -> None:
        """The stream is over."""
        if not self.is_over:
            self.is_over = True
            self._pending.clear()
            self._wake()
            self._on.forget(self)

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


S = TypeVar("S", bound=Stream)


class Connection(Flow, Generic[S]):
    """is_going: the peer, or this side, takes no new streams here (GOAWAY)."""

    def __init__(self, limits: Limits, *, client: bool) -> None:
        super().__init__()
        self._limits = limits
        self._link = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=client, header_encoding=None, validate_outbound_headers=False)
        )
        self._window = max(_INITIAL_WINDOW, limits.buffer_bytes)
        values = {
            _Setting.ENABLE_PUSH: 0,
            _Setting.INITIAL_WINDOW_SIZE: self._window,
            # Beyond `header_bytes` a request is refused; beyond twice that, the connection.
            _Setting.MAX_HEADER_LIST_SIZE: 2 * limits.header_bytes,
        }
        if not client:
            del values[_Setting.ENABLE_PUSH]
        self._link.encoder = _Encoder()
        self._link.local_settings = h2.settings.Settings(client=client, initial_values=values)
        self._link.decoder.max_header_list_size = 2 * limits.header_bytes
        self._raw = bytearray()
        self._ready = bytearray()
        self._is_scheduled = False
        self._skip = 0 if client else len(PREFACE)
        self.streams: dict[int, S] = {}
        self._waiting: dict[int, S] = {}
        self.is_going = False
        # The instant at which a head began whose end is not here yet.
        self.head_began: float | None = None
        # Nothing is read or sent any more.
        self._is_over = False
        self._opened = self._priorities = self._updates = self.blocks_sent = 0
        self._empty = self._settings = self._answers = 0

    def now(self) -> float:
        """The loop's instant."""
        return self._loop.time()

    @property
    def is_dead(self) -> bool:
        """Nothing can be sent any more."""
        return self.is_lost or self._is_over

    # Of asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        super().connection_made(transport)
        self._link.initiate_connection()
        self._link.increment_flow_control_window(_CONNECTION_WINDOW - _INITIAL_WINDOW)
        self.began()
        self.out()

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self.moved = self.now()
        if self._is_over:
            return
        self._raw += data
        try:
            for event in self._events():
                self.on(event)
        except Flooded as flood:
            self._end(Codes.ENHANCE_YOUR_CALM, str(flood))
        except (h2.exceptions.ProtocolError, hyperframe.exceptions.HyperframeError) as error:
            self._end(None, str(error) or type(error).__name__)
        else:
            self.out()

    def resume_writing(self) -> None:
        """Of asyncio.Protocol."""
        super().resume_writing()
        self._answers = 0
        self._flush_all()

    def _events(self) -> Iterable[h2.events.Event]:
        """Frame by frame: a GOAWAY is ours (after one the library would neither read nor write, though streams that are
        on their way may be finished), and what only costs is counted."""
        raw = self._raw
        while True:
            if self._skip:
                if len(raw) < self._skip:
                    if not PREFACE.startswith(bytes(raw)):
                        raise h2.exceptions.ProtocolError("no HTTP/2 preface")
                    return
                yield from self._link.receive_data(bytes(raw[: self._skip]))
                del raw[: self._skip]
                self._skip = 0
            if len(raw) < _HEAD:
                return
            size = _HEAD + int.from_bytes(raw[:3], "big")
            if size - _HEAD > self._link.max_inbound_frame_size:
                yield from self._link.receive_data(bytes(raw))
                raise h2.exceptions.FrameTooLargeError(f"a frame of {size - _HEAD} bytes")
            if len(raw) < size:
                return
            frame = bytes(raw[:size])
            del raw[:size]
            kind, flags = frame[3], frame[4]
            self._count(kind, flags, size - _HEAD)
            if kind == _GOAWAY:
                self._went(frame)
            else:
                yield from self._link.receive_data(frame)

    def _count(self, kind: int, flags: int, size: int) -> None:
        if kind == _DATA:
            self._empty = 0 if size or flags & _END_STREAM else self._empty + 1
            if self._empty > _EMPTY_BLOCKS:
                raise Flooded("empty DATA")
        elif kind == _WINDOW:
            self._updates += 1
            if self._updates > _UPDATES + _UPDATES_A_STREAM * (self._opened + _UPDATES_A_BLOCK * self.blocks_sent):
                raise Flooded("WINDOW_UPDATE")
        elif kind in (_HEADERS, _CONTINUATION):
            self.head_began = None if flags & _END_HEADERS else self.head_began or self.now()
        elif kind == _PRIORITY:
            self._priorities += 1
            if self._priorities > _PRIORITIES_A_STREAM * (1 + self._opened):
                raise Flooded("PRIORITY")
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            if kind == _SETTINGS:
                self._settings += 1
                # Some peers adjust their windows as data comes.
                if self._settings > _SETTINGS_FRAMES + self._opened + self.blocks_sent:
                    raise Flooded("SETTINGS")
            if self._is_full:
                self._answers += 1
                if self._answers > _WAITING_ANSWERS:
                    raise Flooded("PING and SETTINGS whose answers are not read")

    def _went(self, frame: bytes) -> None:
        parsed, _ = hyperframe.frame.Frame.parse_frame_header(memoryview(frame)[:_HEAD])
        parsed.parse_body(memoryview(frame)[_HEAD:])
        assert isinstance(parsed, hyperframe.frame.GoAwayFrame)
        self.is_going = True
        self.went(parsed.last_stream_id, parsed.error_code)

    def _end(self, code: Codes | None, text: str) -> None:
        """Tell the peer why (h2 did already, where code is None), and close."""
        if code is not None:
            self._link.close_connection(code)
        self.out()
        self._is_over = True
        self.failed(text)
        self.close()

    def close(self) -> None:
        """Close once what was written is sent; not for long, where the peer does not read."""
        self._is_over = True
        self._send()
        if not self.transport.is_closing():
            self.transport.close()
            self._loop.call_later(_LINGER, self.transport.abort)

    # What happens

    def on(self, event: h2.events.Event) -> None:
        """One event of the library."""
        if isinstance(event, h2.events.DataReceived):
            stream = self.streams.get(event.stream_id)
            size = event.flow_controlled_length or 0
            block = event.data or b""
            if stream is None or stream.is_over:
                self._link.acknowledge_received_data(size, event.stream_id)
                return
            stream.moved = self.now()
            if size > len(block):
                self._link.acknowledge_received_data(size - len(block), event.stream_id)
            if block:
                self.fed(stream, block)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                stream.ended(stream.body.trailers)
        elif isinstance(event, h2.events.TrailersReceived):
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                self._trailed(stream, list(event.headers))
        elif isinstance(event, h2.events.StreamReset):
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                self.was_reset(stream, int(event.error_code))
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self._flush_all()

    def _trailed(self, stream: S, trailers: Lines) -> None:
        """The end of the stream follows."""
        if header_size(trailers) > self._limits.header_bytes or len(trailers) > self._limits.headers:
            self.was_reset(stream, Codes.ENHANCE_YOUR_CALM)
            self.reset(stream, Codes.ENHANCE_YOUR_CALM)
        else:
            stream.body.trailers = trailers

    def began(self) -> None:
        """The connection is there."""

    def fed(self, stream: S, block: bytes) -> None:
        """A block of a body."""
        stream.body.feed(block)

    def was_reset(self, stream: S, code: int) -> None:
        """The peer gave a stream up."""
        raise NotImplementedError

    def went(self, last: int, code: int) -> None:
        """The peer takes no streams beyond `last`."""
        raise NotImplementedError

    def failed(self, text: str) -> None:
        """The peer does not speak as it has to, or floods us; the connection ends."""
        raise NotImplementedError

    # Streams

    def add(self, stream: S) -> None:
        """One more."""
        self.streams[stream.number] = stream
        self._opened += 1

    def forget(self, stream: Stream) -> None:
        """One less; what of its body is here and was not taken counts no more."""
        self.streams.pop(stream.number, None)
        self._waiting.pop(stream.number, None)
        if stream.body.unread and not self.is_dead:
            self._link.acknowledge_received_data(stream.body.unread, stream.number)

    def give_back(self, stream: Stream, size: int) -> None:
        """The peer may send so much more."""
        if not self.is_dead:
            self._link.acknowledge_received_data(size, stream.number)
            self.out()

    def reset(self, stream: Stream, code: Codes) -> None:
        """End a stream before its time."""
        if not self.is_dead:
            # It may be closed by now.
            with suppress(h2.exceptions.ProtocolError):
                self._link.reset_stream(stream.number, code)
        stream.closed()
        self.out()

    def flush(self, stream: Stream) -> None:
        """Send what a stream has, as far as there is room."""
        while not self._is_full and not self.is_dead and not stream.is_over and stream.pump(self._link):
            self.out()
        if stream.waits and not stream.is_over:
            self._waiting[stream.number] = stream  # type: ignore[assignment]
        else:
            self._waiting.pop(stream.number, None)
        self.out()

    def _flush_all(self) -> None:
        """There is room again: one frame for each stream, until there is none."""
        while self._waiting and not self._is_full and not self.is_dead:
            is_moving = False
            for stream in list(self._waiting.values()):
                if self._is_full:
                    break
                more = stream.pump(self._link)
                self.out()
                if not stream.waits or stream.is_over:
                    self._waiting.pop(stream.number, None)
                is_moving = is_moving or more
            if not is_moving:
                break

    def goaway(self, last: int) -> None:
        """This side takes no streams beyond `last`; those that are on their way go on."""
        self.is_going = True
        if not self.is_dead:
            self.out()
            self._ready += hyperframe.frame.GoAwayFrame(0, last_stream_id=last, error_code=0).serialize()
            self._send()

    def out(self) -> None:
        """Have sent what the library wants to be: with all that comes up in this turn of the loop, in one go."""
        data = self._link.data_to_send()
        if not data:
            return
        self._ready += data
        if len(self._ready) >= _AT_ONCE:
            self._send()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_scheduled = False
        if self._ready and not self.is_lost:
            data, self._ready = bytes(self._ready), bytearray()
            self.write(data)


__all__ = ["PREFACE", "Codes", "Connection", "Flooded", "Stream", "indexed"]
