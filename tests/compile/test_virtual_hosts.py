"""Who owns a host at a port, and the names it answers to."""

from __future__ import annotations

import pytest
from tests.compile.selected import client, entry, to, virtual_service

from roadstead.compile.host import compile_all
from roadstead.compile.scope import ClientScope
from roadstead.compile.virtual_hosts import alternative_names, rule_hosts, virtual_hosts
from roadstead.mesh import Node, VirtualHost


def hosts(scope: ClientScope, host: str) -> dict[int, VirtualHost]:
    view = scope.view(host)
    made = rule_hosts(scope, host) if view is None else virtual_hosts(scope, view)
    return {one.port: one for one in made}


def rule(name: str, hosts: str, target: str = "target.test", more: str = "") -> str:
    return virtual_service(name, f"{{hosts: {hosts}, http: [{{{more} route: [{{destination: {{host: {target}}}}}]}}]}}")


def targets(scope: ClientScope, host: str) -> dict[int, str]:
    return {port: ", ".join(map(to, one.routes)) for port, one in hosts(scope, host).items()}


def domains(scope: ClientScope, host: str, port: int = 80) -> dict[str, int]:
    return dict(hosts(scope, host)[port].domains)


def test_a_service_without_a_rule_has_its_default_route_on_http_and_sniffed_ports() -> None:
    scope = client(entry("a.test", "80/HTTP", "81/GRPC", "82", "443/HTTPS", "5432/TCP", "53/UDP"))
    assert targets(scope, "a.test") == {port: f"outbound|{port}||a.test" for port in (80, 81, 82)}
    assert domains(scope, "a.test") == {"a.test": 1, "a.test.": 2}
    made = hosts(scope, "a.test")[80]
    assert (made.name, made.tls) == ("a.test:80", False)
    assert str(made.origin) == "ServiceEntry/default/se-a.test"


def test_the_first_that_claims_a_host_owns_it_at_every_http_port() -> None:
    scope = client(entry("a.test", "80/HTTP", "81/HTTP"), rule("one", "[a.test]", "one.test"), rule("two", "[a.test]"))
    assert targets(scope, "a.test") == {80: "outbound|80||one.test", 81: "outbound|81||one.test"}
    assert domains(scope, "a.test") == {"a.test": 0, "a.test.": 2}
    assert str(hosts(scope, "a.test")[80].origin) == "VirtualService/default/one"


def test_one_that_has_nothing_for_this_client_claims_nothing() -> None:
    only_others = "match: [{sourceNamespace: other}],"
    scope = client(
        entry("a.test", "80/HTTP"), rule("one", "[a.test]", "one.test", only_others), rule("two", "[a.test]")
    )
    assert targets(scope, "a.test") == {80: "outbound|80||target.test"}
    alone = client(entry("a.test", "80/HTTP"), rule("one", "[a.test]", "one.test", only_others))
    assert targets(alone, "a.test") == {80: "outbound|80||a.test"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param({"one": "['*.test']", "two": "[a.test]"}, "two", id="the exact one wins over an older wildcard"),
        pytest.param({"one": "['*.test']", "two": "['*.a.test']"}, "one", id="the other wildcard is elsewhere"),
        pytest.param({"one": "['*t']", "two": "['*.test']"}, "two", id="the longer wildcard"),
        pytest.param({"one": "['*.test']", "two": "['*.test']"}, "one", id="the older of equals"),
        pytest.param({"one": "[b.test, '*.test']", "two": "[c.test]"}, "one", id="one of several hosts"),
    ],
)
def test_the_closest_wildcard(rules: dict[str, str], expected: str) -> None:
    scope = client(entry("a.test", "80/HTTP"), *[rule(name, written, f"{name}.out") for name, written in rules.items()])
    assert targets(scope, "a.test") == {80: f"outbound|80||{expected}.out"}


def test_a_closer_rule_that_is_not_for_this_client_still_keeps_wildcards_away() -> None:
    only_others = "match: [{sourceNamespace: other}],"
    exact = rule("exact", "[a.test]", "x.test", only_others)
    scope = client(entry("a.test", "80/HTTP"), exact, rule("wild", "['*.test']"))
    assert targets(scope, "a.test") == {80: "outbound|80||a.test"}


def test_a_wildcard_service_is_claimed_by_wildcards_that_contain_it() -> None:
    wild = entry("*.a.test", "80/HTTP")
    assert targets(client(wild, rule("one", "['*.test']")), "*.a.test") == {80: "outbound|80||target.test"}
    assert targets(client(wild, rule("one", "['*.a.test']")), "*.a.test") == {80: "outbound|80||target.test"}
    inside = client(wild, rule("one", "[b.a.test]"))
    assert targets(inside, "*.a.test") == {80: "outbound|80||*.a.test"}
    assert targets(inside, "b.a.test") == {80: "outbound|80||target.test"}


def test_capitals_are_folded_for_names_and_not_for_wildcards() -> None:
    scope = client(entry("Big.test", "80/HTTP"), rule("one", "[BIG.test]"))
    assert hosts(scope, "Big.test")[80].name == "big.test:80"
    assert targets(scope, "Big.test") == {80: "outbound|80||target.test"}
    wild = client(entry("Big.test", "80/HTTP"), rule("one", "['*.test']"))
    assert targets(wild, "Big.test") == {80: "outbound|80||big.test"}


OTHER = entry("other.test", "80/HTTP", "8080/HTTP", "9000/TCP")


def test_a_host_without_a_service_has_routes_on_port_80_only() -> None:
    scope = client(OTHER, rule("one", "[plain.test]"))
    assert targets(scope, "plain.test") == {80: "outbound|80||target.test"}
    assert domains(scope, "plain.test") == {"plain.test": 0}


def test_and_on_http_ports_of_services_of_the_same_rule() -> None:
    scope = client(OTHER, rule("one", "[plain.test, other.test]"))
    assert set(targets(scope, "plain.test")) == {80, 8080}
    wild = client(OTHER, rule("one", "[plain.test, '*.test']"))
    assert set(targets(wild, "plain.test")) == {80, 8080}
    taken = client(OTHER, rule("one", "[plain.test, '*.test']"), rule("two", "[other.test]"))
    assert set(targets(taken, "plain.test")) == {80}


@pytest.mark.parametrize(
    ("other", "heard"),
    [("80/HTTP", True), ("80", True), ("80/TCP", False), ("8080/HTTP", False)],
)
def test_without_an_http_listener_there_is_no_table_to_be_in(other: str, heard: bool) -> None:
    scope = client(entry("other.test", other), rule("one", "[plain.test]"))
    assert bool(targets(scope, "plain.test")) is heard


def test_a_service_is_plain_on_port_80_if_it_lacks_the_port() -> None:
    scope = client(OTHER, entry("a.test", "8080/HTTP"), rule("one", "[a.test]"))
    assert targets(scope, "a.test") == {8080: "outbound|8080||target.test", 80: "outbound|80||target.test"}
    assert domains(scope, "a.test", 80) == {"a.test": 0}


def test_a_wildcard_over_services_is_not_plain() -> None:
    scope = client(OTHER, rule("one", "['*.test']"), rule("two", "['*.other']"))
    assert targets(scope, "*.test") == {}
    assert targets(scope, "*.other") == {80: "outbound|80||target.test"}


def test_a_mere_destination_is_plain() -> None:
    sidecar = "kind: Sidecar\nmetadata: {name: s, namespace: default}\nspec: {egress: [{hosts: ['*/other.test']}]}"
    scope = client(
        OTHER,
        entry("a.test", "80/HTTP"),
        rule("one", "[other.test, a.test]", "a.test"),
        sidecar,
    )
    view = scope.view("a.test")
    assert view is not None
    assert view.imported
    assert domains(scope, "a.test") == {"a.test": 0}


def test_names_inside_the_cluster() -> None:
    host = "svc.default.svc.cluster.local"
    assert domains(client(entry(host, "80/HTTP")), host) == {
        host: 1,
        f"{host}.": 2,
        "svc": 2,
        "svc.default.svc": 2,
        "svc.default": 2,
    }


@pytest.mark.parametrize(
    ("host", "domain", "names"),
    [
        ("s.c.svc.cluster.local", "c.svc.cluster.local", ("s", "s.c.svc", "s.c")),
        ("s.d.svc.cluster.local", "c.svc.cluster.local", ("s.d", "s.d.svc")),
        ("a.test", "c.svc.cluster.local", ()),
        ("foo.local.campus.net", "remote.campus.net", ("foo.local", "foo.local.campus")),
        ("foo.campus.net", "remote.campus.net", ("foo",)),
        ("a.b.c.campus.net", "remote.campus.net", ("a.b.c",)),
        ("a.test", "remote.campus.net", ()),
    ],
)
def test_alternative_names(host: str, domain: str, names: tuple[str, ...]) -> None:
    assert alternative_names(host, domain) == names


@pytest.mark.parametrize(
    ("addresses", "domain"),
    [
        (["192.0.2.10", "192.0.2.11"], "192.0.2.11"),
        (["10.0.0.0/16"], "10.0.0.0/16"),
        (["2001:db8::/64", "2001:db8:1::5"], "[2001:db8::/64]"),
    ],
)
def test_only_the_last_address_is_a_name(addresses: list[str], domain: str) -> None:
    scope = client(entry("a.test", "80/HTTP", addresses=addresses))
    assert domains(scope, "a.test") == {"a.test": 1, "a.test.": 2, domain: 4}


def test_an_ip_as_host_has_no_absolute_form() -> None:
    assert domains(client(OTHER, rule("one", "[203.0.113.5]")), "203.0.113.5") == {"203.0.113.5": 0}


def test_one_port_under_two_protocols_follows_the_newer_entry() -> None:
    older, newer = entry("a.test", "80/HTTP", name="a"), entry("a.test", "80/TCP", name="b")
    assert targets(client(older, newer), "a.test") == {}
    assert set(targets(client(older.replace("name: a\n", "name: c\n"), newer), "a.test")) == {80}


def test_what_is_exported_by_name_comes_before_what_is_public_whatever_their_ages() -> None:
    named = entry("a.test", "80/HTTP", name="b", addresses=["192.0.2.1"], exportTo=["default"])
    public = entry("a.test", "80/HTTP", name="a", addresses=["192.0.2.2"])
    assert "192.0.2.2" in domains(client(named, public), "a.test")


def test_http_rules_on_tls_ports_hold_in_the_extended_dialect() -> None:
    documents = (entry("a.test", "443/HTTPS", "8443/TLS", "9000/TCP"), rule("one", "[a.test]", "a.test"))
    assert hosts(client(*documents), "a.test") == {}
    made = hosts(client(*documents, extended=True), "a.test")
    assert {port: (one.tls, to(one.routes[0])) for port, one in made.items()} == {
        443: (True, "outbound|443||a.test"),
        8443: (True, "outbound|8443||a.test"),
    }
    assert hosts(client(documents[0], extended=True), "a.test") == {}


def test_routers_have_none() -> None:
    scope = client(OTHER, rule("one", "[plain.test]"), node=Node(type="router"))
    assert hosts(scope, "other.test") == hosts(scope, "plain.test") == {}


def test_rules_over_a_service_that_is_not_seen_are_plain() -> None:
    hidden = entry("a.test", "80/HTTP", exportTo=["elsewhere"])
    mesh = compile_all(client(OTHER, hidden, rule("one", "[a.test]")))
    assert [one.name for one in mesh.hosts["a.test"].virtual_hosts] == ["a.test:80"]
    assert mesh.hosts["a.test"].services == ()
