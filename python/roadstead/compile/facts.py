"""Key facts of resources: what selecting needs to know of each, without keeping the resource.

Facts are read once, when a resource arrives. Everything else about it is loaded again where compile touches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from sys import intern
from typing import TypeAlias, cast

import msgspec

from roadstead.compile.endpoints import selectable_labels
from roadstead.compile.filling import MOST_BLANKS, blank, could_be_blank, escaped, filling
from roadstead.compile.virtual_services import delegates_of, gateways_of, hosts_of, spelt_hosts_of
from roadstead.config import (
    DestinationRule,
    Gateway,
    PeerAuthentication,
    Resource,
    ResourceKey,
    ServiceEntry,
    Sidecar,
    Spec,
    TCPRoute,
    TLSRoute,
    VirtualService,
    WorkloadEntry,
    WorkloadGroup,
)
from roadstead.config.forms import Form, Written
from roadstead.config.meta import NOWHERE
from roadstead.host import expand

# (creation time, name, namespace): age, and what decides between resources of one age.
Rank = tuple[float, str, str]
Pairs = tuple[tuple[str, str], ...]

_HEALTH_CHECKED = "proxy.istio.io/health-checks-enabled"
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_SETS: dict[tuple[str, ...], frozenset[str]] = {}


class EntryFacts(msgspec.Struct, frozen=True, gc=False):
    """A ServiceEntry. hosts as written; ports: numbers; selector: of workloads, None without one. written, here and
    below: the document as form and names, if it came like that."""

    key: ResourceKey
    created: float
    namespace: str
    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    export_to: frozenset[str]
    selector: Pairs | None
    written: Written | None = None


class WorkloadFacts(msgspec.Struct, frozen=True, gc=False):
    """A WorkloadEntry. labels: all that selectors compare, sorted."""

    key: ResourceKey
    labels: Pairs
    healthy: bool


class GroupFacts(msgspec.Struct, frozen=True, gc=False):
    """A WorkloadGroup with a probe. labels: those that its workloads are given, sorted."""

    key: ResourceKey
    labels: Pairs


class RuleFacts(msgspec.Struct, frozen=True, gc=False):
    """A DestinationRule. host resolved. subsets: names. selector: None without one; such a rule is private."""

    key: ResourceKey
    rank: tuple[bool, float, str, str]
    namespace: str
    host: str
    export_to: frozenset[str]
    selector: Pairs | None
    subsets: tuple[str, ...]
    has_policy: bool
    written: Written | None = None


class VirtualServiceFacts(msgspec.Struct, frozen=True, gc=False):
    """A VirtualService. hosts resolved and lower case, none: a delegate; spelt: as they are written, where that is
    another thing. gateways: `mesh` or `namespace/name`.

    destinations: (host, port or 0) of routes and mirrors, by the namespaces they are for (() = every client);
    delegates: (namespace, name) it hands rules to."""

    key: ResourceKey
    rank: Rank
    namespace: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    export_to: frozenset[str]
    destinations: tuple[tuple[str, int, tuple[str, ...]], ...]
    delegates: tuple[tuple[str, str], ...]
    spelt: tuple[str, ...] = ()
    written: Written | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Its hosts in the case in which they are written."""
        return self.spelt or self.hosts


RoutingFacts: TypeAlias = EntryFacts | RuleFacts | VirtualServiceFacts


class GatewayFacts(msgspec.Struct, frozen=True, gc=False):
    key: ResourceKey
    rank: Rank
    selector: Pairs


class SidecarFacts(msgspec.Struct, frozen=True, gc=False):
    """A Sidecar; those with a selector come first."""

    key: ResourceKey
    rank: tuple[bool, float, str, str]
    selector: Pairs | None


class PeerFacts(msgspec.Struct, frozen=True, gc=False):
    """A PeerAuthentication. selector (): of a whole namespace. ports: (port of the workload, mode)."""

    key: ResourceKey
    rank: Rank
    mode: str
    selector: Pairs = ()
    ports: tuple[tuple[int, str], ...] = ()


def is_subset(selector: Pairs, labels: Mapping[str, str]) -> bool:
    """Whether the labels carry all of the selector's."""
    return all(labels.get(name) == value for name, value in selector)


def pairs(labels: Mapping[str, str]) -> Pairs:
    """Labels as comparable facts."""
    return tuple(sorted(labels.items()))


def key_of(resource: Resource[Spec]) -> ResourceKey:
    """The key, with the texts that many resources share as one object."""
    metadata = resource.metadata
    return ResourceKey(resource.kind, intern(metadata.namespace), intern(metadata.name))


def entry_facts(resource: Resource[ServiceEntry], key: ResourceKey) -> EntryFacts:
    spec = resource.spec
    selector = spec.workload_selector
    return EntryFacts(
        key,
        resource.creation_time,
        key.namespace,
        tuple([intern(host) for host in spec.hosts]),
        _numbers(tuple([port.number for port in spec.ports])),
        _exported(spec.export_to),
        None if selector is None else pairs(selector.labels),
    )


def workload_facts(resource: Resource[WorkloadEntry], key: ResourceKey) -> WorkloadFacts:
    return WorkloadFacts(key, pairs(selectable_labels(resource)), _is_healthy(resource))


def group_facts(resource: Resource[WorkloadGroup], key: ResourceKey) -> GroupFacts | None:
    """None: without a probe it says nothing about its workloads."""
    spec = resource.spec
    if spec.probe is None:
        return None
    given = {} if spec.template is None else spec.template.labels
    return GroupFacts(key, pairs(given if spec.metadata is None else {**given, **spec.metadata.labels}))


def reports_health(resource: Resource[WorkloadEntry]) -> bool:
    """Whether an agent checks the workload and the entry's status says what it found."""
    return resource.metadata.annotations.get(_HEALTH_CHECKED) in _TRUE


def _is_healthy(resource: Resource[WorkloadEntry]) -> bool:
    """Checked workloads count from their first good report on."""
    if not reports_health(resource):
        return True
    for condition in resource.status.conditions:
        if condition.type == "Healthy":
            return condition.status == "True"
    return False


def rule_facts(resource: Resource[DestinationRule], key: ResourceKey, domain: str) -> RuleFacts:
    spec = resource.spec
    chosen = spec.workload_selector
    selector = None if chosen is None else pairs(chosen.match_labels)
    return RuleFacts(
        key,
        (selector is None, resource.creation_time, key.name, key.namespace),
        key.namespace,
        intern(expand(spec.host, key.namespace, domain)),
        _exported(spec.export_to) if selector is None else _exported((".",)),
        selector,
        _names(tuple([subset.name for subset in spec.subsets])),
        spec.traffic_policy is not None,
    )


def virtual_service_facts(resource: Resource[VirtualService], key: ResourceKey, domain: str) -> VirtualServiceFacts:
    spec, namespace = resource.spec, key.namespace
    hosts, spelt = hosts_of(resource, domain), spelt_hosts_of(resource, domain)
    return VirtualServiceFacts(
        key,
        (resource.creation_time, key.name, namespace),
        namespace,
        tuple(dict.fromkeys([intern(host) for host in hosts])),
        _names(gateways_of(resource)),
        _exported(tuple([namespace if name == "." else name for name in spec.export_to])),
        tuple(dict.fromkeys(_destinations(spec, namespace, domain))),
        delegates_of(resource),
        () if spelt == hosts else spelt,
    )


def _destinations(spec: VirtualService, namespace: str, domain: str) -> Iterable[tuple[str, int, tuple[str, ...]]]:
    """What a VirtualService draws into a client's scope."""
    for rule in spec.http:
        # Istio ignores a rule here as soon as one match names another namespace, whatever its other matches say.
        sources = tuple(dict.fromkeys([match.source_namespace for match in rule.match if match.source_namespace]))
        named = [target.destination for target in rule.route]
        named += [rule.mirror, *[mirror.destination for mirror in rule.mirrors]]
        for destination in named:
            if destination is not None:
                port = 0 if destination.port is None else destination.port.number
                yield intern(expand(destination.host, namespace, domain)), port, sources
    l4: tuple[TLSRoute | TCPRoute, ...] = (*spec.tls, *spec.tcp)
    for target in [target for route in l4 for target in route.route]:
        if target.destination is not None:
            port = 0 if target.destination.port is None else target.destination.port.number
            yield intern(expand(target.destination.host, namespace, domain)), port, ()


def facts_of_form(form: Form, domain: str) -> Callable[[Written], RoutingFacts] | None:
    """Gives the facts of each document of a form; None where its names cannot be told from the rest."""
    if len(form.kinds) > MOST_BLANKS or could_be_blank(form.text):
        return None
    blanks = [escaped(blank(kind, index)) for index, kind in enumerate(form.kinds)]
    resource = form.resource(blanks, NOWHERE)
    facts: RoutingFacts
    if isinstance(resource.spec, ServiceEntry):
        facts = entry_facts(cast("Resource[ServiceEntry]", resource), resource.key)
    elif isinstance(resource.spec, VirtualService):
        facts = virtual_service_facts(cast("Resource[VirtualService]", resource), resource.key, domain)
    else:
        facts = rule_facts(cast("Resource[DestinationRule]", resource), resource.key, domain)
    made = cast("Callable[..., RoutingFacts]", type(facts))
    fill = filling(tuple([getattr(facts, name) for name in facts.__struct_fields__[:-1]]))
    return lambda written: made(*fill(written.names), written)


def gateway_facts(resource: Resource[Gateway], key: ResourceKey) -> GatewayFacts:
    return GatewayFacts(key, (resource.creation_time, resource.name, resource.namespace), pairs(resource.spec.selector))


def sidecar_facts(resource: Resource[Sidecar], key: ResourceKey) -> SidecarFacts:
    chosen = resource.spec.workload_selector
    selector = None if chosen is None else pairs(chosen.labels)
    rank = (selector is None, resource.creation_time, resource.name, resource.namespace)
    return SidecarFacts(key, rank, selector)


def peer_facts(resource: Resource[PeerAuthentication], key: ResourceKey) -> PeerFacts:
    spec = resource.spec
    return PeerFacts(
        key,
        (resource.creation_time, resource.name, resource.namespace),
        "UNSET" if spec.mtls is None else spec.mtls.mode,
        () if spec.selector is None else pairs(spec.selector.match_labels),
        tuple([(port, mtls.mode) for port, mtls in spec.port_level_mtls.items()]),
    )


def _exported(names: tuple[str, ...]) -> frozenset[str]:
    """The same few sets stand in most resources."""
    made = _SETS.get(names)
    if made is None:
        made = frozenset(names)
        if len(_SETS) < 4096:
            _SETS[names] = made
    return made


# Lists of ports and of names that stand in most resources.
@lru_cache(maxsize=1024)
def _numbers(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return numbers


@lru_cache(maxsize=1024)
def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    return names


def order_text(created: float, name: str, namespace: str) -> str:
    """Text that sorts by (creation time, name, namespace)."""
    return f"{int(created):012d}\0{name}\0{namespace}"
