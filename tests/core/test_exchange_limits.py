"""Exchanges at the limits of their cluster, where their tries go, and experiments 20 and 21 (back-off, time limits)."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest
from tests.core.exchanges import HOST, MS, NAME, SERVER_ERROR, begun, engine_with, idle, route, told
from tests.core.units import UNLIMITED, group

from roadstead import _lowered as low
from roadstead.errors import EndpointsPending
from roadstead.steps import Delay, Respond

# Of draw 0: the first numbers of SplitMix64 from mix(0) = 0, modulo 25, 50 and 100.
BACKOFFS = (10, 0, 79)


def test_a_refused_retry_is_gone(engine: ModuleType) -> None:
    """max_retries: flag UO on the response as it is, and one try less (trap 18)."""
    eng = engine_with(engine, route(SERVER_ERROR), limits=UNLIMITED._replace(max_retries=0))
    exchange = begun(eng)
    assert told(exchange.response(500)) == "done 500 UO"
    assert exchange.attempts == 1
    assert eng.cluster(NAME).stats["upstream_rq_retry_overflow"] == 1
    exchange = begun(eng)
    assert told(exchange.reset("connection_termination"))[:17] == "respond 503 UO,UC"


def test_a_retry_counts_until_the_next_outcome(engine: ModuleType) -> None:
    eng = engine_with(engine, route(SERVER_ERROR), limits=UNLIMITED._replace(max_retries=1))
    active = lambda: eng.cluster(NAME).stats["upstream_rq_retry_active"]  # noqa: E731
    first, second = begun(eng), begun(eng)
    first.response(500, now=0)
    assert active() == 1
    assert told(second.response(500)) == "done 500 UO"
    first.expired(10 * MS)
    assert active() == 1
    assert told(first.response(500, now=15 * MS)) == "delay 15"
    assert active() == 1
    first.expired(15 * MS)
    first.response(200, end_stream=False, now=18 * MS)
    assert active() == 0
    first.ended()
    assert idle(eng)


def test_max_requests(engine: ModuleType) -> None:
    eng = engine_with(engine, route(SERVER_ERROR), limits=UNLIMITED._replace(max_requests=1))
    first = begun(eng)
    step = begun(eng).step
    assert told(step) == "respond 503 UO upstream_reset_before_response_started{overflow}"
    assert ("x-envoy-overloaded", "true") in step.headers
    assert step.body.endswith(b"headers. reset reason: overflow")
    first.response(500, now=0)
    other = begun(eng)
    step = first.expired(10 * MS)
    assert step.body.endswith(b"retried and the latest reset reason: overflow")
    other.cancel()
    assert idle(eng)


def test_pending(engine: ModuleType) -> None:
    """A try waits for its connection; its time limit counts from then."""
    retry = SERVER_ERROR._replace(per_try_timeout=0.3)
    eng = engine_with(engine, route(retry, 1.0), limits=UNLIMITED._replace(max_requests=1, max_pending_requests=2))
    first, second = begun(eng, pending=True), begun(eng, pending=True)
    assert told(first.step) == "try 1 1 until 1000"
    assert told(begun(eng, pending=True).step)[:14] == "respond 503 UO"
    assert told(first.ready(100 * MS)) == "try 1 1 until 400"
    assert told(second.ready(100 * MS))[:14] == "respond 503 UO"
    assert told(first.response(500, now=200 * MS)) == "delay 210"
    assert told(first.expired(210 * MS)) == "try 2 2 until 1000"
    first.cancel()
    assert idle(eng)


def test_nobody_healthy(engine: ModuleType) -> None:
    step = begun(engine_with(engine, route(SERVER_ERROR), endpoints=())).step
    assert step == Respond(503, (("content-type", "text/plain"),), b"no healthy upstream", "UH", "no_healthy_upstream")
    eng = engine_with(engine, route(SERVER_ERROR), endpoints=("10.0.0.1:80",))
    exchange = begun(eng)
    exchange.response(500, now=0)
    eng.set_health(NAME, "10.0.0.1", 80, low.UNHEALTHY)
    assert told(exchange.expired(10 * MS)) == "respond 503 UH no_healthy_upstream"


# Where tries go


def test_hash_goes_to_the_same_host(engine: ModuleType) -> None:
    """Without previous_hosts, as Istio has it there (trap 16)."""
    policies = (low.HashPolicy(low.HASH_HEADER, "x-user"),)
    given = route(low.Retry("5xx", 3), hash_policies=policies)
    for lb in (low.LbConfig(policy=low.RING_HASH), low.LbConfig(policy=low.MAGLEV, table_size=251)):
        eng = engine_with(engine, given, lb=lb)
        exchange = begun(eng, {"x-user": "alice"})
        seen = []
        for now in (0, 1000, 2000, 3000):
            seen.append(exchange.step.lease.endpoint.address)
            exchange.response(500, now=now * MS)
            exchange.expired((now + 500) * MS)
        assert len(set(seen)) == 1
        assert exchange.flags == "URX"
        decision = eng.route(HOST, 80, draw=0)
        with decision.exchange(hash_key=7) as exchange:
            assert exchange.step.lease.endpoint == decision.pick(hash_key=7)


def test_other_priorities(engine: ModuleType) -> None:
    """previous_priorities, update frequency 2: P0 twice, P1 twice, and all over again."""
    endpoints = (group("10.0.0.1:80", "10.0.0.2:80"), group("10.1.0.1:80", "10.1.0.2:80", priority=1))
    for policy in (low.ROUND_ROBIN, low.LEAST_REQUEST, low.RANDOM):
        given = route(low.Retry("5xx", 9, previous_priorities=2))
        eng = engine_with(engine, given, endpoints=endpoints, lb=low.LbConfig(policy=policy))
        exchange, seen = begun(eng), []
        for now in range(0, 10_000, 1000):
            seen.append(exchange.step.lease.endpoint.priority)
            exchange.response(500, now=now * MS)
            exchange.expired((now + 500) * MS)
        assert seen == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]


def test_other_priorities_by_what_is_left(engine: ModuleType) -> None:
    """P0 half, P1 half, P2 half healthy: after two tries elsewhere the rest shares what P0 had."""
    ok, bad = low.HEALTHY, low.UNHEALTHY
    endpoints = [
        low.LocalityGroup(
            "", at, None, tuple([low.Endpoint(f"10.{at}.0.{n}", 80, health=h) for n, h in enumerate((ok, bad))])
        )
        for at in range(3)
    ]
    eng = engine_with(engine, route(low.Retry("5xx", 9, previous_priorities=1)), endpoints=endpoints)
    draws, third = random.Random(1), []
    for _ in range(400):
        exchange = begun(eng, draw=draws.getrandbits(64))
        first = exchange.step.lease.endpoint.priority
        exchange.response(500, now=0)
        step = exchange.expired(MS * 100)
        assert step.lease.endpoint.priority != first
        third.append((first, step.lease.endpoint.priority))
        exchange.cancel()
    # 70 % and 70 % of what is left: shares 70 and 30 of 100.
    after_first = [second for first, second in third if first == 0]
    assert 0.6 < after_first.count(1) / len(after_first) < 0.8


# Experiments of the data plane's specification


def test_20_back_off(engine: ModuleType) -> None:
    """retry_on 5xx, three retries: uniform below 25, 50 and 100 ms, so half of it on average; four tries, flag URX."""
    eng = engine_with(engine, route(low.Retry("5xx", 3)), endpoints=("10.0.0.1:80",))
    draws, count = random.Random(20), 400
    gaps: list[list[int]] = [[], [], []]
    for _ in range(count):
        exchange, now = begun(eng, draw=draws.getrandbits(64)), 0
        for gap in gaps:
            step = exchange.response(500, now=now)
            assert isinstance(step, Delay)
            gap.append((step.until - now) // MS)
            now = step.until
            exchange.expired(now)
        assert told(exchange.response(500, now=now)) == "done 500 URX"
        assert exchange.attempts == 4
    for gap, most in zip(gaps, (25, 50, 100), strict=True):
        assert max(gap) < most
        # Four standard deviations of the mean of a uniform distribution.
        assert abs(sum(gap) / count - (most - 1) / 2) <= 4 * most / (12 * count) ** 0.5
    assert eng.cluster(NAME).stats["upstream_rq_total"] == 4 * count


def test_back_off_grows_to_ten_bases(engine: ModuleType) -> None:
    eng = engine_with(engine, route(low.Retry("5xx", 12, base_interval=0.2)), endpoints=("10.0.0.1:80",))
    most = [0] * 12
    for draw in range(60):
        exchange, now = begun(eng, draw=draw), 0
        for at in range(12):
            until = exchange.response(500, now=now).until
            most[at], now = max(most[at], (until - now) // MS), until
            exchange.expired(now)
        exchange.cancel()
    for at, bound in enumerate([200, 400, 800, 1600] + [2000] * 8):
        assert 0.8 * bound < most[at] < bound


def test_draws_of_back_offs(engine: ModuleType) -> None:
    """The n-th number of the generator that starts at mix(draw)."""
    eng = engine_with(engine, route(low.Retry("5xx", 3)), endpoints=("10.0.0.1:80",))
    exchange, now, seen = begun(eng), 0, []
    for _ in range(3):
        until = exchange.response(500, now=now).until
        seen.append((until - now) // MS)
        now = until
        exchange.expired(now)
    assert tuple(seen) == BACKOFFS
    exchange.cancel()


EXPERIMENT_21 = [
    (low.Retry("5xx", 9, 0.3), 1.2, 4, 1200, "UT", "response_timeout"),
    (low.Retry("connect-failure", 9, 0.3), 1.2, 1, 300, "UT", "upstream_per_try_timeout"),
    (low.Retry("5xx", 9, 0.9), 0.5, 1, 500, "UT", "response_timeout"),
    (low.Retry("5xx", 3, 0.3), 0.0, 4, None, "URX,UT", "upstream_per_try_timeout"),
]


@pytest.mark.parametrize(("retry", "timeout", "attempts", "end", "flags", "details"), EXPERIMENT_21)
def test_21_time_limits(
    engine: ModuleType, retry: low.Retry, timeout: float, attempts: int, end: int | None, flags: str, details: str
) -> None:
    """An upstream that never answers."""
    eng = engine_with(engine, route(retry, timeout))
    exchange, now = begun(eng), 0
    while not isinstance(step := exchange.step, Respond):
        due = step.until if isinstance(step, Delay) else step.deadline
        assert due is not None
        now = due
        exchange.expired(now)
    assert (exchange.attempts, step.status, step.flags, step.details) == (attempts, 504, flags, details)
    assert step.body == b"upstream request timeout"
    assert end is None or now == end * MS
    assert idle(eng)


# Names that are not resolved yet


def test_pending_names(engine: ModuleType) -> None:
    """It comes through where a try would begin, and changes nothing."""

    def nothing_yet() -> Any:
        return None

    eng = engine_with(engine, route(SERVER_ERROR), endpoints=("10.0.0.1:80",))
    exchange = begun(eng)
    exchange.response(500, now=0)
    eng.update_endpoints(NAME, [])
    eng.hold(NAME, nothing_yet)
    with pytest.raises(EndpointsPending):
        begun(eng)
    for _ in range(2):
        with pytest.raises(EndpointsPending):
            exchange.expired(10 * MS)
        assert (told(exchange.step), exchange.attempts) == ("delay 10", 1)
    eng.update_endpoints(NAME, [group("10.0.0.2:80")])
    assert told(exchange.expired(20 * MS)) == "try 2 2"
    assert told(exchange.response(200)) == "done 200"
    assert idle(eng)
