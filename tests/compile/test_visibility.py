"""Who may see what."""

from __future__ import annotations

import pytest
from tests.compile.one_client import OneClient

from roadstead.compile.facts import EntryFacts
from roadstead.compile.visibility import NAMED, PUBLIC, Exports
from roadstead.config import ResourceKey

RULES = "{serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: NAMESPACE, policies: [%s]}}"
BY_NAME = "matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}]"


@pytest.mark.parametrize(
    ("policies", "own", "other"),
    [
        ("", NAMED, None),
        ("{visibility: PUBLIC}", PUBLIC, PUBLIC),
        ("{visibility: NONE}", None, None),
        (f"{{visibility: PUBLIC, {BY_NAME % 'apps'}}}", PUBLIC, PUBLIC),
        (f"{{visibility: PUBLIC, {BY_NAME % 'else'}}}", NAMED, None),
        # A rule without a selector takes nobody, a selector without conditions everybody.
        ("{visibility: PUBLIC, matchingRules: [{}]}", NAMED, None),
        ("{visibility: PUBLIC, matchingRules: [{namespaceSelector: {}}]}", PUBLIC, PUBLIC),
    ],
)
def test_the_most_that_an_entry_may_give_away(policies: str, own: int | None, other: int | None) -> None:
    exports = Exports(OneClient("", mesh=RULES % policies).env.mesh)
    key = ResourceKey("ServiceEntry", "apps", "a")
    fact = EntryFacts(key, 0.0, "apps", ("a.test",), (80,), frozenset(), None)
    assert (exports.service(fact, "apps"), exports.service(fact, "else")) == (own, other)
