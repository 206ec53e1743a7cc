"""Time limits in asyncio for requests that nearly all end long before: nothing goes into the loop for each of them.

One timer waits for the earliest limit that was set. When it fires, that one is long over as a rule, and the timer is
set again for those that are under way.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadlines:
    """Of one client or proxy."""

    __slots__ = ("_loop", "_timer", "_under_way")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[_Limit, None] = {}

    def within(self, seconds: float | None) -> _Limit:
        """`async with deadlines.within(1.0)`: as `asyncio.timeout`. None: no limit."""
        return _Limit(self, seconds)

    def begin(self, limit: _Limit, loop: asyncio.AbstractEventLoop) -> None:
        """Watch one."""
        if loop is not self._loop:
            # Whatever is left of another loop ended with it.
            self._loop, self._timer, self._under_way = loop, None, {}
        self._under_way[limit] = None
        if self._timer is None:
            self._timer = loop.call_at(limit.until, self._fire)
        elif limit.until < self._timer.when():
            self._timer.cancel()
            self._timer = loop.call_at(limit.until, self._fire)

    def end(self, limit: _Limit) -> None:
        """It is left."""
        self._under_way.pop(limit, None)

    def _fire(self) -> None:
        self._timer = None
        if self._loop is None:
            return
        now = self._loop.time()
        for limit in [limit for limit in self._under_way if limit.until <= now]:
            del self._under_way[limit]
            limit.expire()
        if self._under_way:
            self._timer = self._loop.call_at(min(limit.until for limit in self._under_way), self._fire)


class _Limit:
    __slots__ = ("_cancelling", "_deadlines", "_is_over", "_seconds", "_task", "until")

    _task: asyncio.Task[object]
    _cancelling: int
    until: float

    def __init__(self, deadlines: Deadlines, seconds: float | None) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._is_over = False

    async def __aenter__(self) -> None:
        if self._seconds is None:
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is of a task")
        loop = task.get_loop()
        self._task = task
        self._cancelling = task.cancelling()
        self.until = loop.time() + self._seconds
        self._deadlines.begin(self, loop)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._seconds is None:
            return
        self._deadlines.end(self)
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Its time is up."""
        self._is_over = True
        self._task.cancel()


__all__ = ["Deadlines"]
