"""Connections to endpoints: HTTP/1.1 responses out of bytes, and pools that keep a cluster's limits."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from roadstead.clients.carry import Call
from roadstead.clients.dial import Target, adial
from roadstead.clients.sent import idle_time
from roadstead.errors import MissingExtra
from roadstead.mesh import ConnectionPool
from roadstead.proxy.flow import Body, Flow
from roadstead.proxy.limits import Limits
from roadstead.proxy.messages import Lines

try:
    import httptools
except ImportError as error:
    raise MissingExtra("the proxy", "proxy", "httptools") from error


class Cut(Exception):
    """An upstream's response breaks off, or is no HTTP. is_protocol: the latter."""

    def __init__(self, text: str, *, is_protocol: bool = False) -> None:
        super().__init__(text)
        self.is_protocol = is_protocol


class Head(NamedTuple):
    """Of a response. keep: the connection can be used again after it. length: Content-Length; None: chunked, or until
    the connection ends."""

    status: int
    headers: Lines
    keep: bool
    length: int | None


class Upstream(Flow):
    """One connection to one endpoint, used by one request at a time. lost: called once when it is gone."""

    def __init__(self, limits: Limits, lost: Callable[[Upstream], None]) -> None:
        super().__init__()
        self._limits = limits
        self._lost = lost
        self._head: asyncio.Future[Head] | None = None
        self._headers: Lines = []
        self._until_end = False
        self._is_complete = True
        self._bodiless = False
        self.body = Body(self, limits.buffer_bytes)
        # Bytes after a 101, which are another protocol's.
        self.rest = b""
        self.is_raw = False
        self.keep = True
        self.used = 0
        self.since = self._loop.time()
        self.local = ""

    def begin(self, method: str) -> asyncio.Future[Head]:
        """A request is about to be written; the head of its response."""
        self._parser = httptools.HttpResponseParser(self)
        self._head = self._loop.create_future()
        self.body = Body(self, self._limits.buffer_bytes)
        self._bodiless = method == "HEAD"
        self._is_complete = self._until_end = False
        self._size = self._fed = 0
        self.used += 1
        return self._head

    @property
    def is_reusable(self) -> bool:
        """The response is over, and nothing else came."""
        return self._is_complete and self.keep and not (self.is_lost or self.is_raw or self.transport.is_closing())

    def rest_until_used(self, now: float) -> None:
        """It is idle from now on; bytes that come meanwhile are nobody's."""
        self._head = None
        self.since = now

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self.moved = self._loop.time()
        if self._head is None or self._is_complete:
            # What nobody asked for must not be taken for the next answer.
            self.keep = False
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if self._is_complete:
                self.keep = False
            else:
                cause = error.__context__ if isinstance(error.__context__, Cut) else None
                self._broke(cause or Cut(str(error), is_protocol=True))
                self.transport.abort()
        else:
            if not self._head.done():
                self._fed += len(data)
                if self._fed > self._limits.header_bytes:
                    self._broke(Cut("the head is too large", is_protocol=True))
                    self.transport.abort()

    def eof_received(self) -> None:
        """Of asyncio.Protocol; the connection is closed after it."""
        if self._head is not None and self._head.done() and self._until_end and not self._is_complete:
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        super().connection_lost(exc)
        if not self._is_complete:
            if exc is None and self._head is not None and self._head.done() and self._until_end:
                self._complete()
            else:
                self._broke(Cut(str(exc) if exc is not None else "the upstream closed the connection"))
        self._lost(self)

    def abort(self) -> None:
        """Nobody wants it any more."""
        self.keep = False
        if not self.is_lost:
            self.transport.abort()

    def _broke(self, cut: Cut) -> None:
        self.keep = False
        self._is_complete = True
        if self._head is not None and not self._head.done():
            self._head.set_exception(cut)
            # Who gave up waiting has not to be told.
            self._head.exception()
        self.body.fail(cut)

    def _complete(self) -> None:
        self._is_complete = True
        if self._until_end:
            self.keep = False
        self.body.end()

    # Of httptools

    def on_message_begin(self) -> None:
        """Of httptools."""
        if self._is_complete:
            # A second response to one request.
            self.keep = False
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools."""
        self._size += len(name) + len(value)
        if self._size > self._limits.header_bytes or len(self._headers) >= self._limits.headers:
            raise Cut("the head is too large", is_protocol=True)
        if not self._is_complete and self._head is not None and not self._head.done():
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Of httptools."""
        if self._is_complete or self._head is None:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            # Interim: the client got its own 100 from us.
            return
        length, coding = None, b""
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"content-length":
                length = int(value)
            elif lower == b"transfer-encoding":
                coding += b"," + value.lower() if coding else value.lower()
        if coding and coding != b"chunked":
            raise Cut(f"Transfer-Encoding {coding.decode('latin-1')}", is_protocol=True)
        self.keep = self._parser.should_keep_alive()
        self.is_raw = status == 101
        bodiless = self._bodiless or status in (101, 204, 304)
        self._until_end = not bodiless and length is None and not coding
        self._head.set_result(Head(status, self._headers, self.keep, length))
        if bodiless:
            # llhttp does not know what was asked: after HEAD it would wait for the body that Content-Length tells of.
            self.keep = self.keep or (self._bodiless and not _closes(self._headers))
            self._complete()

    def on_body(self, block: bytes) -> None:
        """Of httptools."""
        if self._is_complete:
            self.keep = False
        else:
            self.body.feed(block)

    def on_message_complete(self) -> None:
        """Of httptools."""
        if not self._is_complete and self._head is not None and self._head.done():
            self._complete()


def _closes(headers: Lines) -> bool:
    return any(name.lower() == b"connection" and b"close" in value.lower() for name, value in headers)


_Key: TypeAlias = tuple[str, int, ssl.SSLContext | None, str]


class _Pool:
    """The connections of one cluster. open: all that count, those that are being made included."""

    __slots__ = ("idle", "open", "waiters")

    def __init__(self) -> None:
        self.open = 0
        self.idle: dict[_Key, list[Upstream]] = {}
        self.waiters: deque[asyncio.Future[None]] = deque()

    def take(self, key: _Key) -> Upstream | None:
        """The one that was used last: the others may come of age."""
        kept = self.idle.get(key)
        while kept:
            found = kept.pop()
            if not kept:
                del self.idle[key]
            if found.is_reusable:
                return found
        return None

    def oldest(self) -> tuple[_Key, Upstream] | None:
        """Of the idle ones, whatever endpoint they lead to."""
        return min(((key, kept[0]) for key, kept in self.idle.items()), key=lambda one: one[1].since, default=None)

    def remove(self, key: _Key, one: Upstream) -> None:
        kept = self.idle.get(key)
        if kept is not None and one in kept:
            kept.remove(one)
            if not kept:
                del self.idle[key]

    def wake(self) -> None:
        """There is room for one more."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
                return

    async def room(self) -> None:
        """Wait for one's turn."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.waiters.remove(waiter)
                self.wake()
                raise
            self.waiters.remove(waiter)
            raise
        self.waiters.remove(waiter)


class Pools:
    """All connections for requests, by cluster. contexts: makes a call's TLS context; None without TLS."""

    def __init__(self, limits: Limits, context: Callable[[Call], ssl.SSLContext | None]) -> None:
        self._limits = limits
        self._context = context
        self._pools: dict[str, _Pool] = {}
        self._keys: dict[Upstream, tuple[str, _Key, float | None]] = {}

    async def acquire(self, call: Call) -> Upstream:
        """A connection for a request. The caller limits how long is waited; TimeoutError where the connect timeout is
        over, another OSError or ssl.SSLError where the connection fails."""
        pool = self._pools.get(call.cluster)
        if pool is None:
            pool = self._pools[call.cluster] = _Pool()
        key = (call.host, call.port, self._context(call), call.sni)
        policy = call.pool or ConnectionPool()
        most = policy.tcp.max_connections
        is_first = not pool.waiters
        while True:
            if is_first:
                found = pool.take(key)
                if found is not None:
                    return found
                if pool.open < most:
                    break
                other = pool.oldest()
                if other is not None:
                    # The limit is the cluster's; an idle connection to another endpoint makes room.
                    self._drop(pool, *other)
                    continue
            await pool.room()
            is_first = True
        pool.open += 1
        try:
            made = await self._dial(Target(call.host, call.port, policy, key[2], call.sni))
        except BaseException:
            pool.open -= 1
            pool.wake()
            raise
        self._keys[made] = (call.cluster, key, idle_time(policy))
        if made.is_lost:
            self.forget(made)
            raise ConnectionResetError("the upstream closed the connection at once")
        return made

    def release(self, one: Upstream, policy: ConnectionPool | None) -> None:
        """A response is over: keep the connection if it can be used again, else close it."""
        most = None if policy is None else policy.http.max_requests_per_connection
        if not one.is_reusable or (most and one.used >= most):
            one.abort()
            return
        cluster, key, _ = self._keys[one]
        pool = self._pools[cluster]
        one.rest_until_used(asyncio.get_running_loop().time())
        pool.idle.setdefault(key, []).append(one)
        pool.wake()

    def sweep(self, now: float, is_endpoint: Callable[[str, str, int], bool]) -> None:
        """Close idle connections that came of age, or whose endpoint is gone from its cluster."""
        for cluster, pool in list(self._pools.items()):
            for key, one in list(self._idle(pool)):
                limit = self._keys[one][2]
                if (limit is not None and now - one.since > limit) or not is_endpoint(cluster, key[0], key[1]):
                    self._drop(pool, key, one)
            if not pool.open and not pool.waiters:
                del self._pools[cluster]

    def close(self) -> None:
        """Close all that are idle; those at work are closed by who uses them."""
        for pool in self._pools.values():
            for key, one in list(self._idle(pool)):
                self._drop(pool, key, one)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Open and idle connections of each cluster."""
        return {name: (pool.open, sum(len(kept) for kept in pool.idle.values())) for name, pool in self._pools.items()}

    def _idle(self, pool: _Pool) -> Iterator[tuple[_Key, Upstream]]:
        for key, kept in pool.idle.items():
            for one in kept:
                yield key, one

    def _drop(self, pool: _Pool, key: _Key, one: Upstream) -> None:
        pool.remove(key, one)
        self.forget(one)
        one.abort()

    def forget(self, one: Upstream) -> None:
        """It is gone, and does not count any more."""
        known = self._keys.pop(one, None)
        if known is None:
            return
        pool = self._pools[known[0]]
        pool.remove(known[1], one)
        pool.open -= 1
        pool.wake()

    async def _dial(self, target: Target) -> Upstream:
        loop = asyncio.get_running_loop()
        made = Upstream(self._limits, self.forget)
        async with asyncio.timeout(target.timeout):
            plain = await adial(target)
            try:
                await loop.create_connection(
                    lambda: made,
                    sock=plain,
                    ssl=target.context,
                    server_hostname=None if target.context is None else target.sni,
                )
            except BaseException:
                plain.close()
                raise
        made.local = _name(made.transport.get_extra_info("sockname"))
        return made


def _name(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = str(address[0]), address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address or "")


__all__ = ["Cut", "Head", "Pools", "Upstream"]
