"""Istio's standard metrics: label values, sums and buckets of what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from tests.metrics.mesh import MESH

from roadstead import Node, Registry
from roadstead.metrics.istio import ConnectionRecorder, RequestRecorder

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

NODE = Node(namespace="shop", labels={"app": "cart", "version": "v2"})
WANTED = {
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
    "connection_security_policy": "unknown",
}


def samples(recorder: RequestRecorder | ConnectionRecorder) -> list[Sample]:
    watched = CollectorRegistry()
    watched.register(recorder)
    return [one for family in watched.collect() for one in family.samples if not one.name.endswith("_created")]


def test_requests_are_counted_with_istios_labels(engine_name: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name, node=NODE)
    recorder = RequestRecorder(registry)
    assert samples(recorder) == []
    decision = registry.route("api.test", 80, "/")
    for _ in range(5000):
        recorder.add(decision, 200, nanoseconds=7_000_000, response_bytes=10)
    recorder.add(decision, 503, "UF,URX", nanoseconds=1, grpc=True, grpc_status=14)
    found = samples(recorder)
    good, bad = [one for one in found if one.name == "istio_requests_total"]
    assert (good.value, bad.value) == (5000, 1)
    wanted = {
        **WANTED,
        "response_code": "200",
        "request_protocol": "http",
        "grpc_response_status": "",
        "response_flags": "-",
    }
    assert {name: good.labels[name] for name in wanted} == wanted
    assert (bad.labels["response_flags"], bad.labels["grpc_response_status"]) == ("UF,URX", "14")
    assert bad.labels["request_protocol"] == "grpc"
    values = {(one.name, one.labels.get("le")): one.value for one in found if one.labels["response_code"] == "200"}
    duration = "istio_request_duration_milliseconds"
    assert [values[f"{duration}_bucket", le] for le in ("5", "10", "+Inf")] == [0, 5000, 5000]
    assert (values[f"{duration}_sum", None], values["istio_response_bytes_sum", None]) == (35000, 50000)


def test_exchanges_are_counted(engine_name: str) -> None:
    now = [0]
    registry = Registry.from_text(MESH, backend=engine_name, clock=lambda: now[0])
    recorder = RequestRecorder(registry)
    exchange = registry.route("api.test", 80, "/").exchange()
    exchange.response(200, end_stream=False)
    now[0] = 30_000_000
    exchange.ended()
    recorder.count(exchange, 12, 3000)
    values = {(one.name, one.labels.get("le")): one.value for one in samples(recorder)}
    assert values["istio_requests_total", None] == 1
    assert values["istio_request_duration_milliseconds_sum", None] == 30
    assert values["istio_request_bytes_bucket", "10"] == 0
    assert values["istio_request_bytes_bucket", "25"] == 1
    assert values["istio_response_bytes_bucket", "5000"] == 1


def test_hosts_of_nobody(engine_name: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    recorder = RequestRecorder(registry)
    recorder.add(registry.route("else.test", 80, "/"), 200, nanoseconds=1)
    [total] = [one for one in samples(recorder) if one.name == "istio_requests_total"]
    assert total.labels["destination_service"] == "else.test"
    assert total.labels["destination_service_name"] == "PassthroughCluster"


def test_connections(engine_name: str) -> None:
    registry = Registry.from_text(MESH.replace("HTTP", "TCP"), backend=engine_name, node=NODE)
    recorder = ConnectionRecorder(registry)
    assert samples(recorder) == []
    decision = registry.connect("api.test", 80)
    moved = [10, 20]
    first, second = recorder.opened(decision), recorder.opened(decision, lambda: (moved[0], moved[1]))
    first.moved(1, 2)
    first.moved(3, 2)

    def read(flags: str) -> dict[str, float]:
        return {one.name: one.value for one in samples(recorder) if one.labels["response_flags"] == flags}

    names = ("connections_opened", "connections_closed", "sent_bytes", "received_bytes")
    assert read("-") == dict(zip([f"istio_tcp_{name}_total" for name in names], [2, 0, 13, 22], strict=True))
    moved[:] = [100, 200]
    second.closed()
    second.closed()
    first.closed("UC")
    assert read("-") == dict(zip([f"istio_tcp_{name}_total" for name in names], [2, 1, 103, 202], strict=True))
    assert read("UC")["istio_tcp_connections_closed_total"] == 1
    labels = samples(recorder)[0].labels
    assert {name: labels[name] for name in WANTED} == WANTED
    assert labels["request_protocol"] == "tcp"
    assert "response_code" not in labels
