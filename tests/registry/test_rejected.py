"""What a real Envoy rejects: in `istio` nobody of the table or cluster is served, in `extended` only what is rejected."""

from __future__ import annotations

import pytest

from roadstead import Node, Registry
from roadstead.mesh import ClusterPolicy, ConnectionPool, HttpPool, LoadBalancer, OutlierDetection, TcpPool
from roadstead.registry.rejected import has_http_options
from roadstead.xds.resources.policies import http_options

MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: HOST}
spec:
  hosts: [HOST.test]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: other, protocol: HTTP}]
---
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.test]
  http:
  - {match: [{port: 80, uri: {prefix: /old}}], ANSWER}
  - {route: [{destination: {host: a.test}}]}
---
"""
ANSWERS = {
    "ENVOY-1": "redirect: {uri: /new, redirectCode: 304}",
    "ENVOY-2": "directResponse: {status: 600}",
    "ENVOY-4": "route: [{destination: {host: a.test}}], headers: {request: {set: {x: '%NOTHING%'}}}",
}
HOSTS = MESH.replace("HOST", "a") + MESH.replace("HOST", "b")


def kinds(registry: Registry, port: int = 80) -> list[tuple[str, str]]:
    """What a path that nobody objects to gets, by host."""
    found = [registry.route(host, port, "/x") for host in ("a.test", "b.test", "nobody.test")]
    return [(decision.kind, decision.flags) for decision in found]


@pytest.mark.parametrize(("code", "answer"), ANSWERS.items())
def test_a_table(engine_name: str, code: str, answer: str) -> None:
    rule = RULE.replace("ANSWER", answer)
    made = Registry.from_text(HOSTS + rule, dialect="istio", backend=engine_name)
    assert [finding.code for finding in made.diagnostics] == [code]
    assert kinds(made) == [("not_found", "NR")] * 3
    serving = [("forward", ""), ("forward", ""), ("passthrough", "")]
    assert kinds(made, 81) == serving
    made.apply(RULE.replace("ANSWER", "redirect: {uri: /new}"))
    assert (made.diagnostics, kinds(made)) == ((), serving)
    made.apply(delete="VirtualService/default/a")
    assert kinds(made) == serving


@pytest.mark.parametrize(("code", "answer"), ANSWERS.items())
def test_a_change_that_would_spoil_a_table_is_refused(engine_name: str, code: str, answer: str) -> None:
    """Envoy goes on with the table that it has."""
    rule, good = RULE.replace("ANSWER", answer), RULE.replace("ANSWER", "redirect: {uri: /new}")
    made = Registry.from_text(HOSTS, dialect="istio", backend=engine_name)
    serving = [("forward", ""), ("forward", ""), ("passthrough", "")]
    for before, status in (("", 0), (good, 301)):
        made.apply(put=before)
        delta = made.apply(put=[rule, MESH.replace("HOST", "c")])
        assert [(one.code, one.severity, one.path) for one in delta.diagnostics] == [
            (code, "warning", delta.diagnostics[0].path),
            ("ENVOY-5", "warning", "spec.http.0.match.0"),
        ]
        assert made.diagnostics == tuple(sorted(delta.diagnostics))
        assert (kinds(made), made.route("a.test", 80, "/old").status) == (serving, status)
        assert made.find("c.test", 80) is not None
        made.apply(delete="ServiceEntry/default/c")
    made.apply(put=good)
    assert made.diagnostics == ()


def test_a_table_that_comes_with_what_spoils_it(engine_name: str) -> None:
    """There is none to go on with, in a registry that is filled by changes too."""
    rule = RULE.replace("ANSWER", ANSWERS["ENVOY-1"])
    made = Registry(dialect="istio", backend=engine_name)
    made.apply(put=MESH.replace("HOST", "b").replace("number: 80", "number: 8080"))
    made.apply(put=HOSTS + rule)
    assert kinds(made) == [("not_found", "NR")] * 3
    assert [one.code for one in made.diagnostics] == ["ENVOY-1"]
    again = made.apply(put=rule.replace("/new", "/newer"))
    assert [one.code for one in again.diagnostics] == ["ENVOY-1"]
    assert kinds(made) == [("not_found", "NR")] * 3


def test_what_a_decision_came_by_is_told_beside_a_rejected_table(engine_name: str) -> None:
    made = Registry.from_text(HOSTS + RULE.replace("ANSWER", ANSWERS["ENVOY-1"]), dialect="istio", backend=engine_name)
    route = made.route("a.test", 81).route
    assert route is not None
    assert (route.origin.kind, route.origin.path) == ("VirtualService", "/spec/http/1")


@pytest.mark.parametrize(("code", "answer"), ANSWERS.items())
def test_extended_serves_the_rest(engine_name: str, code: str, answer: str) -> None:
    made = Registry.from_text(HOSTS + RULE.replace("ANSWER", answer), backend=engine_name)
    assert [(finding.code, finding.severity) for finding in made.diagnostics] == [(code, "warning")]
    assert kinds(made) == [("forward", ""), ("forward", ""), ("passthrough", "")]
    assert made.route("a.test", 80, "/old").kind == "forward"


def test_a_port_with_a_table_of_its_own(engine_name: str) -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.test]
  addresses: [192.0.2.1]
  resolution: STATIC
  ports: [{number: 80, name: any, protocol: ""}]
  endpoints: [{address: 10.0.0.1}]
---
"""
    text = entry + MESH.replace("HOST", "b") + RULE.replace("ANSWER", ANSWERS["ENVOY-2"])
    made = Registry.from_text(text, dialect="istio", backend=engine_name)
    assert kinds(made) == [("not_found", "NR"), ("forward", ""), ("passthrough", "")]


def test_views_of_a_program_without_python(engine_name: str) -> None:
    made = Registry.from_text(HOSTS + RULE.replace("ANSWER", ANSWERS["ENVOY-1"]), dialect="istio", backend=engine_name)
    assert b'"rejected:"' in made.snapshot_bytes()
    assert kinds(made.view(Node(namespace="other"))) == [("not_found", "NR")] * 3


def test_hosts_that_are_alike(engine_name: str) -> None:
    """Many of one shape are made from one template."""
    text = (
        "".join(MESH.replace("HOST", f"h{at}") for at in range(5)) + HOSTS + RULE.replace("ANSWER", ANSWERS["ENVOY-1"])
    )
    made = Registry.from_text(text, dialect="istio", backend=engine_name)
    assert {made.route(f"h{at}.test", 80).kind for at in range(5)} == {"not_found"}


@pytest.mark.parametrize("dialect", ["istio", "extended"])
def test_names_looked_up_for_each_request(engine_name: str, dialect: str) -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dyn}
spec:
  hosts: ["*.dyn.test"]
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS
  ports: [{number: 80, name: grpc, protocol: GRPC}, {number: 81, name: http, protocol: HTTP}]
---
"""
    tls = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: dyn}
spec: {host: "*.dyn.test", trafficPolicy: {tls: {mode: SIMPLE}}}
"""
    made = Registry.from_text(text, dialect=dialect, backend=engine_name)  # type: ignore[arg-type]
    assert [(finding.code, finding.severity) for finding in made.diagnostics] == [("ENVOY-3", "warning")]
    first = ("no_cluster", 503, "NC") if dialect == "istio" else ("forward", 0, "")
    assert [shown(made, port) for port in (80, 81)] == [first, ("forward", 0, "")]
    made.apply(tls)
    assert [shown(made, port) for port in (80, 81)] == [("forward", 0, "")] * 2


def shown(registry: Registry, port: int) -> tuple[str, int, str]:
    decision = registry.route("x.dyn.test", port)
    return decision.kind, decision.status, decision.flags


@pytest.mark.parametrize(
    ("tcp", "http"),
    [
        (TcpPool(), HttpPool()),
        (TcpPool(max_connections=5), HttpPool(max_requests=5, h2_upgrade="UPGRADE")),
        (TcpPool(max_connection_duration=5.0), HttpPool()),
        (TcpPool(), HttpPool(idle_timeout=5.0)),
        (TcpPool(), HttpPool(max_requests_per_connection=5)),
        (TcpPool(), HttpPool(max_concurrent_streams=5)),
        (TcpPool(), HttpPool(http2_keepalive=(1.0, None))),
        (TcpPool(), HttpPool(protocol="http2")),
    ],
)
@pytest.mark.parametrize("outliers", [None, OutlierDetection(), OutlierDetection(error_codes=(500,))])
def test_http_options_are_those_that_are_sent(tcp: TcpPool, http: HttpPool, outliers: OutlierDetection | None) -> None:
    policy = ClusterPolicy(ConnectionPool(tcp, http), LoadBalancer(), outliers)
    assert has_http_options(policy) == (http_options(policy) is not None)
