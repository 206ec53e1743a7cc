"""The loop for work that comes due, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from roadstead.due import Due

Begin = Callable[[str], Coroutine[object, object, None] | None]


@asynccontextmanager
async def running(due: Due[str], begin: Begin) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(due.run(begin))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    """Everything that can go on without time passing has."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("apart", [0.0, 100.0])
async def test_what_is_wanted_now_does_not_wait_for_the_round(apart: float) -> None:
    begun: list[str] = []
    due: Due[str] = Due(time.monotonic, apart)
    async with running(due, begun.append):
        await settled()
        due.now("a")
        await settled()
        due.plan(time.monotonic() + 1000, "later")
        due.now("b")
        await settled()
    assert begun == ["a", "b"]


async def test_in_the_order_of_time_and_then_of_planning() -> None:
    begun: list[str] = []
    due: Due[str] = Due(lambda: 10.0)
    for at, key in [(9.0, "c"), (1.0, "b"), (9.0, "a"), (11.0, "not yet")]:
        due.plan(at, key)
    async with running(due, begun.append):
        await settled()
    assert begun == ["b", "c", "a"]


async def test_an_earlier_key_wakes_the_loop() -> None:
    begun: list[str] = []
    due: Due[str] = Due(time.monotonic)
    due.plan(time.monotonic() + 1000, "far")
    async with running(due, begun.append):
        await settled()
        due.plan(time.monotonic(), "near")
        async with asyncio.timeout(30):
            while not begun:
                await asyncio.sleep(0.001)
    assert begun == ["near"]


async def test_work_runs_side_by_side_and_ends_with_the_loop() -> None:
    begun: list[str] = []
    ended: list[str] = []

    async def work(key: str) -> None:
        begun.append(key)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(key)

    due: Due[str] = Due(time.monotonic)
    due.now("a")
    due.now("b")
    async with running(due, work):
        await settled()
        assert (begun, ended) == (["a", "b"], [])
    assert sorted(ended) == ["a", "b"]
