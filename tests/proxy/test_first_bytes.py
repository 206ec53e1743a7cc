"""What the proxy's connections to endpoints begin with: the PROXY protocol's header, and the request for a tunnel."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.clients.authority import Authority
from tests.clients.endpoints import Heard, Talk, heard
from tests.clients.meshes import entry
from tests.clients.test_proxy_protocol import LOCAL, SIGNATURE, answering
from tests.proxy.running import Client, Running, running, until
from tests.proxy.test_connections import connect, echoing, tcp_entry

V1, V2 = "{proxyProtocol: {version: V1}}", "{proxyProtocol: {version: V2}}"
TUNNEL = "tunnel: {targetHost: far.test, targetPort: 443}"
POST = "tunnel: {protocol: POST, targetHost: far.test, targetPort: 443}"
TCP = [("tcp", "127.0.0.1:0=db.test:5432")]


def first(client: Client, version: str) -> bytes:
    """The header that tells of a client of the proxy."""
    host, port = client.writer.get_extra_info("sockname")
    there, dialled = client.writer.get_extra_info("peername")
    if version == V1:
        return f"PROXY TCP4 {host} {there} {port} {dialled}\r\n".encode()
    both = bytes(map(int, f"{host}.{there}".split(".")))
    return SIGNATURE + b"\x21\x11\x00\x0c" + both + port.to_bytes(2, "big") + dialled.to_bytes(2, "big")


async def told(server: Heard, count: int, at: int = 0) -> bytes:
    """The first so many bytes of a connection."""
    await until(lambda: len(server.connections) > at and len(server.connections[at]) >= count)
    return bytes(server.connections[at][:count])


@pytest.mark.parametrize("version", [V1, V2], ids=["V1", "V2"])
async def test_connections_tell_of_their_clients(version: str, engine_name: str) -> None:
    """By listener, by CONNECT, and TLS by its name."""
    with heard() as server:
        mesh = tcp_entry(server.port, policy=version)
        listeners = [*TCP, ("http", "127.0.0.1:0")]
        async with running(mesh, engine_name, listeners=listeners) as proxy:
            client = await proxy.client()
            await client.send("hello")
            assert await told(server, len(first(client, version)) + 5) == first(client, version) + b"hello"
            client, status, _ = await connect(proxy_at(proxy, 1), "db.test:5432")
            assert status == 200
            await client.send("hello")
            assert await told(server, len(first(client, version)) + 5, 1) == first(client, version) + b"hello"


def proxy_at(proxy: Running, at: int) -> Running:
    """The same, for helpers that dial its first listener."""

    class At(Running):
        async def client(self, _: int = 0, host: str = "127.0.0.1") -> Client:
            return await proxy.client(at, host)

    return At(proxy.proxy, proxy.registry, proxy._out)


async def test_before_tls(tmp_path: Path, engine_name: str) -> None:
    """The mesh's, which the proxy speaks, and the client's own, which passes through."""
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "db.test"))
    spoken = ssl.create_default_context(cafile=str(authority.root))
    tls = f"tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: db.test}}"
    with heard(context=context, before=b"\r\n") as server:
        mesh = tcp_entry(server.port, policy=f"{{proxyProtocol: {{version: V1}}, {tls}}}")
        async with running(mesh, engine_name, listeners=TCP) as proxy:
            client = await proxy.client()
            await client.send("hello")
            assert await client.reader.readexactly(5) == b"hello"
            assert bytes(server.connections[0]) == first(client, V1) + b"hello"
        mesh = tcp_entry(server.port, policy=V1, protocol="TLS", number=443)
        async with running(mesh, engine_name, listeners=[("tls", "127.0.0.1:0=443")]) as proxy:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.port, ssl=spoken, server_hostname="db.test"
            )
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert bytes(server.connections[1]) == first(Client(reader, writer), V1) + b"hello"
            writer.close()


GET = "GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n"


@pytest.mark.parametrize("version", [V1, V2], ids=["V1", "V2"])
async def test_requests_of_two_clients_share_no_connection(version: str, engine_name: str) -> None:
    """One client's are sent over its own again, and it goes with the client."""
    with heard(answering) as server:
        async with running(entry(server.port, policy=version), engine_name) as proxy:
            one, other = await proxy.client(), await proxy.client()
            for client in (one, other, one, other):
                assert (await client.ask(GET)).body == b"OK"
            assert len(server.connections) == 2
            for client, sent in zip((one, other), map(bytes, server.connections), strict=True):
                assert sent.startswith(first(client, version) + b"GET / HTTP/1.1\r\n")
                assert (sent.count(first(client, version)), sent.count(b"GET / ")) == (1, 2)
            assert proxy.proxy.connections["outbound|80||api.test"] == (2, 2)
            one.close()
            await until(lambda: proxy.proxy.connections["outbound|80||api.test"] == (1, 1))


async def test_clients_share_connections_that_tell_nothing(engine_name: str) -> None:
    with heard(answering) as server:
        async with running(entry(server.port), engine_name) as proxy:
            for _ in range(3):
                client = await proxy.client()
                assert (await client.ask(GET)).body == b"OK"
                client.close()
            assert len(server.connections) == 1


async def test_a_copy_is_for_nobody(engine_name: str) -> None:
    """As Envoy's: the mirror is told nothing of the client."""
    rule = "mirror: {host: copy.test}"
    with heard(answering) as server, heard(answering) as mirror:
        mesh = entry(server.port, http=rule) + entry(mirror.port, policy=V2).replace("api.test", "copy.test").replace(
            "name: api", "name: copy"
        )
        async with running(mesh, engine_name) as proxy:
            assert (await (await proxy.client()).ask(GET)).body == b"OK"
            assert await told(mirror, len(LOCAL) + 4) == LOCAL + b"GET "


# Tunnels


def leading(answer: bytes) -> Callable[[Talk], None]:
    def serve(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(answer)
        talk.echo()

    return serve


async def test_a_tunnel_by_connect(engine_name: str) -> None:
    asked = b"CONNECT far.test:443 HTTP/1.1\r\nhost: far.test:443\r\n\r\n"
    with heard(leading(b"HTTP/1.1 200 OK\r\n\r\nFIRST")) as server:
        mesh = tcp_entry(server.port, policy=f"{{{TUNNEL}}}")
        async with running(mesh, engine_name, listeners=TCP) as proxy:
            client = await proxy.client()
            assert await client.reader.readexactly(5) == b"FIRST"
            await client.send("hello")
            assert await client.reader.readexactly(5) == b"hello"
            client.writer.write_eof()
            assert await client.ended() == b""
            assert bytes(server.connections[0]) == asked + b"hello"
            [line] = await proxy.log(1)
            assert (line["bytes_received"], line["bytes_sent"]) == (5, 10)


async def test_a_tunnel_by_post(engine_name: str) -> None:
    """Byte for byte as Envoy frames it; each side can end before the other."""

    def serve(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nFIRST\r\n")
        talk.until(b"hello\r\n")
        talk.say(b"6\r\nMIDDLE\r\n")
        talk.until(b"0\r\n\r\n")
        talk.say(b"4\r\nLAST\r\n0\r\n\r\n")
        talk.more()

    asked = b"POST / HTTP/1.1\r\nhost: far.test:443\r\ntransfer-encoding: chunked\r\n\r\n"
    with heard(serve) as server:
        mesh = tcp_entry(server.port, policy=f"{{{POST}}}")
        async with running(mesh, engine_name, listeners=TCP) as proxy:
            client = await proxy.client()
            assert await client.reader.readexactly(5) == b"FIRST"
            await client.send("hello")
            assert await client.reader.readexactly(6) == b"MIDDLE"
            client.writer.write_eof()
            assert await client.ended() == b"LAST"
            assert bytes(server.connections[0]) == asked + b"5\r\nhello\r\n0\r\n\r\n"
            [line] = await proxy.log(1)
            assert (line["bytes_received"], line["bytes_sent"]) == (5, 15)


async def test_a_far_side_that_ends_first(engine_name: str) -> None:
    """The end of the response is the client's end; what the client still sends arrives."""

    def serve(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nBYE")
        talk.until(b"late\r\n")
        talk.until(b"0\r\n\r\n")

    with heard(serve) as server:
        mesh = tcp_entry(server.port, policy=f"{{{POST}}}")
        async with running(mesh, engine_name, listeners=TCP) as proxy:
            client = await proxy.client()
            assert await client.ended() == b"BYE"
            await client.send("late")
            await until(lambda: bytes(server.connections[0]).endswith(b"4\r\nlate\r\n"))
            client.writer.write_eof()
            await proxy.log(1)


async def test_a_body_that_breaks_off_looks_like_it(engine_name: str) -> None:
    def serve(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno number\r\n")

    with heard(serve) as server:
        mesh = tcp_entry(server.port, policy=f"{{{POST}}}")
        async with running(mesh, engine_name, listeners=TCP) as proxy:
            client = await proxy.client()
            with pytest.raises(ConnectionError):
                await client.ended()
            await proxy.log(1)


@pytest.mark.parametrize("tunnel", [TUNNEL, POST], ids=["CONNECT", "POST"])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "answered 403 Forbidden"),
        (b"220 smtp.test ready\r\n\r\n", "no HTTP/1.1"),
        (b"", "closed the connection"),
    ],
)
async def test_an_endpoint_that_does_not_lead_on(tunnel: str, answer: bytes, why: str, engine_name: str) -> None:
    def serve(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(answer)

    with heard(serve) as server:
        mesh = tcp_entry(server.port, policy=f"{{{tunnel}}}")
        async with running(mesh, engine_name, listeners=[*TCP, ("http", "127.0.0.1:0")]) as proxy:
            client = await proxy.client()
            with pytest.raises(ConnectionError):
                await client.ended()
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UF,URX"
            assert why in line["upstream_transport_failure_reason"]
            _, status, body = await connect(proxy_at(proxy, 1), "db.test:5432")
            assert status == 503
            assert why in body


async def test_through_another_proxy(tmp_path: Path, engine_name: str) -> None:
    """TLS to the forward proxy, then the request, then the client's own TLS to the far side."""
    authority = Authority(tmp_path)
    spoken = ssl.create_default_context(cafile=str(authority.root))
    outer = authority.server(authority.sign("outer", "proxy.test"))
    inner = authority.server(authority.sign("inner", "db.test"))

    async with echoing(inner) as (_, port), running(tcp_entry(port, number=443), engine_name) as forward:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await writer.start_tls(outer)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", forward.port)
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

        tls = f"tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: proxy.test}}"
        tunnel = "tunnel: {targetHost: db.test, targetPort: 443}"
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            at = server.sockets[0].getsockname()[1]
            mesh = tcp_entry(at, policy=f"{{{tunnel}, {tls}}}", protocol="TLS", number=443)
            async with running(mesh, engine_name, listeners=[("tls", "127.0.0.1:0=443")]) as proxy:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", proxy.port, ssl=spoken, server_hostname="db.test"
                )
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"HELLO"
                writer.close()
                await proxy.log(1)
            await forward.log(1)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)
    writer.close()
