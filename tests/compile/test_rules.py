"""Merging DestinationRules of one host and namespace, and choosing for a client."""

from __future__ import annotations

import pytest

from roadstead.compile.facts import Pairs, RuleFacts
from roadstead.compile.rules import chosen, merged
from roadstead.config import ResourceKey


def rule(
    name: str,
    subsets: str = "",
    *,
    policy: bool = False,
    export_to: tuple[str, ...] = (),
    selector: Pairs | None = None,
    age: float = 0.0,
) -> RuleFacts:
    """A rule of the namespace `here`; subsets by one letter each."""
    if selector is not None:
        export_to = (".",)
    rank = (selector is None, age, name, "here")
    key = ResourceKey("DestinationRule", "here", name)
    return RuleFacts(key, rank, "here", "a.com", frozenset(export_to), selector, tuple(subsets), policy)


APP = (("app", "x"),)


@pytest.mark.parametrize(
    ("rules", "entries"),
    [
        # each entry: names of rules, whose policy, subsets as "rule index + letter"
        ([rule("a", "v")], [("a", -1, "0v")]),
        ([rule("a", "vv")], [("a", -1, "0v")]),
        ([rule("a", "v"), rule("b", "vw", policy=True)], [("ab", 1, "0v 1w")]),
        ([rule("a", policy=True), rule("b", policy=True)], [("ab", 0, "")]),
        ([rule("b", age=1), rule("a", age=2)], [("ba", -1, "")]),
        ([rule("a", export_to=("*",)), rule("b")], [("a", -1, ""), ("b", -1, "")]),
        ([rule("a", export_to=("x",)), rule("b", export_to=("x", "y"))], [("ab", -1, ""), ("b", -1, "")]),
        ([rule("a"), rule("b", export_to=("x",))], [("a", -1, ""), ("b", -1, "")]),
        ([rule("a"), rule("s", selector=APP)], [("s", -1, ""), ("a", -1, "")]),
        ([rule("s", "v", selector=APP), rule("t", "w", selector=APP)], [("st", -1, "0v 1w")]),
        ([rule("s", selector=APP), rule("t", selector=(("app", "y"),))], [("s", -1, ""), ("t", -1, "")]),
        # Istio's quirk: a private rule for everybody is swallowed by one for some.
        ([rule("a", "v", export_to=(".",)), rule("s", selector=APP)], [("sa", -1, "1v")]),
    ],
)
def test_merged(rules: list[RuleFacts], entries: list[tuple[str, int, str]]) -> None:
    found = [
        (
            "".join(one.key.name for one in entry.rules),
            entry.policy_from,
            " ".join(f"{index}{entry.rules[index].subsets[position]}" for index, position in entry.subsets),
        )
        for entry in merged(rules)
    ]
    assert found == entries


@pytest.mark.parametrize(
    ("labels", "namespace", "name"),
    [({"app": "x"}, "here", "s"), ({}, "here", "b"), ({"app": "x"}, "there", "b")],
)
def test_chosen(labels: dict[str, str], namespace: str, name: str) -> None:
    entries = merged([rule("s", selector=APP), rule("a", export_to=("*",)), rule("b", age=1)])
    found = chosen(entries, labels, namespace)
    assert found is not None
    assert found.rules[0].key.name == name


def test_nothing_is_chosen_where_only_others_are_meant() -> None:
    assert chosen(merged([rule("s", selector=APP)]), {}, "here") is None
