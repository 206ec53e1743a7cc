"""What is known of all resources, whoever the client is: key facts, kept up to date one resource at a time.

Resources themselves are not here. `put` and `delete` note what the change touches (`Touch`); which hosts of which
client that means is worked out by `compile.touch`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from sys import intern
from typing import Protocol, TypeVar

from roadstead.compile import facts as f
from roadstead.compile.patterns import HostTable
from roadstead.compile.touch import PortPlace, Touch, group_token, workload_tokens
from roadstead.config import (
    DestinationRule,
    Gateway,
    PeerAuthentication,
    Resource,
    ResourceKey,
    ServiceEntry,
    Sidecar,
    Spec,
    VirtualService,
    WorkloadEntry,
    WorkloadGroup,
)
from roadstead.config.forms import Form, Written

DOMAIN = "cluster.local"


class _Ranked(Protocol):
    @property
    def key(self) -> ResourceKey: ...
    @property
    def rank(self) -> tuple[bool, float, str, str] | tuple[float, str, str]: ...


F = TypeVar("F", bound=_Ranked)


class Index:
    """Facts by what they are looked up by. domain: the suffix that short names get.

    services: ServiceEntries by host in lower case, oldest first. workloads: by namespace, in order of name. groups:
    WorkloadGroups with a probe by namespace, in order of name. roots:
    VirtualServices by host. importers: VirtualServices by destination host. rules: by namespace, then host."""

    def __init__(self, domain: str = DOMAIN) -> None:
        self.domain = domain
        self.services: HostTable[tuple[f.EntryFacts, ...]] = HostTable()
        self.workloads: dict[str, dict[ResourceKey, f.WorkloadFacts]] = {}
        self.groups: dict[str, tuple[f.GroupFacts, ...]] = {}
        self.roots: HostTable[tuple[f.VirtualServiceFacts, ...]] = HostTable()
        self.importers: dict[str, tuple[f.VirtualServiceFacts, ...]] = {}
        self.rules: dict[str, HostTable[tuple[f.RuleFacts, ...]]] = {}
        self.gateways: list[f.GatewayFacts] = []
        self.sidecars: dict[str, list[f.SidecarFacts]] = {}
        self.peers: dict[str, list[f.PeerFacts]] = {}
        self._entries: dict[ResourceKey, f.EntryFacts] = {}
        self._virtual_services: dict[ResourceKey, f.VirtualServiceFacts] = {}
        self._rules: dict[ResourceKey, f.RuleFacts] = {}
        self._delegators: dict[tuple[str, str], set[ResourceKey]] = {}
        self._ports: dict[int, list[PortPlace]] | None = None
        self._forms: dict[Form, Callable[[Written], f.RoutingFacts] | None] = {}

    # Reading

    def on_port(self, port: int) -> Sequence[PortPlace]:
        """Services with that port, oldest first: (creation time, host in lower case), once for each ServiceEntry."""
        if self._ports is None:
            self._ports = {}
            for fact in self._entries.values():
                for number, place in _places(fact):
                    self._ports.setdefault(number, []).append(place)
            for places in self._ports.values():
                places.sort()
        return self._ports.get(port, ())

    def literals(self, host: str) -> list[str]:
        """The spellings of a lower-case service host."""
        entries = self.services.get(host)
        if entries is None:
            return []
        if len(entries) == 1 and len(entries[0].hosts) == 1:
            return list(entries[0].hosts)
        return list(dict.fromkeys([text for fact in entries for text in fact.hosts if text.lower() == host]))

    def virtual_service(self, key: ResourceKey) -> f.VirtualServiceFacts | None:
        return self._virtual_services.get(key)

    def gateway_virtual_services(self) -> Iterator[f.VirtualServiceFacts]:
        """Roots, oldest first."""
        return iter(
            sorted([fact for fact in self._virtual_services.values() if fact.hosts], key=lambda fact: fact.rank)
        )

    # Changing

    def put(self, resource: Resource[Spec], touch: Touch | None = None, key: ResourceKey | None = None) -> None:
        """Add or replace a resource, and note what that touches. key: the object that is kept as its key."""
        touch = Touch() if touch is None else touch
        key, spec = f.key_of(resource) if key is None else key, resource.spec
        if isinstance(spec, ServiceEntry):
            self._put(f.entry_facts(resource, key), touch)  # type: ignore[arg-type]
        elif isinstance(spec, VirtualService):
            self._put(f.virtual_service_facts(resource, key, self.domain), touch)  # type: ignore[arg-type]
        elif isinstance(spec, DestinationRule):
            self._put(f.rule_facts(resource, key, self.domain), touch)  # type: ignore[arg-type]
        elif isinstance(spec, WorkloadEntry):
            self._forget_workload(key, touch)
            self._add_workload(f.workload_facts(resource, key), touch)  # type: ignore[arg-type]
        elif isinstance(spec, WorkloadGroup):
            self._forget_group(key, touch)
            self._add_group(f.group_facts(resource, key), touch)  # type: ignore[arg-type]
        elif isinstance(spec, Sidecar):
            _replace(self.sidecars, key, f.sidecar_facts(resource, key))  # type: ignore[arg-type]
            touch.sidecars.add(key.namespace)
        elif isinstance(spec, Gateway):
            self.gateways = _ranked([*_others(self.gateways, key), f.gateway_facts(resource, key)])  # type: ignore[arg-type]
            touch.gateways = True
        elif isinstance(spec, PeerAuthentication):
            _replace(self.peers, key, f.peer_facts(resource, key))  # type: ignore[arg-type]
            touch.peers.add(key.namespace)

    def put_written(self, written: Written, touch: Touch) -> ResourceKey:
        """The same for a document that is known as form and names; its key."""
        form = written.form
        if form not in self._forms:
            self._forms[form] = f.facts_of_form(form, self.domain)
        make = self._forms[form]
        if make is None:
            resource = written.resource()
            self.put(resource, touch)
            return resource.key
        facts = make(written)
        self._put(facts, touch)
        return facts.key

    def _put(self, facts: f.RoutingFacts, touch: Touch) -> None:
        if isinstance(facts, f.EntryFacts):
            self._forget_entry(facts.key, touch)
            self._add_entry(facts, touch)
        elif isinstance(facts, f.RuleFacts):
            self._forget_rule(facts.key, touch)
            self._add_rule(facts, touch)
        else:
            self._forget_virtual_service(facts.key, touch)
            self._add_virtual_service(facts, touch)

    def delete(self, key: ResourceKey, touch: Touch) -> None:
        """Remove a resource, and note what that touches; nothing happens where it is not there."""
        forget = self._forgetters().get(key.kind)
        if forget is not None:
            forget(key, touch)

    def _forgetters(self) -> dict[str, Callable[[ResourceKey, Touch], None]]:
        return {
            "ServiceEntry": self._forget_entry,
            "VirtualService": self._forget_virtual_service,
            "DestinationRule": self._forget_rule,
            "WorkloadEntry": self._forget_workload,
            "WorkloadGroup": self._forget_group,
            "Sidecar": self._forget_sidecar,
            "Gateway": self._forget_gateway,
            "PeerAuthentication": self._forget_peer,
        }

    # ServiceEntry

    def _add_entry(self, fact: f.EntryFacts, touch: Touch) -> None:
        self._entries[fact.key] = fact
        for host in _folded(fact.hosts):
            known = self.services.get(host)
            self.services.put(host, (fact,) if known is None else _aged((*known, fact)))
        if touch.everything and self._ports is None:
            return
        touch.hosts.update(fact.hosts)
        touch.ports.update(_places(fact))
        if self._ports is not None:
            for port, place in _places(fact):
                insort(self._ports.setdefault(port, []), place)

    def _forget_entry(self, key: ResourceKey, touch: Touch) -> None:
        old = self._entries.pop(key, None)
        if old is None:
            return
        for host in _folded(old.hosts):
            left = tuple([fact for fact in self.services.get(host) or () if fact.key != key])
            if left:
                self.services.put(host, left)
            else:
                self.services.pop(host)
        touch.hosts.update(old.hosts)
        touch.ports.update(_places(old))
        if self._ports is not None:
            for port, place in _places(old):
                places = self._ports[port]
                del places[bisect_left(places, place)]

    # WorkloadEntry

    def _add_workload(self, fact: f.WorkloadFacts, touch: Touch) -> None:
        self.workloads.setdefault(fact.key.namespace, {})[fact.key] = fact
        touch.tokens.update(workload_tokens(fact.key.namespace, fact.labels))

    def _forget_workload(self, key: ResourceKey, touch: Touch) -> None:
        known = self.workloads.get(key.namespace)
        old = None if known is None else known.pop(key, None)
        if old is not None:
            touch.tokens.update(workload_tokens(key.namespace, old.labels))

    # WorkloadGroup

    def _add_group(self, fact: f.GroupFacts | None, touch: Touch) -> None:
        if fact is not None:
            namespace = fact.key.namespace
            self.groups[namespace] = tuple(sorted((*self.groups.get(namespace, ()), fact), key=lambda one: one.key))
            touch.tokens.add(group_token(namespace))

    def _forget_group(self, key: ResourceKey, touch: Touch) -> None:
        known = self.groups.get(key.namespace, ())
        left = tuple([fact for fact in known if fact.key != key])
        if len(left) < len(known):
            touch.tokens.add(group_token(key.namespace))
            self.groups[key.namespace] = left
            if not left:
                del self.groups[key.namespace]

    # VirtualService

    def _add_virtual_service(self, fact: f.VirtualServiceFacts, touch: Touch) -> None:
        self._virtual_services[fact.key] = fact
        for host in fact.hosts:
            known = self.roots.get(host)
            self.roots.put(host, (fact,) if known is None else tuple(_ranked([*known, fact])))
        for host in {destination[0] for destination in fact.destinations}:
            known = self.importers.get(host)
            self.importers[host] = (fact,) if known is None else (*known, fact)
        for delegate in fact.delegates:
            self._delegators.setdefault(delegate, set()).add(fact.key)
        self._touch_virtual_service(fact, touch)

    def _forget_virtual_service(self, key: ResourceKey, touch: Touch) -> None:
        old = self._virtual_services.pop(key, None)
        if old is None:
            return
        for host in old.hosts:
            left = tuple([fact for fact in self.roots.get(host) or () if fact.key != key])
            if left:
                self.roots.put(host, left)
            else:
                self.roots.pop(host)
        for host in {destination[0] for destination in old.destinations}:
            left = tuple([fact for fact in self.importers.get(host) or () if fact.key != key])
            if left:
                self.importers[host] = left
            else:
                self.importers.pop(host, None)
        for delegate in old.delegates:
            self._delegators[delegate].discard(key)
        self._touch_virtual_service(old, touch)

    def _touch_virtual_service(self, fact: f.VirtualServiceFacts, touch: Touch) -> None:
        """A VirtualService, and the roots it is a delegate of."""
        if touch.everything:
            return
        touch.routed.update(fact.hosts)
        touch.targets.update(destination[0] for destination in fact.destinations)
        for namespace, name in fact.delegates:
            delegate = self._virtual_services.get(ResourceKey("VirtualService", namespace, name))
            if delegate is not None:
                touch.targets.update(destination[0] for destination in delegate.destinations)
        for key in self.delegators(fact):
            root = self._virtual_services.get(key)
            if root is not None:
                touch.routed.update(root.hosts)

    def delegators(self, fact: f.VirtualServiceFacts) -> Iterable[ResourceKey]:
        """Keys of the VirtualServices that hand rules to this one."""
        return self._delegators.get((fact.namespace, fact.key.name), ())

    # DestinationRule

    def _add_rule(self, fact: f.RuleFacts, touch: Touch) -> None:
        self._rules[fact.key] = fact
        table = self.rules.get(fact.namespace)
        if table is None:
            table = self.rules[fact.namespace] = HostTable()
        table.put(fact.host, (*(table.get(fact.host) or ()), fact))
        if not touch.everything:
            touch.ruled.add(fact.host)

    def _forget_rule(self, key: ResourceKey, touch: Touch) -> None:
        old = self._rules.pop(key, None)
        if old is None:
            return
        table = self.rules[old.namespace]
        left = tuple([fact for fact in table.get(old.host) or () if fact.key != key])
        if left:
            table.put(old.host, left)
        else:
            table.pop(old.host)
        touch.ruled.add(old.host)

    # Sidecar, Gateway, PeerAuthentication

    def _forget_sidecar(self, key: ResourceKey, touch: Touch) -> None:
        _replace(self.sidecars, key, None)
        touch.sidecars.add(key.namespace)

    def _forget_gateway(self, key: ResourceKey, touch: Touch) -> None:
        self.gateways = _others(self.gateways, key)
        touch.gateways = True

    def _forget_peer(self, key: ResourceKey, touch: Touch) -> None:
        _replace(self.peers, key, None)
        touch.peers.add(key.namespace)


def _places(fact: f.EntryFacts) -> list[tuple[int, PortPlace]]:
    """(port, place among the services with it) of each port and host of an entry."""
    return [(port, (fact.created, host)) for host in _folded(fact.hosts) for port in dict.fromkeys(fact.ports)]


def _folded(hosts: Sequence[str]) -> list[str]:
    if len(hosts) == 1:
        return [intern(hosts[0].lower())]
    return list(dict.fromkeys([intern(host.lower()) for host in hosts]))


def _aged(entries: Iterable[f.EntryFacts]) -> tuple[f.EntryFacts, ...]:
    """Istio's order of services of one host: creation time, namespace, object name."""
    return tuple(sorted(entries, key=lambda fact: (fact.created, fact.namespace, fact.key.name)))


def _ranked(facts: Iterable[F]) -> list[F]:
    return sorted(facts, key=lambda fact: fact.rank)


def _others(facts: Iterable[F], key: ResourceKey) -> list[F]:
    return [fact for fact in facts if fact.key != key]


def _replace(table: dict[str, list[F]], key: ResourceKey, fact: F | None) -> None:
    left = _others(table.get(key.namespace, ()), key)
    if fact is not None:
        left = _ranked([*left, fact])
    if left:
        table[key.namespace] = left
    else:
        table.pop(key.namespace, None)
