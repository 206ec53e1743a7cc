"""The clusters of one host for one client: one for each port, and one for each port and subset (Istio: core/cluster.go,
cluster_builder.go, xds/endpoints)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from roadstead.compile.endpoints import accounts_of, endpoints_of, selected
from roadstead.compile.inputs import Env, HostView, RuleView, Scope
from roadstead.compile.load_balancer import hash_key_of
from roadstead.compile.locality import arrange, group_endpoints
from roadstead.compile.networks import through_gateways
from roadstead.compile.policy import PROVIDED, PolicyTable, RulePolicies, Settled
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


def clusters_of(scope: Scope, view: HostView) -> tuple[Cluster, ...]:
    """Clusters of a host, ports in order, each port's default cluster before its subsets in the order of the rule.

    A DNS cluster without endpoints does not exist (requests to it get 503 NC); any other cluster does (503 UH).
    """
    return _HostClusters(scope, view).all()


def policy_of(scope: Scope, view: HostView, port: int, subset: str = "") -> ClusterPolicy | None:
    """The policy of one cluster of a host, for those who need it without the cluster (tunnels, timeouts of TCP routes).
    None where the host has no such port or subset."""
    settled = _HostClusters(scope, view).settled(port, subset)
    return None if settled is None else settled.policy


def arranger(
    scope: Scope, view: HostView, cluster: Cluster
) -> Callable[[Sequence[Endpoint]], tuple[LocalityGroup, ...]]:
    """How endpoints from outside (resolvers, health, workloads) are grouped for a cluster of the host: as its own were.
    What comes back asks the scope nothing more. LookupError where the host has no such cluster."""
    settled = _HostClusters(scope, view).settled(cluster.port, cluster.subset)
    if settled is None:
        raise LookupError(cluster.name)
    return partial(_grouped, scope.env, settled=settled, kind=cluster.type)


def _grouped(env: Env, endpoints: Sequence[Endpoint], settled: Settled, kind: ClusterType) -> tuple[LocalityGroup, ...]:
    groups = group_endpoints(endpoints)
    # Istio sends only what it discovers itself (EDS) through other networks' gateways.
    if env.networks is not None and kind == "EDS":
        groups = through_gateways(groups, env.networks, env.node, settled.mtls)
    return arrange(groups, settled.plan if kind == "EDS" else settled.dns_plan, env.locality, env.labels)


def hash_keys(
    scope: Scope, view: HostView, port: int, subset: str = "", explicit_port: bool = False
) -> tuple[HashKey, ...] | None:
    """What a route to a destination hashes, None where nothing is said of it: the first consistentHash among the
    subset's settings for the port, the subset's, the rule's for the port, the rule's. Settings for a port count only
    where the destination names it.

    The load balancer of the cluster follows `clusters_of` instead, so key and algorithm may come from different places.
    """
    rule = scope.rule(view)
    if rule is None:
        return None
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
            levels = policy.port_level_settings
            at = (level for level in levels if level.port is not None and level.port.number == port)
            settings += [level.load_balancer for level in islice(at, 1)]
        for balancer in (*settings, policy.load_balancer):
            if balancer is not None and balancer.consistent_hash is not None:
                key = hash_key_of(balancer.consistent_hash)
                return () if key is None else (key,)
    return None


class _HostClusters:
    """One host under compilation: what its clusters share."""

    __slots__ = (
        "_accounts",
        "_arranged",
        "_declared",
        "_endpoints",
        "_judged",
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
        # What PeerAuthentications leave of the endpoints of each port, by the number of the port.
        self._judged: dict[int, tuple[Endpoint, ...]] = {}
        self._accounts: tuple[str, ...] | None = None
        self._arranged: dict[tuple[int, int], tuple[LocalityGroup, ...]] = {}

    def all(self) -> tuple[Cluster, ...]:
        service = self._view.merged
        dynamic = service.is_dynamic
        subsets = 0 if self._rule is None or dynamic else len(self._rule.subsets)
        made: list[Cluster] = []
        names: set[str] = set()
        for port in service.ports:
            if port.protocol == "UDP" or (dynamic and port.protocol not in _DYNAMIC_PROTOCOLS):
                continue
            members = self._at(port) if self._declared not in PROVIDED else ()
            for index in range(-1, subsets):
                cluster = self._cluster(port, index, members)
                # Of two clusters with one name (a subset declared twice) the first is kept.
                if cluster is not None and cluster.name not in names:
                    names.add(cluster.name)
                    made.append(cluster)
        return tuple(made)

    def settled(self, port: int, subset: str) -> Settled | None:
        """The policy of one cluster by port number and name of the subset; None where there is no such cluster."""
        known = next((known for known in self._view.merged.ports if known.number == port), None)
        index = self._policies.blocks.subset_index(subset)
        return None if known is None or index is None else self._settled(known, index)

    def _settled(self, port: Port, index: int) -> Settled:
        return self._policies.settled(port, index, self._built(port, index), self._view.merged.traffic_distribution)

    def _built(self, port: Port, index: int) -> ClusterType:
        """The type before the cluster's own policy: a subset starts with what the policy made of the whole service."""
        if index < 0 or self._declared in PROVIDED:
            return self._declared
        if self._policies.blocks.passes(index) or self._settled(port, -1).type == "ORIGINAL_DST":
            return "ORIGINAL_DST"
        return self._declared

    def _cluster(self, port: Port, index: int, members: tuple[Endpoint, ...]) -> Cluster | None:
        """The cluster of a port, or of its subset with that index; members: all endpoints of the port."""
        view = self._view
        service = view.merged
        built = self._built(port, index)
        settled = self._settled(port, index)
        kind = settled.type
        name, labels, subset_origin = "", None, None
        if index >= 0:
            blocks = self._policies.blocks
            subset = blocks.subset(index)
            name, labels, subset_origin = subset.name, subset.labels, blocks.subset_origin(index)
        groups: tuple[LocalityGroup, ...] = ()
        if built not in PROVIDED:
            if members and settled.mtls is None:
                members = self._judge(port, members)
            endpoints = selected(members, labels) if labels else members
            if not endpoints and built in _DNS_TYPES:
                return None
            if kind == "EDS" and self._has_names(endpoints):
                kind = "STRICT_DNS"
            if kind != "ORIGINAL_DST":
                groups = self._groups(endpoints, settled, kind, endpoints is members)
        tls = None
        if settled.tls is not None or not service.mesh_external:
            tls = self._tls(port, index, name, settled)
        return Cluster(
            cluster_name(port.number, name, view.host),
            view.host,
            port.number,
            name,
            kind,
            settled.policy,
            groups,
            view.namespace,
            service.origin,
            tls,
            labels,
            subset_origin,
            port.target_port if built == "ORIGINAL_DST" and service.resolution == "NONE" else 0,
            self._family(built, kind),
            port.name,
            port.protocol,
        )

    def _family(self, built: ClusterType, kind: ClusterType) -> str:
        if built in _DNS_TYPES:
            return "ALL" if self._view.merged.connect_strategy == RACE else self._table.dns_family
        return self._table.dns_family if kind in ("STRICT_DNS", "DYNAMIC_DNS") else ""

    def _at(self, port: Port) -> tuple[Endpoint, ...]:
        if self._endpoints is None:
            self._endpoints = endpoints_of(self._scope, self._view)
        return self._endpoints[port.number]

    def _judge(self, port: Port, members: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """All endpoints of a port where no rule says what they speak: those that refuse mTLS speak none."""
        made = self._judged.get(port.number)
        if made is None:
            made = members
            if any(endpoint.tls_mode == "istio" for endpoint in members):
                # All are of the service's namespace: entries and workloads of another do not belong to it.
                modes = self._scope.peer_authentication(self._view.namespace)
                if modes.may_refuse:
                    made = modes.judged(members)
            self._judged[port.number] = made
        return made

    def _has_names(self, endpoints: tuple[Endpoint, ...]) -> bool:
        """Whether names have to be looked up although the service is STATIC (dialect extended)."""
        return self._scope.env.extended and any(endpoint.kind == "hostname" for endpoint in endpoints)

    def _groups(
        self, endpoints: tuple[Endpoint, ...], settled: Settled, kind: ClusterType, whole: bool
    ) -> tuple[LocalityGroup, ...]:
        """Groups with priorities and weights; the same tuple for all clusters that hold the `whole` of a port."""
        if not whole:
            return _grouped(self._scope.env, endpoints, settled, kind)
        # Both live as long as this host is under compilation, so their identities stand for them.
        key = (id(endpoints), id(settled))
        groups = self._arranged.get(key)
        if groups is None:
            groups = self._arranged[key] = _grouped(self._scope.env, endpoints, settled, kind)
        return groups

    def _tls(self, port: Port, index: int, subset: str, settled: Settled) -> TlsOrigination | None:
        service = self._view.merged
        protocol = settled.policy.connection_pool.http.protocol
        if settled.tls is not None:
            secrets = may_use_secrets(self._scope, self._rule)
            env = self._scope.env
            defaults, own = env.mesh.tls_defaults, env.certificates
            return rule_tls(settled.tls, service, port, subset, protocol, self._identities, secrets, defaults, own)
        by_endpoint = settled.type != "ORIGINAL_DST"
        # Settings for a port, and those that a subset inherits, are not asked.
        passes = service.resolution == "NONE" or self._policies.blocks.passes(index)
        behind = endpoints_of(self._scope, self._view, behind=True)[port.number] if passes else None
        return automatic_tls(self._scope, service, port, subset, protocol, self._identities, behind, by_endpoint)

    def _identities(self) -> tuple[str, ...]:
        if self._view.merged.is_dynamic:
            # Istio gives what is looked up by the request's name no other names.
            return ()
        if self._accounts is None:
            workloads = accounts_of(self._scope, self._view)
            aliases = self._scope.env.mesh.trust_domain_aliases
            self._accounts = identities(self._view.entries, workloads, aliases)
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
