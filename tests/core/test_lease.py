"""Leases: limits, counters, ends."""

from __future__ import annotations

import gc
import threading
from types import ModuleType
from typing import Any

import pytest
from tests.core.units import UNLIMITED, chain, cluster, publish, published, service, unit, web

from roadstead import _lowered as low
from roadstead.errors import EngineError, NoHealthyEndpoint, Overflow, Unavailable

HOST, NAME = "a.test", "outbound|80||a.test"


def limited(module: ModuleType, **limits: Any) -> Any:
    given = UNLIMITED._replace(**limits)
    tcp = unit(
        "t",
        service("t.test", (1, low.PROTO_TCP)),
        cluster("tcp", "10.0.0.9:1", limits=given),
        chain("t.test", 1, "tcp"),
    )
    return published(module, web(HOST, limits=given), tcp)


def counters(eng: Any, name: str = NAME) -> dict[str, int]:
    """Those of the cluster that are not 0, but for its membership and the gauges of its breakers."""
    stats = eng.cluster(name).stats
    return {key: value for key, value in stats.items() if value and key.startswith(("upstream_", "lb_"))}


def request(eng: Any, **options: bool) -> Any:
    return eng.route(HOST, 80).lease(**options)


def refused(eng: Any, **options: bool) -> str:
    with pytest.raises(Overflow) as overflow:
        request(eng, **options)
    assert isinstance(overflow.value, Unavailable)
    assert (overflow.value.status, overflow.value.flags) == (503, "UO")
    assert NAME in str(overflow.value)
    return overflow.value.limit


def test_kinds(engine: ModuleType) -> None:
    eng = limited(engine)
    with request(eng) as lease, eng.connect("t.test", 1).lease() as connection:
        assert type(lease) is engine.RequestLease
        assert type(connection) is engine.ConnectionLease
        assert lease.cluster is eng.cluster(NAME)
        assert lease.endpoint is eng.cluster(NAME).endpoints[0]
        assert connection.endpoint.address == "10.0.0.9"


def test_request_counters(engine: ModuleType) -> None:
    eng = limited(engine)
    lease = request(eng)
    assert counters(eng) == {"upstream_rq_active": 1, "upstream_rq_total": 1}
    lease.finish(status=200)
    assert counters(eng) == {"upstream_rq_total": 1}
    request(eng, retry=True).finish(status=503)
    with request(eng):
        pass
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert stats == {
        "rq_active": 0,
        "rq_total": 3,
        "rq_success": 2,
        "rq_error": 1,
        "cx_active": 0,
        "cx_total": 0,
        "cx_connect_fail": 0,
    }


ENDS = [
    ({"status": 200}, 1, 0, 0),
    ({"status": 499}, 1, 0, 0),
    ({"status": 500}, 0, 1, 0),
    ({"error": "connect_failure"}, 0, 1, 1),
    ({"error": "reset"}, 0, 1, 0),
    ({"error": "timeout"}, 0, 1, 0),
    ({"error": "whatever"}, 0, 1, 0),
    ({"status": 200, "error": "reset"}, 0, 1, 0),
    ({"status": 200, "now": 123}, 1, 0, 0),
    ({}, 1, 0, 0),
]


@pytest.mark.parametrize(("how", "success", "errors", "connect_failures"), ENDS)
def test_outcome(engine: ModuleType, how: dict[str, Any], success: int, errors: int, connect_failures: int) -> None:
    eng = limited(engine)
    request(eng).finish(**how)
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_success"], stats["rq_error"], stats["cx_connect_fail"]) == (success, errors, connect_failures)


def test_only_the_first_end_counts(engine: ModuleType) -> None:
    eng = limited(engine)
    with request(eng) as lease:
        lease.finish(status=500)
        lease.finish(status=200)
    lease.finish()
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_active"], stats["rq_success"], stats["rq_error"]) == (0, 0, 1)


def test_an_exception_is_a_failure(engine: ModuleType) -> None:
    eng = limited(engine)
    with pytest.raises(ZeroDivisionError), request(eng):
        _ = 1 / 0
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_active"], stats["rq_error"]) == (0, 1)


def test_max_requests(engine: ModuleType) -> None:
    eng = limited(engine, max_requests=2)
    held = [request(eng), request(eng)]
    assert refused(eng) == "max_requests"
    assert counters(eng) == {"upstream_rq_active": 2, "upstream_rq_total": 2, "upstream_rq_active_overflow": 1}
    held.pop().finish()
    request(eng).finish()
    held.pop().finish()


def test_zero_means_never(engine: ModuleType) -> None:
    assert refused(limited(engine, max_requests=0)) == "max_requests"
    assert refused(limited(engine, max_retries=0), retry=True) == "max_retries"
    assert refused(limited(engine, max_pending_requests=0), pending=True) == "max_pending_requests"


def test_max_retries(engine: ModuleType) -> None:
    eng = limited(engine, max_retries=1)
    with request(eng), request(eng, retry=True):
        assert counters(eng)["upstream_rq_retry_active"] == 1
        assert refused(eng, retry=True) == "max_retries"
    assert counters(eng) == {"upstream_rq_total": 2, "upstream_rq_retry": 1, "upstream_rq_retry_overflow": 1}


def test_a_refused_request_gives_its_retry_back(engine: ModuleType) -> None:
    eng = limited(engine, max_requests=1, max_retries=5)
    with request(eng):
        assert refused(eng, retry=True) == "max_requests"
        told = {
            "upstream_rq_active": 1,
            "upstream_rq_total": 1,
            "upstream_rq_retry": 1,
            "upstream_rq_active_overflow": 1,
        }
        assert counters(eng) == told


def test_retry_budget(engine: ModuleType) -> None:
    """max(20 % of the active and pending requests, 2), in place of max_retries."""
    eng = limited(engine, max_retries=0, retry_budget=(20.0, 2))
    held = [request(eng) for _ in range(14)]
    held += [request(eng, retry=True), request(eng, retry=True)]
    # 16 busy: 3.2, truncated.
    held.append(request(eng, retry=True))
    assert refused(eng, retry=True) == "max_retries"
    for lease in held:
        lease.finish()


def test_pending(engine: ModuleType) -> None:
    eng = limited(engine, max_pending_requests=1, max_requests=1)
    waiting = request(eng, pending=True)
    assert counters(eng) == {"upstream_rq_pending_active": 1}
    assert refused(eng, pending=True) == "max_pending_requests"
    waiting.ready()
    waiting.ready()
    assert counters(eng) == {
        "upstream_rq_active": 1,
        "upstream_rq_total": 1,
        "upstream_rq_pending_overflow": 1,
    }
    waiting.finish(status=200)
    waiting.ready()
    assert counters(eng) == {"upstream_rq_total": 1, "upstream_rq_pending_overflow": 1}


def test_pending_ends_where_requests_are_at_their_limit(engine: ModuleType) -> None:
    eng = limited(engine, max_requests=1, max_retries=1)
    with request(eng):
        waiting = request(eng, pending=True, retry=True)
        with pytest.raises(Overflow) as overflow:
            waiting.ready()
        assert overflow.value.limit == "max_requests"
        waiting.finish()
        told = {
            "upstream_rq_active": 1,
            "upstream_rq_total": 1,
            "upstream_rq_retry": 1,
            "upstream_rq_active_overflow": 1,
        }
        assert counters(eng) == told


def test_pending_that_never_gets_ready(engine: ModuleType) -> None:
    eng = limited(engine)
    request(eng, pending=True).finish(error="timeout")
    assert counters(eng) == {"upstream_rq_timeout": 1}
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_active"], stats["rq_total"], stats["rq_error"]) == (0, 0, 1)


def test_max_connections(engine: ModuleType) -> None:
    eng = limited(engine, max_connections=1)
    decision = eng.connect("t.test", 1)
    with decision.lease():
        assert counters(eng, "tcp") == {"upstream_cx_active": 1, "upstream_cx_total": 1}
        with pytest.raises(Overflow) as overflow:
            decision.lease()
        assert overflow.value.limit == "max_connections"
    decision.lease().finish(error="connect_failure")
    assert counters(eng, "tcp") == {"upstream_cx_total": 2, "upstream_cx_overflow": 1}
    [stats] = eng.cluster("tcp").endpoint_stats()
    assert (stats["cx_active"], stats["cx_total"], stats["cx_connect_fail"]) == (0, 2, 1)


def test_connections_that_no_lease_holds(engine: ModuleType) -> None:
    """Those that requests are sent over: they count, and are refused nothing."""
    eng = limited(engine, max_connections=1)
    held = eng.cluster("tcp")
    [endpoint] = held.endpoints
    held.connected(endpoint)
    assert counters(eng, "tcp") == {"upstream_cx_active": 1, "upstream_cx_total": 1}
    assert held.stats["circuit_breakers.default.cx_open"] == 1
    held.connected(endpoint)
    [stats] = held.endpoint_stats()
    assert (stats["cx_active"], stats["cx_total"]) == (2, 2)
    for _ in range(3):
        held.disconnected(endpoint)
    assert counters(eng, "tcp") == {"upstream_cx_total": 2}
    assert held.endpoint_stats()[0]["cx_active"] == 0


def test_connections_have_neither_retries_nor_pending(engine: ModuleType) -> None:
    decision = limited(engine).connect("t.test", 1)
    with pytest.raises(EngineError):
        decision.lease(retry=True)
    with pytest.raises(EngineError):
        decision.lease(pending=True)


def test_nothing_to_lease(engine: ModuleType) -> None:
    eng = published(engine, web(HOST, endpoints=()))
    with pytest.raises(NoHealthyEndpoint):
        eng.route(HOST, 80).lease()
    assert counters(eng) == {"upstream_cx_none_healthy": 1}


def test_passthrough_has_no_limits(engine: ModuleType) -> None:
    eng = limited(engine)
    decision = eng.route("unknown.test", 80)
    with decision.lease() as lease:
        assert lease.endpoint.address == "unknown.test"
        assert lease.cluster.name == "PassthroughCluster"
        assert lease.cluster.stats["upstream_rq_active"] == 1
    assert decision.cluster is not None
    assert decision.cluster.stats["upstream_rq_active"] == 0


def test_a_collected_lease_releases_and_warns(engine: ModuleType) -> None:
    eng = limited(engine)
    lease = request(eng)
    held = [lease]
    del lease
    with pytest.warns(ResourceWarning):
        held.clear()
    assert counters(eng) == {"upstream_rq_total": 1}
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_success"], stats["rq_error"]) == (0, 0)


def test_a_finished_lease_is_quiet(engine: ModuleType) -> None:
    eng = limited(engine)
    lease = request(eng)
    lease.finish()
    del lease
    gc.collect()
    assert counters(eng) == {"upstream_rq_total": 1}


def test_a_lease_outlives_its_cluster(engine: ModuleType) -> None:
    eng = limited(engine)
    lease = request(eng)
    publish(eng, delete=[HOST])
    lease.finish(status=200)
    assert lease.cluster.stats["upstream_rq_active"] == 0
    assert lease.endpoint.address == "10.0.0.1"


def test_counters_survive_a_publish(engine: ModuleType) -> None:
    eng = limited(engine)
    lease = request(eng)
    publish(eng, web(HOST))
    assert counters(eng) == {"upstream_rq_active": 1, "upstream_rq_total": 1}
    lease.finish(status=200)
    assert counters(eng) == {"upstream_rq_total": 1}
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_active"], stats["rq_success"]) == (0, 1)


def test_threads(engine: ModuleType) -> None:
    """No lease is lost or counted twice, whoever finishes it."""
    eng = limited(engine, max_requests=8)
    overflows = []
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        mine = 0
        for _ in range(500):
            try:
                first = request(eng)
            except Overflow:
                mine += 1
                continue
            try:
                request(eng).finish(status=200)
            except Overflow:
                mine += 1
            if mine % 64 == 0:
                ending = threading.Thread(target=first.finish)
                ending.start()
                ending.join()
            first.finish()
        overflows.append(mine)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    stats = eng.cluster(NAME).stats
    assert stats["upstream_rq_active"] == 0
    assert stats["upstream_rq_active_overflow"] == sum(overflows)
    [own] = eng.cluster(NAME).endpoint_stats()
    assert own["rq_active"] == 0
