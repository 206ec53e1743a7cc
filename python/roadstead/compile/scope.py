"""What one client sees of all resources: it satisfies `inputs.Scope` over an `Index`.

While a unit is compiled (`reading`), every question about another host than the unit's own is noted, so that a change
finds the units it touches (`touch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, cast

from roadstead.compile import touch
from roadstead.compile.egress import Egress, egress_of, selected
from roadstead.compile.facts import EntryFacts, RuleFacts, VirtualServiceFacts, is_subset, order_text, pairs
from roadstead.compile.index import Index
from roadstead.compile.inputs import Env, HostView, Load, RuleView
from roadstead.compile.on_port import OnPort
from roadstead.compile.peer_authentication import PeerModes, peer_modes
from roadstead.compile.pick import Drawn, Pick, drawn_from, oldest, ports_of_all
from roadstead.compile.proxy import http_port, proxy_of
from roadstead.compile.rules import RuleEntry, chosen, merged
from roadstead.compile.services import merge, services_of, trimmed
from roadstead.compile.virtual_services import MESH, PreparedVirtualService, prepare
from roadstead.compile.visibility import EVERYTHING, PUBLIC, EgressListener, Exports, listeners_of, sidecar_for
from roadstead.compile.workload_groups import probe_of
from roadstead.config import (
    DestinationRule,
    Gateway,
    Resource,
    ResourceKey,
    ServiceEntry,
    Sidecar,
    VirtualService,
    WorkloadEntry,
)
from roadstead.mesh import Port, Proxy, Service, WorkloadProbe, cluster_name

Outbound = Literal["ALLOW_ANY", "REGISTRY_ONLY", "GATEWAY"]
_NO_PEERS = PeerModes()
# A place after every egress listener.
_LAST = 999
# Views and prepared VirtualServices kept at hand: what neighbouring units ask for again.
_KEPT = 512


class ClientScope:
    """The scope of one client. Caches live until `changed`."""

    def __init__(self, env: Env, index: Index, load: Load) -> None:
        self.env = env
        self._index = index
        self._load = load
        self._exports = Exports(env.mesh)
        self._namespace = env.node.namespace
        self._router = env.node.type == "router"
        self._views: dict[str, HostView | None] = {}
        self._rules: dict[tuple[str, str], RuleView | None] = {}
        self._routed: dict[tuple[str, str], Sequence[PreparedVirtualService]] = {}
        self._prepared: dict[ResourceKey, PreparedVirtualService | None] = {}
        # The unit under compilation, as written and in lower case.
        self._own = ""
        self._unit = ""
        self._notes: set[str] = set()
        self._ports_read: dict[int, touch.PortPlace | None] = {}
        self._sidecar: Resource[Sidecar] | None = None
        self._egress = Egress()
        self._choose_sidecar()

    # Changes

    @property
    def index(self) -> Index:
        return self._index

    @property
    def sidecar(self) -> Resource[Sidecar] | None:
        """The Sidecar in force for this client."""
        return self._sidecar

    def with_env(self, env: Env) -> ClientScope:
        """The same client's scope under other mesh-wide settings."""
        return ClientScope(env, self._index, self._load)

    def changed(self, what: touch.Touch) -> bool:
        """Forget what a change may have made stale; True where every unit of this client has to be made again."""
        self.forget()
        everything = what.everything
        if what.sidecars & {self._namespace, self.env.mesh.root_namespace} and not self._router:
            before = self._sidecar
            self._choose_sidecar()
            everything = everything or before != self._sidecar
        return everything

    def forget(self) -> None:
        """Give up what is only kept at hand."""
        for kept in (self._views, self._rules, self._routed, self._prepared):
            kept.clear()

    def _choose_sidecar(self) -> None:
        self._sidecar = None
        listeners: tuple[EgressListener, ...] = ()
        if not self._router:
            sidecars = self._index.sidecars
            own = sidecars.get(self._namespace, ())
            root = sidecars.get(self.env.mesh.root_namespace, ())
            fact = sidecar_for(own, root, self.env.node.labels)
            if fact is not None:
                self._sidecar = cast("Resource[Sidecar]", self._load(fact.key))
                listeners = listeners_of(self._sidecar.spec, self._namespace)
        self._egress = egress_of(listeners, own_proxy=http_port(self.env) != 0)

    def reading(self, unit: str) -> None:
        """Start noting what the unit of that key reads."""
        self._own = unit
        self._unit = unit.lower()
        self._notes = set()
        self._ports_read = {}

    def notes(self) -> tuple[set[str], dict[int, touch.PortPlace | None]]:
        """What was read since `reading`: tokens, and how far among the services of each port (None: to the end)."""
        return self._notes, self._ports_read

    # Services

    def view(self, host: str) -> HostView | None:
        """The services of that very host."""
        folded = self._note_host(host)
        known = self._views.get(host)
        if known is not None:
            return known
        entries = self._index.services.get(folded)
        view = None if entries is None else self._view(host, entries)
        if view is not None:
            if len(self._views) >= _KEPT:
                self._views.clear()
            self._views[host] = view
        return view

    def service_of(self, host: str, namespace: str) -> Service | None:
        """The oldest service of that very host in a namespace, if the client sees it."""
        for fact in self._index.services.get(self._note_host(host)) or ():
            if fact.namespace == namespace and host in fact.hosts:
                seen = self._exports.service(fact, self._namespace) is not None
                return next(iter(self._services((fact,), host)), None) if seen else None
        return None

    def _note_host(self, host: str) -> str:
        if host == self._own:
            return self._unit
        folded = host.lower()
        if folded != self._unit:
            self._notes.add(touch.host_token(folded))
        return folded

    def _view(self, host: str, entries: tuple[EntryFacts, ...]) -> HostView | None:
        pick = self._pick(host, entries)
        if pick is None:
            return None
        if len(entries) == 1 and pick.entries and pick.ports is None:
            entry = cast("Resource[ServiceEntry]", self._load(entries[0].key))
            made = services_of(entry, self.env)
            if len(entries[0].hosts) > 1:
                made = tuple([service for service in made if service.host == host])
            if not made:
                return None
            return HostView(host, entry.namespace, made, merge(made), (entry,), pick.imported, pick.listeners)
        namespace = pick.entries[0].namespace if pick.entries else pick.drawn[0][0].namespace
        loaded = {
            fact.key: cast("Resource[ServiceEntry]", self._load(fact.key))
            for fact in entries
            # Endpoints come from all entries of the namespace, also from those that the client does not see.
            if fact.namespace == namespace and host in fact.hosts
        }
        heard = self._trimmed(pick.entries, host, pick.ports)
        owned = heard
        for fact, wanted in pick.drawn:
            owned += self._trimmed((fact,), host, wanted)
        if not owned:
            return None
        for facts, ports in pick.others:
            heard += self._trimmed(facts, host, ports)
        return HostView(
            host,
            namespace,
            owned if pick.imported else heard,
            merge(owned),
            tuple(loaded.values()),
            pick.imported,
            pick.listeners,
            pick.unrouted,
        )

    def _trimmed(self, facts: Sequence[EntryFacts], host: str, ports: tuple[int, ...] | None) -> tuple[Service, ...]:
        services = tuple(self._services(facts, host))
        return services if ports is None else trimmed(services, ports)

    def _services(self, facts: Sequence[EntryFacts], host: str) -> list[Service]:
        return [
            service
            for fact in facts
            for service in services_of(cast("Resource[ServiceEntry]", self._load(fact.key)), self.env)
            if service.host == host
        ]

    def _pick(self, host: str, entries: tuple[EntryFacts, ...]) -> Pick | None:
        """Which entries of a host this client gets."""
        seen = self._seen(host, entries)
        if not self._egress.listeners:
            if seen:
                return Pick(self._one_namespace(seen))
            drawn_in = None if self._router else self._drawn_in(host, entries, EVERYTHING)
            return None if drawn_in is None else Pick((), True, drawn=(drawn_in,))
        found: tuple[EntryFacts, ...] = ()
        ports: dict[int, None] = {}
        routed: set[int] = set()
        others: list[tuple[tuple[EntryFacts, ...], tuple[int, ...]]] = []
        drawn: list[Drawn] = []
        listeners: list[int] = []
        # One namespace has the host's clusters: that of the first listener that imports it.
        owner = ""
        for place, listener in enumerate(self._egress.listeners):
            taken = [fact for fact in seen if listener.service(fact.namespace, host)]
            if listener.exact and len(entries) > 1:
                firsts = {fact.namespace: fact for fact in reversed(entries) if host in fact.hosts}
                taken = oldest([fact for fact in taken if firsts[fact.namespace] is fact])
            if listener.port:
                taken = [fact for fact in taken if listener.port in fact.ports]
            if taken:
                listeners.append(place)
                mine = self._one_namespace(taken)
                numbers = [listener.port] if listener.port else ports_of_all(mine)
                routed.update([number for number in numbers if listener.port or number not in self._egress.locked])
                owner = owner or mine[0].namespace
                if mine[0].namespace == owner:
                    found = tuple(dict.fromkeys((*found, *mine)))
                    ports.update(dict.fromkeys(numbers))
                else:
                    others.append((mine, tuple(numbers)))
            drawn_in = self._drawn_in(host, entries, listener)
            if drawn_in is not None:
                owner = owner or drawn_in[0].namespace
                if drawn_in[0].namespace == owner:
                    drawn.append(drawn_in)
        if not listeners:
            return Pick((), True, drawn=tuple(drawn)) if drawn else None
        places = tuple(listeners) if len(self._egress.listeners) > 1 else ()
        if not self._egress.locked:
            # Every port of what is taken is there already.
            return Pick(found, others=tuple(others), listeners=places, drawn=() if found else tuple(drawn))
        return Pick(found, False, tuple(ports), tuple(others), places, self._egress.locked - routed, tuple(drawn))

    def _seen(self, host: str, entries: tuple[EntryFacts, ...]) -> list[EntryFacts]:
        """Visible entries: exported to the client's namespace by name first, then public ones, each by age."""
        client = self._namespace
        if len(entries) == 1:
            fact = entries[0]
            return [fact] if host in fact.hosts and self._exports.service(fact, client) is not None else []
        ranked = []
        for fact in entries:
            if host in fact.hosts:
                rank = self._exports.service(fact, client)
                if rank is not None:
                    ranked.append((rank, fact))
        return [fact for _, fact in sorted(ranked, key=lambda item: item[0])]

    def _one_namespace(self, facts: Sequence[EntryFacts]) -> tuple[EntryFacts, ...]:
        """The client's own namespace, else that of the first; routers always take the first."""
        if len(facts) == 1:
            return (facts[0],)
        own = () if self._router else tuple([fact for fact in facts if fact.namespace == self._namespace])
        return own or tuple([fact for fact in facts if fact.namespace == facts[0].namespace])

    def _drawn_in(self, host: str, entries: tuple[EntryFacts, ...], listener: EgressListener) -> Drawn | None:
        """What VirtualServices of an egress listener draw in, as they name the host as a destination. Of the client's
        own namespace it is taken whether exported to it or not."""
        importers = self._index.importers.get(host) or ()
        wanted = {port for fact in importers for port in self._wanted(fact, host, listener)}
        if not wanted:
            return None
        # Of each namespace only the oldest entry is asked, also for what is visible.
        firsts = {fact.namespace: fact for fact in reversed(entries) if host in fact.hosts}
        found = firsts.get(self._namespace)
        if found is None:
            seen = [fact for fact in firsts.values() if self._exports.service(fact, self._namespace) is not None]
            if not seen:
                return None
            found = oldest(seen)[0]
        return drawn_from(found, wanted, listener.port)

    def _wanted(self, fact: VirtualServiceFacts, host: str, listener: EgressListener) -> Iterator[int]:
        """Ports of a destination that a VirtualService, selected by a listener, sends this client to; 0: all."""
        for root in self._roots_of(fact):
            if self._is_bound(root, MESH) and listener.virtual_service(root.namespace, root.names):
                for target, port, sources in fact.destinations:
                    if target == host and (not sources or self._namespace in sources):
                        yield port

    def _roots_of(self, fact: VirtualServiceFacts) -> Iterator[VirtualServiceFacts]:
        if fact.hosts:
            yield fact
            return
        for key in self._index.delegators(fact):
            root = self._index.virtual_service(key)
            if root is not None and self._exports.delegate(fact, root.namespace):
                yield root

    def matching(self, pattern: str) -> Sequence[HostView]:
        """Hosts that a host of a VirtualService covers, in Istio's order."""
        folded = pattern.lower()
        self._notes.add(touch.pattern_token(folded))
        return self._ordered(
            [host for name in self._index.services.overlapping(folded) for host in self._index.literals(name)]
        )

    def services_on(self, port: int) -> Sequence[HostView]:
        """Hosts with that port among those with listeners, oldest first. They are looked at one by one as they are
        read, and only those that were read are dependencies."""
        return OnPort(self.read_on, port)

    def read_on(self, port: int) -> Iterator[HostView]:
        """What `services_on` reads."""
        self._ports_read.setdefault(port, (0.0, ""))
        done = set()
        for place in self._index.on_port(port):
            end = self._ports_read[port]
            if end is not None and end < place:
                self._ports_read[port] = place
            if place[1] in done:
                continue
            done.add(place[1])
            for view in self._ordered(self._index.literals(place[1])):
                if not view.imported and any(known.number == port for own in view.services for known in own.ports):
                    yield view
        self._ports_read[port] = None

    def own_entries(self, port: int) -> Iterator[Resource[ServiceEntry]]:
        """ServiceEntries of the client's own namespace with a port, by age, whoever may see them."""
        self._ports_read[port] = None
        done = set()
        for _, host in self._index.on_port(port):
            for fact in self._index.services.get(host) or ():
                if fact.namespace == self._namespace and port in fact.ports and fact.key not in done:
                    done.add(fact.key)
                    yield cast("Resource[ServiceEntry]", self._load(fact.key))

    def _ordered(self, hosts: list[str]) -> list[HostView]:
        views = [view for host in hosts if (view := self.view(host)) is not None]
        views.sort(key=_age)
        return views

    # Rules

    def rule(self, view: HostView) -> RuleView | None:
        """The DestinationRule for a service."""
        self._note_host(view.host)
        key = (view.namespace, view.host)
        if key in self._rules:
            return self._rules[key]
        if len(self._rules) >= _KEPT:
            self._rules.clear()
        made = self._rules[key] = self._rule(view)
        return made

    def _rule(self, view: HostView) -> RuleView | None:
        client, root = self._namespace, self.env.mesh.root_namespace
        entries = self._local_rules(client, view.host, only_private=client == root)
        if not entries:
            entries = self._exported_rules(view.namespace, view.host)
            if not entries and root != view.namespace:
                entries = self._exported_rules(root, view.host)
        entry = chosen(entries, self.env.node.labels, client) if entries else None
        return None if entry is None else self._rule_view(entry)

    def _local_rules(self, namespace: str, host: str, only_private: bool) -> tuple[RuleEntry, ...]:
        """The client's own namespace; of the root namespace's rules only those that never leave it."""
        exports = self._exports
        for rules in self._rules_over(namespace, host):
            kept = [
                rule
                for rule in rules
                if exports.rule_is_local(rule.export_to, namespace)
                and (not only_private or exports.rule_is_private(rule.export_to, namespace))
            ]
            if kept:
                return merged(kept)
        return ()

    def _exported_rules(self, namespace: str, host: str) -> tuple[RuleEntry, ...]:
        """The most specific host of a namespace's exported rules; if it is not for this client, none is."""
        exports = self._exports
        for rules in self._rules_over(namespace, host):
            kept = [rule for rule in rules if not exports.rule_is_private(rule.export_to, namespace)]
            if kept:
                return tuple(
                    [entry for entry in merged(kept) if exports.rule_reaches(entry.export_to, self._namespace)]
                )
        return ()

    def _rules_over(self, namespace: str, host: str) -> Iterator[tuple[RuleFacts, ...]]:
        """Rules of a namespace whose host takes this one, most specific host first."""
        table = self._index.rules.get(namespace)
        if table is not None:
            for name in table.best(host):
                yield table.get(name) or ()

    def _rule_view(self, entry: RuleEntry) -> RuleView:
        rules = tuple([cast("Resource[DestinationRule]", self._load(rule.key)) for rule in entry.rules])
        return RuleView(rules, entry.policy_from, entry.subsets)

    # Workloads

    def workloads(self, namespace: str, selector: Mapping[str, str]) -> Sequence[Resource[WorkloadEntry]]:
        """WorkloadEntries that a selector takes, healthy ones only, by name."""
        wanted = pairs(selector)
        self._notes.add(touch.selector_token(namespace, wanted))
        known = self._index.workloads.get(namespace, {})
        keys = [
            fact.key for fact in known.values() if fact.healthy and (not wanted or is_subset(wanted, dict(fact.labels)))
        ]
        return [cast("Resource[WorkloadEntry]", self._load(key)) for key in sorted(keys)]

    def probe(self, workload: Resource[WorkloadEntry]) -> WorkloadProbe | None:
        """How its WorkloadGroup has a workload probed from here."""
        self._notes.add(touch.group_token(workload.namespace))
        return probe_of(workload, self._index.groups.get(workload.namespace, ()), self._load)

    # VirtualServices

    def virtual_services(self, host: str, gateway: str = MESH, port: int = 0) -> Sequence[PreparedVirtualService]:
        """Roots bound to the gateway with a host that overlaps `host`: private, exported, public, each by age. port:
        only those that the egress listener for that port selects; 0: any."""
        folded = self._note_host(host)
        key = (folded, gateway)
        known = self._routed.get(key)
        if known is None:
            if len(self._routed) >= _KEPT:
                self._routed.clear()
            known = self._routed[key] = self._roots_over(folded, gateway)
        listener = self._egress.listener_for(port) if known and port and gateway == MESH else None
        return known if listener is None else selected(known, listener)

    def tables(self) -> Iterable[str]:
        """Names of the route tables that are for every port: of HTTP proxies and sockets."""
        return self._egress.tables

    def in_table(self, view: HostView, table: str) -> bool:
        """Whether the listener of such a table takes a host."""
        return self._egress.in_table(view, table)

    def rules_of(self, host: str, table: str) -> Sequence[PreparedVirtualService]:
        """`virtual_services` that the listener of such a table selects."""
        return self._egress.selected(self.virtual_services(host), table)

    def rules_heard(self, view: HostView, port: int) -> Sequence[PreparedVirtualService]:
        """`virtual_services` of the egress listener where connections to a host are heard on a port."""
        known, listener = self.virtual_services(view.host), self._egress.hearing(view, port)
        return known if listener is None else selected(known, listener)

    def spoken(self, view: HostView, port: Port) -> tuple[tuple[str, bool], ...]:
        """The protocols a port of a host is heard with, each with whether an egress listener for the port has it."""
        return self._egress.spoken(view, port)

    def _roots_over(self, folded: str, gateway: str) -> Sequence[PreparedVirtualService]:
        roots = self._index.roots
        found: dict[ResourceKey, tuple[int, VirtualServiceFacts]] = {}
        for name in roots.overlapping(folded):
            for fact in roots.get(name) or ():
                if fact.key not in found and self._selects(fact, gateway):
                    rank = self._exports.virtual_service(fact, self._namespace)
                    if rank is not None:
                        found[fact.key] = (rank, fact)
        if not found:
            return ()
        if len(found) == 1:
            ((_, fact),) = found.values()
            made = self._prepare(fact)
            return () if made is None else (made,)
        ordered = sorted(found.values(), key=lambda item: (item[0], item[1].rank))
        return [prepared for _, fact in ordered if (prepared := self._prepare(fact)) is not None]

    def _selects(self, fact: VirtualServiceFacts, gateway: str) -> bool:
        """Whether a root is bound to the gateway, visible, and selected by an egress listener."""
        if not self._is_bound(fact, gateway):
            return False
        if gateway != MESH or not self._egress.listeners:
            return True
        return any(listener.virtual_service(fact.namespace, fact.names) for listener in self._egress.listeners)

    def _is_bound(self, fact: VirtualServiceFacts, gateway: str) -> bool:
        return gateway in fact.gateways and self._exports.virtual_service(fact, self._namespace) is not None

    def _prepare(self, fact: VirtualServiceFacts) -> PreparedVirtualService | None:
        if fact.key in self._prepared:
            return self._prepared[fact.key]
        made = prepare(
            cast("Resource[VirtualService]", self._load(fact.key)),
            self._delegate,
            default_export_to=self.env.mesh.default_virtual_service_export_to or ("*",),
            domain=self._index.domain,
            order=f"{self._exports.virtual_service(fact, self._namespace)}{order_text(*fact.rank)}",
        )
        if len(self._prepared) >= _KEPT:
            self._prepared.clear()
        self._prepared[fact.key] = made
        return made

    def _delegate(self, namespace: str, name: str) -> Resource[VirtualService] | None:
        fact = self._index.virtual_service(ResourceKey("VirtualService", namespace, name))
        if fact is None or fact.hosts:
            return None
        return cast("Resource[VirtualService]", self._load(fact.key))

    # Routers and mTLS

    def gateways(self) -> Sequence[Resource[Gateway]]:
        """Gateways whose selector takes this client (routers), by age."""
        self._notes.add(touch.GATEWAYS)
        labels = self.env.node.labels
        return [
            cast("Resource[Gateway]", self._load(fact.key))
            for fact in self._index.gateways
            if is_subset(fact.selector, labels)
        ]

    def peer_authentication(self, namespace: str) -> PeerModes:
        """Whether the workloads of a namespace take mTLS."""
        self._notes.add(touch.peer_token(namespace))
        peers, root = self._index.peers, self.env.mesh.root_namespace
        if not peers:
            return _NO_PEERS
        return peer_modes(peers.get(namespace, ()), peers.get(root, ()), is_root=namespace == root)

    # Unknown destinations

    def outbound(self) -> tuple[Outbound, str]:
        """(ALLOW_ANY | REGISTRY_ONLY | GATEWAY, cluster that unknown traffic goes to or "")."""
        if self._router:
            return "GATEWAY", ""
        policy = None if self._sidecar is None else self._sidecar.spec.outbound_traffic_policy
        if policy is None:
            mode = self.env.mesh.outbound_traffic_policy.mode
            return ("REGISTRY_ONLY" if mode == "REGISTRY_ONLY" else "ALLOW_ANY"), ""
        if policy.mode == "REGISTRY_ONLY" or policy.egress_proxy is None:
            return policy.mode, ""
        proxy = policy.egress_proxy
        return policy.mode, cluster_name(0 if proxy.port is None else proxy.port.number, proxy.subset, proxy.host)

    def proxy(self) -> Proxy:
        """The mesh-wide settings as they are for this client."""
        spec = None if self._sidecar is None else self._sidecar.spec
        return proxy_of(self.env, spec, [listener.exact for listener in self._egress.listeners])

    def place(self, view: HostView) -> str:
        """Sorts the services of this client as Istio lists them: by egress listener, then those exported to its
        namespace by name, then by age; what only VirtualServices draw in comes last."""
        first = view.listeners[0] if view.listeners else _LAST if view.imported else 0
        return f"{first:03d}{self._standing(view.merged)}"

    def heard(self, view: HostView) -> tuple[tuple[str, Service], ...]:
        """Where a host has several services, each with its own place among those of an egress listener."""
        if len(view.services) < 2:
            return ()
        return tuple([(self._standing(service), service) for service in view.services])

    def _standing(self, service: Service) -> str:
        facts = self._index.services.get(service.host.lower()) or ()
        ranks = [
            self._exports.service(fact, self._namespace)
            for fact in facts
            if fact.key.name == service.object_name and fact.namespace == service.namespace
        ]
        rank = next((rank for rank in ranks if rank is not None), PUBLIC)
        return f"{rank}{order_text(service.creation_time, service.host, service.namespace)}"

    # Units

    def units(self) -> Iterator[str]:
        """Keys of everything that may mean something to this client: service hosts, and for sidecars the hosts that
        only VirtualServices know."""
        services = self._index.services
        for folded in services:
            yield from self._index.literals(folded)
        if not self._router:
            for host in self._index.roots:
                if host not in services or host not in self._index.literals(host):
                    yield host


def _age(view: HostView) -> tuple[float, str, str]:
    """Istio's order of services: creation time, host, namespace."""
    return view.services[0].creation_time if view.services else view.merged.creation_time, view.host, view.namespace


__all__ = ["ClientScope", "Load", "Outbound"]
