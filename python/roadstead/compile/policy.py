"""The traffic policy in force for each cluster of a host (Istio: util.MergeTrafficPolicy, cluster_traffic_policy.go).

Three levels: the rule or, instead of all of it, its settings for the port; what MeshConfig.defaultTrafficPolicy adds
where a block is missing; over that the subset's policy, block by block, or its settings for the port, which also clear
what they leave out. Blocks are never merged field by field.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from roadstead.compile.connection_pool import (
    ejection_of,
    health_check_of,
    keepalive_of,
    pool_of,
    upstream_protocol,
)
from roadstead.compile.inputs import Env, RuleView
from roadstead.compile.load_balancer import balancer_of, plan_of
from roadstead.compile.locality import LocalityPlan
from roadstead.compile.services import ip_family
from roadstead.config import (
    CircuitBreaker,
    ClientTLSSettings,
    ConnectionPoolSettings,
    DestinationRule,
    HealthCheck,
    LoadBalancerSettings,
    OutlierDetection,
    PortTrafficPolicy,
    ProxyProtocol,
    Resource,
    RetryBudget,
    Subset,
    TrafficPolicy,
    TunnelSettings,
)
from roadstead.config.duration import seconds
from roadstead.mesh import ClusterPolicy, Origin, Port, Tunnel
from roadstead.mesh import OutlierDetection as Ejection
from roadstead.mesh.cluster import ClusterType, UpstreamProtocol


class Blocks(msgspec.Struct, frozen=True, gc=False):
    """The blocks in force, as written. own_outlier: outlierDetection without the mesh's default, since Istio fails over
    between localities of EDS clusters only where a rule asks for it. origins: the deciding place first."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    own_outlier: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None
    health_check: HealthCheck | None = None
    circuit_breaker: CircuitBreaker | None = None
    origins: tuple[Origin, ...] = ()


class Effective(msgspec.Struct, frozen=True, gc=False):
    """A policy and what it means for endpoints. plan: of EDS clusters; dns_plan: of DNS clusters, where the mesh's
    default outlierDetection counts too."""

    policy: ClusterPolicy
    plan: LocalityPlan
    dns_plan: LocalityPlan


class RulePolicies:
    """The policies of one rule, or of no rule, each made once."""

    __slots__ = ("_blocks", "_effective", "_ports", "_rule", "_table", "_top")

    def __init__(self, table: PolicyTable, rule: RuleView | None) -> None:
        self._table = table
        self._rule = rule
        top = None if rule is None or rule.policy_from < 0 else rule.rules[rule.policy_from].spec.traffic_policy
        self._top: TrafficPolicy | None = top
        # The first setting of a port number holds.
        self._ports = {_number(port): index for index, port in reversed(list(enumerate(_port_settings(top))))}
        self._blocks: dict[tuple[int, int, int], Blocks] = {}
        self._effective: dict[tuple[int, str, str, str], Effective] = {}

    def blocks(self, port: int, subset: int = -1) -> Blocks:
        """The blocks for a port number and a subset (index in the rule view's subsets; -1: the whole service)."""
        level = self._ports.get(port, -1) if self._ports else -1
        overlay = None if subset < 0 else self.subset(subset).traffic_policy
        if overlay is None:
            key = (level, -1, -1)
        else:
            key = (
                level,
                subset,
                next((i for i, p in enumerate(overlay.port_level_settings) if _number(p) == port), -1),
            )
        made = self._blocks.get(key)
        if made is None:
            made = self._merge(level, subset, overlay, key[2])
            self._blocks[key] = made
        return made

    def effective(self, blocks: Blocks, protocol: UpstreamProtocol, distribution: str, kind: ClusterType) -> Effective:
        """The policy of clusters under these blocks. distribution: the service's."""
        key = (id(blocks), protocol, distribution, kind)
        made = self._effective.get(key)
        if made is None:
            made = self._table.make(blocks, protocol, distribution, kind)
            self._effective[key] = made
        return made

    def subset(self, index: int) -> Subset:
        """A subset as written."""
        return self._written(index)[1]

    def subset_origin(self, index: int) -> Origin:
        """Where a subset stands."""
        resource, _, position = self._written(index)
        return _origin(resource, f"/spec/subsets/{position}")

    def _written(self, index: int) -> tuple[Resource[DestinationRule], Subset, int]:
        if self._rule is None:
            raise IndexError(index)
        owner, position = self._rule.subsets[index]
        resource = self._rule.rules[owner]
        return resource, resource.spec.subsets[position], position

    def _merge(self, level: int, subset: int, overlay: TrafficPolicy | None, overlay_level: int) -> Blocks:
        base = self._table.with_defaults(self._base(level))
        if overlay is None:
            return base
        origin = self.subset_origin(subset)
        where = f"{origin.path}/trafficPolicy"
        if overlay_level < 0:
            origins = (_at(origin, where), *base.origins)
            return _over(base, overlay, origins)
        origins = (_at(origin, f"{where}/portLevelSettings/{overlay_level}"), *base.origins)
        return _over_port(base, overlay.port_level_settings[overlay_level], origins)

    def _base(self, level: int) -> Blocks:
        rule, top = self._rule, self._top
        if rule is None or top is None:
            return NO_BLOCKS
        resource = rule.rules[rule.policy_from]
        if level >= 0:
            port = top.port_level_settings[level]
            return Blocks(
                port.load_balancer,
                port.connection_pool,
                port.outlier_detection,
                port.outlier_detection,
                port.tls,
                origins=(_origin(resource, f"/spec/trafficPolicy/portLevelSettings/{level}"),),
            )
        return Blocks(
            top.load_balancer,
            top.connection_pool,
            top.outlier_detection,
            top.outlier_detection,
            top.tls,
            top.tunnel,
            top.proxy_protocol,
            top.retry_budget,
            top.health_check,
            top.circuit_breaker,
            (_origin(resource, "/spec/trafficPolicy"),),
        )


NO_BLOCKS = Blocks()


class PolicyTable:
    """What MeshConfig and the client contribute to every policy, read once, and the policies made so far.

    Equal policies are one object, also across hosts, so that whoever lowers or compares them can go by identity.
    """

    __slots__ = (
        "_connect_timeout",
        "_intern",
        "_keepalive",
        "_locality",
        "_mesh_outlier",
        "_mesh_pool",
        "_upgrades",
        "_zone_aware",
        "bare",
        "dns_family",
        "sidecar",
    )

    def __init__(self, env: Env) -> None:
        mesh = env.mesh
        self._connect_timeout = seconds(mesh.connect_timeout)
        self._keepalive = keepalive_of(mesh.tcp_keepalive, None)
        self._upgrades = mesh.h2_upgrade_policy == "UPGRADE"
        defaults = mesh.default_traffic_policy
        self._mesh_pool = None if defaults is None else defaults.connection_pool
        self._mesh_outlier = None if defaults is None else defaults.outlier_detection
        self._locality = mesh.locality_lb_setting
        self._zone_aware = mesh.zone_aware_lb_setting
        self.sidecar = env.node.type == "sidecar"
        self.dns_family = _dns_family(env)
        self._intern: Callable[[ClusterPolicy], ClusterPolicy] = lru_cache(maxsize=16384)(_same)
        self.bare = RulePolicies(self, None)

    def of(self, rule: RuleView | None) -> RulePolicies:
        """The policies of a rule."""
        return self.bare if rule is None else RulePolicies(self, rule)

    def protocol(self, port: Port, blocks: Blocks) -> UpstreamProtocol:
        """What is spoken upstream on a port under these blocks."""
        return upstream_protocol(port, blocks.connection_pool, self._upgrades, self.sidecar)

    def with_defaults(self, blocks: Blocks) -> Blocks:
        """Blocks with MeshConfig.defaultTrafficPolicy's in place of missing ones."""
        pool = self._mesh_pool if blocks.connection_pool is None else blocks.connection_pool
        outlier = self._mesh_outlier if blocks.outlier_detection is None else blocks.outlier_detection
        if pool is blocks.connection_pool and outlier is blocks.outlier_detection:
            return blocks
        return msgspec.structs.replace(blocks, connection_pool=pool, outlier_detection=outlier)

    def make(self, blocks: Blocks, protocol: UpstreamProtocol, distribution: str, kind: ClusterType) -> Effective:
        """Translate blocks; see `RulePolicies.effective`."""
        ejection = ejection_of(blocks.outlier_detection, blocks.circuit_breaker)
        dns_plan = self._plan(blocks, ejection is not None, distribution)
        own = blocks.own_outlier is not None or blocks.circuit_breaker is not None
        plan = dns_plan if own == (ejection is not None) else self._plan(blocks, own, distribution)
        pool = pool_of(blocks.connection_pool, blocks.retry_budget, protocol, self._connect_timeout, self._keepalive)
        balancer = balancer_of(blocks.load_balancer, dns_plan, _panic_threshold(ejection, distribution), kind)
        policy = ClusterPolicy(
            pool,
            balancer,
            ejection,
            () if blocks.health_check is None else (health_check_of(blocks.health_check),),
            "" if blocks.proxy_protocol is None else blocks.proxy_protocol.version,
            _tunnel(blocks.tunnel),
            blocks.origins,
        )
        return Effective(self._intern(policy), plan, dns_plan)

    def _plan(self, blocks: Blocks, ejects: bool, distribution: str) -> LocalityPlan:
        return plan_of(blocks.load_balancer, ejects, distribution, self._zone_aware, self._locality)


def _panic_threshold(ejection: Ejection | None, distribution: str) -> int | None:
    """Istio switches panic off unless minHealthPercent asks for it; a negative one leaves it to Envoy. A service with a
    traffic distribution is sent its unhealthy endpoints too, hence never panics."""
    if ejection is None or distribution:
        return 0
    return ejection.min_health_percent if ejection.min_health_percent >= 0 else None


def _over(base: Blocks, overlay: TrafficPolicy, origins: tuple[Origin, ...]) -> Blocks:
    """A subset's blocks over the base's."""
    return Blocks(
        base.load_balancer if overlay.load_balancer is None else overlay.load_balancer,
        base.connection_pool if overlay.connection_pool is None else overlay.connection_pool,
        base.outlier_detection if overlay.outlier_detection is None else overlay.outlier_detection,
        base.own_outlier if overlay.outlier_detection is None else overlay.outlier_detection,
        base.tls if overlay.tls is None else overlay.tls,
        base.tunnel if overlay.tunnel is None else overlay.tunnel,
        base.proxy_protocol if overlay.proxy_protocol is None else overlay.proxy_protocol,
        base.retry_budget if overlay.retry_budget is None else overlay.retry_budget,
        base.health_check if overlay.health_check is None else overlay.health_check,
        base.circuit_breaker if overlay.circuit_breaker is None else overlay.circuit_breaker,
        origins,
    )


def _over_port(base: Blocks, overlay: PortTrafficPolicy, origins: tuple[Origin, ...]) -> Blocks:
    """A subset's settings for the port over the base: the four blocks they can hold are theirs, written or not."""
    return Blocks(
        overlay.load_balancer,
        overlay.connection_pool,
        overlay.outlier_detection,
        overlay.outlier_detection,
        overlay.tls,
        base.tunnel,
        base.proxy_protocol,
        base.retry_budget,
        base.health_check,
        base.circuit_breaker,
        origins,
    )


def _tunnel(settings: TunnelSettings | None) -> Tunnel | None:
    if settings is None:
        return None
    return Tunnel(settings.protocol or "CONNECT", settings.target_host, settings.target_port)


def _port_settings(policy: TrafficPolicy | None) -> tuple[PortTrafficPolicy, ...]:
    return () if policy is None else policy.port_level_settings


def _number(settings: PortTrafficPolicy) -> int:
    return 0 if settings.port is None else settings.port.number


def _origin(resource: Resource[DestinationRule], path: str) -> Origin:
    return Origin(resource.kind, resource.namespace, resource.name, path)


def _at(origin: Origin, path: str) -> Origin:
    return Origin(origin.kind, origin.namespace, origin.name, path)


def _dns_family(env: Env) -> str:
    """Families a client looks names up in: IPv6 only for one that has nothing else."""
    families = {ip_family(ip) for ip in env.node.ips}
    return "V6_ONLY" if 6 in families and 4 not in families else "V4_ONLY"


def _same(policy: ClusterPolicy) -> ClusterPolicy:
    return policy
