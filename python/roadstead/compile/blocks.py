"""The blocks of a traffic policy in force for one cluster (Istio: util.MergeTrafficPolicy).

Three levels: the rule or, instead of all of it, its settings for the port; what MeshConfig.defaultTrafficPolicy adds
where a block is missing; over that the subset's policy, block by block, or its settings for the port, which also clear
what they leave out. Blocks are never merged field by field.
"""

from __future__ import annotations

import msgspec

from roadstead.compile.inputs import RuleView
from roadstead.compile.load_balancer import is_passthrough
from roadstead.config import (
    CircuitBreaker,
    ClientTLSSettings,
    ConnectionPoolSettings,
    DefaultTrafficPolicy,
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
)
from roadstead.mesh import Origin

Place = tuple[int, int, int]
"""Where blocks come from: (the rule's settings for a port, a subset with a policy, its settings for the port), each by
its index, -1 for none."""
TOP: Place = (-1, -1, -1)


class Blocks(msgspec.Struct, frozen=True, gc=False):
    """The blocks in force, as written. own_outlier: outlierDetection without the mesh's default, since Istio fails over
    between localities of EDS clusters only where a rule asks for it. origins: the deciding place first."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    own_outlier: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None
    health_check: HealthCheck | None = None
    circuit_breaker: CircuitBreaker | None = None
    origins: tuple[Origin, ...] = ()


NO_BLOCKS = Blocks()


class RuleBlocks:
    """The blocks of one rule, or of none, by port and subset. A subset is meant by its index in the rule view."""

    __slots__ = ("_defaults", "_ports", "_rule", "_subsets", "_top")

    def __init__(self, rule: RuleView | None, defaults: DefaultTrafficPolicy | None) -> None:
        self._rule = rule
        self._defaults = defaults
        top = None if rule is None or rule.policy_from < 0 else rule.rules[rule.policy_from].spec.traffic_policy
        self._top: TrafficPolicy | None = top
        self._ports = {} if top is None else _by_port(top)
        self._subsets = () if rule is None else tuple([_subset(rule, *where) for where in rule.subsets])

    def subset(self, index: int) -> Subset:
        """A subset as written."""
        return self._subsets[index][0]

    def subset_origin(self, index: int) -> Origin:
        """Where a subset stands."""
        return self._subsets[index][1]

    def subset_index(self, name: str) -> int | None:
        """Index of a subset by its name; -1 for "", None for an unknown one."""
        if not name:
            return -1
        return next((index for index, (subset, _) in enumerate(self._subsets) if subset.name == name), None)

    def passes(self, subset: int) -> bool:
        """Whether the policy written for a subset (-1: for the whole service) itself, not for a port, leaves each
        connection where it was going."""
        policy = self._top if subset < 0 else self._subsets[subset][0].traffic_policy
        return policy is not None and is_passthrough(policy.load_balancer)

    def place(self, port: int, subset: int) -> Place:
        """Which levels speak for a port number and a subset (-1: the whole service)."""
        level = self._ports.get(port, -1) if self._ports else -1
        if subset >= 0:
            overlay = self._subsets[subset][0].traffic_policy
            if overlay is not None:
                return level, subset, _by_port(overlay).get(port, -1)
        return TOP if level < 0 else (level, -1, -1)

    def at(self, place: Place) -> Blocks:
        """The blocks that levels come to."""
        level, subset, overlay_level = place
        base = self._with_defaults(self._base(level))
        overlay = None if subset < 0 else self._subsets[subset][0].traffic_policy
        if overlay is None:
            return base
        origin = self._subsets[subset][1]
        path = f"{origin.path}/trafficPolicy"
        if overlay_level < 0:
            return _over(base, overlay, _at(origin, path))
        return _over_port(
            base, overlay.port_level_settings[overlay_level], _at(origin, f"{path}/portLevelSettings/{overlay_level}")
        )

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
            top.proxy_protocol,
            top.retry_budget,
            top.health_check,
            top.circuit_breaker,
            (_origin(resource, "/spec/trafficPolicy"),),
        )

    def _with_defaults(self, blocks: Blocks) -> Blocks:
        defaults = self._defaults
        if defaults is None:
            return blocks
        pool, outlier = blocks.connection_pool, blocks.outlier_detection
        return msgspec.structs.replace(
            blocks,
            connection_pool=defaults.connection_pool if pool is None else pool,
            outlier_detection=defaults.outlier_detection if outlier is None else outlier,
        )


def _over(base: Blocks, overlay: TrafficPolicy, origin: Origin) -> Blocks:
    """A subset's blocks over the base's."""
    return Blocks(
        base.load_balancer if overlay.load_balancer is None else overlay.load_balancer,
        base.connection_pool if overlay.connection_pool is None else overlay.connection_pool,
        base.outlier_detection if overlay.outlier_detection is None else overlay.outlier_detection,
        base.own_outlier if overlay.outlier_detection is None else overlay.outlier_detection,
        base.tls if overlay.tls is None else overlay.tls,
        base.proxy_protocol if overlay.proxy_protocol is None else overlay.proxy_protocol,
        base.retry_budget if overlay.retry_budget is None else overlay.retry_budget,
        base.health_check if overlay.health_check is None else overlay.health_check,
        base.circuit_breaker if overlay.circuit_breaker is None else overlay.circuit_breaker,
        (origin, *base.origins),
    )


def _over_port(base: Blocks, overlay: PortTrafficPolicy, origin: Origin) -> Blocks:
    """A subset's settings for the port over the base: the four blocks they can hold are theirs, written or not."""
    return Blocks(
        overlay.load_balancer,
        overlay.connection_pool,
        overlay.outlier_detection,
        overlay.outlier_detection,
        overlay.tls,
        base.proxy_protocol,
        base.retry_budget,
        base.health_check,
        base.circuit_breaker,
        (origin, *base.origins),
    )


def _by_port(policy: TrafficPolicy) -> dict[int, int]:
    """Index of the settings for each port number; the first of two holds."""
    settings = policy.port_level_settings
    return {_number(settings[index]): index for index in reversed(range(len(settings)))}


def _number(settings: PortTrafficPolicy) -> int:
    return 0 if settings.port is None else settings.port.number


def _subset(rule: RuleView, owner: int, position: int) -> tuple[Subset, Origin]:
    resource = rule.rules[owner]
    return resource.spec.subsets[position], _origin(resource, f"/spec/subsets/{position}")


def _origin(resource: Resource[DestinationRule], path: str) -> Origin:
    return Origin(resource.kind, resource.namespace, resource.name, path)


def _at(origin: Origin, path: str) -> Origin:
    return Origin(origin.kind, origin.namespace, origin.name, path)
