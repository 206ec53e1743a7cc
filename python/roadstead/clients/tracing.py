"""Spans of OpenTelemetry for requests: `Transport(registry, watchers=[Spans()])`.

Without it the trace context that a request comes with (traceparent, b3 …) is passed on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.clients.bodies import Count, HeaderList
from roadstead.errors import MissingExtra
from roadstead.steps import Done, Respond

try:
    from opentelemetry import context, propagate, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise MissingExtra("Spans for traces", "otel", "opentelemetry-api") from error

if TYPE_CHECKING:
    from opentelemetry.propagators.textmap import TextMapPropagator

    from roadstead._core import Decision, Exchange


class Spans:
    """A client span for each request, from its decision to the end of its response, named and tagged as Envoy's.

    Its parent is the context in the request's headers, as for a sidecar, else the caller's current span. Its own
    context is what is sent on. tracer: default OpenTelemetry's global one. propagator: what reads and writes headers,
    default the global one (W3C's traceparent, or what OTEL_PROPAGATORS names: b3, b3multi …)."""

    def __init__(self, tracer: trace.Tracer | None = None, propagator: TextMapPropagator | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("roadstead")
        self._propagator = propagator or propagate.get_global_textmap()

    def begin(self, decision: Decision, headers: HeaderList) -> tuple[HeaderList, Count]:
        """Of `bodies.Watcher`."""
        given = {name.lower(): value for name, value in headers}
        parent = self._propagator.extract(given)
        if not trace.get_current_span(parent).get_span_context().is_valid:
            parent = context.get_current()
        span = self._tracer.start_span(
            f"{decision.authority}{_WHOLE}",
            parent,
            SpanKind.CLIENT,
            {
                "component": "proxy",
                "http.url": f"{decision.authority}{decision.path}",
                "upstream_cluster": decision.cluster_name,
                "upstream_cluster.name": decision.cluster_name,
            },
        )
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, trace.set_span_in_context(span, parent))
        written = {name.lower() for name in carrier}
        sent = [line for line in headers if line[0].lower() not in written] + list(carrier.items())

        def over(exchange: Exchange, request_bytes: int, response_bytes: int, grpc_status: int) -> None:
            step = exchange.step
            status = step.status if isinstance(step, Done | Respond) else 0
            flags = exchange.flags or "-"
            span.set_attribute("http.status_code", str(status))
            span.set_attribute("response_flags", flags)
            span.set_attribute("request_size", str(request_bytes))
            span.set_attribute("response_size", str(response_bytes))
            if exchange.attempts > 1:
                span.set_attribute("retry.count", exchange.attempts - 1)
            if grpc_status >= 0:
                span.set_attribute("grpc.status_code", str(grpc_status))
            if status == 0 or status >= 500 or grpc_status in _SERVERS:
                span.set_attribute("error", "true")
                span.set_status(Status(StatusCode.ERROR, flags))
            span.end()

        return sent, over


# Istio names a span after the host and all of its paths.
_WHOLE = "/*"
# Statuses of gRPC that are the server's fault (OpenTelemetry, for clients: all but OK; Envoy: these).
_SERVERS = frozenset((1, 2, 4, 8, 13, 14, 15))

__all__ = ["Spans"]
