"""A mesh as Envoy v3 resources: clusters (CDS), endpoints (EDS), listeners (LDS) and routes (RDS), as Istio makes them
for sidecars (outbound) and routers.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from roadstead.mesh import Cluster, LocalityGroup, Mesh, Node, sni_name
from roadstead.xds.resources.clusters import ClusterMaker
from roadstead.xds.resources.endpoints import load_assignment
from roadstead.xds.resources.listeners import Made, sidecar_listeners
from roadstead.xds.resources.routes import RouteMaker
from roadstead.xds.resources.servers import router_listeners
from roadstead.xds.schema import Message


class ResourceSet(msgspec.Struct, frozen=True):
    """The resources of one node: one assignment in `endpoints` for each EDS cluster, and in `routes` the tables that
    the listeners name."""

    clusters: list[Message]
    endpoints: list[Message]
    listeners: list[Message]
    routes: list[Message]


class ResourceMaker:
    """Makes the resources of one view again and again. What comes from objects of the mesh that are still the same is
    the same message as before."""

    __slots__ = ("_assigned", "_clusters", "_mesh", "_node", "_routes")

    def __init__(self, node: Node) -> None:
        self._node = node
        # As long as somebody holds a mesh, what stays the same in the next one is the same object.
        self._mesh: Mesh | None = None
        self._clusters = ClusterMaker()
        self._routes = RouteMaker()
        self._assigned: dict[str, tuple[tuple[LocalityGroup, ...], Message]] = {}

    def resources(self, mesh: Mesh) -> ResourceSet:
        """Everything. mesh: of the node of this maker."""
        listeners, routes = self.listeners_and_routes(mesh)
        return ResourceSet(self.clusters(mesh), self.endpoints(mesh), listeners, routes)

    def clusters(self, mesh: Mesh) -> list[Message]:
        """Clusters, hosts in order."""
        self._mesh = mesh
        return self._clusters.clusters(mesh, self._node)

    def endpoints(self, mesh: Mesh) -> list[Message]:
        """Endpoints of the EDS clusters, hosts in order."""
        self._mesh = mesh
        before, self._assigned = self._assigned, {}
        made = []
        for name, cluster, only_mtls in _discovered(mesh):
            entry = before.get(name)
            if entry is None or entry[0] is not cluster.groups:
                entry = (cluster.groups, load_assignment(name, cluster.groups, only_mtls=only_mtls))
            self._assigned[name] = entry
            made.append(entry[1])
        return made

    def listeners_and_routes(self, mesh: Mesh) -> tuple[list[Message], list[Message]]:
        """Listeners, and the route tables that they name."""
        self._mesh = mesh
        router = self._node.type == "router"
        made: Made = router_listeners(mesh, self._node) if router else sidecar_listeners(mesh, self._node)
        tables = self._routes.tables(mesh, made.tables, router=router)
        tables += [self._routes.proxy_table(mesh, name) for name in made.proxies]
        return made.listeners, tables


def resources(mesh: Mesh, node: Node) -> ResourceSet:
    """The resources of a mesh for its node, once."""
    return ResourceMaker(node).resources(mesh)


def _discovered(mesh: Mesh) -> Iterator[tuple[str, Cluster, bool]]:
    """EDS clusters by name; True for those that pass the mesh's TLS on."""
    by_name = mesh.passes_by_name
    for host in mesh.hosts.values():
        for cluster in host.clusters:
            if cluster.type == "EDS":
                yield cluster.name, cluster, False
        if by_name:
            for cluster in host.passed_clusters:
                if cluster.type == "EDS":
                    yield sni_name(cluster.port, cluster.subset, cluster.host), cluster, True


__all__ = ["ResourceMaker", "ResourceSet", "resources"]
