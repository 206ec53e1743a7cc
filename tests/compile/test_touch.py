"""The list of what a change touches, row by row: what is compiled again, and what is not."""

from __future__ import annotations

import pytest
from tests.compile.selecting import document, service

from roadstead import MeshConfig, Node, Registry

PLAIN = service("there/plain", "plain.com")
STATIC = (
    "hosts: [HOST], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, location: MESH_INTERNAL, "
    "workloadSelector: {labels: {app: x}}"
)


def rules(host: str, destination: str, more: str = "") -> str:
    return f"hosts: ['{host}'], http: [{{route: [{{destination: {{host: {destination}}}}}]}}]{more}"


@pytest.mark.parametrize(
    ("before", "change", "hosts"),
    [
        pytest.param(PLAIN, service("there/new", "new.com"), ["new.com"], id="a new host"),
        pytest.param(
            document("VS", "there/vs", rules("*.x.com", "plain.com")) + PLAIN,
            service("there/a", "a.x.com"),
            ["*.x.com", "a.x.com"],
            id="a new exact host under a wildcard rule takes the name from the rule",
        ),
        pytest.param(
            service("there/w", "'*.x.com'") + service("there/a", "a.x.com") + PLAIN,
            document("VS", "there/vs", rules("*.x.com", "plain.com")),
            ["*.x.com", "a.x.com"],
            id="a wildcard rule",
        ),
        pytest.param(
            service("there/a", "a.x.com") + document("DR", "there/dr", "host: a.x.com") + PLAIN,
            document("DR", "here/dr", "host: '*.x.com', trafficPolicy: {loadBalancer: {simple: RANDOM}}"),
            ["a.x.com"],
            id="a rule that arrives in the client's namespace",
        ),
        pytest.param(
            document("VS", "there/root", "hosts: [a.com], http: [{delegate: {name: part, namespace: here}}]")
            + service("there/a", "a.com")
            + PLAIN,
            document("VS", "here/part", "http: [{route: [{destination: {host: plain.com}}]}]"),
            ["a.com"],
            id="a delegate that was missing",
        ),
        pytest.param(
            service("there/a", "a.com") + PLAIN,
            service("there/a", "a.com", "exportTo: [.]"),
            ["a.com"],
            id="exportTo",
        ),
        pytest.param(
            service("there/a", "a.com") + PLAIN,
            document("SC", "here/sc", "egress: [{hosts: ['*/plain.com']}]"),
            ["a.com"],
            id="a Sidecar",
        ),
        pytest.param(
            document("SC", "here/sc", "egress: [{hosts: ['./*']}]") + service("here/o", "own.com") + PLAIN,
            document("VS", "here/vs", rules("own.com", "plain.com")),
            ["own.com", "plain.com"],
            id="a destination under a Sidecar",
        ),
        pytest.param(
            document("SE", "there/a", STATIC.replace("HOST", "a.com")) + PLAIN,
            document("WE", "there/we", "address: 10.0.0.1, labels: {app: x}"),
            ["a.com"],
            id="labels of a WorkloadEntry",
        ),
        pytest.param(
            document("SE", "there/a", STATIC.replace("HOST", "a.com"))
            + document("WE", "there/we", "address: 10.0.0.1, labels: {app: x}")
            + PLAIN,
            document("WE", "there/we", "address: 10.0.0.1, labels: {app: other}"),
            ["a.com"],
            id="labels a WorkloadEntry lost",
        ),
        pytest.param(
            service("there/a", "a.com", age=2022) + service("elsewhere/b", "a.com", age=2023) + PLAIN,
            service("elsewhere/b", "a.com", age=2021),
            ["a.com"],
            id="a creation time",
        ),
        pytest.param(
            document("SE", "there/a", STATIC.replace("HOST", "a.com"))
            + document("WE", "there/we", "address: 10.0.0.1, labels: {app: x}, serviceAccount: s")
            + document("DR", "there/dr", "host: a.com")
            + PLAIN,
            PLAIN,
            [],
            id="the same again",
        ),
    ],
)
def test_what_is_new_after_a_change(before: str, change: str, hosts: list[str]) -> None:
    registry = Registry.from_text(before, backend="fallback", node=Node(namespace="here"), dialect="istio")
    delta = registry.apply(put=change)
    assert delta.diagnostics == ()
    assert sorted(delta.hosts) == hosts
    again = Registry.from_text(before + change, backend="fallback", node=Node(namespace="here"), dialect="istio")
    assert registry.mesh == again.mesh


def test_mesh_config_and_networks_touch_everything() -> None:
    registry = Registry.from_text(PLAIN + service("there/a", "a.com"), backend="fallback", node=Node(namespace="here"))
    delta = registry.apply(mesh=MeshConfig(connect_timeout="3s"))
    assert sorted(delta.hosts) == ["a.com", "plain.com"]
    cluster = registry.route("a.com", 80).cluster
    assert cluster is not None
    assert cluster.spec.connection_pool.tcp.connect_timeout == 3.0
