"""Do two threads that decide do twice as much while a third makes 100 changes a second? Only a free-threaded Python lets them.

Each thread routes and picks on a cluster of its own. What is compared is what a second thread gains: operations a second with
two threads over those with one, beside the same of a loop that does nothing. Processor time of an operation tells what threads
take from each other; where other programs have the processors, neither tells much. Needs no more than the engine (no msgspec, no PyYAML).
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from roadstead import _lowered as low
from roadstead import core

if TYPE_CHECKING:
    from roadstead._core import Engine

OWED = 0.9
_HOSTS, _OPERATIONS, _PAUSE = 1000, 200_000, 0.01
Work = Callable[[int], None]


class Spent(NamedTuple):
    """Seconds of one operation, threads together: passed, and of processor time."""

    passed: float
    processor: float


class Gain(NamedTuple):
    """What two threads do over what one does, by the clock and by processor time; each the median of the rounds."""

    passed: float
    processor: float


def gains(rounds: int) -> dict[str, Gain]:
    """Of the empty loop, and of route and pick."""
    engine = _engine()
    cases: dict[str, tuple[Work, bool]] = {"empty loop": (_nothing, False), "route + pick": (_decides(engine), True)}
    found: dict[str, list[Gain]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (work, changed) in cases.items():
            one, two = (_run(threads, work, engine if changed else None) for threads in (1, 2))
            found[name].append(Gain(one.passed / two.passed, 2 * one.processor / two.processor))
    return {name: Gain(*map(statistics.median, zip(*values, strict=True))) for name, values in found.items()}


def lines(rounds: int) -> Iterator[str]:
    """The table."""
    made = gains(rounds)
    loop = made["empty loop"]
    free = not getattr(sys, "_is_gil_enabled", lambda: True)()
    yield f"Python {sys.version.split()[0]}, {'without' if free else 'with'} the GIL"
    yield ""
    yield "| case | gain of a second thread | × empty loop | by processor time | × empty loop | owed | holds |"
    yield "|---|---|---|---|---|---|---|"
    for name, gain in made.items():
        shares = (gain.passed / loop.passed, gain.processor / loop.processor)
        owed = ("", "") if name == "empty loop" or not free else (f"≥ {OWED} ×", "yes" if min(shares) >= OWED else "no")
        yield f"| {name} | {gain.passed:.2f} | {shares[0]:.2f} | {gain.processor:.2f} | {shares[1]:.2f} | {' | '.join(owed)} |"


def _host(number: int) -> str:
    return f"host-{number}.threads.test"


def _unit(number: int, address: str) -> low.Unit:
    host = _host(number)
    name = f"outbound|80||{host}"
    members = tuple([low.Endpoint(f"{address}.{last}", 80, low.IP) for last in range(1, 4)])
    cluster = low.Cluster(
        None, name, low.EDS, low.LbConfig(low.ROUND_ROBIN), low.Limits(), (low.LocalityGroup("", 0, None, members),)
    )
    service = low.Service(None, host, "ns", (), (low.Port(80, "http", low.PROTO_HTTP),))
    rule = low.Route(None, low.Match(None), low.FORWARD, (low.Destination(name, 0),))
    return low.Unit(host, host, (service,), (cluster,), (low.VirtualHost(None, 80, ((host, 0),), (rule,)),), ())


def _engine() -> Engine:
    engine: Engine = core.engine("native").Engine(seed=1)
    _publish(engine, [_unit(number, "10.0.0") for number in range(_HOSTS)])
    return engine


def _publish(engine: Engine, units: list[low.Unit]) -> None:
    builder = engine.builder()
    for unit in units:
        builder.put(unit)
    engine.publish(builder)


def _nothing(_: int) -> None:
    for _ in range(_OPERATIONS * 20):
        pass


def _decides(engine: Engine) -> Work:
    def work(thread: int) -> None:
        # Bound once: to name the engine again and again is to count its holders, on a cache line that all threads have.
        host, route = _host(thread), engine.route
        for _ in range(_OPERATIONS):
            route(host, 80).pick()

    return work


def _settle(number: int) -> None:
    """Give the calling thread a processor: systems put two short threads on one. Not everywhere can that be said."""
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {mine[number % len(mine)]})


def _run(threads: int, work: Work, changed: Engine | None) -> Spent:
    done, start = threading.Event(), threading.Barrier(threads + 1)
    spent: list[float] = []

    def worker(number: int) -> None:
        _settle(number)
        start.wait()
        begun = time.thread_time()
        work(number)
        spent.append(time.thread_time() - begun)

    def change(engine: Engine) -> None:
        number = 10
        while not done.wait(_PAUSE):
            number = 10 + (number + 1) % (_HOSTS - 10)
            _publish(engine, [_unit(number, f"10.0.{number % 250}")])

    changer = threading.Thread(target=change, args=(changed,)) if changed else None
    workers = [threading.Thread(target=worker, args=(number,)) for number in range(threads)]
    for thread in (*workers, *([changer] if changer else [])):
        thread.start()
    start.wait()
    begun = time.perf_counter()
    for thread in workers:
        thread.join()
    passed = time.perf_counter() - begun
    done.set()
    if changer:
        changer.join()
    operations = _OPERATIONS * threads
    return Spent(passed / operations, sum(spent) / operations)
