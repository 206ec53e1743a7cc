"""The host table answers as a look at every name would."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.compile.patterns import HostTable
from roadstead.host import closest, matches, subset_of

NAMES = ("a.x.com", "b.x.com", "x.com", "xx.com", "*.x.com", "*x.com", "*.com", "*", "*.a.x.com", "a.y.org")
names = st.sampled_from(NAMES)


def table(hosts: Iterable[str]) -> HostTable[int]:
    made: HostTable[int] = HostTable()
    for value, host in enumerate(hosts):
        made.put(host, value)
    return made


@given(st.lists(names, unique=True), st.lists(names), names)
def test_questions_are_answered_as_by_looking_at_every_name(put: list[str], gone: list[str], asked: str) -> None:
    made = table(put)
    made.below("*")
    for host in gone:
        made.pop(host)
    kept = [host for host in put if host not in gone]
    assert sorted(made) == sorted(kept)
    assert len(made) == len(kept)
    assert sorted(made.overlapping(asked)) == sorted(host for host in kept if matches(host, asked))
    assert sorted(made.above(asked)) == sorted(host for host in kept if host[0] == "*" and subset_of(asked, host))
    best = list(made.best(asked))
    assert (best[0] if best else None) == closest(asked, kept)
    if asked[0] == "*":
        assert sorted(made.below(asked)) == sorted(host for host in kept if host != asked and subset_of(host, asked))


@pytest.mark.parametrize(
    ("host", "best"),
    [
        ("a.x.com", ["a.x.com", "*.x.com", "*.com", "*"]),
        ("c.x.com", ["*.x.com", "*.com", "*"]),
        ("*.x.com", ["*.x.com", "*.com", "*"]),
        ("*.b.x.com", ["*.x.com", "*.com", "*"]),
        ("x.org", ["*"]),
    ],
)
def test_the_most_specific_comes_first(host: str, best: list[str]) -> None:
    assert list(table(["*", "*.com", "a.x.com", "*.x.com"]).best(host)) == best


def test_a_value_is_replaced_and_removed() -> None:
    made = table(["*.x.com"])
    made.put("*.x.com", 7)
    assert made.get("*.x.com") == 7
    assert made.pop("*.x.com") == 7
    assert made.pop("*.x.com") is None
    assert made.above("a.x.com") == []
