"""How findings look and sort."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import roadstead.config
from roadstead.config import CODES, Finding
from roadstead.config.findings import refuses


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (
            Finding("DEC-1", "error", "unknown field 'x'", "f.yaml", 3, 7, "spec.x", "did you mean y?"),
            "f.yaml:3:7: error[DEC-1] spec.x: unknown field 'x' (did you mean y?)",
        ),
        (Finding("DOC-3", "info", "skipped", "f.yaml", 3), "f.yaml:3: info[DOC-3]: skipped"),
        (Finding("SE-5", "error", "is required", path="spec.hosts"), "-: error[SE-5] spec.hosts: is required"),
    ],
)
def test_text(finding: Finding, text: str) -> None:
    assert str(finding) == text


def test_order_is_by_place_then_by_weight() -> None:
    first = Finding("B", "warning", "", "a.yaml", 1, 1)
    worse = Finding("C", "error", "", "a.yaml", 1, 1)
    later = Finding("A", "error", "", "a.yaml", 2, 1)
    other = Finding("A", "error", "", "b.yaml", 1, 1)
    assert sorted([other, later, first, worse]) == [worse, first, later, other]


def test_only_errors_refuse() -> None:
    assert not refuses((Finding("A", "warning", ""), Finding("A", "info", "")))
    assert refuses((Finding("A", "warning", ""), Finding("A", "error", "")))


def test_every_code_in_use_is_listed_or_a_rule_of_the_tables() -> None:
    source = Path(roadstead.config.__file__).parent
    used = {
        code for path in source.rglob("*.py") for code in re.findall(r'"([A-Z]+(?:-[A-Z]+)?-[0-9]+)"', path.read_text())
    }
    tables = re.compile(r"(SE|WE|WG|VS|DR|GW|SC|PA|EXP|MC|META|K-[A-Z]+)-[0-9]+")
    assert {code for code in used if code not in CODES and not tables.fullmatch(code)} == set()
    assert set(CODES) <= used | {"DOC-1"}
