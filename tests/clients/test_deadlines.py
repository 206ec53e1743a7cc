"""Time limits that share a timer: what they cut off, and what they leave alone."""

from __future__ import annotations

import asyncio

import pytest

from roadstead.clients.deadlines import Deadlines


def run(work: object) -> object:
    return asyncio.run(work)  # type: ignore[arg-type]


def test_what_ends_in_time_is_left_alone() -> None:
    async def work() -> list[int]:
        deadlines, ended = Deadlines(), []
        for seconds in (30.0, None, 10.0, 60.0):
            async with deadlines.within(seconds):
                await asyncio.sleep(0)
            ended.append(len(ended))
        return ended

    assert run(work()) == [0, 1, 2, 3]


@pytest.mark.parametrize("others", [(), (30.0,), (0.0, 30.0)])
def test_what_takes_too_long_is_cut_off(others: tuple[float, ...]) -> None:
    """A later limit before it does not put it off."""

    async def work() -> str:
        deadlines = Deadlines()

        async def never(seconds: float) -> None:
            async with deadlines.within(seconds):
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(never(seconds)) for seconds in others]
        await asyncio.sleep(0)
        try:
            async with deadlines.within(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            current = asyncio.current_task()
            assert current is not None
            assert not current.cancelling()
            return "late"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return "in time"

    assert run(work()) == "late"


def test_several_are_due_at_once() -> None:
    async def work() -> list[object]:
        deadlines = Deadlines()

        async def never() -> None:
            async with deadlines.within(0.01):
                await asyncio.Event().wait()

        return await asyncio.gather(*[never() for _ in range(5)], return_exceptions=True)

    assert [type(one) for one in run(work())] == [TimeoutError] * 5  # type: ignore[attr-defined]


def test_who_is_cancelled_from_outside_is_cancelled() -> None:
    async def work() -> bool:
        deadlines, is_in = Deadlines(), asyncio.Event()

        async def never() -> None:
            async with deadlines.within(30.0):
                is_in.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(never())
        await is_in.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(work())


def test_an_error_that_is_raised_comes_through() -> None:
    async def work() -> None:
        async with Deadlines().within(30.0):
            raise KeyError("x")

    with pytest.raises(KeyError):
        run(work())


def test_nested_limits_end_where_they_are() -> None:
    """The inner one is over, the outer one is not."""

    async def work() -> str:
        deadlines = Deadlines()
        async with deadlines.within(30.0):
            try:
                async with deadlines.within(0.0):
                    await asyncio.Event().wait()
            except TimeoutError:
                await asyncio.sleep(0)
                return "inner"
        return "none"

    assert run(work()) == "inner"


def test_one_loop_after_another() -> None:
    deadlines = Deadlines()

    async def work() -> None:
        async with deadlines.within(0.0):
            await asyncio.Event().wait()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            run(work())
