"""Clients that speak HTTP/2 from their first byte: what they are answered, and what they may not do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h2.errors
import h2.settings
import hpack
import httpx
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from tests.clients.authority import Authority
from tests.clients.meshes import entry
from tests.clients.servers import Answer, Servers
from tests.proxy.http2_peers import PREFACE, Peer, Stream, echo, http2_client, http2_server
from tests.proxy.running import CLOSED, running, until

from roadstead.proxy import Limits

CODES = h2.errors.ErrorCodes
HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "api.test"), (":path", "/")]


async def test_endpoints_of_http1(made: Servers, engine_name: str) -> None:
    """The two sides speak what each of them speaks."""
    server = made.http()
    server.script.append(Answer(200, b"chunks", chunked=True))
    server.script.append(Answer(204, b""))
    server.script.append(Answer(404, b"no", headers=(("X-Mixed-Case", "1"), ("Connection", "x-hop"), ("X-Hop", "1"))))
    async with running(entry(server.port), engine_name) as proxy, http2_client(proxy.port) as peer:
        stream = await peer.get("api.test", "/a", ("cookie", "a=1"), ("cookie", "b=2")).done()
        assert (stream.headers[":status"], stream.body) == ("200", b"chunks")
        stream = await peer.get("api.test", "/b").done()
        assert (stream.headers[":status"], stream.body) == ("204", b"")
        stream = peer.get("api.test", "/c", ("te", "trailers"), method="POST", end=False)
        await stream.send(b"some ")
        await stream.send(b"body", end=True)
        await stream.done()
        assert (stream.headers[":status"], stream.body, stream.headers["x-mixed-case"]) == ("404", b"no", "1")
        assert not {"connection", "x-hop", "transfer-encoding"} & set(stream.headers)
        [first, _, last] = server.requests
        assert (first.header("cookie"), first.header("host"), first.target) == ("a=1; b=2", "api.test", "/a")
        assert (last.body, last.header("transfer-encoding"), last.header("te")) == (b"some body", "chunked", None)
        assert (await peer.get("api.test", "/d", method="HEAD").done()).body == b""


async def test_many_at_once_and_in_any_order(engine_name: str) -> None:
    gates = [asyncio.Event() for _ in range(20)]

    async def handle(stream: Stream) -> None:
        await gates[int(stream.headers[":path"][1:])].wait()
        await echo(stream)

    async with (
        http2_server(handle) as server,
        running(entry(server.port, protocol="HTTP2"), engine_name) as proxy,
        http2_client(proxy.port) as peer,
    ):
        streams = [peer.get("api.test", f"/{n}") for n in range(20)]
        for number in reversed(range(20)):
            gates[number].set()
            assert (await streams[number].done()).headers["x-path"] == f"/{number}"
        assert proxy.proxy.counts["downstream_cx_total"] == 1


async def test_httpx_with_prior_knowledge(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(200, b"z" * 300_000)
    async with running(entry(server.port), engine_name) as proxy:
        async with httpx.AsyncClient(http1=False, http2=True, base_url=f"http://127.0.0.1:{proxy.port}") as client:
            answers = await asyncio.gather(
                *[client.post(f"/{n}", headers={"host": "api.test"}, content=b"u" * 200_000) for n in range(5)]
            )
        assert {(one.status_code, len(one.content), one.http_version) for one in answers} == {(200, 300_000, "HTTP/2")}
        assert [len(one.body) for one in server.requests] == [200_000] * 5


async def test_inside_a_connect(made: Servers, engine_name: str) -> None:
    """To a port that is HTTP by declaration: the port of the CONNECT is the one of the requests."""
    server = made.http()
    async with running(entry(server.port), engine_name, config=CLOSED) as proxy:
        async with http2_client(proxy.port, through="api.test:80") as peer:
            for _ in range(2):
                assert (await peer.get("api.test").done()).headers[":status"] == "200"
            refused = await peer.get("other.test").done()
            assert (refused.headers[":status"], b"not in the registry" in refused.body) == ("502", True)
        assert len(server.requests) == 2


async def test_what_nobody_declared_is_spoken_to_as_the_client_speaks(made: Servers, engine_name: str) -> None:
    """Where the mesh lets it through (ALLOW_ANY): Istio's PassthroughCluster uses the client's protocol."""
    older = made.http()
    async with http2_server() as server, running(entry(1), engine_name) as proxy, http2_client(proxy.port) as peer:
        assert (await peer.get(f"127.0.0.1:{server.port}").done()).body == b"ok"
        assert (await proxy.get(f"http://127.0.0.1:{older.port}/")).body == b"ok"
        [line, _] = await proxy.log(2)
        assert (line["upstream_cluster"], line["protocol"]) == ("PassthroughCluster", "HTTP/2")


async def test_https_is_spoken_for_the_client(made: Servers, engine_name: str, tmp_path: Path) -> None:
    """`:scheme` https, as https:// in a URL: the proxy encrypts."""
    authority = Authority(tmp_path)
    server = made.http(authority.server(authority.sign("server", "api.test")))
    text = entry(server.port, protocol="HTTPS").replace("number: 80", "number: 443")
    async with running(text, engine_name, ca=str(authority.root)) as proxy, http2_client(proxy.port) as peer:
        lines = [(name, "https" if name == ":scheme" else value) for name, value in HEAD]
        stream = await peer.open(*lines).done()
        assert (stream.headers[":status"], stream.body) == ("200", b"ok")
        assert server.requests[0].header("x-forwarded-proto") == "https"


async def test_the_body_is_waited_for_only_where_it_is_wanted(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy, http2_client(proxy.port) as peer:
        stream = peer.get("api.test", "/", ("expect", "100-continue"), method="POST", end=False)
        await until(lambda: stream.interim == ["100"])
        await stream.send(b"body", end=True)
        assert (await stream.done()).headers[":status"] == "200"
        assert server.requests[0].body == b"body"


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        ([(":method", "CONNECT"), (":authority", "api.test:80")], "501", "not within HTTP/2"),
        ([*HEAD[:3], (":path", "nowhere.test/")], "400", "no :authority and :path"),
        ([*HEAD[:2], (":authority", "api.test/x?"), (":path", "/")], "400", "no :authority and :path"),
        ([*HEAD[:1], (":scheme", "ftp"), *HEAD[2:]], "400", "no :authority and :path"),
        ([*HEAD[:2], (":authority", "u@api.test"), (":path", "/")], "400", "no :authority and :path"),
        ([*HEAD[:2], (":authority", "api.test:x"), (":path", "/")], "400", "is no port"),
        ([(":method", "GET / HTTP/1.1"), *HEAD[1:]], "400", "is no method"),
        ([*HEAD[:3], (":path", "/ HTTP/1.1")], "400", "no :authority and :path"),
        ([*HEAD, ("expect", "magic")], "417", "Expect: magic"),
        ([*HEAD, ("x-long", "l" * 70_000)], "431", "a head of more than 61440 bytes"),
        ([*HEAD, *[(f"x-{n}", "1") for n in range(101)]], "431", "more than 100 headers"),
        ([*HEAD, ("content-length", "2000")], "413", "a body of more than 1000 bytes"),
        ([*HEAD[:2], (":authority", "nowhere.test"), (":path", "/")], "502", "not in the registry"),
    ],
)
async def test_requests_that_are_refused(
    made: Servers, engine_name: str, lines: list[tuple[str, str]], status: str, said: str
) -> None:
    """One by one: the connection goes on."""
    server = made.http()
    limits = Limits(body_bytes=1000)
    async with (
        running(entry(server.port), engine_name, config=CLOSED, limits=limits) as proxy,
        http2_client(proxy.port) as peer,
    ):
        ends = not any(name == "content-length" for name, _ in lines)
        stream = await peer.open(*lines, end=ends).done()
        assert (stream.headers[":status"], said in stream.body.decode()) == (status, True), stream.body
        assert not server.requests
        assert (await peer.get("api.test").done()).headers[":status"] == "200"


async def test_a_body_that_turns_out_too_large(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with (
        running(entry(server.port), engine_name, limits=Limits(body_bytes=1000)) as proxy,
        http2_client(proxy.port) as peer,
    ):
        stream = peer.get("api.test", method="POST", end=False)
        await stream.send(b"b" * 999)
        await stream.send(b"b" * 2)
        assert (await stream.done()).headers[":status"] == "413"
        # The rest of the body is not wanted.
        await until(lambda: stream.reset == CODES.NO_ERROR)
        assert not server.requests


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([(":path", "/x")], id="a pseudo header after others"),
        pytest.param([("connection", "close")], id="a header of one connection"),
        pytest.param([("te", "gzip")], id="a transfer coding"),
        pytest.param([("X-Upper", "1")], id="a name in capitals"),
        pytest.param([("x-split", "1\r\nx-more: 2")], id="a line break"),
        pytest.param([("transfer-encoding: chunked, x", "1")], id="a line of its own in a name"),
    ],
)
async def test_messages_that_are_none(made: Servers, engine_name: str, sent: list[tuple[str, str]]) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy, http2_client(proxy.port) as peer:
        peer.writer.write(_head(1, [*HEAD, ("x-mine", "1"), *sent]))
        await until(lambda: peer.gone)
        assert peer.gone is not None
        assert peer.gone[1] == CODES.PROTOCOL_ERROR
        assert not server.requests


# Floods


def _frame(made: Frame) -> bytes:
    return made.serialize()


def _head(number: int, lines: list[tuple[str, str]], flags: tuple[str, ...] = ("END_HEADERS", "END_STREAM")) -> bytes:
    block = hpack.Encoder().encode(lines, huffman=False)
    return _frame(HeadersFrame(number, block, flags=flags))


def _rapid_reset() -> bytes:
    """Streams that are opened and given up in one breath (CVE-2023-44487)."""
    resets = [_head(n, HEAD) + _frame(RstStreamFrame(n, error_code=8)) for n in range(1, 2 * 600, 2)]
    return b"".join(resets)


def _continuations() -> bytes:
    """A head without an end (CVE-2024-27316)."""
    parts = [_frame(ContinuationFrame(1, b"\x00\x01a\x01b" * 100)) for _ in range(10_000)]
    return _head(1, HEAD, ("END_STREAM",)) + b"".join(parts)


def _empty_blocks() -> bytes:
    return _head(1, HEAD, ("END_HEADERS",)) + _frame(DataFrame(1, b"")) * 1000


def _bomb() -> bytes:
    """One line of the table, named again and again: small on the wire, large in memory."""
    encoder = hpack.Encoder()
    block = encoder.encode([*HEAD, ("x-bomb", "b" * 4000)], huffman=False) + b"\xbe" * 12_000
    return _frame(HeadersFrame(1, block, flags=("END_HEADERS", "END_STREAM")))


FLOODS: dict[str, Callable[[], bytes]] = {
    "rapid reset": _rapid_reset,
    "CONTINUATION": _continuations,
    "SETTINGS": lambda: _frame(SettingsFrame(0, {1: 4096})) * 1000,
    "PRIORITY": lambda: _frame(PriorityFrame(1, depends_on=3, stream_weight=1)) * 1000,
    "WINDOW_UPDATE": lambda: _frame(WindowUpdateFrame(0, 1)) * 1000,
    "empty DATA": _empty_blocks,
    "a head that unpacks to megabytes": _bomb,
    "a frame of 16 MB": lambda: b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 100_000,
}


@pytest.mark.parametrize("flood", list(FLOODS))
async def test_floods_end_the_connection(made: Servers, engine_name: str, flood: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        async with http2_client(proxy.port) as good:
            async with http2_client(proxy.port) as peer:
                await until(peer.settled.is_set)
                peer.writer.write(FLOODS[flood]())
                await until(lambda: peer.gone or peer.is_closed)
                if peer.gone is not None:
                    assert peer.gone[1] in (CODES.ENHANCE_YOUR_CALM, CODES.PROTOCOL_ERROR, CODES.FRAME_SIZE_ERROR)
                await until(lambda: peer.is_closed)
            assert proxy.proxy.counts["downstream_cx_protocol_error"] == 1
            assert proxy.proxy.counts["downstream_rq_too_many_premature_resets"] == (flood == "rapid reset")
            # Everybody else is served.
            assert (await good.get("api.test").done()).headers[":status"] == "200"
        await until(lambda: proxy.proxy.counts["downstream_rq_active"] == 0)


async def test_answers_that_are_not_read_do_not_pile_up(made: Servers, engine_name: str) -> None:
    """PING by PING: each has to be answered, and the client reads nothing."""
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1024)
        writer.write(PREFACE + _frame(SettingsFrame(0)))
        ping = _frame(PingFrame(0, b"12345678")) * 4096
        with pytest.raises(ConnectionError):
            await _without_end(writer, ping)
        assert proxy.proxy.counts["downstream_cx_protocol_error"] == 1
        del reader


async def _without_end(writer: asyncio.StreamWriter, block: bytes) -> None:
    async with asyncio.timeout(30):
        while True:
            writer.write(block)
            await writer.drain()


async def test_a_client_that_does_not_read_does_not_pile_up(made: Servers, engine_name: str) -> None:
    """Its windows are wide open, its socket is not read: what is on the way is bounded."""
    server = made.http()
    server.default = Answer(200, b"z" * (32 << 20))
    async with running(entry(server.port), engine_name) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1024)
        window = (1 << 31) - 1
        writer.write(PREFACE + _frame(SettingsFrame(0, {4: window})) + _frame(WindowUpdateFrame(0, window - 65535)))
        writer.write(b"".join(_head(n, HEAD) for n in range(1, 10, 2)))
        [client] = proxy.proxy._clients
        await until(lambda: getattr(client, "_is_full", False) or _swap(proxy))
        [client] = proxy.proxy._clients
        await until(lambda: client._is_full and len(server.requests) == 5)
        await asyncio.sleep(0.2)
        waiting = sum(len(block) for one in client.streams.values() for block in one._pending)
        assert client.transport.get_write_buffer_size() + waiting < 4 << 20
        writer.transport.abort()
        del reader


def _swap(proxy: Any) -> bool:
    return any(getattr(one, "_is_full", False) for one in proxy.proxy._clients)


async def test_streams_too_many_are_refused(engine_name: str) -> None:
    """REFUSED_STREAM where the client cannot know the limit yet; where it does, it is an error of the connection."""
    gate = asyncio.Event()

    async def handle(stream: Stream) -> None:
        await gate.wait()
        await echo(stream)

    async with (
        http2_server(handle) as server,
        running(entry(server.port, protocol="HTTP2"), engine_name, limits=Limits(streams=3)) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        peer = Peer(reader, writer, client=True, settings={})
        streams = [peer.get("api.test", f"/{n}") for n in range(5)]
        task = asyncio.create_task(peer.run())
        await until(lambda: sum(one.ended.is_set() for one in streams) == 2)
        assert [one.reset for one in streams] == [None, None, None, CODES.REFUSED_STREAM, CODES.REFUSED_STREAM]
        assert peer.link.remote_settings.max_concurrent_streams == 3
        gate.set()
        for one in streams[:3]:
            assert (await one.done()).body == b"ok"
        assert (await peer.get("api.test").done()).body == b"ok"
        writer.write(b"".join(_head(n, HEAD) for n in range(101, 111, 2)))
        gate.clear()
        await until(lambda: peer.gone)
        writer.transport.abort()
        await asyncio.wait([task])


# Time, and the end


async def test_draining_finishes_what_is_on_its_way(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(200, b"slow", after=0.3)
    async with (
        running(entry(server.port), engine_name) as proxy,
        http2_client(proxy.port) as idle,
        http2_client(proxy.port) as busy,
    ):
        await until(lambda: idle.settled.is_set() and busy.settled.is_set())
        stream = busy.get("api.test")
        await until(lambda: server.requests)
        draining = asyncio.create_task(proxy.proxy.drain(30))
        await until(lambda: idle.is_closed)
        assert (await stream.done()).body == b"slow"
        await draining
        await until(lambda: busy.is_closed)
        # Which streams were taken is said with the last word.
        assert (idle.gone, busy.gone) == ((0, 0), (1, 0))


async def test_who_takes_too_long_to_drain_is_cut_off(engine_name: str) -> None:
    async def silent(stream: Stream) -> None:
        await asyncio.Event().wait()

    async with (
        http2_server(silent) as server,
        running(entry(server.port, protocol="HTTP2"), engine_name) as proxy,
        http2_client(proxy.port) as peer,
    ):
        stream = peer.get("api.test")
        await until(lambda: server.requests)
        await proxy.proxy.drain(0.1)
        await stream.done()
        assert not stream.headers
        await until(lambda: server.requests[0].reset is not None)


async def test_nothing_moves(engine_name: str) -> None:
    """A stream is given up by itself; the connection and its other streams go on."""

    async def handle(stream: Stream) -> None:
        if stream.headers[":path"] == "/half":
            stream.head([(":status", "200")])
            await stream.send(b"half")
        if stream.headers[":path"] != "/ok":
            await asyncio.Event().wait()
        await echo(stream)

    limits = Limits(stream_idle_timeout=0.3)
    async with (
        http2_server(handle) as server,
        running(entry(server.port, protocol="HTTP2"), engine_name, limits=limits) as proxy,
        http2_client(proxy.port) as peer,
    ):
        silent, half = peer.get("api.test", "/silent"), peer.get("api.test", "/half")
        assert (await silent.done()).headers[":status"] == "504"
        assert ((await half.done()).body, half.reset) == (b"half", CODES.INTERNAL_ERROR)
        assert (await peer.get("api.test", "/ok").done()).body == b"ok"
        flags = [line["response_flags"] for line in await proxy.log(3)]
        assert flags == ["SI", "SI", "-"]


@pytest.mark.parametrize(
    ("sent", "limits"),
    [
        (PREFACE[:10], Limits(headers_timeout=0.2)),
        (PREFACE, Limits(headers_timeout=0.2)),
        (PREFACE + _frame(SettingsFrame(0)), Limits(idle_timeout=0.2)),
        (PREFACE + _frame(SettingsFrame(0)) + _head(1, HEAD, ("END_STREAM",)), Limits(headers_timeout=0.2)),
    ],
)
async def test_connections_that_say_nothing_are_closed(engine_name: str, sent: bytes, limits: Limits) -> None:
    async with running(entry(1), engine_name, limits=limits) as proxy:
        client = await proxy.client()
        await client.send(sent)
        with suppress(ConnectionResetError):
            await client.ended()


async def test_pings_are_no_requests(engine_name: str) -> None:
    """A client that only asks whether the proxy is there is idle all the same."""
    async with (
        running(entry(1), engine_name, limits=Limits(idle_timeout=0.3)) as proxy,
        http2_client(proxy.port) as peer,
    ):

        async def ask() -> None:
            while True:
                peer.link.ping(b"are you?")
                peer.out()
                await asyncio.sleep(0.02)

        asking = asyncio.create_task(ask())
        await until(lambda: peer.is_closed)
        asking.cancel()
        assert peer.gone == (0, 0)


async def test_clients_are_counted_by_what_they_speak(made: Servers, engine_name: str) -> None:
    """In Envoy's words; what is spoken inside a CONNECT is no connection of its own."""

    async def handle(stream: Stream) -> None:
        if stream.headers[":path"] == "/":
            await echo(stream)

    async with http2_server(handle) as server, running(entry(server.port, protocol="HTTP2"), engine_name) as proxy:
        assert (await proxy.get("http://api.test/")).status == 200
        async with http2_client(proxy.port) as peer, http2_client(proxy.port, through="api.test:80") as inside:
            for one in (peer, inside, inside):
                assert (await one.get("api.test").done()).body == b"ok"
            given_up = peer.get("api.test", "/never")
            await until(lambda: len(server.requests) == 5)
            given_up.cancel(CODES.CANCEL)
            await until(lambda: proxy.proxy.counts["downstream_rq_rx_reset"])
        counts = proxy.proxy.counts
        assert (counts["downstream_cx_http1_total"], counts["downstream_cx_http2_total"]) == (2, 1)
        # The CONNECT is a request, too.
        assert (counts["downstream_rq_http1_total"], counts["downstream_rq_http2_total"]) == (2, 4)
        assert counts["downstream_rq_total"] == 6


async def test_what_only_begins_like_http2(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        await client.send(b"P")
        await asyncio.sleep(0)
        await client.send(b"OST http://api.test/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nhi")
        assert (await client.answer("POST")).status == 200
        wrong = await proxy.client()
        await wrong.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        assert (await wrong.answer()).status in (400, 505)


async def test_pings_are_answered_and_goaway_is_heard(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        await client.send(PREFACE + _frame(SettingsFrame(0)) + _frame(PingFrame(0, b"are you?")))
        await client.reader.readuntil(b"are you?")
        await client.send(_head(1, HEAD))
        goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)
        await client.send(goaway)
        said = await client.ended()
        assert b"ok" in said
        assert len(server.requests) == 1
