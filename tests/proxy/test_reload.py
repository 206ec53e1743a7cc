"""Configuration changes under load: whoever's route is still there notices nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.clients.meshes import entry
from tests.clients.servers import Answer, Servers
from tests.proxy.http2_peers import Peer, http2_client, http2_server
from tests.proxy.running import CLOSED, Running, running
from tests.proxy.test_connections import connect, echoing, tcp_entry

_CHANGES = 200
_BODY = b"0123456789abcdef" * 4096


def other(name: str, port: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""


def changed(number: int, *ports: int) -> dict[str, object]:
    """What `apply` is told at the n-th change: rules, policies, endpoints, other services, and gone.test that comes and
    goes."""
    first, second = ports
    kind = number % 5
    if kind == 0:
        rule = f"headers: {{response: {{set: {{x-generation: '{number}'}}}}}}"
        return {"put": entry(first, second, http=rule)}
    if kind == 1:
        return {"put": entry(second, first, policy=f"{{connectionPool: {{tcp: {{maxConnections: {100 + number}}}}}}}")}
    if kind == 2:
        return {"put": entry(first if number % 2 else second, http="timeout: 30s")}
    if kind == 3:
        return {"put": other(f"new-{number}", first)}
    if number % 2:
        return {"put": other("gone", first)}
    return {"delete": ["ServiceEntry/default/gone"]}


async def test_two_hundred_changes_under_load(made: Servers, engine_name: str) -> None:
    """64 connections: requests one after another, long responses, long uploads, tunnels."""
    one, two = made.http(), made.http()
    for server in (one, two):
        server.default = Answer(200, _BODY)
    over = asyncio.Event()
    failed: Counter[str] = Counter()
    done: Counter[str] = Counter()

    async with echoing() as (_, port):
        mesh = entry(one.port, two.port, extra=other("gone", one.port) + "---\n" + tcp_entry(port))
        async with running(mesh, engine_name, config=CLOSED) as proxy:
            workers = [
                *[_repeat(proxy, _get("api.test"), over, done, failed) for _ in range(24)],
                *[_repeat(proxy, _post, over, done, failed) for _ in range(16)],
                *[_repeat(proxy, _get("gone.test"), over, done, failed) for _ in range(8)],
                *[_tunnel(proxy, over, done, failed) for _ in range(16)],
            ]
            running_ = [asyncio.create_task(work) for work in workers]
            assert len(running_) == 64
            version = proxy.registry.version
            for number in range(_CHANGES):
                before = sum(done.values())
                await asyncio.to_thread(lambda n=number: proxy.registry.apply(**changed(n, one.port, two.port)))
                # Everybody's next request meets the next configuration.
                while sum(done.values()) == before:
                    await asyncio.sleep(0)
            over.set()
            await asyncio.gather(*running_)
            assert proxy.registry.version - version == _CHANGES
    assert failed == Counter()
    assert done["api.test"] > _CHANGES / 4
    assert done["post"]
    assert done["tunnel"]
    # It came and went meanwhile, and was refused as long as it was away.
    assert done["gone.test 200"]
    assert done["gone.test 502"]


def policies(number: int) -> str:
    """What the n-th change asks of connections of HTTP/2."""
    return [
        "{connectionPool: {http: {maxConcurrentStreams: 3}}}",
        "{connectionPool: {http: {maxRequestsPerConnection: 5}}}",
        "{connectionPool: {tcp: {maxConnections: 1}}}",
        f"{{connectionPool: {{http: {{http2MaxRequests: {1000 + number}}}}}}}",
        "{connectionPool: {tcp: {maxConnectionDuration: 0.05s}}}",
    ][number % 5]


async def test_changes_under_streams(engine_name: str) -> None:
    """32 streams of HTTP/2 over two connections of clients, while limits of the endpoint's connections change."""
    over = asyncio.Event()
    failed: Counter[str] = Counter()
    done: Counter[str] = Counter()

    async def ask(peer: Peer) -> None:
        while not over.is_set():
            stream = peer.get("api.test", "/x", method="POST", end=False)
            await stream.send(b"u" * 5000, end=True)
            await stream.done()
            kind = "ok" if (stream.headers.get(":status"), stream.body) == ("200", b"u" * 5000) else str(stream.headers)
            (done if kind == "ok" else failed)[kind] += 1

    async with http2_server() as server:
        text = entry(server.port, http="retries: {attempts: 0}", protocol="HTTP2")
        async with (
            running(text, engine_name) as proxy,
            http2_client(proxy.port) as first,
            http2_client(proxy.port) as second,
        ):
            workers = [asyncio.create_task(ask(peer)) for peer in (first, second) for _ in range(16)]
            for number in range(100):
                before = sum(done.values())
                put = entry(server.port, http="retries: {attempts: 0}", protocol="HTTP2", policy=policies(number))
                await asyncio.to_thread(proxy.registry.apply, put=put)
                while sum(done.values()) == before and not failed:
                    await asyncio.sleep(0)
            over.set()
            await asyncio.gather(*workers)
    assert failed == Counter()
    assert len(server.peers) > 3


_Ask = Callable[[Running, "Counter[str]"], Awaitable[str]]


async def _repeat(
    proxy: Running, asking: Callable[..., Awaitable[str]], over: asyncio.Event, done: Counter[str], failed: Counter[str]
) -> None:
    client = await proxy.client()
    while not over.is_set():
        try:
            done[await asking(client)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            failed[repr(error)] += 1
            return
    client.close()


def _get(host: str) -> Callable[..., Awaitable[str]]:
    async def get(client: object) -> str:
        answer = await client.ask(f"GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n")  # type: ignore[attr-defined]
        if host == "gone.test" and answer.status == 502:
            assert b"is not in the registry" in answer.body
            return "gone.test 502"
        assert (answer.status, answer.body == _BODY) == (200, True)
        return "gone.test 200" if host == "gone.test" else host

    return get


async def _post(client: object) -> str:
    head = "POST http://api.test/x HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    await client.send(head)  # type: ignore[attr-defined]
    for _ in range(10):
        await client.send(b"2000\r\n" + b"z" * 8192 + b"\r\n")  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    await client.send(b"0\r\n\r\n")  # type: ignore[attr-defined]
    answer = await client.answer()  # type: ignore[attr-defined]
    assert (answer.status, answer.body == _BODY) == (200, True)
    return "post"


async def _tunnel(proxy: Running, over: asyncio.Event, done: Counter[str], failed: Counter[str]) -> None:
    """One connection for all the time: it outlives every change."""
    try:
        client, status, _ = await connect(proxy, "db.test:5432")
        assert status == 200
        while not over.is_set():
            await client.send(b"a" * 1000)
            assert await client.reader.readexactly(1000) == b"A" * 1000
            done["tunnel"] += 1
        client.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        failed[repr(error)] += 1
