"""CORS: what responses say, which preflights are answered here, and what is left of the route then (Envoy: cors_filter.cc)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.units import exact, forward, prefix, published, redirect, regex, web

from roadstead import _lowered as low
from roadstead.errors import EngineError
from roadstead.steps import Respond

HOST = "a.test"
CLUSTER = "outbound|80||a.test"
CORS = low.Cors(
    (exact("https://a.io"), prefix("https://b."), regex("https://c[0-9]\\.io")),
    allow_methods="GET,PUT",
    allow_headers="x-a",
    expose_headers="x-b",
    max_age="60",
    allow_credentials=True,
)
STRICT = CORS._replace(forward_unmatched=False)
ANY = low.Cors((exact("*"),), allow_methods="*", allow_headers="*")
REST = [
    ("set", "access-control-allow-credentials", "true"),
    ("set", "access-control-allow-methods", "GET,PUT"),
    ("set", "access-control-allow-headers", "x-a"),
    ("set", "access-control-expose-headers", "x-b"),
    ("set", "access-control-max-age", "60"),
]

# Policy, method, origin, what is asked for, the answer's headers (None: sent on).
PREFLIGHTS: list[tuple[low.Cors, str, str, dict[str, str], list[tuple[str, str, str]] | None]] = [
    (CORS, "OPTIONS", "https://a.io", {"method": "PUT"}, [("set", "access-control-allow-origin", "https://a.io"), *REST]),
    (CORS, "OPTIONS", "https://b.io", {"method": "PUT"}, [("set", "access-control-allow-origin", "https://b.io"), *REST]),
    (CORS, "OPTIONS", "https://c1.io", {"method": "x"}, [("set", "access-control-allow-origin", "https://c1.io"), *REST]),
    (CORS, "OPTIONS", "https://c.io", {"method": "PUT"}, None),
    (CORS, "OPTIONS", "HTTPS://a.io", {"method": "PUT"}, None),
    (CORS, "OPTIONS", "https://a.io", {}, None),
    (CORS, "OPTIONS", "https://a.io", {"method": ""}, None),
    (CORS, "OPTIONS", "", {"method": "PUT"}, None),
    (CORS, "options", "https://a.io", {"method": "PUT"}, None),
    (CORS, "GET", "https://a.io", {"method": "PUT"}, None),
    (CORS, "GET", "https://d.io", {}, None),
    (ANY, "POST", "null", {}, None),
    (STRICT, "OPTIONS", "https://c.io", {"method": "PUT"}, []),
    (STRICT, "OPTIONS", "https://c.io", {}, None),
    (STRICT, "OPTIONS", "", {"method": "PUT"}, None),
    (ANY, "OPTIONS", "null", {"method": "PUT"},
     [("set", "access-control-allow-origin", "null"), ("set", "access-control-allow-methods", "PUT"),
      ("set", "access-control-allow-headers", "")]),
    (ANY, "OPTIONS", "null", {"method": "PUT", "headers": "x,y"},
     [("set", "access-control-allow-origin", "null"), ("set", "access-control-allow-methods", "PUT"),
      ("set", "access-control-allow-headers", "x,y")]),
    (low.Cors(), "OPTIONS", "https://a.io", {"method": "PUT"}, None),
]  # fmt: skip


def told(cors: low.Cors, origin: str) -> list[tuple[str, str, str]]:
    """What responses of others say to one of the origins here."""
    if cors == ANY and origin:
        return [("set", "access-control-allow-origin", origin)]
    return (
        [("set", "access-control-allow-origin", origin), REST[0], REST[3]]
        if cors in (CORS, STRICT) and origin == "https://a.io"
        else []
    )


def asking(origin: str, asked: dict[str, str]) -> dict[str, str]:
    found = {f"Access-Control-Request-{name}": value for name, value in asked.items()}
    return {"Origin": origin, **found}


def ask(eng: Any, origin: str = "https://a.io", **given: Any) -> Any:
    return eng.route(HOST, 80, "/x", "OPTIONS", asking(origin, {"method": "PUT"}), **given)


@pytest.mark.parametrize(("cors", "method", "origin", "asked", "answer"), PREFLIGHTS)
def test_which_are_answered(
    engine: ModuleType,
    cors: low.Cors,
    method: str,
    origin: str,
    asked: dict[str, str],
    answer: list[tuple[str, str, str]] | None,
) -> None:
    eng = published(engine, web(HOST, forward(CLUSTER)._replace(cors=cors)))
    decision = eng.route(HOST, 80, "/x", method, asking(origin, asked))
    if answer is None:
        assert (decision.kind, decision.reasons[-1]) == ("forward", "route:0")
        assert list(decision.response_headers) == told(cors, origin)
        return
    assert (decision.kind, decision.status, decision.flags) == ("direct_response", 200, "")
    assert decision.direct_response == (200, b"")
    assert list(decision.response_headers) == answer
    assert decision.apply_response({}) == [(name, value) for _, name, value in answer]
    assert decision.reasons[-2:] == ("cors:preflight", "route:0")


def test_nothing_of_the_route_is_done_to_it(engine: ModuleType) -> None:
    ops = (low.HeaderOp(low.SET, "x-a", "1"),)
    rule = forward((CLUSTER, 1), (CLUSTER, 1), path=prefix("/"))._replace(
        cors=CORS,
        request_ops=ops,
        response_ops=ops,
        prefix_rewrite="/new/",
        host_rewrite="other.test",
        mirrors=(low.Mirror("m", 1_000_000),),
        hash_policies=(low.HashPolicy(low.HASH_COOKIE, "ck", 60.0),),
    )
    decision = ask(published(engine, web(HOST, rule)))
    assert (decision.cluster, decision.cluster_name, decision.destination_index) == (None, "", -1)
    assert (decision.path, decision.authority, decision.request_headers, decision.mirrors) == ("/x", HOST, (), ())
    assert (decision.set_cookies, decision.hash, decision.redirect) == ((), None, None)
    assert (decision.route_index, len(decision.response_headers)) == (0, 6)
    with pytest.raises(EngineError, match="answers by itself"):
        decision.pick()


@pytest.mark.parametrize(
    "rule",
    [
        redirect(low.Redirect(path="/y")),
        low.Route(None, low.Match(None), low.DIRECT_RESPONSE, direct_status=418, direct_body=b"tea"),
    ],
    ids=["redirect", "direct response"],
)
def test_before_what_the_route_answers(engine: ModuleType, rule: low.Route) -> None:
    eng = published(engine, web(HOST, rule._replace(cors=CORS)))
    decision = ask(eng)
    assert (decision.kind, decision.direct_response, decision.redirect) == ("direct_response", (200, b""), None)
    assert ask(eng, "https://c.io").status == (301 if rule.redirect else 418)


def test_faults_come_first(engine: ModuleType) -> None:
    delay = low.Fault(1.5, 1_000_000)
    decision = ask(published(engine, web(HOST, forward(CLUSTER)._replace(cors=CORS, fault=delay))))
    assert (decision.kind, decision.fault) == ("direct_response", (1.5, 0, -1))
    abort = low.Fault(0.0, 0, 1_000_000, 503)
    decision = ask(published(engine, web(HOST, forward(CLUSTER)._replace(cors=CORS, fault=abort))))
    assert (decision.kind, decision.fault, decision.response_headers) == ("forward", (0.0, 503, -1), ())


def test_responses_of_all_kinds_say_it_but_an_abort(engine: ModuleType) -> None:
    ops = (low.HeaderOp(low.SET, "x-a", "1"), low.HeaderOp(low.SET, "access-control-allow-origin", "route's"))
    sent = {"origin": "https://a.io"}
    for rule, kind in (
        (forward(CLUSTER), "forward"),
        (forward("gone"), "no_cluster"),
        (redirect(low.Redirect(path="/y")), "redirect"),
        (low.Route(None, low.Match(None), low.DIRECT_RESPONSE, direct_status=418), "direct_response"),
    ):
        eng = published(engine, web(HOST, rule._replace(cors=CORS, response_ops=ops)))
        decision = eng.route(HOST, 80, headers=sent)
        assert (decision.kind, decision.response_headers[2:]) == (kind, tuple(told(CORS, "https://a.io")))
        lines = [("access-control-allow-origin", "upstream's"), ("x-a", "0")]
        assert decision.apply_response(lines) == [
            ("access-control-allow-origin", "https://a.io"),
            ("x-a", "1"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-b"),
        ]
    abort = low.Fault(0.0, 0, 1_000_000, 503)
    rule = forward(CLUSTER)._replace(cors=CORS, response_ops=ops, fault=abort)
    decision = published(engine, web(HOST, rule)).route(HOST, 80, headers=sent)
    assert len(decision.response_headers) == 2


def test_an_exchange_answers(engine: ModuleType) -> None:
    step = ask(published(engine, web(HOST, forward(CLUSTER)._replace(cors=CORS)))).exchange().step
    assert step == Respond(200, (), b"", "", "cors_response")


def test_lines_of_a_header_are_one_value(engine: ModuleType) -> None:
    lines = [("origin", "https://b.1"), ("ORIGIN", "2"), ("access-control-request-method", "PUT")]
    eng = published(engine, web(HOST, forward(CLUSTER)._replace(cors=CORS)))
    assert eng.route(HOST, 80, "/", "OPTIONS", lines).response_headers[0][2] == "https://b.1,2"
