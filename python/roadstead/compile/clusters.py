"""The clusters of one host for one client: one for each port, and one for each port and subset (Istio: core/cluster.go,
cluster_builder.go, xds/endpoints)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from roadstead.compile.endpoints import accounts, endpoints_of, selected
from roadstead.compile.inputs import Env, HostView, RuleView, Scope
from roadstead.compile.load_balancer import hash_key_of, is_passthrough
from roadstead.compile.locality import LocalityPlan, arrange, group_endpoints
from roadstead.compile.networks import through_gateways
from roadstead.compile.policy import Blocks, Effective, PolicyTable, RulePolicies
from roadstead.compile.services import RACE
from roadstead.compile.tls import automatic_tls, identities, may_use_secrets, rule_tls
from roadstead.config import LoadBalancerSettings
from roadstead.mesh import (
    Cluster,
    ClusterPolicy,
    Endpoint,
    HashKey,
    LocalityGroup,
    Port,
    Service,
    TlsOrigination,
    cluster_name,
)
from roadstead.mesh.cluster import ClusterType

_DYNAMIC_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "TLS")
_DNS_TYPES = ("STRICT_DNS", "LOGICAL_DNS")
_PROVIDED = ("ORIGINAL_DST", "DYNAMIC_DNS")


def clusters_of(scope: Scope, view: HostView) -> tuple[Cluster, ...]:
    """Clusters of a host, ports in order, each port's default cluster before its subsets in the order of the rule.

    A DNS cluster without endpoints does not exist (requests to it get 503 NC); any other cluster does (503 UH).
    """
    return _HostClusters(scope, view).all()


def policy_of(scope: Scope, view: HostView, port: int, subset: str = "") -> ClusterPolicy | None:
    """The policy of one cluster of a host, for those who need it without the cluster (tunnels, timeouts of TCP routes).
    None where the host has no such port or subset."""
    clusters = _HostClusters(scope, view)
    found = next((known for known in view.merged.ports if known.number == port), None)
    index = clusters.subset_index(subset)
    if found is None or index is None:
        return None
    return clusters.policy(found, index)


def arranger(
    scope: Scope, view: HostView, cluster: Cluster
) -> Callable[[Sequence[Endpoint]], tuple[LocalityGroup, ...]]:
    """How endpoints from outside (resolvers, health, workloads) are grouped for a cluster of the host: as its own were.
    What comes back asks the scope nothing more."""
    clusters = _HostClusters(scope, view)
    port = next(known for known in view.merged.ports if known.number == cluster.port)
    plan, mtls = clusters.grouping(port, cluster.subset, cluster.type)
    return partial(_grouped, scope.env, plan=plan, kind=cluster.type, mtls=mtls)


def _grouped(
    env: Env, endpoints: Sequence[Endpoint], plan: LocalityPlan, kind: ClusterType, mtls: bool | None
) -> tuple[LocalityGroup, ...]:
    groups = group_endpoints(endpoints)
    # Istio sends only what it discovers itself (EDS) through other networks' gateways.
    if env.networks is not None and kind == "EDS":
        groups = through_gateways(groups, env.networks, env.node.network, mtls)
    return arrange(groups, plan, env.locality, env.labels)


def hash_keys(
    scope: Scope, view: HostView, port: int, subset: str = "", explicit_port: bool = False
) -> tuple[HashKey, ...]:
    """What a route to a destination hashes: the first consistentHash among the subset's settings for the port, the
    subset's, the rule's for the port, the rule's. Settings for a port count only where the destination names it.

    The load balancer of the cluster follows `clusters_of` instead, so key and algorithm may come from different places.
    """
    rule = scope.rule(view)
    if rule is None:
        return ()
    policies = []
    if subset:
        for owner, position in rule.subsets:
            written = rule.rules[owner].spec.subsets[position]
            if written.name == subset and written.traffic_policy is not None:
                policies.append(written.traffic_policy)
                break
    top = rule.rules[rule.policy_from].spec.traffic_policy if rule.policy_from >= 0 else None
    if top is not None:
        policies.append(top)
    for policy in policies:
        settings: list[LoadBalancerSettings | None] = []
        if explicit_port:
            settings += [
                level.load_balancer
                for level in policy.port_level_settings
                if level.port is not None and level.port.number == port
            ]
        for balancer in (*settings, policy.load_balancer):
            if balancer is not None and balancer.consistent_hash is not None:
                key = hash_key_of(balancer.consistent_hash)
                return () if key is None else (key,)
    return ()


class _HostClusters:
    """One host under compilation: what its clusters share."""

    __slots__ = (
        "_accounts",
        "_arranged",
        "_declared",
        "_endpoints",
        "_policies",
        "_rule",
        "_scope",
        "_table",
        "_view",
    )

    def __init__(self, scope: Scope, view: HostView) -> None:
        self._scope = scope
        self._view = view
        self._rule: RuleView | None = scope.rule(view)
        self._table: PolicyTable = scope.env.policies
        self._policies: RulePolicies = self._table.of(self._rule)
        self._declared = _type_of(view.merged, self._table.sidecar)
        self._endpoints: dict[int, tuple[Endpoint, ...]] | None = None
        self._accounts: tuple[str, ...] | None = None
        self._arranged: dict[tuple[int, int, bool | None], tuple[LocalityGroup, ...]] = {}

    def all(self) -> tuple[Cluster, ...]:
        service = self._view.merged
        dynamic = service.is_dynamic
        subsets = 0 if self._rule is None or dynamic else len(self._rule.subsets)
        made: list[Cluster] = []
        names: set[str] = set()
        for port in service.ports:
            if port.protocol == "UDP" or (dynamic and port.protocol not in _DYNAMIC_PROTOCOLS):
                continue
            for index in range(-1, subsets):
                cluster = self._cluster(port, index)
                # Of two clusters with one name (a subset declared twice) the first is kept.
                if cluster is not None and cluster.name not in names:
                    names.add(cluster.name)
                    made.append(cluster)
        return tuple(made)

    def subset_index(self, name: str) -> int | None:
        """Index of a subset by name in the rule view; -1 for "", None for an unknown one."""
        if not name:
            return -1
        rule = self._rule
        for index in range(0 if rule is None else len(rule.subsets)):
            if self._policies.subset(index).name == name:
                return index
        return None

    def policy(self, port: Port, subset: int) -> ClusterPolicy:
        blocks = self._policies.blocks(port.number, subset)
        return self._effective(port, blocks, self._type(blocks)).policy

    def grouping(self, port: Port, subset: str, kind: ClusterType) -> tuple[LocalityPlan, bool | None]:
        """(locality plan, whether a rule says mTLS for all) of one cluster."""
        index = self.subset_index(subset)
        blocks = self._policies.blocks(port.number, -1 if index is None else index)
        effective = self._effective(port, blocks, self._type(blocks))
        mtls = None if blocks.tls is None else blocks.tls.mode == "ISTIO_MUTUAL"
        return (effective.plan if kind == "EDS" else effective.dns_plan), mtls

    def _cluster(self, port: Port, index: int) -> Cluster | None:
        view = self._view
        service = view.merged
        blocks = self._policies.blocks(port.number, index)
        kind = self._type(blocks)
        effective = self._effective(port, blocks, kind)
        internal = not service.mesh_external
        name, labels, subset_origin = "", None, None
        if index >= 0:
            subset = self._policies.subset(index)
            name, labels, subset_origin = subset.name, subset.labels, self._policies.subset_origin(index)
        groups: tuple[LocalityGroup, ...] = ()
        if self._declared != "ORIGINAL_DST":
            endpoints = selected(self._at(port), labels) if labels else self._at(port)
            if not endpoints and self._declared in _DNS_TYPES:
                return None
            if kind == "EDS" and self._has_names(endpoints):
                kind = "STRICT_DNS"
            if kind not in _PROVIDED:
                groups = self._groups(port, endpoints, effective, blocks, kind)
        return Cluster(
            cluster_name(port.number, name, view.host),
            view.host,
            port.number,
            name,
            kind,
            effective.policy,
            groups,
            view.namespace,
            service.origin,
            self._tls(port, name, blocks, effective, kind) if blocks.tls is not None or internal else None,
            labels,
            subset_origin,
            port.target_port if kind == "ORIGINAL_DST" and service.resolution == "NONE" else 0,
            self._family(kind),
            port.name,
            port.protocol,
        )

    def _type(self, blocks: Blocks) -> ClusterType:
        if self._declared in _PROVIDED or not is_passthrough(blocks.load_balancer):
            return self._declared
        return "ORIGINAL_DST"

    def _effective(self, port: Port, blocks: Blocks, kind: ClusterType) -> Effective:
        protocol = self._table.protocol(port, blocks)
        return self._policies.effective(blocks, protocol, self._view.merged.traffic_distribution, kind)

    def _family(self, kind: ClusterType) -> str:
        if self._declared in _DNS_TYPES:
            return "ALL" if self._view.merged.connect_strategy == RACE else self._table.dns_family
        return self._table.dns_family if kind in ("STRICT_DNS", "DYNAMIC_DNS") else ""

    def _at(self, port: Port) -> tuple[Endpoint, ...]:
        if self._endpoints is None:
            self._endpoints = endpoints_of(self._scope, self._view)
        return self._endpoints[port.number]

    def _has_names(self, endpoints: tuple[Endpoint, ...]) -> bool:
        """Whether names have to be looked up although the service is STATIC (dialect extended)."""
        return self._scope.env.extended and any(endpoint.kind == "hostname" for endpoint in endpoints)

    def _groups(
        self, port: Port, endpoints: tuple[Endpoint, ...], effective: Effective, blocks: Blocks, kind: ClusterType
    ) -> tuple[LocalityGroup, ...]:
        """Groups with priorities and weights; the same tuple for all clusters that hold all endpoints of a port."""
        plan = effective.plan if kind == "EDS" else effective.dns_plan
        mtls = None if blocks.tls is None else blocks.tls.mode == "ISTIO_MUTUAL"
        key = (port.number, id(plan), mtls)
        whole = endpoints is self._at(port)
        if whole and key in self._arranged:
            return self._arranged[key]
        groups = _grouped(self._scope.env, endpoints, plan, kind, mtls)
        if whole:
            self._arranged[key] = groups
        return groups

    def _tls(
        self, port: Port, subset: str, blocks: Blocks, effective: Effective, kind: ClusterType
    ) -> TlsOrigination | None:
        service = self._view.merged
        protocol = effective.policy.connection_pool.http.protocol
        if blocks.tls is not None:
            secrets = may_use_secrets(self._scope, self._rule)
            return rule_tls(blocks.tls, service, port, subset, protocol, self._identities, secrets)
        dialled = service.resolution == "NONE" or kind == "ORIGINAL_DST"
        behind = self._at(port) if dialled else None
        return automatic_tls(
            self._scope, service, port, subset, protocol, self._identities, behind, kind != "ORIGINAL_DST"
        )

    def _identities(self) -> tuple[str, ...]:
        if self._accounts is None:
            if self._endpoints is None:
                self._endpoints = endpoints_of(self._scope, self._view)
            mesh = self._scope.env.mesh
            workloads = {name for members in self._endpoints.values() for name in accounts(members)}
            domains = (mesh.trust_domain, *mesh.trust_domain_aliases)
            self._accounts = identities(self._view.entries, workloads, domains)
        return self._accounts


def _type_of(service: Service, sidecar: bool) -> ClusterType:
    """The type that a service's resolution asks for."""
    if service.is_dynamic:
        return "DYNAMIC_DNS"
    if service.resolution == "DNS":
        return "LOGICAL_DNS" if service.connect_strategy == RACE else "STRICT_DNS"
    if service.resolution == "DNS_ROUND_ROBIN":
        return "LOGICAL_DNS"
    # A router has no connection whose original destination it could keep.
    return "ORIGINAL_DST" if service.resolution == "NONE" and sidecar else "EDS"
