"""What a client may not do, and that nothing of it reaches an endpoint."""

from __future__ import annotations

import asyncio

import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Servers
from tests.proxy.running import CLOSED, running, until

from roadstead import InputError, Registry
from roadstead.proxy import Limits, Proxy, listener

HOST = "Host: api.test\r\n"
GET = f"GET {URL} HTTP/1.1\r\n{HOST}\r\n"
POST = f"POST {URL} HTTP/1.1\r\n{HOST}"

# What could be framed in two ways, or be two requests to somebody else: name, bytes, status.
SMUGGLED = {
    "length and chunked": (POST + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
    "chunked and length": (POST + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + GET, 400),
    "two lengths": (POST + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "equal lengths": (POST + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "lengths in one": (POST + "Content-Length: 3, 3\r\n\r\nabc", 400),
    "a length with a sign": (POST + "Content-Length: +3\r\n\r\nabc", 400),
    "a negative length": (POST + "Content-Length: -1\r\n\r\nabc", 400),
    "a length too large": (POST + "Content-Length: 99999999999999999999999\r\n\r\nabc", 400),
    "a coding nobody knows": (POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "chunked is not last": (POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 501),
    "chunked below gzip": (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked and identity": (POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501),
    "chunked twice": (POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    "a vertical tab": (POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a space before the colon": (POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded line": (POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a name that is none": (POST + "X Y: 1\r\n\r\n", 400),
    "no name": (POST + ": 1\r\n\r\n", 400),
    "no colon": (POST + "X-Y\r\n\r\n", 400),
    "a bare line feed": (f"GET {URL} HTTP/1.1\nHost: api.test\n\n", 400),
    "a bare carriage return": (POST + "X: a\rb\r\n\r\n", 400),
    "a zero byte": (POST + "X: a\0b\r\n\r\n", 400),
    "chunked in HTTP/1.0": (f"POST {URL} HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "HTTP/0.9": (f"GET {URL}\r\n\r\n", 505),
    "HTTP/3": (f"GET {URL} HTTP/3.0\r\n{HOST}\r\n", 400),
    "no method": (f"{URL} HTTP/1.1\r\n{HOST}\r\n", 400),
    "a method nobody knows": (f"FOO {URL} HTTP/1.1\r\n{HOST}\r\n", 400),
    "a space in the target": (f"GET {URL} x HTTP/1.1\r\n{HOST}\r\n", 400),
    "two hosts": (f"GET /a HTTP/1.1\r\n{HOST}Host: b.test\r\n\r\n", 400),
    "no host": ("GET /a HTTP/1.1\r\n\r\n", 400),
    "an empty host": ("GET /a HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a host with a path": ("GET /a HTTP/1.1\r\nHost: api.test/b\r\n\r\n", 400),
    "a host with a user": ("GET /a HTTP/1.1\r\nHost: me@api.test\r\n\r\n", 400),
    "a user in the URL": (f"GET http://me:pw@api.test/ HTTP/1.1\r\n{HOST}\r\n", 400),
    "a port that is none": (f"GET http://api.test:http/ HTTP/1.1\r\n{HOST}\r\n", 400),
    "port 0": (f"GET http://api.test:0/ HTTP/1.1\r\n{HOST}\r\n", 400),
    "port 65536": (f"GET http://api.test:65536/ HTTP/1.1\r\n{HOST}\r\n", 400),
    "another scheme": (f"GET ftp://api.test/ HTTP/1.1\r\n{HOST}\r\n", 400),
    "a fragment": (f"GET http://api.test/a#b HTTP/1.1\r\n{HOST}\r\n", 400),
    "CONNECT without a port": (f"CONNECT api.test HTTP/1.1\r\n{HOST}\r\n", 400),
    "CONNECT to a URL": (f"CONNECT http://api.test/ HTTP/1.1\r\n{HOST}\r\n", 400),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "x" * 100, 400),
    "SOCKS": ("\x05\x01\x00", 400),
    "an expectation nobody knows": (POST + "Expect: magic\r\nContent-Length: 1\r\n\r\na", 417),
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_what_is_no_request_reaches_nobody(made: Servers, name: str) -> None:
    server = made.http()
    said, status = SMUGGLED[name]
    async with running(entry(server.port)) as proxy:
        client = await proxy.client()
        await client.send(said)
        answer = await client.answer()
        assert answer.status == status, answer
        assert answer.headers["content-type"] == "text/plain"
        if answer.headers.get("connection") == "close":
            assert await client.ended() == b""
        assert proxy.proxy.counts["downstream_cx_active"] <= 1
    assert server.requests == []


# In the body, after a head that is fine.
BAD_CHUNKS = {
    "a size that is none": "xyz\r\nabc\r\n",
    "a size with 0x": "0x3\r\nabc\r\n",
    "a size too large": "fffffffffffffffff\r\nabc\r\n",
    "a negative size": "-3\r\nabc\r\n",
    "more than its size": "3\r\nabcd\r\n",
    "a bare line feed": "3\nabc\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
async def test_bad_chunks(made: Servers, name: str) -> None:
    """The upstream never gets a request that looks whole; the client hears of it."""
    server = made.http()
    async with running(entry(server.port)) as proxy:
        client = await proxy.client()
        await client.send(POST + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n" + BAD_CHUNKS[name] + "0\r\n\r\n" + GET)
        assert (await client.answer()).status == 400
        assert await client.ended() == b""
        await until(lambda: not server.open)
        [line] = await proxy.log(1)
        assert (line["response_code"], line["response_flags"]) == (400, "DPE")
    assert server.requests == []


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (POST + "a: b\r\n" * 100 + "\r\n", 431),
        (POST + "a: b\r\n" * 100_000 + "\r\n", 431),
        (POST + "a: " + "b" * 70_000 + "\r\n\r\n", 431),
        ("GET http://api.test/" + "b" * 70_000 + f" HTTP/1.1\r\n{HOST}\r\n", 431),
        (POST + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + "a: b\r\n" * 200 + "\r\n", 431),
        (POST + "Content-Length: 10001\r\n\r\n", 413),
        (POST + "Content-Length: 10001\r\nExpect: 100-continue\r\n\r\n", 413),
        (POST + "Transfer-Encoding: chunked\r\n\r\n" + ("1000\r\n" + "c" * 4096 + "\r\n") * 3 + "0\r\n\r\n", 413),
    ],
)
async def test_too_much(made: Servers, said: str, status: int) -> None:
    server = made.http()
    async with running(entry(server.port), limits=Limits(body_bytes=10_000)) as proxy:
        client = await proxy.client()
        client.writer.write(said.encode())
        assert (await client.answer()).status == status
        assert await client.ended() == b""
    assert server.requests == []


async def test_as_much_as_is_allowed(made: Servers) -> None:
    server = made.http()
    async with running(entry(server.port), limits=Limits(body_bytes=10_000)) as proxy:
        client = await proxy.client()
        head = POST + "a: b\r\n" * 98
        assert (await client.ask(head + "Content-Length: 10000\r\n\r\n" + "d" * 10_000)).status == 200
        assert (await client.ask(POST + "a: " + "b" * 60_000 + "\r\n\r\n")).status == 200


async def test_a_head_that_does_not_come_in_time(made: Servers) -> None:
    """Slow loris: whoever dribbles is told so and cut off; others are served meanwhile."""
    server = made.http()
    async with running(entry(server.port), limits=Limits(headers_timeout=0.2)) as proxy:
        slow = [await proxy.client() for _ in range(20)]
        for client in slow:
            await client.send(POST + "x: ")

        async def dribble() -> None:
            while True:
                for client in slow:
                    client.writer.write(b"y")
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        assert (await proxy.get(URL)).status == 200
        for client in slow:
            assert (await client.answer()).status == 408
        dribbling.cancel()
        assert proxy.proxy.counts["downstream_rq_header_timeout"] == 20
        await until(lambda: proxy.proxy.counts["downstream_cx_active"] <= 1)


async def test_idle_connections_are_closed(made: Servers) -> None:
    server = made.http()
    async with running(entry(server.port), limits=Limits(idle_timeout=0.1)) as proxy:
        silent, used = await proxy.client(), await proxy.client()
        assert (await used.ask(GET)).status == 200
        assert await silent.ended() == b""
        assert await used.ended() == b""


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_request_in_which_nothing_moves(made: Servers, has_begun: bool) -> None:
    server = made.http()
    server.default = Answer(after=60)
    mesh = entry(server.port)
    if has_begun:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            await reader.read()
            writer.close()

        stuck = await asyncio.start_server(serve, "127.0.0.1", 0)
        mesh = entry(stuck.sockets[0].getsockname()[1])
    async with running(mesh, limits=Limits(stream_idle_timeout=0.2)) as proxy:
        client = await proxy.client()
        await client.send(GET)
        if has_begun:
            with pytest.raises(ConnectionError):
                await client.ended()
        else:
            assert (await client.answer()).status == 504
        [line] = await proxy.log(1)
        assert line["response_flags"] == "SI"
    if has_begun:
        stuck.close()


async def test_clients_beyond_the_limit(made: Servers) -> None:
    server = made.http()
    async with running(entry(server.port), limits=Limits(connections=2)) as proxy:
        kept = [await proxy.client(), await proxy.client()]
        await until(lambda: proxy.proxy.counts["downstream_cx_active"] == 2)
        more = await proxy.client()
        with pytest.raises(ConnectionError):
            await more.ended()
        assert proxy.proxy.counts["downstream_cx_overflow"] == 1
        assert (await kept[0].ask(GET)).status == 200
        kept[1].close()
        await until(lambda: proxy.proxy.counts["downstream_cx_active"] == 1)
        assert (await (await proxy.client()).ask(GET)).status == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
async def test_no_open_relay(made: Servers, address: str) -> None:
    """Where other machines reach it, what nobody declared is let through only if that is asked for."""
    server = made.http()
    open_registry = Registry.from_text(entry(server.port))
    with pytest.raises(InputError, match="open relay"):
        await Proxy(open_registry, [listener("http", address)]).start()
    with pytest.raises(InputError, match="open relay"):
        await Proxy(open_registry, [listener("tls", address)]).start()
    # One that always leads to a declared service relays nothing.
    relaying = Proxy(open_registry, [listener("tcp", f"{address}=api.test:80")])
    await relaying.start()
    await relaying.close()
    async with running(entry(server.port), listeners=[("http", address)], config=CLOSED) as proxy:
        client = await proxy.client(host="::1" if "::" in address else "127.0.0.1")
        assert (await client.ask(GET)).status == 200
        # Configuration that opens the mesh later does not open the proxy.
        proxy.registry.apply(
            put="apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: open}\n"
            "spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: ['*/*']}]}\n"
        )
        assert proxy.registry.route("nowhere.test").kind == "passthrough"
        answer = await client.ask(f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (answer.status, b"open to other machines" in answer.body) == (403, True)
        answer = await client.ask(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT")
        assert answer.status == 403
    async with running(entry(1), listeners=[("http", address)], allow_open_relay=True) as proxy:
        client = await proxy.client(host="::1" if "::" in address else "127.0.0.1")
        assert (await client.ask(f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("http", "15001", "write IP:port"),
        ("http", "localhost:15001", "is no IP address"),
        ("http", "127.0.0.1:99999", "write IP:port"),
        ("http", "127.0.0.1:1=api.test:80", "belongs nothing"),
        ("tls", "127.0.0.1:1=https", "belongs a port"),
        ("tcp", "127.0.0.1:1=postgres", "belongs host:port"),
    ],
)
def test_listeners_that_are_refused(kind: str, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        listener(kind, text)  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [{"headers": 0}, {"connections": -1}, {"idle_timeout": -1.0}])
def test_limits_that_are_none(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        Limits(**limits)  # type: ignore[arg-type]
