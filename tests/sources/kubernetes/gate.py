"""A TCP relay between a source and an API server, whose connections are cut, held and refused at will."""

from __future__ import annotations

import asyncio
import socket
from typing import Literal

How = Literal["close", "abort", "hold"]
"""close: FIN. abort: RST. hold: nothing comes any more, and nobody says so (a half-open connection)."""


class Gate:
    """port: where it listens. passed: bytes that came back through it. cuts: connections that were cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted: list[tuple[int, How]] = []
        self._letting = False
        self.port = 0
        self.passed = 0
        self.cuts = 0

    async def open(self) -> None:
        """Let connections through (again)."""
        self._letting = True
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Drop all connections and let no new one in."""
        if self._server is not None:
            self._letting = False
            self._server.close()
            self.drop()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()

    def cut(self, after: int, how: How = "close") -> None:
        """Break the next new connection when so many bytes came back through it."""
        self._wanted.append((after, how))

    def drop(self, how: How = "close") -> None:
        """Break all connections now."""
        for writer in list(self._open):
            _end(writer, how)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        after, how = self._wanted.pop(0) if self._wanted else (-1, "close")
        self._open.add(writer)
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._open.add(back)
        if writer.is_closing() or not self._letting:
            # Broken before it was whole.
            back.close()
        asking = asyncio.create_task(_copy(reader, back))
        try:
            await self._answer(there, writer, after, how)
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            self._open -= {writer, back}
            back.transport.abort()
            writer.close()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int, how: How) -> None:
        count = 0
        while after < 0 or count < after:
            data = await there.read(65536 if after < 0 else after - count)
            if not data:
                return
            count += len(data)
            self.passed += len(data)
            writer.write(data)
            await writer.drain()
        self.cuts += 1
        if how == "hold":
            # Until whoever asks gives up, which its side of the connection shows.
            while not writer.is_closing():
                await asyncio.sleep(0.01)
        _end(writer, how)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass


def _end(writer: asyncio.StreamWriter, how: How) -> None:
    if how == "abort":
        link = writer.get_extra_info("socket")
        if link is not None:
            # No lingering: what closes it is a reset.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()
    elif how == "close":
        writer.close()
