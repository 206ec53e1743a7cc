"""Filter chains of TCP, TLS and sniffed ports."""

from __future__ import annotations

import pytest
from tests.compile.selected import client, entry, virtual_service

from roadstead.compile.chains import filter_chains
from roadstead.compile.scope import ClientScope
from roadstead.mesh import FilterChain, Node


def chains(scope: ClientScope, host: str = "a.test") -> tuple[FilterChain, ...]:
    view = scope.view(host)
    assert view is not None
    return filter_chains(scope, view)


def short(scope: ClientScope, host: str = "a.test") -> list[tuple[object, ...]]:
    """(port, addresses, cidrs, snis, first cluster) of each chain."""
    return [
        (chain.port, chain.addresses, chain.cidrs, chain.snis, chain.route.destinations[0].cluster)
        for chain in chains(scope, host)
    ]


def tcp(name: str, hosts: str, routes: str) -> str:
    return virtual_service(name, f"{{hosts: {hosts}, tcp: {routes}}}")


def tls(name: str, hosts: str, routes: str) -> str:
    return virtual_service(name, f"{{hosts: {hosts}, tls: {routes}}}")


TO_B = "route: [{destination: {host: b.test}}]"
TO_C = "route: [{destination: {host: c.test}}]"
TCP = entry("a.test", "9000/TCP")
OWN = (9000, (), (), (), "outbound|9000||a.test")
B = (9000, (), (), (), "outbound|9000||b.test")


@pytest.mark.parametrize(
    ("port", "addresses", "expected"),
    [
        ("80/HTTP", [], []),
        ("53/UDP", [], []),
        ("9000/TCP", [], [(9000, (), (), (), "outbound|9000||a.test")]),
        ("9000/MONGO", ["192.0.2.1"], [(9000, ("192.0.2.1",), (), (), "outbound|9000||a.test")]),
        ("9000/TCP", ["10.0.0.0/8"], [(9000, (), ("10.0.0.0/8",), (), "outbound|9000||a.test")]),
        ("82", [], [(82, (), (), (), "outbound|82||a.test")]),
        ("443/TLS", [], [(443, (), (), ("a.test",), "outbound|443||a.test")]),
        ("443/HTTPS", ["192.0.2.1"], [(443, ("192.0.2.1",), (), (), "outbound|443||a.test")]),
        ("443/TLS", ["10.0.0.0/8"], [(443, (), ("10.0.0.0/8",), ("a.test",), "outbound|443||a.test")]),
        (
            "9000/TCP",
            ["192.0.2.1", "192.0.2.2"],
            [(9000, (f"192.0.2.{n}",), (), (), "outbound|9000||a.test") for n in (1, 2)],
        ),
    ],
)
def test_where_a_port_is_heard(port: str, addresses: list[str], expected: list[object]) -> None:
    assert short(client(entry("a.test", port, addresses=addresses))) == expected


def test_origins() -> None:
    (own,) = chains(client(TCP))
    assert str(own.route.origin) == "ServiceEntry/default/se-a.test"
    (ruled,) = chains(client(TCP, tcp("vs", "[a.test]", f"[{{match: [{{port: 1}}], {TO_C}}}, {{{TO_B}}}]")))
    assert str(ruled.route.origin) == "VirtualService/default/vs/spec/tcp/1"
    (named,) = chains(client(entry("a.test", "443/TLS"), tls("vs", "[a.test]", f"[{{match: [{{}}, {{}}], {TO_B}}}]")))
    assert str(named.route.origin) == "VirtualService/default/vs/spec/tls/0/match/0"


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (f"[{{{TO_B}}}, {{{TO_C}}}]", [B]),
        (f"[{{match: [{{port: 9000}}], {TO_B}}}]", [B]),
        (f"[{{match: [{{port: 9001}}], {TO_B}}}]", [OWN]),
        (f"[{{match: [{{port: 9001}}, {{sourceLabels: {{app: client}}}}], {TO_B}}}]", [B]),
        (f"[{{match: [{{sourceLabels: {{app: other}}}}], {TO_B}}}]", [OWN]),
        (f"[{{match: [{{sourceNamespace: other}}], {TO_B}}}]", [OWN]),
        (f"[{{match: [{{gateways: [ns/gw]}}], {TO_B}}}]", [OWN]),
        (f"[{{match: [{{sourceSubnet: 10.0.0.0/8}}], {TO_B}}}]", [B]),
        ("[{match: [{port: 9000}]}]", [OWN]),
        (
            f"[{{match: [{{destinationSubnets: [10.0.0.0/8]}}, {{destinationSubnets: [172.16.0.0/12]}}], {TO_B}}}]",
            [(9000, (), ("10.0.0.0/8", "172.16.0.0/12"), (), "outbound|9000||b.test"), OWN],
        ),
        (
            f"[{{match: [{{destinationSubnets: [10.0.0.0/8]}}], {TO_B}}}, {{{TO_C}}}]",
            [
                (9000, (), ("10.0.0.0/8",), (), "outbound|9000||b.test"),
                (9000, (), (), (), "outbound|9000||c.test"),
            ],
        ),
    ],
)
def test_tcp_rules(routes: str, expected: list[object]) -> None:
    assert short(client(TCP, tcp("vs", "[a.test]", routes))) == expected


def test_subnets_that_equal_the_services_own_leave_no_default() -> None:
    scope = client(
        entry("a.test", "9000/TCP", addresses=["10.0.0.0/8"]),
        tcp("vs", "[a.test]", f"[{{match: [{{destinationSubnets: [10.0.0.0/8]}}], {TO_B}}}]"),
    )
    assert short(scope) == [(9000, (), ("10.0.0.0/8",), (), "outbound|9000||b.test")]


def test_the_oldest_rule_over_the_host_has_tcp_ports_however_wide_it_is() -> None:
    rules = (tcp("one", "['*.test']", f"[{{{TO_B}}}]"), tcp("two", "[a.test]", f"[{{{TO_C}}}]"))
    assert short(client(TCP, *rules)) == [B]


def test_here_case_counts() -> None:
    scope = client(
        entry("A.test", "9000/TCP"), tcp("one", "[a.test]", f"[{{{TO_C}}}]"), tcp("two", "[A.test]", f"[{{{TO_B}}}]")
    )
    assert short(scope, "A.test") == [B]


def test_weights() -> None:
    weighted = "route: [{destination: {host: b.test}, weight: 80}, {destination: {host: c.test}, weight: 20}]"
    (chain,) = chains(client(TCP, tcp("vs", "[a.test]", f"[{{{weighted}}}]")))
    assert [(one.cluster, one.weight) for one in chain.route.destinations] == [
        ("outbound|9000||b.test", 80),
        ("outbound|9000||c.test", 20),
    ]


TLS = entry("a.test", "443/TLS")
DEFAULT = (443, (), (), ("a.test",), "outbound|443||a.test")


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (
            f"[{{match: [{{sniHosts: [x.a.test, y.a.test]}}, {{sniHosts: [z.a.test], port: 444}}], {TO_B}}}]",
            [(443, (), (), ("x.a.test", "y.a.test"), "outbound|443||b.test")],
        ),
        (f"[{{match: [{{sniHosts: [a.test], port: 444}}], {TO_B}}}]", [DEFAULT]),
        (f"[{{match: [{{sniHosts: [a.test], sourceNamespace: other}}], {TO_B}}}]", [DEFAULT]),
        (
            f"[{{match: [{{sniHosts: [a.test]}}], {TO_B}}}, {{match: [{{sniHosts: [a.test]}}], {TO_C}}}]",
            [(443, (), (), ("a.test",), "outbound|443||b.test")],
        ),
        (
            f"""
            [{{match: [{{sniHosts: [x.a.test], destinationSubnets: [10.0.0.0/8]}}], {TO_B}}},
             {{match: [{{sniHosts: [y.a.test]}}], {TO_C}}}]
            """,
            [
                (443, (), ("10.0.0.0/8",), ("x.a.test",), "outbound|443||b.test"),
                (443, (), ("10.0.0.0/8",), ("y.a.test",), "outbound|443||c.test"),
            ],
        ),
        (f"[{{match: [{{sniHosts: ['*']}}], {TO_B}}}]", [(443, (), (), (), "outbound|443||b.test")]),
    ],
)
def test_tls_rules(routes: str, expected: list[object]) -> None:
    assert short(client(TLS, tls("vs", "[a.test]", routes))) == expected


def test_rules_of_other_protocols_do_not_mix() -> None:
    all_rules = virtual_service(
        "vs",
        f"{{hosts: [a.test], http: [{{{TO_C}}}], tls: [{{match: [{{sniHosts: [a.test]}}], {TO_B}}}], tcp: [{{{TO_C}}}]}}",
    )
    scope = client(entry("a.test", "80/HTTP", "443/TLS", "9000/TCP", "82"), all_rules)
    assert [(port, cluster) for port, *_, cluster in short(scope)] == [
        (443, "outbound|443||b.test"),
        (9000, "outbound|9000||c.test"),
        (82, "outbound|82||c.test"),
    ]


def test_a_wildcard_service_is_known_by_a_wildcard_server_name() -> None:
    assert short(client(entry("*.a.test", "443/TLS", resolution="NONE")), "*.a.test") == [
        (443, (), (), ("*.a.test",), "outbound|443||*.a.test")
    ]


WORKLOADS = "\n---\n".join(
    f"kind: WorkloadEntry\nmetadata: {{name: w{n}, namespace: default}}\nspec: {{address: {address}, labels: {{app: db}}}}"
    for n, address in enumerate(("10.1.0.1", "10.9.9.9", "db.test"))
)
SELECTOR = {"labels": {"app": "db"}}


@pytest.mark.parametrize("port", ["9000/TCP", "9000/TLS", "9000"])
def test_without_a_vip_each_selected_address_is_heard_but_the_clients_own(port: str) -> None:
    scope = client(entry("a.test", port, resolution="NONE", workloadSelector=SELECTOR), WORKLOADS)
    assert short(scope) == [(9000, ("10.1.0.1",), (), (), "outbound|9000||a.test")]


def test_a_selector_that_finds_nobody_is_heard_nowhere() -> None:
    assert short(client(entry("a.test", "9000/TCP", resolution="NONE", workloadSelector=SELECTOR))) == []
    assert short(client(entry("a.test", "9000/TCP", resolution="NONE"))) == [OWN]


def test_routers_and_mere_destinations_have_none() -> None:
    assert chains(client(TCP, node=Node(type="router"))) == ()
    sidecar = "kind: Sidecar\nmetadata: {name: s, namespace: default}\nspec: {egress: [{hosts: ['*/b.test']}]}"
    scope = client(
        TCP, entry("b.test", "80/HTTP"), tcp("vs", "[b.test]", "[{route: [{destination: {host: a.test}}]}]"), sidecar
    )
    view = scope.view("a.test")
    assert view is not None
    assert view.imported
    assert filter_chains(scope, view) == ()
