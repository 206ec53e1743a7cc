"""One thing to time, and how several of them are timed side by side.

Machines are noisy and drift, so what counts is the ratio of two cases measured in the same run, round by round in turn.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Clock = Callable[[], float]


class Case(NamedTuple):
    """`run(prepared)` does `operations` operations; `prepare()` makes its argument before each round and is not timed.

    owed: (name of the case it is held against, ratio that we owe at most). limit: seconds an operation may take, 0: any."""

    name: str
    run: Callable[[Any], object]
    operations: int = 1
    prepare: Callable[[], Any] = lambda: None
    owed: tuple[tuple[str, float], ...] = ()
    limit: float = 0.0


class Timing(NamedTuple):
    """Seconds per operation, a value for each round."""

    case: Case
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def measure(
    cases: Sequence[Case], rounds: int, *, loop: Case | None = None, clock: Clock = time.perf_counter
) -> dict[str, Timing]:
    """Time the cases in turn, `rounds` times after one warm-up. loop: its time is taken off the others (the bare loop)."""
    taken: dict[str, list[float]] = {case.name: [] for case in cases}
    for number in range(rounds + 1):
        bare = 0.0 if loop is None else _once(loop, clock)
        for case in cases:
            seconds = _once(case, clock) - bare
            if number:
                taken[case.name].append(max(seconds, 1e-12))
    return {case.name: Timing(case, tuple(taken[case.name])) for case in cases}


def _once(case: Case, clock: Clock) -> float:
    prepared = case.prepare()
    gc.collect(0)
    gc.disable()
    try:
        start = clock()
        case.run(prepared)
        return (clock() - start) / case.operations
    finally:
        gc.enable()


def ratio(of: Timing, to: Timing) -> float:
    """Median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(of.rounds, to.rounds, strict=True))
