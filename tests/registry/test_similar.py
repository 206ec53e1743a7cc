"""Names that are spelt nearly like another one."""

from __future__ import annotations

import pytest

from roadstead.registry.similar import similar


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("httpbin.or", ["httpbin.org", "example.com"], ("httpbin.org",)),
        ("a.test", [], ()),
        ("x", ["y", "z"], ()),
        ("api1.test", ["api2.test", "api3.test", "api4.test", "api5.test"], ("api5.test", "api4.test", "api3.test")),
    ],
)
def test_few(name: str, known: list[str], found: tuple[str, ...]) -> None:
    assert similar(name, known) == found


def test_many_are_compared_under_the_same_parent() -> None:
    known = [f"s{number}.test" for number in range(3000)]
    assert similar("s299.test", known)
    assert similar("s299.tset", known) == ()
