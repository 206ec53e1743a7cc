"""Host patterns: the table of the module, and what must hold for any names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.host import Host, closest, expand, gateway_key, is_ip, matches, normalise, specificity, subset_of

NAMES = st.lists(st.sampled_from(["a", "b", "com", "x", ""]), min_size=1, max_size=4).map(".".join)
PATTERNS = NAMES | NAMES.map(lambda name: f"*.{name}") | NAMES.map(lambda name: f"*{name}") | st.just("*")


@pytest.mark.parametrize(
    ("a", "b", "overlap", "within"),
    [
        ("a.x.com", "a.x.com", True, True), ("a.x.com", "b.x.com", False, False), ("a.x.com", "*.x.com", True, True),
        ("*.x.com", "a.x.com", True, False), ("x.com", "*.x.com", False, False), ("x.com", "*x.com", True, True),
        ("ax.com", "*x.com", True, True), (".x.com", "*.x.com", True, True), ("*.a.x.com", "*.x.com", True, True),
        ("*.x.com", "*.a.x.com", True, False), ("*.x.com", "*.y.com", False, False), ("", "*", True, True),
        ("*", "*", True, True), ("*", "a", True, False), ("A.x.com", "a.x.com", False, False), ("a.x.com.", "a.x.com", False, False),
    ],
)  # fmt: skip
def test_table(a: str, b: str, overlap: bool, within: bool) -> None:
    assert matches(a, b) is overlap
    assert matches(b, a) is overlap
    assert subset_of(a, b) is within
    assert Host(a).matches(b) is overlap
    assert Host(a).subset_of(b) is within
    assert Host(a).is_wildcard is a.startswith("*")


@given(PATTERNS, PATTERNS)
def test_overlap_is_symmetric_and_follows_from_subset(a: str, b: str) -> None:
    assert matches(a, b) == matches(b, a)
    if subset_of(a, b):
        assert matches(a, b)
    if subset_of(a, b) and subset_of(b, a):
        assert a == b


@given(PATTERNS, PATTERNS, NAMES)
def test_subset_is_what_it_says(a: str, b: str, name: str) -> None:
    if subset_of(a, b) and subset_of(name, a):
        assert subset_of(name, b)
    if subset_of(name, a) and subset_of(name, b):
        assert matches(a, b)


@given(st.lists(PATTERNS, max_size=6), PATTERNS)
def test_closest_is_the_most_specific_that_takes_all(patterns: list[str], name: str) -> None:
    found = closest(name, patterns)
    taking = [pattern for pattern in patterns if subset_of(name, pattern)]
    assert found == (min(taking, key=specificity) if taking else None)


def test_specificity() -> None:
    assert sorted(["*", "b.x", "*.x.com", "a.x", "*.com", "long.x.com", "*x.com"], key=specificity) == [
        "long.x.com", "a.x", "b.x", "*.x.com", "*x.com", "*.com", "*",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("reviews", "reviews.ns.svc.cluster.local"), ("reviews.prod", "reviews.prod"), ("*", "*"), ("", ""),
        ("10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("2001:db8::1", "2001:db8::1"), ("a.b.c", "a.b.c"), ("123", "123.ns.svc.cluster.local"),
    ],
)  # fmt: skip
def test_short_names(name: str, full: str) -> None:
    assert expand(name, "ns") == full


def test_short_names_without_a_domain() -> None:
    assert expand("reviews", "ns", "") == "reviews.ns"
    assert expand("reviews", "ns", "corp.test") == "reviews.ns.svc.corp.test"


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("mesh", "mesh"), ("gw", "ns/gw"), ("./gw", "ns/gw"), ("other/gw", "other/gw"),
        ("gw.other", "other/gw"), ("gw.other.svc.cluster.local", "other/gw"),
    ],
)  # fmt: skip
def test_gateway_references(reference: str, key: str) -> None:
    assert gateway_key(reference, "ns") == key


@pytest.mark.parametrize(
    ("said", "looked_up"),
    [
        ("A.Example.COM", "a.example.com"), ("a.b.", "a.b"), ("a.b:80", "a.b"), ("A.b.:8080", "a.b"), ("a.b..", "a.b."),
        ("[::1]:80", "::1"), ("[::1]", "::1"), ("::1", "::1"), ("1.2.3.4:5", "1.2.3.4"), ("a:b", "a:b"), ("", ""), ("[::1", "[::1"),
    ],
)  # fmt: skip
def test_normalised(said: str, looked_up: str) -> None:
    assert normalise(said) == looked_up


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("1.2.3.4", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("01.2.3.4", False),
        ("1.2.3", False),
        ("a", False),
        ("", False),
    ],
)
def test_addresses(text: str, truth: bool) -> None:
    assert is_ip(text) is truth
