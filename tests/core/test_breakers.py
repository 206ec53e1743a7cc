"""Circuit breakers as people see them: experiment 19 of the data plane's specification (section 13), gauges, and retry
budgets over an interval."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.failing import Clock
from tests.core.units import UNLIMITED, chain, cluster, published, service, unit, web

from roadstead import _lowered as low
from roadstead.errors import EngineError, Overflow

HOST, NAME = "a.test", "outbound|80||a.test"
MS = 10**6


def limited(module: ModuleType, clock: Clock | None = None, **limits: Any) -> Any:
    return published(module, web(HOST, limits=UNLIMITED._replace(**limits)), clock=clock or Clock())


def lease(eng: Any, **options: bool) -> Any:
    """A lease, or the name of the limit that refuses it."""
    try:
        return eng.route(HOST, 80).lease(**options)
    except Overflow as refused:
        return refused.limit


def gauges(eng: Any) -> dict[str, int]:
    prefix = "circuit_breakers.default."
    stats = eng.cluster(NAME).stats
    return {key.removeprefix(prefix): value for key, value in stats.items() if key.startswith(prefix)}


def test_19_one_connection_and_one_that_waits(engine: ModuleType) -> None:
    """Four requests at once over one connection: the first has it, the second waits for it, the others get 503 UO."""
    eng = limited(engine, max_connections=1, max_pending_requests=1)
    first = lease(eng)
    second, third, fourth = [lease(eng, pending=True) for _ in range(3)]
    assert (third, fourth) == ("max_pending_requests", "max_pending_requests")
    stats = eng.cluster(NAME).stats
    assert (stats["upstream_rq_pending_overflow"], stats["upstream_rq_active"]) == (2, 1)
    first.finish(status=200)
    second.ready()
    second.finish(status=200)
    stats = eng.cluster(NAME).stats
    assert (stats["upstream_rq_total"], stats["upstream_rq_active"], stats["upstream_rq_pending_active"]) == (2, 0, 0)


def test_19_one_request(engine: ModuleType) -> None:
    eng = limited(engine, max_requests=1)
    first, second, third = [lease(eng) for _ in range(3)]
    assert (second, third) == ("max_requests", "max_requests")
    stats = eng.cluster(NAME).stats
    assert (stats["upstream_rq_active_overflow"], stats["upstream_rq_pending_overflow"]) == (2, 0)
    first.finish(status=200)


def test_19_one_connection(engine: ModuleType) -> None:
    made = cluster("tcp", "10.0.0.1:1", limits=UNLIMITED._replace(max_connections=1))
    eng = published(engine, unit("t", service("t.test", (1, low.PROTO_TCP)), made, chain("t.test", 1, "tcp")))
    with eng.connect("t.test", 1).lease():
        with pytest.raises(Overflow) as refused:
            eng.connect("t.test", 1).lease()
        assert refused.value.limit == "max_connections"
        assert eng.cluster("tcp").stats["circuit_breakers.default.cx_open"] == 1
    stats = eng.cluster("tcp").stats
    assert (stats["upstream_cx_overflow"], stats["circuit_breakers.default.remaining_cx"]) == (1, 1)


def test_gauges(engine: ModuleType) -> None:
    eng = limited(engine, max_connections=7, max_pending_requests=1, max_requests=2, max_retries=1)
    assert gauges(eng) == {
        "cx_open": 0,
        "rq_pending_open": 0,
        "rq_open": 0,
        "rq_retry_open": 0,
        "remaining_cx": 7,
        "remaining_pending": 1,
        "remaining_rq": 2,
        "remaining_retries": 1,
    }
    held = [lease(eng), lease(eng, retry=True), lease(eng, pending=True)]
    assert gauges(eng) == {
        "cx_open": 0,
        "rq_pending_open": 1,
        "rq_open": 1,
        "rq_retry_open": 1,
        "remaining_cx": 7,
        "remaining_pending": 0,
        "remaining_rq": 0,
        "remaining_retries": 0,
    }
    for one in held:
        one.finish()
    assert gauges(eng)["rq_open"] == 0


def test_nothing_is_limited_unless_it_is_written(engine: ModuleType) -> None:
    assert gauges(limited(engine))["remaining_rq"] == 2**32 - 1


def test_gauges_with_a_retry_budget(engine: ModuleType) -> None:
    """What is left is not tracked then, and the breaker that is told of is that of max_retries, as Envoy has it."""
    eng = limited(engine, retry_budget=(0.0, 1))
    held = lease(eng, retry=True)
    assert lease(eng, retry=True) == "max_retries"
    assert (gauges(eng)["rq_retry_open"], gauges(eng)["remaining_retries"]) == (0, 0)
    held.finish()


@pytest.mark.parametrize(
    ("percent", "least", "busy", "retries"),
    # Measured of Envoy 1.40: six failures at once, two retries with 0 % and at least 2.
    [(0.0, 2, 6, 2), (20.0, 3, 0, 3), (20.0, 3, 19, 4), (100.0, 0, 1, 3), (0.0, 0, 5, 0), (33.3, 0, 10, 4)],
)
def test_retry_budget(engine: ModuleType, percent: float, least: int, busy: int, retries: int) -> None:
    """Of the requests that are active, retries among them; what comes out is truncated."""
    eng = limited(engine, max_retries=0, retry_budget=(percent, least))
    held = [lease(eng) for _ in range(busy)]
    taken: list[Any] = []
    while len(taken) < retries:
        taken.append(lease(eng, retry=True))
        assert taken[-1] != "max_retries"
    if percent < 100:
        assert lease(eng, retry=True) == "max_retries"
    for one in (*held, *taken):
        one.finish()


def allowed(eng: Any) -> int:
    """How many retries may be active at once; they are none of the requests that count, as they have no connection yet."""
    taken = []
    while not isinstance(one := lease(eng, retry=True, pending=True), str):
        taken.append(one)
    for one in taken:
        one.finish()
    return len(taken)


def test_a_retry_budget_over_an_interval(engine: ModuleType) -> None:
    """Requests that are over count for a while: until their slot's turn comes again."""
    clock = Clock(5)
    eng = limited(engine, clock, retry_budget=(10.0, 1), retry_budget_interval=1.0)
    assert allowed(eng) == 1
    for _ in range(50):
        lease(eng).finish(status=200)
    assert allowed(eng) == 5
    for at, expected in ((99, 5), (100, 5), (500, 5), (900, 5), (1000, 5), (1100, 1)):
        clock.now = 5 + at * MS
        assert allowed(eng) == expected, at
    for _ in range(20):
        lease(eng).finish(status=200)
    assert allowed(eng) == 2
    clock.now += 10_000 * MS
    assert allowed(eng) == 1


def test_a_steady_stream_over_an_interval(engine: ModuleType) -> None:
    clock = Clock()
    eng = limited(engine, clock, retry_budget=(100.0, 0), retry_budget_interval=1.0)
    counts = []
    for _ in range(400):
        lease(eng).finish(status=200)
        clock.now += 10 * MS
        counts.append(allowed(eng))
    # Each turn is a slot's time after the last one: ten requests a slot, ten slots, and what came since.
    assert max(counts) <= 110
    assert min(counts[200:]) >= 100


def test_no_interval_worth_the_name(engine: ModuleType) -> None:
    """Less than half a millisecond is none: the active and the waiting ones count, retries among them."""
    eng = limited(engine, retry_budget=(50.0, 0), retry_budget_interval=0.0004)
    held = [lease(eng) for _ in range(4)]
    assert allowed(eng) == 3
    for one in held:
        one.finish()


@pytest.mark.parametrize("interval", [-1.0, 2e9, float("nan")])
def test_bad_interval(engine: ModuleType, interval: float) -> None:
    with pytest.raises(EngineError):
        limited(engine, retry_budget=(20.0, 3), retry_budget_interval=interval)
