"""What compile is given: the client, and the resources that concern one host, already selected.

Selecting (visibility, Sidecar scope, which namespace owns a host, which rule applies) is `compile.scope`'s; turning
what was selected into services, clusters, routes and chains is the other modules' and needs nothing but these types.
Every call on a `Scope` is a dependency of the host under compilation: the scope notes it, so that a change finds the
hosts it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import msgspec

from roadstead.compile.local_hosts import LocalHosts, local_hosts
from roadstead.config import (
    ClientTLSSettings,
    DestinationRule,
    Dialect,
    Gateway,
    MeshConfig,
    ProxyConfig,
    ProxyHeaders,
    Resource,
    ResourceKey,
    ServiceEntry,
    Spec,
    WorkloadEntry,
)
from roadstead.config.duration import seconds
from roadstead.config.read import read_mesh
from roadstead.mesh import Locality, Node, Port, Service, WorkloadProbe

if TYPE_CHECKING:
    from roadstead.compile.networks import Gateways
    from roadstead.compile.peer_authentication import PeerModes
    from roadstead.compile.policy import PolicyTable
    from roadstead.compile.virtual_services import PreparedVirtualService


class Env(msgspec.Struct, frozen=True, dict=True):
    """The client and the mesh-wide settings; one for each view.

    extended: the dialect. locality: the client's, parsed. labels: the client's with its topology in them
    (locality.client_labels). networks: gateways of other networks, None where there are none."""

    node: Node
    mesh: MeshConfig
    extended: bool
    locality: Locality
    labels: Mapping[str, str]
    networks: Gateways | None = None

    @property
    def dialect(self) -> Dialect:
        return "extended" if self.extended else "istio"

    @cached_property
    def captures_dns(self) -> bool:
        """Whether the client's names resolve to virtual addresses: its own metadata says so, else the mesh's for all
        (defaultConfig.proxyMetadata)."""
        if "DNS_CAPTURE" in self.node.metadata:
            return self.node.dns_capture
        return self.proxy_config.proxy_metadata.get("ISTIO_META_DNS_CAPTURE", "").lower() == "true"

    @cached_property
    def proxy_config(self) -> ProxyConfig:
        """The settings of the client's proxy: its own metadata's, else the mesh's for all. ValueError where the
        metadata has something else there."""
        told = self.node.metadata.get("PROXY_CONFIG")
        if told is None:
            return self.mesh.default_config or ProxyConfig()
        found = read_mesh(b'{"defaultConfig":%s}' % told.encode())
        if found.value is None:
            raise ValueError(f"node metadata PROXY_CONFIG: {found.findings[0].message}")
        return found.value.default_config or ProxyConfig()

    @cached_property
    def proxy_headers(self) -> ProxyHeaders:
        """Headers that proxies add of themselves (meshConfig.defaultConfig.proxyHeaders)."""
        return self.proxy_config.proxy_headers or ProxyHeaders()

    @cached_property
    def idle_timeout(self) -> float | None:
        """How long connections of the client may idle where no rule says so, in seconds: its own metadata's; what is no
        duration is passed over, as in Istio."""
        try:
            return seconds(self.node.metadata["IDLE_TIMEOUT"])
        except (KeyError, ValueError):
            return None

    @cached_property
    def certificates(self) -> ClientTLSSettings | None:
        """Certificates for mutual TLS that the client has in files of its own, as its metadata tells."""
        told = self.node.metadata
        if not told.get("TLS_CLIENT_CERT_CHAIN"):
            return None
        return ClientTLSSettings(
            mode="MUTUAL",
            client_certificate=told["TLS_CLIENT_CERT_CHAIN"],
            private_key=told.get("TLS_CLIENT_KEY", ""),
            ca_certificates=told.get("TLS_CLIENT_ROOT_CERT", ""),
        )

    def stays_local(self, host: str) -> bool:
        """Whether only clients in the cluster of a host's endpoints are sent there (meshConfig.serviceSettings)."""
        return self._local_hosts.takes(host)

    @cached_property
    def _local_hosts(self) -> LocalHosts:
        return local_hosts(self.mesh)

    @cached_property
    def policies(self) -> PolicyTable:
        """The policies made for this view so far: equal ones are one object as long as the view lives."""
        from roadstead.compile.policy import PolicyTable

        return PolicyTable(self)


class Load(Protocol):
    """Gives back a resource whose facts are in the index."""

    def __call__(self, key: ResourceKey, /) -> Resource[Spec]: ...


class HostView(msgspec.Struct, frozen=True):
    """The services of one host as this client sees them: one namespace, in Istio's order.

    services: un-merged, as listeners and routes see them. merged: the one that clusters and `find` are made from.
    entries: all ServiceEntries of (namespace, host) by age, the source of endpoints and identities: which of them the
    client may see is no question here. imported: pulled in only as the destination of a VirtualService: it has
    clusters, but no listener and no default route. listeners: positions of the Sidecar's egress listeners that take the
    host. unrouted: ports whose route table is that of an egress listener that does not take the host.

    Where egress listeners find the host in several namespaces, `services` ends with those of the later ones."""

    host: str
    namespace: str
    services: tuple[Service, ...]
    merged: Service
    entries: tuple[Resource[ServiceEntry], ...]
    imported: bool = False
    listeners: tuple[int, ...] = ()
    unrouted: frozenset[int] = frozenset()


class RuleView(msgspec.Struct, frozen=True):
    """The DestinationRule entry in force for a service and this client, merged.

    rules: the rules that contributed, the first gives host and exportTo. policy_from: index in `rules` of the one whose
    top-level trafficPolicy holds, -1 without one. subsets: (index in `rules`, index in its subsets), in order."""

    rules: tuple[Resource[DestinationRule], ...]
    policy_from: int
    subsets: tuple[tuple[int, int], ...]


class Scope(Protocol):
    """What is visible to one client. `host` arguments are exact names or the literal text of a wildcard service."""

    @property
    def env(self) -> Env: ...

    def view(self, host: str) -> HostView | None:
        """The services of that very host."""

    def service_of(self, host: str, namespace: str) -> Service | None:
        """The oldest service of that very host in a namespace, if the client sees it, whoever has the host for it."""

    def matching(self, pattern: str) -> Sequence[HostView]:
        """Hosts that a host of a VirtualService covers: the same name, or overlap where one of them is a
        wildcard, in Istio's order of services."""

    def rule(self, view: HostView) -> RuleView | None:
        """The DestinationRule for a service."""

    def workloads(self, namespace: str, selector: Mapping[str, str]) -> Sequence[Resource[WorkloadEntry]]:
        """WorkloadEntries that a selector takes, healthy ones only, in Istio's order."""

    def probe(self, workload: Resource[WorkloadEntry]) -> WorkloadProbe | None:
        """How its WorkloadGroup has a workload probed from here (dialect extended)."""

    def virtual_services(self, host: str, gateway: str = "mesh", port: int = 0) -> Sequence[PreparedVirtualService]:
        """Roots bound to the gateway with a host that overlaps `host`, in the client's order: private, exported,
        public, each by age. port: only those selected by the egress listener for that port; 0: by any."""

    def tables(self) -> Iterable[str]:
        """Names of the route tables that are for every port: of a sidecar's HTTP proxies and sockets."""

    def in_table(self, view: HostView, table: str) -> bool:
        """Whether such a table has a host."""

    def rules_of(self, host: str, table: str) -> Sequence[PreparedVirtualService]:
        """`virtual_services` of the egress listener of such a table."""

    def rules_heard(self, view: HostView, port: int) -> Sequence[PreparedVirtualService]:
        """`virtual_services` of the egress listener where connections to a host are heard on a port."""

    def spoken(self, view: HostView, port: Port) -> tuple[tuple[str, bool], ...]:
        """The protocols that a port of a host is heard with: its own (False), and that of an egress listener for the
        port (True)."""

    def services_on(self, port: int) -> Sequence[HostView]:
        """Hosts with that port among those with listeners, in Istio's order: who shares a listener."""

    def own_entries(self, port: int) -> Iterator[Resource[ServiceEntry]]:
        """ServiceEntries of the client's own namespace with a port, by age, whoever may see them."""

    def gateways(self) -> Sequence[Resource[Gateway]]:
        """Gateways whose selector takes this client (routers), by age."""

    def peer_authentication(self, namespace: str) -> PeerModes:
        """Whether the workloads of a namespace take mTLS."""
