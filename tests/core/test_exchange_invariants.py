"""Whatever is reported: both engines say the same, no lease is lost, and no more is tried than allowed."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ENGINES
from tests.core.corpus import stepped
from tests.core.exchanges import HOST, MS, NAME, RESETS
from tests.core.units import UNLIMITED, forward, published, web

from roadstead import _lowered as low
from roadstead import core
from roadstead.errors import EngineError
from roadstead.steps import Delay, Try

WORDS = (
    "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx",
    "refused-stream", "retriable-status-codes", "retriable-headers", "unavailable", "cancelled",
)  # fmt: skip
SECONDS = st.sampled_from((0.0, 0.0, 0.05, 0.3, 0.0004, 1.2))
RETRIES = st.builds(
    low.Retry,
    st.lists(st.sampled_from(WORDS), max_size=4).map(",".join),
    st.integers(0, 4),
    SECONDS,
    st.sampled_from((0.025, 0.0, 0.001, 0.2)),
    st.sampled_from(((), (418,), (425, 503))),
    st.booleans(),
    st.sampled_from((0, 0, 1, 2)),
)
FAULTS = st.none() | st.builds(
    low.Fault,
    SECONDS,
    st.sampled_from((0, 1_000_000)),
    st.sampled_from((0, 0, 1_000_000)),
    st.sampled_from((0, 503)),
    st.sampled_from((-1, 14)),
)
LIMITS = st.builds(
    UNLIMITED._replace,
    max_requests=st.sampled_from((0xFFFFFFFF, 1, 2)),
    max_pending_requests=st.sampled_from((0xFFFFFFFF, 1)),
    max_retries=st.sampled_from((0xFFFFFFFF, 0, 1)),
    retry_budget=st.sampled_from((None, None, (50.0, 0))),
)
ENDPOINTS = st.lists(
    st.builds(
        low.Endpoint("", 0)._replace,
        address=st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.3")),
        port=st.sampled_from((80, 81)),
        weight=st.integers(1, 3),
        health=st.sampled_from((low.HEALTHY, low.HEALTHY, low.UNHEALTHY, low.DEGRADED)),
    ),
    max_size=4,
)
GROUPS = st.lists(
    st.builds(low.LocalityGroup, st.just("z"), st.integers(0, 2), st.none(), ENDPOINTS.map(tuple)), max_size=3
)
BALANCERS = st.builds(
    low.LbConfig(ring_min=10, table_size=11)._replace,
    policy=st.integers(low.ROUND_ROBIN, low.MAGLEV),
    panic_threshold=st.sampled_from((0, 50)),
)
HEADERS = st.none() | st.dictionaries(
    st.sampled_from(
        (
            "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries", "x-envoy-retriable-status-codes",
            "x-envoy-retriable-header-names", "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
            "X-Envoy-Upstream-RQ-Timeout-Alt-Response", "content-type", "grpc-timeout", "GRPC-Timeout",
        )
    ),
    st.sampled_from(("5xx,reset", "unavailable", "2", " +3", "18446744073709551615", "application/grpc", "100m", "9999999999H", "503, 404", "")),
)  # fmt: skip
RESPONSES = st.none() | st.dictionaries(
    st.sampled_from(("grpc-status", "X-Envoy-RateLimited", "5xx,reset", "other")), st.sampled_from(("14", "1", "x", ""))
)
TERMS = st.fixed_dictionaries(
    {
        "trusted": st.booleans(),
        "replayable": st.sampled_from((True, True, False)),
        "received": st.sampled_from((True, True, False)),
        "pending": st.sampled_from((False, False, True)),
    }
)
# (report, arguments, keywords); "due": expired at the instant that the step names.
REPORTS = st.one_of(
    st.tuples(
        st.just("response"),
        st.tuples(st.sampled_from((100, 101, 200, 404, 409, 425, 500, 502, 503)), RESPONSES),
        st.fixed_dictionaries({"end_stream": st.booleans()}),
    ),
    st.tuples(st.just("reset"), st.tuples(st.sampled_from(RESETS)), st.fixed_dictionaries({"sent": st.booleans()})),
    st.tuples(st.just("due"), st.just(()), st.just({})),
    st.tuples(st.just("due"), st.just(()), st.just({})),
    st.tuples(st.sampled_from(("expired", "ready", "received", "ended", "cancel")), st.just(()), st.just({})),
)
EVENTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 120), REPORTS), max_size=14)


def due(step: Any, now: int) -> int:
    """When something happens by itself."""
    if isinstance(step, Delay):
        return max(now, step.until)
    deadline = getattr(step, "deadline", None)
    return now if deadline is None else max(now, deadline)


@settings(max_examples=400, deadline=None)
@given(
    RETRIES | st.none(), SECONDS, FAULTS, LIMITS, GROUPS, BALANCERS, HEADERS, st.tuples(TERMS, TERMS),
    st.integers(0, 2**64 - 1), EVENTS,
)  # fmt: skip
def test_any_reports(
    retry: low.Retry | None,
    timeout: float,
    fault: low.Fault | None,
    limits: low.Limits,
    groups: list[low.LocalityGroup],
    balancer: low.LbConfig,
    headers: dict[str, str] | None,
    terms: tuple[dict[str, bool], dict[str, bool]],
    draw: int,
    events: list[Any],
) -> None:
    rule = forward(NAME)._replace(retry=retry, timeout=timeout, fault=fault, mirrors=(low.Mirror(NAME, 500_000),))
    engines = [
        published(core.engine(name), web(HOST, rule, endpoints=groups, lb=balancer, limits=limits), clock=lambda: 0)
        for name in (ENGINES[0], ENGINES[-1])
    ]

    def agreed(told: list[Any]) -> Any:
        assert told[0] == told[1]
        return told[0]

    pairs = [
        [eng.route(HOST, 80, headers=headers, draw=draw ^ number).exchange(0, **own) for eng in engines]
        for number, own in enumerate(terms)
    ]
    now, tries = 0, [0, 0]
    for number, later, (name, arguments, keywords) in [(0, 0, ("expired", (), {})), *events]:
        pair = pairs[number]
        now = due(pair[0].step, now) if name == "due" else now + later * MS
        method = "expired" if name == "due" else name
        said = []
        for exchange in pair:
            try:
                said.append(stepped(getattr(exchange, method)(*arguments, **keywords, now=now)))
            except EngineError as error:
                said.append([str(error)])
        agreed(said)
        for exchange in pair:
            assert agreed([stepped(one.step) for one in pair])
            assert exchange.attempts >= tries[number]
        assert agreed([(one.attempts, one.flags, one.deadline, repr(one)) for one in pair])
        assert agreed([one.apply(headers or {}) for one in pair]) is not None
        agreed([eng.cluster(NAME).stats for eng in engines])
        agreed([eng.cluster(NAME).endpoint_stats() for eng in engines])
        tries[number] = pair[0].attempts
        if isinstance(pair[0].step, Try) and pair[0].step.mirrors and number == 0:
            copies = [exchange.mirror(NAME, now) for exchange in pair]
            agreed([stepped(copy.step) for copy in copies])
            agreed([stepped(copy.cancel(now)) for copy in copies])
    allowed = 1 + (0 if retry is None else retry.attempts)
    if headers is None or not (terms[0]["trusted"] or terms[1]["trusted"]):
        assert max(tries) <= allowed
    for pair in pairs:
        agreed([stepped(exchange.cancel(now)) for exchange in pair])
    for eng in engines:
        stats = eng.cluster(NAME).stats
        assert not any(stats[key] for key in stats if key.endswith("_active"))
        assert not any(one["rq_active"] for one in eng.cluster(NAME).endpoint_stats())
