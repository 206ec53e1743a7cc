"""Servers of Gateways on a router: ports, merging, tables."""

from __future__ import annotations

import pytest
import yaml
from tests.compile.selected import client, document, entry, virtual_service

from roadstead.compile.gateways import gateway_units
from roadstead.mesh import HostMesh, Node

ROUTER = Node(type="router", namespace="istio-system", labels={"istio": "egress"}, ips=("10.244.9.9",))
TO_A = "route: [{destination: {host: a.test, port: {number: 80}}}]"
RULE = virtual_service(
    "vs", f"{{hosts: ['*'], gateways: [edge/gw, edge/second], http: [{{{TO_A}}}], tcp: [{{{TO_A}}}]}}"
)


def gateway(servers: str, name: str = "gw", selector: str = "{istio: egress}") -> str:
    spec = {"selector": yaml.safe_load(selector), "servers": yaml.safe_load(servers)}
    return document("Gateway", name, spec, "edge")


def server(port: str, hosts: str = "['*']", more: str = "") -> str:
    number, _, protocol = port.partition("/")
    return f"{{port: {{number: {number}, name: p{number}, protocol: {protocol}}}, hosts: {hosts}{more}}}"


def units(*documents: str, node: Node = ROUTER) -> dict[str, HostMesh]:
    return {unit.key: unit for unit in gateway_units(client(*documents, RULE, node=node))}


def tables(*documents: str) -> list[tuple[int, str, bool]]:
    """(port, table, tls) of each virtual host."""
    return [(one.port, one.table, one.tls) for unit in units(*documents).values() for one in unit.virtual_hosts]


SIMPLE = ", tls: {mode: SIMPLE, credentialName: c}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("80/HTTP", [(80, "http.80", False)]),
        ("8080/GRPC", [(8080, "http.8080", False)]),
    ],
)
def test_plain_tables_are_named_by_port(written: str, expected: list[object]) -> None:
    assert tables(gateway(f"[{server(written)}]")) == expected


def test_a_terminating_server_has_a_table_of_its_own() -> None:
    both = f"[{server('443/HTTPS', '[a.test]', SIMPLE)}, {server('444/HTTPS', '[b.test]', SIMPLE)}]"
    assert tables(gateway(both)) == [(443, "https.443.p443.gw.edge", True), (444, "https.444.p444.gw.edge", True)]


def test_a_bind_is_part_of_the_name() -> None:
    assert tables(gateway(f"[{server('80/HTTP', more=', bind: 10.0.0.1')}]")) == [(80, "http.80.10.0.0.1", False)]


def test_only_gateways_that_select_the_router() -> None:
    assert units(gateway(f"[{server('80/HTTP')}]", selector="{istio: other}")) == {}
    assert set(units(gateway(f"[{server('80/HTTP')}]", selector="{}"))) == {"gateway/80"}
    assert units(gateway(f"[{server('80/HTTP')}]"), node=Node()) == {}


def test_the_routers_own_service_says_where_a_port_is_bound() -> None:
    own = entry(
        "egress.test", "80/HTTP", resolution="STATIC", endpoints=[{"address": "10.244.9.9", "ports": {"p80": 8080}}]
    ).replace("namespace: default", "namespace: istio-system")
    assert tables(gateway(f"[{server('80/HTTP')}]"), own) == [(8080, "http.8080", False)]
    other = own.replace("10.244.9.9", "10.0.0.1")
    assert tables(gateway(f"[{server('80/HTTP')}]"), other) == [(80, "http.80", False)]
    elsewhere = own.replace("namespace: istio-system", "namespace: default")
    assert tables(gateway(f"[{server('80/HTTP')}]"), elsewhere) == [(80, "http.80", False)]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(server("80/HTTP"), server("80/HTTP2"), ["http.80", ""], id="http with http"),
        pytest.param(server("9000/TCP"), server("9000/HTTP"), ["tcp"], id="http after tcp"),
        pytest.param(server("9000/HTTP"), server("9000/TCP"), ["http.9000"], id="tcp after http"),
        pytest.param(server("9000/TCP"), server("9000/TCP"), ["tcp"], id="tcp after tcp"),
        pytest.param(
            server("9000/TCP"), server("9000/TCP", more=", bind: 10.0.0.1"), ["tcp", "tcp 10.0.0.1"], id="another bind"
        ),
        pytest.param(
            server("443/HTTPS", "[a.test]", SIMPLE),
            server("443/HTTPS", "[b.test]", SIMPLE),
            ["https.443.p443.gw.edge", "https.443.p443.second.edge"],
            id="tls by name",
        ),
        pytest.param(
            server("443/HTTPS", "[a.test, c.test]", SIMPLE),
            server("443/HTTPS", "[b.test, c.test]", SIMPLE),
            ["https.443.p443.gw.edge"],
            id="a name twice",
        ),
    ],
)
def test_servers_on_one_port(first: str, second: str, kept: list[str]) -> None:
    found = []
    for unit in units(gateway(f"[{first}]"), gateway(f"[{second}]", "second")).values():
        found += list(dict.fromkeys([one.table for one in unit.virtual_hosts]))
        found += ["tcp" + "".join([f" {address}" for address in chain.addresses]) for chain in unit.chains]
    assert found == [one for one in kept if one]


def test_a_unit_for_each_port() -> None:
    made = units(gateway(f"[{server('80/HTTP')}, {server('9000/TCP')}]"))
    assert {key: (len(unit.virtual_hosts), len(unit.chains)) for key, unit in made.items()} == {
        "gateway/80": (1, 0),
        "gateway/9000": (0, 1),
    }
