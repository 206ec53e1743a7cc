"""HTTP routes of a VirtualService."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compile.selected import client, destination_rule, entry, to, virtual_service

from roadstead.compile.matches import is_catch_all
from roadstead.compile.retries import DEFAULT
from roadstead.compile.routes import accepted, default_route, http_routes
from roadstead.mesh import HashKey, HeaderOps, Mirror, Node, Origin, Redirect, Route, StringMatch
from roadstead.mesh.route import NO_OPS

A = entry("a.test", "80/HTTP")
TO_A = "route: [{destination: {host: a.test}}]"
TO_B = "route: [{destination: {host: b.test}}]"


def routes(http: str, *others: str, port: int = 80, gateway: str = "mesh", **options: object) -> tuple[Route, ...]:
    gateways = "[mesh, default/gw]"
    root = virtual_service("vs", f"{{hosts: [a.test], gateways: {gateways}, http: {http}}}")
    scope = client(A, root, *others, **options)
    (rules,) = scope.virtual_services("a.test", gateway)
    return http_routes(scope, rules, port, gateway)


def route(text: str, *others: str, **options: object) -> Route:
    (made,) = routes(f"[{text}]", *others, **options)
    return made


def test_each_match_is_a_route_and_nothing_follows_one_that_takes_everything() -> None:
    made = routes(
        f"""
        [{{name: first, match: [{{uri: {{prefix: /a}}, name: x}}, {{uri: {{exact: /b}}}}], {TO_A}}},
         {{match: [{{uri: {{prefix: /}}}}, {{uri: {{prefix: /late}}}}], {TO_B}}},
         {{{TO_A}}}]
        """
    )
    assert [(one.name, one.match.path, to(one)) for one in made] == [
        ("first.x", StringMatch("prefix", "/a"), "outbound|80||a.test"),
        ("first", StringMatch("exact", "/b"), "outbound|80||a.test"),
        ("", StringMatch("prefix", "/"), "outbound|80||b.test"),
    ]


def test_a_catch_all_for_others_does_not_end_the_list() -> None:
    made = routes(f"[{{match: [{{sourceNamespace: other}}], {TO_A}}}, {{{TO_B}}}]")
    assert [to(one) for one in made] == ["outbound|80||b.test"]


def test_only_conditions_on_the_source_make_a_catch_all() -> None:
    made = routes(f"[{{match: [{{sourceLabels: {{app: client}}}}], {TO_A}}}, {{{TO_B}}}]")
    assert [to(one) for one in made] == ["outbound|80||a.test"]


def test_nothing_for_this_client_is_nothing() -> None:
    assert routes(f"[{{match: [{{port: 81}}, {{gateways: [other]}}], {TO_A}}}]") == ()


def test_origins_name_the_rule_and_the_match() -> None:
    made = routes(f"[{{match: [{{port: 81}}, {{uri: {{exact: /b}}}}], {TO_A}}}, {{{TO_B}}}]")
    assert [one.origin for one in made] == [
        Origin("VirtualService", "default", "vs", "/spec/http/0/match/1"),
        Origin("VirtualService", "default", "vs", "/spec/http/1"),
    ]


def test_origins_of_delegates() -> None:
    leaf = virtual_service("leaf", f"{{http: [{{{TO_B}}}, {{match: [{{uri: {{prefix: /a/b}}}}], {TO_B}}}]}}", "team")
    delegate = "delegate: {name: leaf, namespace: team}"
    made = routes(f"[{{match: [{{uri: {{prefix: /a}}}}], {delegate}}}, {{{delegate}}}]", leaf)
    assert [(one.origin.path, one.delegate_origin and str(one.delegate_origin)) for one in made] == [
        ("/spec/http/0/match/0", "VirtualService/team/leaf/spec/http/0"),
        ("/spec/http/0/match/0", "VirtualService/team/leaf/spec/http/1/match/0"),
        ("/spec/http/1", "VirtualService/team/leaf/spec/http/0"),
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[{destination: {host: a.test}, weight: 0}]", "outbound|80||a.test"),
        ("[{destination: {host: a.test, subset: v1, port: {number: 8080}}}]", "outbound|8080|v1|a.test"),
        (
            "[{destination: {host: a.test}, weight: 30}, {destination: {host: b.test}, weight: 10}]",
            "outbound|80||a.test*30, outbound|80||b.test*10",
        ),
        ("[{destination: {host: a.test}}, {destination: {host: b.test}, weight: 5}]", "outbound|80||b.test*5"),
        ("[{destination: {host: B.test}}]", "outbound|80||B.test"),
        ("[{}]", "UnknownService"),
    ],
)
def test_destinations(text: str, where: str) -> None:
    assert to(route(f"{{route: {text}}}")) == where


def test_no_weight_at_all_is_no_route() -> None:
    assert routes("[{route: [{destination: {host: a.test}}, {destination: {host: b.test}}]}]") == ()


@pytest.mark.parametrize(
    ("node", "port"),
    [
        # A sidecar looks only at what has the listener's port.
        pytest.param(Node(), 80, id="sidecar"),
        pytest.param(Node(type="router"), 8080, id="router"),
    ],
)
def test_a_destination_without_port(node: Node, port: int) -> None:
    made = route(f"{{{TO_B}}}", entry("b.test", "8080/HTTP"), node=node)
    assert to(made) == f"outbound|{port}||b.test"


def test_a_router_leaves_services_of_several_ports_at_the_listeners() -> None:
    made = route(f"{{{TO_B}}}", entry("b.test", "8080/HTTP", "81/HTTP"), node=Node(type="router"))
    assert to(made) == "outbound|80||b.test"


@pytest.mark.parametrize(("seen", "port"), [("*", 9090), ("gw", 9090), (".", 8080)])
def test_a_router_asks_the_rules_own_namespace_first(seen: str, port: int) -> None:
    """If the router sees the service there; else whoever has the host for it."""
    theirs = entry("b.test", "8080/HTTP", name="a").replace("namespace: default", "namespace: a-namespace")
    own = entry("b.test", "9090/HTTP", name="b", exportTo=[seen])
    made = route(f"{{{TO_B}}}", theirs, own, node=Node(type="router", namespace="gw"))
    assert to(made) == f"outbound|{port}||b.test"


def test_without_a_word_there_is_no_timeout_but_the_default_retries() -> None:
    made = route(f"{{{TO_A}}}")
    assert made.timeout is None
    assert made.retry is DEFAULT


def test_timeout_and_retries() -> None:
    made = route(f"{{timeout: 10s, retries: {{attempts: 3, perTryTimeout: 3s}}, {TO_A}}}")
    assert made.timeout == 10.0
    assert made.retry is not None
    assert (made.retry.attempts, made.retry.per_try_timeout) == (3, 3.0)
    assert made.retry_origin == Origin("VirtualService", "default", "vs", "/spec/http/0/retries")
    assert route(f"{{retries: {{}}, {TO_A}}}").retry is None


def test_headers_of_a_single_destination_come_behind_the_routes() -> None:
    made = route(
        """
        {headers: {request: {set: {x: route}}},
         route: [{destination: {host: a.test}, headers: {request: {set: {x: one, host: d.test}, remove: [y]}}}]}
        """
    )
    assert made.headers == HeaderOps(request_set=(("x", "route"),))
    assert made.headers_after == HeaderOps(request_set=(("x", "one"),), request_remove=("y",))
    assert made.destinations[0].headers is NO_OPS
    assert made.host_rewrite == "d.test"


def test_headers_of_several_destinations_stay_with_them() -> None:
    made = route(
        """
        {route: [{destination: {host: a.test}, weight: 1, headers: {request: {set: {x: one, host: d.test}}}},
                 {destination: {host: b.test}, weight: 1}]}
        """
    )
    first, second = made.destinations
    assert (first.headers, first.host_rewrite) == (HeaderOps(request_set=(("x", "one"),)), "d.test")
    assert (second.headers, second.host_rewrite) == (NO_OPS, "")
    assert (made.headers_after, made.host_rewrite) == (NO_OPS, "")


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("rewrite: {authority: r.test}, headers: {request: {set: {host: s.test}}}", "r.test"),
        ("headers: {request: {set: {host: s.test}, add: {host: a.test}}}", "s.test"),
        ("headers: {request: {add: {host: a.test}}}", "a.test"),
        ("rewrite: {uri: /x}", "d.test"),
    ],
)
def test_whose_authority_holds(text: str, authority: str) -> None:
    target = "{destination: {host: a.test}, headers: {request: {set: {host: d.test}}}}"
    assert route(f"{{{text}, route: [{target}]}}").host_rewrite == authority


@pytest.mark.parametrize(
    ("rewrite", "prefix", "regex"),
    [
        ("{uri: /v2}", "/v2", None),
        ("{authority: x.test}", None, None),
        ("{uri: /v2, uriRegexRewrite: {match: '^/(.*)$', rewrite: '/x/\\1'}}", None, ("^/(.*)$", "/x/\\1")),
    ],
)
def test_rewrites(rewrite: str, prefix: str | None, regex: tuple[str, str] | None) -> None:
    made = route(f"{{rewrite: {rewrite}, {TO_A}}}")
    assert (made.prefix_rewrite, made.regex_rewrite) == (prefix, regex)


def test_mirrors() -> None:
    made = route(
        f"""
        {{mirror: {{host: m.test, port: {{number: 81}}}}, mirrorPercentage: {{value: 12.5}},
          mirrors: [{{destination: {{host: n.test, subset: v2}}}},
                    {{destination: {{host: n.test}}, percentage: {{value: 0}}}}], {TO_A}}}
        """
    )
    assert made.mirrors == (
        Mirror("outbound|81||m.test", 125_000),
        Mirror("outbound|80|v2|n.test", 1_000_000, "HUNDRED"),
    )


def test_faults_and_cors() -> None:
    made = route(
        f"""
        {{fault: {{delay: {{fixedDelay: 1s, percentage: {{value: 30}}}}, abort: {{httpStatus: 500}}}},
          corsPolicy: {{}}, {TO_A}}}
        """
    )
    assert made.delay is not None
    assert made.abort is not None
    assert made.cors is not None


def test_a_redirect_beats_a_direct_response_beats_a_route() -> None:
    redirect = route(f"{{redirect: {{uri: /n}}, directResponse: {{status: 200}}, {TO_A}}}")
    assert (redirect.redirect, redirect.direct_response, redirect.destinations) == (Redirect(path="/n"), None, ())
    direct = route(f"{{directResponse: {{status: 200}}, headers: {{response: {{set: {{x: y}}}}}}, {TO_A}}}")
    assert (direct.direct_response.status, direct.destinations) == (200, ())
    assert direct.headers.response_set == (("x", "y"),)


def test_what_envoy_refuses_is_left_out_alone() -> None:
    made = routes(f"[{{match: [{{uri: {{exact: /x}}}}], redirect: {{redirectCode: 304}}}}, {{{TO_B}}}]")
    assert [one.refused for one in made] == [True, False]
    assert [to(one) for one in accepted(made)] == ["outbound|80||b.test"]
    assert accepted(accepted(made)) == accepted(made)


HASHING = """
trafficPolicy:
  loadBalancer: {consistentHash: {httpHeaderName: x-user}}
  portLevelSettings: [{port: {number: 80}, loadBalancer: {consistentHash: {httpHeaderName: x-port}}}]
subsets:
- {name: v1, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}}
"""


@pytest.mark.parametrize(
    ("destination", "keys"),
    [
        ("{host: a.test}", (HashKey("header", "x-user"),)),
        ("{host: a.test, port: {number: 80}}", (HashKey("header", "x-port"),)),
        ("{host: a.test, subset: v1}", (HashKey("source_ip"),)),
        ("{host: b.test}", ()),
    ],
)
def test_hash_keys_come_from_the_destinations_rule(destination: str, keys: tuple[HashKey, ...]) -> None:
    made = route(f"{{route: [{{destination: {destination}}}]}}", destination_rule("a.test", HASHING))
    assert made.hash_policies == keys
    assert made.retry is not None
    assert made.retry.ignore_previous_hosts is not bool(keys)


def test_keys_of_several_destinations_are_one_list() -> None:
    made = route(
        """
        {route: [{destination: {host: a.test, subset: v1}, weight: 1}, {destination: {host: a.test}, weight: 1}]}
        """,
        destination_rule("a.test", HASHING),
    )
    assert made.hash_policies == (HashKey("source_ip"), HashKey("header", "x-user"))
    assert made.retry is DEFAULT


def test_the_default_route() -> None:
    scope = client(A, destination_rule("a.test", HASHING))
    view = scope.view("a.test")
    assert view is not None
    made = default_route(scope, view, 80)
    assert (made.name, to(made), made.retry, made.timeout) == ("default", "outbound|80||a.test", DEFAULT, None)
    assert made.hash_policies == (HashKey("header", "x-port"),)
    assert made.origin == view.merged.origin


matches = st.sampled_from(
    [
        "{}",
        "{uri: {prefix: /}}",
        "{uri: {prefix: /a}}",
        "{uri: {regex: '.*'}}",
        "{method: {exact: GET}}",
        "{port: 81}",
        "{sourceNamespace: other}",
    ]
)


@given(st.lists(st.lists(matches, max_size=3), min_size=1, max_size=4))
def test_only_the_last_route_takes_everything(rules: list[list[str]]) -> None:
    made = routes("[" + ", ".join([f"{{match: [{', '.join(rule)}], {TO_A}}}" for rule in rules]) + "]")
    assert not any(is_catch_all(one.match) for one in made[:-1])
