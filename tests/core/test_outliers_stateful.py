"""Any sequence of changes, requests, outcomes, marks and time: both engines answer alike, and what outlier detection
promises holds after every step."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule
from tests.conftest import ENGINES
from tests.core.units import publish, web

from roadstead import _lowered as low
from roadstead import core
from roadstead.errors import Unavailable

HOST, NAME = "a.test", "outbound|80||a.test"
ADDRESSES = tuple([f"10.0.0.{number}" for number in range(5)])
SECOND = 10**9
DRAWS = st.integers(0, 2**64 - 1)
ENDS = st.sampled_from(
    (
        {"status": 200},
        {"status": 500},
        {"status": 503},
        {"error": "connect_failure"},
        {"error": "timeout"},
        {"error": "reset"},
        {"grpc_status": 14},
        {},
    )
)
OUTLIERS = st.builds(
    # Of the class itself hypothesis would invent the other fields too.
    low.OutlierDetection()._replace,
    consecutive_5xx=st.integers(0, 2),
    enforcing_consecutive_5xx=st.sampled_from((0, 50, 100)),
    consecutive_gateway_failure=st.integers(0, 2),
    enforcing_consecutive_gateway_failure=st.sampled_from((0, 100)),
    consecutive_local_origin_failure=st.integers(1, 2),
    split_external_local_origin_errors=st.booleans(),
    interval=st.sampled_from((0.3, 10.0)),
    base_ejection_time=st.sampled_from((1.0, 7.0)),
    max_ejection_time=st.sampled_from((7.0, 20.0)),
    max_ejection_time_jitter=st.sampled_from((0.0, 2.0)),
    max_ejection_percent=st.sampled_from((10, 20, 34, 50, 100)),
    always_eject_one_host=st.booleans(),
)
BALANCERS = st.builds(
    low.LbConfig()._replace,
    policy=st.sampled_from((low.ROUND_ROBIN, low.LEAST_REQUEST, low.RANDOM, low.RING_HASH, low.MAGLEV)),
    panic_threshold=st.sampled_from((0, 0, 50)),
    ring_min=st.just(8),
    table_size=st.just(11),
)


@st.composite
def memberships(draw: st.DrawFn) -> tuple[low.LocalityGroup, ...]:
    """One or two priorities over few addresses, all different."""
    addresses = draw(st.lists(st.sampled_from(ADDRESSES), unique=True, min_size=1))
    second = draw(st.integers(0, len(addresses)))
    parts = (addresses[second:], addresses[:second])
    return tuple(
        [
            low.LocalityGroup("", priority, None, tuple([low.Endpoint(one, 80, low.IP) for one in part]))
            for priority, part in enumerate(parts)
        ]
    )


class Outliers(RuleBasedStateMachine):
    """Engines that are told and asked the same."""

    leases: Bundle[tuple[Any, ...]] = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.now = 10**12
        self.engines = [core.engine(name).Engine(seed=3, clock=lambda: self.now) for name in (ENGINES[0], ENGINES[-1])]
        self.open: list[tuple[Any, ...]] = []
        self.outliers: low.OutlierDetection | None = None
        self.panic = 0
        self.publish(low.LbConfig(low.ROUND_ROBIN), low.OutlierDetection(1, max_ejection_percent=100), ())

    # Changes

    @rule(lb=BALANCERS, outliers=st.none() | OUTLIERS, groups=memberships())
    def publish(
        self, lb: low.LbConfig, outliers: low.OutlierDetection | None, groups: tuple[low.LocalityGroup, ...]
    ) -> None:
        self.outliers, self.panic = outliers, lb.panic_threshold
        for engine in self.engines:
            publish(engine, web(HOST, endpoints=groups, lb=lb, outliers=outliers))

    @rule()
    def delete_and_put_back(self) -> None:
        """A cluster of its name is a new one, with nothing ejected."""
        for engine in self.engines:
            publish(engine, delete=[HOST])
        self.publish(low.LbConfig(low.ROUND_ROBIN), self.outliers, (low.LocalityGroup("", 0, None, ()),))
        assert not self.active()

    @rule(groups=memberships())
    def update(self, groups: tuple[low.LocalityGroup, ...]) -> None:
        for engine in self.engines:
            engine.update_endpoints(NAME, groups)

    @rule(
        address=st.sampled_from(ADDRESSES),
        mark=st.sampled_from((low.UNKNOWN, low.HEALTHY, low.UNHEALTHY, low.DEGRADED)),
    )
    def mark(self, address: str, mark: int) -> None:
        for engine in self.engines:
            if any(one.address == address for one in engine.cluster(NAME).endpoints):
                engine.set_health(NAME, address, 80, mark)

    # Time

    @rule(step=st.sampled_from((1, 10**6, SECOND // 3, SECOND, 4 * SECOND, 11 * SECOND)))
    def wait(self, step: int) -> None:
        self.now += step

    @rule()
    def sweep(self) -> None:
        due = [engine.sweep() for engine in self.engines]
        assert due[0] == due[1]
        assert due[0] is None or due[0] > 0
        # Nobody is kept longer than to the tick that was told.
        for stats in self.engines[0].cluster(NAME).endpoint_stats():
            assert stats.get("ejected_until", 0) == 0 or stats["ejected_until"] > self.now

    @rule()
    def sleep_as_told(self) -> None:
        """To come back when told is enough: something happens then."""
        due = self.engines[0].sweep()
        assert self.engines[1].sweep() == due
        if due is not None:
            before = [engine.cluster(NAME).endpoint_stats() for engine in self.engines]
            self.now += due - 1
            assert [engine.sweep() for engine in self.engines] == [1, 1]
            assert [engine.cluster(NAME).endpoint_stats() for engine in self.engines] == before
            self.now += 1
            self.sweep()

    # Requests

    @rule(target=leases, draw=DRAWS, pending=st.booleans(), key=st.none() | DRAWS)
    def lease(self, draw: int, pending: bool, key: int | None) -> Any:
        made: list[Any] = []
        for engine in self.engines:
            with suppress(Unavailable):
                made.append(engine.route(HOST, 80, draw=draw).lease(pending=pending, hash_key=key))
        assert len(made) in (0, len(self.engines))
        if not made:
            return multiple()
        assert len({lease.endpoint.address for lease in made}) == 1
        self.never_the_ejected(made[0].endpoint.address)
        self.open.append(tuple(made))
        return tuple(made)

    @rule(leases=leases)
    def ready(self, leases: tuple[Any, ...]) -> None:
        for lease in leases:
            lease.ready()

    @rule(leases=consumes(leases), how=ENDS)
    def finish(self, leases: tuple[Any, ...], how: dict[str, Any]) -> None:
        before = self.active()
        for lease in leases:
            lease.finish(**how)
        self.open.remove(leases)
        after = self.active()
        if self.outliers is not None and after - before:
            count = len(self.engines[0].cluster(NAME).endpoints)
            allowed = self.outliers.max_ejection_percent * count // 100
            assert len(after) <= max(allowed, int(self.outliers.always_eject_one_host))
            assert len(after - before) == 1

    @precondition(lambda self: self.open)
    @rule(draw=DRAWS, how=ENDS, times=st.integers(1, 6))
    def traffic(self, draw: int, how: dict[str, Any], times: int) -> None:
        for number in range(times):
            made = []
            for engine in self.engines:
                with suppress(Unavailable):
                    lease = engine.route(HOST, 80, draw=(draw + number) % 2**64).lease()
                    lease.finish(**how)
                    made.append(lease.endpoint.address)
            assert len(made) in (0, len(self.engines))
            assert len(set(made)) < 2

    # What holds

    def active(self) -> set[str]:
        live = self.engines[0].cluster(NAME)
        told = zip(live.endpoints, live.endpoint_stats(), strict=True)
        return {one.address for one, stats in told if stats.get("ejected")}

    def never_the_ejected(self, address: str) -> None:
        """Outside panic."""
        if self.panic == 0:
            assert address not in self.active()

    @invariant()
    def both_agree(self) -> None:
        told = []
        for engine in self.engines:
            live = engine.cluster(NAME)
            told.append(
                (live.stats, live.endpoint_stats(), live.priority_load(), [one.health for one in live.endpoints])
            )
        assert told[0] == told[1]
        stats = told[0][0]
        if self.outliers is not None:
            assert stats["outlier_detection.ejections_active"] == len(self.active())
            assert stats["outlier_detection.ejections_active"] <= stats["outlier_detection.ejections_enforced_total"]
        else:
            assert not self.active()

    def teardown(self) -> None:
        """Active counts return to zero."""
        for leases in self.open:
            for lease in leases:
                lease.finish()
        for engine in self.engines:
            stats = engine.cluster(NAME).stats
            assert (stats["upstream_rq_active"], stats["upstream_rq_pending_active"]) == (0, 0)
            assert all(one["rq_active"] == 0 for one in engine.cluster(NAME).endpoint_stats())


Outliers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class TestOutliers(Outliers.TestCase):  # type: ignore[name-defined, misc]
    """Run by pytest."""


@pytest.mark.parametrize("seconds", [1, 5, 60])
def test_an_ejection_always_ends(engine: Any, seconds: int) -> None:
    """However the loop comes, whoever is ejected is back by base and an interval."""
    now = 0
    eng = engine.Engine(seed=0, clock=lambda: now)
    outliers = low.OutlierDetection(1, max_ejection_percent=100, interval=3.0, base_ejection_time=7.0)
    publish(eng, web(HOST, outliers=outliers))
    eng.route(HOST, 80).lease().finish(status=500)
    while eng.cluster(NAME).stats["outlier_detection.ejections_active"]:
        now += seconds * SECOND
        eng.sweep()
    assert now < (7 + 3 + seconds) * SECOND
