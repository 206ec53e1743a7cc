"""Values of header operations that are made for each request (Envoy: substitution format strings)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.units import exact, forward, published, redirect, web

from roadstead import _lowered as low

HOST = "a.test"
CLUSTER = "outbound|80||a.test"


def text(value: str) -> low.Piece:
    return low.Piece(low.TEXT, value)


def sent(name: str, other: str = "", limit: int = 0) -> low.Piece:
    return low.Piece(low.REQUEST_HEADER, name, other, limit)


def answered(name: str, other: str = "", limit: int = 0) -> low.Piece:
    return low.Piece(low.RESPONSE_HEADER, name, other, limit)


def put(*pieces: low.Piece, kind: int = low.SET, name: str = "x-out") -> low.HeaderOp:
    return low.HeaderOp(kind, name, "", pieces)


# Operations, what `x-out` is; "" is not written. The request: see `ask`.
VALUES: list[tuple[tuple[low.HeaderOp, ...], str]] = [
    ((put(sent(":path")),), "/old/x?q=1"),
    ((put(sent(":method"), text(" "), sent(":authority"), text(" "), sent(":scheme")),), "GET A.test:80 https"),
    ((put(sent("host")),), "A.test:80"),
    ((put(sent("x-in")),), "one"),
    (
        (
            put(
                sent("X-In"),
            ),
        ),
        "one",
    ),
    ((put(sent("x-none")),), ""),
    ((put(sent("x-none"), text("-")),), "-"),
    ((put(sent("x-none", "x-in")),), "one"),
    ((put(sent("x-in", "x-other")),), "one"),
    ((put(sent("x-empty", "x-in")),), ""),
    ((put(sent("x-none", "x-gone")),), ""),
    ((put(sent("x-in", limit=2)),), "on"),
    ((put(sent("x-long", limit=2)),), "é"),
    ((put(sent("x-long", limit=3)),), "é"),
    ((put(sent("x-in", limit=99)),), "one"),
    ((put(low.Piece(low.SOURCE_IP)),), "192.0.2.7"),
    ((put(low.Piece(low.STATUS)),), "0"),
    ((put(low.Piece(low.CLUSTER, ";")),), f"{CLUSTER};"),
    ((put(answered("x-in")),), ""),
    # In the order of execution.
    ((low.HeaderOp(low.REMOVE, "x-in"), put(sent("x-in"))), ""),
    ((low.HeaderOp(low.SET, "X-IN", "new"), put(sent("x-in"))), "new"),
    ((low.HeaderOp(low.SET, "x-in", ""), put(sent("x-in"))), "one"),
    ((low.HeaderOp(low.ADD, "x-in", "new"), put(sent("x-in"))), "one"),
    ((low.HeaderOp(low.ADD, "x-none", "new"), put(sent("x-none"))), "new"),
    ((low.HeaderOp(low.ADD_IF_ABSENT, "x-none", "new"), put(sent("x-none"))), "new"),
    ((put(sent("x-in"), text("!"), name="x-mid"), put(sent("x-mid"))), "one!"),
    ((put(sent("x-out")), put(text("<"), sent("x-out"), text(">"))), "<was>"),
]


def ask(eng: Any) -> Any:
    headers = [
        ("x-in", "one"), ("X-In", "two"), ("x-other", "o"), ("x-empty", ""), ("x-long", "éé"), ("x-out", "was"),
        ("x-forwarded-proto", "HTTPS"),
    ]  # fmt: skip
    return eng.route("A.test:80", 80, "/old/x?q=1", headers=headers, source_ip="192.0.2.7")


@pytest.mark.parametrize(("operations", "value"), VALUES)
def test_values_of_requests(engine: ModuleType, operations: tuple[low.HeaderOp, ...], value: str) -> None:
    rule = forward(CLUSTER, headers=(low.HeaderMatch(":scheme", exact("https")),))
    decision = ask(published(engine, web(HOST, rule._replace(request_ops=operations))))
    assert decision.request_headers[-1] == ("set", "x-out", value)
    written = [line for name, line in decision.apply([("x-out", "was")]) if name == "x-out"]
    assert written == [value or "was"]
    exchange = decision.exchange(0)
    assert set(decision.apply([("x-out", "was")])) <= set(exchange.apply([("x-out", "was")]))
    exchange.cancel(0)


# Operations, what `x-out` of the response is.
ANSWERS: list[tuple[tuple[low.HeaderOp, ...], str]] = [
    ((put(low.Piece(low.STATUS)),), "207"),
    ((put(low.Piece(low.CLUSTER)),), CLUSTER),
    ((put(answered("x-up")),), "u"),
    ((put(answered("X-UP")),), "u"),
    ((put(answered("x-none", "x-up")),), "u"),
    ((low.HeaderOp(low.REMOVE, "x-up"), put(answered("x-up"))), ""),
    # Of the request as it went upstream.
    ((put(sent(":path"), text(" "), sent(":authority")),), "/new/x?q=1 other.test"),
    ((put(sent("x-in")),), "changed"),
    ((put(sent("x-other")),), "o"),
]


@pytest.mark.parametrize(("operations", "value"), ANSWERS)
def test_values_of_responses(engine: ModuleType, operations: tuple[low.HeaderOp, ...], value: str) -> None:
    rule = forward(CLUSTER, path=low.ValueMatch(low.PREFIX, "/old"))._replace(
        prefix_rewrite="/new",
        host_rewrite="other.test",
        request_ops=(low.HeaderOp(low.SET, "x-in", "changed"),),
        response_ops=operations,
    )
    decision = ask(published(engine, web(HOST, rule)))
    written = dict(decision.apply_response([("x-up", "u"), ("x-up", "v")], 207))
    assert written.get("x-out", "") == value


def test_answers_of_this_process(engine: ModuleType) -> None:
    ops = (put(low.Piece(low.STATUS), text(" "), sent(":path"), low.Piece(low.CLUSTER)),)
    direct = low.Route(None, low.Match(None), low.DIRECT_RESPONSE, direct_status=418, response_ops=ops)
    for rule, value in (
        (direct, "418 /old/x?q=1"),
        (redirect(low.Redirect(path="/y"))._replace(response_ops=ops), "301 /old/x?q=1"),
    ):
        decision = ask(published(engine, web(HOST, rule)))
        assert decision.response_headers == (("set", "x-out", value),)
        assert decision.apply_response({}) == [("x-out", value)]


def test_a_destination_comes_first(engine: ModuleType) -> None:
    first = low.Destination(CLUSTER, 1, (put(sent("x-in"), text("1")),), (put(low.Piece(low.STATUS)),))
    rule = forward(first)._replace(request_ops=(put(sent("x-out"), text("2"), name="x-last"),))
    decision = ask(published(engine, web(HOST, rule)))
    assert decision.request_headers == (("set", "x-out", "one1"), ("set", "x-last", "one12"))
    assert decision.response_headers == (("set", "x-out", "0"),)


def test_a_source_that_nobody_knows(engine: ModuleType) -> None:
    eng = published(engine, web(HOST, forward(CLUSTER)._replace(request_ops=(put(low.Piece(low.SOURCE_IP)),))))
    assert eng.route(HOST, 80).apply({}) == []
