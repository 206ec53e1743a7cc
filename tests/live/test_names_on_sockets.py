"""A name that changes, falls silent or does not exist yet, as a program sees it that sends requests with httpx: a real DNS
server, real HTTP servers at two addresses, both engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.dns.server import Record, Server
from tests.live.test_live import QUICK, addresses, until

from roadstead import Live, Registry
from roadstead.clients.httpx import Transport
from roadstead.dns import Policy
from roadstead.dns.system import SystemResolver

OLD, NEW = "127.0.0.1", "127.0.0.2"


class Place:
    """An HTTP server that tells its address in two pieces. A request for /slow gets the second when `go` is set."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.go = asyncio.Event()
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        half, rest = self.address[:4].encode(), self.address[4:].encode()
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(half + rest), half))
                await writer.drain()
                if head.startswith(b"GET /slow "):
                    await self.go.wait()
                writer.write(rest)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def two_places() -> AsyncIterator[tuple[Place, Place, int]]:
    """Both at one port, which is the third."""
    old, new = Place(OLD), Place(NEW)
    first = await asyncio.start_server(old.serve, OLD, 0)
    port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(new.serve, NEW, port)
    async with first, second:
        yield old, new, port


def mesh(port: int) -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec:\n  hosts: [a.test]\n"
        f"  ports: [{{number: {port}, name: http, protocol: HTTP}}]\n  resolution: DNS\n"
    )


def live(registry: Registry, server: Server, policy: Policy = QUICK, timeout: float = 10) -> Live:
    resolver = SystemResolver(["127.0.0.1"], port=server.port, timeout=timeout, hosts=None)
    return Live(registry, resolver=resolver, dns_policy=policy)


async def test_new_requests_go_to_the_new_address_and_old_answers_come_whole(engine_name: str) -> None:
    async with two_places() as (old, new, port), Server() as server:
        registry = Registry.from_text(mesh(port), backend=engine_name)
        url = f"http://a.test:{port}"
        server.zone["a.test"] = Record(a=[OLD])
        async with live(registry, server), httpx.AsyncClient(transport=Transport(registry)) as client:
            assert (await client.get(f"{url}/")).text == OLD
            async with client.stream("GET", f"{url}/slow") as slow:
                server.zone["a.test"] = Record(a=[NEW])
                await until(lambda: addresses(registry, f"outbound|{port}||a.test") == [NEW])
                before = old.requests
                assert [(await client.get(f"{url}/")).text for _ in range(5)] == [NEW] * 5
                # The connection that the first request left open is not taken again.
                assert (old.requests, new.requests) == (before, 5)
                old.go.set()
                assert (await slow.aread()).decode() == OLD


async def test_a_silent_server_takes_nothing_away(engine_name: str) -> None:
    """A dozen look-ups in a row without an answer: a quarter of an hour at Istio's refresh rate."""
    quick = Policy(refresh=0.01, jitter=0, ttl_floor=0.01, ttl_ceiling=0.01)
    async with two_places() as (_, _, port), Server() as server:
        registry = Registry.from_text(mesh(port), backend=engine_name)
        url = f"http://a.test:{port}/"
        server.zone["a.test"] = Record(a=[OLD])
        transport = Transport(registry)
        async with (
            live(registry, server, quick, timeout=0.01) as loops,
            httpx.AsyncClient(transport=transport) as client,
        ):
            # On a busy machine the first answer may come after the time for it, too.
            await client.get(url)
            await until(lambda: addresses(registry, f"outbound|{port}||a.test") == [OLD])
            assert (await client.get(url)).text == OLD
            server.zone["a.test"] = Record(silent=True)
            while loops.status().names[0].failures < 12:
                assert (await client.get(url)).text == OLD
            assert "a.test" in loops.status().names[0].error
            server.zone["a.test"] = Record(a=[NEW])
            await until(lambda: addresses(registry, f"outbound|{port}||a.test") == [NEW])
            assert (await client.get(url)).text == NEW


async def test_a_name_that_does_not_exist_has_no_upstream_and_recovers(engine_name: str) -> None:
    async with two_places() as (_, _, port), Server() as server:
        registry = Registry.from_text(mesh(port), backend=engine_name)
        url = f"http://a.test:{port}/"
        async with live(registry, server), httpx.AsyncClient(transport=Transport(registry)) as client:
            answer = await client.get(url)
            assert (answer.status_code, answer.text) == (503, "no healthy upstream")
            server.zone["a.test"] = Record(a=[NEW])
            await until(lambda: addresses(registry, f"outbound|{port}||a.test") == [NEW])
            assert (await client.get(url)).text == NEW


@pytest.mark.parametrize("address", [OLD, NEW])
async def test_each_place_tells_its_address(address: str) -> None:
    async with two_places() as (_, _, port), httpx.AsyncClient() as client:
        assert (await client.get(f"http://{address}:{port}/")).text == address
