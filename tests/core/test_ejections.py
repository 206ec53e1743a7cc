"""Outlier detection: who is ejected and who comes back when; experiments 14 to 17 of the data plane's specification
(section 13) with the values measured of Envoy 1.40."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from tests.core.failing import (
    HOST,
    MS,
    NAME,
    SECOND,
    STRICT,
    THREE,
    Clock,
    ejected,
    fail,
    failures,
    request,
    run,
    tallies,
)
from tests.core.units import cluster, publish, published, unit, web

from roadstead import _lowered as low
from roadstead.errors import EngineError, NoHealthyEndpoint

# Who is ejected

RULES = [
    # Detection, endpoints, failures of the first one, ejected, counters.
    (low.OutlierDetection(max_ejection_percent=100), 2, ["503"] * 4, False, {}),
    (
        low.OutlierDetection(max_ejection_percent=100),
        2,
        ["500"] * 5,
        True,
        {"active": 1, "enforced_total": 1, "detected_consecutive_5xx": 1, "enforced_consecutive_5xx": 1},
    ),
    (
        # Gateway errors are asked first.
        low.OutlierDetection(enforcing_consecutive_gateway_failure=100, max_ejection_percent=100),
        2,
        ["503"] * 5,
        True,
        {
            "active": 1,
            "enforced_total": 1,
            "detected_consecutive_gateway_failure": 1,
            "enforced_consecutive_gateway_failure": 1,
        },
    ),
    (
        # Detected only: Envoy's default for gateway errors.
        low.OutlierDetection(consecutive_gateway_failure=3, max_ejection_percent=100),
        2,
        ["503"] * 4,
        False,
        {"detected_consecutive_gateway_failure": 1},
    ),
    (
        # A 500 ends a run of gateway errors.
        low.OutlierDetection(100, 100, 3, 100, max_ejection_percent=100),
        2,
        ["503", "503", "500", "503", "503"],
        False,
        {},
    ),
    (
        low.OutlierDetection(consecutive_5xx=1, max_ejection_percent=100, split_external_local_origin_errors=True),
        2,
        ["connect_failure"] * 5,
        True,
        {
            "active": 1,
            "enforced_total": 1,
            "detected_consecutive_local_origin_failure": 1,
            "enforced_consecutive_local_origin_failure": 1,
        },
    ),
    # A threshold of 0 is never reached.
    (low.OutlierDetection(0, 0, 0, 100, max_ejection_percent=100), 2, ["503"] * 9, False, {}),
    # The default 10 % needs ten endpoints.
    (low.OutlierDetection(1), 9, ["500"] * 2, False, {"detected_consecutive_5xx": 2, "overflow": 2}),
    (
        low.OutlierDetection(1),
        10,
        ["500"],
        True,
        {"active": 1, "enforced_total": 1, "detected_consecutive_5xx": 1, "enforced_consecutive_5xx": 1},
    ),
    (
        low.OutlierDetection(1, always_eject_one_host=True),
        3,
        ["500"],
        True,
        {"active": 1, "enforced_total": 1, "detected_consecutive_5xx": 1, "enforced_consecutive_5xx": 1},
    ),
    # What is not enforced, and what has no room, is detected again after another full run.
    (low.OutlierDetection(3, 0), 10, ["500"] * 7, False, {"detected_consecutive_5xx": 2}),
    (low.OutlierDetection(3), 2, ["500"] * 7, False, {"detected_consecutive_5xx": 2, "overflow": 2}),
]


@pytest.mark.parametrize(("outliers", "count", "ends", "out", "counted"), RULES)
def test_ejection(
    engine: ModuleType,
    outliers: low.OutlierDetection,
    count: int,
    ends: list[str],
    out: bool,
    counted: dict[str, int],
) -> None:
    eng = run(engine, outliers, *[f"10.0.0.{number}:80" for number in range(count)])
    for end in ends:
        fail(eng, "10.0.0.0", **({"status": int(end)} if end.isdigit() else {"error": end}))
    assert ejected(eng) == ({"10.0.0.0"} if out else set())
    assert tallies(eng) == counted


@pytest.mark.parametrize(
    ("percent", "expected"), [(33, 0), (34, 1), (50, 1), (66, 1), (67, 2), (99, 2), (100, 3), (500, 3)]
)
def test_max_ejection_percent(engine: ModuleType, percent: int, expected: int) -> None:
    eng = run(engine, STRICT._replace(max_ejection_percent=percent), panic=100)
    for at in range(3):
        fail(eng, f"10.0.0.{at}")
    assert len(ejected(eng)) == expected
    assert tallies(eng).get("overflow", 0) == 3 - expected


def test_priorities_are_counted_together(engine: ModuleType) -> None:
    """A whole priority may be ejected; then the next one has the load."""
    first = low.LocalityGroup("", 0, None, tuple([low.Endpoint(f"10.0.0.{at}", 80) for at in range(2)]))
    second = low.LocalityGroup("", 1, None, tuple([low.Endpoint(f"10.0.1.{at}", 80) for at in range(2)]))
    eng = run(engine, STRICT._replace(max_ejection_percent=50), first, second)
    fail(eng, "10.0.0.0")
    assert eng.cluster(NAME).priority_load() == ((70, 0), (30, 0))
    fail(eng, "10.0.0.1")
    assert ejected(eng) == {"10.0.0.0", "10.0.0.1"}
    assert eng.cluster(NAME).priority_load() == ((0, 0), (100, 0))
    fail(eng, "10.0.1.0")
    assert tallies(eng)["overflow"] == 1


def test_an_ejected_endpoint_is_unhealthy(engine: ModuleType) -> None:
    eng = run(engine, STRICT)
    fail(eng, "10.0.0.1")
    assert [one.health for one in eng.cluster(NAME).endpoints] == ["unknown", "unhealthy", "unknown"]
    stats = eng.cluster(NAME).stats
    assert (stats["membership_healthy"], stats["membership_total"], stats["membership_excluded"]) == (2, 3, 0)
    told = eng.cluster(NAME).endpoint_stats()[1]
    assert (told["ejected"], told["ejected_until"], told["ejections"], told["rq_error"]) == (1, 30 * SECOND, 1, 1)
    assert {request(eng) for _ in range(10)} == {"10.0.0.0", "10.0.0.2"}


def test_all_ejected(engine: ModuleType) -> None:
    """Without panic nobody is left; in panic everybody is asked, and what fails then is not detected."""
    eng = run(engine, STRICT)
    for address in ("10.0.0.0", "10.0.0.1", "10.0.0.2"):
        fail(eng, address)
    with pytest.raises(NoHealthyEndpoint):
        request(eng)
    eng = run(engine, STRICT, panic=50)
    for address in ("10.0.0.0", "10.0.0.1", "10.0.0.2"):
        fail(eng, address)
    before = tallies(eng)
    assert {request(eng, ("10.0.0.0",)) for _ in range(9)} == {"10.0.0.0", "10.0.0.1", "10.0.0.2"}
    assert tallies(eng) == before


def test_enforcing_draws(engine: ModuleType) -> None:
    """The next number of the thread's generator decides where the percentage leaves a choice."""
    outliers = STRICT._replace(enforcing_consecutive_5xx=40)
    eng = run(engine, outliers, "10.0.0.0:80")
    twin = engine.Engine(seed=0)
    outcomes = []
    for _ in range(20):
        lease = eng.route(HOST, 80, draw=1).lease()
        lease.finish(status=500)
        outcomes.append("10.0.0.0" in ejected(eng))
        assert outcomes[-1] == (twin.route("x.test").draw % 100 < 40)
        eng.set_health(NAME, "10.0.0.0", 80, low.HEALTHY)
    assert set(outcomes) == {True, False}
    assert tallies(eng) == {
        "detected_consecutive_5xx": 20,
        "enforced_consecutive_5xx": sum(outcomes),
        "enforced_total": sum(outcomes),
    }


def test_jitter_draws(engine: ModuleType) -> None:
    eng = run(engine, STRICT._replace(max_ejection_time_jitter=5.0, interval=0.001))
    twin = engine.Engine(seed=0)
    lease = eng.route(HOST, 80, draw=1).lease()
    lease.finish(status=500)
    [until] = [one["ejected_until"] for one in eng.cluster(NAME).endpoint_stats() if one["ejected"]]
    assert until == 30 * SECOND + twin.route("x.test").draw % 5001 * MS


# Who comes back when


def test_back_at_a_tick(engine: ModuleType) -> None:
    clock = Clock(11 * SECOND)
    eng = run(engine, STRICT, clock=clock)
    assert eng.sweep() is None
    fail(eng, "10.0.0.0")
    clock.now += 1
    # 30 s are over at 41 s; the ticks are at 40 and 50 s.
    assert eng.sweep() == 39 * SECOND - 1
    clock.now = 50 * SECOND - 1
    assert eng.sweep() == 1
    assert ejected(eng) == {"10.0.0.0"}
    clock.now += 1
    # Its multiplier goes down at the next.
    assert eng.sweep() == 10 * SECOND
    assert ejected(eng) == set()
    assert Counter(request(eng) for _ in range(9)) == {f"10.0.0.{at}": 3 for at in range(3)}
    clock.now += 10 * SECOND
    assert eng.sweep() is None


def test_time_is_an_argument(engine: ModuleType) -> None:
    eng = run(engine, STRICT)
    with eng.route(HOST, 80).lease() as lease:
        lease.finish(status=500, now=100 * SECOND)
    assert len(ejected(eng)) == 1
    assert eng.sweep(100 * SECOND) == 30 * SECOND
    assert eng.sweep(now=130 * SECOND) == 10 * SECOND
    assert ejected(eng) == set()


def test_coming_back_starts_clean(engine: ModuleType) -> None:
    clock = Clock()
    outliers = low.OutlierDetection(2, 100, 3, 100, max_ejection_percent=100)
    eng = run(engine, outliers, "10.0.0.0:80", clock=clock, panic=100)
    fail(eng, "10.0.0.0", 4, status=503)
    # The detector of 5xx ejected; the other one counts on, but ejects nobody twice.
    assert failures(eng) == (4, 2, 0)
    assert tallies(eng)["enforced_total"] == 1
    clock.now = 30 * SECOND
    eng.sweep()
    assert (ejected(eng), failures(eng)) == (set(), (0, 0, 0))
    fail(eng, "10.0.0.0", 1, status=503)
    assert ejected(eng) == set()


def test_longer_each_time(engine: ModuleType) -> None:
    """m · base up to the longest; one step less for each clean tick."""
    clock = Clock()
    outliers = STRICT._replace(interval=1.0, base_ejection_time=10.0, max_ejection_time=25.0)
    eng = run(engine, outliers, clock=clock)
    for expected in (10, 20, 25, 25, 25):
        start = clock.now
        fail(eng, "10.0.0.0")
        assert eng.sweep() == expected * SECOND
        clock.now += expected * SECOND
        eng.sweep()
        assert ejected(eng) == set()
        assert clock.now - start == expected * SECOND
    # m is 4 by now: base · 4 is beyond the longest by more than base.
    clock.now += 2 * SECOND
    eng.sweep()
    fail(eng, "10.0.0.0")
    assert eng.sweep() == 25 * SECOND
    clock.now += 25 * SECOND
    eng.sweep()
    clock.now += 3 * SECOND
    assert eng.sweep() is None
    fail(eng, "10.0.0.0")
    assert eng.sweep() == 10 * SECOND


def test_ticks_that_nobody_did_are_done_before_the_next_ejection(engine: ModuleType) -> None:
    clock = Clock()
    eng = run(engine, STRICT._replace(max_ejection_percent=34), clock=clock)
    fail(eng, "10.0.0.0")
    fail(eng, "10.0.0.1")
    assert (ejected(eng), tallies(eng)["overflow"]) == ({"10.0.0.0"}, 1)
    clock.now = 45 * SECOND
    fail(eng, "10.0.0.1")
    assert ejected(eng) == {"10.0.0.1"}


def test_a_passed_check_ends_an_ejection(engine: ModuleType) -> None:
    clock = Clock()
    eng = run(engine, STRICT, clock=clock)
    fail(eng, "10.0.0.0")
    eng.set_health(NAME, "10.0.0.0", 80, low.UNHEALTHY)
    eng.set_health(NAME, "10.0.0.0", 80, low.UNKNOWN)
    assert ejected(eng) == {"10.0.0.0"}
    clock.now = 3 * SECOND
    eng.set_health(NAME, "10.0.0.0", 80, low.HEALTHY)
    assert (ejected(eng), tallies(eng).get("active", 0)) == (set(), 0)
    assert "10.0.0.0" in {request(eng) for _ in range(3)}
    # An interval after it came back, at a tick.
    assert eng.sweep() == 17 * SECOND
    # A check that failed stays a reason of its own.
    fail(eng, "10.0.0.0")
    eng.set_health(NAME, "10.0.0.0", 80, low.UNHEALTHY)
    clock.now = 100 * SECOND
    eng.sweep()
    assert ejected(eng) == set()
    assert eng.cluster(NAME).endpoints[0].health == "unhealthy"
    assert "10.0.0.0" not in {request(eng) for _ in range(6)}


# Changes


def test_ejections_survive_updates_of_those_that_stay(engine: ModuleType) -> None:
    clock = Clock()
    eng = run(engine, STRICT, clock=clock)
    fail(eng, "10.0.0.0")
    fail(eng, "10.0.0.1")
    both = low.LocalityGroup("", 0, None, (low.Endpoint("10.0.0.2", 80), low.Endpoint("10.0.0.0", 80)))
    eng.update_endpoints(NAME, (both,))
    assert ejected(eng) == {"10.0.0.0"}
    assert tallies(eng)["active"] == 1
    # One that was away comes back as a new one.
    whole = both._replace(endpoints=(*both.endpoints, low.Endpoint("10.0.0.1", 80)))
    eng.update_endpoints(NAME, (whole,))
    assert ejected(eng) == {"10.0.0.0"}
    assert {request(eng) for _ in range(6)} == {"10.0.0.1", "10.0.0.2"}
    publish(eng, web(HOST, endpoints=THREE, outliers=STRICT._replace(interval=20.0)))
    assert ejected(eng) == {"10.0.0.0"}
    clock.now = 30 * SECOND
    # The interval in force is the published one.
    assert eng.sweep() == 10 * SECOND
    clock.now = 40 * SECOND
    eng.sweep()
    assert ejected(eng) == set()


def test_without_detection_nobody_stays_ejected(engine: ModuleType) -> None:
    eng = run(engine, STRICT)
    fail(eng, "10.0.0.0")
    publish(eng, web(HOST, endpoints=THREE))
    assert {request(eng) for _ in range(3)} == {"10.0.0.0", "10.0.0.1", "10.0.0.2"}
    assert eng.sweep() is None
    assert "ejected" not in eng.cluster(NAME).endpoint_stats()[0]
    assert tallies(eng) == {}
    publish(eng, web(HOST, endpoints=THREE, outliers=STRICT))
    assert ejected(eng) == set()
    assert eng.cluster(NAME).endpoint_stats()[0]["ejections"] == 0


def test_a_unit_that_takes_its_name_back(engine: ModuleType) -> None:
    """Another unit has the name for a while: who is in both stays ejected, who was away does not."""
    eng = run(engine, STRICT)
    fail(eng, "10.0.0.0")
    fail(eng, "10.0.0.1")
    other = unit("rival", cluster(NAME, "10.0.0.0:80", "10.0.0.9:80", outliers=STRICT), order="")
    publish(eng, other)
    assert ejected(eng) == {"10.0.0.0"}
    publish(eng, delete=["rival"])
    assert ejected(eng) == {"10.0.0.0"}


def test_a_lease_from_before_counts_where_its_endpoint_is_now(engine: ModuleType) -> None:
    eng = run(engine, STRICT, "10.0.0.0:80", "10.0.0.1:80")
    leases = [eng.route(HOST, 80).lease() for _ in range(2)]
    publish(eng, web(HOST, endpoints=("10.0.0.1:80", "10.0.0.2:80"), outliers=STRICT))
    for lease in leases:
        lease.finish(status=500)
    assert ejected(eng) == {"10.0.0.1"}
    assert tallies(eng)["detected_consecutive_5xx"] == 1
    lease = eng.route(HOST, 80).lease()
    publish(eng, delete=[HOST])
    lease.finish(status=500)
    assert eng.sweep() is None


def test_a_cluster_that_goes_is_swept_no_more(engine: ModuleType) -> None:
    eng = run(engine, STRICT)
    fail(eng, "10.0.0.0")
    publish(eng, delete=[HOST])
    assert eng.sweep(1) is None
    publish(eng, web(HOST, endpoints=THREE, outliers=STRICT))
    assert ejected(eng) == set()


def test_hash_balancers_leave_the_ejected_out(engine: ModuleType) -> None:
    for policy in (low.RING_HASH, low.MAGLEV):
        made = web(HOST, endpoints=THREE, lb=low.LbConfig(policy), outliers=STRICT)
        eng = published(engine, made, clock=Clock())
        lease = eng.route(HOST, 80).lease(hash_key=0)
        lease.finish(status=500)
        left = {eng.route(HOST, 80).pick(hash_key=key).address for key in range(0, 2**64, 2**57)}
        assert len(left) == 2
        assert lease.endpoint.address not in left


BAD_COLUMNS = [
    {"interval": 0.0},
    {"interval": float("nan")},
    {"base_ejection_time": -1.0},
    {"base_ejection_time": 301.0},
    {"max_ejection_time": 2e9},
    {"max_ejection_time_jitter": -0.5},
    {"enforcing_consecutive_5xx": 101},
    {"consecutive_5xx": -1},
    {"consecutive_gateway_failure": 2**32},
    {"max_ejection_percent": -1},
]


@pytest.mark.parametrize("column", BAD_COLUMNS, ids=str)
def test_bad_columns(engine: ModuleType, column: dict[str, Any]) -> None:
    with pytest.raises(EngineError):
        run(engine, STRICT._replace(**column))


# Experiments


@pytest.mark.parametrize(("percent", "always", "hits"), [(10, False, 8), (33, False, 8), (34, False, 5), (10, True, 5)])
def test_14_max_ejection_percent(engine: ModuleType, percent: int, always: bool, hits: int) -> None:
    outliers = low.OutlierDetection(max_ejection_percent=percent, always_eject_one_host=always)
    eng = run(engine, outliers)
    found = Counter(request(eng, ("10.0.0.1",)) for _ in range(24))
    assert found["10.0.0.1"] == hits
    assert tallies(eng).get("overflow", 0) == (hits == 8)


def test_15_all_hosts_fail(engine: ModuleType) -> None:
    """As Envoy with update_merge_window 0: each ejection takes effect at once."""
    eng = run(engine, low.OutlierDetection(max_ejection_percent=100))
    codes = []
    for _ in range(30):
        try:
            request(eng, ("10.0.0.0", "10.0.0.1", "10.0.0.2"))
            codes.append(500)
        except NoHealthyEndpoint:
            codes.append(503)
    assert codes == [500] * 15 + [503] * 15


def test_16_gaps_between_ejections(engine: ModuleType) -> None:
    """A host that always fails, asked every 10 ms while it is there; the loop comes when sweep tells it to."""
    clock = Clock(123 * MS)
    outliers = low.OutlierDetection(
        1, max_ejection_percent=100, interval=0.5, base_ejection_time=1.0, max_ejection_time=3.0
    )
    eng = run(engine, outliers, "10.0.0.0:80", clock=clock)

    def gaps(seconds: int) -> list[float]:
        """How long it was away each time, in seconds."""
        found: list[float] = []
        since, end = None, clock.now + seconds * SECOND
        due = clock.now
        while clock.now < end:
            if clock.now >= due:
                due = clock.now + (eng.sweep() or SECOND // 2)
            try:
                request(eng, ("10.0.0.0",))
                if since is not None:
                    found.append((clock.now - since) / SECOND)
                since = clock.now
            except NoHealthyEndpoint:
                pass
            clock.now += 10 * MS
        return found

    first, second, *others = gaps(17)
    assert 1 <= first <= 1.52
    assert 2 <= second <= 2.52
    assert len(others) >= 3
    assert all(3 <= gap <= 3.52 for gap in others)
    clock.now += 6 * SECOND
    eng.sweep()
    # Two healthy seconds are four ticks.
    for _ in range(200):
        request(eng)
        clock.now += 10 * MS
        eng.sweep()
    first, second, *_ = gaps(6)
    assert 1 <= first <= 1.52
    assert 2 <= second <= 2.52


def test_17_local_origin_errors_are_told_apart(engine: ModuleType) -> None:
    outliers = low.OutlierDetection(
        split_external_local_origin_errors=True, consecutive_local_origin_failure=3, max_ejection_percent=50
    )
    eng = run(engine, outliers, "10.0.0.0:80", "10.0.0.1:80")
    codes = Counter[int]()
    for _ in range(14):
        lease = eng.route(HOST, 80).lease()
        if lease.endpoint.address == "10.0.0.0":
            lease.finish(error="connect_failure")
            codes[503] += 1
        else:
            lease.finish(status=200)
            codes[200] += 1
    assert codes == {503: 3, 200: 11}
    assert tallies(eng) == {
        "active": 1,
        "enforced_total": 1,
        "detected_consecutive_local_origin_failure": 1,
        "enforced_consecutive_local_origin_failure": 1,
    }
