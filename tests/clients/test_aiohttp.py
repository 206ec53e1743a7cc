"""What aiohttp's own session does with requests through a registry, and with those beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Servers, servers

from roadstead import Registry
from roadstead.clients.aiohttp import session


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


def test_a_request_can_be_kept_out_of_the_mesh(made: Servers) -> None:
    server = made.http()

    async def work() -> int:
        url = f"http://127.0.0.1:{server.port}/"
        async with session(Registry.from_text(entry(1))) as client, client.get(url, middlewares=()) as answer:
            return answer.status

    assert asyncio.run(work()) == 200
    assert server.requests[0].header("x-envoy-attempt-count") is None


def test_an_answer_is_that_of_the_request_that_was_made(made: Servers) -> None:
    """Whatever was rewritten on the way."""
    server = made.http()

    async def work() -> tuple[str, str, str, str]:
        mesh = entry(server.port, http="rewrite: {uri: /other/, authority: else.test}")
        async with session(Registry.from_text(mesh)) as client, client.get(URL, headers={"X-Mine": "1"}) as answer:
            info = answer.request_info
            return str(answer.url), str(info.url), info.headers["X-Mine"], answer.host or ""

    assert asyncio.run(work()) == (URL, URL, "1", "api.test")
    [request] = server.requests
    assert (request.target, request.header("host")) == ("/other/v1/things?x=1", "else.test")


def test_the_sessions_own_limits_hold(made: Servers) -> None:
    server = made.http()
    server.default = Answer(after=30.0)

    async def work(limit: aiohttp.ClientTimeout) -> None:
        async with session(Registry.from_text(entry(server.port)), timeout=limit) as client:
            await client.get(URL)

    for limit in (aiohttp.ClientTimeout(total=0.05), aiohttp.ClientTimeout(sock_read=0.05)):
        with pytest.raises(TimeoutError):
            asyncio.run(work(limit))


@pytest.mark.parametrize("compress", [None, "deflate"])
def test_bodies_go_as_the_caller_asked(made: Servers, compress: str | None) -> None:
    """Their length, chunks and coding are the library's, also when they are sent again."""
    server = made.http()
    server.script.append(Answer(503))

    async def work() -> int:
        mesh = entry(server.port, http="retries: {attempts: 1, retryOn: 5xx}")
        async with (
            session(Registry.from_text(mesh)) as client,
            client.post(URL, data=b"hello" * 100, compress=compress) as answer,
        ):
            return answer.status

    assert asyncio.run(work()) == 200
    first, second = server.requests
    assert first.body == second.body
    assert first.header("content-encoding") == compress
    assert (first.body == b"hello" * 100) is (compress is None)
    assert (first.header("content-length") is None) is (compress is not None)
