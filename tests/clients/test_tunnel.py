"""Sockets through a tunnel (trafficPolicy.tunnel): what is asked of the endpoint, and what comes of its answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.clients.authority import Authority
from tests.clients.endpoints import Talk, heard
from tests.clients.meshes import entry

from roadstead import NotSpoken, Registry, RoadsteadError, TlsRefused, TunnelRefused
from roadstead.clients.socket import create_connection, open_connection
from roadstead.clients.tunnel import Answer
from roadstead.mesh import Tunnel

TUNNEL = "tunnel: {targetHost: far.test, targetPort: 443}"
ASKED = b"CONNECT far.test:443 HTTP/1.1\r\nhost: far.test:443\r\n\r\n"
YES = b"HTTP/1.1 200 OK\r\n\r\n"


def leading(answer: bytes) -> Callable[[Talk], None]:
    """A forward proxy whose far side says everything back."""

    def serve(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(answer)
        talk.echo()

    return serve


def registry(port: int, engine: str, policy: str = TUNNEL, protocol: str = "TCP") -> Registry:
    return Registry.from_text(entry(port, policy=f"{{{policy}}}", protocol=protocol), backend=engine)


async def said(mesh: Registry, asked: bytes, length: int, *, is_async: bool) -> bytes:
    """What comes of a connection that is asked something."""
    if is_async:
        reader, writer = await open_connection(mesh, "api.test", 80)
        writer.write(asked)
        answer = await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()
        return answer
    with await asyncio.to_thread(create_connection, mesh, "api.test", 80) as made, made.makefile("rb") as file:
        made.sendall(asked)
        return file.read(length)


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
@pytest.mark.parametrize(
    ("answer", "early"),
    [
        (YES, b""),
        (b"HTTP/1.0 204 Fine\r\nproxy-agent: x\r\n\r\n", b"FIRST"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n\r\n", b""),
    ],
)
async def test_an_endpoint_that_leads_on(answer: bytes, early: bytes, engine_name: str, is_async: bool) -> None:
    """The answer's bytes are nobody's but ours, what is behind it the caller's."""
    with heard(leading(answer + early)) as server:
        mesh = registry(server.port, engine_name)
        assert await said(mesh, b"hello", len(early) + 5, is_async=is_async) == early + b"hello"
        assert bytes(server.connections[0]) == ASKED + b"hello"


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answered 407 Proxy Authentication Required"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "answered 101"),
        (b"SSH-2.0-x\r\n\r\n", "no HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "more than 61440 bytes"),
        (b"", "closed the connection"),
    ],
)
async def test_an_endpoint_that_does_not(answer: bytes, why: str, engine_name: str, is_async: bool) -> None:
    def serve(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(answer)

    with heard(serve) as server:
        mesh = registry(server.port, engine_name)
        with pytest.raises(TunnelRefused, match=why) as refused:
            await said(mesh, b"", 0, is_async=is_async)
        assert isinstance(refused.value, ConnectionRefusedError)
        assert str(refused.value).startswith(f"127.0.0.1:{server.port}: asked to CONNECT far.test:443, it ")
    cluster = mesh.cluster("outbound|80||api.test")
    assert cluster is not None
    assert cluster.stats["upstream_cx_active"] == 0
    assert cluster.endpoint_stats()[0]["cx_connect_fail"] == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
async def test_an_endpoint_that_says_nothing(engine_name: str, is_async: bool) -> None:
    with heard(lambda talk: talk.until(b"nothing more")) as server:
        mesh = registry(server.port, engine_name, f"connectionPool: {{tcp: {{connectTimeout: 0.2s}}}}, {TUNNEL}")
        with pytest.raises(TimeoutError):
            await said(mesh, b"", 0, is_async=is_async)


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
async def test_tls_to_the_endpoint(tmp_path: Path, engine_name: str, is_async: bool) -> None:
    """The mesh's, and the PROXY protocol's header before it where that is asked for of a subset."""
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "proxy.test"))
    tls = f"tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: proxy.test}}"
    with heard(leading(YES), context) as server:
        mesh = registry(server.port, engine_name, f"{TUNNEL}, {tls}")
        assert await said(mesh, b"hello", 5, is_async=is_async) == b"hello"
        assert bytes(server.connections[0]) == ASKED + b"hello"


async def test_the_callers_tls_within_it(tmp_path: Path, engine_name: str) -> None:
    """asyncio can have TLS within TLS; a socket that blocks cannot, and says so."""
    authority = Authority(tmp_path)
    outer = authority.server(authority.sign("outer", "proxy.test"))
    inner = authority.server(authority.sign("inner", "api.test"))
    spoken = ssl.create_default_context(cafile=str(authority.root))
    tls = f"tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: proxy.test}}"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\r\n\r\n") == ASKED
        writer.write(YES)
        await writer.start_tls(inner)
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=outer) as server:
        mesh = registry(server.sockets[0].getsockname()[1], engine_name, f"{TUNNEL}, {tls}", "TLS")
        reader, writer = await open_connection(mesh, "api.test", 80, sni="api.test")
        await writer.start_tls(spoken, server_hostname="api.test")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        with pytest.raises(TlsRefused, match="the caller's own TLS inside"):
            create_connection(mesh, "api.test", 80, sni="api.test")


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("tunnel: {protocol: POST, targetHost: far.test, targetPort: 443}", "protocol: CONNECT"),
        (f"connectionPool: {{http: {{h2UpgradePolicy: UPGRADE}}}}, {TUNNEL}", "HTTP/2"),
    ],
)
async def test_what_sockets_cannot(policy: str, why: str, engine_name: str, is_async: bool) -> None:
    with heard() as server:
        mesh = registry(server.port, engine_name, policy)
        with pytest.raises(NotSpoken, match=why):
            await said(mesh, b"", 0, is_async=is_async)
        assert not server.connections


def test_an_address_of_version_six() -> None:
    with pytest.raises(RoadsteadError, match=r"^db: asked to CONNECT \[2001:db8::1\]:443, it closed"):
        Answer(Tunnel("CONNECT", "2001:db8::1", 443), "db").feed(b"")
