"""Large bodies and silent peers: what a proxy holds in memory stays small, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from tests.cli.test_proxy import running as process
from tests.clients.meshes import entry
from tests.clients.servers import Servers
from tests.proxy.running import running, until

if TYPE_CHECKING:
    from tests.clients.servers import Servers

_GIGABYTE = 1 << 30
_BLOCK = b"g" * (1 << 18)


class Bulk(asyncio.Protocol):
    """GET: a gigabyte; else what comes is counted and thrown away."""

    got = 0
    task: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.resumed = asyncio.Event()
        self.resumed.set()
        self.head = b""

    def data_received(self, data: bytes) -> None:
        if self.head.endswith(b"\r\n\r\n"):
            self._count(len(data))
            return
        self.head += data
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if not end:
            return
        self.head = head + end
        if head.startswith(b"GET"):
            self.task = asyncio.ensure_future(self.give())
        else:
            self._count(len(rest))

    def _count(self, size: int) -> None:
        self.got += size
        if self.got == _GIGABYTE:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nall!")
            self.head = b""

    async def give(self) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _GIGABYTE)
        for _ in range(_GIGABYTE // len(_BLOCK)):
            self.transport.write(_BLOCK)
            await self.resumed.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        self.resumed.clear()

    def resume_writing(self) -> None:
        self.resumed.set()


def resident(pid: int) -> int:
    """The most a process ever held, bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def test_a_gigabyte_each_way(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bulk, "127.0.0.1", 0)
    (tmp_path / "mesh.yaml").write_text(entry(server.sockets[0].getsockname()[1]))
    arguments = ("-f", "mesh.yaml", "--listen", "127.0.0.1:0", "--admin", "none")
    async with server:
        with process(*arguments, cwd=tmp_path) as proxy:
            port = await proxy.port("http")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            # A small one first, so that what is needed once is there.
            writer.write(f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b"508" in await reader.readuntil(b"\r\n\r\n")
            before = resident(proxy.process.pid)
            writer.close()

            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST http://api.test/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: {_GIGABYTE}\r\n\r\n"
            writer.write(head.encode())
            for _ in range(_GIGABYTE // len(_BLOCK)):
                writer.write(_BLOCK)
                await writer.drain()
            assert (await reader.readuntil(b"all!")).startswith(b"HTTP/1.1 200 OK\r\n")

            writer.write(b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            left = _GIGABYTE
            while left:
                left -= len(await reader.read(1 << 20))
            writer.close()
            assert resident(proxy.process.pid) - before < 16 << 20


@pytest.mark.parametrize("who", ["client", "endpoint"])
async def test_a_slow_reader_holds_the_other_up(engine_name: str, who: str) -> None:
    """What is on the way is bounded by buffers, whatever the other side would send."""
    server = await asyncio.get_running_loop().create_server(Stuck if who == "endpoint" else Bulk, "127.0.0.1", 0)
    async with server, running(entry(server.sockets[0].getsockname()[1]), engine_name) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1024)
        if who == "client":
            writer.write(b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            [client] = proxy.proxy._clients
            await until(lambda: client._is_full)
            size = client.transport.get_write_buffer_size()
        else:
            writer.write(b"POST http://api.test/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 999999999\r\n\r\n")
            sent = await _as_much_as_goes(writer)
            [upstream] = proxy.proxy._shared.pools._known
            size = upstream.transport.get_write_buffer_size() + upstream.body._size
            assert sent < 64 << 20
        assert size < 2 << 20
        writer.transport.abort()
    for one in Stuck.all_of_them:
        one.transport.abort()
    Stuck.all_of_them.clear()


async def _as_much_as_goes(writer: asyncio.StreamWriter) -> int:
    """Bytes, until nobody takes more for a second."""
    sent = 0
    try:
        while sent < _GIGABYTE:
            writer.write(_BLOCK)
            async with asyncio.timeout(1):
                await writer.drain()
            sent += len(_BLOCK)
    except TimeoutError:
        pass
    return sent


class Stuck(asyncio.Protocol):
    """Reads a head, then nothing."""

    all_of_them: ClassVar[list[Stuck]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # Who reads nothing does not see the other side go.
        self.all_of_them.append(self)

    def data_received(self, data: bytes) -> None:
        self.transport.pause_reading()


async def test_peers_that_vanish_are_asked_for(made: Servers, engine_name: str) -> None:
    """Half-open connections: the system asks a silent client whether it is there, and an endpoint where the policy has
    it asked."""
    server = made.http()
    policy = "{connectionPool: {tcp: {tcpKeepalive: {time: 30s, interval: 5s, probes: 2}}}}"
    async with running(entry(server.port, policy=policy), engine_name) as proxy:
        client = await proxy.client()
        assert (await client.ask("GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")).status == 200
        [down] = proxy.proxy._clients
        [up] = proxy.proxy._shared.pools._known
        for transport, idle in ((down.transport, 60), (up.transport, 30)):
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == idle


async def test_an_endpoint_that_went_while_idle(made: Servers, engine_name: str) -> None:
    """A connection the endpoint closed is not used again."""
    server = made.http()
    async with running(entry(server.port, http="retries: {attempts: 0}"), engine_name) as proxy:
        for _ in range(3):
            assert (await proxy.get("http://api.test/")).status == 200
            await asyncio.to_thread(server.stop)
            await until(lambda: proxy.proxy.connections["outbound|80||api.test"] == (0, 0))
            await asyncio.to_thread(server.again)


async def test_connections_to_endpoints_that_left_are_closed(made: Servers, engine_name: str) -> None:
    one, two = made.http(), made.http()
    async with running(entry(one.port), engine_name) as proxy:
        client = await proxy.client()
        get = "GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n"
        assert (await client.ask(get)).status == 200
        proxy.registry.apply(put=entry(two.port))
        assert (await client.ask(get)).status == 200
        await until(lambda: one.open == 0)
        assert (len(one.requests), len(two.requests), two.open) == (1, 1, 1)


async def test_descriptors_are_given_back(made: Servers, engine_name: str) -> None:
    """Whatever clients do, nothing stays open."""
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        assert (await proxy.get("http://api.test/")).status == 200
        before = len(list(Path("/proc/self/fd").iterdir()))
        for said in (
            b"",
            b"GET ",
            b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
            b"\x16\x03",
            b"POST / HTTP/1.1\r\n",
        ):
            for _ in range(20):
                client = await proxy.client()
                await client.send(said)
                client.close()
        await until(lambda: proxy.proxy.counts["downstream_cx_active"] == 0)
        await until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 2)
