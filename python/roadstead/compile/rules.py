"""DestinationRules of one host and namespace: merging them and choosing the entry for a client
(Istio: model/destination_rule.go).

Only what merging needs is looked at here (`RuleFacts`); the rules themselves are loaded when an entry is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from roadstead.compile.facts import RuleFacts, is_subset


class RuleEntry(msgspec.Struct, frozen=True):
    """Rules merged into one. rules: contributors, the first gives host, exportTo and selector. policy_from: index in
    `rules` of the first with a top-level trafficPolicy, -1 without. subsets: (index in `rules`, index in its
    subsets)."""

    rules: tuple[RuleFacts, ...]
    policy_from: int
    subsets: tuple[tuple[int, int], ...]

    @property
    def export_to(self) -> frozenset[str]:
        return self.rules[0].export_to

    @property
    def selector(self) -> tuple[tuple[str, str], ...] | None:
        return self.rules[0].selector


def merged(rules: Iterable[RuleFacts]) -> tuple[RuleEntry, ...]:
    """The entries of one pool for one host."""
    rules = tuple(rules)
    if len(rules) == 1:
        return (_alone(rules[0]),)
    entries: list[RuleEntry] = []
    for rule in sorted(rules, key=lambda fact: fact.rank):
        separate = True
        for at, entry in enumerate(entries):
            separate, joins = _relation(entry, rule)
            if joins:
                entries[at] = _joined(entry, rule)
        if separate:
            entries.append(_alone(rule))
    return tuple(entries)


def _alone(rule: RuleFacts) -> RuleEntry:
    return RuleEntry((rule,), 0 if rule.has_policy else -1, _own_subsets(rule))


def _relation(entry: RuleEntry, rule: RuleFacts) -> tuple[bool, bool]:
    """(whether the rule stays an entry of its own, whether it joins this one). The last entry looked at decides the
    first."""
    if entry.selector is not None and rule.selector is not None and entry.selector != rule.selector:
        return True, False
    if rule.export_to == entry.export_to:
        # So a private rule without selector joins an entry with one and is lost to other workloads: Istio's quirk.
        return False, True
    return True, bool(entry.export_to) and rule.export_to >= entry.export_to


def _own_subsets(rule: RuleFacts) -> tuple[tuple[int, int], ...]:
    if len(set(rule.subsets)) == len(rule.subsets):
        return _first(len(rule.subsets))
    return tuple([(0, at) for at, name in enumerate(rule.subsets) if rule.subsets.index(name) == at])


@lru_cache(maxsize=64)
def _first(count: int) -> tuple[tuple[int, int], ...]:
    return tuple([(0, at) for at in range(count)])


def _joined(entry: RuleEntry, rule: RuleFacts) -> RuleEntry:
    at = len(entry.rules)
    known = {entry.rules[index].subsets[position] for index, position in entry.subsets}
    fresh = []
    for position, name in enumerate(rule.subsets):
        if name not in known:
            known.add(name)
            fresh.append((at, position))
    policy = at if entry.policy_from < 0 and rule.has_policy else entry.policy_from
    return RuleEntry((*entry.rules, rule), policy, (*entry.subsets, *fresh))


def chosen(entries: Sequence[RuleEntry], labels: Mapping[str, str], namespace: str) -> RuleEntry | None:
    """The entry for a client: the first whose selector takes it, else the last without a selector."""
    plain = None
    for entry in entries:
        if entry.selector is None:
            plain = entry
        elif entry.rules[0].namespace == namespace and is_subset(entry.selector, labels):
            return entry
    return plain
