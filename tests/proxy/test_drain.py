"""How a proxy ends: nobody who was on the way is cut off before the time is over, and nothing is left."""

from __future__ import annotations

import asyncio

import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Servers
from tests.proxy.running import Client, running, until
from tests.proxy.test_connections import connect, echoing, tcp_entry

from roadstead.metrics.admin import AdminPages

GET = f"GET {URL} HTTP/1.1\r\nHost: api.test\r\n\r\n"


async def test_requests_are_finished_and_idle_clients_are_closed(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        pages = AdminPages(proxy.registry, subject=proxy.proxy)
        assert pages.get("/ready") == (200, "text/plain; charset=UTF-8", "LIVE\n")
        idle, used, busy = await proxy.client(), await proxy.client(), await proxy.client()
        assert (await used.ask(GET)).status == 200
        server.default = Answer(200, b"slow", after=0.3)
        await busy.send(GET)
        await until(lambda: len(server.requests) == 2)
        draining = asyncio.create_task(proxy.proxy.drain(30))
        assert await idle.ended() == b""
        assert await used.ended() == b""
        assert pages.get("/ready")[::2] == (503, "DRAINING\n")
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        answer = await busy.answer()
        assert (answer.body, answer.headers["connection"]) == (b"slow", "close")
        await draining
        assert proxy.proxy.counts["downstream_cx_drain_close"] == 1


async def test_who_takes_too_long_is_cut_off(made: Servers, engine_name: str) -> None:
    server = made.http()
    server.default = Answer(after=60)
    async with echoing() as (_, port), running(entry(server.port, extra=tcp_entry(port)), engine_name) as proxy:
        busy = await proxy.client()
        await busy.send(GET)
        tunnel, status, _ = await connect(proxy, "db.test:5432")
        assert status == 200
        await until(lambda: server.requests)
        draining = asyncio.create_task(proxy.proxy.drain(0.3))
        await tunnel.send("still")
        assert await tunnel.reader.readexactly(5) == b"STILL"
        await draining
        for client in (busy, tunnel):
            assert await cut_off(client)
        lines = await proxy.log(2)
        assert {line["method"] for line in lines} == {"GET", "CONNECT"}


async def cut_off(client: Client) -> bool:
    """Nothing more came, and no more will."""
    try:
        return await client.ended() == b""
    except ConnectionError:
        return True


async def test_admin_pages_of_a_proxy(made: Servers, engine_name: str) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name) as proxy:
        pages = AdminPages(proxy.registry, subject=proxy.proxy)
        assert (await proxy.get(URL)).status == 200
        await proxy.log(1)
        assert "http.egress.downstream_rq_total: 1\n" in pages.get("/stats").body
        assert "http.egress.downstream_cx_total: 1\n" in pages.get("/stats?usedonly&filter=^http").body
        assert (
            'envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="egress"} 1\n' in pages.get("/metrics").body
        )
        assert f"127.0.0.1:{server.port}::rq_success::1\n" in pages.get("/clusters").body
