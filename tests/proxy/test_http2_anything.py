"""Whatever frames a client of HTTP/2 sends, and in whatever pieces they come: the proxy has no defect, and nothing is left."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.clients.meshes import entry
from tests.proxy.http2_peers import PREFACE, Stream, http2_client, http2_server
from tests.proxy.running import running, until

from roadstead.proxy import Limits

HEAD = [(":method", "POST"), (":scheme", "http"), (":authority", "api.test"), (":path", "/"), ("te", "trailers")]
# A step: what is sent, which stream of those that are open it is about, a number, whether it ends the stream.
STEP = st.tuples(
    st.sampled_from(
        [
            *["open"] * 4, *["data"] * 3, "trailers", "reset", "window", "settings", "ping",
            "goaway", "priority", "continuation", "again", "old",
        ]
    ),
    st.integers(0, 5),
    st.integers(0, 3000),
    st.booleans(),
)  # fmt: skip


class Sending:
    """Frames of steps; most of them are such as a client may send."""

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()
        self._next = 1
        self._open: list[int] = []

    def frame(self, what: str, which: int, size: int, ends: bool) -> bytes:
        if what == "open" or not self._open:
            return self._head(size, ends=ends)
        number = self._open[which % len(self._open)]
        if ends and what in {"data", "trailers", "reset"}:
            self._open.remove(number)
        last = ["END_STREAM"] if ends else []
        made: Any
        match what:
            case "data":
                made = DataFrame(number, bytes(size if ends else size + 1), flags=last)
            case "trailers":
                made = HeadersFrame(number, self._encoder.encode([("x-t", "1")]), flags=["END_HEADERS", *last])
            case "reset":
                made = RstStreamFrame(number, error_code=size % 14)
            case "window":
                made = WindowUpdateFrame(number if ends else 0, size + 1)
            case "settings":
                made = SettingsFrame(0, {4: size * 64})
            case "ping":
                made = PingFrame(0, b"12345678")
            case "goaway":
                made = GoAwayFrame(0, last_stream_id=0, error_code=0)
            case "priority":
                made = PriorityFrame(number, depends_on=size % 9, stream_weight=3)
            case "continuation":
                made = ContinuationFrame(number, b"\x82", flags=["END_HEADERS"])
            case "again":
                made = HeadersFrame(number, self._encoder.encode(HEAD), flags=["END_HEADERS", *last])
            case _:
                made = DataFrame(1, bytes(size), flags=last)
        return bytes(made.serialize())

    def _head(self, size: int, *, ends: bool) -> bytes:
        number, self._next = self._next, self._next + 2
        if not ends:
            self._open.append(number)
        block = self._encoder.encode([*HEAD, (f"x-{size % 5}", "v" * (size // 10))])
        flags = ["END_HEADERS", "END_STREAM"] if ends else ["END_HEADERS"]
        return bytes(HeadersFrame(number, block, flags=flags).serialize())


async def _answer(stream: Stream) -> None:
    """In as many ways as the request is long."""
    way = len(stream.headers.get("x-1", "")) % 5
    if way == 1:
        stream.cancel(7)
    elif way == 2:
        stream.answer(200, b"early")
    elif way == 3:
        stream.peer.writer.transport.abort()
    else:
        await stream.done()
        stream.head([(":status", "200")])
        await stream.send(b"z" * 100_000)
        stream.end(("x-sum", "1"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=40), st.lists(st.integers(1, 400), max_size=8), st.booleans())
def test_whatever_comes(steps: list[tuple[str, int, int, bool]], cuts: list[int], waits: bool) -> None:
    sending = Sending()
    opening = PREFACE + SettingsFrame(0).serialize() + WindowUpdateFrame(0, 1 << 30).serialize()
    data = opening + b"".join(sending.frame(*step) for step in steps)
    asyncio.run(_sent(data, cuts, waits=waits))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=600), st.lists(st.integers(1, 100), max_size=8))
def test_what_is_no_frames(noise: bytes, cuts: list[int]) -> None:
    asyncio.run(_sent(PREFACE + noise, cuts, waits=True))


async def _sent(data: bytes, cuts: list[int], *, waits: bool) -> None:
    defects = _Defects()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.found.append(str(context)))
    logging.getLogger("roadstead.proxy").addHandler(defects)
    try:
        async with (
            http2_server(_answer) as server,
            running(entry(server.port, protocol="HTTP2"), limits=Limits(stream_idle_timeout=0.2)) as proxy,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            with suppress(ConnectionError):
                for size in cuts:
                    writer.write(data[:size])
                    data = data[size:]
                    await asyncio.sleep(0)
                writer.write(data)
                if waits:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await reader.read()
            writer.transport.abort()
            await until(lambda: not proxy.proxy.counts["downstream_rq_active"])
            async with http2_client(proxy.port) as peer:
                stream = peer.get("api.test", "/", method="POST")
                assert (await stream.done()).headers[":status"] == "200"
    finally:
        logging.getLogger("roadstead.proxy").removeHandler(defects)
    assert defects.found == []


class _Defects(logging.Handler):
    """What the proxy says of itself, and the loop of it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))
