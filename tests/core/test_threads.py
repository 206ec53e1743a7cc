"""Readers in threads while one writer publishes: no exception, and every decision is of one piece."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tests.core.units import cluster, forward, group, publish, published, service, unit, virtual_host, web

from roadstead import _lowered as low

HOST = "a.test"
READERS, CHANGES = 6, 300


def generation(number: int) -> low.Unit:
    """All that a decision tells names its generation."""
    name = f"g{number}"
    rule = forward(name)._replace(
        prefix_rewrite=f"/{number}/", host_rewrite=name, request_ops=(low.HeaderOp(low.SET, "g", name),)
    )
    return unit(
        HOST, service(HOST, 80), cluster(name, f"10.0.{number % 250}.1:80"), virtual_host(rule, domains=(HOST,))
    )


def run(read: Callable[[], None], write: Callable[[int], None]) -> None:
    """Reads until all is written; the first failure of a reader is the test's."""
    done = threading.Event()
    failures: list[BaseException] = []

    def reader() -> None:
        try:
            while not done.is_set():
                read()
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=reader) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        for number in range(CHANGES):
            write(number)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def test_publish(engine: ModuleType) -> None:
    eng = published(engine, generation(0))
    column, ports = engine.HostColumn([HOST] * 8), array("H", [80] * 8)

    def read() -> None:
        decision = eng.route(HOST, 80, "/x")
        name = decision.cluster_name
        number = int(name[1:])
        assert (decision.path, decision.authority) == (f"/{number}/x", name)
        assert decision.apply({}) == [("g", name)]
        assert decision.pick().address == f"10.0.{number % 250}.1"
        out = array("i", [-1] * 8)
        eng.find_many(column, ports, out)
        assert set(out) == {0}

    run(read, lambda number: publish(eng, generation(number)))


def test_endpoints_and_health(engine: ModuleType) -> None:
    """Membership changes under the readers; leases are never lost."""
    eng = published(engine, generation(0))

    def members(number: int) -> tuple[low.LocalityGroup, ...]:
        return (group(*[f"10.{number % 250}.0.{last}:80" for last in range(1, 4)], "10.0.0.9:80"),)

    def read() -> None:
        decision = eng.route(HOST, 80)
        with decision.lease() as lease:
            assert lease.endpoint.address.startswith("10.")
        assert len(eng.cluster("g0").endpoint_stats()) in (1, 4)

    def write(number: int) -> None:
        eng.update_endpoints("g0", members(number))
        eng.set_health("g0", "10.0.0.9", 80, (low.UNHEALTHY, low.HEALTHY)[number % 2])

    run(read, write)
    made: Any = eng.cluster("g0")
    assert made.stats["upstream_rq_active"] == 0
    assert [one["rq_active"] for one in made.endpoint_stats()] == [0] * 4


def test_ejections(engine: ModuleType) -> None:
    """Failures in every thread, while somebody sweeps, marks and moves endpoints: never more ejected than allowed, and
    none forgotten."""
    count, allowed = 8, 4
    addresses = [f"10.0.0.{last}" for last in range(count)]
    now = 0
    lb = low.LbConfig(low.ROUND_ROBIN, 100)
    outliers = low.OutlierDetection(
        consecutive_5xx=2, max_ejection_percent=100 * allowed // count, interval=1.0, base_ejection_time=5.0
    )
    endpoints = [f"{address}:80" for address in addresses]
    eng = published(engine, web(HOST, endpoints=endpoints, lb=lb, outliers=outliers), clock=lambda: now)
    name = f"outbound|80||{HOST}"

    def read() -> None:
        for status in (500, 500, 503, 200):
            eng.route(HOST, 80).lease().finish(status=status)
        live = eng.cluster(name)
        assert sum(one["ejected"] for one in live.endpoint_stats()) <= allowed
        assert live.stats["outlier_detection.ejections_active"] <= allowed

    def write(number: int) -> None:
        nonlocal now
        now += 10**9
        due = eng.sweep()
        assert due is None or due > 0
        if number % 3 == 0:
            eng.update_endpoints(name, (group(*endpoints[number % 2 :], *endpoints[: number % 2]),))
        if number % 5 == 0:
            eng.set_health(name, addresses[number % count], 80, low.HEALTHY)

    run(read, write)
    live: Any = eng.cluster(name)
    stats = live.stats
    assert stats["upstream_rq_active"] == 0
    assert stats["outlier_detection.ejections_enforced_total"] > 0
    assert stats["outlier_detection.ejections_active"] == sum(one["ejected"] for one in live.endpoint_stats())
    now += 3600 * 10**9
    assert eng.sweep() is None
    assert live.stats["outlier_detection.ejections_active"] == 0
