"""One node's engine as the registry drives it: changes are staged unit by unit, then published at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias, TypedDict, cast

import msgspec

from roadstead.compile.callers import unsaid
from roadstead.compile.host import compile_gateways, compile_host, mesh_of
from roadstead.compile.inputs import Env
from roadstead.compile.proxy import unknown_clusters
from roadstead.compile.scope import ClientScope, Outbound
from roadstead.compile.touch import GATEWAYS, Notes, PortPlace
from roadstead.config import ResourceKey
from roadstead.errors import EngineError
from roadstead.mesh import Cluster, HostMesh, Mesh, Origin, UnknownCluster
from roadstead.registry.advice import advised, tls_rules
from roadstead.registry.breath import Breath
from roadstead.registry.frozen import snapshot_bytes
from roadstead.registry.lower import OUTBOUND, PATHS, Lowering, facts
from roadstead.registry.made import RECENT, Source, UnitMaker, keeping
from roadstead.registry.refusal import Refused, refused_pieces
from roadstead.registry.rejected import NOBODY, Table, has_table, nobody, rejected_tables, served
from roadstead.registry.templates import Row, Templates, UnitTemplate

if TYPE_CHECKING:
    from roadstead._core import Builder, Engine, HostColumn

# Units for which what is published and what replaces it are in memory together.
_AT_ONCE = 1024
# Units that are staged together where they differ in names only.
_ROWS = 2048
_SPOILT = "Envoy would reject the route table with it: what was there before keeps serving"
# What most units read of others.
_NOTHING: tuple[Collection[str], dict[int, PortPlace | None]] = ((), {})

Lock: TypeAlias = Callable[[], AbstractContextManager[object]]
"""The lock that a change holds, as a context."""


class Staged(msgspec.Struct):
    """A change of one node that is ready to be published. made: makers by key, None: gone. clusters: names of those
    that are new, different or gone. advised: VirtualServices of each unit to give advice about. fresh: some of the
    hosts made. replaced: makers of what goes, and what they made. notes: what each unit read. refused: pieces the
    engine does not take; with any of them nothing here may be published. rejected: tables that Envoy does not take;
    tables: for each unit those it is to blame for, and what in it. spoiling: the same of tables that were good."""

    builder: Builder
    outbound: tuple[Outbound, str]
    made: dict[str, UnitMaker | None] = {}
    clusters: list[str] = []
    advised: dict[str, tuple[ResourceKey, ...]] = {}
    fresh: list[tuple[UnitMaker, HostMesh]] = []
    replaced: list[tuple[UnitMaker, HostMesh]] = []
    notes: dict[str, tuple[Collection[str], dict[int, PortPlace | None]]] = {}
    refused: list[Refused] = []
    rejected: frozenset[Table] = frozenset()
    tables: dict[str, dict[Table, list[Origin]]] = {}
    spoiling: list[Refused] = []
    gateways: tuple[str, ...] | None = None


class Settled(TypedDict):
    """Arguments of `Builder.set_outbound`."""

    egress_cluster: str
    paths: int
    passthrough: UnknownCluster
    dynamic: UnknownCluster


class NodeEngine:
    """The engine of one node and the units it holds. That one writer at a time stages and publishes is the caller's
    business."""

    __slots__ = (
        "_column", "_lowering", "_outbound", "_rejected", "_tables", "_unknown",
        "advised", "engine", "notes", "scope", "source", "stale", "units", "unsaid",
    )  # fmt: skip

    def __init__(
        self,
        module: ModuleType,
        scope: ClientScope,
        lock: Lock,
        seed: int | None,
        clock: Callable[[], int] | None,
    ) -> None:
        self._lowering = Lowering()
        self._outbound: tuple[Outbound, str] | None = None
        # Tables that Envoy does not take, and which units are to blame.
        self._rejected: frozenset[Table] = frozenset()
        self._tables: dict[str, dict[Table, list[Origin]]] = {}
        # What the clusters of the outbound policy are, and under which settings.
        self._unknown: tuple[Env, UnknownCluster, UnknownCluster] | None = None
        self.engine = cast("Engine", module.Engine(seed=seed, clock=clock))
        self._column = cast("type[HostColumn]", module.HostColumn)
        # Of what is staged; that of what is published is the source's.
        self.scope = scope
        self.source = Source(scope, lock)
        self.unsaid = unsaid(scope.env)
        self.units: dict[str, UnitMaker] = {}
        self.advised: dict[str, tuple[ResourceKey, ...]] = {}
        self.notes = Notes()
        # Whether every unit has to be made again with the next publish.
        self.stale = False

    def mesh(self) -> Mesh:
        """What is published, in Istio's order of services; compiled where nobody holds it any more."""
        hosts = {key: maker.host() for key, maker in self.units.items()}
        return mesh_of(hosts, *(self._outbound or self.scope.outbound()), self.scope.proxy())

    def snapshot_bytes(self) -> bytes:
        """What is published, for programs without Python."""
        policy, given = self._settings(self._outbound or self.scope.outbound())
        units = [self._lowering.unit(self._served(maker.host(), self._rejected)) for maker in self.units.values()]
        units += [self._lowering.unit(host) for host in (nobody(self._rejected),) if host is not None]
        return snapshot_bytes(units, facts, outbound=policy, **given)

    def stage(self, units: Sequence[str], published: Lock) -> Staged:
        """Compile units and hand those that changed to a builder. Readers go on with what is published.

        published: the configuration as it was when that was published, for a while."""
        staged = self._staged(units, published, self._rejected)
        known = {key: tables for key, tables in self._tables.items() if key not in staged.made}
        rejected = frozenset().union(*known.values(), *staged.tables.values())
        if rejected != self._rejected:
            # Every unit may have a host in such a table.
            others = [key for key in self.units if key not in self.source.gateways]
            every = list(dict.fromkeys([*units, *others, GATEWAYS]))
            staged = self._staged(every, published, rejected)
            staged.spoiling = self._spoiling(staged, every, published)
        return staged

    def _spoiling(self, staged: Staged, units: Sequence[str], published: Lock) -> list[Refused]:
        """What makes Envoy reject tables that it has good ones of."""
        found = []
        breath = Breath()
        for table in staged.rejected - self._rejected:
            for first in range(0, len(units), _AT_ONCE):
                hosts = self._published(units[first : first + _AT_ONCE], published, breath)
                if any(has_table(host, table) for host in hosts.values()):
                    origins = [one for blamed in staged.tables.values() for one in blamed.get(table, ())]
                    found += [Refused(origin, _SPOILT, "ENVOY-5", "warning") for origin in origins]
                    break
        return found

    def _staged(self, units: Sequence[str], published: Lock, rejected: frozenset[Table]) -> Staged:
        staged = Staged(self.engine.builder(), self.scope.outbound(), rejected=rejected)
        strict = not self.scope.env.extended
        templates = Templates(self.scope, self.engine, self._lowering, rejected if strict else None)
        breath = Breath()
        alike = _Alike(self, staged)
        for first in range(0, len(units), _AT_ONCE):
            some = units[first : first + _AT_ONCE]
            before = self._published(some, published, breath)
            for unit in some:
                breath.take()
                if unit not in before and (found := templates.of(unit)) is not None:
                    alike.add(unit, *found)
                    continue
                if unit == GATEWAYS:
                    self._stage_gateways(staged, before)
                else:
                    self._stage(staged, unit, compile_host(self.scope, unit), before.get(unit))
                self._stage_notes(staged, unit)
        alike.done()
        self._stage_settings(staged)
        return staged

    def _published(self, units: Iterable[str], published: Lock, breath: Breath) -> dict[str, HostMesh]:
        """What units are by now, compiled where nobody holds it."""
        makers = [maker for unit in units if (maker := self.units.get(unit)) is not None]
        if GATEWAYS in units:
            makers += self.source.gateways.values()
        known = {maker: host for maker in makers if (host := maker.known()) is not None}
        lost = [maker for maker in makers if maker not in known]
        if lost:
            with published():
                scope = self.source.scope.with_env(self.source.scope.env)
                for maker in lost:
                    breath.take()
                    known.update(self.source.compiled([maker], scope) if maker not in known else {})
        return {maker.key: host for maker, host in known.items()}

    def _served(self, host: HostMesh, rejected: frozenset[Table]) -> HostMesh:
        return host if self.scope.env.extended else served(host, rejected)

    def _stage_settings(self, staged: Staged) -> None:
        if staged.rejected != self._rejected:
            answering = nobody(staged.rejected)
            if answering is not None:
                staged.builder.put(self._lowering.unit(answering))
            elif nobody(self._rejected) is not None:
                staged.builder.delete(NOBODY)
        policy, given = self._settings(staged.outbound)
        staged.builder.set_outbound(policy, **given)

    def _settings(self, outbound: tuple[Outbound, str]) -> tuple[int, Settled]:
        """What unknown hosts get and how paths are normalised: the arguments of `Builder.set_outbound`."""
        mode, cluster = outbound
        mesh, sidecar = self.scope.env.mesh, self.scope.sidecar
        settled = sidecar is not None and sidecar.spec.outbound_traffic_policy is not None
        by_name = mode == "ALLOW_ANY" and not settled and mesh.outbound_traffic_policy.mode == "ALLOW_ANY_DYNAMIC_DNS"
        written = mesh.path_normalization
        if self._unknown is None or self._unknown[0] is not self.scope.env:
            self._unknown = (self.scope.env, *unknown_clusters(self.scope.env))
        _, passthrough, dynamic = self._unknown
        return OUTBOUND["ALLOW_ANY_DYNAMIC_DNS" if by_name else mode], {
            "egress_cluster": cluster,
            "paths": PATHS["DEFAULT" if written is None else written.normalization],
            "passthrough": passthrough,
            "dynamic": dynamic,
        }

    def _stage_gateways(self, staged: Staged, before: dict[str, HostMesh]) -> None:
        made = {host.key: host for host in compile_gateways(self.scope)}
        staged.gateways = tuple(made)
        for key in self.source.gateways:
            if key not in made:
                self._stage(staged, key, None, before.get(key))
        for key, host in made.items():
            self._stage(staged, key, host, before.get(key))

    def stage_rows(self, staged: Staged, template: UnitTemplate, rows: Sequence[Row]) -> None:
        """Stage new units that differ in names only."""
        try:
            template.put(staged.builder, self._column, rows)
        except EngineError:
            # Compiled by itself each is told which piece is meant.
            for key, _, _ in rows:
                self._stage(staged, key, compile_host(self.scope, key), None)
                self._stage_notes(staged, key)
            return
        for key, names, maker in rows:
            if about := template.tls_rules(names):
                staged.advised[key] = advised(about, self.scope.index)
            staged.made[key] = maker
            staged.clusters += template.clusters(names)
            tokens = template.notes(names)
            staged.notes[key] = (tokens, {}) if tokens else _NOTHING

    def _stage_notes(self, staged: Staged, unit: str) -> None:
        """What the unit just compiled read of others."""
        tokens, ports = self.scope.notes()
        staged.notes[unit] = (tokens, ports) if tokens or ports else _NOTHING

    def _stage(self, staged: Staged, key: str, host: HostMesh | None, before: HostMesh | None) -> None:
        if before == host:
            if host is not None and staged.rejected != self._rejected:
                staged.builder.put(self._lowering.unit(self._served(host, staged.rejected), self.units[key]))
            return
        maker = None
        if host is None:
            staged.builder.delete(key)
        else:
            if before is not None:
                host = keeping(before, host)
            maker = UnitMaker(self.source, key, before)
            try:
                staged.builder.put(self._lowering.unit(self._served(host, staged.rejected), maker))
            except EngineError as error:
                staged.refused += refused_pieces(host, self.engine.builder) or [_whole(host, str(error))]
                return
            if not self.scope.env.extended and (tables := rejected_tables(host)):
                staged.tables[key] = tables
            about = advised(tls_rules(host), self.scope.index)
            if about:
                staged.advised[key] = about
            if len(staged.fresh) < RECENT:
                staged.fresh.append((maker, host))
        if before is not None:
            staged.replaced.append((self.units[key], before))
        staged.made[key] = maker
        staged.clusters += _changed(() if before is None else before.clusters, () if host is None else host.clusters)

    def publish(self, staged: Staged) -> tuple[list[str], list[str]]:
        """Make a staged change visible; (keys of hosts, names of clusters) that are new, different or gone."""
        for maker, host in staged.replaced:
            maker.leave(host)
        self.engine.publish(staged.builder)
        self._outbound = staged.outbound
        self._rejected = staged.rejected
        self.source.rejected = staged.rejected
        for key in staged.made:
            self._tables.pop(key, None)
        self._tables.update(staged.tables)
        self.stale = False
        for unit, notes in staged.notes.items():
            self.notes.put(unit, *notes)
        for key, made in staged.made.items():
            self.units.pop(key, None)
            self.advised.pop(key, None)
            if made is not None:
                self.units[key] = made
        self.advised.update(staged.advised)
        if staged.gateways is not None:
            self.source.gateways = {key: self.units[key] for key in staged.gateways}
        self.source.scope = self.scope
        self.unsaid = unsaid(self.scope.env)
        for maker, host in staged.fresh:
            maker.remember(host)
        self.source.keep(host for _, host in staged.fresh)
        return list(staged.made), staged.clusters

    def rest(self) -> None:
        """Give up what is only kept at hand."""
        self._lowering = Lowering()
        self.scope.forget()
        self.source.rest()
        self.engine.trim()


class _Alike:
    """New units of a change that differ from others in names only, until there are enough to be staged together."""

    __slots__ = ("_engine", "_rows", "_staged")

    def __init__(self, engine: NodeEngine, staged: Staged) -> None:
        self._engine = engine
        self._staged = staged
        self._rows: dict[UnitTemplate, list[Row]] = {}

    def add(self, key: str, template: UnitTemplate, names: tuple[str, ...]) -> None:
        rows = self._rows.setdefault(template, [])
        rows.append((key, names, UnitMaker(self._engine.source, key)))
        # It keeps its place among the others.
        self._staged.made[key] = None
        if len(rows) >= _ROWS:
            self._engine.stage_rows(self._staged, template, self._rows.pop(template))

    def done(self) -> None:
        for template, rows in self._rows.items():
            self._engine.stage_rows(self._staged, template, rows)
        self._rows.clear()


def _whole(host: HostMesh, reason: str) -> Refused:
    origins = [service.origin for service in host.services]
    origins += [route.origin for virtual_host in host.virtual_hosts for route in virtual_host.routes]
    return Refused(origins[0], reason)


def _changed(before: Iterable[Cluster], after: Iterable[Cluster]) -> list[str]:
    known = {cluster.name: cluster for cluster in before}
    names = [cluster.name for cluster in after if known.pop(cluster.name, None) is not cluster]
    return names + list(known)
