"""One unit of one client: selected by the scope, made by the other modules, put together here."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from roadstead.compile.chains import filter_chains
from roadstead.compile.clusters import clusters_of
from roadstead.compile.facts import order_text
from roadstead.compile.gateways import gateway_units
from roadstead.compile.inputs import HostView
from roadstead.compile.proxy_tables import proxied, proxied_rules
from roadstead.compile.scope import ClientScope, Outbound
from roadstead.compile.touch import GATEWAYS
from roadstead.compile.virtual_hosts import rule_hosts, virtual_hosts
from roadstead.mesh import Cluster, HostMesh, Mesh, Proxy

# Where services stand that are public and under no Sidecar (ClientScope.place).
_FIRST_PLACE = "0001"


def compile_host(scope: ClientScope, key: str) -> HostMesh | None:
    """What a host means for the scope's client: a service host as written, or the lower-case host of a VirtualService
    without a service. None where it means nothing. What is read about other hosts is noted in the scope."""
    scope.reading(key)
    view = scope.view(key)
    if view is not None:
        return _service_unit(scope, key, view)
    # A service that this client does not see leaves its name to the VirtualServices.
    if scope.env.node.type == "router" or key != key.lower() or any(map(scope.view, scope.index.literals(key))):
        return None
    made = rule_hosts(scope, key)
    behind = proxied_rules(scope, key)
    if not made and not behind:
        return None
    rank = scope.index.roots.get(key) or ()
    order = order_text(*rank[0].rank) if rank else order_text(0.0, key, "")
    return HostMesh(key, _FIRST_PLACE + order, virtual_hosts=made, proxied=behind)


def _service_unit(scope: ClientScope, key: str, view: HostView) -> HostMesh:
    clusters = clusters_of(scope, view)
    order = scope.place(view)
    if scope.env.node.type == "router":
        return HostMesh(key, order, (view.merged,), clusters, passed=_passed(scope, view))
    if view.imported:
        hosts, behind = virtual_hosts(scope, view), proxied(scope, view)
        return HostMesh(key, order, clusters=clusters, virtual_hosts=hosts, drawn_in=view.merged, proxied=behind)
    # `find` sees every address of the host, each with the ports of its own entry; the merged view comes first.
    services = (view.merged, *view.services[1:])
    return HostMesh(
        key,
        order,
        services,
        clusters,
        virtual_hosts(scope, view),
        filter_chains(scope, view),
        listeners=view.listeners,
        proxied=proxied(scope, view),
        heard=scope.heard(view),
    )


def _passed(scope: ClientScope, view: HostView) -> tuple[Cluster, ...] | None:
    """Nobody looks up the name in TLS that is passed on unopened: a host whose name would be has no endpoints there
    and no subsets."""
    if not view.merged.is_dynamic or view.merged.mesh_external:
        return None
    still = msgspec.structs.replace(view.merged, resolution="STATIC")
    made = clusters_of(scope, msgspec.structs.replace(view, merged=still))
    return tuple([cluster for cluster in made if not cluster.subset])


def compile_gateways(scope: ClientScope) -> tuple[HostMesh, ...]:
    """The units of a router's own listeners; none for a sidecar."""
    scope.reading(GATEWAYS)
    if scope.env.node.type != "router":
        return ()
    return tuple(gateway_units(scope))


def compile_each(scope: ClientScope) -> Iterator[HostMesh]:
    """Every unit of the client, one after the other."""
    for key in scope.units():
        made = compile_host(scope, key)
        if made is not None:
            yield made
    yield from compile_gateways(scope)


def compile_all(scope: ClientScope) -> Mesh:
    """The whole mesh of the client, from scratch."""
    return mesh_of({host.key: host for host in compile_each(scope)}, *scope.outbound(), scope.proxy())


def mesh_of(hosts: dict[str, HostMesh], outbound: Outbound, egress_cluster: str, proxy: Proxy) -> Mesh:
    """Hosts as a mesh, in Istio's order of services."""
    ordered = sorted(hosts.values(), key=lambda host: (host.order, host.key))
    return Mesh({host.key: host for host in ordered}, outbound, egress_cluster, proxy)
