"""What a controller writes into a resource again and again compiles nothing."""

from __future__ import annotations

import pytest

from roadstead import Registry, ResourceKey

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: x, resourceVersion: "1", generation: 1, uid: u, labels: {a: b}}
spec:
  hosts: [s.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: s}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: x, resourceVersion: "1", annotations: {proxy.istio.io/health-checks-enabled: "true"}}
spec: {address: 10.0.0.1, labels: {app: s}}
status: {conditions: [{type: Healthy, status: "True"}]}
"""
NAME = "outbound|80||s.test"


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("ServiceEntry", 'resourceVersion: "1", generation: 1', 'resourceVersion: "2", generation: 2'),
        ("ServiceEntry", "uid: u", "uid: v"),
        ("ServiceEntry", "\n---", "\nstatus: {conditions: [{type: Reconciled, status: 'True', message: now}]}\n---"),
        ("WorkloadEntry", 'resourceVersion: "1", ann', 'resourceVersion: "2", ann'),
        ("WorkloadEntry", 'status: "True"}', 'status: "True", message: now}, {type: Other, status: "False"}'),
    ],
)
def test_what_means_the_same_is_kept_and_compiles_nothing(engine_name: str, kind: str, before: str, after: str) -> None:
    registry = Registry.from_text(TEXT, backend=engine_name)
    cluster, changed = registry.cluster(NAME), TEXT.replace(before, after)
    assert changed != TEXT
    delta = registry.apply(put=changed)
    assert (delta.hosts, delta.clusters) == ((), ())
    assert registry.cluster(NAME) is cluster
    for key, resource in Registry.from_text(changed).resources.items():
        assert registry.resources[key] == resource
    assert registry.resources != Registry.from_text(TEXT).resources
    assert ResourceKey(kind, "x", kind[0].lower()) in registry.resources


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("labels: {a: b}", "labels: {a: c}"),
        ("uid: u", 'uid: u, creationTimestamp: "2025-01-01T00:00:00Z"'),
        ('status: "True"', 'status: "False"'),
        ("10.0.0.1", "10.0.0.2"),
        ("\n---", "\nstatus: {addresses: [{value: 240.240.0.1, host: s.test}]}\n---"),
    ],
)
def test_everything_else_is_a_change(engine_name: str, before: str, after: str) -> None:
    registry = Registry.from_text(TEXT, backend=engine_name)
    published = registry.version
    changed = TEXT.replace(before, after)
    registry.apply(put=changed)
    assert registry.version > published
    scratch = Registry.from_text(changed, backend=engine_name)
    assert registry.mesh.hosts == scratch.mesh.hosts
    assert registry.resources == scratch.resources
