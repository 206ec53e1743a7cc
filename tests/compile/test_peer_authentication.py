"""PeerAuthentication: mesh, namespace, workload and port, and what automatic mTLS makes of it."""

from __future__ import annotations

import pytest
from tests.compile.selecting import document, scope

from roadstead.compile.clusters import clusters_of
from roadstead.mesh import Cluster

DISABLED = "mtls: {mode: DISABLE}"
STRICT = "mtls: {mode: STRICT}"
APP = "selector: {matchLabels: {app: x}}"
PORTS = "[{number: 80, name: http, protocol: HTTP}, {number: 90, name: tcp, protocol: TCP, targetPort: 9090}]"
ENDPOINTS = (
    "{address: 10.0.0.1, labels: {app: x}, serviceAccount: one}, "
    "{address: 10.0.0.2, labels: {app: z}, serviceAccount: two}, "
    "{address: 10.0.0.3, labels: {app: x}}"
)
SERVICE = document(
    "SE",
    "here/a",
    f"hosts: [a.test], location: MESH_INTERNAL, resolution: STATIC, ports: {PORTS}, endpoints: [{ENDPOINTS}]",
)


def mode_at(text: str, port: int, namespace: str = "here") -> str:
    return scope(text).peer_authentication(namespace).at({"app": "x", "v": "1"}, port)


@pytest.mark.parametrize(
    ("policies", "modes"),
    [
        # (namespace/name, spec, age) of each; mode at ports 80 and 90 of a workload with app: x, v: 1
        ([], ("UNSET", "UNSET")),
        ([("istio-system/mesh", DISABLED, 1)], ("DISABLE", "DISABLE")),
        ([("istio-system/mesh", DISABLED, 1), ("here/all", STRICT, 2)], ("STRICT", "STRICT")),
        ([("istio-system/mesh", DISABLED, 1), ("here/all", "mtls: {mode: UNSET}", 2)], ("DISABLE", "DISABLE")),
        ([("here/all", STRICT, 2), ("here/x", f"{APP}, {DISABLED}", 3)], ("DISABLE", "DISABLE")),
        ([("here/all", STRICT, 2), ("here/x", f"{APP}", 3)], ("STRICT", "STRICT")),
        (
            [("here/x", f"{APP}, {STRICT}, portLevelMtls: {{90: {{mode: DISABLE}}}}", 3)],
            ("STRICT", "DISABLE"),
        ),
        (
            [("here/x", f"{APP}, {DISABLED}, portLevelMtls: {{90: {{mode: UNSET}}, 80: {{mode: PERMISSIVE}}}}", 3)],
            ("PERMISSIVE", "DISABLE"),
        ),
        # the oldest that selects the workload is the only one
        ([("here/new", f"{APP}, {DISABLED}", 4), ("here/old", f"{APP}, {STRICT}", 3)], ("STRICT", "STRICT")),
        ([("here/z", "selector: {matchLabels: {app: z}}, " + DISABLED, 3)], ("UNSET", "UNSET")),
        ([("here/new", DISABLED, 4), ("here/old", STRICT, 3)], ("STRICT", "STRICT")),
        # selectors of the root namespace and of other namespaces select nobody here
        ([("istio-system/x", f"{APP}, {DISABLED}", 3), ("there/x", f"{APP}, {DISABLED}", 3)], ("UNSET", "UNSET")),
        ([("here/x", "selector: {matchLabels: {}}, " + DISABLED, 3)], ("DISABLE", "DISABLE")),
    ],
)
def test_the_mode_of_a_workload_at_a_port(policies: list[tuple[str, str, int]], modes: tuple[str, str]) -> None:
    text = "".join(document("PA", name, spec, age=2000 + age) for name, spec, age in policies)
    assert (mode_at(text, 80), mode_at(text, 90)) == modes


def test_selectors_of_the_root_namespace_select_nobody_there_either() -> None:
    text = document("PA", "istio-system/x", f"{APP}, {DISABLED}")
    assert mode_at(text, 80, "istio-system") == "UNSET"


def clusters(*more: str) -> dict[int, Cluster]:
    made = scope(SERVICE + "".join(more))
    view = made.view("a.test")
    assert view is not None
    return {cluster.port: cluster for cluster in clusters_of(made, view)}


def spoken(cluster: Cluster) -> list[str]:
    return [endpoint.tls_mode for group in cluster.groups for endpoint in group.endpoints]


@pytest.mark.parametrize(
    ("spec", "on_80", "on_90"),
    [
        (f"{APP}, {STRICT}", ["istio", "istio", "disabled"], ["istio", "istio", "disabled"]),
        (f"{APP}, {DISABLED}", ["disabled", "istio", "disabled"], ["disabled", "istio", "disabled"]),
        # by the port of the workload, not of the service
        (
            f"{APP}, portLevelMtls: {{9090: {{mode: DISABLE}}}}",
            ["istio", "istio", "disabled"],
            ["disabled", "istio", "disabled"],
        ),
        (
            f"{APP}, portLevelMtls: {{90: {{mode: DISABLE}}}}",
            ["istio", "istio", "disabled"],
            ["istio"] * 2 + ["disabled"],
        ),
    ],
)
def test_endpoints_that_refuse_mtls_are_sent_plain_text(spec: str, on_80: list[str], on_90: list[str]) -> None:
    made = clusters(document("PA", "here/x", spec))
    assert (spoken(made[80]), spoken(made[90])) == (on_80, on_90)
    assert all(cluster.tls is not None and cluster.tls.mode == "AUTO" for cluster in made.values())


def test_a_whole_service_goes_by_its_namespace_alone() -> None:
    made = clusters(document("PA", "here/all", DISABLED), document("PA", "here/x", f"{APP}, {STRICT}"))
    assert made[80].tls is None
    assert spoken(made[80]) == ["istio", "disabled", "disabled"]


def test_a_rule_that_says_what_is_spoken_is_not_asked_twice() -> None:
    rule = document("DR", "here/a", "host: a.test, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")
    made = clusters(rule, document("PA", "here/x", f"{APP}, {DISABLED}"))
    assert made[80].tls is not None
    assert made[80].tls.mode == "ISTIO_MUTUAL"
    assert spoken(made[80]) == ["istio", "istio", "disabled"]
