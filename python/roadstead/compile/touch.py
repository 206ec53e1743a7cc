"""What a change can touch: the one list of it.

A unit (a service host, or a host that only a VirtualService knows) depends on everything about its own name without
noting it. What it reads about others it notes while it is compiled (`Notes`); the two together answer which units a
change touches:

| change                                 | units touched                                                             |
|----------------------------------------|---------------------------------------------------------------------------|
| ServiceEntry: any field, new, gone     | its hosts; who read one of them; who asked for a pattern over one of them  |
|   … its ports                          | who read the services of a port as far as this one                        |
| WorkloadEntry: labels, health, fields  | who selected by one of its labels (before and after), or without labels   |
| WorkloadGroup with a probe             | who asked for those of its namespace (dialect extended)                   |
| VirtualService: root                   | hosts and rule-only hosts that share a name with one of its hosts;         |
|                                        | who read the rules of such a host; destinations of sidecars                |
| VirtualService: delegate, new or gone  | as for each root that names it, whether it exists or not                  |
| DestinationRule                        | service hosts inside its host, in every namespace; who read one of them   |
| Sidecar of the client's namespace      | every unit of that client; so for the root namespace and the mesh config  |
| Gateway                                | the units of routers' gateways                                            |
| PeerAuthentication                     | who asked for its namespace; of the root namespace: who asked at all      |

exportTo, creation times and selectors are fields like all others: the row of their kind holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from roadstead.compile.patterns import HostTable, is_wild

if TYPE_CHECKING:
    from roadstead.compile.index import Index

PortPlace = tuple[float, str]
"""Where a service stands among those with its port: (creation time, host in lower case)."""

PEERS = "m:"
GATEWAYS = "g:"


class Touch:
    """What one or more changes touch, whoever the client is. `routed` is lower case, the other hosts are as written."""

    __slots__ = (
        "everything",
        "gateways",
        "hosts",
        "peers",
        "ports",
        "routed",
        "ruled",
        "sidecars",
        "targets",
        "tokens",
    )

    def __init__(self, *, everything: bool = False) -> None:
        self.hosts: set[str] = set()
        self.ports: set[tuple[int, PortPlace]] = set()
        self.routed: set[str] = set()
        self.targets: set[str] = set()
        self.ruled: set[str] = set()
        self.tokens: set[str] = set()
        self.sidecars: set[str] = set()
        self.peers: set[str] = set()
        self.gateways = False
        self.everything = everything

    def everything_but_hosts(self) -> None:
        """Where everything is touched anyway, forget what grows with the mesh."""
        if self.everything:
            for grown in (self.hosts, self.ports, self.routed, self.targets, self.ruled, self.tokens):
                grown.clear()


def host_token(host: str) -> str:
    """Everything about a service host: its services, its DestinationRule, its routes."""
    return "h:" + host.lower()


def pattern_token(pattern: str) -> str:
    """Which service hosts share a name with a pattern."""
    return "p:" + pattern.lower()


def peer_token(namespace: str) -> str:
    return PEERS + namespace


def selector_token(namespace: str, selector: Iterable[tuple[str, str]]) -> str:
    """One label stands for a selector: a workload that it takes carries that one too."""
    for name, value in sorted(selector):
        return f"w:{namespace}:{name}={value}"
    return f"w:{namespace}:"


def workload_tokens(namespace: str, labels: Iterable[tuple[str, str]]) -> list[str]:
    """The tokens of all selectors that could take a workload with these labels."""
    return [f"w:{namespace}:", *[f"w:{namespace}:{name}={value}" for name, value in labels]]


def group_token(namespace: str) -> str:
    """Which WorkloadGroups with probes a namespace has."""
    return f"q:{namespace}"


class Notes:
    """What each unit of one client read about others, and back."""

    __slots__ = ("_hosts", "_patterns", "_ports", "_tokens", "_units")

    def __init__(self) -> None:
        self._units: dict[str, tuple[str, ...]] = {}
        self._tokens: dict[str, set[str]] = {}
        # Port -> unit -> how far it read the services of the port; None: to the end.
        self._ports: dict[int, dict[str, PortPlace | None]] = {}
        # The hosts and patterns among the tokens, for changes that name a pattern themselves.
        self._hosts: HostTable[str] = HostTable()
        self._patterns: HostTable[str] = HostTable()

    def put(self, unit: str, tokens: Iterable[str], ports: Mapping[int, PortPlace | None]) -> None:
        """Replace what a unit read. ports: how far among the services of a port, None: to the end."""
        self.delete(unit)
        for port, place in ports.items():
            self._ports.setdefault(port, {})[unit] = place
        kept = tuple(tokens)
        if not kept:
            return
        self._units[unit] = kept
        for token in kept:
            units = self._tokens.get(token)
            if units is None:
                self._tokens[token] = {unit}
                table = self._table(token)
                if table is not None:
                    table.put(token[2:], token)
            else:
                units.add(unit)

    def delete(self, unit: str) -> None:
        """Forget a unit."""
        for readers in self._ports.values():
            readers.pop(unit, None)
        for token in self._units.pop(unit, ()):
            units = self._tokens[token]
            units.discard(unit)
            if not units:
                del self._tokens[token]
                table = self._table(token)
                if table is not None:
                    table.pop(token[2:])

    def _table(self, token: str) -> HostTable[str] | None:
        if token.startswith("h:"):
            return self._hosts
        return self._patterns if token.startswith("p:") else None

    def readers(self, token: str) -> Iterable[str]:
        """Units that noted the token."""
        return self._tokens.get(token, ())

    def readers_of(self, host: str) -> set[str]:
        """Units that read a host, or asked for a pattern that shares a name with it."""
        units = set(self.readers("h:" + host))
        for pattern in self._patterns.overlapping(host):
            units.update(self.readers("p:" + pattern))
        return units

    def readers_on(self, port: int, place: PortPlace) -> list[str]:
        """Units that read the services of a port as far as that place."""
        readers = self._ports.get(port, {})
        return [unit for unit, end in readers.items() if end is None or place <= end]

    def readers_sharing(self, pattern: str) -> set[str]:
        """Units that read a host that shares a name with the pattern."""
        units: set[str] = set()
        for host in self._hosts.overlapping(pattern):
            units.update(self.readers("h:" + host))
        return units

    def starting(self, prefix: str) -> set[str]:
        """Units that noted a token with that start."""
        units: set[str] = set()
        for token, readers in self._tokens.items():
            if token.startswith(prefix):
                units.update(readers)
        return units


def touched(what: Touch, index: Index, notes: Notes, *, draws_in: bool, root_namespace: str) -> set[str]:
    """Keys of the units that a change touches for one client, those that exist no more among them. The table above."""
    units: set[str] = set()
    for host in what.hosts:
        folded = host.lower()
        units.update((host, folded), index.literals(folded), notes.readers_of(folded))
    for port, place in what.ports:
        units.update(notes.readers_on(port, place))
    for token in what.tokens:
        units.update(notes.readers(token))
    for host in what.routed:
        units.add(host)
        units.update(index.roots.overlapping(host))
        for name in index.services.overlapping(host):
            units.update(index.literals(name))
        units.update(notes.readers_sharing(host))
    if draws_in:
        for host in what.targets:
            units.add(host)
            units.update(notes.readers_of(host.lower()))
    for host in what.ruled:
        folded = host.lower()
        for name in [folded, *(index.services.below(folded) if is_wild(folded) else ())]:
            units.update(index.literals(name))
            units.update(notes.readers(host_token(name)))
    if what.gateways:
        units.update(notes.readers(GATEWAYS))
    for namespace in what.peers:
        units.update(notes.starting(PEERS) if namespace == root_namespace else notes.readers(peer_token(namespace)))
    return units
