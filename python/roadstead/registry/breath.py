"""Long work in Python beside readers that must not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

# Seconds between two offers.
_BETWEEN = 0.001


class Breath:
    """Offers the interpreter to other threads now and then: a reader that waits for it would otherwise get it only
    after the switch interval (5 ms)."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = time.perf_counter() + _BETWEEN

    def take(self) -> None:
        """Between two pieces of work; none of them should last longer than a millisecond."""
        if time.perf_counter() > self._next:
            if threading.active_count() > 1:
                time.sleep(0)
            self._next = time.perf_counter() + _BETWEEN

    def between(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, with a breath before each."""
        for item in items:
            self.take()
            yield item

    def let_go(self, *forget: Callable[[], object]) -> None:
        """Empty containers by their `pop` or `popitem`: thousands of objects that nobody else holds go one after the
        other, and not at once."""
        for one in forget:
            with suppress(IndexError, KeyError):
                while True:
                    self.take()
                    one()


__all__ = ["Breath"]
