"""Carries out what `carry` asks for, once for blocking and asynchronous clients: they differ by how they wait.

outcome = await drive(work, AsyncWaits(), send, copy)
outcome = finished(drive(work, BLOCKING, send, copy))   # nothing in it waits but by blocking
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from roadstead.clients.carry import Answered, Await, Broken, Call, Carrying, Local, Passed, Sleep
from roadstead.errors import EndpointsPending

R = TypeVar("R")
T = TypeVar("T")


class Waits(Protocol):
    """How a client waits."""

    async def sleep(self, seconds: float) -> None:
        """So long."""

    async def resolved(self, pending: EndpointsPending) -> None:
        """Until the resolver said something."""


class _Blocking:
    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def resolved(self, pending: EndpointsPending) -> None:
        pending.wait()


class _Asynchronous:
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def resolved(self, pending: EndpointsPending) -> None:
        await pending


BLOCKING: Waits = _Blocking()
ASYNCHRONOUS: Waits = _Asynchronous()


async def drive(
    work: Carrying[R],
    waits: Waits,
    send: Callable[[Call], Awaitable[Answered[R] | Broken]],
    copy: Callable[[Call], object],
    drop: Callable[[R], Awaitable[None]] | None = None,
) -> Passed[R] | Local:
    """The end of a request that is carried out. send: one call; what it raises is the caller's, and cancels. copy: send
    one on the side. drop: a response that is not passed on; None: nothing has to be done with it."""
    result: Answered[R] | Broken | None = None
    while True:
        command = work.next(result)
        try:
            if isinstance(result, Answered) and not isinstance(command, Passed) and drop is not None:
                await drop(result.response)
            result = None
            if isinstance(command, Call):
                for one in command.copies:
                    copy(one)
                result = await send(command)
            elif isinstance(command, Sleep):
                await waits.sleep(command.seconds)
            elif isinstance(command, Await):
                await waits.resolved(command.pending)
            else:
                return command
        except BaseException:
            work.abandon()
            raise


def finished(work: Coroutine[object, None, T]) -> T:
    """What a coroutine returns in which nothing waits but by blocking."""
    try:
        work.send(None)
    except StopIteration as stop:
        made: T = stop.value
        return made
    work.close()
    raise RuntimeError("a blocking client was asked to wait in a loop")


class Copies:
    """Threads for copies to mirrors, of a client that blocks."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def send(self, work: Callable[[], None]) -> None:
        """Nobody waits for it."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(4, "roadstead-mirror")
        self._threads.submit(work)

    def close(self) -> None:
        """Copies on their way are waited for."""
        if self._threads is not None:
            self._threads.shutdown()


class Tasks:
    """The same of one that does not block."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, work: Coroutine[object, object, None]) -> None:
        """Nobody waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Copies on their way are waited for."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


__all__ = ["ASYNCHRONOUS", "BLOCKING", "Copies", "Tasks", "Waits", "drive", "finished"]
