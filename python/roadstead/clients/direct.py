"""Connections of a cluster that sets no limit of them, for httpx. The library's own pool looks at all its connections,
and at all who wait for one, twice a request; here nobody waits, and the one that was used last is the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast
from weakref import WeakSet

if TYPE_CHECKING:
    import httpcore

C = TypeVar("C", "httpcore.HTTPConnection", "httpcore.AsyncHTTPConnection")


# Seconds between two looks at all that are idle: endpoints vanish, and nobody asks for their connections any more.
_SWEEP = 1.0


class _Idle(Generic[C]):
    """Connections to each place that nobody uses, and all that there are. Any thread may take one."""

    def __init__(self, made: Callable[[httpcore.Origin], C]) -> None:
        self._made: Callable[[httpcore.Origin], C] = made
        self._stacks: dict[tuple[bytes, bytes, int], list[C]] = {}
        self._lock = threading.Lock()
        self._swept = 0.0
        self.all: WeakSet[C] = WeakSet()

    def taken(self, origin: httpcore.Origin) -> tuple[C, list[C]]:
        """One to use, and those that are to be closed."""
        old: list[C] = []
        with self._lock:
            now = time.monotonic()
            if now - self._swept >= _SWEEP:
                self._swept = now
                self._sweep(old)
            stack = self._stacks.get((origin.scheme, origin.host, origin.port))
            while stack:
                found = stack.pop()
                if found.is_idle() and not found.has_expired():
                    return found, old
                old.append(found)
        made = self._made(origin)
        self.all.add(made)
        return made, old

    def put_back(self, connection: C, origin: httpcore.Origin) -> None:
        """A response is over; what cannot be used again is closed already."""
        if connection.is_idle():
            with self._lock:
                self._stacks.setdefault((origin.scheme, origin.host, origin.port), []).append(connection)

    def _sweep(self, old: list[C]) -> None:
        for key, stack in list(self._stacks.items()):
            gone = [connection for connection in stack if connection.has_expired()]
            if len(gone) == len(stack):
                del self._stacks[key]
            elif gone:
                self._stacks[key] = [connection for connection in stack if connection not in gone]
            old += gone


class Direct:
    """As `httpcore.ConnectionPool`. made: a new connection."""

    def __init__(self, made: Callable[[httpcore.Origin], httpcore.HTTPConnection]) -> None:
        self._idle = _Idle(made)

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Of the pool."""
        origin = request.url.origin
        connection, old = self._idle.taken(origin)
        for one in old:
            one.close()
        response = connection.handle_request(request)
        response.stream = _Stream(response.stream, partial(self._idle.put_back, connection, origin))
        return response

    def close(self) -> None:
        """Of the pool."""
        for connection in list(self._idle.all):
            connection.close()


class AsyncDirect:
    """As `httpcore.AsyncConnectionPool`."""

    def __init__(self, made: Callable[[httpcore.Origin], httpcore.AsyncHTTPConnection]) -> None:
        self._idle = _Idle(made)

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Of the pool."""
        origin = request.url.origin
        connection, old = self._idle.taken(origin)
        for one in old:
            await one.aclose()
        response = await connection.handle_async_request(request)
        response.stream = _AsyncStream(response.stream, partial(self._idle.put_back, connection, origin))
        return response

    async def aclose(self) -> None:
        """Of the pool."""
        for connection in list(self._idle.all):
            await connection.aclose()


class _Stream:
    """A body; at its end its connection is the next one's."""

    __slots__ = ("_over", "_stream")

    def __init__(self, stream: object, over: Callable[[], None]) -> None:
        self._stream = stream
        self._over: Callable[[], None] | None = over

    def __iter__(self) -> Iterator[bytes]:
        return iter(cast("Iterator[bytes]", self._stream))

    def close(self) -> None:
        cast("httpcore.Response", self._stream).close()
        over, self._over = self._over, None
        if over is not None:
            over()


class _AsyncStream:
    """The same in asyncio."""

    __slots__ = ("_over", "_stream")

    def __init__(self, stream: object, over: Callable[[], None]) -> None:
        self._stream = stream
        self._over: Callable[[], None] | None = over

    def __aiter__(self) -> AsyncIterator[bytes]:
        return cast("AsyncIterator[bytes]", self._stream).__aiter__()

    async def aclose(self) -> None:
        await cast("httpcore.Response", self._stream).aclose()
        over, self._over = self._over, None
        if over is not None:
            over()


__all__ = ["AsyncDirect", "Direct"]
