"""Which entries of one host a client gets."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from roadstead.compile.facts import EntryFacts

Drawn = tuple[EntryFacts, tuple[int, ...] | None]
"""An entry and the ports of it, None for all."""


class Pick(msgspec.Struct, frozen=True, gc=False):
    """The entries of one host that a client gets. ports: None for all, else what is imported, in that order. others:
    entries of further namespaces that later egress listeners find, with the ports these take. drawn: what
    VirtualServices draw in beside those, of the same namespace, with the ports they name (None for all): it has
    clusters only. listeners, unrouted: as in HostView."""

    entries: tuple[EntryFacts, ...]
    imported: bool = False
    ports: tuple[int, ...] | None = None
    others: tuple[tuple[tuple[EntryFacts, ...], tuple[int, ...]], ...] = ()
    listeners: tuple[int, ...] = ()
    unrouted: frozenset[int] = frozenset()
    drawn: tuple[Drawn, ...] = ()


def ports_of_all(facts: Iterable[EntryFacts]) -> list[int]:
    """The ports of entries, each once."""
    return list(dict.fromkeys([port for fact in facts for port in fact.ports]))


def oldest(facts: Iterable[EntryFacts]) -> list[EntryFacts]:
    """Entries by age."""
    return sorted(facts, key=lambda fact: (fact.created, fact.namespace, fact.key.name))


def drawn_from(found: EntryFacts, wanted: set[int], port: int) -> Drawn | None:
    """What destinations draw from an entry. wanted: the ports they name, 0 for all; port: of the egress listener, 0: it
    is for every port."""
    if not port and 0 in wanted:
        return found, None
    every = ports_of_all([found])
    ports = tuple([number for number in every if number in ({port} if port else wanted)])
    return None if not ports and (every or port) else (found, ports)
