"""Istio's standard metrics through OpenTelemetry's SDK."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from tests.metrics.mesh import MESH

from roadstead import Registry
from roadstead.metrics.otel import Instruments


def test_requests_are_measured(engine_name: str) -> None:
    now = [0]
    registry = Registry.from_text(MESH, backend=engine_name, clock=lambda: now[0])
    reader = InMemoryMetricReader()
    instruments = Instruments(registry, MeterProvider([reader]).get_meter("test"))
    for status in (200, 200, 503):
        decision = registry.route("api.test", 80, "/")
        headers, over = instruments.begin(decision, [("a", "b")])
        assert headers == [("a", "b")]
        exchange = decision.exchange()
        now[0] += 7_000_000
        exchange.response(status)
        over(exchange, 5, 10, -1)
    data = reader.get_metrics_data()
    assert data is not None
    found = {one.name: one for one in data.resource_metrics[0].scope_metrics[0].metrics}
    counts = {one.attributes["response_code"]: one.value for one in found["istio_requests_total"].data.data_points}
    assert counts == {"200": 2, "503": 1}
    [good, _] = found["istio_request_duration_milliseconds"].data.data_points
    assert (good.sum, good.count) == (14.0, 2)
    assert (good.attributes["destination_service"], good.attributes["reporter"]) == ("api.test", "source")
    assert found["istio_response_bytes"].data.data_points[0].sum == 20
