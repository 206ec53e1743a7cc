"""Bytes in both directions of one connection, no faster than the slower side: asyncio's pauses, for coroutines."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import Protocol, cast

from roadstead.host import with_port


def cut(transport: asyncio.Transport) -> None:
    """End a connection with a reset: an end alone would say that all was sent."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Flow(asyncio.Protocol):
    """A connection that can be written to at its own pace, and whose reading others may hold up."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._holds = 0
        self._is_full = False
        self._room: list[asyncio.Future[None]] = []
        self.is_lost = False
        # The instant of the loop at which something last moved, either way.
        self.moved = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        self.is_lost = True
        self._wake()

    def pause_writing(self) -> None:
        """Of asyncio.Protocol."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Of asyncio.Protocol."""
        self._is_full = False
        self.moved = self._loop.time()
        self._wake()

    def write(self, data: bytes) -> None:
        """Hand bytes over; wait for `room` before much more."""
        self.moved = self._loop.time()
        self.transport.write(data)

    async def room(self) -> None:
        """Returns when there is room. ConnectionResetError where the connection is gone."""
        while self._is_full and not self.is_lost:
            waiter = self._loop.create_future()
            self._room.append(waiter)
            try:
                await waiter
            finally:
                self._room.remove(waiter)
        if self.is_lost:
            raise ConnectionResetError("the connection is gone")

    def hold(self) -> None:
        """Read nothing more until as many `release`."""
        self._holds += 1
        if self._holds == 1 and not self.transport.is_closing():
            self.transport.pause_reading()

    def release(self) -> None:
        """End one hold."""
        self._holds -= 1
        if self._holds == 0 and not self.transport.is_closing():
            self.transport.resume_reading()

    def cut(self) -> None:
        """End the connection so that the peer sees that something is missing (a reset, not an end)."""
        cut(self.transport)

    def _wake(self) -> None:
        for waiter in self._room:
            if not waiter.done():
                waiter.set_result(None)


class Source(Protocol):
    """Where blocks come from."""

    def hold(self) -> None:
        """Read nothing more until as many `release`."""

    def release(self) -> None:
        """End one hold."""


class Body:
    """A body on its way: blocks come in as they are read, and are taken one by one; beyond `most` bytes that nobody
    took the connection they come from is held up. total: bytes so far. trailers: header lines after it, once it
    ended."""

    __slots__ = ("_blocks", "_error", "_flow", "_held", "_most", "_size", "_waiter", "ended", "total", "trailers")

    def __init__(self, flow: Source, most: int) -> None:
        self._flow = flow
        self._most = most
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._held = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.ended = False
        self.total = 0
        self.trailers: list[tuple[bytes, bytes]] = []

    @property
    def unread(self) -> int:
        """Bytes that are here and that nobody took."""
        return self._size

    @property
    def is_here(self) -> bool:
        """All of it was read."""
        return self.ended and self._error is None

    def feed(self, block: bytes) -> None:
        """Another block was read."""
        self._blocks.append(block)
        self.total += len(block)
        self._size += len(block)
        if self._size > self._most and not self._held:
            self._held = True
            self._flow.hold()
        self._wake()

    def end(self) -> None:
        """There is no more."""
        self.ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """There is more, and it will not come; who takes the next block after those that are here gets the error."""
        if not self.ended:
            self.ended = True
            self._error = error
            self._wake()

    def now(self) -> bytes:
        """What is here, without waiting for more."""
        block = b"".join(self._blocks) if len(self._blocks) != 1 else self._blocks[0]
        self._blocks.clear()
        self._size = 0
        if self._held:
            self._held = False
            self._flow.release()
        return block

    async def take(self) -> bytes:
        """All that is here, or the next that comes; b"" at the end. Raises what `fail` was given."""
        while not self._blocks:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.now()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def name_of(address: object) -> str:
    """A socket's address as Envoy writes it."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = cast("tuple[str, int]", address[:2])
        return with_port(host, port)
    return str(address or "")


__all__ = ["Body", "Flow", "Source", "cut", "name_of"]
