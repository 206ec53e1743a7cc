"""What headers make of an exchange, what it writes into them, and whom it answers how: gRPC, own answers, mirrors."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.exchanges import HOST, MS, NAME, SERVER_ERROR, THREE, begun, engine_with, idle, report, route, told
from tests.core.units import cluster, exact, forward, published, redirect, unit, web

from roadstead import _lowered as low
from roadstead.errors import EngineError
from roadstead.steps import Respond

STEERED: list[tuple[dict[str, str], low.Retry | None, Any, str]] = [
    ({"x-envoy-retry-on": "5xx"}, None, ("response", 500), "delay"),
    ({"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "0"}, None, ("response", 500), "done 500 URX"),
    ({"x-envoy-retry-grpc-on": "unavailable"}, None, ("response", 200, {"grpc-status": "14"}), "delay"),
    ({"x-envoy-retry-grpc-on": "5xx"}, None, ("response", 500), "done 500"),
    ({"x-envoy-max-retries": "3"}, None, ("response", 500), "done 500"),
    ({"x-envoy-retry-on": "gateway-error"}, SERVER_ERROR, ("response", 500), "delay"),
    ({"x-envoy-max-retries": "x"}, SERVER_ERROR, ("response", 500), "delay"),
    ({"x-envoy-retry-on": "retriable-status-codes", "x-envoy-retriable-status-codes": "418, 404,x"}, None, ("response", 404), "delay"),
    ({"x-envoy-retry-on": "retriable-headers", "x-envoy-retriable-header-names": "X-Try, x-b"}, None, ("response", 200, {"x-try": ""}), "delay"),
    ({"x-envoy-retry-on": "retriable-headers", "x-envoy-retriable-header-names": "X-Try"}, None, ("response", 200, {}), "done 200"),
    ({"x-envoy-upstream-rq-timeout-ms": "300"}, None, ("expired",), "respond 504 UT response_timeout"),
    ({"x-envoy-upstream-rq-timeout-ms": "0"}, None, ("expired",), "try 1 1"),
    ({"x-envoy-upstream-rq-timeout-ms": "300", "x-envoy-upstream-rq-timeout-alt-response": ""}, None, ("expired",), "respond 204 UT response_timeout"),
    ({"x-envoy-upstream-rq-per-try-timeout-ms": "200", "x-envoy-retry-on": "5xx"}, None, ("expired",), "delay"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "retry", "written", "expected"), STEERED)
def test_steered(
    engine: ModuleType, headers: dict[str, str], retry: low.Retry | None, written: Any, expected: str
) -> None:
    """Honoured where the caller trusts the request, and only there (trap 21)."""
    eng = engine_with(engine, route(retry, 0.8))
    with begun(eng, headers, trusted=True) as exchange:
        assert told(report(exchange, (500, *written))).startswith(expected)
    with begun(eng, headers) as exchange, begun(eng) as plain:
        assert type(report(exchange, (500, *written))) is type(report(plain, (500, *written)))
        assert exchange.deadline == plain.deadline == 800 * MS


def test_header_lines_are_joined(engine: ModuleType) -> None:
    eng = engine_with(engine, route())
    lines = [
        ("X-Envoy-Retry-On", "reset"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-max-retries", "1"),
        ("x-envoy-max-retries", "2"),
    ]
    exchange = begun(eng, lines, trusted=True)
    assert told(exchange.response(500, now=0)) == "delay 10"
    exchange.expired(10 * MS)
    assert told(exchange.response(500, now=10 * MS)) == "done 500 URX"


GRPC_TIMEOUTS = [
    (None, 0.0, None), (None, 0.5, 500), ("200m", 0.5, 200), ("2S", 0.5, 500), ("2S", 0.0, 2000), ("0S", 0.5, 500), ("1n", 0.0, 1),
    ("1001u", 0.5, 2), ("1H", 0.0, 3_600_000), ("1M", 0.0, 60_000), ("x", 0.5, 500), ("5", 0.5, 500), ("123456789S", 0.5, 500),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "timeout", "expected"), GRPC_TIMEOUTS)
def test_grpc_timeout(engine: ModuleType, asked: str | None, timeout: float, expected: int | None) -> None:
    """A gRPC request says how long, the route how long at most."""
    eng = engine_with(engine, route(timeout=timeout))
    headers = {"content-type": "application/grpc+proto"} | ({} if asked is None else {"grpc-timeout": asked})
    with begun(eng, headers) as exchange:
        assert exchange.deadline == (None if expected is None else expected * MS)
        assert dict(exchange.step.headers).get("grpc-timeout") == (None if expected is None else f"{expected}m")
    for other in ("application/grpc-web", "application/json"):
        with begun(eng, headers | {"content-type": other}) as exchange:
            assert exchange.deadline == (int(timeout * 1000) * MS or None)


def test_headers_of_a_try(engine: ModuleType) -> None:
    eng = engine_with(engine, route(SERVER_ERROR._replace(per_try_timeout=0.3), 0.5))
    sent = {
        "X-Envoy-Retry-On": "5xx",
        "x-envoy-max-retries": "9",
        "accept": "*/*",
        "x-envoy-expected-rq-timeout-ms": "9",
        "X-Envoy-Internal": "true",
    }
    exchange = begun(eng, sent)
    assert exchange.apply(sent) == [
        ("accept", "*/*"), ("x-envoy-attempt-count", "1"), ("x-envoy-expected-rq-timeout-ms", "300"),
    ]  # fmt: skip
    exchange.response(500, now=250 * MS)
    exchange.expired(260 * MS)
    assert exchange.step.headers == (("x-envoy-attempt-count", "2"), ("x-envoy-expected-rq-timeout-ms", "240"))
    exchange.cancel()
    plain = begun(engine_with(engine, route()), sent, trusted=True)
    assert plain.apply(sent) == [
        ("accept", "*/*"), ("x-envoy-expected-rq-timeout-ms", "9"), ("X-Envoy-Internal", "true"), ("x-envoy-attempt-count", "1"),
    ]  # fmt: skip
    plain.cancel()


def test_received_later(engine: ModuleType) -> None:
    """The time limits count from the whole request."""
    eng = engine_with(engine, route(SERVER_ERROR._replace(per_try_timeout=0.3), 0.5))
    exchange = begun(eng, received=False)
    assert told(exchange.step) == "try 1 1"
    assert dict(exchange.step.headers)["x-envoy-expected-rq-timeout-ms"] == "300"
    assert told(exchange.expired(10_000 * MS)) == "try 1 1"
    assert told(exchange.received(10_000 * MS)) == "try 1 1 until 10300"
    assert exchange.deadline == 10_500 * MS
    assert told(exchange.received(20_000 * MS)) == "try 1 1 until 10300"
    exchange.cancel()
    early = begun(eng, received=False)
    assert told(early.response(500, now=0)) == "delay 10"
    assert told(early.received(0)) == "delay 10"
    assert told(early.expired(10 * MS)) == "try 2 3 until 310"
    early.cancel()


# gRPC


def test_grpc_is_answered_in_its_own_words(engine: ModuleType) -> None:
    """As measured with Envoy 1.40."""
    grpc = {"content-type": "application/grpc"}
    timed = engine_with(engine, route(timeout=0.1))
    step = begun(timed, grpc).expired(100 * MS)
    words = (("content-type", "application/grpc"), ("grpc-status", "14"), ("grpc-message", "upstream request timeout"))
    assert step == Respond(200, words, b"", "UT", "response_timeout")
    step = begun(engine_with(engine, route(fault=low.Fault(0, 0, 1_000_000, 0, 7))), grpc).step
    assert dict(step.headers) == {
        "content-type": "application/grpc",
        "grpc-status": "7",
        "grpc-message": "fault filter abort",
    }
    step = begun(engine_with(engine, route(fault=low.Fault(0, 0, 1_000_000, 404))), grpc).step
    assert dict(step.headers)["grpc-status"] == "12"


def test_grpc_status_is_what_is_learnt(engine: ModuleType) -> None:
    """Of a gRPC request: UNAVAILABLE is an error of the endpoint, whatever the status of the response."""
    eng = engine_with(engine, route(), endpoints=("10.0.0.1:80",))
    begun(eng, {"content-type": "application/grpc"}).response(200, {"grpc-status": "14"})
    begun(eng, {"content-type": "application/json"}).response(200, {"grpc-status": "14"})
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_error"], stats["rq_success"]) == (1, 1)


# Answers of this process


def test_own_answers(engine: ModuleType) -> None:
    rules = (
        redirect(low.Redirect(host="new.test"), path=exact("/moved")),
        low.Route(
            None, low.Match(exact("/tea")), low.DIRECT_RESPONSE, direct_status=418, direct_body="50%~é x".encode()
        ),
        forward("missing", path=exact("/missing")),
        forward(NAME, path=exact("/")),
    )
    eng = published(engine, web(HOST, *rules), clock=lambda: 0)
    plain = (("content-type", "text/plain"),)
    expected = {
        "/moved": Respond(301, (("location", "http://new.test/moved"),), b"", "", "direct_response"),
        "/tea": Respond(418, plain, "50%~é x".encode(), "", "direct_response"),
        "/missing": Respond(503, (), b"", "NC", "cluster_not_found"),
        "/none": Respond(404, (), b"", "NR", "route_not_found"),
    }
    for path, step in expected.items():
        exchange = begun(eng, path=path)
        assert exchange.step == step
        assert exchange.attempts == 0
    assert (
        dict(begun(eng, {"content-type": "application/grpc"}, path="/tea").step.headers)["grpc-message"]
        == "50%25%7E%C3%A9 x"
    )
    registry_only = published(engine, outbound=low.REGISTRY_ONLY)
    assert told(registry_only.route("unknown.test", 80).exchange().step) == "respond 502  direct_response"


def test_pass_through(engine: ModuleType) -> None:
    eng = published(engine, clock=lambda: 0)
    exchange = eng.route("unknown.test", 80).exchange()
    assert exchange.step.lease.endpoint.address == "unknown.test"
    assert told(exchange.response(503)) == "done 503"


# Mirrors


def test_mirrors(engine: ModuleType) -> None:
    mirrors = (low.Mirror("m", 1_000_000), low.Mirror("none", 1_000_000), low.Mirror("half", 500_000))
    given = route(SERVER_ERROR, 0.5, mirrors=mirrors, host_rewrite="other.test", fault=low.Fault(0.1, 1_000_000))
    copy = unit("m", cluster("m", "10.9.0.9:80"), cluster("half", "10.9.0.8:80"))
    eng = published(engine, web(HOST, given, endpoints=THREE), copy, clock=lambda: 0)
    exchange = begun(eng, draw=600_000)
    assert told(exchange.step) == "delay 100"
    step = exchange.expired(100 * MS)
    assert step.mirrors == ("m",)
    mirror = exchange.mirror("m", 100 * MS)
    assert told(mirror.step) == "try 1 9 until 600"
    assert mirror.step.mirrors == ()
    assert (mirror.decision.authority, mirror.decision.cluster_name, mirror.decision.kind) == (
        "other.test",
        "m",
        "forward",
    )
    assert told(mirror.response(500)) == "done 500"
    assert told(exchange.response(500, now=100 * MS))[:5] == "delay"
    assert exchange.expired(200 * MS).mirrors == ()
    with pytest.raises(EngineError, match="no cluster 'none' to mirror to"):
        exchange.mirror("none")
    exchange.cancel()
    assert idle(eng)
    assert idle(eng, "m")
