"""`Live`: the loops that keep a registry fresh, in a thread of their own or in the caller's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from roadstead.dns import Family, NameStatus, Policy, Resolver, Upkeep
from roadstead.live.clusters import Clusters
from roadstead.live.history import Event, History
from roadstead.sources import Layers, Source, SourceStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roadstead.config import ResourceKey
    from roadstead.health import Checks, CheckStatus, Result
    from roadstead.health.target import Opener, Target
    from roadstead.mesh import Delta, Origin
    from roadstead.registry.registry import Registry


# Seconds between two looks at ejections.
_LONGEST = 1.0


class LiveStatus(msgspec.Struct, frozen=True):
    """What people see of the loops. failed: a loop that ended, and why; empty as long as all is well."""

    sources: list[SourceStatus]
    names: list[NameStatus]
    checks: list[CheckStatus]
    failed: list[str]


class Live:
    """Keeps a registry's configuration, names and health fresh as long as its block lasts.

        with Live(registry, sources=[Files("mesh/")], resolver=SystemResolver()) as live:   # a thread of its own
        async with Live(registry, …) as live:                                               # the caller's loop

    sources: where configuration is followed, the later above the earlier; `sources.files.Files`, `sources.url.Url`.
    resolver: `dns.system.SystemResolver()` or `dns.cares.CaresResolver()`: names in clusters become one endpoint for
    each address, and are resolved when they are first needed: a pick before that raises EndpointsPending. None: an
    endpoint is the name, and clients let the system resolve it.
    dns_policy, dns_policies: how names are kept (`dns.Policy`), for all and by pattern of the name; by default as Istio
    sets Envoy up, with MeshConfig's dnsRefreshRate. idle: seconds after which names that nobody takes leases of are not
    kept fresh any more; None: never.
    health: run the active checks of the configuration. opener: how a check connects; default without TLS
    (`clients.checks.opener` speaks the cluster's, and the PROXY protocol).
    history: how many events of endpoints are remembered."""

    def __init__(
        self,
        registry: Registry,
        *,
        sources: Sequence[Source] = (),
        resolver: Resolver | None = None,
        health: bool = True,
        dns_policy: Policy | None = None,
        dns_policies: Mapping[str, Policy] | None = None,
        idle: float | None = 300.0,
        opener: Opener | None = None,
        history: int = 1000,
    ) -> None:
        self._registry = registry
        self._sources = tuple(sources)
        self._resolver = resolver
        self._health = health
        self._policy = dns_policy
        self._policies = dns_policies
        self._idle = idle
        self._opener = opener
        self._history = History(history)
        self._failed: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None
        self._main: asyncio.Task[None] | None = None

    # In the caller's loop

    async def __aenter__(self) -> Self:
        self._prepare()
        self._main = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if self._main is not None:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)

    # In a thread

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._own(started),), name="roadstead-live", daemon=True
        )
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._thread is not None:
            self._thread.join()

    async def _own(self, started: Future[None]) -> None:
        """The life of the thread."""
        end = asyncio.Event()
        try:
            self._prepare()
        except BaseException as error:  # noqa: BLE001 - the caller's thread hears of it
            started.set_exception(error)
            return
        loop = asyncio.get_running_loop()
        self._stop = partial(_set, loop, end)
        main = asyncio.create_task(self._run())
        started.set_result(None)
        await end.wait()
        self._leave()
        main.cancel()
        await asyncio.gather(main, return_exceptions=True)

    # What is asked of it

    def wait_ready(self, timeout: float | None = None) -> None:
        """Block until every source was read completely once. TimeoutError after so many seconds. Not for the thread of
        the loop: there, await `ready`."""
        self._spawn(self.ready()).result(timeout)

    async def ready(self) -> None:
        """Returns when every source was read completely once."""
        await asyncio.gather(*[layer.loaded.wait() for layer in self._layered])

    async def addresses(self, name: str, family: Family = "V4_ONLY") -> tuple[str, ...]:
        """Of a name under a wildcard host, or of one that is dialled as asked for (DYNAMIC_DNS): kept fresh while it is
        asked for. In the thread of the loop; see `Upkeep.addresses`."""
        if self._clusters.upkeep is None:
            raise RuntimeError("this Live has no resolver")
        return await self._clusters.upkeep.addresses(name, family)

    def history(self, cluster: str | None = None) -> list[Event]:
        """Why endpoints came, went, were ejected and returned, oldest first."""
        return self._history.events(cluster)

    def source_of(self, what: ResourceKey | Origin) -> str | None:
        """The name of the source whose version of a resource is in force; of a route, a service or a cluster by its
        origin. None: no source's."""
        from roadstead.config import ResourceKey

        return self._layers.source_of(ResourceKey(what.kind, what.namespace, what.name))

    def status(self) -> LiveStatus:
        """What the loops are at."""
        upkeep, checks = self._clusters.upkeep, self._clusters.checks
        return LiveStatus(
            self._layers.status(),
            [] if upkeep is None else upkeep.status(),
            [] if checks is None else checks.status(),
            list(self._failed),
        )

    # The loops

    def _prepare(self) -> None:
        if self._loop is not None:
            raise RuntimeError("a Live runs once: make another")
        self._loop = asyncio.get_running_loop()
        self._layers = Layers(self._registry, self._registry.dialect)
        self._layered = [self._layers.layer(source.name) for source in self._sources]
        self._clusters = Clusters(self._registry, self._history, self._spawn)
        if self._resolver is not None:
            self._clusters.upkeep = Upkeep(
                self._resolver,
                self._clusters,
                policy=self._policy or Policy(refresh=self._registry.proxy.dns_refresh_rate),
                policies=self._policies,
                idle=self._idle,
            )
        if self._health:
            self._clusters.checks = self._made_checks()
        self._unobserve = self._registry.observe(self._saw)
        self._clusters.start()

    def _leave(self) -> None:
        self._unobserve()

    def _made_checks(self) -> Checks:
        from roadstead.health.checks import Checks

        return Checks(self._clusters, self._probe)

    async def _probe(self, target: Target) -> Result:
        from roadstead.health.probes import probe
        from roadstead.health.target import open_plain

        return await probe(target, self._opener or open_plain)

    def _saw(self, delta: Delta) -> None:
        """A change was published, in whatever thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._clusters.changed, delta.clusters)

    def _spawn(self, work: Coroutine[object, object, None]) -> Future[None]:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _run(self) -> None:
        """All loops, until cancelled. One that fails is told, and the others go on."""
        loops: dict[str, Coroutine[object, object, None]] = {}
        for source, layer in zip(self._sources, self._layered, strict=True):
            loops[f"source {source.name}"] = source.run(layer)
        if self._clusters.upkeep is not None:
            loops["dns"] = self._clusters.upkeep.run()
        if self._clusters.checks is not None:
            loops["health"] = self._clusters.checks.run()
        loops["outlier detection"] = self._sweep()
        await asyncio.gather(*[self._watched(name, loop) for name, loop in loops.items()])

    async def _sweep(self) -> None:
        """Bring back endpoints whose ejection is over. One that is made meanwhile lasts longer than this sleeps."""
        are_known = False
        while True:
            # At an instant that is past no tick is due: it only tells whether anything is ejected.
            if are_known or self._registry.sweep(0) is not None:
                are_known = self._clusters.look_at_ejections()
            due = self._registry.sweep()
            if are_known:
                are_known = self._clusters.look_at_ejections()
            await asyncio.sleep(_LONGEST if due is None else min(_LONGEST, due / 1e9))

    async def _watched(self, name: str, loop: Coroutine[object, object, None]) -> None:
        try:
            await loop
        except Exception as error:  # noqa: BLE001 - a defect in one loop must not end the others
            self._failed.append(f"{name}: {type(error).__name__}: {error}")


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)
