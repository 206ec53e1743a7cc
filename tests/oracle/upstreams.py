"""HTTP servers on loopback that say which of them answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread


class Upstreams:
    """Servers in a thread of their own; `ports` in the order in which they were opened."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._servers: list[asyncio.Server] = []

    def open(self, count: int) -> None:
        """More servers, each on a free port of 127.0.0.1."""
        for _ in range(count):
            server = asyncio.run_coroutine_threadsafe(
                asyncio.start_server(_answer, "127.0.0.1", 0), self._loop
            ).result()
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    def __enter__(self) -> Upstreams:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Requests without a body, one after another: 200 with this server's port as the body."""
    port = str(writer.get_extra_info("sockname")[1]).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(port), port)
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@contextmanager
def upstreams(count: int) -> Iterator[list[int]]:
    """The ports of so many servers."""
    with Upstreams() as servers:
        servers.open(count)
        yield servers.ports
