"""The first bytes of connections whose rule asks for the PROXY protocol, as Envoy writes them, from every client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.clients.authority import Authority
from tests.clients.endpoints import Heard, Talk, heard
from tests.clients.meshes import URL, entry
from tests.clients.ways import CLIENTS, Way
from tests.proxy.running import until

import roadstead.clients.grpc
from roadstead import Live, Registry
from roadstead.clients.checks import opener
from roadstead.clients.socket import create_connection, open_connection
from roadstead.health.target import Opener
from roadstead.proxy_protocol import Peers, opening

FOUR = Peers(("10.1.2.3", 51000), ("192.0.2.7", 443))
SIX = Peers(("2001:db8::1", 51000), ("2001:db8::2", 443))
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


@pytest.fixture
def unconnected() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


@pytest.mark.parametrize(
    ("version", "peers", "first"),
    [
        ("V1", FOUR, b"PROXY TCP4 10.1.2.3 192.0.2.7 51000 443\r\n"),
        ("V1", SIX, b"PROXY TCP6 2001:db8::1 2001:db8::2 51000 443\r\n"),
        ("V1", Peers(("::ffff:10.1.2.3", 1), ("192.0.2.7", 2)), b"PROXY TCP4 10.1.2.3 192.0.2.7 1 2\r\n"),
        ("V1", Peers(("fe80::1%eth0", 1), ("fe80::2", 2)), b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"),
        ("V1", Peers(("10.1.2.3", 1), ("2001:db8::2", 2)), b"PROXY UNKNOWN\r\n"),
        ("V2", FOUR, SIGNATURE + bytes.fromhex("2111000c 0a010203 c0000207 c738 01bb")),
        (
            "V2",
            SIX,
            SIGNATURE
            + bytes.fromhex("21210024 20010db8000000000000000000000001 20010db8000000000000000000000002 c738 01bb"),
        ),
        ("V2", Peers(("10.1.2.3", 1), ("2001:db8::2", 2)), LOCAL),
        ("V2", None, LOCAL),
        ("", FOUR, b""),
    ],
)
def test_what_is_told(version: str, peers: Peers | None, first: bytes, unconnected: socket.socket) -> None:
    assert opening(version, peers, unconnected) == first  # type: ignore[arg-type]


def test_nobodys_connection_tells_its_own_ends() -> None:
    with heard() as server, socket.create_connection(("127.0.0.1", server.port)) as made:
        port = made.getsockname()[1]
        assert opening("V1", None, made) == f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {server.port}\r\n".encode()
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert opening("V1", None, one) == b"PROXY UNKNOWN\r\n"
        assert opening("V2", None, one) == LOCAL


def own(server: Heard, version: str) -> bytes:
    """What the first connection of a process that speaks for itself begins with."""
    host, port = server.peers[0][:2]
    return f"PROXY TCP4 {host} 127.0.0.1 {port} {server.port}\r\n".encode() if version == "V1" else LOCAL


def greeted(talk: Talk) -> None:
    talk.until(b"hello")
    talk.say(b"OK")
    talk.more()


async def greet(registry: Registry, *, is_async: bool) -> None:
    """Through a socket, or asyncio's streams."""
    if is_async:
        reader, writer = await open_connection(registry, "api.test", 80)
        writer.write(b"hello")
        assert await reader.readexactly(2) == b"OK"
        writer.close()
        await writer.wait_closed()
    else:
        with create_connection(registry, "api.test", 80) as made, made.makefile("rb") as file:
            made.sendall(b"hello")
            assert file.read(2) == b"OK"


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_plain_sockets(version: str, engine_name: str, is_async: bool) -> None:
    with heard(greeted) as server:
        mesh = entry(server.port, policy=f"{{proxyProtocol: {{version: {version}}}}}", protocol="TCP")
        await greet(Registry.from_text(mesh, backend=engine_name), is_async=is_async)
        assert bytes(server.connections[0]) == own(server, version) + b"hello"


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
async def test_before_tls(tmp_path: Path, engine_name: str, is_async: bool) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "db.example.com"))
    with heard(greeted, context, before=b"\r\n") as server:
        tls = f"tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: db.example.com}}"
        mesh = entry(server.port, policy=f"{{proxyProtocol: {{version: V1}}, {tls}}}", protocol="TCP")
        await greet(Registry.from_text(mesh, backend=engine_name), is_async=is_async)
        assert bytes(server.connections[0]) == own(server, "V1") + b"hello"


def answering(talk: Talk) -> None:
    """HTTP, behind whatever the connection begins with."""
    while True:
        talk.until(b" HTTP/1.1\r\n")
        talk.until(b"\r\n\r\n")
        talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK")


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("client", CLIENTS)
def test_requests(client: str, version: str, engine_name: str) -> None:
    """Once for each connection, which is used again."""
    with heard(answering) as server:
        mesh = entry(server.port, policy=f"{{proxyProtocol: {{version: {version}}}}}")
        answers = Way(client, engine_name).ask(mesh, ("GET", URL), ("GET", URL))
        assert [one.content for one in answers] == [b"OK", b"OK"]
        [told] = server.connections
        first = own(server, version)
        assert told.startswith(first + b"GET /v1/things?x=1 HTTP/1.1\r\n")
        assert (told.count(first), told.count(b"GET ")) == (1, 2)


CHECKED = "healthCheck: {interval: 1s, timeout: 5s, path: /health}"


@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_health_checks(version: str, engine_name: str) -> None:
    """Or endpoints that wait for the header would be taken for dead."""
    with heard(answering) as server:
        mesh = entry(server.port, policy=f"{{proxyProtocol: {{version: {version}}}, {CHECKED}}}")
        await checked(Registry.from_text(mesh, backend=engine_name), None)
        assert server.connections[0].startswith(own(server, version) + b"GET /health HTTP/1.1\r\n")


async def test_health_checks_under_tls(tmp_path: Path, engine_name: str) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "db.example.com"))
    tls = f"tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: db.example.com}}"
    with heard(answering, context, before=b"\r\n") as server:
        mesh = entry(server.port, policy=f"{{proxyProtocol: {{version: V1}}, {tls}, {CHECKED}}}")
        registry = Registry.from_text(mesh, backend=engine_name)
        await checked(registry, opener(registry))
        assert server.connections[0].startswith(own(server, "V1") + b"GET /health HTTP/1.1\r\n")


async def checked(registry: Registry, through: Opener | None) -> None:
    """Until the endpoint is known to be well."""
    cluster = registry.cluster("outbound|80||api.test")
    assert cluster is not None
    async with Live(registry, opener=through):
        await until(lambda: cluster.endpoints[0].health == "healthy")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "own TLS"])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_grpc(engine_name: str, tmp_path: Path, version: str, *, secure: bool) -> None:
    """Its connections are opened for it. The server hears the header, and what comes behind it is gRPC's, or its TLS."""

    def hear(talk: Talk) -> None:
        talk.until(b"\x16\x03" if secure else b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    policy, protocol = f"{{proxyProtocol: {{version: {version}}}}}", "HTTPS" if secure else "GRPC"
    with heard(hear) as server:
        mesh = entry(server.port, http="retries: {attempts: 0}", policy=policy, protocol=protocol)
        registry = Registry.from_text(mesh, backend=engine_name)
        own_tls = grpc.ssl_channel_credentials(Authority(tmp_path).root.read_bytes()) if secure else None
        opened = roadstead.clients.grpc.channel(registry, "api.test:80", channel_credentials=own_tls)
        with opened as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary("/a.B/C")(b"")
        first = own(server, version)
        assert bytes(server.connections[0][: len(first)]) == first
