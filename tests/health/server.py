"""An HTTP server on loopback that behaves as a test tells it to, from request to request."""

from __future__ import annotations

import asyncio
from typing import Literal

Behaviour = Literal["ok", "degraded", "error", "silent", "cut", "garbage"]
_ANSWERS: dict[str, bytes] = {
    "ok": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "degraded": b"HTTP/1.1 200 OK\r\nx-envoy-degraded: 1\r\ncontent-length: 0\r\n\r\n",
    "error": b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
    "garbage": b"\0\1\2 what\r\n\r\n",
}


class HealthServer:
    """requests: the heads that came, as text."""

    def __init__(self, behaviour: Behaviour = "ok") -> None:
        self.behaviour: Behaviour = behaviour
        self.requests: list[str] = []
        self.port = 0
        self._news = asyncio.Condition()
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> HealthServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Nothing listens there any more."""
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def asked(self, times: int) -> None:
        """Returns when so many requests came in all."""
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: len(self.requests) >= times), 20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.decode())
            async with self._news:
                self._news.notify_all()
            if self.behaviour == "silent":
                await reader.read()
            elif self.behaviour != "cut":
                writer.write(_ANSWERS[self.behaviour])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()
