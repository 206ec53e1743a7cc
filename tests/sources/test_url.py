"""A real HTTP server whose document changes, goes and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tests.sources.collecting import entry, following

from roadstead.sources.url import Url


class Origin(ThreadingHTTPServer):
    """text: what is served; status: with which code. asked: (status, If-None-Match) of each request."""

    text = ""
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[int, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/mesh.yaml"


class _Handler(BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        wanted = self.headers.get("If-None-Match")
        etag, body = f'"{hash(self.server.text)}"', self.server.text.encode()
        status = 304 if self.server.status == 200 and wanted == etag else self.server.status
        self.server.asked.append((status, wanted))
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def until(origin: Origin, count: int) -> None:
    """So many requests were answered."""
    async with asyncio.timeout(30):
        while len(origin.asked) < count:
            await asyncio.sleep(0.01)


async def test_a_document_changes_goes_and_comes_back(origin: Origin) -> None:
    origin.text = entry("a")
    async with following(Url(origin.url, interval=0.02)) as (sink, layers):
        await sink.has(a="a")
        await until(origin, 4)
        assert sink.applied == 1
        assert [status for status, _ in origin.asked[:3]] == [200, 304, 304]
        origin.text = entry("a", "new")
        await sink.has(a="new")
        origin.status = 503
        await until(origin, len(origin.asked) + 3)
        [status] = layers.status()
        assert (status.name, status.loaded, status.error) == (origin.url, True, "HTTP 503 Service Unavailable")
        assert sink.hosts() == {"a": "new"}
        origin.status, origin.text = 200, entry("b")
        await sink.has(b="b")
        await until(origin, len(origin.asked) + 2)
        assert [one.error for one in layers.status()] == [""]


async def test_nobody_listens(origin: Origin) -> None:
    source = Url(f"http://127.0.0.1:{origin.server_address[1]}/x?token=secret", interval=0.02)
    origin.status = 404
    async with following(source) as (sink, layers):
        await until(origin, 2)
        [status] = layers.status()
        assert (status.loaded, status.error, "secret" in status.name) == (False, "HTTP 404 Not Found", False)
        assert sink.hosts() == {}


def test_other_schemes_are_refused() -> None:
    with pytest.raises(ValueError, match="not an HTTP URL"):
        Url("file:///etc/passwd")
