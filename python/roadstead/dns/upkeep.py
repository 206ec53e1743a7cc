"""Keeps names fresh and hands what they mean to a sink: one loop, many names."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol, cast

import msgspec

from roadstead.dns.answer import Family, Resolver
from roadstead.dns.clusters import endpoints_of, names_of
from roadstead.dns.names import ISTIO, NameState, Policy
from roadstead.due import Due
from roadstead.errors import LookupFailed
from roadstead.mesh import Cluster, Endpoint

Key = tuple[str, Family]

# Seconds between two rounds of look-ups that are due by themselves: names that come due meanwhile are asked for
# together, which costs a third. Istio's own jitter is as long.
_APART = 0.1


class Sink(Protocol):
    """Where endpoints go; the registry's side."""

    def update(self, cluster: str, endpoints: Sequence[Endpoint]) -> None:
        """The cluster has these endpoints from now on."""

    def park(self, cluster: str) -> None:
        """The cluster's names are not kept fresh any more: who picks next has to wait for `want`."""

    def was_used(self, cluster: str) -> bool:
        """Whether anybody picked there since this was asked last."""


class NameStatus(msgspec.Struct, frozen=True):
    """What people see of a name. Seconds of the upkeep's clock. error: of the last look-up, "" after an answer."""

    name: str
    family: Family
    addresses: tuple[str, ...]
    due: float
    failures: int
    error: str


class _Name:
    """A name that somebody needs: its state, who needs it, and who waits for its first word."""

    __slots__ = ("asked", "asking", "clusters", "state", "word")

    def __init__(self, policy: Policy) -> None:
        self.state = NameState(policy)
        self.clusters: set[str] = set()
        self.word = asyncio.Event()
        # A look-up is running.
        self.asking = False
        # When `addresses` last asked for it; None: never.
        self.asked: float | None = None


class _Wanted:
    """A cluster whose names are kept: what it is, what it was given, when it was last seen in use."""

    __slots__ = ("cluster", "handed", "keys", "used")

    def __init__(self, cluster: Cluster, keys: list[Key], used: float) -> None:
        self.cluster = cluster
        self.keys = keys
        self.used = used
        self.handed: list[Endpoint] | None = None


class Upkeep:
    """Looks up the names of the clusters that are wanted, again and again, until they are not used any more.

    policies: host patterns ("*.example.com") → how such names are kept; the first that fits; else `policy`.
    idle: seconds without use after which a cluster is parked; None: never. parallel: look-ups at one time.
    clock: monotonic seconds; draw: numbers in [0, 1).

    Everything but `run` is for the thread of the loop."""

    def __init__(
        self,
        resolver: Resolver,
        sink: Sink,
        *,
        policy: Policy = ISTIO,
        policies: Mapping[str, Policy] | None = None,
        idle: float | None = 300.0,
        parallel: int = 64,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._resolver = resolver
        self._sink = sink
        self._policy = policy
        self._policies = dict(policies or {})
        self._idle = idle
        self._slots = asyncio.Semaphore(parallel)
        self._clock = clock
        self._draw = draw
        self._names: dict[Key, _Name] = {}
        self._clusters: dict[str, _Wanted] = {}
        self._due: Due[Key] = Due(clock, _APART)

    # What is wanted

    def want(self, cluster: Cluster) -> None:
        """Resolve a cluster's names from now on; one that is wanted already is replaced by this version of it."""
        keys = _keys(cluster)
        before = self._clusters.pop(cluster.name, None)
        if keys:
            self._clusters[cluster.name] = _Wanted(cluster, keys, self._clock())
            for key in keys:
                self._need(key).clusters.add(cluster.name)
        if before is not None:
            self._release(cluster.name, [key for key in before.keys if key not in keys])
        if keys:
            self._hand(cluster.name)

    def wants(self, cluster: str) -> bool:
        """Whether the cluster's names are kept."""
        return cluster in self._clusters

    def forget(self, cluster: str) -> None:
        """The cluster is gone, or nobody needs its names."""
        wanted = self._clusters.pop(cluster, None)
        if wanted is not None:
            self._release(cluster, wanted.keys)

    async def settled(self, cluster: str) -> None:
        """Returns when anybody said anything about any of its names, or the cluster was forgotten."""
        wanted = self._clusters.get(cluster)
        if wanted is None:
            return
        waiting = [asyncio.ensure_future(self._names[key].word.wait()) for key in wanted.keys]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def addresses(self, name: str, family: Family) -> tuple[str, ...]:
        """Of a name that no cluster lists (wildcard hosts, DYNAMIC_DNS): looked up now if it is not fresh, and kept
        fresh while it is asked for. Empty: it does not exist. LookupFailed where nobody answers."""
        key = (name.rstrip(".").lower(), family)
        known = self._need(key)
        known.asked = self._clock()
        await known.word.wait()
        found = known.state.addresses(self._clock())
        if not found and known.state.error:
            raise LookupFailed(known.state.error)
        return found

    def status(self) -> list[NameStatus]:
        """All names that are kept, in order."""
        now = self._clock()
        return [
            NameStatus(name, family, one.state.addresses(now), one.state.due, one.state.failures, one.state.error)
            for (name, family), one in sorted(self._names.items())
        ]

    # The loop

    async def run(self) -> None:
        """Look up what is due, until cancelled; the resolver is closed then."""
        try:
            await self._due.run(self._begin)
        finally:
            await self._resolver.close()

    def _begin(self, key: Key) -> Coroutine[object, object, None] | None:
        """The look-up of a name that is due. What changed by itself is handed over, what nobody uses any more is let
        go."""
        now = self._clock()
        name = self._names.get(key)
        if name is None or name.asking:
            return None
        self._hand_all(name)
        if name.state.due > now:
            self._plan(key, name, now)
            return None
        if self._is_idle(name, now):
            self._let_go(key, name)
            return None
        name.asking = True
        return self._look_up(key)

    async def _look_up(self, key: Key) -> None:
        async with self._slots:
            try:
                answer = await self._resolver.look_up(*key)
                error = None
            except LookupFailed as failure:
                answer, error = None, str(failure)
        name = self._names.get(key)
        if name is None:
            return
        now = self._clock()
        name.asking = False
        if answer is not None:
            name.state.took(answer, now, self._draw())
        else:
            name.state.failed(error or "", now, self._draw())
        self._plan(key, name, now)
        self._hand_all(name)
        name.word.set()

    # Keeping the books

    def _need(self, key: Key) -> _Name:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = _Name(self._policy_of(key[0]))
            self._due.now(key)
        return name

    def _policy_of(self, name: str) -> Policy:
        for pattern, policy in self._policies.items():
            if fnmatchcase(name, pattern.lower()):
                return policy
        return self._policy

    def _plan(self, key: Key, name: _Name, now: float) -> None:
        changes = name.state.changes_at(now)
        self._due.plan(name.state.due if changes is None else min(changes, name.state.due), key)

    def _hand_all(self, name: _Name) -> None:
        for cluster in sorted(name.clusters):
            self._hand(cluster)

    def _hand(self, cluster: str) -> None:
        """Give the cluster what its names mean now, if that is new and anything is known."""
        wanted = self._clusters[cluster]
        names = {key[0]: self._names[key].state for key in wanted.keys}
        if not any(state.started for state in names.values()):
            return
        endpoints = endpoints_of(wanted.cluster, names, self._clock())
        if wanted.handed != endpoints:
            wanted.handed = endpoints
            self._sink.update(cluster, endpoints)

    def _is_idle(self, name: _Name, now: float) -> bool:
        if self._idle is None:
            return False
        uses = [] if name.asked is None else [name.asked]
        for cluster in name.clusters:
            wanted = self._clusters[cluster]
            if self._sink.was_used(cluster):
                wanted.used = now
            uses.append(wanted.used)
        return now - max(uses) >= self._idle

    def _let_go(self, key: Key, name: _Name) -> None:
        name.asked = None
        for cluster in sorted(name.clusters):
            self.forget(cluster)
            self._sink.park(cluster)
        self._names.pop(key, None)

    def _release(self, cluster: str, keys: list[Key]) -> None:
        """Names that the cluster does not need any more, and nobody else does, are dropped."""
        for key in keys:
            name = self._names[key]
            name.clusters.discard(cluster)
            if not name.clusters and name.asked is None:
                name.word.set()
                del self._names[key]


def _keys(cluster: Cluster) -> list[Key]:
    family = cast("Family", cluster.dns_lookup_family or "V4_ONLY")
    return [(name, family) for name in names_of(cluster)]
