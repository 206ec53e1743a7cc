"""Requests through the proxy, over real sockets, on both engines."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import h11
import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Servers
from tests.proxy.running import CLOSED, running, until

from roadstead.metrics.envoy import ClusterStats
from roadstead.proxy import Limits

GET = "GET http://api.test/v1/things?x=1 HTTP/1.1\r\nHost: api.test\r\n\r\n"


async def test_connections_to_endpoints_are_counted(made: Servers, engine_name: str) -> None:
    """In the cluster's statistics, as Envoy names them: made, used again, failed, and gone."""
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        stats = ClusterStats(proxy.registry)

        def counts() -> tuple[int, ...]:
            read = stats.read()["outbound|80||api.test"]
            return tuple(read[f"upstream_cx_{name}"] for name in ("total", "active", "destroy", "connect_fail"))

        assert counts() == (0, 0, 0, 0)
        for _ in range(2):
            assert (await proxy.get("http://api.test/")).status == 200
        assert counts() == (1, 1, 0, 0)
        server.stop()
        await until(lambda: counts() == (1, 0, 1, 0))
        assert (await proxy.get("http://api.test/")).status == 503
        assert counts() == (4, 0, 4, 3)
        server.again()
        assert (await proxy.get("http://api.test/")).status == 200
        assert counts() == (5, 1, 4, 3)
    assert counts() == (5, 0, 5, 3)


async def test_a_request_reaches_an_endpoint(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(201, b"made", (("x-by", "one"), ("set-cookie", "a=1"), ("set-cookie", "b=2")))
    async with running(entry(server.port), engine_name) as proxy:
        answer = await proxy.get(URL, "X-Mine: 1", method="POST", body="hello")
        [entry_] = await proxy.log(1)
    assert (answer.status, answer.body, answer.headers["x-by"]) == (201, b"made", "one")
    assert answer.headers["x-envoy-upstream-service-time"].isdigit()
    [request] = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/things?x=1", b"hello")
    assert (request.header("host"), request.header("x-mine")) == ("api.test", "1")
    assert (request.header("x-forwarded-proto"), request.header("content-length")) == ("http", "5")
    assert re.fullmatch("[0-9a-f-]{36}", request.header("x-request-id") or "")
    assert entry_["request_id"] == request.header("x-request-id")
    assert (entry_["method"], entry_["path"], entry_["response_code"]) == ("POST", "/v1/things?x=1", 201)
    assert (entry_["bytes_received"], entry_["bytes_sent"], entry_["response_flags"]) == (5, 4, "-")
    assert (entry_["authority"], entry_["upstream_cluster"]) == ("api.test", "outbound|80||api.test")
    assert entry_["upstream_host"] == f"127.0.0.1:{server.port}"
    assert (entry_["response_code_details"], entry_["route_name"]) == ("via_upstream", "default")


@pytest.mark.parametrize(
    ("request_line", "target"),
    [
        ("GET http://api.test/a HTTP/1.1", "/a"),
        ("GET http://API.test:80/a?b=c:/d HTTP/1.1", "/a?b=c:/d"),
        ("GET http://api.test HTTP/1.1", "/"),
        ("GET http://api.test?x HTTP/1.1", "/?x"),
        ("GET /a HTTP/1.1", "/a"),
        ("OPTIONS http://api.test HTTP/1.1", "/"),
    ],
)
async def test_targets(made: Servers, engine_name: str, request_line: str, target: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        assert (await client.ask(f"{request_line}\r\nHost: api.test\r\n\r\n")).status == 200
    assert [request.target for request in server.requests] == [target]


async def test_the_url_counts_not_the_host_header(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        answer = await client.ask("GET http://api.test/a HTTP/1.1\r\nHost: other.test\r\n\r\n")
    assert (answer.status, server.requests[0].header("host")) == (200, "api.test")


async def test_preflights_are_answered(made: Servers, engine_name: str) -> None:
    server = made.http()
    rule = "corsPolicy: {allowOrigins: [{exact: 'https://a.io'}], allowMethods: [PUT], maxAge: 60s}"
    async with running(entry(server.port, http=rule), engine_name) as proxy:
        asks = ("Origin: https://a.io", "Access-Control-Request-Method: PUT")
        answer = await proxy.get(URL, *asks, method="OPTIONS")
        assert (answer.status, server.requests) == (200, [])
        told = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
        assert told == {
            "access-control-allow-origin": "https://a.io",
            "access-control-allow-methods": "PUT",
            "access-control-max-age": "60",
        }
        answer = await proxy.get(URL, "Origin: https://a.io")
        assert (answer.body, answer.headers["access-control-allow-origin"]) == (b"ok", "https://a.io")


async def test_connections_live_on(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        for _ in range(5):
            assert (await client.ask(GET)).body == b"ok"
        # Pipelined: all are answered, in order.
        server.script.extend(Answer(200, str(number).encode()) for number in range(20))
        await client.send(GET * 20)
        assert [(await client.answer()).body for _ in range(20)] == [str(number).encode() for number in range(20)]
        assert proxy.proxy.connections == {"outbound|80||api.test": (1, 1)}
        assert proxy.proxy.counts["downstream_rq_total"] == 25
    assert server.connections == 1


@pytest.mark.parametrize(
    ("version", "connection", "told", "lives"),
    [
        ("1.1", "", None, True),
        ("1.1", "Connection: close\r\n", "close", False),
        ("1.1", "Proxy-Connection: close\r\n", "close", False),
        ("1.0", "", "close", False),
        ("1.0", "Connection: keep-alive\r\n", "keep-alive", True),
    ],
)
async def test_who_wants_the_connection_to_live(
    made: Servers, engine_name: str, version: str, connection: str, told: str | None, lives: bool
) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        text = f"GET http://api.test/ HTTP/{version}\r\nHost: api.test\r\n{connection}\r\n"
        answer = await client.ask(text)
        assert (answer.status, answer.headers.get("connection")) == (200, told)
        if lives:
            assert (await client.ask(text)).status == 200
        else:
            assert await client.ended() == b""


@pytest.mark.parametrize(
    ("method", "answer", "head", "body"),
    [
        ("GET", Answer(200, b"abc"), {"content-length": "3"}, b"abc"),
        ("HEAD", Answer(200, b"abc"), {"content-length": "3"}, b""),
        ("GET", Answer(200, b"abc", chunked=True), {"content-length": "3"}, b"abc"),
        ("GET", Answer(204, b""), {}, b""),
        ("GET", Answer(304, b"abc"), {"content-length": "3"}, b""),
        ("GET", Answer(200, b"x" * 300_000, chunked=True), {"transfer-encoding": "chunked"}, b"x" * 300_000),
        ("GET", Answer(200, b"x" * 300_000), {"content-length": "300000"}, b"x" * 300_000),
    ],
)
async def test_bodies(
    made: Servers, engine_name: str, method: str, answer: Answer, head: dict[str, str], body: bytes
) -> None:
    server = made.http()
    server.default = answer
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        for _ in range(2):
            found = await client.ask(f"{method} {URL} HTTP/1.1\r\nHost: api.test\r\n\r\n", method)
            assert (found.status, found.body) == (answer.status, body)
            framing = {
                name: value for name, value in found.headers.items() if name in ("content-length", "transfer-encoding")
            }
            if "content-length" not in framing or "content-length" in head:
                assert framing == head
    assert server.connections == 1


async def raw_server(said: bytes) -> asyncio.Server:
    """Says the same to every request, then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_body_until_the_connection_ends(engine_name: str, version: str) -> None:
    server = await raw_server(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 200_000)
    async with server, running(entry(server.sockets[0].getsockname()[1]), engine_name) as proxy:
        client = await proxy.client()
        await client.send(f"GET {URL} HTTP/{version}\r\nHost: api.test\r\n\r\n")
        if version == "1.1":
            answer = await client.answer()
            assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"y" * 200_000)
        else:
            assert (await client.ended()).endswith(b"\r\n\r\n" + b"y" * 200_000)


async def test_interim_responses_are_ours_alone(engine_name: str) -> None:
    said = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    server = await raw_server(said)
    async with server, running(entry(server.sockets[0].getsockname()[1]), engine_name) as proxy:
        answer = await proxy.get(URL)
    assert (answer.status, answer.body, answer.interim) == (200, b"ok", ())
    assert "link" not in answer.headers


@pytest.mark.parametrize(
    ("said", "status", "flags"),
    [
        (b"", 503, "UC"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", 503, "UC"),
        (b"nonsense\r\n\r\n", 502, "UPE"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "UPE"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502, "UPE"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", 502, "UPE"),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000 + b"\r\n\r\n", 502, "UPE"),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502, "UPE"),
    ],
)
async def test_an_upstream_that_does_not_answer_as_it_has_to(
    engine_name: str, said: bytes, status: int, flags: str
) -> None:
    server = await raw_server(said)
    mesh = entry(server.sockets[0].getsockname()[1], http="retries: {attempts: 0}")
    async with server, running(mesh, engine_name) as proxy:
        assert (await proxy.get(URL)).status == status
        [line] = await proxy.log(1)
        assert line["response_flags"] == flags


async def test_a_second_response_is_nobodys(engine_name: str) -> None:
    """What an upstream sends beyond its response is not the answer of the next request."""
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(one + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, running(entry(server.sockets[0].getsockname()[1]), engine_name) as proxy:
        client = await proxy.client()
        assert [(await client.ask(GET)).body for _ in range(3)] == [b"one"] * 3
    assert connections == 3


@pytest.mark.parametrize(
    ("sent", "gone"),
    [
        ("Connection: x-private\r\nX-Private: 1", "x-private"),
        ("Keep-Alive: timeout=5", "keep-alive"),
        ("Proxy-Connection: keep-alive", "proxy-connection"),
        ("Proxy-Authorization: Basic eDp5", "proxy-authorization"),
        ("TE: trailers", "te"),
        ("Trailer: x", "trailer"),
        ("Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABk", "upgrade"),
        ("Connection: http2-settings\r\nHTTP2-Settings: AAMAAABk", "http2-settings"),
        ("Expect: 100-continue", "expect"),
    ],
)
async def test_what_goes_one_hop_only(made: Servers, engine_name: str, sent: str, gone: str) -> None:
    server = made.http()
    server.default = Answer(headers=(("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "1"), ("x-end", "1")))
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        for _ in range(2):
            answer = await client.ask(f"GET {URL} HTTP/1.1\r\nHost: api.test\r\n{sent}\r\n\r\n")
            assert (answer.status, answer.headers["x-end"]) == (200, "1")
            assert not {"connection", "x-hop", "keep-alive"} & answer.headers.keys()
    assert len(server.requests) == 2
    for request in server.requests:
        assert request.header(gone) is None
        assert request.header("connection") is None


async def test_connection_cannot_take_the_host_away(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        text = "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: host, content-length, cookie\r\nCookie: a=1\r\n"
        client = await proxy.client()
        assert (await client.ask(text + "Content-Length: 2\r\n\r\nab")).status == 200
    [request] = server.requests
    assert (request.header("host"), request.body, request.header("cookie")) == ("api.test", b"ab", "a=1")


async def test_an_upgrade_with_a_body_that_is_none(made: Servers, engine_name: str) -> None:
    """h2c is not spoken here: body and next request are read as if nothing had been said of it."""
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        head = (
            f"POST {URL} HTTP/1.1\r\nHost: api.test\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\n"
        )
        await client.send(head + "he")
        await client.send("llo" + GET + head + "again" + GET)
        assert [(await client.answer()).status for _ in range(4)] == [200] * 4
    assert [request.body for request in server.requests] == [b"hello", b"", b"again", b""]


async def test_a_body_streams_both_ways(engine_name: str) -> None:
    """What the client sends is there before it has sent all, and the other way round."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await reader.readline(), 16):
            block = (await reader.readexactly(size + 2))[:-2]
            writer.write(b"%x\r\n%b\r\n" % (len(block), block.upper()))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, running(entry(server.sockets[0].getsockname()[1]), engine_name) as proxy:
        client = await proxy.client()
        await client.send(f"POST {URL} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"200 OK" in await client.reader.readuntil(b"\r\n\r\n")
        for word in (b"one", b"two", b"three"):
            await client.send(b"%x\r\n%b\r\n" % (len(word), word))
            assert await client.reader.readline() == b"%x\r\n" % len(word)
            assert await client.reader.readline() == word.upper() + b"\r\n"
        await client.send(b"0\r\n\r\n")
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


async def test_continue_is_said_when_the_body_is_wanted(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        await client.send(f"POST {URL} HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send("ab")
        assert (await client.answer()).status == 200
    assert server.requests[0].body == b"ab"


async def test_a_client_that_leaves(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(after=60)
    async with running(entry(server.port), engine_name) as proxy:
        client = await proxy.client()
        await client.send(GET)
        await until(lambda: server.requests)
        client.close()
        [line] = await proxy.log(1)
        assert (line["response_code"], line["response_flags"]) == (0, "DC")
        await until(lambda: proxy.proxy.counts["downstream_cx_active"] == 0)
        live = proxy.registry.cluster("outbound|80||api.test")
        assert live is not None
        assert live.stats["upstream_rq_active"] == 0
        await until(lambda: proxy.proxy.connections["outbound|80||api.test"] == (0, 0))


async def test_an_upstream_killed_within_its_response(made: Servers, engine_name: str) -> None:
    """The client sees that something is missing, whatever frames the body."""
    server = made.http()
    async with running(entry(server.port, http="retries: {attempts: 0}"), engine_name) as proxy:
        for chunked in (False, True):
            server.default = Answer(200, b"z" * 1000, chunked=chunked, cut=200)
            client = await proxy.client()
            with pytest.raises((ConnectionError, h11.RemoteProtocolError)):
                await client.ask(GET)
        lines = await proxy.log(2)
    assert [(line["response_code"], line["response_flags"]) for line in lines] == [(200, "UC")] * 2


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        (
            "http://nowhere.test/",
            502,
            "nowhere.test is not in the registry, and outboundTrafficPolicy is REGISTRY_ONLY",
        ),
        ("http://api.test:81/", 502, "api.test declares no port 81 (it has 80)"),
        ("http://192.0.2.1/", 502, "192.0.2.1 is not in the registry"),
    ],
)
async def test_what_the_registry_forbids(made: Servers, engine_name: str, url: str, status: int, said: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name, config=CLOSED) as proxy:
        client = await proxy.client()
        host = url.split("/")[2]
        answer = await client.ask(f"GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert answer.status == status
        assert said in answer.body.decode()
        # The connection is as good as before.
        assert (await client.ask(GET)).status == 200
        target = host if ":" in host else f"{host}:80"
        answer = await client.ask(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n", "CONNECT")
        assert answer.status == status
        assert said in answer.body.decode()


async def test_unknown_hosts_go_where_they_say(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(1), engine_name) as proxy:
        answer = await proxy.get(f"http://127.0.0.1:{server.port}/x")
        assert (answer.status, server.requests[0].target) == (200, "/x")
        [line] = await proxy.log(1)
        assert line["upstream_cluster"] == "PassthroughCluster"
        for host in ("127.0.0.1", "localhost"):
            assert (await proxy.get(f"http://{host}:{proxy.port}/")).status == 508


@pytest.mark.parametrize(
    ("rule", "status", "body", "flags"),
    [
        ("fault: {abort: {httpStatus: 418, percentage: {value: 100}}}", 418, b"fault filter abort", "FI"),
        ("timeout: 0.05s", 504, b"upstream request timeout", "UT"),
    ],
)
async def test_what_is_answered_here(
    made: Servers, engine_name: str, rule: str, status: int, body: bytes, flags: str
) -> None:
    server = made.http()
    server.default = Answer(after=60)
    async with running(entry(server.port, http=rule), engine_name) as proxy:
        answer = await proxy.get(URL)
        assert (answer.status, answer.body) == (status, body)
        [line] = await proxy.log(1)
        assert line["response_flags"] == flags


async def test_a_time_limit_within_the_body(engine_name: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    mesh = entry(server.sockets[0].getsockname()[1], http="timeout: 0.1s")
    async with server, running(mesh, engine_name) as proxy:
        client = await proxy.client()
        with pytest.raises((ConnectionError, h11.RemoteProtocolError)):
            await client.ask(GET)
        [line] = await proxy.log(1)
        assert (line["response_code"], line["response_flags"]) == (200, "UT")


async def test_a_bad_answer_is_tried_again_body_and_all(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.script.extend([Answer(503), Answer(503, b"x" * 100_000), Answer(200, b"at last")])
    async with running(entry(server.port, http="retries: {attempts: 3, retryOn: 5xx}"), engine_name) as proxy:
        answer = await proxy.get(URL, method="POST", body="hello")
        assert (answer.status, answer.body) == (200, b"at last")
        # In pieces, while it is still coming.
        server.script.append(Answer(503))
        client = await proxy.client()
        await client.send(f"POST {URL} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await until(lambda: server.connections > 1 or proxy.proxy.counts["downstream_rq_active"])
        await client.send("2\r\ncd\r\n0\r\n\r\n")
        assert (await client.answer()).body == b"ok"
    assert [request.body for request in server.requests] == [b"hello"] * 3 + [b"abcd"] * 2


async def test_a_body_too_large_to_keep_is_not_sent_again(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(503)
    mesh = entry(server.port, http="retries: {attempts: 3, retryOn: 5xx}")
    async with running(mesh, engine_name, limits=Limits(kept_bytes=1000)) as proxy:
        assert (await proxy.get(URL, method="POST", body="h" * 2000)).status == 503
        assert len(server.requests) == 1
        assert (await proxy.get(URL, method="POST", body="h" * 1000)).status == 503
        assert len(server.requests) == 5


async def test_a_copy_goes_to_the_mirror(made: Servers, engine_name: str) -> None:
    server, mirror = made.http(), made.http()
    other = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: mirror}}
spec:
  hosts: [mirror.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {mirror.port}}}}}]
"""
    mesh = entry(server.port, http="mirrors: [{destination: {host: mirror.test}}]", extra=other)
    async with running(mesh, engine_name) as proxy:
        assert (await proxy.get(URL, method="POST", body="hello")).status == 200
        client = await proxy.client()
        await client.send(f"POST {URL} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await client.send("0\r\n\r\n")
        assert (await client.answer()).status == 200
        await until(lambda: len(mirror.requests) == 2)
    assert [request.body for request in mirror.requests] == [b"hello", b"ab"]


async def test_no_more_connections_than_allowed(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(after=0.05)
    policy = "{connectionPool: {tcp: {maxConnections: 2}}}"
    async with running(entry(server.port, policy=policy), engine_name) as proxy:
        answers = await asyncio.gather(*[proxy.get(URL) for _ in range(8)])
    assert [answer.status for answer in answers] == [200] * 8
    assert server.most_open == 2


async def test_requests_beyond_what_may_wait(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(after=0.3)
    policy = "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}"
    async with running(entry(server.port, policy=policy), engine_name) as proxy:
        first = asyncio.create_task(proxy.get(URL))
        await until(lambda: server.requests)
        answers = [*await asyncio.gather(*[proxy.get(URL) for _ in range(3)]), await first]
        lines = await proxy.log(4)
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
    assert sorted(line["response_flags"] for line in lines) == ["-", "-", "UO", "UO"]


async def test_a_connection_is_used_so_often(made: Servers, engine_name: str) -> None:
    server = made.http()
    policy = "{connectionPool: {http: {maxRequestsPerConnection: 2}}}"
    async with running(entry(server.port, policy=policy), engine_name) as proxy:
        client = await proxy.client()
        for _ in range(6):
            assert (await client.ask(GET)).status == 200
    assert server.connections == 3


async def test_watchers_see_requests_begin_and_end(made: Servers, engine_name: str) -> None:
    """As they do in every client: what they add is sent, what they hear is how much moved."""
    server = made.http()
    server.default = Answer(200, b"seven..")
    heard: list[tuple[str, int, int]] = []

    class Watching:
        def begin(self, decision: Any, headers: list[tuple[str, str]]) -> Any:
            def told(exchange: Any, sent: int, received: int, grpc_status: int) -> None:
                heard.append((decision.cluster_name, sent, received))

            return [*headers, ("traceparent", "00-1-2-01")], told

    async with running(entry(server.port), engine_name, watchers=[Watching()]) as proxy:
        assert (await proxy.get(URL, method="POST", body="hello")).status == 200
    assert server.requests[0].header("traceparent") == "00-1-2-01"
    assert heard == [("outbound|80||api.test", 5, 7)]


async def test_a_web_socket(engine_name: str) -> None:
    """After 101 bytes go both ways; where it is refused, HTTP goes on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/no" in head:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
        assert b"upgrade: websocket" in head
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello")
        while block := await reader.read(100):
            writer.write(block.upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, running(entry(server.sockets[0].getsockname()[1]), engine_name) as proxy:
        client = await proxy.client()
        head = "GET http://api.test/{} HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        assert (await client.ask(head.format("no"))).status == 400
        answer = await client.ask(head.format("yes"))
        assert (answer.status, answer.headers["upgrade"], answer.headers["connection"]) == (101, "websocket", "upgrade")
        assert await client.reader.readexactly(5) == b"hello"
        await client.send("ping")
        assert await client.reader.readexactly(4) == b"PING"
        client.writer.write_eof()
        assert await client.ended() == b""
        lines = await proxy.log(2)
    assert (lines[1]["response_code"], lines[1]["bytes_received"], lines[1]["bytes_sent"]) == (101, 4, 9)


async def test_connections_may_be_so_old(made: Servers, engine_name: str) -> None:
    """maxConnectionDuration: an unused one is closed then, one in use when its response is over."""
    server = made.http()
    policy = "{connectionPool: {tcp: {maxConnectionDuration: 0.2s}}}"
    async with running(entry(server.port, policy=policy), engine_name) as proxy:
        assert (await proxy.get("http://api.test/")).status == 200
        await until(lambda: server.open == 0)
        server.default = Answer(200, b"slow", after=0.4)
        answers = [await proxy.get("http://api.test/") for _ in range(2)]
        assert [one.body for one in answers] == [b"slow"] * 2
        assert [one.connection for one in server.requests] == [0, 1, 2]
