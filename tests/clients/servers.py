"""HTTP servers on loopback, in a thread of their own, that do what a test tells them to, request by request."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Request(NamedTuple):
    """What came. headers: names in lower case, in order; connection: counts connections of its server, from 0."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        """The first value."""
        return next((value for known, value in self.headers if known == name), None)


class Answer(NamedTuple):
    """What is done with a request. after: seconds before anything is sent. cut: the connection is closed after so many
    bytes of the answer (0: before any). chunked: the body as one chunk; head: further header lines."""

    status: int = 200
    body: bytes = b"ok"
    headers: tuple[tuple[str, str], ...] = ()
    after: float = 0.0
    cut: int | None = None
    chunked: bool = False


class HttpServer:
    """Answers from `script` first, one by one, then `default`. requests: what came; port: where it listens."""

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext | None = None) -> None:
        self.script: deque[Answer] = deque()
        self.default = Answer()
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self._loop = loop
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """Nothing listens there any more, and all connections are gone."""
        asyncio.run_coroutine_threadsafe(self.close(), self._loop).result(30)

    def again(self) -> None:
        """It listens again, at the same port."""
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(30)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number, self.connections = self.connections, self.connections + 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while await self._answer(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        """Whether the connection can be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        lines = [line.partition(":") for line in head[1:] if line]
        headers = [(name.lower(), value.strip()) for name, _, value in lines]
        body = await _body(reader, dict(headers))
        answer = self.script.popleft() if self.script else self.default
        self.requests.append(Request(method, target, headers, body, number))
        if answer.after:
            await asyncio.sleep(answer.after)
        said = _written(answer, method)
        if answer.cut is not None:
            writer.write(said[: answer.cut])
            await writer.drain()
            return False
        writer.write(said)
        await writer.drain()
        return True


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        found = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            found += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return found
    return await reader.readexactly(int(headers.get("content-length", "0")))


def _written(answer: Answer, method: str) -> bytes:
    length = ("transfer-encoding", "chunked") if answer.chunked else ("content-length", str(len(answer.body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (length, *answer.headers))
    head = f"HTTP/1.1 {answer.status} Text\r\n{lines}\r\n".encode("latin-1")
    if method == "HEAD" or answer.status in (204, 304):
        return head
    if answer.chunked:
        return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.body), answer.body)
    return head + answer.body


class Servers:
    """A thread's servers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._servers: list[HttpServer] = []

    def http(self, context: ssl.SSLContext | None = None) -> HttpServer:
        """Another server, at a free port; with TLS where a context is given."""
        server = HttpServer(self.loop, context)
        asyncio.run_coroutine_threadsafe(server.start(), self.loop).result(30)
        self._servers.append(server)
        return server

    def __enter__(self) -> Servers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextmanager
def servers() -> Iterator[Servers]:
    """Servers for the length of a block."""
    with Servers() as made:
        yield made
