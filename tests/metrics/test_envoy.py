"""Cluster statistics: names and kinds as a real Envoy has them, values from the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.metrics.mesh import CLUSTER, MESH
from tests.oracle.envoy import Envoy

from roadstead import Registry
from roadstead.mesh import Node
from roadstead.metrics.envoy import ClusterCollector, ClusterStats, text


def lease(registry: Registry, **outcome: object) -> str:
    """A request that came to its end; the address it went to."""
    with registry.route("api.test", 80, "/").lease() as one:
        one.finish(**outcome)
        return str(one.endpoint.address)


def types(exposed: str) -> dict[str, str]:
    rows = [line.split() for line in exposed.splitlines() if line.startswith("# TYPE")]
    return {name: kind for _, _, name, kind in rows}


def test_names_and_kinds_are_a_real_envoys(engine_name: str, tmp_path: Path) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    with Envoy(registry, Node(), 80, tmp_path) as envoy:
        envoy.get("api.test")
        # Without Istio's own rule Envoy takes a cluster's name to end at its first dot.
        theirs = {
            name.replace("envoy_cluster_test_", "envoy_cluster_"): kind
            for name, kind in types(envoy.admin("/stats/prometheus")).items()
        }
    ours = types(text(ClusterStats(registry)))
    assert {name: theirs.get(name) for name in ours} == ours
    assert "envoy_cluster_upstream_cx_connect_fail" in ours


def test_values_are_the_engines(engine_name: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    lease(registry, status=200)
    lease(registry, status=200)
    with registry.route("api.test", 80, "/").lease():
        lines = text(ClusterStats(registry)).splitlines()
    label = f'{{envoy_cluster_name="{CLUSTER}"}}'
    assert f"envoy_cluster_upstream_rq_total{label} 3" in lines
    assert f"envoy_cluster_upstream_rq_active{label} 1" in lines
    assert f"envoy_cluster_membership_total{label} 2" in lines
    assert f"envoy_cluster_circuit_breakers_default_remaining_pending{label} 5" in lines
    assert f"envoy_cluster_outlier_detection_ejections_active{label} 0" in lines


@pytest.mark.parametrize("label", ["envoy_cluster_name", "cluster_name"])
def test_through_prometheus_client(engine_name: str, label: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    lease(registry, status=200)
    watched = CollectorRegistry(auto_describe=True)
    watched.register(ClusterCollector(registry, label=label))  # type: ignore[arg-type]
    exposed = generate_latest(watched).decode()
    kinds = types(exposed)
    assert kinds["envoy_cluster_upstream_rq_total"] == "counter"
    assert kinds["envoy_cluster_upstream_cx_connect_fail"] == "untyped"
    assert kinds["envoy_cluster_membership_total"] == "gauge"
    samples = [one for family in text_string_to_metric_families(exposed) for one in family.samples]
    assert {tuple(one.labels) for one in samples} == {(label,)}
    assert {one.name: one.value for one in samples}["envoy_cluster_upstream_rq_total"] == 1
    # The same names as in Envoy's own text, which the parser would read otherwise.
    own = text(ClusterStats(registry), label=label)  # type: ignore[arg-type]
    told = {line.partition("{")[0] for line in own.splitlines() if not line.startswith("#")}
    assert {one.name for one in samples} == told


def test_an_unknown_label_is_refused(engine_name: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    with pytest.raises(ValueError, match="write envoy_cluster_name or cluster_name"):
        ClusterCollector(registry, label="name")  # type: ignore[arg-type]


def test_failed_connections_do_not_fall_when_an_endpoint_leaves(engine_name: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    stats = ClusterStats(registry)
    gone = lease(registry, error="connect_failure")
    assert stats.read()[CLUSTER]["upstream_cx_connect_fail"] == 1
    other = MESH.replace(gone, "127.0.0.9")
    registry.apply(other)
    assert stats.read()[CLUSTER]["upstream_cx_connect_fail"] == 1
    lease(registry, error="connect_failure")
    assert stats.read()[CLUSTER]["upstream_cx_connect_fail"] == 2
