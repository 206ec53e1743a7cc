"""Real connections to a server that answers each line: blocking sockets and asyncio's streams, on both engines."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.clients.authority import Authority

from roadstead import ConnectionNotAllowed, NoHealthyEndpoint, Overflow, Registry, TlsRefused
from roadstead.clients.held import give_back
from roadstead.clients.socket import create_connection, open_connection
from roadstead.config import MeshConfig, MeshOutboundTrafficPolicy
from roadstead.metrics.istio import ConnectionRecorder

HOST = "postgres.example.com"
CLUSTER = f"outbound|5432||{HOST}"


def mesh(*ports: int, policy: str, protocol: str = "TCP", name: str = "postgres") -> str:
    endpoints = "\n".join(f"  - {{address: 127.0.0.1, ports: {{{name}: {port}}}}}" for port in ports)
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: external-postgres}}
spec:
  hosts: [{HOST}]
  ports: [{{number: 5432, name: {name}, protocol: {protocol}}}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints:
{endpoints}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: external-postgres}}
spec:
  host: {HOST}
  trafficPolicy: {policy}
"""


GUIDE = "{connectionPool: {tcp: {maxConnections: 10, connectTimeout: 30s, tcpKeepalive: {time: 600s, interval: 60s}}}}"
TURNS = "{loadBalancer: {simple: ROUND_ROBIN}}"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(b"echo " + line)
    writer.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with await asyncio.start_server(_answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def dead() -> int:
    """A port where nobody listens."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def talk(made: socket.socket) -> bytes:
    made.sendall(b"hello\n")
    with made.makefile("rb") as file:
        return file.readline()


def active(registry: Registry) -> int:
    cluster = registry.cluster(CLUSTER)
    assert cluster is not None
    return cluster.stats["upstream_cx_active"]


async def test_at_most_ten_connections_to_a_database(port: int, engine_name: str) -> None:
    registry = Registry.from_text(mesh(port, policy=GUIDE), backend=engine_name)
    made = [create_connection(registry, HOST, 5432) for _ in range(10)]
    assert [await asyncio.to_thread(talk, one) for one in made] == [b"echo hello\n"] * 10
    with pytest.raises(Overflow) as refused:
        create_connection(registry, HOST, 5432)
    assert refused.value.limit == "max_connections"
    with pytest.raises(Overflow):
        await open_connection(registry, HOST, 5432)
    made.pop().close()
    reader, writer = await open_connection(registry, HOST, 5432)
    writer.write(b"x\n")
    assert await reader.readline() == b"echo x\n"
    writer.close()
    await writer.wait_closed()
    made.append(create_connection(registry, HOST, 5432))
    for one in made:
        one.close()
    assert active(registry) == 0


class Counting:
    """A server that counts who is there at one time, as the database does."""

    def __init__(self) -> None:
        self.open = self.most_open = self.seen = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.seen += 1
        self.most_open = max(self.most_open, self.open)
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(b"echo " + line)
        self.open -= 1
        writer.close()


@pytest.mark.parametrize("blocking", [True, False], ids=["socket", "asyncio"])
async def test_the_server_never_sees_more_than_ten(engine_name: str, blocking: bool) -> None:
    """Sixty callers at once, each of which comes again until it was served."""
    counting = Counting()
    async with await asyncio.start_server(counting.serve, "127.0.0.1", 0) as server:
        registry = Registry.from_text(mesh(server.sockets[0].getsockname()[1], policy=GUIDE), backend=engine_name)
        refused: set[str] = set()

        def once() -> bytes:
            with create_connection(registry, HOST, 5432) as made:
                return talk(made)

        async def aonce() -> bytes:
            reader, writer = await open_connection(registry, HOST, 5432)
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line

        async def served() -> None:
            while True:
                try:
                    assert await (asyncio.to_thread(once) if blocking else aonce()) == b"echo hello\n"
                except Overflow as overflow:
                    refused.add(overflow.limit)
                    await asyncio.sleep(0)
                else:
                    return

        await asyncio.gather(*[served() for _ in range(60)])
        assert counting.seen == 60
        # Threads may as well come one after another.
        assert refused == {"max_connections"} or blocking
        assert counting.most_open <= 10
        assert active(registry) == 0


async def test_keepalive(port: int, engine_name: str) -> None:
    registry = Registry.from_text(mesh(port, policy=GUIDE), backend=engine_name)
    _, writer = await open_connection(registry, HOST, 5432)
    with create_connection(registry, HOST, 5432) as made:
        assert made.gettimeout() is None
        for one in (made, writer.get_extra_info("socket")):
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 600
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 60
    writer.close()
    await writer.wait_closed()


async def test_a_file_of_a_socket_holds_the_place(port: int, engine_name: str) -> None:
    registry = Registry.from_text(mesh(port, policy=GUIDE), backend=engine_name)
    made = create_connection(registry, HOST, 5432)
    file = made.makefile("rb")
    made.close()
    assert active(registry) == 1
    file.close()
    assert active(registry) == 0


async def test_a_descriptor_that_was_taken_holds_the_place(port: int, engine_name: str) -> None:
    """What `SSLContext.wrap_socket` does, for databases that begin TLS themselves."""
    registry = Registry.from_text(mesh(port, policy=GUIDE.replace("10", "1")), backend=engine_name)
    with socket.socket(fileno=create_connection(registry, HOST, 5432).detach()), pytest.raises(Overflow):
        create_connection(registry, HOST, 5432)
    create_connection(registry, HOST, 5432).close()
    give_back()
    assert active(registry) == 0


@pytest.mark.parametrize("blocking", [True, False], ids=["socket", "asyncio"])
async def test_nobody_listens(port: int, dead: int, engine_name: str, blocking: bool) -> None:
    """The other endpoint is tried where more than one attempt is allowed; Istio allows one."""
    registry = Registry.from_text(mesh(dead, port, policy=TURNS), backend=engine_name, seed=1)

    async def connect(attempts: int) -> None:
        if blocking:
            create_connection(registry, HOST, 5432, max_connect_attempts=attempts).close()
        else:
            _, writer = await open_connection(registry, HOST, 5432, max_connect_attempts=attempts)
            writer.close()
            await writer.wait_closed()

    outcomes = await asyncio.gather(connect(1), connect(1), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["ConnectionRefusedError", "NoneType"]
    for _ in range(4):
        await connect(2)
    assert active(registry) == 0


@pytest.mark.parametrize("blocking", [True, False], ids=["socket", "asyncio"])
@pytest.mark.parametrize("name", ["db.example.com", "other.example.com"])
async def test_tls_is_originated(tmp_path: Path, engine_name: str, blocking: bool, name: str) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "db.example.com"))
    tls = f"{{tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: {name}, subjectAltNames: [{name}]}}}}"
    async with await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=context) as server:
        registry = Registry.from_text(mesh(server.sockets[0].getsockname()[1], policy=tls), backend=engine_name)

        async def said() -> bytes:
            if blocking:
                with await asyncio.to_thread(create_connection, registry, HOST, 5432) as made:
                    assert isinstance(made, ssl.SSLSocket)
                    return await asyncio.to_thread(talk, made)
            reader, writer = await open_connection(registry, HOST, 5432)
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line

        if name == "db.example.com":
            assert await said() == b"echo hello\n"
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match=r"db\.example\.com"):
                await said()
    assert active(registry) == 0


@pytest.mark.parametrize("blocking", [True, False], ids=["socket", "asyncio"])
async def test_connections_are_counted(port: int, dead: int, engine_name: str, blocking: bool) -> None:
    registry = Registry.from_text(mesh(port, policy=GUIDE), backend=engine_name)
    recorder = ConnectionRecorder(registry)

    def counted() -> dict[tuple[str, str], float]:
        found = [one for family in recorder.collect() for one in family.samples if one.name.endswith("_total")]
        return {(one.name[10:-6], one.labels["response_flags"]): one.value for one in found if one.value}

    opened = {("connections_opened", "-"): 1.0}
    moved = {("sent_bytes", "-"): 11.0, ("received_bytes", "-"): 6.0}
    if blocking:
        made = create_connection(registry, HOST, 5432, recorder=recorder)
        assert counted() == opened
        assert await asyncio.to_thread(talk, made) == b"echo hello\n"
        assert counted() == opened | moved
        made.close()
    else:
        reader, writer = await open_connection(registry, HOST, 5432, recorder=recorder)
        writer.write(b"hello\n")
        await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert counted() == opened | moved | {("connections_closed", "-"): 1.0}
    registry = Registry.from_text(mesh(dead, policy=GUIDE), backend=engine_name)
    with pytest.raises(ConnectionRefusedError):
        create_connection(registry, HOST, 5432, recorder=recorder)
    assert counted()["connections_closed", "UF,URX"] == 1


async def test_bytes_of_a_descriptor_that_was_taken(port: int, engine_name: str) -> None:
    registry = Registry.from_text(mesh(port, policy=GUIDE), backend=engine_name)
    recorder = ConnectionRecorder(registry)
    with socket.socket(fileno=create_connection(registry, HOST, 5432, recorder=recorder).detach()) as taken:
        assert await asyncio.to_thread(talk, taken) == b"echo hello\n"
        found = {one.name: one.value for family in recorder.collect() for one in family.samples}
        assert found["istio_tcp_received_bytes_total"] == 6
    give_back()
    found = {one.name: one.value for family in recorder.collect() for one in family.samples}
    assert (found["istio_tcp_connections_closed_total"], found["istio_tcp_sent_bytes_total"]) == (1, 11)


async def test_unknown_hosts(port: int, engine_name: str) -> None:
    registry = Registry.from_text(mesh(port, policy=GUIDE), backend=engine_name)
    with create_connection(registry, "127.0.0.1", port) as made:
        assert await asyncio.to_thread(talk, made) == b"echo hello\n"
    closed = MeshConfig(outbound_traffic_policy=MeshOutboundTrafficPolicy(mode="REGISTRY_ONLY"))
    registry = Registry.from_text(mesh(port, policy=GUIDE), mesh=closed, backend=engine_name)
    with pytest.raises(ConnectionNotAllowed, match="policy:registry_only") as refused:
        create_connection(registry, "127.0.0.1", port)
    assert isinstance(refused.value, ConnectionRefusedError)
    with pytest.raises(ConnectionNotAllowed):
        await open_connection(registry, "127.0.0.1", port)


def test_what_cannot_be(dead: int, engine_name: str) -> None:
    tls = mesh(dead, policy="{tls: {mode: SIMPLE}}", protocol="TLS", name="tls")
    with pytest.raises(TlsRefused, match="the caller's own TLS inside"):
        create_connection(Registry.from_text(tls, backend=engine_name), HOST, 5432, sni=HOST)
    registry = Registry.from_text(mesh(dead, policy=GUIDE), backend=engine_name)
    with pytest.raises(ValueError, match="max_connect_attempts"):
        create_connection(registry, HOST, 5432, max_connect_attempts=0)
    registry.endpoints(CLUSTER).update([])
    with pytest.raises(NoHealthyEndpoint):
        create_connection(registry, HOST, 5432)
    assert active(registry) == 0
