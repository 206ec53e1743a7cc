"""Filter chains of a router's servers."""

from __future__ import annotations

import pytest
import yaml
from tests.compile.selected import client, destination_rule, document, entry, virtual_service

from roadstead.compile.gateways import gateway_units
from roadstead.mesh import Node

ROUTER = Node(type="router", namespace="default", labels={"app": "router"})
TO_A = "route: [{destination: {host: a.test, port: {number: 1}}}]"
TO_B = "route: [{destination: {host: b.test, port: {number: 2}}}]"


def chains(servers: str, *others: str) -> list[tuple[tuple[str, ...], str]]:
    """(server names, cluster) of each chain."""
    gateway = document("Gateway", "gw", {"servers": yaml.safe_load(servers)}, "edge")
    (unit,) = gateway_units(client(gateway, *others, node=ROUTER))
    assert all(chain.host == "*" for chain in unit.chains)
    return [(chain.snis, chain.route.destinations[0].cluster) for chain in unit.chains]


def server(port: str, hosts: str, tls: str = "") -> str:
    number, _, protocol = port.partition("/")
    mode = f", tls: {{{tls}}}" if tls else ""
    return f"[{{port: {{number: {number}, name: p, protocol: {protocol}}}, hosts: {hosts}{mode}}}]"


def rule(name: str, spec: str, hosts: str = "['*']") -> str:
    return virtual_service(name, f"{{hosts: {hosts}, gateways: [edge/gw], {spec}}}")


A = ((), "outbound|1||a.test")
B = ((), "outbound|2||b.test")


@pytest.mark.parametrize(
    ("tcp", "expected"),
    [
        (f"[{{{TO_A}}}, {{{TO_B}}}]", [A]),
        (f"[{{match: [{{port: 9001}}], {TO_A}}}, {{{TO_B}}}]", [B]),
        (f"[{{match: [{{port: 9000, gateways: [edge/gw]}}], {TO_A}}}]", [A]),
        (f"[{{match: [{{gateways: [mesh]}}], {TO_A}}}]", []),
        (f"[{{match: [{{sourceLabels: {{app: nobody}}}}], {TO_A}}}]", [A]),
    ],
)
def test_the_first_tcp_rule_that_fits_has_the_port(tcp: str, expected: list[object]) -> None:
    assert chains(server("9000/TCP", "['*']"), rule("vs", f"tcp: {tcp}")) == expected


@pytest.mark.parametrize(
    ("hosts", "rules", "fits"),
    [("[x.test]", "['*.test']", True), ("[x.test]", "[y.test]", False), ("[edge/x.test]", "[x.test]", False)],
)
def test_hosts_must_overlap(hosts: str, rules: str, fits: bool) -> None:
    assert chains(server("9000/TCP", hosts), rule("vs", f"tcp: [{{{TO_A}}}]", rules)) == ([A] if fits else [])


def test_terminated_tls_is_known_by_the_servers_names() -> None:
    made = chains(server("443/TLS", "[x.test, other/y.test]", "mode: SIMPLE"), rule("vs", f"tcp: [{{{TO_A}}}]"))
    assert made == [(("x.test", "y.test"), "outbound|1||a.test")]


def test_tls_that_is_passed_on_is_known_by_the_rules_names() -> None:
    rules = f"""
    tls: [{{match: [{{port: 443, sniHosts: [x.test]}}, {{port: 444, sniHosts: [w.test]}}], {TO_A}}},
          {{match: [{{sniHosts: ['*.y.test']}}], {TO_B}}},
          {{match: [{{sniHosts: [z.test, x.test]}}], {TO_B}}}]
    """
    assert chains(server("443/TLS", "['*']", "mode: PASSTHROUGH"), rule("vs", rules)) == [
        (("x.test",), "outbound|1||a.test"),
        (("*.y.test",), "outbound|2||b.test"),
    ]


def test_automatic_passthrough_offers_the_mesh_by_cluster_name() -> None:
    inside = {"location": "MESH_INTERNAL"}
    made = chains(
        server("15443/TLS", "['*.local']", "mode: AUTO_PASSTHROUGH"),
        entry("a.local", "80/HTTP", "53/UDP", **inside),
        entry("b.local", "80/HTTP"),
        entry("c.test", "80/HTTP", **inside),
        destination_rule("a.local", "subsets: [{name: v1}]"),
    )
    assert made == [
        (("outbound_.80_._.a.local",), "outbound|80||a.local"),
        (("outbound_.80_.v1_.a.local",), "outbound|80|v1|a.local"),
    ]
