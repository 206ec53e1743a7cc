"""Localities: the table of the module."""

from __future__ import annotations

import pytest

from roadstead.locality import Locality, of_endpoint, parse


@pytest.mark.parametrize(
    ("text", "parts", "shown"),
    [
        ("", ("", "", ""), ""), ("us", ("us", "", ""), "us"), ("us/a", ("us", "a", ""), "us/a"),
        ("us/a/1", ("us", "a", "1"), "us/a/1"), ("us/a/1/x", ("us", "a", "1"), "us/a/1"), ("us//1", ("us", "", "1"), "us//1"),
    ],
)  # fmt: skip
def test_table(text: str, parts: tuple[str, str, str], shown: str) -> None:
    assert parse(text) == Locality(*parts)
    assert str(parse(text)) == shown


@pytest.mark.parametrize(
    ("field", "labels", "locality"),
    [
        ("us/a", {"istio-locality": "eu.b"}, "us/a"), ("us.a", {}, "us.a"), ("", {"istio-locality": "eu.b"}, "eu/b"),
        ("", {"istio-locality": "eu/b.c"}, "eu/b.c"), ("", {"topology.istio.io/locality": "x.y", "istio-locality": "z"}, "x/y"),
        ("", {"topology.kubernetes.io/region": "us", "region": "us"}, ""),
    ],
)  # fmt: skip
def test_of_an_endpoint(field: str, labels: dict[str, str], locality: str) -> None:
    assert of_endpoint(field, labels) == locality
