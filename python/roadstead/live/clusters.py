"""The bridge between a registry's clusters and those who keep them alive: names to resolve, endpoints to check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, cast

from roadstead.dns import Upkeep
from roadstead.dns.clusters import names_of
from roadstead.health.probes import need
from roadstead.host import with_port
from roadstead.live.history import History, What
from roadstead.mesh import Cluster, Endpoint
from roadstead.protocol import Protocol

if TYPE_CHECKING:
    from roadstead._core import Cluster as LiveCluster
    from roadstead.health import Checks, Health, Result
    from roadstead.health import Event as CheckEvent
    from roadstead.registry.endpoints import ClusterEndpoints
    from roadstead.registry.view import View

_WHAT: dict[str, What] = {
    "add_healthy": "returned",
    "eject_unhealthy": "ejected",
    "degraded": "degraded",
    "no_longer_degraded": "recovered",
}
_OUTLIER, _CONFIGURATION = "outlier detection", "configuration"


class Word:
    """A resolver's first word, to be waited for by threads and coroutines alike (`errors.Waiting`)."""

    __slots__ = ("_future",)

    def __init__(self, future: Future[None]) -> None:
        self._future = future

    def wait(self, timeout: float | None = None) -> None:
        """Block until it came; TimeoutError after so many seconds."""
        self._future.result(timeout)

    def __await__(self) -> Generator[object, None, None]:
        return asyncio.wrap_future(self._future).__await__()


class Clusters:
    """Follows which clusters there are, and is the sink of the resolver's and the checks' loops.

    spawn: runs a coroutine in the loop, from any thread. Everything but `want` is for the thread of the loop."""

    def __init__(
        self, view: View, history: History, spawn: Callable[[Coroutine[object, object, None]], Future[None]]
    ) -> None:
        self._view = view
        self._history = history
        self._spawn = spawn
        self._used: dict[str, int] = {}
        self._checked: set[str] = set()
        # The endpoints of each cluster, as the history names them.
        self._shown: dict[str, tuple[str, ...]] = {}
        self._doors: dict[str, ClusterEndpoints] = {}
        # Clusters with outlier detection, and the endpoints that are known to be ejected.
        self._ejecting: dict[str, set[str]] = {}
        self.upkeep: Upkeep | None = None
        self.checks: Checks | None = None

    # What there is

    def start(self) -> None:
        """Take all clusters over."""
        self.changed([known.name for known in self._view.clusters() if known is not None], told=False)

    def changed(self, names: Iterable[str], *, told: bool = True) -> None:
        """These clusters are new, different or gone. told: the history hears of it."""
        for name in names:
            self._doors.pop(name, None)
            spec = self._spec(name)
            if spec is None:
                self._forget(name)
                continue
            if spec.outlier_detection is not None:
                self._ejecting.setdefault(name, set())
            else:
                self._ejecting.pop(name, None)
            if self.upkeep is not None and names_of(spec):
                # Who was in use goes on with what is known; who was not waits until somebody asks.
                if self.upkeep.wants(name):
                    self.upkeep.want(spec)
                else:
                    self._hold(name)
            else:
                endpoints = [endpoint for group in spec.groups for endpoint in group.endpoints]
                self._show(name, endpoints, _CONFIGURATION if told else "")
                self._check(spec, endpoints)

    def _show(self, name: str, endpoints: Iterable[Endpoint], why: str) -> None:
        """The cluster has these endpoints now. why: what the history says of it, "" for nothing."""
        shown = tuple([with_port(endpoint.address, endpoint.port) for endpoint in endpoints])
        if why:
            self._history.compare(name, self._shown.get(name, ()), shown, why)
        self._shown[name] = shown

    def _spec(self, name: str) -> Cluster | None:
        known = self._view.cluster(name)
        return None if known is None else cast("Cluster | None", known.spec)

    def _door(self, name: str) -> ClusterEndpoints:
        door = self._doors.get(name)
        if door is None:
            door = self._doors[name] = self._view.endpoints(name)
        return door

    def _forget(self, name: str) -> None:
        if self.upkeep is not None:
            self.upkeep.forget(name)
        if self.checks is not None:
            self.checks.forget(name)
        self._history.compare(name, self._shown.pop(name, ()), (), _CONFIGURATION)
        self._used.pop(name, None)
        self._ejecting.pop(name, None)

    def _check(self, spec: Cluster, endpoints: Sequence[Endpoint]) -> None:
        probes = [endpoint.probe for endpoint in endpoints if endpoint.probe is not None]
        if self.checks is None or not (spec.health_checks or probes or spec.name in self._checked):
            return
        if spec.health_checks or probes:
            self._checked.add(spec.name)
            # Whoever has checks hears of a missing library at once, and not from each of them.
            need((*spec.health_checks, *probes))
        else:
            self._checked.discard(spec.name)
        self.checks.watch(
            spec.name,
            spec.health_checks,
            endpoints,
            authority=spec.host,
            secure=_speaks_tls(spec),
            proxied=spec.connection_pool.tcp.proxy_protocol,
        )

    # Ejections

    def look_at_ejections(self) -> bool:
        """Note which endpoints outlier detection has ejected since the last look, and which came back. Whether any are
        ejected now."""
        are_any = False
        for name, known in self._ejecting.items():
            cluster = self._view.cluster(name)
            if cluster is None or not (known or cluster.stats.get("outlier_detection.ejections_active")):
                continue
            now = {
                with_port(endpoint.address, endpoint.port)
                for endpoint, stats in zip(cluster.endpoints, cluster.endpoint_stats(), strict=False)
                if stats.get("ejected")
            }
            for endpoint in sorted(now - known):
                self._history.note(name, endpoint, "ejected", _OUTLIER)
            for endpoint in sorted(known - now):
                self._history.note(name, endpoint, "returned", _OUTLIER)
            self._ejecting[name] = now
            are_any = are_any or bool(now)
        return are_any

    # Names

    def _hold(self, name: str) -> None:
        self._door(name).hold(lambda: self.want(name))

    def want(self, name: str) -> Word:
        """Somebody picked in a cluster whose names are not resolved; from any thread."""
        return Word(self._spawn(self._resolve(name)))

    async def _resolve(self, name: str) -> None:
        spec = self._spec(name)
        if self.upkeep is None or spec is None:
            return
        if not self.upkeep.wants(name):
            self._used[name] = self._uses(name)
            self.upkeep.want(spec)
        await self.upkeep.settled(name)

    def update(self, cluster: str, endpoints: Sequence[Endpoint]) -> None:
        """Of `dns.Sink`."""
        spec = self._spec(cluster)
        if spec is None:
            return
        self._door(cluster).update(endpoints)
        self._show(cluster, endpoints, "dns")
        self._check(spec, endpoints)

    def park(self, cluster: str) -> None:
        """Of `dns.Sink`."""
        if self.checks is not None:
            self.checks.forget(cluster)
        self._history.compare(cluster, self._shown.pop(cluster, ()), (), "not in use")
        if self._spec(cluster) is not None:
            self._hold(cluster)

    def was_used(self, cluster: str) -> bool:
        """Of `dns.Sink`: whether a lease was taken since."""
        before, now = self._used.get(cluster), self._uses(cluster)
        self._used[cluster] = now
        return now != before

    def _uses(self, cluster: str) -> int:
        known = self._view.cluster(cluster)
        return 0 if known is None else _traffic(known)

    # Checks

    def set_health(self, cluster: str, address: str, port: int, health: Health | Literal["unknown"]) -> None:
        """Of `health.Sink`. An endpoint that left meanwhile is of no interest."""
        if self._view.cluster(cluster) is not None and any(
            one.address == address and one.port == port for one in self._endpoints(cluster)
        ):
            self._door(cluster).set_health(address, port, health)

    def had_traffic(self, cluster: str) -> bool:
        """Of `health.Sink`."""
        return self._uses(cluster) > 0

    def happened(self, cluster: str, address: str, port: int, event: CheckEvent, result: Result) -> None:
        """Of `health.Sink`."""
        self._history.note(cluster, with_port(address, port), _WHAT[event], f"health check: {result}")

    def _endpoints(self, cluster: str) -> Iterable[Endpoint]:
        known = self._view.cluster(cluster)
        return () if known is None else cast("Iterable[Endpoint]", known.endpoints)


def _speaks_tls(spec: Cluster) -> bool:
    """Whether a check has to: the mesh does, or the service itself (checks are of the dialect in which rules hold for
    requests that this process makes and encrypts)."""
    return spec.tls is not None or Protocol(spec.protocol).is_tls


def _traffic(cluster: LiveCluster) -> int:
    stats = cluster.stats
    return stats["upstream_rq_total"] + stats["upstream_cx_total"]
