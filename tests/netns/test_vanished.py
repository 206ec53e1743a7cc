"""Half-open connections: the endpoint is gone without a word, as after a power cut. Nothing of it arrives any more, and
nothing arrives there; only TCP keepalive (connectionPool.tcp.tcpKeepalive) can find out."""

from __future__ import annotations

import asyncio
import errno

import pytest
from tests.clients.endpoints import Talk, heard
from tests.clients.meshes import entry
from tests.netns.conftest import Rule  # noqa: TC002 - a room of its own, not a third party
from tests.proxy.running import running
from tests.proxy.test_connections import tcp_entry

from roadstead import Registry
from roadstead.clients.socket import create_connection, open_connection

KEEPALIVE = "{connectionPool: {tcp: {tcpKeepalive: {time: 1s, interval: 1s, probes: 2}}}}"
CLUSTER = "outbound|80||api.test"


def vanish(rule: Rule, port: int) -> None:
    """Every packet from and to the endpoint is lost."""
    rule("INPUT", "-p", "tcp", "--dport", str(port), "-j", "DROP")
    rule("INPUT", "-p", "tcp", "--sport", str(port), "-j", "DROP")


@pytest.mark.parametrize("is_async", [False, True], ids=["socket", "asyncio"])
async def test_a_socket_hears_of_it(rule: Rule, engine_name: str, is_async: bool) -> None:
    with heard() as server:
        registry = Registry.from_text(entry(server.port, policy=KEEPALIVE, protocol="TCP"), backend=engine_name)
        cluster = registry.cluster(CLUSTER)
        assert cluster is not None
        if is_async:
            reader, writer = await open_connection(registry, "api.test", 80)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            vanish(rule, server.port)
            async with asyncio.timeout(60):
                with pytest.raises(OSError) as broken:
                    await reader.read(1)
            writer.close()
        else:
            with create_connection(registry, "api.test", 80) as made:
                made.sendall(b"x")
                assert made.recv(1) == b"x"
                vanish(rule, server.port)
                made.settimeout(60)
                with pytest.raises(OSError) as broken:
                    made.recv(1)
        assert broken.value.errno == errno.ETIMEDOUT
        assert cluster.stats["upstream_cx_active"] == 0


async def test_a_client_of_the_proxy_hears_of_it(rule: Rule, engine_name: str) -> None:
    """A reset, never an end that looks whole; the place is given back."""
    with heard() as server:
        mesh = tcp_entry(server.port, policy=KEEPALIVE)
        async with running(mesh, engine_name, listeners=[("tcp", "127.0.0.1:0=db.test:5432")]) as proxy:
            client = await proxy.client()
            await client.send("x")
            assert await client.reader.readexactly(1) == b"x"
            vanish(rule, server.port)
            with pytest.raises(ConnectionError):
                await client.ended()
            [line] = await proxy.log(1)
            assert (line["bytes_received"], line["bytes_sent"]) == (1, 1)
            cluster = proxy.registry.cluster("outbound|5432||db.test")
            assert cluster is not None
            assert cluster.stats["upstream_cx_active"] == 0


async def test_within_a_response(rule: Rule, engine_name: str) -> None:
    def half(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nHALF")
        talk.more()

    with heard(half) as server:
        async with running(entry(server.port, policy=KEEPALIVE), engine_name) as proxy:
            client = await proxy.client()
            await client.send("GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")
            assert (await client.reader.readuntil(b"HALF")).startswith(b"HTTP/1.1 200 OK\r\n")
            vanish(rule, server.port)
            with pytest.raises(ConnectionError):
                await client.ended()
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UC"


async def test_before_a_response(rule: Rule, engine_name: str) -> None:
    """Another endpoint is tried."""

    def nothing(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.more()

    def fine(talk: Talk) -> None:
        talk.until(b"\r\n\r\n")
        talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nFINE")

    turns = f"{KEEPALIVE[:-1]}, loadBalancer: {{simple: ROUND_ROBIN}}}}"
    again = "retries: {attempts: 1, retryOn: reset}"
    with heard(nothing) as server, heard(fine) as other:
        async with running(entry(server.port, other.port, policy=turns, http=again), engine_name) as proxy:
            client = await proxy.client()
            await client.send("GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n")
            while not server.connections or not server.connections[0].endswith(b"\r\n\r\n"):
                await asyncio.sleep(0.01)
            vanish(rule, server.port)
            assert (await client.answer()).body == b"FINE"
