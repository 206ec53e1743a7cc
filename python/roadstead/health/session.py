"""One endpoint under one check over time: Envoy's active health checking (health_checker_base_impl.cc), without I/O.

| result | while it counts as failed | while it counts as well |
|---|---|---|
| passed | well with the very first result, else after `healthy_threshold` in a row | stays |
| the network failed (connect, reset, timeout) | stays | failed after `unhealthy_threshold` in a row |
| it answered, and badly (another status) | stays | failed at once |

An endpoint begins failed: it gets nothing before it passed once.

Under the probe of a WorkloadGroup every failure counts alike, as in Istio's agent (pkg/istio-agent/health): down after
`unhealthy_threshold` in a row, well after `healthy_threshold` in a row, the first included.
"""

from __future__ import annotations

from typing import Literal

from roadstead.mesh import HealthCheck, WorkloadProbe

Result = Literal["passed", "degraded", "network", "timeout", "bad"]
"""What a check gave. degraded: passed, with `x-envoy-degraded`. network: connect error or reset. timeout: no answer in
time. bad: an answer that is not the one expected."""
Health = Literal["healthy", "degraded", "unhealthy"]
Event = Literal["add_healthy", "eject_unhealthy", "degraded", "no_longer_degraded"]
"""Envoy's names of health check events."""

# Seconds between checks of a cluster that nobody talks to (Envoy: no_traffic_interval).
NO_TRAFFIC = 60.0


class Session:
    """The check of one endpoint."""

    __slots__ = ("_bad", "_check", "_first", "_good", "_is_probe", "health", "pending", "timed_out")

    def __init__(self, check: HealthCheck) -> None:
        self._check = check
        self._good = self._bad = 0
        self._is_probe = isinstance(check, WorkloadProbe)
        # The first result decides alone.
        self._first = not self._is_probe
        self.health: Health = "unhealthy"
        # No result yet (Envoy: /pending_active_hc).
        self.pending = True
        # The last failure was a timeout (Envoy: /active_hc_timeout).
        self.timed_out = False

    def took(self, result: Result) -> Event | None:
        """A check ended; what changed by it."""
        first, self._first = self._first, False
        self.pending = False
        self.timed_out = result == "timeout"
        if result in ("passed", "degraded"):
            return self._passed(first, "degraded" if result == "degraded" else "healthy")
        return self._failed(at_once=result == "bad" and not self._is_probe)

    def next_delay(self, *, traffic: bool) -> float:
        """Seconds from the end of a check to the next. traffic: the cluster ever had any (Envoy: a connection)."""
        return self._check.interval if traffic or self._is_probe else NO_TRAFFIC

    def _passed(self, first: bool, health: Health) -> Event | None:
        self._bad = 0
        before = self.health
        if before == "unhealthy":
            self._good += 1
            if not first and self._good < self._check.healthy_threshold:
                return None
            self._good = 0
            self.health = health
            return "add_healthy"
        self.health = health
        if health == before:
            return None
        return "degraded" if health == "degraded" else "no_longer_degraded"

    def _failed(self, *, at_once: bool) -> Event | None:
        self._good = 0
        if self.health == "unhealthy":
            return None
        self._bad += 1
        if not at_once and self._bad < self._check.unhealthy_threshold:
            return None
        self._bad = 0
        self.health = "unhealthy"
        return "eject_unhealthy"
