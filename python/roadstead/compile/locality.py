"""Endpoints into locality groups, and the groups' priorities and weights for one client (Istio: core/loadbalancer).

Rules are pairs and tuples of text here, so that nothing depends on the configuration's own types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from roadstead.locality import Locality
from roadstead.locality import parse as parse_locality
from roadstead.mesh import Endpoint, LocalityGroup

MAX_WEIGHT = 0xFFFFFFFF
REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
SUBZONE_LABEL = "topology.istio.io/subzone"
NETWORK_LABEL = "topology.istio.io/network"
CLUSTER_LABEL = "topology.istio.io/cluster"
HOSTNAME_LABEL = "kubernetes.io/hostname"
PREFER_ZONE = (NETWORK_LABEL, REGION_LABEL, ZONE_LABEL)
PREFER_NODE = (NETWORK_LABEL, REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL, HOSTNAME_LABEL)


class Distribution(msgspec.Struct, frozen=True, gc=False):
    """One `distribute` rule: clients in `from_` send the given shares to the localities that each pattern names."""

    from_: str
    to: tuple[tuple[str, int], ...]


class LocalityPlan(msgspec.Struct, frozen=True, gc=False):
    """What a cluster does with localities. failover: pairs (from region, to region). failover_enabled: endpoints
    may get priorities at all. zone_aware: by region instead of by locality (`min_cluster_size` goes to the cluster)."""

    distribute: tuple[Distribution, ...] = ()
    failover: tuple[tuple[str, str], ...] = ()
    failover_priority: tuple[str, ...] = ()
    failover_enabled: bool = False
    zone_aware: bool = False
    min_cluster_size: int | None = None

    @property
    def weighted(self) -> bool:
        """Whether weights of localities count (Envoy: locality_weighted_lb_config)."""
        if self.zone_aware:
            return False
        return bool(self.distribute) or (self.failover_enabled and bool(self.failover or self.failover_priority))


def client_labels(labels: Mapping[str, str], locality: str, network: str, cluster: str) -> dict[str, str]:
    """A workload's labels with its topology in them, as failoverPriority compares them."""
    made = dict(labels)
    where = parse_locality(locality)
    topology = ((REGION_LABEL, where.region), (ZONE_LABEL, where.zone), (SUBZONE_LABEL, where.subzone))
    made.update({name: value for name, value in topology if value})
    if cluster:
        made[CLUSTER_LABEL] = cluster
    if network:
        made.setdefault(NETWORK_LABEL, network)
    return made


def group_endpoints(endpoints: Sequence[Endpoint]) -> tuple[LocalityGroup, ...]:
    """Groups by locality text (and outer priority), in the text's order; priority: the outer one, not yet dense."""
    if not endpoints:
        return ()
    first = endpoints[0]
    locality = first.locality
    if len(endpoints) == 1:
        return (LocalityGroup(locality, first.priority_tier, first.weight, (first,)),)
    groups: dict[tuple[str, int], list[Endpoint]] = {}
    for endpoint in endpoints:
        key = (endpoint.locality, endpoint.priority_tier)
        members = groups.get(key)
        if members is None:
            groups[key] = [endpoint]
        else:
            members.append(endpoint)
    return tuple([_group(key[0], key[1], groups[key]) for key in sorted(groups)])


def _group(locality: str, priority: int, members: list[Endpoint]) -> LocalityGroup:
    weight = 0
    for member in members:
        weight += member.weight
    return LocalityGroup(locality, priority, min(weight, MAX_WEIGHT), tuple(members))


def arrange(
    groups: tuple[LocalityGroup, ...], plan: LocalityPlan | None, client: Locality, labels: Mapping[str, str]
) -> tuple[LocalityGroup, ...]:
    """Priorities and weights of the groups for a client at `client` with augmented `labels`."""
    if plan is not None:
        if plan.zone_aware:
            if plan.failover_priority:
                groups = _by_labels(groups, plan.failover_priority, labels)
            return _by_region(groups, plan.failover, client)
        if plan.distribute:
            groups = _distribute(groups, plan.distribute, client)
        elif plan.failover_enabled:
            if plan.failover_priority:
                groups = _by_labels(groups, plan.failover_priority, labels)
            if plan.failover or not plan.failover_priority:
                return _by_locality(groups, plan.failover, client)
    return _outer(groups)


def _outer(groups: tuple[LocalityGroup, ...]) -> tuple[LocalityGroup, ...]:
    """Groups with their outer priorities alone; mostly there are none."""
    for group in groups:
        if group.priority:
            return _dense(groups, [(group.priority, 0) for group in groups])
    return groups


def _dense(groups: Sequence[LocalityGroup], ranks: Sequence[tuple[int, int]]) -> tuple[LocalityGroup, ...]:
    """Priorities 0..N without gaps, in the order of the ranks; a group whose priority stays, stays the same object."""
    order = {rank: priority for priority, rank in enumerate(sorted(set(ranks)))}
    return tuple(
        [
            group
            if group.priority == (priority := order[rank])
            else LocalityGroup(group.locality, priority, group.weight, group.endpoints)
            for group, rank in zip(groups, ranks, strict=True)
        ]
    )


def _target(failover: Iterable[tuple[str, str]], region: str) -> str | None:
    for source, target in failover:
        if source == region:
            return target
    return None


def _by_locality(
    groups: tuple[LocalityGroup, ...], failover: tuple[tuple[str, str], ...], client: Locality
) -> tuple[LocalityGroup, ...]:
    if len(groups) == 1:
        return groups if groups[0].priority == 0 else _dense(groups, [(0, 0)])
    target = _target(failover, client.region)
    return _dense(groups, [(group.priority, _distance(client, group.locality, target)) for group in groups])


@lru_cache(maxsize=4096)
def _distance(client: Locality, locality: str, target: str | None) -> int:
    """0 the same locality, 1 zone, 2 region; 3 the region that is next, or any where none is named; 4 the rest."""
    there = parse_locality(locality)
    if client.region != there.region:
        return 3 if target is None or there.region == target else 4
    if client.zone != there.zone:
        return 2
    return 0 if client.subzone == there.subzone else 1


def _by_region(
    groups: tuple[LocalityGroup, ...], failover: tuple[tuple[str, str], ...], client: Locality
) -> tuple[LocalityGroup, ...]:
    target = _target(failover, client.region)
    ranks = []
    for group in groups:
        region = parse_locality(group.locality).region
        bucket = 0 if region == client.region else 1 if region == target else 2
        ranks.append((group.priority, bucket))
    return _dense(groups, ranks)


def _by_labels(
    groups: tuple[LocalityGroup, ...], wanted: tuple[str, ...], labels: Mapping[str, str]
) -> tuple[LocalityGroup, ...]:
    """Groups split by how many of the labels agree with the client's; order: group, then priority."""
    if not labels:
        return _dense(groups, [(group.priority, 0) for group in groups])
    keys, given = _overrides(wanted)
    asked = [(key, given.get(key, labels.get(key, ""))) for key in keys]
    split: list[LocalityGroup] = []
    ranks: list[tuple[int, int]] = []
    for group in groups:
        buckets: dict[int, list[Endpoint]] = {}
        for endpoint in group.endpoints:
            buckets.setdefault(_label_rank(asked, endpoint.labels), []).append(endpoint)
        for rank in sorted(buckets):
            split.append(_group(group.locality, group.priority, buckets[rank]))
            ranks.append((group.priority, rank))
    return _dense(split, ranks)


def _overrides(wanted: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    keys, given = [], {}
    for text in wanted:
        parts = text.split("=")
        keys.append(parts[0])
        if len(parts) == 2:
            given[parts[0]] = parts[1]
    return keys, given


def _label_rank(asked: list[tuple[str, str]], labels: Mapping[str, str]) -> int:
    extra = 0
    for position, (key, value) in enumerate(asked):
        if labels.get(key, "") == value:
            continue
        # Another network does not end the comparison, it moves the endpoint behind all of the client's own.
        if position == 0 and key == NETWORK_LABEL:
            extra = len(asked)
            continue
        return extra + len(asked) - position
    return extra


def _distribute(
    groups: tuple[LocalityGroup, ...], rules: tuple[Distribution, ...], client: Locality
) -> tuple[LocalityGroup, ...]:
    for rule in rules:
        if matches(client, rule.from_):
            return _shares(groups, rule.to)
    return groups


def matches(locality: Locality, pattern: str) -> bool:
    """Whether a locality is covered by `region/zone/subzone` with `*` and missing parts as wildcards."""
    wanted = parse_locality(pattern)
    return (
        wanted.region in ("*", locality.region)
        and wanted.zone in ("*", "", locality.zone)
        and wanted.subzone in ("*", "", locality.subzone)
    )


def _specificity(pattern: str) -> tuple[int, str]:
    parts = parse_locality(pattern)
    return -sum(part not in ("", "*") for part in (parts.region, parts.zone, parts.subzone)), pattern


def _shares(groups: tuple[LocalityGroup, ...], to: tuple[tuple[str, int], ...]) -> tuple[LocalityGroup, ...]:
    weights: dict[int, int] = {}
    # Istio walks a map here; the most specific pattern first is one of its orders and always the same.
    for pattern, share in sorted(to, key=lambda item: _specificity(item[0])):
        hit = [
            index
            for index, group in enumerate(groups)
            if index not in weights and matches(parse_locality(group.locality), pattern)
        ]
        total = sum(groups[index].weight for index in hit)
        for index in hit:
            weight = groups[index].weight
            weights[index] = -(-weight * share // total) if share and weight else weight
    return tuple(
        [
            LocalityGroup(group.locality, group.priority, weights[index], group.endpoints)
            if index in weights
            else LocalityGroup(group.locality, group.priority, group.weight, ())
            for index, group in enumerate(groups)
        ]
    )
