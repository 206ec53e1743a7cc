"""What becomes of streams of HTTP/2: a real Envoy and our proxy before the same endpoint, asked by the same client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import h2.errors
import pytest
from tests.clients.meshes import entry
from tests.oracle.envoy import Envoy
from tests.proxy.http2_peers import (
    Peer,
    Stream,
    closed,
    echo,
    garbage,
    gone,
    http2_client,
    http2_server,
    refused,
    reset,
)
from tests.proxy.running import running

from roadstead import Registry
from roadstead.mesh import Node

NODE = Node(namespace="default")
CODES = h2.errors.ErrorCodes
GRPC = ("content-type", "application/grpc")


class Outcome(NamedTuple):
    """What the client sees. names: of the headers, but for those that tell of time and of who serves."""

    status: str | None
    grpc: tuple[str | None, str | None]
    names: tuple[str, ...]
    body: bytes
    trailers: dict[str, str]
    reset: int | None


async def _cancelled(stream: Stream) -> None:
    stream.cancel(CODES.CANCEL)


async def _half(stream: Stream) -> None:
    stream.head([(":status", "200")])
    await stream.send(b"half")
    await asyncio.sleep(0.05)
    stream.cancel(CODES.INTERNAL_ERROR)


async def _trailers(stream: Stream) -> None:
    await stream.done()
    stream.head([(":status", "200"), GRPC])
    await stream.send(stream.body)
    stream.end(("grpc-status", "5"), ("grpc-message", "no such thing"), ("x-more", "1"))


async def _trailers_only(stream: Stream) -> None:
    await stream.done()
    stream.head([(":status", "200"), GRPC, ("grpc-status", "14"), ("grpc-message", "busy")], end=True)


async def _early(stream: Stream) -> None:
    stream.answer(403, b"no")
    stream.cancel(CODES.NO_ERROR)


async def _never(stream: Stream) -> None:
    await asyncio.Event().wait()


CASES: dict[str, Callable[[Stream], Awaitable[None]]] = {
    "an answer": echo,
    "REFUSED_STREAM": refused,
    "INTERNAL_ERROR": reset,
    "CANCEL": _cancelled,
    "GOAWAY": gone,
    "closed": closed,
    "no HTTP/2": garbage,
    "half an answer": _half,
    "trailers": _trailers,
    "trailers only": _trailers_only,
    "an early answer": _early,
    "no answer": _never,
}


async def _asked(peer: Peer, *, grpc: bool) -> Outcome:
    stream = peer.get("api.test", "/x", *([GRPC, ("te", "trailers")] if grpc else []), method="POST", end=False)
    await stream.send(b"body", end=True)
    await stream.done()
    told = stream.headers
    names = set(told) - {":status", "date", "server", "x-envoy-upstream-service-time", "content-length"}
    return Outcome(
        told.get(":status"),
        (told.get("grpc-status"), told.get("grpc-message")),
        tuple(sorted(names)),
        stream.body,
        stream.trailers,
        stream.reset,
    )


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
@pytest.mark.parametrize("case", CASES)
async def test_both_end_them_alike(engine_name: str, tmp_path: Path, case: str, grpc: bool) -> None:
    async with http2_server(CASES[case]) as server:
        rule = "retries: {attempts: 0}\n    timeout: 1s"
        registry = Registry.from_text(entry(server.port, http=rule, protocol="HTTP2"), node=NODE, backend=engine_name)
        envoy = Envoy(registry, NODE, 80, tmp_path)
        await asyncio.to_thread(envoy.__enter__)
        try:
            async with http2_client(envoy.port) as peer:
                theirs = await _asked(peer, grpc=grpc)
        finally:
            envoy.__exit__()
        async with running(registry) as proxy, http2_client(proxy.port) as peer:
            ours = await _asked(peer, grpc=grpc)
    assert ours == theirs
    assert server.requests[0].headers[":path"] == server.requests[1].headers[":path"] == "/x"
    assert server.requests[0].headers.get("te") == server.requests[1].headers.get("te")
