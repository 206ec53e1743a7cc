"""Which workloads are probed from here, and how."""

from __future__ import annotations

import pytest

from roadstead import Registry
from roadstead.config.dialect import Dialect
from roadstead.mesh import WorkloadProbe

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec:
  hosts: [s.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: s}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: shop%s}
spec: {address: 10.0.0.1, labels: {app: s, v: one}}
"""
GROUP = """
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: %s, namespace: %s}
spec: {%s, probe: {%s}}
"""
TCP = "tcpSocket: {port: 7}"


def group(name: str, labels: str = "app: s", probe: str = TCP, namespace: str = "shop") -> str:
    return GROUP % (name, namespace, f"template: {{labels: {{{labels}}}}}", probe)


def probe(*groups: str, entry: str = "", dialect: Dialect = "extended") -> WorkloadProbe | None:
    registry = Registry.from_text(SERVICE % entry + "".join(groups), dialect=dialect)
    (found,) = [host for host in registry.mesh.hosts.values() if host.key == "s.test"]
    ((endpoint,),) = [one.endpoints for one in found.clusters[0].groups]
    return endpoint.probe


def port(*groups: str, entry: str = "") -> int:
    """The port that is probed, 0 for none."""
    found = probe(*groups, entry=entry)
    return 0 if found is None else found.port


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (TCP, WorkloadProbe(10, 1, 1, 1, "tcp", "", port=7)),
        ("tcpSocket: {port: 7, host: localhost}", WorkloadProbe(10, 1, 1, 1, "tcp", "", port=7)),
        ("tcpSocket: {port: 7, host: 10.9.9.9}", WorkloadProbe(10, 1, 1, 1, "tcp", "", port=7, address="10.9.9.9")),
        ("httpGet: {port: 8}", WorkloadProbe(10, 1, 1, 1, "http", "/", port=8)),
        (
            (
                "httpGet: {port: 8, path: ready, scheme: HTTPS, httpHeaders: [{name: Host, value: a.b}, {name: x, value: z}]}, "
                "initialDelaySeconds: 2, periodSeconds: 3, timeoutSeconds: 4, successThreshold: 5, failureThreshold: 6"
            ),
            WorkloadProbe(3, 4, 6, 5, "http", "/ready", (("x", "z"),), "a.b", port=8, https=True, initial_delay=2),
        ),
        ("grpc: {port: 9, service: a.B}", WorkloadProbe(10, 1, 1, 1, "grpc", "", service="a.B", port=9)),
        ("exec: {command: [ls]}", None),
    ],
)
def test_probes(written: str, expected: WorkloadProbe | None) -> None:
    assert probe(group("g", probe=written)) == expected


def test_labels_make_members() -> None:
    assert port(group("g", "app: s")) == 7
    assert port(group("g", "app: s, v: two")) == 0
    assert port(group("g", "app: s", namespace="other")) == 0
    labels = "template: {labels: {app: other}}, metadata: {labels: {app: s}}"
    assert port(GROUP % ("g", "shop", labels, TCP)) == 7
    assert port(GROUP % ("g", "shop", "template: {}", TCP)) == 0


def test_most_labels_then_the_name_decide_between_groups() -> None:
    wide, narrow = group("a", "app: s"), group("b", "app: s, v: one", "tcpSocket: {port: 8}")
    assert port(wide, narrow) == port(narrow, wide) == 8
    assert port(group("z", probe="tcpSocket: {port: 9}"), wide) == 7


def test_who_names_its_group_belongs_to_no_other() -> None:
    named = ", annotations: {istio.io/autoRegistrationGroup: g}"
    assert port(group("g", "app: other"), group("h", probe="tcpSocket: {port: 8}"), entry=named) == 7
    assert port(group("h"), entry=named) == 0


def test_who_is_probed_by_its_agent_is_not_probed_from_here() -> None:
    reported = ", annotations: {proxy.istio.io/health-checks-enabled: 'true'}}\nstatus: {conditions: [{type: Healthy, status: 'True'}]"
    assert probe(group("g"), entry=reported) is None


def test_nobody_is_in_the_dialect_of_istio() -> None:
    assert probe(group("g"), dialect="istio") is None


def test_a_change_of_the_group_is_a_change_of_the_cluster(engine_name: str) -> None:
    registry = Registry.from_text(SERVICE % "", backend=engine_name)
    for text in (group("g"), group("g", probe="tcpSocket: {port: 8}")):
        assert registry.apply(put=text).clusters == ("outbound|80||s.test",)
    assert registry.apply(put=group("other", "app: t")).clusters == ()
    assert registry.apply(delete="WorkloadGroup/shop/g").clusters == ("outbound|80||s.test",)
