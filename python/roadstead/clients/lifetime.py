"""Plain connections that end when the policy says (Istio: connectionPool.tcp.idleTimeout, maxConnectionDuration).

Whoever made such a connection reads and writes it by itself, so nobody here sees what moves. The system does: it is
asked how long the connection has been quiet, and to shut it down, which its owner sees as an end of the other side's.
A descriptor is looked at by its number, whatever became of the socket (TLS is put over it, a driver takes it), as long
as it is the same one. Sockets that block have one thread for all of them, asyncio's streams their loop.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from roadstead.errors import NotSpoken
from roadstead.mesh import TcpPolicy

# Of Linux's struct tcp_info: milliseconds since data was sent, and received.
_TCP_INFO, _SENT, _RECEIVED = 216, 44, 52


class Mark(NamedTuple):
    """What a descriptor is of; its number is soon somebody else's."""

    device: int
    inode: int


def mark(number: int) -> Mark | None:
    """None where it is closed, or cannot be looked at (systems whose sockets are no files)."""
    try:
        stat = os.fstat(number)
    except OSError:
        return None
    return Mark(stat.st_dev, stat.st_ino)


def refuse_unkept(policy: TcpPolicy, *, unix: bool) -> None:
    """NotSpoken where a policy could not be kept. unix: connections are unix sockets."""
    if policy.idle_timeout and (unix or sys.platform != "linux"):
        raise NotSpoken(
            "idleTimeout: how long a plain connection of this process has been quiet is known of TCP on Linux alone:"
            " leave it out of the DestinationRule's connectionPool.tcp, or let the proxy make the connection"
        )


def _is_limited(policy: TcpPolicy) -> bool:
    return bool(policy.idle_timeout or policy.max_connection_duration)


class Lifetime:
    """One connection's. end: of what is counted for it, when its time is up."""

    __slots__ = ("_end", "_idle", "_mark", "_number", "_until")

    def __init__(self, made: socket.socket, policy: TcpPolicy, now: float, end: Callable[[], None]) -> None:
        """made: the connection. now: seconds of `time.monotonic`, when it began."""
        self._number = made.fileno()
        self._mark = mark(self._number)
        self._idle = policy.idle_timeout or None
        self._until = None if not policy.max_connection_duration else now + policy.max_connection_duration
        self._end = end

    def due(self, now: float) -> float | None:
        """When it has to be looked at again; None where it is gone, or its time was up: then it is ended."""
        copied = self._copied()
        if copied is None:
            # Where its owner lost it, nobody else gives its place back.
            self._end()
            return None
        with socket.socket(fileno=copied) as copy:
            found = [] if self._until is None else [self._until]
            if self._idle is not None:
                found.append(now + self._idle - _quiet(copy))
            at = min(found)
            if at <= now:
                # First, so that who sees the end can have its place.
                self._end()
                _shut(copy)
                return None
            return at

    def _copied(self) -> int | None:
        try:
            copied = os.dup(self._number)
        except OSError:
            return None
        # Of the copy: the number may be another's from one instant to the next.
        if mark(copied) == self._mark:
            return copied
        os.close(copied)
        return None


class _Keeper:
    """Looks at the connections of sockets that block, each when it is due."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked child the connections are its parent's to end, and the thread is not there."""
        self._queue: list[tuple[float, int, Lifetime]] = []
        self._turn = 0
        self._changed = threading.Condition()
        self._is_running = False

    def keep(self, one: Lifetime, at: float) -> None:
        with self._changed:
            self._push(one, at)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="roadstead-lifetime", daemon=True).start()
            elif self._queue[0][2] is one:
                self._changed.notify()

    def _push(self, one: Lifetime, at: float) -> None:
        self._turn += 1
        heapq.heappush(self._queue, (at, self._turn, one))

    def _run(self) -> None:
        while (one := self._next()) is not None:
            at = one.due(time.monotonic())
            if at is not None:
                with self._changed:
                    self._push(one, at)

    def _next(self) -> Lifetime | None:
        """The next that is due, once it is; None where nothing is left."""
        with self._changed:
            while self._queue:
                left = self._queue[0][0] - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._queue)[2]
                self._changed.wait(left)
            self._is_running = False
            return None


_keeper = _Keeper()


def keep(made: socket.socket, policy: TcpPolicy, end: Callable[[], None]) -> None:
    """End a connection in time, whatever its owner does meanwhile."""
    if not _is_limited(policy):
        return
    now = time.monotonic()
    one = Lifetime(made, policy, now, end)
    at = one.due(now)
    if at is not None:
        _keeper.keep(one, at)


def keep_stream(writer: asyncio.StreamWriter, policy: TcpPolicy) -> None:
    """The same for a stream of the running loop."""
    if not _is_limited(policy):
        return
    loop = asyncio.get_running_loop()
    transport = writer.transport
    one = Lifetime(writer.get_extra_info("socket"), policy, time.monotonic(), transport.abort)

    def look() -> None:
        now = time.monotonic()
        at = None if transport.is_closing() else one.due(now)
        if at is not None:
            loop.call_later(at - now, look)

    look()


def _quiet(made: socket.socket) -> float:
    """Seconds in which no data moved."""
    told = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO)
    sent, received = (struct.unpack_from("=I", told, at)[0] for at in (_SENT, _RECEIVED))
    return float(min(sent, received)) / 1000


def _shut(made: socket.socket) -> None:
    try:
        made.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other side was faster.
        return


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keeper.forget)


__all__ = ["Mark", "keep", "keep_stream", "mark", "refuse_unkept"]
