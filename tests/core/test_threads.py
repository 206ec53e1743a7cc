"""Readers in threads while one writer publishes: no exception, and every decision is of one piece. On a free-threaded Python
all of them run at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from array import array
from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any

from tests.core.units import (
    cluster,
    exact,
    forward,
    group,
    header,
    publish,
    published,
    service,
    unit,
    virtual_host,
    web,
)

from roadstead import _lowered as low
from roadstead.errors import EngineError

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


FLAVOUR = ("x-flavour", "X-Flavour", "X-FLAVOUR")


def mixed(headers: dict[str, str], number: int) -> None:
    """One header comes, changes and goes in all its spellings, among others whose names are new objects each time."""
    for step in range(number, number + 40):
        headers.pop(FLAVOUR[step % 3], None)
        headers[FLAVOUR[(step + 1) % 3]] = ("red", "blue")[step & 1]
        headers[f"x-other-{step % 60}"] = "v"
        headers.pop(f"x-other-{(step + 30) % 60}", None)


def test_headers_that_another_thread_changes(engine: ModuleType) -> None:
    """Whatever stands in a dict when it is read, the answer is one of those there are."""
    red = forward("red", headers=(header(FLAVOUR[0], exact("red")),))
    plain = forward("plain")._replace(
        request_ops=(low.HeaderOp(low.SET, "g", "1"),), hash_policies=(low.HashPolicy(low.HASH_HEADER, FLAVOUR[0]),)
    )
    clusters = [cluster(name, f"10.0.0.{last}:80") for last, name in enumerate(("red", "plain"))]
    eng = published(engine, unit(HOST, service(HOST, 80), *clusters, virtual_host(red, plain, domains=(HOST,))))
    shared = {f"x-{at}": "v" for at in range(12)}

    def read() -> None:
        decision = eng.route(HOST, 80, "/", "GET", shared)
        assert decision.cluster_name in ("red", "plain")
        assert decision.pick().address in ("10.0.0.0", "10.0.0.1")
        assert (("g", "1") in decision.apply(shared)) == (decision.cluster_name == "plain")
        with decision.exchange() as exchange:
            assert ("x-1", "v") in exchange.apply(shared)

    run(read, lambda number: mixed(shared, number))


def test_one_lease_in_many_hands(engine: ModuleType) -> None:
    """Whoever ends it first ends it, once; one decision serves all that pick from it."""
    eng = published(engine, web(HOST, endpoints=[f"10.0.0.{last}:80" for last in range(3)]))
    live = eng.cluster(f"outbound|80||{HOST}")
    taken: list[Any] = []

    def handed() -> tuple[Any, Any]:
        decision = eng.route(HOST, 80)
        taken.append(lease := decision.lease())
        return decision, lease

    shared = handed()

    def read() -> None:
        decision, lease = shared
        assert decision.pick().address.startswith("10.0.0.")
        taken.append(own := decision.lease())
        lease.finish(status=503)
        own.finish(status=200)

    def write(_: int) -> None:
        nonlocal shared
        before, shared = shared, handed()
        before[1].finish(status=200)

    run(read, write)
    shared[1].finish()
    assert live.stats["upstream_rq_active"] == 0
    assert live.stats["upstream_rq_total"] == len(taken)
    rows = live.endpoint_stats()
    assert [row["rq_active"] for row in rows] == [0] * 3
    assert (
        sum(row["rq_success"] + row["rq_error"] for row in rows) == sum(row["rq_total"] for row in rows) == len(taken)
    )


def test_all_at_once(engine: ModuleType) -> None:
    """Every thread asks, leases and publishes units of its own, while one changes the endpoints, their health and the headers
    that all read."""
    kept = "kept.test"
    members = [f"10.1.0.{last}:80" for last in range(4)]
    eng = published(engine, generation(0), web(kept, endpoints=members))
    service_of_kept, live = eng.find(kept, 80), eng.cluster(f"outbound|80||{kept}")
    shared = {f"x-{at}": "v" for at in range(12)}
    numbers, latest = count(1), 0
    changes: list[str] = []
    turns = threading.local()

    def publish_own(number: int) -> None:
        """Of changes that begin with the same state one is published: the others begin again."""
        host = f"own-{number % 16}.test"
        while True:
            try:
                publish(eng, web(host, endpoints=[f"10.2.0.{number % 250}:80"]))
            except EngineError as error:
                assert "older than what is published" in str(error)  # noqa: PT017
            else:
                break
        changes.append(host)
        assert eng.find(host, 80).host == host

    def read() -> None:
        turns.done = getattr(turns, "done", 0) + 1
        seen = latest
        decision = eng.route(HOST, 80, "/x", "GET", shared)
        number = int(decision.cluster_name[1:])
        assert seen <= number <= latest + 1
        assert decision.apply(shared)[-1] == ("g", decision.cluster_name)
        assert decision.pick().address == f"10.0.{number % 250}.1"
        assert eng.find(kept, 80) is service_of_kept
        with eng.route(kept, 80, "/", "GET", shared).lease() as lease:
            assert lease.endpoint.address.startswith("10.1.0.")
        if turns.done % 25 == 0:
            publish_own(next(numbers))

    def write(number: int) -> None:
        nonlocal latest
        mixed(shared, number)
        eng.update_endpoints(f"outbound|80||{kept}", (group(*members[number % 3 :]),))
        eng.set_health(f"outbound|80||{kept}", "10.1.0.3", 80, (low.UNHEALTHY, low.HEALTHY)[number % 2])
        while True:
            try:
                publish(eng, generation(number + 1))
            except EngineError:
                continue
            break
        changes.append(HOST)
        latest = number + 1

    run(read, write)
    assert eng.version == 1 + len(changes)
    assert live.stats["upstream_rq_active"] == 0
    assert [row["rq_active"] for row in live.endpoint_stats()] == [0] * len(live.endpoints)
    assert eng.route(HOST, 80).cluster_name == f"g{CHANGES}"


def test_what_is_made_on_first_use_is_made_once(engine: ModuleType) -> None:
    """All threads are let go at once to read what nobody has read before."""
    for number in range(40):
        host = f"h{number}.test"
        eng = published(engine, web(host, endpoints=["10.0.0.1:80"]))
        start = threading.Barrier(READERS)
        found: list[tuple[Any, ...]] = []

        def read(eng: Any = eng, host: str = host, start: Any = start, found: list[Any] = found) -> None:
            start.wait()
            decision = eng.route(host, 80)
            found.append((eng.find(host, 80), eng.cluster(f"outbound|80||{host}"), decision.pick()))

        threads = [threading.Thread(target=read) for _ in range(READERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == READERS
        for objects in zip(*found, strict=True):
            assert all(one is objects[0] for one in objects)


def test_the_engine_leaves_the_gil_as_it_is(engine_name: str) -> None:
    """A module that does not say that it needs none brings the GIL back, and Python warns."""
    lines = [
        "import sys",
        "without = not getattr(sys, '_is_gil_enabled', lambda: True)()",
        "from roadstead import core",
        f"core.engine({engine_name!r})",
        "assert without == (not getattr(sys, '_is_gil_enabled', lambda: True)())",
    ]
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(lines)], check=True)
