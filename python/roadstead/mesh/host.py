"""The unit of compile and change: everything that one host means for one node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from roadstead.mesh.cluster import Cluster
from roadstead.mesh.listener import Proxy, Server
from roadstead.mesh.route import FilterChain, VirtualHost
from roadstead.mesh.service import Service


class HostMesh(msgspec.Struct, frozen=True, weakref=True):
    """One host: its services (one per address; the first is the merged view that `find` hands out), clusters by port
    and subset, virtual hosts by port, and filter chains. A VirtualService host without a service has virtual hosts
    only.

    order: sorts as Istio lists what the node sees: by egress listener, those exported to it by name first, then by
    (creation time, name, namespace); decides who wins where two hosts claim one thing.
    servers: routers: HTTP servers of the port. listeners: egress listeners of the Sidecar that take the host, as
    positions in `Proxy.egress`; none where there are not several. drawn_in: a service that only VirtualServices name:
    it has clusters, and nothing hears it."""

    key: str
    order: str
    services: tuple[Service, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    virtual_hosts: tuple[VirtualHost, ...] = ()
    chains: tuple[FilterChain, ...] = ()
    servers: tuple[Server, ...] = ()
    listeners: tuple[int, ...] = ()
    drawn_in: Service | None = None


class Mesh(msgspec.Struct, frozen=True):
    """All hosts of one node, by key, in Istio's order of services.

    outbound: what unknown destinations get. egress_cluster: Sidecar outboundTrafficPolicy.egressProxy's cluster, "" =
    none."""

    hosts: Mapping[str, HostMesh]
    outbound: Literal["ALLOW_ANY", "REGISTRY_ONLY", "GATEWAY"] = "ALLOW_ANY"
    egress_cluster: str = ""
    proxy: Proxy = Proxy()
