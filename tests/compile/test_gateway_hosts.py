"""Virtual hosts of a router's tables."""

from __future__ import annotations

import pytest
import yaml
from tests.compile.selected import client, document, to, virtual_service

from roadstead.compile.gateway_hosts import hosts_for
from roadstead.compile.gateways import gateway_units
from roadstead.mesh import Node, Redirect, VirtualHost

ROUTER = Node(type="router", namespace="istio-system", labels={})


def hosts(servers: str, *rules: str) -> list[VirtualHost]:
    gateway = document("Gateway", "gw", {"servers": yaml.safe_load(servers)}, "edge")
    (unit,) = gateway_units(client(gateway, *rules, node=ROUTER))
    return list(unit.virtual_hosts)


def server(written: str, more: str = "") -> str:
    return f"[{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: {written}{more}}}]"


def rule(
    name: str, written: str, http: str = "[{route: [{destination: {host: a.test}}]}]", namespace: str = "default"
) -> str:
    return virtual_service(name, f"{{hosts: {written}, gateways: [edge/gw], http: {http}}}", namespace)


@pytest.mark.parametrize(
    ("servers", "rules", "expected"),
    [
        ("['*']", "[a.test]", ["a.test"]),
        ("['*.test']", "[a.test, b.other]", ["a.test"]),
        ("[a.test]", "['*.test']", ["a.test"]),
        ("[a.test]", "[b.test]", []),
        ("[default/a.test, other/b.test]", "['*']", ["a.test"]),
        ("['*/a.test']", "['*']", ["a.test"]),
        ("[./a.test]", "['*']", []),
        ("['*/*']", "['*']", ["*"]),
        ("[A.test]", "[A.test]", ["a.test"]),
        ("[A.test]", "['*.test']", ["a.test"]),
        ("[x.A.test]", "['*.a.test']", []),
    ],
)
def test_hosts_are_what_both_sides_have_in_common(servers: str, rules: str, expected: list[str]) -> None:
    found = [domain for one in hosts(server(servers), rule("vs", rules)) for domain, _ in one.domains]
    assert found == expected


def test_a_namespace_of_the_gateway_itself() -> None:
    found = hosts(server("[./a.test]"), rule("vs", "['*']", namespace="edge"))
    assert [one.name for one in found] == ["a.test:80"]


def test_routes_of_several_follow_each_other_with_catch_alls_last() -> None:
    def http(path: str, target: str) -> str:
        return f"""
        [{{match: [{{uri: {{prefix: {path}}}}}], route: [{{destination: {{host: {target}}}}}]}},
         {{route: [{{destination: {{host: {target}}}}}]}}]
        """

    (made,) = hosts(
        server("['*']"),
        rule("one", "[x.test]", http("/one", "a.test")),
        rule("two", "[x.test]", http("/two", "b.test")),
    )
    assert [(one.match.path and one.match.path.value, to(one)) for one in made.routes] == [
        ("/one", "outbound|80||a.test"),
        ("/two", "outbound|80||b.test"),
        (None, "outbound|80||a.test"),
        (None, "outbound|80||b.test"),
    ]


def test_hosts_with_the_same_routes_share_a_virtual_host() -> None:
    (made,) = hosts(server("['*']"), rule("one", "[b.test, longer.test, a.test]"))
    assert made.name == "longer.test:80"
    assert made.domains == (("longer.test", 0), ("a.test", 0), ("b.test", 0))


def test_the_port_of_the_server_is_what_matches_see() -> None:
    servers = "[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]"
    assert hosts(servers, rule("one", "[a.test]", "[{match: [{port: 8080}], redirect: {uri: /x}}]")) == []


def test_https_redirect_takes_every_host_of_the_server() -> None:
    made = hosts(server("[a.test, other/B.test]", ", tls: {httpsRedirect: true}"), rule("one", "[a.test]"))
    assert {one.domains[0][0]: one.require_tls for one in made} == {"a.test": True, "other/b.test": True}
    for one in made:
        (route,) = one.routes
        assert route.redirect == Redirect(scheme="https", keep_port=True)


def test_a_rule_with_nothing_for_the_router_has_no_host() -> None:
    assert hosts(server("['*']"), rule("one", "[a.test]", "[{match: [{gateways: [mesh]}], redirect: {uri: /x}}]")) == []


def test_a_servers_hosts_for_a_namespace() -> None:
    written = ("a.test", "one/b.test", "*/c.test", "two/d.test")
    assert list(hosts_for(written, "one")) == ["a.test", "b.test", "c.test"]
