"""A client that sees everything in a piece of YAML: the smallest scope the compiler can be given.

No namespaces compete here and rules apply by their literal host: selecting is tested in test_scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import yaml

from roadstead.compile.clusters import clusters_of
from roadstead.compile.endpoints import selectable_labels
from roadstead.compile.inputs import Env, HostView, RuleView
from roadstead.compile.locality import client_labels, parse_locality
from roadstead.compile.networks import gateways_of
from roadstead.compile.peer_authentication import PeerModes
from roadstead.compile.services import merge, services_of
from roadstead.compile.virtual_services import PreparedVirtualService
from roadstead.config import (
    DestinationRule,
    Gateway,
    MeshConfig,
    MeshNetworks,
    ObjectMeta,
    Resource,
    ServiceEntry,
    Status,
    WorkloadEntry,
)
from roadstead.mesh import Cluster, Node, Port, Service, WorkloadProbe

_KINDS = {"ServiceEntry": ServiceEntry, "WorkloadEntry": WorkloadEntry, "DestinationRule": DestinationRule}


class OneClient:
    """Scope of a node over the documents of `text`, in their order."""

    def __init__(
        self,
        text: str,
        *,
        node: Node | None = None,
        mesh: str = "",
        networks: str = "",
        extended: bool = False,
        authentication: Mapping[str, str] | None = None,
    ) -> None:
        self.resources = [_resource(document) for document in yaml.safe_load_all(text) if document]
        self._authentication = authentication or {}
        node = node or Node(ips=("10.0.0.1",))
        self.env = Env(
            node,
            msgspec.convert(yaml.safe_load(mesh) or {}, MeshConfig),
            extended,
            parse_locality(node.locality),
            client_labels(node.labels, node.locality, node.network, node.cluster),
            gateways_of(msgspec.convert(yaml.safe_load(networks), MeshNetworks)) if networks else None,
        )

    def _of(self, kind: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.kind == kind]

    def services(self, host: str) -> list[Service]:
        made = [services_of(entry, self.env) for entry in self._of("ServiceEntry")]
        return [service for services in made for service in services if service.host == host]

    def view(self, host: str) -> HostView:
        services = self.services(host)
        entries = tuple([entry for entry in self._of("ServiceEntry") if host in entry.spec.hosts])
        return HostView(host, services[0].namespace, tuple(services), merge(services), entries)

    def clusters(self, host: str) -> dict[str, Cluster]:
        """By `port` or `port/subset`."""
        made = clusters_of(self, self.view(host))
        return {f"{cluster.port}/{cluster.subset}".rstrip("/"): cluster for cluster in made}

    def rule(self, view: HostView) -> RuleView | None:
        rules = tuple([rule for rule in self._of("DestinationRule") if rule.spec.host == view.host])
        if not rules:
            return None
        policies = [index for index, rule in enumerate(rules) if rule.spec.traffic_policy is not None]
        subsets = [(index, position) for index, rule in enumerate(rules) for position in range(len(rule.spec.subsets))]
        return RuleView(rules, policies[0] if policies else -1, tuple(subsets))

    def workloads(self, namespace: str, selector: Mapping[str, str]) -> Sequence[Resource[WorkloadEntry]]:
        return [
            workload
            for workload in self._of("WorkloadEntry")
            if workload.namespace == namespace and selector.items() <= selectable_labels(workload).items()
        ]

    def probe(self, workload: Resource[WorkloadEntry]) -> WorkloadProbe | None:
        return None

    def peer_authentication(self, namespace: str) -> PeerModes:
        return PeerModes(self._authentication.get(namespace, "UNSET"))

    def matching(self, pattern: str) -> Sequence[HostView]:
        raise NotImplementedError

    def virtual_services(self, host: str, gateway: str = "mesh", port: int = 0) -> Sequence[PreparedVirtualService]:
        raise NotImplementedError

    def service_of(self, host: str, namespace: str) -> Service | None:
        raise NotImplementedError

    def spoken(self, view: HostView, port: Port) -> tuple[tuple[str, bool], ...]:
        return ((port.protocol, False),)

    def tables(self) -> Sequence[str]:
        return ()

    def in_table(self, view: HostView, table: str) -> bool:
        raise NotImplementedError

    def rules_of(self, host: str, table: str) -> Sequence[PreparedVirtualService]:
        raise NotImplementedError

    def rules_heard(self, view: HostView, port: int) -> Sequence[PreparedVirtualService]:
        raise NotImplementedError

    def own_entries(self, port: int) -> Iterator[Resource[ServiceEntry]]:
        raise NotImplementedError

    def services_on(self, port: int) -> Sequence[HostView]:
        raise NotImplementedError

    def gateways(self) -> Sequence[Resource[Gateway]]:
        raise NotImplementedError


def _resource(document: Mapping[str, object]) -> Resource:
    kind = document["kind"]
    return Resource(
        kind=kind,
        api_version="networking.istio.io/v1",
        metadata=msgspec.convert(document.get("metadata", {"name": "x"}), ObjectMeta),
        spec=msgspec.convert(document["spec"], _KINDS[kind]),
        status=msgspec.convert(document.get("status", {}), Status),
    )


def places(cluster: Cluster) -> list[tuple[str, int, int, list[str]]]:
    """Groups as (locality, priority, weight, ["address:port*weight", …])."""
    return [
        (
            group.locality,
            group.priority,
            group.weight,
            [f"{endpoint.address}:{endpoint.port}*{endpoint.weight}" for endpoint in group.endpoints],
        )
        for group in cluster.groups
    ]


def addresses(cluster: Cluster) -> list[str]:
    """Endpoints as "address:port", groups in order."""
    return [f"{endpoint.address}:{endpoint.port}" for group in cluster.groups for endpoint in group.endpoints]
