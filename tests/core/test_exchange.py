"""Exchanges: tables of reports and the steps that follow, each retry condition, and ends that nobody reports."""

from __future__ import annotations

import gc
from types import ModuleType
from typing import Any

import pytest
from tests.core.exchanges import (
    HOST,
    MS,
    NAME,
    RESETS,
    SERVER_ERROR,
    THREE,
    begun,
    engine_with,
    idle,
    report,
    route,
    told,
)
from tests.core.units import chain, cluster, published, service, unit, web

from roadstead import _lowered as low
from roadstead.errors import EngineError
from roadstead.steps import Delay, Done, Respond

# Name, route, reports with the step that follows each (the first one: that it begins with), flags of limits

SCRIPTS: list[tuple[str, low.Route, list[Any]]] = [
    ("well", route(), ["try 1 1", (5, "response", 200), "done 200"]),
    ("no policy", route(), ["try 1 1", (5, "response", 503), "done 503"]),
    ("no policy, reset", route(), ["try 1 1", (5, "reset", "connection_termination"),
     "respond 503 UC upstream_reset_before_response_started{connection_termination}"]),
    ("passed on", route(), ["try 1 1", (5, "response", 200, "more"), "forward 200", (9, "ended"), "done 200"]),
    ("cut", route(), ["try 1 1", (5, "response", 200, "more"), "forward 200",
     (9, "reset", "connection_termination"), "done 200 UC reset"]),
    ("again, then well", route(SERVER_ERROR), ["try 1 1", (10, "response", 500), "delay 20", (20, "expired"), "try 2 2",
     (25, "response", 200), "done 200"]),
    ("used up", route(SERVER_ERROR._replace(attempts=2)), ["try 1 1", (0, "response", 500), "delay 10", (10, "expired"), "try 2 2",
     (15, "response", 502), "delay 15", (15, "expired"), "try 3 3", (30, "response", 503), "done 503 URX"]),
    ("used up by resets", route(SERVER_ERROR._replace(attempts=1)), ["try 1 1", (0, "reset", "remote_connection_failure"), "delay 10",
     (10, "expired"), "try 2 2", (11, "reset", "remote_connection_failure"),
     "respond 503 URX,UF upstream_reset_before_response_started{remote_connection_failure}"]),
    ("not yet due", route(SERVER_ERROR), ["try 1 1", (10, "response", 500), "delay 20", (19, "expired"), "delay 20"]),
    ("previous hosts", route(SERVER_ERROR._replace(attempts=3)), ["try 1 1", (0, "response", 500), "delay 10", (10, "expired"), "try 2 2",
     (10, "response", 500), "delay 10", (10, "expired"), "try 3 3", (10, "response", 500), "delay 89", (89, "expired"), "try 4 3"]),
    ("time is up", route(timeout=0.5), ["try 1 1 until 500", (499, "expired"), "try 1 1 until 500",
     (500, "expired"), "respond 504 UT response_timeout"]),
    ("time is up while it is passed on", route(timeout=0.5), ["try 1 1 until 500", (10, "response", 200, "more"), "forward 200",
     (500, "expired"), "done 200 UT reset"]),
    ("time is up in a back-off", route(SERVER_ERROR, 0.5), ["try 1 1 until 500", (497, "response", 500), "delay 500",
     (500, "expired"), "respond 504 UT response_timeout"]),
    ("a try's time", route(SERVER_ERROR._replace(per_try_timeout=0.3), 1.2), ["try 1 1 until 300", (300, "expired"), "delay 310",
     (310, "expired"), "try 2 2 until 610", (400, "response", 200), "done 200"]),
    ("a try's time, not its condition", route(low.Retry("connect-failure", 3, 0.3)), ["try 1 1 until 300",
     (300, "expired"), "respond 504 UT upstream_per_try_timeout"]),
    ("a try's time, used up", route(low.Retry("gateway-error", 0, 0.3)), ["try 1 1 until 300",
     (300, "expired"), "respond 504 URX,UT upstream_per_try_timeout"]),
    ("a try's time beyond the request's", route(low.Retry("5xx", 3, 0.9), 0.5), ["try 1 1 until 500",
     (500, "expired"), "respond 504 UT response_timeout"]),
    ("a try's time ends with the headers", route(SERVER_ERROR._replace(per_try_timeout=0.3)), ["try 1 1 until 300",
     (10, "response", 200, "more"), "forward 200", (400, "expired"), "forward 200"]),
    ("a try's time counts from its connection", route(SERVER_ERROR._replace(per_try_timeout=0.3)), ["try 1 1 until 300",
     (100, "ready"), "try 1 1 until 400"]),
    ("100-continue", route(SERVER_ERROR._replace(per_try_timeout=0.3)), ["try 1 1 until 300", (10, "response", 100), "try 1 1",
     (20, "response", 500), "done 500"]),
    ("101 is a response", route(SERVER_ERROR), ["try 1 1", (10, "response", 101, "more"), "forward 101"]),
    ("103, then a reset", route(SERVER_ERROR), ["try 1 1", (10, "response", 103), "try 1 1",
     (20, "reset", "remote_reset"), "done 0 UR reset"]),
    ("425 at once", route(low.Retry("retriable-status-codes", 1, status_codes=(425,))), ["try 1 1",
     (10, "response", 425), "try 2 2", (20, "response", 425), "done 425 URX"]),
    ("cancelled", route(SERVER_ERROR), ["try 1 1", (10, "cancel"), "done 0 DC", (20, "response", 200), "done 0 DC"]),
    ("cancelled in a back-off", route(SERVER_ERROR), ["try 1 1", (0, "response", 500), "delay 10", (1, "cancel"), "done 0 DC",
     (10, "expired"), "done 0 DC"]),
    ("cancelled while it is passed on", route(), ["try 1 1", (0, "response", 200, "more"), "forward 200", (1, "cancel"), "done 200 DC"]),
    ("refused stream", route(low.Retry("refused-stream", 1)), ["try 1 1", (0, "reset", "remote_refused_stream_reset"), "delay 10"]),
    ("protocol error", route(), ["try 1 1", (0, "reset", "protocol_error"),
     "respond 502 UPE upstream_reset_before_response_started{protocol_error}"]),
    ("overflow is never repeated", route(low.Retry("5xx,reset,reset-before-request", 3)), ["try 1 1", (0, "reset", "overflow"),
     "respond 503 UO upstream_reset_before_response_started{overflow}"]),
    ("over", route(), ["try 1 1", (0, "response", 200), "done 200", (1, "reset", "remote_reset"), "done 200", (2, "ended"), "done 200",
     (3, "ready"), "done 200", (4, "received"), "done 200", (5, "expired"), "done 200", (6, "cancel"), "done 200"]),
    ("delay", route(timeout=0.4, fault=low.Fault(0.8, 1_000_000)), ["delay 800", (799, "expired"), "delay 800",
     (800, "expired"), "try 1 1 until 1200", (1200, "expired"), "respond 504 DI,UT response_timeout"]),
    ("abort", route(SERVER_ERROR, fault=low.Fault(0, 0, 1_000_000, 503)), ["respond 503 FI fault_filter_abort"]),
    ("delay and abort", route(fault=low.Fault(0.5, 1_000_000, 1_000_000, 418)), ["delay 500",
     (500, "expired"), "respond 418 DI,FI fault_filter_abort"]),
    ("abort of gRPC for a request that is none", route(fault=low.Fault(0, 0, 1_000_000, 0, 14)), ["respond 200 FI fault_filter_abort"]),
    ("draw beyond the share", route(fault=low.Fault(0.5, 0, 0, 503)), ["try 1 1"]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "script"), [row[1:] for row in SCRIPTS], ids=[row[0] for row in SCRIPTS])
def test_script(engine: ModuleType, given: low.Route, script: list[Any]) -> None:
    eng = engine_with(engine, given)
    exchange = begun(eng)
    assert told(exchange.step) == script[0]
    for written, expected in zip(script[1::2], script[2::2], strict=True):
        assert told(report(exchange, written)) == expected, written
    exchange.cancel()
    assert idle(eng)


FLAGS = ("UF", "UF", "UF", "UC", "LR", "UR", "UR", "UPE", "UO")
CONNECTION = frozenset(RESETS[:3])
ANY = frozenset(RESETS[:-1])
# Condition: statuses, resets, gRPC statuses after which it tries again; response headers with status 200.
CONDITIONS: dict[str, tuple[set[int], frozenset[str], set[int]]] = {
    "5xx": (set(range(500, 600)), ANY, set()),
    "gateway-error": ({502, 503, 504}, ANY, set()),
    "reset": (set(), ANY, set()),
    "connect-failure": (set(), CONNECTION, set()),
    "reset-before-request": (set(), CONNECTION, set()),
    "refused-stream": (set(), frozenset(("remote_refused_stream_reset",)), set()),
    "retriable-4xx": ({409}, frozenset(), set()),
    "retriable-status-codes": ({418, 503}, frozenset(), set()),
    "retriable-headers": (set(), frozenset(), set()),
    "envoy-ratelimited": (set(), frozenset(), set()),
    "http3-post-connect-failure": (set(), frozenset(), set()),
    "cancelled": (set(), frozenset(), {1}),
    "deadline-exceeded": (set(), frozenset(), {4}),
    "resource-exhausted": (set(), frozenset(), {8}),
    "internal": (set(), frozenset(), {13}),
    "unavailable": (set(), frozenset(), {14}),
    "something-else": (set(), frozenset(), set()),
    "connect-failure, refused-stream ,unavailable,cancelled,retriable-status-codes": (
        {418, 503},
        CONNECTION | {"remote_refused_stream_reset"},
        {1, 14},
    ),
}


@pytest.mark.parametrize("words", CONDITIONS)
def test_condition(engine: ModuleType, words: str) -> None:
    statuses, resets, grpc = CONDITIONS[words]
    eng = engine_with(engine, route(low.Retry(words, 1, status_codes=(418, 503))))
    repeated = [status for status in range(200, 600) if isinstance(begun(eng).response(status), Delay)]
    assert set(repeated) == statuses
    assert {reason for reason in RESETS if isinstance(begun(eng).reset(reason), Delay)} == resets
    headers = [{"grpc-status": str(status)} for status in range(17)]
    assert {at for at, given in enumerate(headers) if isinstance(begun(eng).response(200, given), Delay)} == grpc
    gc.collect()
    assert idle(eng)


@pytest.mark.parametrize(("reason", "flag"), list(zip(RESETS, FLAGS, strict=True)))
def test_reset_flag(engine: ModuleType, reason: str, flag: str) -> None:
    step = begun(engine_with(engine, route())).reset(reason)
    assert isinstance(step, Respond)
    assert step.flags == flag
    text = f"upstream connect error or disconnect/reset before headers. reset reason: {reason.replace('_', ' ')}"
    assert step.body.decode() == text
    overloaded = (("x-envoy-overloaded", "true"),) if reason == "overflow" else ()
    assert step.headers == (*overloaded, ("content-type", "text/plain"))


@pytest.mark.parametrize(
    ("given", "reports", "counted"),
    [
        (route(timeout=0.5), [(500, "expired")], {"upstream_rq_timeout": 1}),
        # In the back-off, of no try.
        (route(SERVER_ERROR, 0.5), [(1, "response", 503), (500, "expired")], {"upstream_rq_retry": 1}),
        (
            route(SERVER_ERROR._replace(per_try_timeout=0.3)),
            [(300, "expired"), (310, "expired")],
            {"upstream_rq_per_try_timeout": 1, "upstream_rq_retry": 1},
        ),
        (route(low.Retry("5xx", 0, 0.3)), [(300, "expired")], {"upstream_rq_per_try_timeout": 1}),
        (route(), [(5, "reset", "connection_timeout")], {"upstream_cx_connect_timeout": 1}),
        (route(), [(5, "reset", "remote_connection_failure")], {}),
    ],
)
def test_what_is_counted(engine: ModuleType, given: low.Route, reports: list[Any], counted: dict[str, int]) -> None:
    """In Envoy's words. A retry counts once it is decided on."""
    eng = engine_with(engine, given)
    exchange = begun(eng)
    for one in reports:
        report(exchange, one)
    exchange.cancel(0)
    names = ("upstream_cx_connect_timeout", "upstream_rq_retry", "upstream_rq_timeout", "upstream_rq_per_try_timeout")
    stats = eng.cluster(NAME).stats
    found = {name: stats[name] for name in names if stats[name]}
    assert found == counted
    failed = sum(one["cx_connect_fail"] for one in eng.cluster(NAME).endpoint_stats())
    assert failed == any(one[1] == "reset" for one in reports)


def test_nothing_sent_yet(engine: ModuleType) -> None:
    """reset-before-request: nothing of the request was written, in this try or an earlier one."""
    eng = engine_with(engine, route(low.Retry("reset-before-request", 3)))
    exchange = begun(eng)
    assert told(exchange.reset("connection_termination", sent=False, now=0)) == "delay 10"
    assert told(exchange.expired(10 * MS)) == "try 2 2"
    assert told(exchange.reset("remote_reset", now=10 * MS))[:14] == "respond 503 UR"
    exchange = begun(eng)
    exchange.reset("remote_connection_failure", now=0)
    exchange.expired(10 * MS)
    assert isinstance(exchange.reset("remote_connection_failure", now=10 * MS), Delay)
    exchange.cancel()
    assert idle(eng)


RATELIMITED = [
    ("5xx,retriable-status-codes,unavailable", 503, False),
    ("envoy-ratelimited", 200, True),
    ("envoy-ratelimited", 429, True),
]


@pytest.mark.parametrize(("words", "status", "repeated"), RATELIMITED)
def test_ratelimited_decides_alone(engine: ModuleType, words: str, status: int, repeated: bool) -> None:
    eng = engine_with(engine, route(low.Retry(words, 1, status_codes=(503,))))
    step = begun(eng).response(status, {"X-Envoy-RateLimited": "true", "grpc-status": "14"})
    assert isinstance(step, Delay if repeated else Done)


GRPC_STATUS = [("14", True), (" 14 ", True), ("+14", True), ("14x", False), ("", False), ("-14", False), ("014", True)]


@pytest.mark.parametrize(("text", "repeated"), GRPC_STATUS)
def test_grpc_status_is_read_as_envoy_reads_it(engine: ModuleType, text: str, repeated: bool) -> None:
    eng = engine_with(engine, route(low.Retry("unavailable", 1)))
    for headers in ({"grpc-status": text}, [("GRPC-Status", text)], {"Grpc-Status": text}):
        assert isinstance(begun(eng).response(200, headers), Delay if repeated else Done)


def test_not_replayable(engine: ModuleType) -> None:
    eng = engine_with(engine, route(SERVER_ERROR))
    assert told(begun(eng, replayable=False).response(500)) == "done 500"
    exchange = begun(eng)
    assert exchange.replayable
    exchange.replayable = False
    assert told(exchange.response(500)) == "done 500"


def test_unfit_reports(engine: ModuleType) -> None:
    eng = engine_with(engine, route(SERVER_ERROR))
    exchange = begun(eng)
    with pytest.raises(EngineError, match="no response is being passed on"):
        exchange.ended()
    with pytest.raises(EngineError, match="no reset 'broken'"):
        exchange.reset("broken")
    exchange.response(500)
    for name, arguments in (("response", (200,)), ("reset", ("remote_reset",)), ("ready", ())):
        with pytest.raises(EngineError, match=f"{name}: no try is under way"):
            getattr(exchange, name)(*arguments)
    with pytest.raises(OverflowError):
        exchange.response(-1)
    with pytest.raises(EngineError):
        published(
            engine, unit("t", service("t.test", (1, low.PROTO_TCP)), cluster("c"), chain("t.test", 1, "c"))
        ).connect("t.test", 1).exchange()
    exchange.cancel()


# Ends that nobody reports


def test_as_a_context_manager(engine: ModuleType) -> None:
    eng = engine_with(engine, route(SERVER_ERROR))
    with begun(eng) as exchange:
        exchange.response(500)
        assert eng.cluster(NAME).stats["upstream_rq_retry_active"] == 1
    assert told(exchange.step) == "done 0 DC"
    assert idle(eng)
    with begun(eng) as exchange:
        exchange.response(200)
    assert told(exchange.step) == "done 200"


def test_collected(engine: ModuleType) -> None:
    eng = engine_with(engine, route(SERVER_ERROR))
    held = [begun(eng)]
    with pytest.warns(ResourceWarning):
        held.clear()
    held = [begun(eng)]
    held[0].response(500)
    held.clear()
    gc.collect()
    assert idle(eng)


def test_the_clock_of_the_engine(engine: ModuleType) -> None:
    now = [100 * MS]
    eng = published(engine, web(HOST, route(SERVER_ERROR, 0.25), endpoints=THREE), clock=lambda: now[0])
    exchange = eng.route(HOST, 80, draw=0).exchange()
    assert told(exchange.step) == "try 1 1 until 350"
    now[0] = 349 * MS
    assert told(exchange.expired()) == "try 1 1 until 350"
    now[0] = 350 * MS
    assert told(exchange.expired()) == "respond 504 UT response_timeout"
