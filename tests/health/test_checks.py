"""The loop: real servers, and a sink that writes down what it gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from tests.health.server import HealthServer

from roadstead.health import Checks, CheckStatus, Event, Health, Result
from roadstead.health.probes import probe
from roadstead.mesh import Endpoint, HealthCheck

CLUSTER = "outbound|80||api.test"
HTTP = HealthCheck(0.05, 5, unhealthy_threshold=3, healthy_threshold=2, path="/health")
TCP = HealthCheck(0.05, 5, unhealthy_threshold=1, healthy_threshold=1, kind="tcp")


class Book:
    """A sink. traffic: what clusters are told to have had."""

    def __init__(self) -> None:
        self.health: dict[tuple[str, int], Health | Literal["unknown"]] = {}
        self.events: list[tuple[int, Event, Result]] = []
        # How often each endpoint was told of.
        self.told: Counter[int] = Counter()
        self.traffic = True
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def set_health(self, cluster: str, address: str, port: int, health: Health | Literal["unknown"]) -> None:
        self.health[cluster, port] = health
        self.told[port] += 1
        task = asyncio.ensure_future(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def had_traffic(self, cluster: str) -> bool:
        return self.traffic

    def happened(self, cluster: str, address: str, port: int, event: Event, result: Result) -> None:
        self.events.append((port, event, result))

    async def shows(self, port: int, health: Health, cluster: str = CLUSTER) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: self.health.get((cluster, port)) == health), 20)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def running(book: Book) -> AsyncIterator[Checks]:
    checks = Checks(book, probe)
    task = asyncio.create_task(checks.run())
    try:
        yield checks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def at(*ports: int) -> list[Endpoint]:
    return [Endpoint("127.0.0.1", port) for port in ports]


def watch(checks: Checks, *ports: int, cluster: str = CLUSTER, kinds: tuple[HealthCheck, ...] = (HTTP,)) -> None:
    checks.watch(cluster, kinds, at(*ports), authority="api.test", secure=False)


async def test_out_and_back() -> None:
    book = Book()
    async with HealthServer() as server, running(book) as checks:
        watch(checks, server.port)
        assert book.health == {(CLUSTER, server.port): "unhealthy"}
        assert checks.status() == [
            CheckStatus(CLUSTER, "127.0.0.1", server.port, "/failed_active_hc/pending_active_hc")
        ]
        await book.shows(server.port, "healthy")
        server.behaviour = "error"
        await book.shows(server.port, "unhealthy")
        assert [one.flags for one in checks.status()] == ["/failed_active_hc"]
        server.behaviour = "ok"
        await book.shows(server.port, "healthy")
        server.behaviour = "degraded"
        await book.shows(server.port, "degraded")
    assert book.events == [
        (server.port, "add_healthy", "passed"),
        (server.port, "eject_unhealthy", "bad"),
        (server.port, "add_healthy", "passed"),
        (server.port, "degraded", "degraded"),
    ]


async def test_nobody_listens_any_more() -> None:
    book = Book()
    async with HealthServer() as server, running(book) as checks:
        watch(checks, server.port)
        await book.shows(server.port, "healthy")
        await server.stop()
        await book.shows(server.port, "unhealthy")
    assert book.events[-1] == (server.port, "eject_unhealthy", "network")


async def test_a_failure_that_decides_nothing_is_not_told() -> None:
    """Or it would end an ejection, as a check that passed does."""
    book = Book()
    async with HealthServer() as server, running(book) as checks:
        watch(checks, server.port)
        await book.shows(server.port, "healthy")
        await server.stop()
        before = book.told[server.port]
        await book.shows(server.port, "unhealthy")
    # The one that decided, and one that may have been on its way.
    assert book.told[server.port] - before <= 2


async def test_one_probe_for_all_who_ask_the_same() -> None:
    book = Book()
    async with HealthServer() as server, running(book) as checks:
        for subset in ("v1", "v2", "v3"):
            watch(checks, server.port, cluster=subset)
        for subset in ("v1", "v2", "v3"):
            await book.shows(server.port, "healthy", subset)
        assert len(server.requests) == 1
        await server.asked(4)
        checks.forget("v1")
        assert [one.cluster for one in checks.status()] == ["v2", "v3"]


async def test_the_first_traffic_does_not_shorten_the_wait() -> None:
    book = Book()
    book.traffic = False
    async with HealthServer() as idle, HealthServer() as busy, running(book) as checks:
        watch(checks, idle.port)
        await book.shows(idle.port, "healthy")
        book.traffic = True
        watch(checks, busy.port, cluster="busy")
        await busy.asked(5)
    assert len(idle.requests) == 1


async def test_endpoints_come_and_go() -> None:
    book = Book()
    async with HealthServer() as first, HealthServer("error") as second, running(book) as checks:
        watch(checks, first.port)
        await book.shows(first.port, "healthy")
        watch(checks, first.port, second.port)
        assert book.health == {(CLUSTER, first.port): "healthy", (CLUSTER, second.port): "unhealthy"}
        await second.asked(3)
        watch(checks, second.port)
        count = len(first.requests)
        await second.asked(len(second.requests) + 3)
        assert len(first.requests) <= count + 1
        assert [one.port for one in checks.status()] == [second.port]
        assert book.health[CLUSTER, first.port] == "unknown"


async def test_any_check_that_fails_counts() -> None:
    book = Book()
    async with HealthServer("error") as server, running(book) as checks:
        watch(checks, server.port, kinds=(TCP, HTTP))
        await server.asked(4)
        assert book.health == {(CLUSTER, server.port): "unhealthy"}
        server.behaviour = "ok"
        await book.shows(server.port, "healthy")
