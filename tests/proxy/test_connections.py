"""CONNECT, TLS by its server name, TCP by listener and by address: what the proxy carries as it is."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.clients.authority import Authority
from tests.clients.meshes import entry
from tests.clients.servers import Answer, Servers
from tests.proxy.running import CLOSED, Client, Running, running, until

from roadstead import Registry
from roadstead.metrics.istio import ConnectionRecorder
from roadstead.proxy import Limits


class Echo:
    """Says what it hears, in capitals. most_open: connections at one time. greeting: said first."""

    def __init__(self) -> None:
        self.open = self.most_open = self.seen = 0
        self.greeting = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.seen += 1
        self.most_open = max(self.open, self.most_open)
        try:
            if self.greeting:
                writer.write(self.greeting)
            while block := await reader.read(65536):
                writer.write(block.upper())
                await writer.drain()
            writer.write(b"BYE")
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def echoing(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Echo, int]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0, ssl=context)
    try:
        yield echo, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await until(lambda: not echo.open)


def tcp_entry(
    *ports: int, protocol: str = "TCP", policy: str = "", addresses: str = "", number: int = 5432, extra: str = ""
) -> str:
    endpoints = "".join(f"  - {{address: 127.0.0.1, ports: {{db: {port}}}}}\n" for port in ports)
    text = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db}}
spec:
  hosts: [db.test]
  {addresses}
  ports: [{{number: {number}, name: db, protocol: {protocol}}}]
  resolution: STATIC
  endpoints:
{endpoints}"""
    if policy:
        text += f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: db}}
spec:
  host: db.test
  trafficPolicy: {policy}
"""
    return text + extra


async def connect(proxy: Running, target: str) -> tuple[Client, int, str]:
    """A CONNECT; its client, status and body."""
    client = await proxy.client()
    await client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
    head = await client.reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    if status == 200:
        return client, status, ""
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return client, status, (await client.reader.readexactly(length)).decode()


async def test_a_tunnel(engine_name: str) -> None:
    async with echoing() as (echo, port), running(tcp_entry(port), engine_name, config=CLOSED) as proxy:
        echo.greeting = b"hello"
        client, status, _ = await connect(proxy, "db.test:5432")
        assert status == 200
        assert await client.reader.readexactly(5) == b"hello"
        await client.send("select")
        assert await client.reader.readexactly(6) == b"SELECT"
        # One direction ends, the other goes on.
        client.writer.write_eof()
        assert await client.ended() == b"BYE"
        [line] = await proxy.log(1)
        assert (line["method"], line["response_code"], line["authority"]) == ("CONNECT", 200, "db.test:5432")
        assert (line["bytes_received"], line["bytes_sent"]) == (6, 14)
        assert line["upstream_cluster"] == "outbound|5432||db.test"
        live = proxy.registry.cluster("outbound|5432||db.test")
        assert live is not None
        assert live.stats["upstream_cx_active"] == 0


async def test_bytes_sent_along_with_connect(engine_name: str) -> None:
    async with echoing() as (_, port), running(tcp_entry(port), engine_name) as proxy:
        client = await proxy.client()
        await client.send("CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test\r\n\r\nearly")
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(5) == b"EARLY"


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("nowhere.test:443", 502, "nowhere.test is not in the registry"),
        ("db.test:81", 502, "db.test declares no port 81 (it has 5432)"),
        ("db.test:5432", 503, "Connect call failed"),
    ],
)
async def test_tunnels_that_do_not_come_about(engine_name: str, target: str, status: int, said: str) -> None:
    """The client is told before it speaks, and its connection is as good as before."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = taken.getsockname()[1]
    async with running(tcp_entry(dead), engine_name, config=CLOSED) as proxy:
        client, found, body = await connect(proxy, target)
        assert (found, said in body) == (status, True), body
        await client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(f"HTTP/1.1 {status}".encode())
        lines = await proxy.log(2)
        assert {line["response_code"] for line in lines} == {status}


async def test_a_connect_that_is_looked_into(made: Servers, engine_name: str) -> None:
    """A port declared as HTTP: rules hold within the tunnel as without."""
    server = made.http()
    mesh = entry(server.port, http="headers: {request: {set: {x-rule: '1'}}}")
    async with running(mesh, engine_name, config=CLOSED) as proxy:
        client, status, _ = await connect(proxy, "api.test:80")
        assert status == 200
        for path in ("/a", "/b"):
            answer = await client.ask(f"GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n")
            assert (answer.status, answer.body) == (200, b"ok")
    assert [(request.target, request.header("x-rule")) for request in server.requests] == [("/a", "1"), ("/b", "1")]


async def test_tls_through_a_tunnel_is_the_clients_own(tmp_path: Path, engine_name: str) -> None:
    authority = Authority(tmp_path)
    server = authority.server(authority.sign("server", "db.test"))
    trusting = ssl.create_default_context(cafile=str(authority.root))
    async with echoing(server) as (_, port), running(tcp_entry(port, protocol="TLS"), engine_name) as proxy:
        client, status, _ = await connect(proxy, "db.test:5432")
        assert status == 200
        await client.writer.start_tls(trusting, server_hostname="db.test")
        await client.send("secret")
        assert await client.reader.readexactly(6) == b"SECRET"


@pytest.mark.parametrize("name", ["db.test", "DB.test"])
async def test_tls_by_its_server_name(tmp_path: Path, engine_name: str, name: str) -> None:
    authority = Authority(tmp_path)
    server = authority.server(authority.sign("server", "db.test"))
    trusting = ssl.create_default_context(cafile=str(authority.root))
    async with echoing(server) as (_, port):
        mesh = tcp_entry(port, protocol="TLS", number=443)
        async with running(mesh, engine_name, listeners=[("tls", "127.0.0.1:0=443")], config=CLOSED) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusting, server_hostname=name)
            writer.write(b"secret" * 100_000)
            assert await reader.readexactly(600_000) == b"SECRET" * 100_000
            writer.close()
            [line] = await proxy.log(1)
            assert (line["requested_server_name"], line["upstream_cluster"]) == ("db.test", "outbound|443||db.test")
            assert line["response_code"] == 0


async def test_a_hello_in_pieces(tmp_path: Path) -> None:
    """Its bytes may come one by one."""
    authority = Authority(tmp_path)
    server = authority.server(authority.sign("server", "db.test"))
    trusting = ssl.create_default_context(cafile=str(authority.root))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = trusting.wrap_bio(incoming, outgoing, server_hostname="db.test")
    async with echoing(server) as (_, port):
        mesh = tcp_entry(port, protocol="TLS", number=443)
        async with running(mesh, listeners=[("tls", "127.0.0.1:0=443")]) as proxy:
            client = await proxy.client()
            while True:
                try:
                    handshake.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        await client.send(bytes([byte]))
                    incoming.write(await client.reader.read(65536))
            assert handshake.version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("said", "details"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "tls_inspector: "),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "tls_inspector: "),
        (b"", "tls_inspector: no ClientHello in time"),
        (b"\x16\x03\x01", "tls_inspector: no ClientHello in time"),
    ],
)
async def test_what_begins_no_tls(said: bytes, details: str) -> None:
    """A handshake that stalls, or is none, is cut off and goes nowhere."""
    limits = Limits(headers_timeout=0.2)
    async with running(tcp_entry(1), listeners=[("tls", "127.0.0.1:0=443")], limits=limits) as proxy:
        client = await proxy.client()
        await client.send(said)
        with pytest.raises(ConnectionError):
            await client.ended()
        [line] = await proxy.log(1)
        assert line["response_code_details"].startswith(details)


@pytest.mark.parametrize(("name", "flags"), [("nowhere.test", "UH"), ("", "NR")])
async def test_tls_that_is_not_let_through(name: str, flags: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with running(tcp_entry(1), listeners=[("tls", "127.0.0.1:0=443")], config=CLOSED) as proxy:
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context, server_hostname=name)
        [line] = await proxy.log(1)
        assert line["response_flags"] == flags


async def test_a_stalled_handshake_of_the_endpoint(tmp_path: Path, engine_name: str) -> None:
    """The mesh's TLS to an endpoint that accepts and says nothing: the connect timeout holds, and nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        policy = "{tls: {mode: SIMPLE}, connectionPool: {tcp: {connectTimeout: 0.2s}}}"
        async with running(
            tcp_entry(port, policy=policy), engine_name, listeners=[("tcp", "127.0.0.1:0=db.test:5432")]
        ) as proxy:
            client = await proxy.client()
            with pytest.raises(ConnectionError):
                await client.ended()
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UF,URX"
            assert "connect timeout" in line["upstream_transport_failure_reason"]
        mesh = entry(port, policy=policy, http="retries: {attempts: 0}")
        async with running(mesh, engine_name) as proxy:
            answer = await proxy.get("http://api.test/")
            assert answer.status == 503
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UF"


async def test_at_most_ten_connections_to_the_database(engine_name: str) -> None:
    policy = "{connectionPool: {tcp: {maxConnections: 10}}}"
    async with echoing() as (echo, port):
        listeners = [("tcp", "127.0.0.1:0=db.test:5432"), ("http", "127.0.0.1:0")]
        async with running(tcp_entry(port, policy=policy), engine_name, listeners=listeners) as proxy:
            held = []
            for _ in range(10):
                client = await proxy.client()
                await client.send("hi")
                assert await client.reader.readexactly(2) == b"HI"
                held.append(client)
            refused = await proxy.client()
            with pytest.raises(ConnectionError):
                await refused.ended()
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UO"
            client = await proxy.client(1)
            answer = await client.ask("CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test\r\n\r\n", "CONNECT")
            assert answer.status == 503
            assert (echo.most_open, echo.seen) == (10, 10)
            held[0].close()
            live = proxy.registry.cluster("outbound|5432||db.test")
            assert live is not None
            await until(lambda: live.stats["upstream_cx_active"] == 9)
            client = await proxy.client()
            await client.send("hi")
            assert await client.reader.readexactly(2) == b"HI"


async def test_the_address_that_was_dialled(engine_name: str) -> None:
    """A virtual IP of a service, here one of loopback's: whoever reaches it gets the service."""
    async with echoing() as (_, port):
        mesh = tcp_entry(port, addresses="addresses: [127.0.0.77]", number=port)
        listeners = [("tcp", f"127.0.0.77:{port}")]
        async with running(mesh, engine_name, listeners=listeners, config=CLOSED) as proxy:
            client = await proxy.client(host="127.0.0.77")
            await client.send("hi")
            assert await client.reader.readexactly(2) == b"HI"
            client.close()
            [line] = await proxy.log(1)
            assert line["upstream_cluster"] == f"outbound|{port}||db.test"
            assert line["downstream_local_address"] == f"127.0.0.77:{port}"


async def test_connections_end_when_the_policy_says(engine_name: str) -> None:
    for setting, why in (
        ("idleTimeout: 0.2s", "idle_timeout"),
        ("maxConnectionDuration: 0.2s", "max_connection_duration"),
    ):
        policy = f"{{connectionPool: {{tcp: {{{setting}}}}}}}"
        async with echoing() as (_, port):
            listeners = [("tcp", "127.0.0.1:0=db.test:5432")]
            async with running(tcp_entry(port, policy=policy), engine_name, listeners=listeners) as proxy:
                client = await proxy.client()
                await client.send("hi")
                assert await client.reader.readexactly(2) == b"HI"
                assert await client.ended() == b""
                [line] = await proxy.log(1)
                assert line["connection_termination_details"] == why


async def test_the_slower_side_sets_the_pace(engine_name: str) -> None:
    """Nobody reads: the proxy stops reading too, with what it holds bounded."""
    async with echoing() as (_, port):
        listeners = [("tcp", "127.0.0.1:0=db.test:5432")]
        async with running(tcp_entry(port), engine_name, listeners=listeners) as proxy:
            loop = asyncio.get_running_loop()
            client = socket.create_connection(("127.0.0.1", proxy.port))
            client.setblocking(False)
            block, sent = b"a" * 65536, 0
            try:
                while True:
                    # Goes on until no buffer between here and the echo takes any more.
                    async with asyncio.timeout(0.5):
                        await loop.sock_sendall(client, block)
                    sent += len(block)
            except TimeoutError:
                pass
            assert sent < 64 * 1024 * 1024
            heard = 0
            while heard < sent:
                heard += len(await loop.sock_recv(client, 1 << 20))
            client.close()


async def test_connections_are_counted_as_istio_counts_them(engine_name: str) -> None:
    async with echoing() as (_, port):
        registry = Registry.from_text(tcp_entry(port), backend=engine_name)
        recorder = ConnectionRecorder(registry)
        listeners = [("tcp", "127.0.0.1:0=db.test:5432")]
        async with running(registry, listeners=listeners, connections=recorder) as proxy:
            client = await proxy.client()
            await client.send("hello")
            assert await client.reader.readexactly(5) == b"HELLO"
            counted = _counted(recorder)
            assert counted["istio_tcp_connections_opened_total"] == 1
            client.writer.write_eof()
            await client.ended()
            await proxy.log(1)
            counted = _counted(recorder)
    assert counted == {
        "istio_tcp_connections_opened_total": 1,
        "istio_tcp_connections_closed_total": 1,
        "istio_tcp_received_bytes_total": 5,
        "istio_tcp_sent_bytes_total": 8,
    }


def _counted(recorder: ConnectionRecorder) -> dict[str, float]:
    samples = [sample for metric in recorder.collect() for sample in metric.samples]
    for sample in samples:
        assert sample.labels["request_protocol"] == "tcp"
        assert sample.labels["destination_service"] == "db.test"
    return {sample.name: sample.value for sample in samples}


async def test_an_endpoint_through_a_reset(engine_name: str) -> None:
    """The endpoint's reset is a reset for the client as well, not an end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    mesh = tcp_entry(server.sockets[0].getsockname()[1])
    async with server, running(mesh, engine_name, listeners=[("tcp", "127.0.0.1:0=db.test:5432")]) as proxy:
        client = await proxy.client()
        await client.send("hi")
        with pytest.raises(ConnectionError):
            await client.ended()
        await proxy.log(1)


async def test_the_mesh_speaks_tls_for_the_client(tmp_path: Path, engine_name: str) -> None:
    """A plain client, an endpoint with mutual TLS."""
    authority = Authority(tmp_path)
    server = authority.server(authority.sign("server", "spiffe://cluster.local/ns/x/sa/db"), clients=True)
    identity = authority.identity(tmp_path / "me", "spiffe://cluster.local/ns/default/sa/me")
    listeners = [("tcp", "127.0.0.1:0=db.test:5432")]
    async with echoing(server) as (_, port):
        mesh = tcp_entry(port, policy="{tls: {mode: ISTIO_MUTUAL}}")
        async with running(mesh, engine_name, listeners=listeners, identity=identity) as proxy:
            client = await proxy.client()
            await client.send("secret")
            assert await client.reader.readexactly(6) == b"SECRET"
        async with running(mesh, engine_name, listeners=listeners) as proxy:
            client = await proxy.client()
            with pytest.raises(ConnectionError):
                await client.ended()
            [line] = await proxy.log(1)
            assert "needs the workload's own certificate" in line["upstream_transport_failure_reason"]


async def test_answers_for_everything_that_was_asked(made: Servers) -> None:
    """Requests after a refused CONNECT on the same connection are served."""
    server = made.http()
    server.default = Answer(200, b"fine")
    async with running(entry(server.port), config=CLOSED) as proxy:
        client, status, _ = await connect(proxy, "nowhere.test:1")
        assert status == 502
        assert (await client.ask("GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")).body == b"fine"
