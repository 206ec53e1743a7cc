"""Conditions of rules."""

from __future__ import annotations

import msgspec
import pytest
import yaml
from tests.compile.selected import client

from roadstead.compile.matches import EVERYTHING, applies, is_catch_all, l4_applies, route_match, string_match
from roadstead.config import HTTPMatchRequest, L4MatchAttributes
from roadstead.config import StringMatch as Written
from roadstead.mesh import HeaderMatch, Node, QueryMatch, RouteMatch, StringMatch

NODE = Node(namespace="shop", labels={"app": "web", "tier": "front"})


def match(text: str) -> HTTPMatchRequest:
    return msgspec.convert(yaml.safe_load(text), HTTPMatchRequest)


@pytest.mark.parametrize(
    ("text", "gateway", "holds"),
    [
        ("{}", "mesh", True),
        ("{port: 80}", "mesh", True),
        ("{port: 81}", "mesh", False),
        ("{sourceNamespace: shop}", "mesh", True),
        ("{sourceNamespace: other}", "mesh", False),
        ("{sourceLabels: {app: web}}", "mesh", True),
        ("{sourceLabels: {app: web, tier: back}}", "mesh", False),
        ("{gateways: [mesh]}", "mesh", True),
        ("{gateways: [ns/gw]}", "mesh", False),
        ("{gateways: [ns/gw]}", "ns/gw", True),
        # One that names gateways does not look at the source.
        ("{gateways: [mesh], sourceNamespace: other, sourceLabels: {app: other}}", "mesh", True),
        ("{gateways: [mesh], port: 81}", "mesh", False),
    ],
)
def test_what_is_settled_for_a_client(text: str, gateway: str, holds: bool) -> None:
    assert applies(match(text), client(node=NODE).env, 80, gateway) is holds


@pytest.mark.parametrize(
    ("text", "gateway", "holds"),
    [
        ("{}", "mesh", True),
        ("{gateways: [mesh], sourceNamespace: other}", "mesh", False),
        ("{gateways: [ns/gw]}", "mesh", False),
        ("{sourceLabels: {app: web}, port: 80}", "mesh", True),
        ("{sourceLabels: {app: other}}", "mesh", False),
        ("{sourceLabels: {app: other}, gateways: [ns/gw]}", "ns/gw", True),
        ("{port: 443}", "ns/gw", False),
    ],
)
def test_l4_looks_at_everything_except_on_routers(text: str, gateway: str, holds: bool) -> None:
    attributes = msgspec.convert(yaml.safe_load(text), L4MatchAttributes)
    assert l4_applies(attributes, client(node=NODE).env, 80, gateway) is holds


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{exact: ''}", StringMatch("exact", "")),
        ("{prefix: a}", StringMatch("prefix", "a")),
        ("{regex: 'a.*'}", StringMatch("regex", "a.*")),
        ("{regex: '*'}", StringMatch("present")),
        ("{}", StringMatch("present")),
    ],
)
def test_texts(text: str, made: StringMatch) -> None:
    assert string_match(msgspec.convert(yaml.safe_load(text), Written)) == made


@pytest.mark.parametrize(
    ("text", "path", "ignore_case"),
    [
        ("{}", StringMatch("prefix", "/"), False),
        ("{uri: {}}", StringMatch("prefix", "/"), False),
        ("{uri: {exact: /a}}", StringMatch("exact", "/a"), False),
        ("{uri: {prefix: ''}}", StringMatch("prefix", ""), False),
        ("{uri: {prefix: /A}, ignoreUriCase: true}", StringMatch("prefix", "/A"), True),
        ("{uri: {regex: '/v[0-9]+'}}", StringMatch("regex", "/v[0-9]+"), False),
    ],
)
def test_paths(text: str, path: StringMatch, ignore_case: bool) -> None:
    made = route_match(match(text))
    assert (made.path, made.ignore_case) == (path, ignore_case)


def test_headers_by_name_then_the_pseudo_headers() -> None:
    made = route_match(
        match(
            """
            {scheme: {exact: https}, authority: {prefix: a.}, method: {exact: GET},
             headers: {x-b: {exact: b}, X-Up: {}}, withoutHeaders: {x-a: {prefix: un}, x-c: {}},
             queryParams: {r: {}, q: {exact: "1"}}}
            """
        )
    )
    assert made.headers == (
        HeaderMatch("X-Up", StringMatch("present")),
        HeaderMatch("x-a", StringMatch("prefix", "un"), True, True),
        HeaderMatch("x-b", StringMatch("exact", "b")),
        HeaderMatch("x-c", StringMatch("present"), True, False),
        HeaderMatch(":method", StringMatch("exact", "GET")),
        HeaderMatch(":authority", StringMatch("prefix", "a.")),
        HeaderMatch(":scheme", StringMatch("exact", "https")),
    )
    assert made.queries == (QueryMatch("q", StringMatch("exact", "1")), QueryMatch("r", StringMatch("present")))


def test_claims_of_a_token_are_no_headers() -> None:
    made = route_match(match('{headers: {"@request.auth.claims.group": {exact: dev}, x: {exact: y}}}'))
    assert [header.name for header in made.headers] == ["x"]
    assert made.claims == (HeaderMatch("@request.auth.claims.group", StringMatch("exact", "dev")),)


@pytest.mark.parametrize(
    ("made", "ends"),
    [
        (EVERYTHING, True),
        (RouteMatch(StringMatch("prefix", "/")), True),
        (RouteMatch(StringMatch("regex", ".*")), True),
        (RouteMatch(StringMatch("prefix", "")), False),
        (RouteMatch(StringMatch("prefix", "/a")), False),
        (RouteMatch(StringMatch("exact", "/")), False),
        (RouteMatch(headers=(HeaderMatch("x", StringMatch("present")),)), False),
        (RouteMatch(queries=(QueryMatch("x", StringMatch("present")),)), False),
        (RouteMatch(claims=(HeaderMatch("x", StringMatch("present")),)), False),
    ],
)
def test_what_ends_the_list(made: RouteMatch, ends: bool) -> None:
    assert is_catch_all(made) is ends
