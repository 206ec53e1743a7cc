"""Connections to endpoints, kept by cluster, within its limits."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias, TypeVar

from roadstead.clients.carry import Call
from roadstead.clients.counted import Counted, counted
from roadstead.clients.dial import Target, aconnect
from roadstead.clients.sent import idle_time
from roadstead.mesh import ConnectionPool
from roadstead.proxy.codec import Asking
from roadstead.proxy.flow import Flow, name_of
from roadstead.proxy.http2_upstream import Http2Upstream
from roadstead.proxy.limits import Limits
from roadstead.proxy.upstream import Upstream
from roadstead.proxy_protocol import Peers

# Address, TLS, server name, whether HTTP/2 is spoken, and on whose behalf, where the endpoint is told.
_Key: TypeAlias = tuple[str, int, ssl.SSLContext | None, str, bool, Peers | None]
F = TypeVar("F", bound=Flow)


class _Known(NamedTuple):
    """Of a connection: whose it is. idle: seconds it may be unused; None: for ever. requests: so many, None: any.
    counted: by its cluster."""

    cluster: str
    key: _Key
    idle: float | None
    requests: int | None
    counted: Counted


class _Pool:
    """The connections of one cluster. open: all that count, those that are being made included. idle: of HTTP/1.1, that
    nobody uses. shared: of HTTP/2."""

    __slots__ = ("idle", "open", "shared", "waiters")

    def __init__(self) -> None:
        self.open = 0
        self.idle: dict[_Key, list[Upstream]] = {}
        self.shared: dict[_Key, list[Http2Upstream]] = {}
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

    def share(self, key: _Key, policy: ConnectionPool) -> Http2Upstream | None:
        """One that takes one more request. Those made under another policy take none any more, as with Envoy."""
        for one in self.shared.get(key, ()):
            if one.has_room:
                if one.policy is policy or one.policy == policy:
                    return one
                one.drain()
        return None

    def unused(self) -> Iterator[Upstream | Http2Upstream]:
        """All that nobody uses."""
        for kept in self.idle.values():
            yield from kept
        for shared in self.shared.values():
            yield from (one for one in shared if one.is_idle and one.ready.done())

    def remove(self, key: _Key, one: Upstream | Http2Upstream) -> None:
        """It is not to be found here any more."""
        if isinstance(one, Http2Upstream):
            _take_out(self.shared, key, one)
        else:
            _take_out(self.idle, key, one)

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
    """All connections for requests, by cluster. contexts: makes a call's TLS context (HTTP/2 or not); None without
    TLS."""

    def __init__(self, limits: Limits, context: Callable[[Call, bool], ssl.SSLContext | None]) -> None:
        self._limits = limits
        self._context = context
        self._pools: dict[str, _Pool] = {}
        self._known: dict[Upstream | Http2Upstream, _Known] = {}
        # Clients that endpoints are told of, and that are still there.
        self._told: set[Peers] = set()
        self._is_closed = False
        # Ends of connections that may only be so old (maxConnectionDuration).
        self._ends: dict[Upstream | Http2Upstream, asyncio.TimerHandle] = {}
        # Somebody has to hold the tasks.
        self._dialling: set[asyncio.Task[None]] = set()

    def at_once(self, call: Call) -> Upstream | None:
        """An idle connection of HTTP/1.1 for a request, where nobody else waits for one and the endpoint is not told of
        clients."""
        pool = self._pools.get(call.cluster)
        if pool is None or pool.waiters or (call.pool is not None and call.pool.tcp.proxy_protocol):
            return None
        return pool.take((call.host, call.port, self._context(call, False), call.sni, False, None))

    async def acquire(self, call: Call, peers: Peers | None, *, http2: bool) -> Asking:
        """A connection for a request, or a place on one. The caller limits how long is waited; TimeoutError where the
        connect timeout is over, another OSError or ssl.SSLError where the connection fails. peers: on whose behalf; a
        connection that told them is nobody else's."""
        pool = self._pools.get(call.cluster)
        if pool is None:
            pool = self._pools[call.cluster] = _Pool()
        policy = call.pool or ConnectionPool()
        told = peers if policy.tcp.proxy_protocol else None
        if told is not None:
            self._told.add(told)
        key = (call.host, call.port, self._context(call, http2), call.sni, http2, told)
        is_first = not pool.waiters
        while True:
            if is_first:
                shared = pool.share(key, policy) if http2 else None
                if shared is not None:
                    made = await shared.place()
                    if shared.has_room:
                        pool.wake()
                    return made
                found = None if http2 else pool.take(key)
                if found is not None:
                    return found
                if pool.open < policy.tcp.max_connections:
                    break
                other = min(pool.unused(), key=lambda one: one.since, default=None)
                if other is not None:
                    # The limit is the cluster's; an idle connection to another endpoint makes room.
                    self._drop(other)
                    continue
            await pool.room()
            is_first = True
        pool.open += 1
        requests = policy.http.max_requests_per_connection
        known = _Known(call.cluster, key, idle_time(policy), requests, counted(call))
        target = Target(call.host, call.port, policy, key[2], call.sni, told)
        if http2:
            return await self._shared(pool, known, target).place()
        return await self._own(pool, known, target)

    def sweep(self, now: float, is_endpoint: Callable[[str, str, int], bool]) -> None:
        """Close idle connections that came of age, or whose endpoint is gone from its cluster."""
        for cluster, pool in list(self._pools.items()):
            for one in list(pool.unused()):
                known = self._known[one]
                is_old = known.idle is not None and now - one.since > known.idle
                if is_old or not is_endpoint(cluster, known.key[0], known.key[1]):
                    self._drop(one)
            if not pool.open and not pool.waiters:
                del self._pools[cluster]

    def close(self) -> None:
        """Close all that are idle; those at work are closed by who uses them, and kept no more."""
        self._is_closed = True
        for task in self._dialling:
            task.cancel()
        for pool in self._pools.values():
            for one in list(pool.unused()):
                self._drop(one)
            for shared in pool.shared.values():
                for busy in list(shared):
                    busy.drain()

    def leave(self, peers: Peers | None) -> None:
        """A client is gone: connections that told of it are of no more use."""
        if peers not in self._told:
            return
        self._told.remove(peers)
        for one in [one for one, known in self._known.items() if known.key[5] == peers]:
            self._retire(one)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Open and idle connections of each cluster."""
        return {name: (pool.open, sum(1 for _ in pool.unused())) for name, pool in self._pools.items()}

    def forget(self, one: Upstream | Http2Upstream) -> None:
        """It is gone, and does not count any more."""
        known = self._known.pop(one, None)
        if known is None:
            return
        if (end := self._ends.pop(one, None)) is not None:
            end.cancel()
        pool = self._pools[known.cluster]
        pool.remove(known.key, one)
        self._left(pool, known)

    def _left(self, pool: _Pool, known: _Known) -> None:
        """One less."""
        pool.open -= 1
        known.counted.end()
        pool.wake()

    def _drop(self, one: Upstream | Http2Upstream) -> None:
        self.forget(one)
        one.abort()

    def _retire(self, one: Upstream | Http2Upstream) -> None:
        """No new requests for it: closed now, or when nobody uses it any more."""
        if isinstance(one, Http2Upstream):
            one.drain()
        elif one.is_resting:
            self._drop(one)
        else:
            one.is_last = True

    def _limit(self, one: Upstream | Http2Upstream, policy: ConnectionPool) -> None:
        """It is there; so long."""
        if policy.tcp.max_connection_duration:
            loop = asyncio.get_running_loop()
            self._ends[one] = loop.call_later(policy.tcp.max_connection_duration, self._retire, one)

    def _over(self, one: Upstream) -> None:
        """A response is over: keep the connection if it can be used again, else close it."""
        known = self._known.get(one)
        if (
            known is None
            or self._is_closed
            or not one.is_reusable
            or (known.requests and one.used >= known.requests)
            # Whom it told of is gone meanwhile.
            or (known.key[5] is not None and known.key[5] not in self._told)
        ):
            one.abort()
            return
        pool = self._pools[known.cluster]
        one.rest_until_used(asyncio.get_running_loop().time())
        pool.idle.setdefault(known.key, []).append(one)
        pool.wake()

    # New ones

    async def _own(self, pool: _Pool, known: _Known, target: Target) -> Upstream:
        made = Upstream(self._limits, self.forget, self._over)
        try:
            await _dial(target, made)
        except BaseException:
            self._left(pool, known)
            raise
        made.local = name_of(made.transport.get_extra_info("sockname"))
        self._known[made] = known
        if made.is_lost:
            self.forget(made)
            raise ConnectionResetError("the upstream closed the connection at once")
        self._limit(made, target.pool)
        return made

    def _shared(self, pool: _Pool, known: _Known, target: Target) -> Http2Upstream:
        """Dialled for all that get a place on it meanwhile, and not given up with the first of them."""
        made = Http2Upstream(self._limits, target.pool, self.forget, pool.wake)
        self._known[made] = known
        pool.shared.setdefault(known.key, []).append(made)
        task = asyncio.create_task(self._dialled(made, target))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        return made

    async def _dialled(self, made: Http2Upstream, target: Target) -> None:
        try:
            await _dial(target, made)
        except (OSError, ssl.SSLError) as error:
            self.forget(made)
            made.ready.set_exception(error)
            # Where all have gone that waited for it.
            made.ready.exception()
        except BaseException:
            self.forget(made)
            made.ready.cancel()
            raise
        else:
            made.local = name_of(made.transport.get_extra_info("sockname"))
            if made in self._known:
                self._limit(made, target.pool)
            made.ready.set_result(None)
            if made.is_going and made.is_idle:
                # Nobody waited until it was there.
                made.close()


async def _dial(target: Target, made: Flow) -> None:
    """Connect, within the cluster's connect timeout."""
    async with asyncio.timeout(target.timeout):
        await aconnect(target, made)


def _take_out(kept: dict[_Key, list[F]], key: _Key, one: F) -> None:
    found = kept.get(key)
    if found is not None and one in found:
        found.remove(one)
        if not found:
            del kept[key]


__all__ = ["Pools"]
