"""What outlier detection counts as a failure: how leases end."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.failing import (
    HOST,
    NAME,
    STRICT,
    failures,
    run,
    tallies,
)
from tests.core.units import chain, cluster, published, service, unit, web

from roadstead import _lowered as low
from roadstead.errors import Overflow

REQUEST_ENDS = [
    # How it ends; counters after two failures of each kind, without and with split_external_local_origin_errors.
    ({"status": 200}, (0, 0, 2), (0, 0, 0)),
    ({}, (0, 0, 2), (0, 0, 0)),
    ({"status": 499}, (0, 0, 2), (0, 0, 0)),
    ({"status": 500}, (0, 3, 2), (0, 3, 0)),
    ({"status": 501}, (0, 3, 2), (0, 3, 0)),
    ({"status": 502}, (3, 3, 2), (3, 3, 0)),
    ({"status": 503}, (3, 3, 2), (3, 3, 0)),
    ({"status": 504}, (3, 3, 2), (3, 3, 0)),
    ({"status": 505}, (0, 3, 2), (0, 3, 0)),
    ({"status": 599}, (0, 3, 2), (0, 3, 0)),
    ({"status": 600}, (0, 0, 2), (0, 0, 0)),
    ({"error": "connect_failure"}, (3, 3, 2), (2, 2, 3)),
    ({"error": "timeout"}, (3, 3, 2), (2, 2, 1)),
    ({"error": "reset"}, (3, 3, 2), (2, 2, 1)),
    ({"error": "whatever"}, (3, 3, 2), (2, 2, 3)),
    ({"error": "reset", "status": 200}, (3, 3, 2), (2, 2, 1)),
    ({"status": 200, "grpc_status": 0}, (0, 0, 2), (0, 0, 0)),
    ({"status": 200, "grpc_status": 1}, (0, 0, 2), (0, 0, 0)),
    ({"status": 200, "grpc_status": 4}, (3, 3, 2), (3, 3, 0)),
    ({"status": 200, "grpc_status": 8}, (0, 0, 2), (0, 0, 0)),
    ({"status": 200, "grpc_status": 12}, (0, 3, 2), (0, 3, 0)),
    ({"status": 200, "grpc_status": 13}, (0, 3, 2), (0, 3, 0)),
    ({"grpc_status": 14}, (3, 3, 2), (3, 3, 0)),
    ({"grpc_status": 99}, (0, 3, 2), (0, 3, 0)),
    ({"grpc_status": -1}, (0, 3, 2), (0, 3, 0)),
]


def prepared(engine: ModuleType, split: bool, **options: Any) -> Any:
    """One endpoint that failed twice in each way that is told apart."""
    outliers = low.OutlierDetection(100, 100, 100, 100, 100, 100, split, **options)
    eng = run(engine, outliers, "10.0.0.0:80")
    for _ in range(2):
        eng.route(HOST, 80).lease().finish(status=503)
    for _ in range(2 * split):
        eng.route(HOST, 80).lease().finish(error="connect_failure")
    assert failures(eng) == (2, 2, 2 * split)
    return eng


@pytest.mark.parametrize(("how", "joint", "split"), REQUEST_ENDS)
def test_ends_of_requests(
    engine: ModuleType, how: dict[str, Any], joint: tuple[int, int, int], split: tuple[int, int, int]
) -> None:
    eng = prepared(engine, False)
    eng.route(HOST, 80).lease().finish(**how)
    assert failures(eng) == (*joint[:2], 0)
    eng = prepared(engine, True)
    eng.route(HOST, 80).lease().finish(**how)
    assert failures(eng) == split


@pytest.mark.parametrize("error", ["timeout", "reset"])
def test_a_pending_request_had_no_connection(engine: ModuleType, error: str) -> None:
    eng = prepared(engine, True)
    eng.route(HOST, 80).lease(pending=True).finish(error=error)
    assert failures(eng) == (2, 2, 3)
    waiting = eng.route(HOST, 80).lease(pending=True)
    waiting.ready()
    # Told once, when it was there: what failed meanwhile is not forgotten.
    assert failures(eng) == (2, 2, 0)
    eng.route(HOST, 80).lease().finish(error="connect_failure")
    waiting.finish(error=error)
    assert failures(eng) == (2, 2, 2)


CONNECTION_ENDS = [
    # How it ends; counters after two failures, without and with split_external_local_origin_errors.
    ({}, (0, 0, 0), (0, 0, 0)),
    ({"error": "reset"}, (0, 0, 0), (0, 0, 0)),
    ({"status": 503}, (3, 3, 0), (1, 1, 0)),
    ({"error": "connect_failure"}, (3, 3, 0), (0, 0, 3)),
    ({"error": "timeout"}, (3, 3, 0), (0, 0, 3)),
    ({"error": "whatever"}, (3, 3, 0), (0, 0, 3)),
]


def tcp(module: ModuleType, split: bool) -> Any:
    """A TCP service of one endpoint to which two connections failed."""
    outliers = low.OutlierDetection(100, 100, 100, 100, 100, 100, split)
    made = cluster("tcp", "10.0.0.0:1", outliers=outliers)
    eng = published(module, unit("t", service("t.test", (1, low.PROTO_TCP)), made, chain("t.test", 1, "tcp")))
    for _ in range(2):
        eng.connect("t.test", 1).lease().finish(error="connect_failure")
    return eng


@pytest.mark.parametrize(("how", "joint", "split"), CONNECTION_ENDS)
def test_ends_of_connections(
    engine: ModuleType, how: dict[str, Any], joint: tuple[int, int, int], split: tuple[int, int, int]
) -> None:
    for splits, expected in ((False, joint), (True, split)):
        eng = tcp(engine, splits)
        eng.connect("t.test", 1).lease().finish(**how)
        assert failures(eng, "tcp") == expected


def test_a_connection_that_is_there_is_a_success_at_once(engine: ModuleType) -> None:
    for splits, after in ((False, (1, 1, 0)), (True, (0, 0, 1))):
        eng = tcp(engine, splits)
        lease = eng.connect("t.test", 1).lease()
        assert failures(eng, "tcp") != (0, 0, 0)
        lease.ready()
        assert failures(eng, "tcp") == (0, 0, 0)
        eng.connect("t.test", 1).lease().finish(error="connect_failure")
        lease.ready()
        lease.finish()
        lease.ready()
        # Not told again.
        assert failures(eng, "tcp") == after


@pytest.mark.parametrize(("status", "expected"), [(503, (3, 3)), (429, (0, 3)), (500, (0, 0)), (200, (0, 0))])
def test_error_codes(engine: ModuleType, status: int, expected: tuple[int, int]) -> None:
    """Only those count, as 5xx; local failures count as ever, and gRPC's answers have the status 200."""
    eng = prepared(engine, False, error_codes=(503, 429))
    eng.route(HOST, 80).lease().finish(status=status)
    assert failures(eng)[:2] == expected
    eng = prepared(engine, False, error_codes=(503, 429))
    eng.route(HOST, 80).lease().finish(error="timeout")
    assert failures(eng)[:2] == (3, 3)
    eng.route(HOST, 80).lease().finish(grpc_status=14)
    assert failures(eng)[:2] == (0, 0)


def test_exceptions(engine: ModuleType) -> None:
    """One is a failure of local origin; being cancelled or ended tells nothing."""
    eng = prepared(engine, False)
    with pytest.raises(ValueError, match="x"), eng.route(HOST, 80).lease():
        raise ValueError("x")
    assert failures(eng)[:2] == (3, 3)
    for kind in (KeyboardInterrupt, GeneratorExit, SystemExit):
        with pytest.raises(kind), eng.route(HOST, 80).lease():
            raise kind
    assert failures(eng)[:2] == (3, 3)
    assert eng.cluster(NAME).stats["upstream_rq_active"] == 0
    [stats] = eng.cluster(NAME).endpoint_stats()
    assert (stats["rq_success"], stats["rq_error"]) == (0, 3)


def test_overflow_does_not_count(engine: ModuleType) -> None:
    made = web(HOST, limits=low.Limits(max_requests=0), outliers=STRICT)
    eng = published(engine, made)
    with pytest.raises(Overflow):
        eng.route(HOST, 80).lease()
    assert tallies(eng) == {}
