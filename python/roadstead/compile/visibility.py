"""Who may see what: exportTo and the Sidecar's egress listeners (4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from roadstead.compile.facts import EntryFacts, SidecarFacts, VirtualServiceFacts, is_subset
from roadstead.config import IstioEgressListener, LabelSelector, MeshConfig, Sidecar
from roadstead.config.mesh_config import NAMESPACE_NAME
from roadstead.host import matches, subset_of

# How a resource reaches a client: by naming its namespace, or because it is public; lower comes first.
NAMED, PUBLIC = 0, 1
HTTP_PROXY = "HTTP_PROXY"


class Exports:
    """exportTo of the three kinds under one mesh configuration."""

    __slots__ = ("_mesh", "_rules_private", "_services", "_virtual_services")

    def __init__(self, mesh: MeshConfig) -> None:
        self._mesh = mesh
        self._services = frozenset(mesh.default_service_export_to or ("*",))
        self._virtual_services = frozenset(mesh.default_virtual_service_export_to or ("*",))
        self._rules_private = "." in mesh.default_destination_rule_export_to

    def service(self, fact: EntryFacts, client: str) -> int | None:
        """NAMED, PUBLIC, or None where a client of that namespace does not see the service."""
        names = fact.export_to or self._services
        own = fact.namespace == client
        cap = self._cap(fact.namespace)
        if cap != "PUBLIC":
            own = own and cap == "NAMESPACE" and ("*" in names or "." in names or fact.namespace in names)
            return NAMED if own and "~" not in names else None
        if "*" in names:
            return PUBLIC
        if "~" in names:
            return None
        return NAMED if client in names or (own and "." in names) else None

    def _cap(self, namespace: str) -> str:
        """The most that ServiceEntries of a namespace may be exported (meshConfig.serviceEntryVisibility)."""
        rules = self._mesh.service_entry_visibility
        if rules is None or not rules.apply_to_sidecars:
            return "PUBLIC"
        labels = {NAMESPACE_NAME: namespace}
        for policy in rules.policies:
            selectors = [rule.namespace_selector for rule in policy.matching_rules]
            # A rule without a selector is one that this version does not know: it takes nobody.
            if all(selector is not None and selects(selector, labels) for selector in selectors):
                return _capped(policy.visibility)
        return _capped(rules.default_visibility)

    def virtual_service(self, fact: VirtualServiceFacts, client: str) -> int | None:
        """Place in the client's order: 0 of its own namespace, 1 exported to it, 2 public; None: not seen."""
        names = self._names(fact)
        if "*" in names:
            return 2
        if "~" in names or client not in names:
            return None
        return 0 if client == fact.namespace else 1

    def _names(self, fact: VirtualServiceFacts) -> frozenset[str]:
        own = fact.export_to
        return own or frozenset([fact.namespace if name == "." else name for name in self._virtual_services])

    def delegate(self, fact: VirtualServiceFacts, root: str) -> bool:
        """Whether a delegate is for roots of a namespace."""
        names = self._names(fact)
        return "*" in names or root in names

    def rule_is_private(self, names: frozenset[str], namespace: str) -> bool:
        """Whether a DestinationRule never leaves its namespace."""
        if not names:
            return self._rules_private
        return names in ({"."}, {namespace})

    @staticmethod
    def rule_is_local(names: frozenset[str], namespace: str) -> bool:
        """Whether a DestinationRule counts in its own namespace."""
        return not names or "*" in names or "." in names or namespace in names

    @staticmethod
    def rule_reaches(names: frozenset[str], client: str) -> bool:
        """Whether an exported DestinationRule may be used by a client's namespace."""
        return not names or "*" in names or client in names


def _capped(visibility: str) -> str:
    return "PUBLIC" if visibility == "VISIBILITY_UNSPECIFIED" else visibility


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Kubernetes' label selector."""
    if not selector.match_labels.items() <= labels.items():
        return False
    for term in selector.match_expressions:
        value = labels.get(term.key)
        if term.operator == "In" and value not in term.values:
            return False
        if term.operator == "NotIn" and value is not None and value in term.values:
            return False
        if (term.operator, value is None) in (("Exists", True), ("DoesNotExist", False)):
            return False
    return True


class EgressListener(msgspec.Struct, frozen=True):
    """One egress listener. port 0: every port. takes / excludes: host patterns by namespace ("*": any). protocol: what
    its port speaks, "" without one. table: name of the route table of an HTTP proxy or a socket, whose callers name the
    port they want; else "". exact: it takes no pattern and from no namespace but those it names; then only the oldest
    entry of a host in each is imported."""

    port: int
    takes: dict[str, tuple[str, ...]]
    excludes: dict[str, tuple[str, ...]]
    protocol: str = ""
    table: str = ""
    exact: bool = False

    def service(self, namespace: str, host: str) -> bool:
        """Whether a service is imported: contained in what is taken, and in nothing that is excluded."""
        if self._excludes(namespace, host):
            return False
        return any(subset_of(host, pattern) for pattern in _under(self.takes, namespace))

    def _excludes(self, namespace: str, host: str) -> bool:
        return any(subset_of(host, pattern) for pattern in _under(self.excludes, namespace))

    def virtual_service(self, namespace: str, hosts: Iterable[str]) -> bool:
        """Whether a VirtualService is selected: one of its hosts, as written, shares a name with what is taken."""
        patterns = _under(self.takes, namespace)
        return any(
            matches(host, pattern) and not self._excludes(namespace, host) for host in hosts for pattern in patterns
        )


EVERYTHING = EgressListener(0, {"*": ("*",)}, {})
"""The one egress listener of a client without a Sidecar."""


def _under(table: dict[str, tuple[str, ...]], namespace: str) -> tuple[str, ...]:
    """Patterns for a namespace: its own and those for any."""
    return (*table.get(namespace, ()), *table.get("*", ()))


def listeners_of(sidecar: Sidecar, namespace: str) -> tuple[EgressListener, ...]:
    """The egress listeners of a Sidecar, as if it stood in the client's namespace; none where it says nothing: then
    everything visible is imported."""
    return tuple([_listener(listener, namespace) for listener in sidecar.egress])


def _listener(listener: IstioEgressListener, namespace: str) -> EgressListener:
    takes: dict[str, list[str]] = {}
    excludes: dict[str, list[str]] = {}
    for text in listener.hosts:
        owner, slash, host = text.partition("/")
        if not slash or "/" in host:
            continue
        named = takes
        if owner.startswith("~"):
            named, owner = excludes, owner[1:] or "*"
        named.setdefault(namespace if owner == "." else owner, []).append(host)
    port = listener.port
    protocol = table = ""
    if port is not None:
        protocol = port.protocol.upper()
        if not port.number:
            table = listener.bind
        elif protocol == HTTP_PROXY:
            table = str(port.number)
    return EgressListener(
        0 if port is None or table else port.number,
        {owner: tuple(hosts) for owner, hosts in takes.items()},
        {owner: tuple(hosts) for owner, hosts in excludes.items()},
        protocol,
        table,
        bool(takes)
        and "*" not in takes
        and not any(host.startswith("*") for hosts in takes.values() for host in hosts),
    )


def sidecar_for(
    own: Sequence[SidecarFacts], root: Sequence[SidecarFacts], labels: Mapping[str, str]
) -> SidecarFacts | None:
    """The Sidecar of a client: of its namespace the first that takes it, else the root namespace's default one."""
    for fact in own:
        if fact.selector is None or is_subset(fact.selector, labels):
            return fact
    return next((fact for fact in root if fact.selector is None), None)
