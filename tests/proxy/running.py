"""A proxy on loopback in the test's own loop, and a client that writes bytes and reads responses (h11 reads them)."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import h11
import msgspec

from roadstead import Registry
from roadstead.config import MeshConfig
from roadstead.config.mesh_config import MeshOutboundTrafficPolicy
from roadstead.metrics.access_log import AccessLog
from roadstead.proxy import Limits, Proxy, listener

CLOSED = MeshConfig(outbound_traffic_policy=MeshOutboundTrafficPolicy(mode="REGISTRY_ONLY"))


# h11 takes a 101 only where it was asked for.
_UPGRADING = [("host", "x"), ("connection", "upgrade"), ("upgrade", "websocket")]


class Answer(NamedTuple):
    """headers: names in lower case. interim: status codes before it."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: tuple[int, ...] = ()


class Client:
    """One connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        """The next response. h11.RemoteProtocolError where it breaks off."""
        async with asyncio.timeout(30):
            return await self._answer(method)

    async def _answer(self, method: str) -> Answer:
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=_UPGRADING))
        parser.send(h11.EndOfMessage())
        head: h11.Response | None = None
        body, interim = b"", []
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await self._some(head))
            elif isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
                if event.status_code == 101:
                    self.reader._buffer[:0] = parser.trailing_data[0]
                    return Answer(101, _headers(event), b"")
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                self.reader._buffer[:0] = parser.trailing_data[0]
                return Answer(head.status_code, _headers(head), body, tuple(interim))

    async def _some(self, head: h11.Response | None) -> bytes:
        return await self.reader.read(65536)

    async def ask(self, text: str, method: str = "GET") -> Answer:
        await self.send(text)
        return await self.answer(method)

    async def ended(self) -> bytes:
        """What still comes until the proxy closes. ConnectionResetError where it cuts."""
        async with asyncio.timeout(30):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.transport.abort()


def _headers(event: Any) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in event.headers}


class Running:
    """A proxy that runs. log: its access log as JSON, one dict a line."""

    def __init__(self, proxy: Proxy, registry: Registry, out: io.StringIO) -> None:
        self.proxy, self.registry, self._out = proxy, registry, out
        self._clients: list[Client] = []

    @property
    def port(self) -> int:
        return self.proxy.addresses[0][1]

    async def client(self, at: int = 0, host: str = "127.0.0.1") -> Client:
        made = Client(*await asyncio.open_connection(host, self.proxy.addresses[at][1]))
        self._clients.append(made)
        return made

    async def get(self, url: str, *headers: str, method: str = "GET", body: str = "") -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        host = url.partition("://")[2].partition("/")[0]
        lines = [f"{method} {url} HTTP/1.1", f"Host: {host}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        found = await client.ask("\r\n".join(lines) + f"\r\n\r\n{body}", method)
        client.close()
        return found

    async def log(self, lines: int) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""

        def there() -> bool:
            self.proxy._shared.flush()
            return self._out.getvalue().count("\n") >= lines

        await until(there)
        return [msgspec.json.decode(line) for line in self._out.getvalue().splitlines()]

    async def close(self) -> None:
        for client in self._clients:
            client.close()
        await self.proxy.close()


@asynccontextmanager
async def running(
    mesh: str | Registry,
    engine: str | None = None,
    *,
    listeners: Sequence[tuple[str, str]] = (("http", "127.0.0.1:0"),),
    config: MeshConfig | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> AsyncIterator[Running]:
    """A proxy over a mesh, and its end: nothing may be left open. engine: default the one that is installed."""
    registry = mesh if isinstance(mesh, Registry) else Registry.from_text(mesh, mesh=config, backend=engine, seed=1)
    out = io.StringIO()
    proxy = Proxy(
        registry,
        [listener(kind, text) for kind, text in listeners],  # type: ignore[arg-type]
        limits=limits,
        log=AccessLog(out, "json"),
        **options,
    )
    await proxy.start()
    made = Running(proxy, registry, out)
    try:
        yield made
    finally:
        await made.close()
        assert proxy.counts["downstream_cx_active"] == 0
        assert proxy.counts["downstream_rq_active"] == 0
        await until(lambda: all(count == (0, 0) for count in proxy.connections.values()))


async def until(found: Callable[[], object]) -> None:
    """The condition holds."""
    async with asyncio.timeout(30):
        while not found():
            await asyncio.sleep(0.005)
