"""What one node sees of a registry: decisions, look-ups, and the mesh behind them."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING

# Compiling, lowering and what they know of configuration are loaded with the first registry, not with its class.
if TYPE_CHECKING:
    from roadstead._core import Cluster as LiveCluster
    from roadstead._core import Decision, Engine, HostColumn, Tally
    from roadstead.compile.touch import Touch
    from roadstead.config import Finding, ResourceKey
    from roadstead.mesh import Delta, Mesh, Node, Origin, Proxy
    from roadstead.registry.calls import Clusters, Connect, Explain, Find, FindMany, Route, RouteMany, Services, Sweep
    from roadstead.registry.endpoints import ClusterEndpoints
    from roadstead.registry.engine import Lock, Staged
    from roadstead.registry.settings import Settings
    from roadstead.registry.store import Resources


class Shared:
    """What all views of a registry have in common. `lock` is held by the one who changes anything here."""

    def __init__(
        self, engine: ModuleType, settings: Settings, seed: int | None, clock: Callable[[], int] | None
    ) -> None:
        from roadstead.compile.index import Index
        from roadstead.registry.store import Store

        self.engine = engine
        self.settings = settings
        self.seed = seed
        self.clock = clock
        self.store = Store()
        self.index = Index()
        # By resource, or by text for what became none.
        self.findings: dict[ResourceKey | str, tuple[Finding, ...]] = {}
        # The same of versions that were refused on reading, until a good one comes or the resource is deleted.
        self.refusals: dict[ResourceKey, tuple[Finding, ...]] = {}
        self.views: weakref.WeakSet[View] = weakref.WeakSet()
        self.lock = threading.RLock()

    def rest(self) -> None:
        """Give up what is only kept at hand: after a bulk load nobody will ask for it soon."""
        self.store.rest()
        for view in list(self.views):
            view.rest()


class View:
    """A registry as one node sees it (`Registry.view`; the registry itself is the view of its own node).

    find, route, connect, find_many, route_many, explain, services, clusters and sweep are the engine's own bound
    methods: a call enters the engine without a Python frame in between. A view has its own ejections, so each is swept
    by itself."""

    __slots__ = (
        "__weakref__",
        "_node_engine",
        "_observers",
        "_shared",
        "clusters",
        "connect",
        "explain",
        "find",
        "find_many",
        "route",
        "route_many",
        "services",
        "sweep",
    )

    find: Find
    route: Route
    connect: Connect
    find_many: FindMany
    route_many: RouteMany
    explain: Explain
    services: Services
    clusters: Clusters
    sweep: Sweep

    def __init__(self, shared: Shared, node: Node) -> None:
        from roadstead.compile.scope import ClientScope
        from roadstead.registry.engine import NodeEngine
        from roadstead.registry.settings import env_of

        scope = ClientScope(env_of(node, shared.settings), shared.index, shared.store.load)
        self._shared = shared
        # After a fork there is another lock.
        self._node_engine = NodeEngine(shared.engine, scope, lambda: shared.lock, shared.seed, shared.clock)
        engine = self._node_engine.engine
        self.find = engine.find
        self.route = engine.route
        self.connect = engine.connect
        self.find_many = engine.find_many
        self.route_many = engine.route_many
        self.explain = engine.explain
        self.services = engine.services
        self.clusters = engine.clusters
        self.sweep = engine.sweep
        shared.views.add(self)
        self._observers: list[Callable[[Delta], None]] = []

    def __repr__(self) -> str:
        node, store = self.node, self._shared.store
        where = f"{node.type} in {node.namespace}"
        hosts = len(self._node_engine.units)
        return f"<{type(self).__name__}: {len(store)} resources, {hosts} hosts for a {where}, {self.backend}>"

    # Reading

    @property
    def node(self) -> Node:
        """The node that sees this."""
        return self._node_engine.scope.env.node

    @property
    def backend(self) -> str:
        """The engine at work: "native" or "fallback"."""
        return str(self._shared.engine.NAME)

    @property
    def unsaid(self) -> frozenset[str]:
        """Headers that proxies add of themselves, and that this node's requests and responses go without (Istio:
        MeshConfig.defaultConfig.proxyHeaders)."""
        return self._node_engine.unsaid

    @property
    def clock(self) -> Callable[[], int]:
        """Nanoseconds, monotonic: what the engine goes by."""
        return self._shared.clock or time.monotonic_ns

    @property
    def engine(self) -> Engine:
        """The engine itself, as `_core.pyi` describes it; one for the view's life. C and Cython code takes it, or the
        view, to `acquire` (docs: embed.md)."""
        return self._node_engine.engine

    @property
    def version(self) -> int:
        """Counts published changes of this view."""
        return self._node_engine.engine.version

    @property
    def mesh(self) -> Mesh:
        """What the configuration means for the node, in Envoy's nouns, hosts in Istio's order. Made when asked for;
        what `endpoints(…).update` set is the engine's alone and not in it."""
        with self._shared.lock:
            return self._node_engine.mesh()

    @property
    def proxy(self) -> Proxy:
        """What MeshConfig says of the node's proxy as a whole (`Mesh.proxy`)."""
        with self._shared.lock:
            return self._node_engine.scope.proxy()

    @property
    def resources(self) -> Resources:
        """The resources in force, by (kind, namespace, name); decoded one by one when they are read."""
        from roadstead.registry.store import Resources

        return Resources(self._shared.store)

    @property
    def diagnostics(self) -> tuple[Finding, ...]:
        """All that was found in what is loaded, refused documents included, and what this node's mesh adds to it; in
        order of place. Put together when asked for."""
        from roadstead.registry.advice import advice
        from roadstead.registry.provenance import placed

        with self._shared.lock:
            told = (*self._shared.findings.values(), *self._shared.refusals.values())
            found = [finding for said in told for finding in said]
            keys = tuple(dict.fromkeys(chain.from_iterable(self._node_engine.advised.values())))
            found += placed(zip(keys, advice(keys, self._shared.store), strict=True), self._shared.store)
        return tuple(sorted(found))

    def naming(self, host: str) -> tuple[ResourceKey, ...]:
        """The ServiceEntries that name a host, or a wildcard over it, whether this node sees them or not; the most
        specific host first."""
        services = self._shared.index.services
        with self._shared.lock:
            found = [fact.key for name in services.best(host.lower()) for fact in services.get(name) or ()]
        return tuple(dict.fromkeys(found))

    def snapshot_bytes(self) -> bytes:
        """What is published, as bytes that programs without Python load (`roadstead_engine_load`, docs: embed.md).
        Readable by the same version of roadstead. What `endpoints(…).update` set is not in it."""
        with self._shared.lock:
            return self._node_engine.snapshot_bytes()

    def cluster(self, name: str) -> LiveCluster | None:
        """The live cluster of that name ("outbound|80|v1|host"), None where there is none."""
        return self._node_engine.engine.cluster(name)

    def host_column(self, values: Iterable[str]) -> HostColumn:
        """Hosts (or paths) prepared once for `find_many` and `route_many`; it belongs to this engine."""
        column: HostColumn = self._shared.engine.HostColumn(values)
        return column

    def tally(self, describe: Callable[[Decision, str], object], bounds: Sequence[float]) -> Tally:
        """A counter of requests that are over, of decisions of this registry (`_core.Tally`)."""
        made: Tally = self._shared.engine.Tally(describe, list(bounds))
        return made

    def endpoints(self, cluster: str) -> ClusterEndpoints:
        """The door for what resolvers, health checks and workloads report about a cluster's endpoints; no compile, one
        publish. Keep it for repeated use. NoSuchCluster for an unknown one."""
        from roadstead.compile.clusters import arranger
        from roadstead.mesh import Cluster
        from roadstead.registry.endpoints import ClusterEndpoints, no_such_cluster

        live = self._node_engine.engine.cluster(cluster)
        if live is None or not isinstance(live.spec, Cluster):
            raise no_such_cluster(self._node_engine.engine, cluster)
        spec = live.spec
        with self._shared.lock:
            scope = self._node_engine.scope
            view = scope.view(spec.host)
            if view is None:
                raise no_such_cluster(self._node_engine.engine, cluster)
            arrange = arranger(scope, view, spec)
            return ClusterEndpoints(self._node_engine.engine, cluster, arrange, once=spec.type == "EDS")

    def locate(self, origin: Origin) -> str:
        """Where a piece of the mesh was written, as "file:line:column"; the file alone if it changed since, "" if the
        resource did not come from a file."""
        from roadstead.registry.provenance import place_of

        return place_of(self._shared.store, origin)

    def findings(self, origin: Origin) -> tuple[Finding, ...]:
        """What `diagnostics` says about the resource that a piece of the mesh came from, its fields included; in order
        of place. `origin.path` is not looked at."""
        from roadstead.config import ResourceKey
        from roadstead.registry.advice import advice
        from roadstead.registry.provenance import placed

        key = ResourceKey(origin.kind, origin.namespace, origin.name)
        resource = self._shared.store.get(key)
        with self._shared.lock:
            found = list(self._shared.findings.get(key, ()))
            if resource is not None:
                # Of a document with several resources (kind: List) all findings are kept together.
                source = resource.origin
                together = self._shared.findings.get(f"{source.file}#{source.index}", ())
                found += [one for one in together if one.pointer.startswith(f"{source.pointer}/")]
                if any(key in about for about in self._node_engine.advised.values()):
                    found += placed(((key, one) for one in advice((key,), self._shared.store)), self._shared.store)
        return tuple(sorted(found))

    def observe(self, observer: Callable[[Delta], None]) -> Callable[[], None]:
        """Call `observer` with what every change published from now on was; what comes back ends that. It is called in
        the thread that changes, which waits for it, after readers see the change."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    # Changing: the registry's business

    def stage(self, what: Touch, published: Lock = nullcontext) -> Staged:
        """Compile what a change touches; readers see nothing yet. published: the configuration as it was when what is
        published was made, for a while."""
        from roadstead.compile.touch import GATEWAYS, touched

        mine = self._node_engine
        scope = mine.scope
        # A change may be staged again, without what an engine refused; what it made stale stays so.
        mine.stale = scope.changed(what) or mine.stale
        if mine.stale:
            units = dict.fromkeys([*scope.units(), *mine.units, GATEWAYS])
        else:
            units = dict.fromkeys(
                sorted(
                    touched(
                        what,
                        self._shared.index,
                        mine.notes,
                        draws_in=scope.env.node.type != "router",
                        root_namespace=scope.env.mesh.root_namespace,
                    )
                )
            )
        mine.source.changing = True
        try:
            return mine.stage(list(units), published)
        except BaseException:
            mine.source.changing = False
            raise

    def publish(self, staged: Staged) -> Delta:
        """Make a staged change visible, and say what is new, different or gone."""
        from roadstead.mesh import Delta
        from roadstead.registry.advice import advice

        hosts, clusters = self._node_engine.publish(staged)
        self._node_engine.source.changing = False
        said = advice(chain.from_iterable(staged.advised.values()), self._shared.store)
        delta = Delta(tuple(hosts), tuple(clusters), tuple(said))
        for observer in list(self._observers):
            observer(delta)
        return delta

    def rest(self) -> None:
        """Give up what is only kept at hand."""
        self._node_engine.rest()

    def resettle(self, settings: Settings) -> None:
        """Take over other mesh-wide settings; the next stage has to be of everything."""
        from roadstead.registry.settings import env_of

        mine = self._node_engine
        mine.scope = mine.scope.with_env(env_of(mine.scope.env.node, settings))
