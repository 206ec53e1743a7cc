"""loadBalancer settings: the algorithm, where the hash comes from, and what a cluster does with localities
(Istio: core/cluster_traffic_policy.go and core/loadbalancer)."""

from __future__ import annotations

from typing import Literal

from roadstead.compile.locality import PREFER_NODE, PREFER_ZONE, Distribution, LocalityPlan
from roadstead.config import (
    ConsistentHashLB,
    Failover,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    ZoneAwareLoadBalancerSetting,
)
from roadstead.config.duration import seconds
from roadstead.mesh import HashKey, LoadBalancer, Warmup
from roadstead.mesh.cluster import ClusterType

Algorithm = Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "RING_HASH", "MAGLEV", "CLUSTER_PROVIDED"]

RING_SIZE = 1024
_SIMPLE: dict[str | None, Algorithm] = {"RANDOM": "RANDOM", "ROUND_ROBIN": "ROUND_ROBIN"}
_WARMS_UP = ("LEAST_REQUEST", "ROUND_ROBIN")


def balancer_of(
    settings: LoadBalancerSettings | None, plan: LocalityPlan, panic_threshold: int | None, kind: ClusterType
) -> LoadBalancer:
    """The balancer of a cluster of that type. Nothing is balanced where the address is the connection's own or is found
    for each request."""
    weighted, zone_aware, zone_size = plan.weighted, plan.zone_aware, plan.min_cluster_size
    if kind == "DYNAMIC_DNS":
        return LoadBalancer("CLUSTER_PROVIDED", None)
    if kind == "ORIGINAL_DST" or settings is None:
        return LoadBalancer(
            "CLUSTER_PROVIDED" if kind == "ORIGINAL_DST" else "LEAST_REQUEST",
            panic_threshold,
            weighted,
            zone_aware=zone_aware,
            zone_min_cluster_size=zone_size,
        )
    policy: Algorithm
    ring_min = table_size = hash_key = None
    hashing = settings.consistent_hash
    if hashing is not None:
        policy, ring_min, table_size = _hash_table(hashing)
        key = hash_key_of(hashing)
        hash_key = None if key is None or key.kind == "nothing" else key
    else:
        policy = _SIMPLE.get(settings.simple, "LEAST_REQUEST")
    return LoadBalancer(
        policy,
        panic_threshold,
        weighted,
        ring_min,
        table_size,
        hash_key,
        _warmup(settings) if policy in _WARMS_UP else None,
        zone_aware,
        zone_size,
    )


def is_passthrough(settings: LoadBalancerSettings | None) -> bool:
    """Whether connections go to the address the caller dialled (simple: PASSTHROUGH)."""
    return settings is not None and settings.consistent_hash is None and settings.simple == "PASSTHROUGH"


def hash_key_of(hashing: ConsistentHashLB) -> HashKey | None:
    """What is hashed; None where no key is written: then the hash algorithm runs without one."""
    if hashing.http_header_name is not None:
        return HashKey("header", hashing.http_header_name)
    cookie = hashing.http_cookie
    if cookie is not None:
        ttl = None if cookie.ttl is None else seconds(cookie.ttl)
        attributes = tuple([(attribute.name, attribute.value) for attribute in cookie.attributes])
        return HashKey("cookie", cookie.name, ttl, cookie.path, attributes)
    if hashing.use_source_ip is not None:
        # `useSourceIp: false` hashes nothing, and Istio says so to Envoy.
        return HashKey("source_ip" if hashing.use_source_ip else "nothing")
    if hashing.http_query_parameter_name is not None:
        return HashKey("query", hashing.http_query_parameter_name)
    return None


def _hash_table(hashing: ConsistentHashLB) -> tuple[Algorithm, int | None, int | None]:
    """(policy, ring_min, table_size). Only the form without a named algorithm spells out Envoy's default ring size."""
    if hashing.maglev is not None:
        return "MAGLEV", None, hashing.maglev.table_size or None
    if hashing.ring_hash is not None:
        return "RING_HASH", hashing.ring_hash.minimum_ring_size or None, None
    return "RING_HASH", hashing.minimum_ring_size or RING_SIZE, None


def _warmup(settings: LoadBalancerSettings) -> Warmup | None:
    warmup = settings.warmup
    if warmup is not None:
        if warmup.duration is None:
            return None
        minimum, aggression = warmup.minimum_percent, warmup.aggression
        return Warmup(
            seconds(warmup.duration), 10.0 if minimum is None else minimum, 1.0 if aggression is None else aggression
        )
    if settings.warmup_duration_secs is not None:
        return Warmup(seconds(settings.warmup_duration_secs), None, None)
    return None


NO_PLAN = LocalityPlan()


def plan_of(
    settings: LoadBalancerSettings | None,
    ejects: bool,
    distribution: str,
    mesh_zone_aware: ZoneAwareLoadBalancerSetting | None,
    mesh_locality: LocalityLoadBalancerSetting | None,
) -> LocalityPlan:
    """The first of: the rule's zone-aware setting, its locality setting, the service's traffic distribution, the mesh's
    two. A setting replaces those after it as a whole; switched off, it leaves nothing.

    ejects: outlier detection is in force, without which endpoints never fail over to another locality.
    distribution: "PreferSameZone", "PreferSameNode" or "".
    """
    if settings is not None:
        if settings.zone_aware_lb_setting is not None:
            return _zone_aware(settings.zone_aware_lb_setting)
        if settings.locality_lb_setting is not None:
            return _by_locality(settings.locality_lb_setting, ejects)
    if distribution:
        labels = PREFER_NODE if distribution == "PreferSameNode" else PREFER_ZONE
        return LocalityPlan(failover_priority=labels, failover_enabled=True)
    if mesh_zone_aware is not None:
        return _zone_aware(mesh_zone_aware)
    if mesh_locality is not None:
        return _by_locality(mesh_locality, ejects)
    return NO_PLAN


def _zone_aware(setting: ZoneAwareLoadBalancerSetting) -> LocalityPlan:
    if setting.enabled is False:
        return NO_PLAN
    return LocalityPlan(
        failover=_pairs(setting.failover),
        failover_priority=setting.failover_priority,
        failover_enabled=True,
        zone_aware=True,
        min_cluster_size=setting.min_cluster_size,
    )


def _by_locality(setting: LocalityLoadBalancerSetting, ejects: bool) -> LocalityPlan:
    if setting.enabled is False:
        return NO_PLAN
    return LocalityPlan(
        distribute=tuple([Distribution(rule.from_, tuple(rule.to.items())) for rule in setting.distribute]),
        failover=_pairs(setting.failover),
        failover_priority=setting.failover_priority,
        failover_enabled=ejects,
    )


def _pairs(failover: tuple[Failover, ...]) -> tuple[tuple[str, str], ...]:
    return tuple([(rule.from_, rule.to) for rule in failover])
