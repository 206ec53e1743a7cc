"""Endpoints that speak HTTP/2: one connection for many requests, the cluster's limits, and how streams end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import h2.errors
import h2.settings
import pytest
from tests.clients.authority import Authority
from tests.clients.meshes import entry
from tests.proxy.http2_peers import (
    Http2Server,
    Stream,
    closed,
    echo,
    garbage,
    gone,
    http2_client,
    http2_server,
    refused,
    reset,
)
from tests.proxy.running import Running, running, until

CODES = h2.errors.ErrorCodes
NO_RETRIES = "retries: {attempts: 0}"
STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
BIG = 3 << 20


def mesh(*ports: int, http: str = NO_RETRIES, policy: str = "", protocol: str = "HTTP2") -> str:
    return entry(*ports, http=http, policy=policy, protocol=protocol)


@pytest.mark.parametrize(
    ("protocol", "policy", "client", "spoken"),
    [
        ("HTTP2", "", "1.1", "2"),
        ("GRPC", "", "1.1", "2"),
        ("HTTP", "{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}", "1.1", "2"),
        ("HTTP", "{connectionPool: {http: {useClientProtocol: true}}}", "2", "2"),
        ("HTTP2", "", "2", "2"),
    ],
)
async def test_what_is_spoken(engine_name: str, protocol: str, policy: str, client: str, spoken: str) -> None:
    async with (
        http2_server() as server,
        running(mesh(server.port, policy=policy, protocol=protocol), engine_name) as proxy,
    ):
        if client == "2":
            async with http2_client(proxy.port) as peer:
                stream = await peer.get("api.test", "/x?y=1", ("X-Mine", "1")).done()
                assert (stream.headers[":status"], stream.body) == ("200", b"ok")
        else:
            answer = await proxy.get("http://api.test/x?y=1", "X-Mine: 1", "Connection: x-gone", "X-Gone: 1")
            assert (answer.status, answer.body, answer.headers["x-path"]) == (200, b"ok", "/x?y=1")
        [request] = server.requests
        assert request.headers[":authority"] == "api.test"
        assert request.headers[":scheme"] == "http"
        assert request.headers["x-mine"] == "1"
        assert not {"host", "connection", "x-gone"} & set(request.headers)
        [line] = await proxy.log(1)
        assert (line["protocol"], line["response_code"]) == (f"HTTP/{client}", 200)


async def test_the_clients_protocol_may_be_the_older_one(engine_name: str) -> None:
    """useClientProtocol: a client of HTTP/1.1 has HTTP/1.1 spoken for it."""
    async with http2_server() as server:
        policy = "{connectionPool: {http: {useClientProtocol: true}}}"
        async with running(mesh(server.port, policy=policy), engine_name) as proxy:
            assert (await proxy.get("http://api.test/")).status == 502
            assert not server.requests
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UPE"


async def test_requests_share_a_connection(engine_name: str) -> None:
    gate = asyncio.Event()

    async def handle(stream: Stream) -> None:
        await gate.wait()
        await echo(stream)

    async with http2_server(handle) as server, running(mesh(server.port), engine_name) as proxy:
        asked = [asyncio.create_task(proxy.get(f"http://api.test/{n}", method="POST", body="b" * n)) for n in range(30)]
        await until(lambda: len(server.requests) == 30)
        assert len(server.peers) == 1
        assert proxy.proxy.connections == {"outbound|80||api.test": (1, 0)}
        gate.set()
        answers = await asyncio.gather(*asked)
        assert [one.headers["x-path"] for one in answers] == [f"/{n}" for n in range(30)]
        assert [len(one.body) for one in answers][1:] == list(range(1, 30))
        assert proxy.proxy.connections == {"outbound|80||api.test": (1, 1)}


@pytest.mark.parametrize(
    ("policy", "settings", "together", "connections"),
    [
        ("{connectionPool: {http: {maxConcurrentStreams: 2}}}", {}, 6, 3),
        # The endpoint's own limit.
        ("{connectionPool: {tcp: {maxConnections: 1}}}", {STREAMS: 3}, 3, 1),
        ("{connectionPool: {tcp: {maxConnections: 1}, http: {maxConcurrentStreams: 2}}}", {}, 2, 1),
        ("{connectionPool: {http: {http2MaxRequests: 4}}}", {}, 4, 1),
    ],
)
async def test_limits(engine_name: str, policy: str, settings: dict[Any, int], together: int, connections: int) -> None:
    """Six requests at once: so many reach the endpoint together, over so many connections."""
    gate = asyncio.Event()

    async def handle(stream: Stream) -> None:
        await gate.wait()
        await echo(stream)

    async with (
        http2_server(handle, settings=settings.items()) as server,
        running(mesh(server.port, policy=policy), engine_name) as proxy,
        http2_client(proxy.port) as peer,
    ):
        first = peer.get("api.test", "/first")
        await until(lambda: server.requests)
        # The endpoint's settings are here with the connection's first answer.
        rest = [peer.get("api.test", f"/{n}") for n in range(5)]
        if "http2MaxRequests" in policy:
            await until(lambda: sum(one.ended.is_set() for one in rest) == 2)
        await until(lambda: len(server.requests) == together)
        await asyncio.sleep(0.05)
        assert len(server.requests) == together
        gate.set()
        done = [await one.done() for one in (first, *rest)]
        refused = [one for one in done if one.headers[":status"] == "503"]
        assert len(refused) == (2 if "http2MaxRequests" in policy else 0)
        assert len(server.peers) == connections


async def test_so_many_requests_on_a_connection(engine_name: str) -> None:
    async with http2_server() as server:
        policy = "{connectionPool: {http: {maxRequestsPerConnection: 2}}}"
        async with running(mesh(server.port, policy=policy), engine_name) as proxy:
            for _ in range(5):
                assert (await proxy.get("http://api.test/")).status == 200
            assert [len(peer.streams) for peer in server.peers] == [2, 2, 1]
            await until(lambda: [peer.is_closed for peer in server.peers] == [True, True, False])


@pytest.mark.parametrize("size", [1, BIG])
async def test_bodies_go_both_ways(engine_name: str, size: int) -> None:
    async def handle(stream: Stream) -> None:
        await stream.done()
        stream.head([(":status", "200"), ("content-length", str(len(stream.body)))])
        await stream.send(stream.body, end=True)

    async with http2_server(handle) as server, running(mesh(server.port), engine_name) as proxy:
        answer = await proxy.get("http://api.test/", method="POST", body="x" * size)
        assert (answer.status, len(answer.body), answer.headers["content-length"]) == (200, size, str(size))
        async with http2_client(proxy.port) as peer:
            stream = peer.get("api.test", "/", method="POST", end=False)
            await stream.send(b"y" * size, end=True)
            await stream.done()
            assert stream.body == b"y" * size
        [_, line] = await proxy.log(2)
        assert (line["bytes_received"], line["bytes_sent"]) == (size, size)


async def test_who_reads_slowly_holds_up_nobody_else(engine_name: str) -> None:
    """Both ways: what is on the way for the slow one is bounded, and others go on over the same connections."""
    sent: dict[str, int] = {}

    async def handle(stream: Stream) -> None:
        if stream.headers[":path"] == "/fast":
            await echo(stream)
            return
        stream.takes = False
        stream.head([(":status", "200")])
        block = b"z" * 65536
        for number in range(1 << 10):
            await stream.send(block, end=False)
            sent["down"] = (number + 1) * len(block)

    async with (
        http2_server(handle) as server,
        running(mesh(server.port), engine_name) as proxy,
        http2_client(proxy.port) as peer,
    ):
        slow = peer.get("api.test", "/slow", method="POST", end=False)
        slow.takes = False
        await slow.head_came()

        async def upload() -> None:
            for number in range(1 << 10):
                await slow.send(b"u" * 65536)
                sent["up"] = (number + 1) * 65536

        uploading = asyncio.create_task(upload())
        await until(lambda: len(slow.body) >= 65535)
        for _ in range(20):
            assert (await peer.get("api.test", "/fast").done()).body == b"ok"
        assert len(server.peers) == 1
        assert sent["down"] < 2 << 20
        assert sent.get("up", 0) < 2 << 20
        uploading.cancel()
        slow.cancel(CODES.CANCEL)
        await until(lambda: server.requests[0].reset is not None)
        assert (await peer.get("api.test", "/fast").done()).body == b"ok"


# How streams end


@pytest.mark.parametrize(
    ("ends", "flags", "status", "said"),
    [
        (refused, "UR", 503, "remote refused stream reset"),
        (reset, "UR", 503, "remote reset"),
        (gone, "UR", 503, "remote refused stream reset"),
        (closed, "UC", 503, "connection termination"),
        (garbage, "UPE", 502, "protocol error"),
    ],
)
async def test_streams_that_break(engine_name: str, ends: Any, flags: str, status: int, said: str) -> None:
    async with http2_server(ends) as server, running(mesh(server.port), engine_name) as proxy:
        answer = await proxy.get("http://api.test/")
        assert (answer.status, said in answer.body.decode()) == (status, True), answer.body
        [line] = await proxy.log(1)
        assert line["response_flags"] == flags


@pytest.mark.parametrize(
    ("on", "ends", "tries"),
    [
        ("refused-stream", refused, 2),
        ("refused-stream", gone, 2),
        ("refused-stream", reset, 1),
        ("reset", reset, 2),
        ("reset", closed, 2),
        ("connect-failure", reset, 1),
        ("5xx", refused, 2),
    ],
)
async def test_they_are_tried_again(engine_name: str, on: str, ends: Any, tries: int) -> None:
    seen = 0

    async def handle(stream: Stream) -> None:
        nonlocal seen
        seen += 1
        await (ends(stream) if seen == 1 else echo(stream))

    async with http2_server(handle) as server:
        rule = f"retries: {{attempts: 1, retryOn: '{on}', backoff: 1ms}}"
        async with running(mesh(server.port, http=rule), engine_name) as proxy:
            answer = await proxy.get("http://api.test/", method="POST", body="again")
            assert (answer.status, seen) == (200 if tries == 2 else 503, tries)
            if tries == 2:
                assert answer.body == b"again"


async def test_what_was_on_its_way_at_goaway_is_finished(engine_name: str) -> None:
    """Streams up to the last one named go on; new requests get a new connection."""
    gate = asyncio.Event()

    async def handle(stream: Stream) -> None:
        if stream.headers[":path"] == "/slow":
            stream.head([(":status", "200")])
            await gate.wait()
            await stream.send(b"whole", end=True)
        else:
            await echo(stream)

    async with http2_server(handle) as server, running(mesh(server.port), engine_name) as proxy:
        async with http2_client(proxy.port) as peer:
            slow = await peer.get("api.test", "/slow").head_came()
            _goaway(server, last=1)
            await until(lambda: not any(one.has_room for one in _shared(proxy)))
            assert (await peer.get("api.test", "/next").done()).body == b"ok"
            assert [len(one.streams) for one in server.peers] == [1, 1]
            gate.set()
            assert (await slow.done()).body == b"whole"
            assert slow.reset is None
            await until(lambda: server.peers[0].is_closed)
        assert proxy.proxy.connections == {"outbound|80||api.test": (1, 1)}


def _goaway(server: Http2Server, *, last: int) -> None:
    """As a graceful server says it; h2 itself would fall silent afterwards."""
    frame = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + last.to_bytes(4, "big") + bytes(4)
    server.peers[0].writer.write(frame)


def _shared(proxy: Running) -> list[Any]:
    [pool] = proxy.proxy._shared.pools._pools.values()
    return [one for kept in pool.shared.values() for one in kept]


async def test_a_response_that_breaks_off_never_looks_whole(engine_name: str) -> None:
    async def handle(stream: Stream) -> None:
        stream.head([(":status", "200"), ("content-length", "100")])
        await stream.send(b"half")
        stream.cancel(CODES.INTERNAL_ERROR)

    async with http2_server(handle) as server, running(mesh(server.port), engine_name) as proxy:
        client = await proxy.client()
        await client.send("GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")
        await client.reader.readuntil(b"half")
        with pytest.raises(ConnectionResetError):
            await client.ended()
        async with http2_client(proxy.port) as peer:
            stream = await peer.get("api.test").done()
            assert (stream.body, stream.reset) == (b"half", CODES.INTERNAL_ERROR)
        for line in await proxy.log(2):
            assert line["response_flags"] == "UR"


async def test_an_answer_before_the_request_is_over(engine_name: str) -> None:
    """The rest of the request is not wanted; the client hears the answer, and the connection goes on."""

    async def handle(stream: Stream) -> None:
        if stream.headers[":path"] == "/early":
            stream.answer(403, b"no")
            stream.cancel(CODES.NO_ERROR)
        else:
            await echo(stream)

    async with http2_server(handle) as server, running(mesh(server.port), engine_name) as proxy:
        async with http2_client(proxy.port) as peer:
            early = await peer.get("api.test", "/early", method="POST", end=False).done()
            assert (early.headers[":status"], early.body) == ("403", b"no")
            await until(lambda: early.reset == CODES.NO_ERROR)
            assert (await peer.get("api.test").done()).body == b"ok"
        assert len(server.peers) == 1


async def test_a_client_that_leaves_gives_its_stream_up(engine_name: str) -> None:
    async def handle(stream: Stream) -> None:
        if stream.headers[":path"] == "/ok":
            await echo(stream)

    async with http2_server(handle) as server, running(mesh(server.port), engine_name) as proxy:
        client = await proxy.client()
        await client.send("GET http://api.test/never HTTP/1.1\r\nHost: api.test\r\n\r\n")
        await until(lambda: server.requests)
        client.close()
        await until(lambda: server.requests[0].reset == CODES.CANCEL)
        assert (await proxy.get("http://api.test/ok")).status == 200
        assert len(server.peers) == 1
        [line, _] = await proxy.log(2)
        assert line["response_flags"] == "DC"


async def test_times_are_limited(engine_name: str) -> None:
    async def silent(stream: Stream) -> None:
        await asyncio.Event().wait()

    async with http2_server(silent) as server:
        rule = f"timeout: 0.2s\n    {NO_RETRIES}"
        async with running(mesh(server.port, http=rule), engine_name) as proxy:
            assert (await proxy.get("http://api.test/")).status == 504
            await until(lambda: server.requests[0].reset == CODES.CANCEL)
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UT"


async def test_nobody_listens(engine_name: str) -> None:
    async with http2_server() as server:
        port = server.port
    async with running(mesh(port), engine_name) as proxy:
        answers = await asyncio.gather(*[proxy.get("http://api.test/") for _ in range(3)])
        assert [one.status for one in answers] == [503] * 3
        for line in await proxy.log(3):
            assert line["response_flags"] == "UF"
        assert proxy.proxy.connections == {"outbound|80||api.test": (0, 0)}


async def test_tls_is_originated_with_alpn(engine_name: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "api.test"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    policy = f"{{tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: api.test, subjectAltNames: [api.test]}}}}"
    async with (
        http2_server(context=context) as server,
        running(mesh(server.port, policy=policy), engine_name) as proxy,
    ):
        assert (await proxy.get("http://api.test/")).body == b"ok"
        assert server.peers[0].writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert server.requests[0].headers[":scheme"] == "https"


@pytest.mark.parametrize("answers", [True, False])
async def test_connections_are_asked_whether_they_live(engine_name: str, answers: bool) -> None:
    """http2Keepalive: an endpoint that does not answer a ping is gone, with what was on its way there."""

    async def silent(stream: Stream) -> None:
        await asyncio.Event().wait()

    policy = "{connectionPool: {http: {http2KeepAlive: {interval: 0.1s, timeout: 0.2s}}}}"
    async with http2_server(silent) as server, running(mesh(server.port, policy=policy), engine_name) as proxy:
        asked = asyncio.create_task(proxy.get("http://api.test/"))
        await until(lambda: server.requests)
        if answers:
            await until(lambda: server.peers[0].pings >= 3)
            assert not asked.done()
            asked.cancel()
        else:
            server.peers[0].writer.transport.pause_reading()
            answer = await asked
            assert (answer.status, b"connection termination" in answer.body) == (503, True)


async def test_trailers_are_passed_on(engine_name: str) -> None:
    """Both ways between sides of HTTP/2; HTTP/1.1 hears of none, as with Envoy."""

    async def handle(stream: Stream) -> None:
        await stream.done()
        stream.head([(":status", "200")])
        await stream.send(stream.body)
        stream.end(("x-sum", stream.trailers.get("x-sum", "none")))

    async with http2_server(handle) as server, running(mesh(server.port), engine_name) as proxy:
        async with http2_client(proxy.port) as peer:
            stream = peer.get("api.test", "/", ("te", "trailers"), method="POST", end=False)
            await stream.send(b"body")
            stream.end(("x-sum", "42"))
            await stream.done()
            assert (stream.body, stream.trailers) == (b"body", {"x-sum": "42"})
            assert server.requests[0].headers["te"] == "trailers"
        answer = await proxy.get("http://api.test/", method="POST", body="body")
        assert (answer.body, "x-sum" in answer.headers) == (b"body", False)


@pytest.mark.parametrize("side", ["client", "endpoint"])
async def test_trailers_are_within_the_limits_of_heads(engine_name: str, side: str) -> None:
    many = [(f"x-{number}", "1") for number in range(101)]

    async def handle(stream: Stream) -> None:
        stream.head([(":status", "200")])
        await stream.done()
        stream.end(*(many if side == "endpoint" else []))

    async with (
        http2_server(handle) as server,
        running(mesh(server.port), engine_name) as proxy,
        http2_client(proxy.port) as peer,
    ):
        stream = await peer.get("api.test", "/", method="POST", end=False).head_came()
        stream.end(*(many if side == "client" else []))
        await stream.done()
        assert stream.reset in {CODES.ENHANCE_YOUR_CALM, CODES.INTERNAL_ERROR}
        if side == "client":
            # The endpoint's own stream is over by its trailers.
            await until(lambda: server.requests[0].reset is not None)


async def test_idle_connections_come_of_age(engine_name: str) -> None:
    policy = "{connectionPool: {http: {idleTimeout: 0.2s}}}"
    async with http2_server() as server, running(mesh(server.port, policy=policy), engine_name) as proxy:
        assert (await proxy.get("http://api.test/")).status == 200
        await until(lambda: server.peers[0].is_closed)
        assert (await proxy.get("http://api.test/")).status == 200


async def test_connections_may_be_so_old(engine_name: str) -> None:
    """maxConnectionDuration: what is on its way is finished, new requests get another connection."""
    gate = asyncio.Event()

    async def handle(stream: Stream) -> None:
        if stream.headers[":path"] == "/slow":
            await gate.wait()
        await echo(stream)

    policy = "{connectionPool: {tcp: {maxConnectionDuration: 0.2s}}}"
    async with (
        http2_server(handle) as server,
        running(mesh(server.port, policy=policy), engine_name) as proxy,
        http2_client(proxy.port) as peer,
    ):
        slow = peer.get("api.test", "/slow")
        await until(lambda: server.requests and not any(one.has_room for one in _shared(proxy)))
        assert (await peer.get("api.test").done()).body == b"ok"
        assert [len(one.streams) for one in server.peers] == [1, 1]
        gate.set()
        assert (await slow.done()).body == b"ok"
        await until(lambda: all(one.is_closed for one in server.peers))


async def test_copies_go_to_mirrors(engine_name: str) -> None:
    async with http2_server() as server, http2_server() as shadow:
        extra = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shadow}}
spec:
  hosts: [shadow.test]
  ports: [{{number: 80, name: http2, protocol: HTTP2}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http2: {shadow.port}}}}}]
"""
        text = entry(server.port, http="mirror: {host: shadow.test}", protocol="HTTP2", extra=extra)
        async with running(text, engine_name) as proxy:
            assert (await proxy.get("http://api.test/m", method="POST", body="copy")).status == 200
            await until(lambda: shadow.requests and shadow.requests[0].ended.is_set())
            assert (shadow.requests[0].body, shadow.requests[0].headers[":path"]) == (b"copy", "/m")
