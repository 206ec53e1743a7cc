"""Hash policies and the cookies made for them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.test_pick import mix
from tests.core.units import forward, published, web

from roadstead import _lowered as low

HOST, NAME = "a.test", "outbound|80||a.test"
P = low.HashPolicy
# xxh64 of the texts; of "b" with the seed xxh64("a").
A, B, B_AFTER_A, EMPTY = 0xD24EC4F1A98C6E5B, 0x78452AA11AF39F9B, 0x76D9A1916DDCA8E6, 0xEF46DB3751D8E999


def rotl(value: int) -> int:
    return (value << 1 | value >> 63) & 2**64 - 1


def hash_of(engine: ModuleType, policies: tuple[low.HashPolicy, ...], **request: Any) -> int | None:
    eng = published(engine, web(HOST, forward(NAME)._replace(hash_policies=policies)))
    found: int | None = eng.route(HOST, 80, **request).hash
    return found


def test_header(engine: ModuleType) -> None:
    policy = (P(low.HASH_HEADER, "X-User"),)
    assert hash_of(engine, policy, headers={"x-user": "a"}) == A
    assert hash_of(engine, policy, headers={"X-USER": "b"}) == B
    assert hash_of(engine, policy, headers={"x-user": ""}) == EMPTY
    assert hash_of(engine, policy, headers={}) is None
    assert hash_of(engine, policy) is None


def test_several_values_are_sorted_and_chained(engine: ModuleType) -> None:
    policy = (P(low.HASH_HEADER, "x-user"),)
    assert hash_of(engine, policy, headers=[("x-user", "b"), ("X-User", "a")]) == B_AFTER_A
    assert hash_of(engine, policy, headers=[("x-user", "a"), ("x-user", "b")]) == B_AFTER_A


def test_pseudo_headers(engine: ModuleType) -> None:
    policies = [(P(low.HASH_HEADER, name),) for name in (":authority", "host")]
    expected = hash_of(engine, (P(low.HASH_HEADER, "x"),), headers={"x": HOST})
    assert [hash_of(engine, policy) for policy in policies] == [expected, expected]


def test_query(engine: ModuleType) -> None:
    policy = (P(low.HASH_QUERY, "k"),)
    assert hash_of(engine, policy, path="/?k=a&k=b") == A
    assert hash_of(engine, policy, path="/?j=a") is None
    assert hash_of(engine, policy, path="/?k") == EMPTY
    assert hash_of(engine, policy, path="/?k=%61") != A


def test_source_ip(engine: ModuleType) -> None:
    policy = (P(low.HASH_SOURCE_IP),)
    assert hash_of(engine, policy, source_ip="127.0.0.1") == 0xC08B1587DF65B7A7
    assert hash_of(engine, policy) is None


COOKIES = [
    ("ck=a", A),
    ('ck="a"', A),
    ("x=1; ck=b; ck=a", B),
    ("x=1;ck=a", A),
    ("ck=", None),
    ("CK=a", None),
    ("ckk=a", None),
    ("", None),
]


@pytest.mark.parametrize(("line", "expected"), COOKIES)
def test_cookie(engine: ModuleType, line: str, expected: int | None) -> None:
    policy = (P(low.HASH_COOKIE, "ck"),)
    assert hash_of(engine, policy, headers={"Cookie": line}) == expected


def test_cookie_in_the_second_line(engine: ModuleType) -> None:
    assert hash_of(engine, (P(low.HASH_COOKIE, "ck"),), headers=[("cookie", "x=1"), ("cookie", "ck=a")]) == A


MADE = [
    (P(low.HASH_COOKIE, "ck", 0.0), 'ck="{value}"; HttpOnly'),
    (P(low.HASH_COOKIE, "ck", 3600.0, "/p"), 'ck="{value}"; Max-Age=3600; Path=/p; HttpOnly'),
    (
        P(low.HASH_COOKIE, "ck", 60.5, "", (("SameSite", "Lax"), ("Secure", ""))),
        'ck="{value}"; Max-Age=60; SameSite=Lax; Secure; HttpOnly',
    ),
]


@pytest.mark.parametrize(("policy", "text"), MADE)
def test_cookies_are_made(engine: ModuleType, policy: low.HashPolicy, text: str) -> None:
    eng = published(engine, web(HOST, forward(NAME)._replace(hash_policies=(policy,))))
    decision = eng.route(HOST, 80, draw=5)
    value = f"{mix(5):016x}"
    assert decision.set_cookies == (text.format(value=value),)
    # It is hashed for this request already; the next one brings it and gets none.
    following = eng.route(HOST, 80, headers={"cookie": f"ck={value}"})
    assert decision.hash == following.hash is not None
    assert following.set_cookies == ()


def test_policies_are_rotated_together(engine: ModuleType) -> None:
    policies = (P(low.HASH_HEADER, "h"), P(low.HASH_QUERY, "q"), P(low.HASH_SOURCE_IP))
    given: dict[str, Any] = {"headers": {"h": "a"}, "path": "/?q=b", "source_ip": "127.0.0.1"}
    both = rotl(A) ^ B
    assert hash_of(engine, policies, **given) == rotl(both) ^ 0xC08B1587DF65B7A7
    assert hash_of(engine, policies, headers={"h": "a"}, source_ip="127.0.0.1") == rotl(A) ^ 0xC08B1587DF65B7A7


def test_terminal(engine: ModuleType) -> None:
    """It looks at what is there so far, whoever gave it."""
    policies = (P(low.HASH_HEADER, "h"), P(low.HASH_QUERY, "q", terminal=True), P(low.HASH_COOKIE, "ck", 0.0))
    eng = published(engine, web(HOST, forward(NAME)._replace(hash_policies=policies)))
    stopped = eng.route(HOST, 80, headers={"h": "a"})
    assert (stopped.hash, stopped.set_cookies) == (A, ())
    went_on = eng.route(HOST, 80, draw=1)
    assert went_on.hash is not None
    assert len(went_on.set_cookies) == 1


def test_no_policy(engine: ModuleType) -> None:
    decision = published(engine, web(HOST)).route(HOST, 80)
    assert (decision.hash, decision.set_cookies) == (None, ())
