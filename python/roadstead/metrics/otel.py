"""Istio's standard metrics of requests for OpenTelemetry: `Transport(registry, watchers=[Instruments(registry)])`.

Each request is measured when it is over, at what OpenTelemetry costs; `istio.RequestRecorder` is much cheaper."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from roadstead.errors import MissingExtra
from roadstead.metrics.labels import Labels, describer, of_request
from roadstead.steps import Done, Respond

try:
    from opentelemetry import metrics
except ImportError as error:
    raise MissingExtra("Metrics for OpenTelemetry", "otel", "opentelemetry-api") from error

if TYPE_CHECKING:
    from roadstead._core import Decision, Exchange
    from roadstead.registry.view import View

_Lines: TypeAlias = list[tuple[str, str]]
# Sets of attributes that are kept; beyond, they are made anew.
_MOST = 4096


class Instruments:
    """`istio_requests_total`, `istio_request_duration_milliseconds`, `istio_request_bytes`, `istio_response_bytes`,
    with Istio's labels as attributes. meter: default OpenTelemetry's global one."""

    def __init__(self, view: View, meter: metrics.Meter | None = None) -> None:
        made = meter or metrics.get_meter("roadstead")
        self._clock = view.clock
        self._describe = describer(view.node)
        self._requests = made.create_counter("istio_requests_total", description="Requests.")
        self._duration = made.create_histogram("istio_request_duration_milliseconds", "ms", "Of requests.")
        self._sent = made.create_histogram("istio_request_bytes", "By", "Of requests.")
        self._received = made.create_histogram("istio_response_bytes", "By", "Of requests.")
        self._known: dict[tuple[object, ...], Labels] = {}

    def begin(self, decision: Decision, headers: _Lines) -> tuple[_Lines, Callable[[Exchange, int, int, int], None]]:
        """As clients call it."""
        start = self._clock()
        kind = next((value for name, value in headers if name.lower() == "content-type"), "")
        is_grpc = kind.startswith("application/grpc")

        def over(exchange: Exchange, request_bytes: int, response_bytes: int, grpc_status: int) -> None:
            labels = self._labels(exchange, is_grpc, grpc_status)
            self._requests.add(1, labels)
            self._duration.record((self._clock() - start) / 1e6, labels)
            self._sent.record(request_bytes, labels)
            self._received.record(response_bytes, labels)

        return headers, over

    def _labels(self, exchange: Exchange, is_grpc: bool, grpc_status: int) -> Labels:
        step, decision = exchange.step, exchange.decision
        status = step.status if isinstance(step, Done | Respond) else 0
        cluster = decision.cluster_name
        authority = "" if cluster.startswith("outbound|") else decision.authority
        key = (cluster, decision.kind, authority, status, exchange.flags, is_grpc, grpc_status)
        known = self._known.get(key)
        if known is None:
            about = self._describe(decision, authority)
            known = of_request(about, status, exchange.flags, grpc=is_grpc, grpc_status=grpc_status)
            if len(self._known) < _MOST:
                self._known[key] = known
        return known


__all__ = ["Instruments"]
