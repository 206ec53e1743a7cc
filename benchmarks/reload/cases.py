"""How long does a decision take while the whole file is read again? A thread decides a thousand times a second meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import meshes, workload
from roadstead import Registry

# Seconds between two requests, and for how long is measured at least.
_EVERY, _AT_LEAST = 0.001, 1.0
LIMIT = 5e-3
"""Seconds that 999 of 1,000 decisions take at most."""


class Reload(NamedTuple):
    """what: the change. seconds: until it was visible. decisions: how many were made meanwhile. median, worst: seconds of
    one; worst is of 999 in 1,000. late: the same from the moment a request was there, waiting for the interpreter
    included."""

    what: str
    seconds: float
    decisions: int
    median: float
    worst: float
    late: float


def reloads(size: int) -> list[Reload]:
    """Of a registry with so many services, as a source does it that read one large file again."""
    text = workload.text(size)
    registry = Registry.from_text(text, backend="native", node=meshes.NODE, seed=1)
    asked = [workload.asked(number) for number in range(min(1000, size))]
    one = text.replace("timeout: 5s", "timeout: 6s", 1)
    every = text.replace("timeout: 5s", "timeout: 7s")
    return [
        _measured("nothing", registry, asked, lambda: time.sleep(_AT_LEAST)),
        _measured("one route", registry, asked, lambda: registry.apply(put=one)),
        _measured("every VirtualService", registry, asked, lambda: registry.apply(put=every)),
    ]


def _measured(what: str, registry: Registry, asked: list[str], change: Callable[[], object]) -> Reload:
    taken: list[tuple[float, float]] = []
    over = threading.Event()

    def decide() -> None:
        due, number = time.perf_counter(), 0
        while not over.is_set():
            due += _EVERY
            time.sleep(max(0.0, due - time.perf_counter()))
            start = time.perf_counter()
            registry.route(asked[number % len(asked)], 80)
            end = time.perf_counter()
            taken.append((end - start, end - due))
            # The next request comes when it would have come, or after this one: no two wait together.
            due = max(due, end - _EVERY)
            number += 1

    thread = threading.Thread(target=decide)
    thread.start()
    start = time.perf_counter()
    change()
    seconds = time.perf_counter() - start
    over.set()
    thread.join()
    calls, late = sorted(call for call, _ in taken), sorted(late for _, late in taken)
    at = min(len(taken) - 1, len(taken) * 999 // 1000)
    return Reload(what, seconds, len(taken), calls[len(calls) // 2], calls[at], late[at])
