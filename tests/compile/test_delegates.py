"""Merging a delegate's route into the root's."""

from __future__ import annotations

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from roadstead.compile.delegates import conflict, merge
from roadstead.config import HTTPMatchRequest, HTTPRoute, StringMatch


def route(text: str) -> HTTPRoute:
    return msgspec.convert(yaml.safe_load(text), HTTPRoute)


def match(text: str) -> HTTPMatchRequest:
    return msgspec.convert(yaml.safe_load(text), HTTPMatchRequest)


@pytest.mark.parametrize(
    ("root", "delegate", "conflicts"),
    [
        ("{}", "{uri: {regex: /x}}", False),
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}", False),
        ("{uri: {prefix: /a}}", "{uri: {exact: /a}}", False),
        ("{uri: {prefix: /a}}", "{uri: {prefix: /b}}", True),
        ("{uri: {prefix: /a}}", "{uri: {regex: /a/x}}", True),
        ("{uri: {regex: /a}}", "{uri: {exact: /a}}", True),
        ("{uri: {regex: /a}}", "{method: {exact: GET}}", False),
        ("{uri: {exact: /a}}", "{uri: {exact: /a}}", False),
        ("{uri: {exact: /a}}", "{uri: {prefix: /a}}", True),
        ("{method: {exact: GET}}", "{method: {exact: POST}}", True),
        ("{headers: {x: {}}}", "{headers: {x: {exact: a}}}", True),
        ("{headers: {x: {exact: a}}}", "{headers: {y: {exact: b}}}", False),
        ("{withoutHeaders: {x: {exact: a}}}", "{withoutHeaders: {x: {exact: b}}}", True),
        ("{queryParams: {q: {exact: a}}}", "{queryParams: {q: {exact: a}}}", False),
        ("{ignoreUriCase: true}", "{}", True),
        ("{port: 80}", "{port: 81}", True),
        ("{port: 80}", "{}", False),
        ("{sourceNamespace: a}", "{}", True),
        ("{}", "{sourceNamespace: a}", False),
        ("{sourceLabels: {a: x}}", "{sourceLabels: {a: y}}", True),
        ("{sourceLabels: {a: x}}", "{sourceLabels: {b: y}}", False),
        ("{gateways: [mesh]}", "{gateways: [mesh, ns/gw]}", True),
        ("{gateways: [mesh, ns/gw]}", "{gateways: [mesh]}", False),
        ("{gateways: [mesh]}", "{}", False),
    ],
)
def test_conflicts(root: str, delegate: str, conflicts: bool) -> None:
    assert conflict(match(root), match(delegate)) is conflicts


def test_every_root_match_that_fits_a_delegate_match_is_joined_with_it() -> None:
    merged = merge(
        route("{match: [{uri: {prefix: /a}}, {uri: {prefix: /}, headers: {x: {exact: r}}, name: any}]}"),
        route("{match: [{uri: {prefix: /a/b}, name: leaf}, {method: {exact: GET}}]}"),
    )
    assert merged is not None
    made, pairs = merged
    assert pairs == ((0, 0), (1, 0), (0, 1), (1, 1))
    assert [(one.uri.prefix, list(one.headers), one.name) for one in made.match] == [
        ("/a/b", [], "leaf"),
        ("/a/b", ["x"], "any-leaf"),
        ("/a", [], ""),
        ("/", ["x"], "any"),
    ]


def test_one_match_that_fits_nowhere_drops_the_route() -> None:
    root = route("{match: [{uri: {prefix: /a}}]}")
    assert merge(root, route("{match: [{uri: {prefix: /a/b}}, {uri: {prefix: /elsewhere}}]}")) is None


@pytest.mark.parametrize(
    ("root", "delegate", "pairs"),
    [
        ("{}", "{match: [{port: 1}, {port: 2}]}", ((-1, 0), (-1, 1))),
        ("{match: [{port: 1}]}", "{}", ((0, -1),)),
        ("{}", "{}", ()),
    ],
)
def test_one_side_without_matches_gives_way(root: str, delegate: str, pairs: tuple[tuple[int, int], ...]) -> None:
    merged = merge(route(root), route(delegate))
    assert merged is not None
    assert merged[1] == pairs
    assert len(merged[0].match) == len(pairs)


def test_what_the_delegate_leaves_out_comes_from_the_root_as_a_whole() -> None:
    root = route(
        """
        {name: r, timeout: 3s, retries: {attempts: 7}, headers: {request: {set: {x: root, only: "1"}}},
         mirrors: [{destination: {host: m.test}}], fault: {}, corsPolicy: {}, rewrite: {uri: /r}}
        """
    )
    leaf = route("{name: l, timeout: 9s, headers: {request: {set: {x: leaf}}}, route: [{destination: {host: a.test}}]}")
    merged = merge(root, leaf)
    assert merged is not None
    made, _ = merged
    assert (made.name, made.timeout, made.retries.attempts, made.rewrite.uri) == ("r-l", "9s", 7, "/r")
    assert made.headers.request.set == {"x": "leaf"}
    assert (made.fault, made.cors_policy) == (root.fault, root.cors_policy)
    assert made.mirrors == root.mirrors
    assert made.route == leaf.route


def test_route_and_redirect_are_not_inherited() -> None:
    merged = merge(route("{route: [{destination: {host: a.test}}], redirect: {uri: /x}}"), route("{}"))
    assert merged is not None
    assert (merged[0].route, merged[0].redirect) == ((), None)


words = st.text("/ab", min_size=1, max_size=4)
plain = st.builds(StringMatch, exact=words) | st.builds(StringMatch, prefix=words)


def takes(test: StringMatch, text: str) -> bool:
    return text == test.exact if test.exact is not None else text.startswith(test.prefix or "")


@given(plain, plain, words)
def test_where_nothing_conflicts_the_delegates_condition_implies_the_roots(
    root: StringMatch, delegate: StringMatch, text: str
) -> None:
    if not conflict(HTTPMatchRequest(uri=root), HTTPMatchRequest(uri=delegate)) and takes(delegate, text):
        assert takes(root, text)
