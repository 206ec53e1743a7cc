"""Istio's standard metrics: label values, sums and buckets of recorded requests."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from tests.metrics.mesh import MESH

from roadstead import Node, Registry
from roadstead.metrics.istio import RequestRecorder


def test_requests_are_counted_with_istios_labels(engine_name: str) -> None:
    node = Node(namespace="shop", labels={"app": "cart", "version": "v2"})
    registry = Registry.from_text(MESH, backend=engine_name, node=node)
    recorder = RequestRecorder(registry)
    decision = registry.route("api.test", 80, "/")
    for _ in range(5000):
        recorder.record(decision, 200, milliseconds=7, response_bytes=10)
    recorder.record(decision, 503, "UF,URX", milliseconds=1, protocol="grpc", grpc_status="14")
    watched = CollectorRegistry()
    watched.register(recorder)
    found = [one for family in watched.collect() for one in family.samples]
    good, bad = [one for one in found if one.name == "istio_requests_total"]
    assert (good.value, bad.value) == (5000, 1)
    wanted = {
        "response_code": "200",
        "reporter": "source",
        "source_app": "cart",
        "source_canonical_revision": "v2",
        "source_workload": "unknown",
        "source_workload_namespace": "shop",
        "destination_service": "api.test",
        "destination_service_name": "api.test",
        "destination_service_namespace": "default",
        "destination_app": "unknown",
        "destination_canonical_revision": "latest",
        "request_protocol": "http",
        "grpc_response_status": "",
        "response_flags": "-",
        "connection_security_policy": "unknown",
    }
    assert {name: good.labels[name] for name in wanted} == wanted
    assert (bad.labels["response_flags"], bad.labels["grpc_response_status"]) == ("UF,URX", "14")
    values = {(one.name, one.labels.get("le")): one.value for one in found if one.labels["response_code"] == "200"}
    duration = "istio_request_duration_milliseconds"
    assert [values[f"{duration}_bucket", le] for le in ("5", "10", "+Inf")] == [0, 5000, 5000]
    assert (values[f"{duration}_sum", None], values["istio_response_bytes_sum", None]) == (35000, 50000)


def test_hosts_of_nobody(engine_name: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    recorder = RequestRecorder(registry)
    recorder.record(registry.route("else.test", 80, "/"), 200, milliseconds=1)
    [total] = [one for family in recorder.collect() for one in family.samples if one.name == "istio_requests_total"]
    assert total.labels["destination_service"] == "else.test"
    assert total.labels["destination_service_name"] == "PassthroughCluster"
