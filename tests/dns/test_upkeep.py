"""The loop: a real server, a real resolver, and a sink that writes down what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.dns.server import Record, Server
from tests.dns.test_clusters import cluster

from roadstead import LookupFailed
from roadstead.dns import Policy, Upkeep
from roadstead.dns.system import SystemResolver
from roadstead.mesh import Endpoint

QUICK = Policy(refresh=0.05, jitter=0, ttl_floor=0.05, ttl_ceiling=0.05)
NAME = "outbound|80||two.test"
B = "  - {address: b.test}\n"


class Book:
    """A sink. given: the addresses of each cluster; used: clusters that are in use."""

    def __init__(self) -> None:
        self.given: dict[str, list[str]] = {}
        self.parked: list[str] = []
        self.used: set[str] = set()
        self.updates = 0
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def update(self, cluster: str, endpoints: Sequence[Endpoint]) -> None:
        self.given[cluster] = [endpoint.address for endpoint in endpoints]
        self.updates += 1
        self._tell()

    def park(self, cluster: str) -> None:
        self.parked.append(cluster)
        self._tell()

    def was_used(self, cluster: str) -> bool:
        return cluster in self.used

    async def has(self, *addresses: str, cluster: str = NAME) -> None:
        async with self._news:
            await asyncio.wait_for(
                self._news.wait_for(lambda: sorted(self.given.get(cluster, ["-"])) == sorted(addresses)), 10
            )

    async def parks(self, cluster: str) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: cluster in self.parked), 10)

    def _tell(self) -> None:
        task = asyncio.ensure_future(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def running(
    zone: dict[str, Record],
    *,
    policy: Policy = QUICK,
    idle: float | None = None,
    policies: dict[str, Policy] | None = None,
) -> AsyncIterator[tuple[Server, Book, Upkeep]]:
    async with Server() as server:
        server.zone = dict(zone)
        book = Book()
        resolver = SystemResolver(["127.0.0.1"], port=server.port, timeout=10, hosts=None)
        upkeep = Upkeep(resolver, book, policy=policy, policies=policies, idle=idle)
        task = asyncio.create_task(upkeep.run())
        try:
            yield server, book, upkeep
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


ONE = {"a.test": Record(a=["10.0.0.1"])}


async def test_a_change_is_handed_on_and_only_a_change() -> None:
    async with running(ONE) as (server, book, upkeep):
        upkeep.want(cluster("DNS"))
        await book.has("10.0.0.1")
        await server.heard("a.test", "A", 4)
        assert book.updates == 1
        server.zone["a.test"] = Record(a=["10.0.0.2", "10.0.0.3"])
        await book.has("10.0.0.2", "10.0.0.3")


@pytest.mark.parametrize(
    ("resolution", "record", "expected"),
    [
        ("DNS", Record(rcode="SERVFAIL"), ["10.0.0.1"]),
        ("DNS", Record(rcode="NXDOMAIN"), []),
        ("DNS", Record(), []),
        ("DNS_ROUND_ROBIN", Record(rcode="SERVFAIL"), ["10.0.0.1"]),
        ("DNS_ROUND_ROBIN", Record(rcode="NXDOMAIN"), ["10.0.0.1"]),
        ("DNS_ROUND_ROBIN", Record(), ["10.0.0.1"]),
    ],
)
async def test_what_becomes_of_the_hosts(resolution: str, record: Record, expected: list[str]) -> None:
    async with running(ONE) as (server, book, upkeep):
        upkeep.want(cluster(resolution))
        await book.has("10.0.0.1")
        server.zone["a.test"] = record
        before = server.asked["a.test", "A"]
        await server.heard("a.test", "A", before + 3)
        await book.has(*expected)
        server.zone["a.test"] = Record(a=["10.0.0.7"])
        await book.has("10.0.0.7")


async def test_settled_with_the_first_word_of_any_name() -> None:
    async with running({"a.test": Record(silent=True), "b.test": Record(a=["10.0.0.2"])}) as (_, book, upkeep):
        upkeep.want(cluster("DNS", B))
        await asyncio.wait_for(upkeep.settled(NAME), 10)
        await book.has("10.0.0.2")


async def test_a_name_that_does_not_exist_yet() -> None:
    async with running({}) as (server, book, upkeep):
        upkeep.want(cluster("DNS"))
        await asyncio.wait_for(upkeep.settled(NAME), 10)
        await book.has()
        server.zone.update(ONE)
        await book.has("10.0.0.1")


async def test_nobody_uses_it() -> None:
    async with running(ONE, idle=0.2) as (server, book, upkeep):
        book.used.add(NAME)
        upkeep.want(cluster("DNS"))
        await server.heard("a.test", "A", 8)
        assert not book.parked
        book.used.clear()
        await book.parks(NAME)
        assert upkeep.status() == []
        upkeep.want(cluster("DNS"))
        await book.has("10.0.0.1")


async def test_a_cluster_that_changed_keeps_what_is_known() -> None:
    async with running({**ONE, "b.test": Record(a=["10.0.0.2"])}) as (_, book, upkeep):
        upkeep.want(cluster("DNS"))
        await book.has("10.0.0.1")
        updates = book.updates
        upkeep.want(cluster("DNS", B))
        assert (book.updates, book.given[NAME]) == (updates + 1, ["10.0.0.1"])
        await book.has("10.0.0.1", "10.0.0.2")
        upkeep.forget(NAME)
        assert upkeep.status() == []


async def test_a_policy_for_some_names() -> None:
    policies = {"a.*": Policy(refresh=0.05, jitter=0, ttl_floor=0.05, ttl_ceiling=0.05, stale_if_error=3600)}
    async with running({**ONE, "b.test": Record(a=["10.0.0.2"])}, policies=policies) as (server, book, upkeep):
        upkeep.want(cluster("DNS", B))
        await book.has("10.0.0.1", "10.0.0.2")
        server.zone.clear()
        await book.has("10.0.0.1")


async def test_names_that_are_asked_for_by_name() -> None:
    async with running({"any.test": Record(a=["10.0.0.4"]), "bad.test": Record(rcode="SERVFAIL")}) as (
        server,
        _,
        upkeep,
    ):
        assert await upkeep.addresses("Any.test.", "V4_ONLY") == ("10.0.0.4",)
        assert await upkeep.addresses("none.test", "V4_ONLY") == ()
        with pytest.raises(LookupFailed):
            await upkeep.addresses("bad.test", "V4_ONLY")
        server.zone["bad.test"] = Record(a=["10.0.0.5"])
        await server.heard("bad.test", "A", server.asked["bad.test", "A"] + 2)
        assert await upkeep.addresses("bad.test", "V4_ONLY") == ("10.0.0.5",)
        assert [one.name for one in upkeep.status()] == ["any.test", "bad.test", "none.test"]


async def test_many_names_not_all_at_once() -> None:
    names = [f"n{number}.test" for number in range(200)]
    zone = {name: Record(a=[f"10.1.{number // 100}.{number % 100}"]) for number, name in enumerate(names)}
    async with running(zone, policy=Policy()) as (_, _, upkeep):
        found = await asyncio.gather(*[upkeep.addresses(name, "V4_ONLY") for name in names])
    assert found == [tuple(zone[name].a) for name in names]
