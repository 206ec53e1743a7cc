"""Ports of HTTP/2 and clients of libraries that speak HTTP/1.1 alone: the error, and both ways that it names."""

from __future__ import annotations

import asyncio

import pytest
import requests
from tests.clients.meshes import URL, entry
from tests.clients.ways import Way
from tests.proxy.http2_peers import http2_server
from tests.proxy.running import running

from roadstead import NotSpoken


@pytest.mark.parametrize(
    ("protocol", "policy"),
    [("HTTP2", ""), ("GRPC", ""), ("HTTP", "{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}")],
)
@pytest.mark.parametrize("name", ["requests", "urllib3", "aiohttp"])
def test_it_is_refused_with_what_to_do(name: str, engine_name: str, protocol: str, policy: str) -> None:
    with pytest.raises(NotSpoken) as raised:
        Way(name, engine_name).get(entry(1, protocol=protocol, policy=policy), URL)
    said = str(raised.value)
    assert said.startswith("outbound|80||api.test is spoken to by HTTP/2")
    for advice in ("roadstead.clients.httpx", "http2", "roadstead.clients.grpc", "roadstead proxy", "h2UpgradePolicy"):
        assert advice in said


@pytest.mark.parametrize("name", ["httpx", "httpx async", "httpx2", "httpx2 async"])
async def test_httpx_speaks_it(name: str, engine_name: str) -> None:
    async with http2_server() as server:
        mesh = entry(server.port, protocol="HTTP2")
        got = await asyncio.to_thread(Way(name, engine_name).get, mesh, URL)
        assert (got.status_code, got.content, got.headers["x-path"]) == (200, b"ok", "/v1/things?x=1")


async def test_the_proxy_speaks_it(engine_name: str) -> None:
    async with http2_server() as server, running(entry(server.port, protocol="HTTP2"), engine_name) as proxy:
        proxies = {"http": f"http://127.0.0.1:{proxy.port}"}
        got = await asyncio.to_thread(requests.get, URL, proxies=proxies, timeout=30)
        assert (got.status_code, got.content, got.headers["x-path"]) == (200, b"ok", "/v1/things?x=1")
