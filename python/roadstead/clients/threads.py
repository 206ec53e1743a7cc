"""Connections of one cluster for clients whose threads block: all endpoints together, at most so many at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Connection(Protocol):
    """What is kept. key: whom it may serve; served: requests so far; idle_since: seconds of `time.monotonic`."""

    key: Hashable
    served: int
    idle_since: float

    def is_usable(self) -> bool:
        """Nothing says that the other side has left."""

    def close(self) -> None:
        """Be gone."""


C = TypeVar("C", bound=Connection)


class NoConnection(Exception):
    """The time for a connection was up while all were in use."""


class Connections(Generic[C]):
    """most: connections at once, None: any number. idle: seconds one is kept unused, None: for ever. requests: how many
    one serves, 0: any number."""

    def __init__(self, most: int | None, idle: float | None, requests: int) -> None:
        self._most = most
        self._idle_time = idle
        self._requests = requests
        self._idle: list[C] = []
        self._open = 0
        self._changed = threading.Condition()

    def take(self, key: Hashable, make: Callable[[], C], timeout: float | None) -> C:
        """A connection for `key`, an idle one first. NoConnection after so many seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                self._drop_old()
                found = self._kept(key)
                if found is not None:
                    return found
                if self._most is None or self._open < self._most:
                    self._open += 1
                    break
                if self._idle:
                    # Another endpoint's; its place is taken over.
                    self._idle.pop(0).close()
                    break
                left = None if until is None else until - time.monotonic()
                if (left is not None and left <= 0) or not self._changed.wait(left):
                    raise NoConnection
        try:
            return make()
        except BaseException:
            self._gone()
            raise

    def is_last(self, connection: C) -> bool:
        """Whether the request it serves now is the last one it may."""
        return self._requests > 0 and connection.served + 1 >= self._requests

    def give_back(self, connection: C) -> None:
        """Its request is over, and it can be used again."""
        connection.served += 1
        if self._requests and connection.served >= self._requests:
            self.drop(connection)
            return
        connection.idle_since = time.monotonic()
        with self._changed:
            self._idle.append(connection)
            self._changed.notify()

    def drop(self, connection: C) -> None:
        """It is of no more use."""
        connection.close()
        self._gone()

    def close(self) -> None:
        """All that are idle."""
        with self._changed:
            for connection in self._idle:
                connection.close()
            self._open -= len(self._idle)
            self._idle.clear()
            self._changed.notify_all()

    def _gone(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify()

    def _kept(self, key: Hashable) -> C | None:
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at].key == key:
                found = self._idle.pop(at)
                if found.is_usable():
                    return found
                found.close()
                self._open -= 1
        return None

    def _drop_old(self) -> None:
        if self._idle_time is None:
            return
        oldest = time.monotonic() - self._idle_time
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()
            self._open -= 1


__all__ = ["Connections", "NoConnection"]
