"""Counting requests that are over, on both engines."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import pytest
from tests.core.exchanges import HOST, MS, NAME, THREE, engine_with, route

from roadstead.errors import EngineError

BOUNDS = [1.0, 10.0, 100.0]


def rows(tally: Any) -> list[tuple[Any, ...]]:
    """Without sums and buckets."""
    return [row[:6] for row in tally.read()]


def test_exchanges_are_counted_by_class(engine: ModuleType) -> None:
    made = engine_with(engine, route(), THREE)
    described: list[tuple[str, str]] = []

    def describe(decision: Any, authority: str) -> str:
        described.append((decision.cluster_name, authority))
        return f"about {decision.cluster_name}"

    tally = engine.Tally(describe, BOUNDS)
    for at, status in enumerate([200, 200, 503]):
        exchange = made.route(HOST, 80).exchange(now=0)
        exchange.response(status, end_stream=False, now=1 * MS)
        with pytest.raises(EngineError, match="not over"):
            tally.count(exchange)
        exchange.ended(now=(5 + at) * MS)
        tally.count(exchange, 100 * at, 7)
    gone = made.route(HOST, 80).exchange(now=0)
    gone.cancel(now=200 * MS)
    tally.count(gone, request_bytes=11)
    about = f"about {NAME}"
    assert rows(tally) == [
        (about, 200, "", False, -1, 2),
        (about, 503, "", False, -1, 1),
        (about, 0, "DC", False, -1, 1),
    ]
    assert described == [(NAME, "")] * 3
    good, _, left = tally.read()
    assert good[6] == (11.0, 100.0, 14.0)
    assert good[7] == ((0, 2, 0, 0), (1, 0, 1, 0), (0, 2, 0, 0))
    assert left[7] == ((0, 0, 0, 1), (0, 0, 1, 0), (1, 0, 0, 0))


def test_grpc(engine: ModuleType) -> None:
    made = engine_with(engine, route(), THREE)
    tally = engine.Tally(lambda *_: None, BOUNDS)
    exchange = made.route(HOST, 80, headers={"content-type": "application/grpc"}).exchange(now=0)
    exchange.response(200, now=MS)
    tally.count(exchange, 0, 0, 14)
    tally.count(exchange, grpc_status=5)
    assert rows(tally) == [(None, 200, "", True, 14, 1), (None, 200, "", True, 5, 1)]


def test_what_has_no_exchange(engine: ModuleType) -> None:
    made = engine_with(engine, route(), THREE)
    tally = engine.Tally(lambda *_: None, BOUNDS)
    tally.add(made.route(HOST, 80), 503, "UF,URX", nanoseconds=1_500_000, request_bytes=1, response_bytes=2)
    assert tally.read() == [
        (None, 503, "UF,URX", False, -1, 1, (1.5, 1.0, 2.0), ((0, 1, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0)))
    ]


def test_hosts_of_nobody_are_told_apart_up_to_a_number(engine: ModuleType) -> None:
    made = engine_with(engine, route(), THREE)
    tally = engine.Tally(lambda _, authority: authority, BOUNDS)
    for number in range(5000):
        tally.add(made.route(f"h{number}.test", 80), 200, nanoseconds=0)
        tally.add(made.route("h0.test", 80), 200, nanoseconds=0)
    found = {row[0]: row[5] for row in tally.read()}
    assert (len(found), found["h0.test"], found["h4095.test"], found[""]) == (4097, 5001, 1, 904)


def test_threads_count_together(engine: ModuleType) -> None:
    made = engine_with(engine, route(), THREE)
    tally = engine.Tally(lambda *_: None, BOUNDS)
    decision = made.route(HOST, 80)

    def work() -> None:
        for number in range(500):
            tally.add(decision, 200 + number % 3, nanoseconds=1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(row[5] for row in tally.read()) == [664, 668, 668]


def test_what_describes_may_fail(engine: ModuleType) -> None:
    made = engine_with(engine, route(), THREE)

    def describe(*_: object) -> object:
        raise RuntimeError("no words")

    tally = engine.Tally(describe, BOUNDS)
    with pytest.raises(RuntimeError, match="no words"):
        tally.add(made.route(HOST, 80), 200, nanoseconds=0)
    assert tally.read() == []
