"""The policies of clusters in Envoy's terms, each made once for a view (Istio: cluster_traffic_policy.go)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from roadstead.compile.blocks import Blocks, Place, RuleBlocks
from roadstead.compile.connection_pool import (
    ProtocolClass,
    ejection_of,
    health_check_of,
    keepalive_of,
    pool_of,
    protocol_class,
    upstream_protocol,
)
from roadstead.compile.inputs import Env, RuleView
from roadstead.compile.load_balancer import balancer_of, is_passthrough, plan_of
from roadstead.compile.locality import LocalityPlan
from roadstead.compile.services import ip_family
from roadstead.config import ClientTLSSettings
from roadstead.config import HealthCheck as HealthCheckSettings
from roadstead.config.duration import seconds
from roadstead.mesh import ClusterPolicy, HealthCheck, OutlierDetection, Port
from roadstead.mesh.cluster import ClusterType, UpstreamProtocol

PROVIDED = ("ORIGINAL_DST", "DYNAMIC_DNS")
"""Types of clusters whose addresses are not ours to choose."""


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A policy and what else follows from its blocks. plan: of EDS clusters; dns_plan: of DNS clusters, where also the
    mesh's default outlierDetection counts. mtls: what a rule's tls says for all endpoints, None without one."""

    type: ClusterType
    policy: ClusterPolicy
    plan: LocalityPlan
    dns_plan: LocalityPlan
    tls: ClientTLSSettings | None = None
    mtls: bool | None = None


class RulePolicies:
    """The policies of one rule, or of no rule."""

    __slots__ = ("_settled", "_table", "blocks")

    def __init__(self, table: PolicyTable, rule: RuleView | None) -> None:
        self.blocks = table.blocks(rule)
        self._table = table
        self._settled: dict[tuple[Place, ProtocolClass, ClusterType, str], Settled] = {}

    def settled(self, port: Port, subset: int, declared: ClusterType, distribution: str) -> Settled:
        """The policy for a port and a subset (-1: the whole service) of a service.

        declared: the type its resolution asks for; distribution: its traffic distribution.
        """
        place = self.blocks.place(port.number, subset)
        protocol = protocol_class(port.protocol, self._table.upgrades, self._table.keeps_case)
        key = (place, protocol, declared, distribution)
        made = self._settled.get(key)
        if made is None:
            made = self._table.settle(self.blocks.at(place), protocol, declared, distribution)
            self._settled[key] = made
        return made


class PolicyTable:
    """What MeshConfig and the client contribute to every policy, read once, and the policies made so far.

    Equal policies are one object, also across hosts, so that whoever lowers or compares them can go by identity.
    """

    __slots__ = (
        "_bare",
        "_connect_timeout",
        "_defaults",
        "_intern",
        "_keepalive",
        "_locality",
        "_zone_aware",
        "dns_family",
        "keeps_case",
        "sidecar",
        "upgrades",
    )

    def __init__(self, env: Env) -> None:
        mesh = env.mesh
        self._connect_timeout = seconds(mesh.connect_timeout)
        self._keepalive = keepalive_of(mesh.tcp_keepalive, None)
        self.upgrades = mesh.h2_upgrade_policy == "UPGRADE"
        self.keeps_case = bool(env.proxy_headers.preserve_http1_header_case)
        self._defaults = mesh.default_traffic_policy
        self._locality = mesh.locality_lb_setting
        self._zone_aware = mesh.zone_aware_lb_setting
        self.sidecar = env.node.type == "sidecar"
        self.dns_family = _dns_family(env)
        self._intern: Callable[[ClusterPolicy], ClusterPolicy] = lru_cache(maxsize=512)(_same)
        self._bare = RulePolicies(self, None)

    def of(self, rule: RuleView | None) -> RulePolicies:
        """The policies of a rule; those without one are kept for all hosts."""
        return self._bare if rule is None else RulePolicies(self, rule)

    def blocks(self, rule: RuleView | None) -> RuleBlocks:
        """What a rule says, and the mesh where it says nothing."""
        return RuleBlocks(rule, self._defaults)

    def settle(self, blocks: Blocks, protocol: ProtocolClass, declared: ClusterType, distribution: str) -> Settled:
        """Translate blocks; see `RulePolicies.settled`."""
        passing = declared not in PROVIDED and is_passthrough(blocks.load_balancer)
        kind: ClusterType = "ORIGINAL_DST" if passing else declared
        ejection = ejection_of(blocks.outlier_detection, blocks.circuit_breaker)
        dns_plan = self._plan(blocks, ejection is not None, distribution)
        own = blocks.own_outlier is not None or blocks.circuit_breaker is not None
        plan = dns_plan if own == (ejection is not None) else self._plan(blocks, own, distribution)
        spoken = upstream_protocol(protocol, blocks.connection_pool, self.sidecar)
        cased = self.keeps_case and protocol in ("http", "upgraded", "sniffed")
        if cased and spoken == "http2":
            # Istio has said HTTP/1 by then, so that nothing upgrades it.
            spoken = "http1"
        pool = pool_of(
            blocks.connection_pool,
            blocks.retry_budget,
            spoken,
            self._connect_timeout,
            self._keepalive,
            cased,
            "" if blocks.proxy_protocol is None else blocks.proxy_protocol.version,
        )
        policy = ClusterPolicy(
            pool,
            balancer_of(blocks.load_balancer, dns_plan, _panic_threshold(ejection, distribution), kind),
            ejection,
            _health_checks(blocks.health_check, spoken),
            blocks.origins,
        )
        tls = blocks.tls
        mtls = None if tls is None else tls.mode == "ISTIO_MUTUAL"
        return Settled(kind, self._intern(policy), plan, dns_plan, tls, mtls)

    def _plan(self, blocks: Blocks, ejects: bool, distribution: str) -> LocalityPlan:
        return plan_of(blocks.load_balancer, ejects, distribution, self._zone_aware, self._locality)


def _panic_threshold(ejection: OutlierDetection | None, distribution: str) -> int | None:
    """Istio switches panic off unless minHealthPercent asks for it; a negative one leaves it to Envoy. A service with a
    traffic distribution is sent its unhealthy endpoints too, hence never panics."""
    if ejection is None or distribution:
        return 0
    return ejection.min_health_percent if ejection.min_health_percent >= 0 else None


def _health_checks(written: HealthCheckSettings | None, spoken: UpstreamProtocol) -> tuple[HealthCheck, ...]:
    """A call needs HTTP/2: ports that do not speak it have no such check (Envoy refuses a cluster with one)."""
    if written is None or (written.grpc is not None and spoken == "http1"):
        return ()
    return (health_check_of(written),)


def _dns_family(env: Env) -> str:
    """Families a client looks names up in: IPv6 only for one that has nothing else."""
    families = {ip_family(ip) for ip in env.node.ips}
    return "V6_ONLY" if 6 in families and 4 not in families else "V4_ONLY"


def _same(policy: ClusterPolicy) -> ClusterPolicy:
    return policy
