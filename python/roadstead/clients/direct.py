"""Connections of a cluster that sets no limit of them, for httpx. The library's own pool looks at all its connections,
and at all who wait for one, twice a request; here nobody waits, and the one that was used last is the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, cast
from weakref import WeakSet

if TYPE_CHECKING:
    import httpcore

C = TypeVar("C", "httpcore.HTTPConnection", "httpcore.AsyncHTTPConnection")


class _Idle(Generic[C]):
    """Connections to each place that nobody uses, and all that there are. Any thread may take one."""

    def __init__(self, made: Callable[[httpcore.Origin], C]) -> None:
        self._made: Callable[[httpcore.Origin], C] = made
        self._stacks: dict[tuple[bytes, bytes, int], list[C]] = {}
        self.all: WeakSet[C] = WeakSet()

    def taken(self, origin: httpcore.Origin) -> tuple[C, list[C], list[C]]:
        """One to use, where it is to be put back, and those that are to be closed."""
        key = (origin.scheme, origin.host, origin.port)
        stack = self._stacks.get(key)
        if stack is None:
            stack = self._stacks.setdefault(key, [])
        old: list[C] = []
        while stack:
            try:
                found = stack.pop()
            except IndexError:
                # Another thread was faster.
                break
            if found.is_idle() and not found.has_expired():
                return found, stack, old
            old.append(found)
        made = self._made(origin)
        self.all.add(made)
        return made, stack, old


def _put_back(connection: C, stack: list[C]) -> C | None:
    """One that came of age meanwhile, to be closed."""
    if not connection.is_idle():
        return None
    stack.append(connection)
    return stack.pop(0) if len(stack) > 1 and stack[0].has_expired() else None


class Direct:
    """As `httpcore.ConnectionPool`. made: a new connection."""

    def __init__(self, made: Callable[[httpcore.Origin], httpcore.HTTPConnection]) -> None:
        self._idle = _Idle(made)

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Of the pool."""
        connection, stack, old = self._idle.taken(request.url.origin)
        for one in old:
            one.close()
        response = connection.handle_request(request)
        response.stream = _Stream(response.stream, connection, stack)
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
        connection, stack, old = self._idle.taken(request.url.origin)
        for one in old:
            await one.aclose()
        response = await connection.handle_async_request(request)
        response.stream = _AsyncStream(response.stream, connection, stack)
        return response

    async def aclose(self) -> None:
        """Of the pool."""
        for connection in list(self._idle.all):
            await connection.aclose()


class _Stream:
    """A body; at its end its connection is the next one's."""

    __slots__ = ("_connection", "_stack", "_stream")

    def __init__(
        self, stream: object, connection: httpcore.HTTPConnection, stack: list[httpcore.HTTPConnection]
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._stack: list[httpcore.HTTPConnection] | None = stack

    def __iter__(self) -> Iterator[bytes]:
        return iter(cast("Iterator[bytes]", self._stream))

    def close(self) -> None:
        cast("httpcore.Response", self._stream).close()
        stack, self._stack = self._stack, None
        if stack is not None and (old := _put_back(self._connection, stack)) is not None:
            old.close()


class _AsyncStream:
    """The same in asyncio."""

    __slots__ = ("_connection", "_stack", "_stream")

    def __init__(
        self, stream: object, connection: httpcore.AsyncHTTPConnection, stack: list[httpcore.AsyncHTTPConnection]
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._stack: list[httpcore.AsyncHTTPConnection] | None = stack

    def __aiter__(self) -> AsyncIterator[bytes]:
        return cast("AsyncIterator[bytes]", self._stream).__aiter__()

    async def aclose(self) -> None:
        await cast("httpcore.Response", self._stream).aclose()
        stack, self._stack = self._stack, None
        if stack is not None and (old := _put_back(self._connection, stack)) is not None:
            await old.aclose()


__all__ = ["AsyncDirect", "Direct"]
