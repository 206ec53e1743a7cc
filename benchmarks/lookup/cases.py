"""Who owns (host, port)? `find` of both engines beside the plain dict that knows the answers."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks import meshes, workload
from benchmarks.case import Case

Query = tuple[str, int]


def bare_loop(size: int, cold: bool) -> Case:
    """The loop that every case runs, without a look-up in it."""

    def run(queries: list[Query]) -> None:
        for _host, _port in queries:
            pass

    return Case("loop", run, *_queries(size, cold))


def cases(size: int, *, cold: bool) -> list[Case]:
    """hot: 1,000 queries again and again; cold: every host once, shuffled, strings that nobody has hashed yet."""
    operations, prepare = _queries(size, cold)
    known = {(workload.asked(number), port): number for number in range(size) for port in workload.PORTS}

    def dict_run(queries: list[Query]) -> None:
        for host, port in queries:
            known[(host, port)]

    found = [Case("dict", dict_run, operations, prepare)]
    for engine in meshes.ENGINES:
        owed = (("dict", 0.8 if cold else 1.3),) if engine == "native" else ()
        found.append(Case(f"find, {engine}", _find(engine, size), operations, prepare, owed))
    return found


def _find(engine: str, size: int) -> Callable[[list[Query]], None]:
    find = meshes.registry(engine, size).find

    def run(queries: list[Query]) -> None:
        for host, port in queries:
            find(host, port)

    return run


def _queries(size: int, cold: bool) -> tuple[int, Callable[[], list[Query]]]:
    rows = [(workload.asked(number).encode(), 80) for number in range(size)]
    random.Random(1).shuffle(rows)
    if cold:
        return len(rows), lambda: [(str(name, "ascii"), port) for name, port in rows]
    hot = [(str(name, "ascii"), port) for name, port in rows[:1000]] * 10
    return len(hot), lambda: hot
