"""The table of fields says what is so: it has every field, and what it calls compiled has an effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.effect import before, sample
from tests.docs.fields import TABLE, effect_of, fact_of, facts, markdown, messages

from roadstead.config.schema import fields_of

ROOT = Path(__file__).parent.parent.parent
FACTS = facts()
COMPILED = [
    (message, name, attribute)
    for message, struct in messages().items()
    for name, attribute in fields_of(struct).attributes.items()
    if (fact := fact_of(FACTS, message, name)) is not None and fact.compiled
]


def test_the_table_is_the_one_that_the_facts_make() -> None:
    assert TABLE.read_text() == markdown()


@pytest.mark.parametrize(("message", "struct"), messages().items())
def test_every_field_has_a_row_and_every_row_a_field(message: str, struct: type) -> None:
    names = set(fields_of(struct).attributes)
    assert {name for name in names if fact_of(FACTS, message, name) is None} == set()
    assert set(FACTS[message]) - names <= {"*"}


def test_facts_are_about_messages() -> None:
    assert set(FACTS) <= set(messages())


def test_what_is_not_compiled_says_why() -> None:
    rows = [(message, name, fact) for message, named in FACTS.items() for name, fact in named.items()]
    for message, name, fact in rows:
        effect = "" if name == "*" else effect_of(messages()[message], name)
        assert fact.compiled or fact.note or effect, (message, name)
        assert not (fact.compiled and effect), (message, name)
    assert [row for row in rows if row[2].test and not (ROOT / row[2].test).exists()] == []


@pytest.mark.parametrize(("message", "name", "attribute"), COMPILED, ids=str)
def test_what_is_compiled_has_an_effect(message: str, name: str, attribute: str) -> None:
    fact = fact_of(FACTS, message, name)
    assert fact is not None
    struct = messages()[message]
    sent, _ = sample(fact.compiled).without(struct, attribute).outcome()
    assert sent != before(fact.compiled)[0]
    if fact.engine:
        _, given = sample(fact.engine).without(struct, attribute).outcome()
        assert given != before(fact.engine)[1]
