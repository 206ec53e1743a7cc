"""The loop that checks endpoints and tells a sink what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Literal, Protocol

import msgspec

from roadstead.due import Due
from roadstead.health.session import Event, Health, Result, Session
from roadstead.health.target import Target, delay_of, targets_of
from roadstead.mesh import Endpoint, HealthCheck
from roadstead.mesh.cluster import ProxyProtocol

Place = tuple[str, str, int]
"""Cluster, address, port."""


class Sink(Protocol):
    """Where results go; the registry's side."""

    def set_health(self, cluster: str, address: str, port: int, health: Health | Literal["unknown"]) -> None:
        """What the checks say of an endpoint from now on; "unknown": they say nothing any more."""

    def had_traffic(self, cluster: str) -> bool:
        """Whether the cluster ever had a connection or a request."""

    def happened(self, cluster: str, address: str, port: int, event: Event, result: Result) -> None:
        """For people: why an endpoint came or went."""


class CheckStatus(msgspec.Struct, frozen=True):
    """What people see of a checked endpoint. flags: Envoy's words, "healthy" or such as "/failed_active_hc"."""

    cluster: str
    address: str
    port: int
    flags: str


class _Probe:
    """One target and the endpoints that it speaks for."""

    __slots__ = ("asking", "places")

    def __init__(self) -> None:
        self.places: dict[Place, Session] = {}
        self.asking = False


class Checks:
    """Checks the endpoints of the clusters it is told of, until told otherwise.

    Endpoints with the same address, check and authority share one probe. run_probe: does a check (`probes.probe`).
    clock: monotonic seconds. Everything but `run` is for the thread of the loop."""

    def __init__(
        self,
        sink: Sink,
        run_probe: Callable[[Target], Awaitable[Result]],
        *,
        parallel: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._run_probe = run_probe
        self._slots = asyncio.Semaphore(parallel)
        self._clock = clock
        self._probes: dict[Target, _Probe] = {}
        self._targets: dict[str, dict[Place, list[Target]]] = {}
        self._due: Due[Target] = Due(clock)

    def watch(
        self,
        cluster: str,
        checks: Sequence[HealthCheck],
        endpoints: Sequence[Endpoint],
        *,
        authority: str,
        secure: bool,
        proxied: ProxyProtocol = "",
    ) -> None:
        """Check these endpoints of the cluster from now on, each by these checks and by its own probe. What is known of
        those that stay, stays; new ones count as failed until they passed; those that are names yet are left alone.
        authority: the service's host. secure: it speaks TLS. proxied: its connections begin with the PROXY protocol."""
        before = self._targets.pop(cluster, {})
        wanted: dict[Place, list[Target]] = {}
        for endpoint in endpoints:
            if endpoint.kind != "hostname" and (
                targets := targets_of(endpoint, checks, authority, cluster if secure else "", proxied)
            ):
                wanted[cluster, endpoint.address, endpoint.port] = targets
        if wanted:
            self._targets[cluster] = wanted
        for place, targets in wanted.items():
            for target in targets:
                if target not in before.get(place, ()):
                    self._add(place, target)
            self._tell(place)
        for place, targets in before.items():
            for target in targets:
                if target not in wanted.get(place, ()):
                    self._remove(place, target)
            if place not in wanted:
                self._sink.set_health(*place, "unknown")

    def forget(self, cluster: str) -> None:
        """The cluster is gone."""
        self.watch(cluster, (), (), authority="", secure=False)

    def status(self) -> list[CheckStatus]:
        """All endpoints that are checked, by cluster."""
        found = []
        for places in self._targets.values():
            for place, targets in places.items():
                sessions = [self._probes[target].places[place] for target in targets]
                found.append(CheckStatus(*place, _flags(sessions)))
        return found

    async def run(self) -> None:
        """Check what is due, until cancelled."""
        await self._due.run(self._begin)

    def _begin(self, target: Target) -> Coroutine[object, object, None] | None:
        known = self._probes.get(target)
        if known is None or known.asking:
            return None
        known.asking = True
        return self._check(target, known)

    async def _check(self, target: Target, known: _Probe) -> None:
        async with self._slots:
            result = await self._run_probe(target)
        known.asking = False
        delays = []
        for place, session in list(known.places.items()):
            event = session.took(result)
            delays.append(session.next_delay(traffic=self._sink.had_traffic(place[0])))
            if event is not None:
                self._sink.happened(*place, event, result)
            if event is not None or result in ("passed", "degraded"):
                # Each check that passed is told: it ends an ejection. One that failed and decides nothing is not.
                self._tell(place)
        if delays and self._probes.get(target) is known:
            self._due.plan(self._clock() + min(delays), target)

    def _add(self, place: Place, target: Target) -> None:
        known = self._probes.get(target)
        if known is None:
            known = self._probes[target] = _Probe()
            self._due.plan(self._clock() + delay_of(target), target)
        known.places[place] = Session(target.check)

    def _remove(self, place: Place, target: Target) -> None:
        known = self._probes[target]
        del known.places[place]
        if not known.places:
            del self._probes[target]

    def _tell(self, place: Place) -> None:
        """Well only where all checks say so (Envoy allows several; any failure counts)."""
        found = {self._probes[target].places[place].health for target in self._targets[place[0]][place]}
        health: Health = "unhealthy" if "unhealthy" in found else "degraded" if "degraded" in found else "healthy"
        self._sink.set_health(*place, health)


def _flags(sessions: Sequence[Session]) -> str:
    """As Envoy's /clusters writes them."""
    made = ""
    if any(session.health == "unhealthy" for session in sessions):
        made += "/failed_active_hc"
    if any(session.health == "degraded" for session in sessions):
        made += "/degraded_active_hc"
    if any(session.pending for session in sessions):
        made += "/pending_active_hc"
    if any(session.health == "unhealthy" and session.timed_out for session in sessions):
        made += "/active_hc_timeout"
    return made or "healthy"
