"""Where draws come from: a seed fixes them, threads have their own, a forked child starts anew."""

from __future__ import annotations

import os
import threading
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from tests.core.test_pick import MASK, mix
from tests.core.units import forward, published, web

from roadstead import _lowered as low

if TYPE_CHECKING:
    from roadstead._core import Engine

HOST = "a.test"


def draws(eng: Engine, count: int) -> list[int]:
    return [eng.route(HOST, 80).draw for _ in range(count)]


def stream(seed: int, count: int) -> list[int]:
    return [mix(seed + number * 0x9E3779B97F4A7C15 & MASK) for number in range(1, count + 1)]


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_seed(engine: ModuleType, seed: int) -> None:
    assert draws(engine.Engine(seed=seed), 5) == stream(seed, 5)


def test_a_given_draw_takes_none(engine: ModuleType) -> None:
    eng = engine.Engine(seed=3)
    assert eng.route(HOST, 80, draw=77).draw == 77
    assert eng.connect(HOST, 80, draw=78).draw == 78
    assert eng.connect(HOST, 80).draw == stream(3, 1)[0]
    assert draws(eng, 1) == stream(3, 2)[1:]


def test_threads_have_streams_of_their_own(engine: ModuleType) -> None:
    eng = engine.Engine(seed=9)
    found = {0: draws(eng, 3)}

    def run(number: int) -> None:
        found[number] = draws(eng, 3)

    for number in (1, 2):
        thread = threading.Thread(target=run, args=(number,))
        thread.start()
        thread.join()
    for number in range(3):
        assert found[number] == stream(9 + number * 0x9E3779B97F4A7C15, 3)


def test_without_a_seed(engine: ModuleType) -> None:
    assert len({*draws(engine.Engine(), 50), *draws(engine.Engine(), 50)}) == 100


def test_a_decision_has_one_draw(engine: ModuleType) -> None:
    eng = published(engine, web(HOST, forward(("a", 1), ("b", 1))), seed=None)
    decision = eng.route(HOST, 80)
    assert decision.draw == decision.draw
    assert decision.destination_index == decision.draw % 2


def in_child(work: object) -> bytes:
    """What the function returns in a forked child."""
    assert callable(work)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, work())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def test_a_forked_child_draws_anew(engine: ModuleType) -> None:
    eng = engine.Engine()
    draws(eng, 1)
    told = [in_child(lambda: repr(draws(eng, 3)).encode()) for _ in range(2)]
    told.append(repr(draws(eng, 3)).encode())
    assert len(set(told)) == 3


def test_a_seed_holds_in_the_child(engine: ModuleType) -> None:
    eng = engine.Engine(seed=4)
    first = draws(eng, 2)
    assert in_child(lambda: repr(draws(eng, 3)).encode()) == repr(stream(4, 5)[2:]).encode()
    assert first + draws(eng, 3) == stream(4, 5)


def test_active_counts_start_at_zero_in_the_child(engine: ModuleType) -> None:
    eng = published(engine, web(HOST))
    cluster = eng.cluster(f"outbound|80||{HOST}")
    assert cluster is not None
    lease = eng.route(HOST, 80).lease()

    def work() -> bytes:
        before = cluster.stats["upstream_rq_active"], cluster.endpoint_stats()[0]["rq_active"]
        lease.finish()
        own = eng.route(HOST, 80).lease()
        between = cluster.stats["upstream_rq_active"], cluster.endpoint_stats()[0]["rq_active"]
        own.finish()
        return repr((before, between, cluster.stats["upstream_rq_total"])).encode()

    assert in_child(work) == repr(((0, 0), (1, 1), 2)).encode()
    assert cluster.stats["upstream_rq_active"] == 1
    lease.finish()


def test_ejections_stay_in_the_child(engine: ModuleType) -> None:
    """What is ejected is ejected there too, and each sweeps for itself."""
    outliers = low.OutlierDetection(1, max_ejection_percent=100)
    eng = published(engine, web(HOST, outliers=outliers), clock=lambda: 0)
    eng.route(HOST, 80).lease().finish(status=500)
    cluster = eng.cluster(f"outbound|80||{HOST}")
    assert cluster is not None

    def work() -> bytes:
        before = cluster.endpoints[0].health
        eng.sweep(30 * 10**9)
        return repr((before, cluster.endpoints[0].health)).encode()

    assert in_child(work) == repr(("unhealthy", "unknown")).encode()
    assert cluster.endpoints[0].health == "unhealthy"
