"""Units: what becomes one, and how they stand together."""

from __future__ import annotations

import pytest
from tests.compile.selecting import document, scope, service

from roadstead.compile.host import compile_all, compile_host, order_text
from roadstead.mesh import Node

RULE = "hosts: [HOST], http: [{route: [{destination: {host: a.com}}]}]"
TEXT = service("here/b", "b.com", age=2021) + service("here/a", "a.com", age=2022)


def test_hosts_stand_in_order_of_age_then_name() -> None:
    text = TEXT + service("here/c", "c.com", age=2022) + document("VS", "here/vs", RULE.replace("HOST", "plain.com"))
    assert list(compile_all(scope(text)).hosts) == ["b.com", "a.com", "c.com", "plain.com"]


@pytest.mark.parametrize(
    ("text", "key", "there"),
    [
        (TEXT, "a.com", True),
        (TEXT, "none.com", False),
        (TEXT + document("VS", "here/vs", RULE.replace("HOST", "plain.com")), "plain.com", True),
        (TEXT + document("VS", "here/vs", RULE.replace("HOST", "Plain.com")), "Plain.com", False),
        (TEXT + document("VS", "there/vs", RULE.replace("HOST", "plain.com") + ", exportTo: [.]"), "plain.com", False),
        (service("there/s", "hid.com", "exportTo: [.]"), "hid.com", False),
        (
            service("there/s", "hid.com", "exportTo: [.]")
            + TEXT
            + document("VS", "here/v", RULE.replace("HOST", "hid.com")),
            "hid.com",
            True,
        ),
        (service("here/s", "Up.com") + document("VS", "here/v", RULE.replace("HOST", "up.com")), "up.com", False),
        (service("here/s", "Up.com") + document("VS", "here/v", RULE.replace("HOST", "up.com")), "Up.com", True),
    ],
)
def test_what_is_a_unit(text: str, key: str, there: bool) -> None:
    assert (compile_host(scope(text), key) is not None) is there


def test_a_service_of_several_addresses_is_one_unit() -> None:
    unit = compile_host(scope(service("here/s", "a.com", "addresses: [240.0.0.1, 240.0.0.2]")), "a.com")
    assert unit is not None
    assert [one.address for one in unit.services] == ["240.0.0.1", "240.0.0.2"]


def test_what_is_only_a_destination_has_clusters_alone() -> None:
    text = TEXT + document("SC", "here/sc", "egress: [{hosts: ['*/b.com']}]")
    text += document("VS", "here/vs", RULE.replace("HOST", "b.com"))
    unit = compile_host(scope(text), "a.com")
    assert unit is not None
    assert (unit.services, unit.chains, [one.name for one in unit.clusters]) == ((), (), ["outbound|80||a.com"])


def test_a_router_gets_clusters_and_its_gateways() -> None:
    server = "servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}], selector: {app: gw}"
    text = TEXT + document("GW", "here/gw", server)
    text += document("VS", "here/vs", RULE.replace("HOST", "x.com") + ", gateways: [gw]")
    mesh = compile_all(scope(text, Node(type="router", namespace="here", labels={"app": "gw"})))
    assert mesh.outbound == "GATEWAY"
    services = [host for host in mesh.hosts.values() if host.services]
    assert [(host.key, host.virtual_hosts, host.chains) for host in services] == [("b.com", (), ()), ("a.com", (), ())]
    (gateway,) = [host for host in mesh.hosts.values() if not host.services]
    assert [domain for one in gateway.virtual_hosts for domain, _ in one.domains] == ["x.com"]


def test_order_is_text_that_sorts_like_its_parts() -> None:
    parts = [(0.0, "b", "n"), (5.0, "a", "n"), (5.0, "a", "o"), (5.0, "a.b", "a"), (1e9, "a", "n")]
    assert sorted(order_text(*one) for one in reversed(parts)) == [order_text(*one) for one in parts]
