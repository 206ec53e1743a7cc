"""Every case, every client: clusters, endpoints, listeners, routes and services are those that Istio made."""

from __future__ import annotations

import pytest
from tests.golden.mutations import MUTATIONS, Mutation
from tests.golden.normal_form import differences
from tests.golden.recorded import CASES, Case, case_of, text_of

ISTIOS_MISTAKES: dict[tuple[str, str], str] = {}
"""(case, client) → why Istio's own output is held to be wrong there. Fewer than five."""


def unequal(case: Case, name: str) -> list[str]:
    return [
        f"{client}: {line}"
        for client, recorded in case.clients.items()
        if (name, client) not in ISTIOS_MISTAKES
        for line in differences(recorded.expected(name, client), case.found(recorded))
    ]


@pytest.mark.parametrize("name", CASES)
def test_is_what_istio_made(name: str) -> None:
    found = unequal(case_of(text_of(name)), name)
    assert not found, "\n".join(found[:40])


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
@pytest.mark.parametrize("name", CASES)
def test_names_and_places_of_documents_decide_nothing(name: str, mutation: Mutation) -> None:
    text = text_of(name)
    mutated = mutation(text)
    found = unequal(case_of(mutated), name) if mutated != text else []
    assert not found, "\n".join(found[:40])


def test_mistakes_are_few() -> None:
    assert len(ISTIOS_MISTAKES) < 5
