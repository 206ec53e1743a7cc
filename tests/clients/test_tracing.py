"""Spans of real requests: whose children they are, what is sent on, what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Servers, servers
from tests.clients.ways import CLIENTS, Way

from roadstead.clients.tracing import Spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Traced:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")

    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


@pytest.mark.parametrize("name", CLIENTS)
def test_a_span_for_each_request(name: str, made: Servers, traced: Traced) -> None:
    server = made.http()
    server.script.append(Answer(503))
    mesh = entry(server.port, http="retries: {attempts: 1, retryOn: 5xx}")
    spans = Spans(traced.tracer, TraceContextTextMapPropagator())
    with traced.tracer.start_as_current_span("caller") as caller:
        Way(name, "fallback").ask(mesh, ("GET", URL), options={"watchers": [spans]})
    [span, _] = traced.spans()
    assert (span.name, span.kind.name, span.status.status_code.name) == ("api.test/*", "CLIENT", "UNSET")
    assert span.parent.span_id == caller.get_span_context().span_id
    sent = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
    assert [one.header("traceparent") for one in server.requests] == [sent, sent]
    wanted = {
        "http.url": "api.test/v1/things?x=1",
        "http.status_code": "200",
        "response_flags": "-",
        "response_size": "2",
        "upstream_cluster": "outbound|80||api.test",
        "retry.count": 1,
    }
    assert {key: span.attributes[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("propagator", "headers", "sent"),
    [
        (TraceContextTextMapPropagator(), {"traceparent": f"00-{TRACE}-{PARENT}-01"}, "traceparent"),
        (B3SingleFormat(), {"b3": f"{TRACE}-{PARENT}-1"}, "b3"),
        (B3MultiFormat(), {"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "1"}, "x-b3-spanid"),
    ],
    ids=["traceparent", "b3", "b3multi"],
)
def test_a_trace_goes_on(made: Servers, traced: Traced, propagator: Any, headers: dict[str, str], sent: str) -> None:
    server = made.http()
    options = {"watchers": [Spans(traced.tracer, propagator)]}
    Way("httpx", "fallback").ask(entry(server.port), ("GET", URL), options=options, headers=headers)
    [span] = traced.spans()
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    [request] = server.requests
    values = [value for name, value in request.headers if name == sent]
    assert len(values) == 1
    assert f"{span.context.span_id:016x}" in values[0]


def test_what_goes_wrong_is_an_error(made: Servers, traced: Traced) -> None:
    server = made.http()
    server.stop()
    options = {"watchers": [Spans(traced.tracer, TraceContextTextMapPropagator())]}
    Way("httpx", "fallback").ask(entry(server.port, http="retries: {attempts: 0}"), ("GET", URL), options=options)
    [span] = traced.spans()
    assert (span.status.status_code.name, span.status.description) == ("ERROR", "UF")
    assert (span.attributes["error"], span.attributes["http.status_code"]) == ("true", "503")


def test_without_spans_a_context_is_passed_on(made: Servers) -> None:
    server = made.http()
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "b3": f"{TRACE}-{PARENT}-1"}
    Way("httpx", "fallback").ask(entry(server.port), ("GET", URL), headers=headers)
    [request] = server.requests
    assert {name: request.header(name) for name in headers} == headers
