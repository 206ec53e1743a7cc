"""One node's engine as the registry drives it: changes are staged unit by unit, then published at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, cast

import msgspec

from roadstead.compile.host import compile_gateways, compile_host, mesh_of
from roadstead.compile.inputs import Env
from roadstead.compile.proxy import unknown_clusters
from roadstead.compile.scope import ClientScope, Outbound
from roadstead.compile.touch import GATEWAYS, Notes, PortPlace
from roadstead.errors import EngineError
from roadstead.mesh import Cluster, HostMesh, Mesh, UnknownCluster
from roadstead.registry.lower import OUTBOUND, PATHS, Lowering
from roadstead.registry.refusal import Refused, refused_pieces

if TYPE_CHECKING:
    from roadstead._core import Builder, Engine

# Seconds of compiling between two offers of the interpreter to other threads.
_BREATH = 0.001


class Staged(msgspec.Struct):
    """A change of one node that is ready to be published. made: hosts by key, None: gone. notes: what each unit read.
    refused: pieces the engine does not take; with any of them nothing here may be published."""

    builder: Builder
    outbound: tuple[Outbound, str]
    made: dict[str, HostMesh | None]
    notes: dict[str, tuple[set[str], dict[int, PortPlace | None]]]
    refused: list[Refused]
    gateways: tuple[str, ...] | None = None


class NodeEngine:
    """The engine of one node and the mesh it holds. That one writer at a time stages and publishes is the caller's
    business."""

    __slots__ = ("_gateways", "_lowering", "_outbound", "_unknown", "engine", "hosts", "notes", "scope", "stale")

    def __init__(
        self, module: ModuleType, scope: ClientScope, seed: int | None, clock: Callable[[], int] | None
    ) -> None:
        self._lowering = Lowering()
        self._outbound: tuple[Outbound, str] | None = None
        self._gateways: tuple[str, ...] = ()
        # What the clusters of the outbound policy are, and under which settings.
        self._unknown: tuple[Env, UnknownCluster, UnknownCluster] | None = None
        self.engine = cast("Engine", module.Engine(seed=seed, clock=clock))
        self.scope = scope
        self.hosts: dict[str, HostMesh] = {}
        self.notes = Notes()
        # Whether every unit has to be made again with the next publish.
        self.stale = False

    def mesh(self) -> Mesh:
        """What is published, in Istio's order of services."""
        return mesh_of(self.hosts, *(self._outbound or self.scope.outbound()), self.scope.proxy())

    def stage(self, units: Iterable[str]) -> Staged:
        """Compile units and hand those that changed to a builder. Readers go on with what is published."""
        staged = Staged(self.engine.builder(), self.scope.outbound(), {}, {}, [])
        breath = time.perf_counter() + _BREATH
        for unit in units:
            if time.perf_counter() > breath:
                # A reader that waits for the interpreter would otherwise get it only after the switch interval (5 ms).
                if threading.active_count() > 1:
                    time.sleep(0)
                breath = time.perf_counter() + _BREATH
            if unit == GATEWAYS:
                self._stage_gateways(staged)
            else:
                self._stage(staged, unit, compile_host(self.scope, unit))
            staged.notes[unit] = self.scope.notes()
        self._stage_settings(staged)
        return staged

    def _stage_settings(self, staged: Staged) -> None:
        mode, cluster = staged.outbound
        mesh, sidecar = self.scope.env.mesh, self.scope.sidecar
        settled = sidecar is not None and sidecar.spec.outbound_traffic_policy is not None
        by_name = mode == "ALLOW_ANY" and not settled and mesh.outbound_traffic_policy.mode == "ALLOW_ANY_DYNAMIC_DNS"
        written = mesh.path_normalization
        if self._unknown is None or self._unknown[0] is not self.scope.env:
            self._unknown = (self.scope.env, *unknown_clusters(self.scope.env))
        _, passthrough, dynamic = self._unknown
        staged.builder.set_outbound(
            OUTBOUND["ALLOW_ANY_DYNAMIC_DNS" if by_name else mode],
            egress_cluster=cluster,
            paths=PATHS["DEFAULT" if written is None else written.normalization],
            passthrough=passthrough,
            dynamic=dynamic,
        )

    def _stage_gateways(self, staged: Staged) -> None:
        made = {host.key: host for host in compile_gateways(self.scope)}
        staged.gateways = tuple(made)
        for key in self._gateways:
            if key not in made:
                self._stage(staged, key, None)
        for key, host in made.items():
            self._stage(staged, key, host)

    def _stage(self, staged: Staged, key: str, host: HostMesh | None) -> None:
        before = self.hosts.get(key)
        if before == host:
            return
        if host is None:
            staged.builder.delete(key)
        elif before is not None:
            host = _keeping(before, host)
        if host is not None:
            try:
                staged.builder.put(self._lowering.unit(host))
            except EngineError as error:
                staged.refused += refused_pieces(host, self.engine.builder) or [_whole(host, str(error))]
                return
        staged.made[key] = host

    def publish(self, staged: Staged) -> tuple[list[str], list[str]]:
        """Make a staged change visible; (keys of hosts, names of clusters) that are new, different or gone."""
        self.engine.publish(staged.builder)
        self._outbound = staged.outbound
        self.stale = False
        if staged.gateways is not None:
            self._gateways = staged.gateways
        for unit, notes in staged.notes.items():
            self.notes.put(unit, *notes)
        clusters: list[str] = []
        for key, host in staged.made.items():
            before = self.hosts.pop(key, None)
            if host is not None:
                self.hosts[key] = host
            clusters += _changed(() if before is None else before.clusters, () if host is None else host.clusters)
        return list(staged.made), clusters


def _keeping(before: HostMesh, host: HostMesh) -> HostMesh:
    """The new host with the old objects where nothing changed."""
    known = {cluster.name: cluster for cluster in before.clusters}
    return msgspec.structs.replace(
        host,
        services=before.services if before.services == host.services else host.services,
        clusters=tuple(
            [
                old if (old := known.get(cluster.name)) == cluster and old is not None else cluster
                for cluster in host.clusters
            ]
        ),
        virtual_hosts=before.virtual_hosts if before.virtual_hosts == host.virtual_hosts else host.virtual_hosts,
        chains=before.chains if before.chains == host.chains else host.chains,
    )


def _whole(host: HostMesh, reason: str) -> Refused:
    origins = [service.origin for service in host.services]
    origins += [route.origin for virtual_host in host.virtual_hosts for route in virtual_host.routes]
    return Refused(origins[0], reason)


def _changed(before: Iterable[Cluster], after: Iterable[Cluster]) -> list[str]:
    known = {cluster.name: cluster for cluster in before}
    names = [cluster.name for cluster in after if known.pop(cluster.name, None) is not cluster]
    return names + list(known)
