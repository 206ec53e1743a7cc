"""Envoy's rules for one endpoint; the last rows are experiment 18 of the data plane's specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.health import Result, Session
from roadstead.mesh import HealthCheck

CHECK = HealthCheck(0.4, 0.3, unhealthy_threshold=3, healthy_threshold=2)
SHORT: dict[str, Result] = {"+": "passed", "d": "degraded", "n": "network", "t": "timeout", "b": "bad"}
# Results one after another, and the health after each: Healthy, Degraded, Unhealthy.
CASES = [
    ("+", "H"),
    ("n+", "UU"),
    ("n++", "UUH"),
    ("b++", "UUH"),
    ("d", "D"),
    ("+d+", "HDH"),
    ("+b", "HU"),
    ("+nn+nn", "HHHHHH"),
    ("+nnn", "HHHU"),
    ("+ntn", "HHHU"),
    ("+b+b++", "HUUUUH"),
    ("nnn++nn+", "UUUUHHHH"),
    ("+b++ttt++", "HUUHHHUUH"),
]


@pytest.mark.parametrize(("results", "expected"), CASES)
def test_health_after_each_result(results: str, expected: str) -> None:
    session = Session(CHECK)
    assert (session.health, session.pending) == ("unhealthy", True)
    found = ""
    for letter in results:
        session.took(SHORT[letter])
        found += session.health[0].upper()
        assert not session.pending
        assert session.timed_out == (letter == "t")
    assert found == expected


@pytest.mark.parametrize(
    ("results", "events"),
    [
        ("+", ["add_healthy"]),
        ("b", [None]),
        ("+b++", ["add_healthy", "eject_unhealthy", None, "add_healthy"]),
        ("+d+", ["add_healthy", "degraded", "no_longer_degraded"]),
        ("++", ["add_healthy", None]),
    ],
)
def test_events_are_changes(results: str, events: list[str | None]) -> None:
    session = Session(CHECK)
    assert [session.took(SHORT[letter]) for letter in results] == events


def test_without_traffic_the_interval_is_a_minute() -> None:
    assert Session(CHECK).next_delay(traffic=True) == 0.4
    assert Session(CHECK).next_delay(traffic=False) == 60.0


@given(st.text("+dntb", max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_thresholds_hold(results: str, down: int, up: int) -> None:
    """Against the rules written as counts over the whole history."""
    session = Session(HealthCheck(1, 1, unhealthy_threshold=down, healthy_threshold=up))
    well, run = False, ""
    for at, letter in enumerate(results):
        good = letter in "+d"
        run = run + letter if run and (run[-1] in "+d") == good else letter
        if well:
            well = good or (letter != "b" and len(run) < down)
            run = "" if not well else run
        elif good and (at == 0 or len(run) >= up):
            well, run = True, ""
        session.took(SHORT[letter])
        assert (session.health != "unhealthy") == well
