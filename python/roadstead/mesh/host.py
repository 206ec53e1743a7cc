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

    order: sorts as Istio lists what the node sees: by egress listener (three digits), those exported to it by name
    first (one digit), then by (creation time, name, namespace); decides who wins where two hosts claim one thing.
    heard: where a host has several services, each with its own `order` but for the listener, so that a port has the age
    of its own entry; empty: the host has one.
    servers: routers: HTTP servers of the port. listeners: egress listeners of the Sidecar that take the host, as
    positions in `Proxy.egress`; none where there are not several. drawn_in: a service that only VirtualServices name:
    it has clusters, and nothing hears it. proxied: virtual hosts for callers of the node's HTTP proxies and sockets, by
    `table`; the engine, which is asked by host and port, has no use for them. passed: routers: `passed_clusters`, None
    where they are the clusters. passes: a router's server that has TLS of the mesh find each cluster by name."""

    key: str
    order: str
    services: tuple[Service, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    virtual_hosts: tuple[VirtualHost, ...] = ()
    chains: tuple[FilterChain, ...] = ()
    servers: tuple[Server, ...] = ()
    listeners: tuple[int, ...] = ()
    drawn_in: Service | None = None
    proxied: tuple[VirtualHost, ...] = ()
    heard: tuple[tuple[str, Service], ...] = ()
    passed: tuple[Cluster, ...] | None = None
    passes: bool = False

    @property
    def passed_clusters(self) -> tuple[Cluster, ...]:
        """The clusters that TLS of the mesh finds by name where a router passes it on; none outside the mesh."""
        if not self.services or self.services[0].mesh_external:
            return ()
        return self.clusters if self.passed is None else self.passed


class Mesh(msgspec.Struct, frozen=True):
    """All hosts of one node, by key, in Istio's order of services.

    outbound: what unknown destinations get. egress_cluster: Sidecar outboundTrafficPolicy.egressProxy's cluster, "" =
    none."""

    hosts: Mapping[str, HostMesh]
    outbound: Literal["ALLOW_ANY", "REGISTRY_ONLY", "GATEWAY"] = "ALLOW_ANY"
    egress_cluster: str = ""
    proxy: Proxy = Proxy()

    @property
    def passes_by_name(self) -> bool:
        """Whether a router has a server with AUTO_PASSTHROUGH: TLS of the mesh finds each cluster by name."""
        return any(host.passes for host in self.hosts.values())
