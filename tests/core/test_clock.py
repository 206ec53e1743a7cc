"""Whose instants an engine's are."""

from __future__ import annotations

import time
from types import ModuleType

from tests.core.units import forward, published, web

from roadstead import _lowered as low

HOUR = 3600 * 10**9


def test_instants_are_those_of_the_system(engine: ModuleType) -> None:
    """Who waits for an instant of the engine compares it with `time.monotonic_ns`."""
    fault = low.Fault(delay=3600.0, delay_numerator=1_000_000)
    eng = published(engine, web("a.test", forward("outbound|80||a.test")._replace(fault=fault)))
    before = time.monotonic_ns()
    step = eng.route("a.test", 80).exchange().step
    after = time.monotonic_ns()
    # Both clocks are read one after the other when the engine's is set.
    assert before - 10**6 <= step.until - HOUR <= after + 10**6
