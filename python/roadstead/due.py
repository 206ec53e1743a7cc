"""Work that comes due: one loop, many keys, each asked for again and again (names by `dns`, endpoints by `health`)."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Due(Generic[K]):
    """When each key is due, and the loop that waits for it.

    clock: monotonic seconds. apart: seconds between two rounds of what comes due by itself; keys that come due
    meanwhile are taken together. Everything is for the thread of the loop."""

    __slots__ = ("_apart", "_changed", "_clock", "_queue", "_turn", "_wakes")

    def __init__(self, clock: Callable[[], float], apart: float = 0.0) -> None:
        self._clock = clock
        self._apart = apart
        # The turn keeps keys that are due at one time in order, whatever they are.
        self._queue: list[tuple[float, int, K]] = []
        self._turn = 0
        self._changed = asyncio.Event()
        # What the loop sleeps until; whatever is due later need not wake it.
        self._wakes = 0.0

    def now(self, key: K) -> None:
        """The key is due at once: somebody waits for it."""
        self._push(self._clock(), key)
        self._changed.set()

    def plan(self, at: float, key: K) -> None:
        """The key is due at this time. What was planned for it before stays planned."""
        self._push(at, key)
        if at < self._wakes or self._wakes <= self._clock():
            self._changed.set()

    def _push(self, at: float, key: K) -> None:
        self._turn += 1
        heapq.heappush(self._queue, (at, self._turn, key))

    async def run(self, begin: Callable[[K], Coroutine[object, object, None] | None]) -> None:
        """Begin the work of each key that comes due, all side by side, until cancelled; then it is cancelled too.
        begin: None where nothing is to be done."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._changed.clear()
                now = self._clock()
                while self._queue and self._queue[0][0] <= now:
                    work = begin(heapq.heappop(self._queue)[2])
                    if work is not None:
                        task = asyncio.create_task(work)
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                await self._sleep()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sleep(self) -> None:
        """Until the next key is due, or one that is due earlier came."""
        now = self._clock()
        self._wakes = max(now + self._apart, self._queue[0][0]) if self._queue else math.inf
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wakes - now if self._queue else None):
                await self._changed.wait()


__all__ = ["Due"]
