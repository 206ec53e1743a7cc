"""What lives in a cluster and outlives its tables: counters, active requests, health marks, cursors of schedules.

A slot belongs to an endpoint's identity (address, port, ordinal among equals); an update hands the slots of those that
stay to the new state. A `Live` belongs to a cluster name and passes from one published cluster to the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from roadstead import _lowered as low
from roadstead._fallback.balance.schedule import Schedule
from roadstead._fallback.outliers import Hits, Record, Tally

if TYPE_CHECKING:
    from roadstead.errors import Waiting

Identity: TypeAlias = tuple[str, int, int]
UNLIMITED = 0xFFFFFFFF
# Of a retry budget's interval.
_SLOTS = 10
# Before any clock.
UNSET = -(2**63)

_SLOT_COUNTERS = ("rq_active", "rq_total", "rq_success", "rq_error", "cx_active", "cx_total", "cx_connect_fail")
_COUNTERS = (
    "upstream_cx_active",
    "upstream_cx_total",
    "upstream_rq_active",
    "upstream_rq_total",
    "upstream_rq_pending_active",
    "upstream_rq_retry_active",
    "upstream_rq_pending_overflow",
    "upstream_cx_overflow",
    "upstream_rq_active_overflow",
    "upstream_rq_retry_overflow",
    "upstream_cx_none_healthy",
    "upstream_cx_connect_timeout",
    "upstream_rq_retry",
    "upstream_rq_timeout",
    "upstream_rq_per_try_timeout",
    "lb_healthy_panic",
)


class Slot:
    """Live state of one endpoint. credit: what LEAST_REQUEST over unequal weights saved up, in 2**-16 of a turn.
    mark: active health (`_lowered` UNKNOWN, HEALTHY, UNHEALTHY, DEGRADED). since: when the endpoint came into the
    cluster or its mark left UNHEALTHY, in ns of the engine's clock; slow start counts from there. UNSET without one.
    record: of outlier detection, made by the first failure."""

    __slots__ = (*_SLOT_COUNTERS, "credit", "mark", "record", "since")

    def __init__(self) -> None:
        self.rq_active = self.rq_total = self.rq_success = self.rq_error = 0
        self.cx_active = self.cx_total = self.cx_connect_fail = 0
        self.credit = 0
        self.mark = low.UNKNOWN
        self.record: Record | None = None
        self.since = UNSET

    @property
    def ejected(self) -> bool:
        return self.record is not None and self.record.ejected

    def stats(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _SLOT_COUNTERS}


class Counters:
    """Counters of a cluster, in Envoy's words."""

    __slots__ = _COUNTERS

    upstream_cx_active: int
    upstream_cx_total: int
    upstream_rq_active: int
    upstream_rq_total: int
    upstream_rq_pending_active: int
    upstream_rq_retry_active: int
    upstream_rq_pending_overflow: int
    upstream_cx_overflow: int
    upstream_rq_active_overflow: int
    upstream_rq_retry_overflow: int
    upstream_cx_none_healthy: int
    upstream_cx_connect_timeout: int
    upstream_rq_retry: int
    upstream_rq_timeout: int
    upstream_rq_per_try_timeout: int
    lb_healthy_panic: int

    def __init__(self) -> None:
        for name in _COUNTERS:
            setattr(self, name, 0)

    def stats(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _COUNTERS}


Detected: TypeAlias = Callable[[str, Slot, Hits, int | None], None]
"""To be told of a cluster's name, the endpoint's slot, what reached its threshold, and the time if it is known."""


class Live:
    """Counters, slots and schedules of a cluster. start: where cursors begin. clock: the engine's, ns. want: what asks
    for endpoints that are not known yet. detected: gives whom outlier detection tells, None once the engine is gone.

    One lock for what is taken, given back and built; re-entrant, as the collector may end a lease anywhere."""

    __slots__ = ("clock", "counters", "detected", "lock", "recent", "schedules", "slots", "start", "tally", "want")

    def __init__(
        self, start: int, clock: Callable[[], int], detected: Callable[[], Detected | None] = lambda: None
    ) -> None:
        self.counters = Counters()
        self.slots: dict[Identity, Slot] = {}
        self.schedules: dict[tuple[int, int, int], Schedule] = {}
        self.start = start
        self.clock = clock
        self.want: Callable[[], Waiting] | None = None
        self.detected = detected
        self.tally = Tally()
        self.recent: Recent | None = None
        self.lock = threading.RLock()

    def schedule(self, key: tuple[int, int, int], members: list[tuple[int, int]]) -> Schedule:
        """A schedule of these members: the one there is under the key, cursor and all, if it is equal."""
        made = Schedule(members, self.start)
        known = self.schedules.get(key)
        return known if known is not None and known.members == made.members else made

    def recent_requests(self, slot: int) -> Recent:
        """Counted from the first one on; another interval begins anew."""
        if self.recent is None or self.recent.slot != slot:
            self.recent = Recent(slot, self.clock())
        return self.recent

    def tell(self, name: str, slot: Slot, hits: Hits, now: int | None) -> None:
        """Thresholds of outlier detection were reached. Without the lock: the engine takes its own first."""
        detected = self.detected()
        if detected is not None:
            detected(name, slot, hits, now)

    def forget_active(self) -> None:
        """In a forked child nothing is active; the lock may have been held by a thread that is not there any more."""
        self.lock = threading.RLock()
        counters = self.counters
        counters.upstream_cx_active = counters.upstream_rq_active = 0
        counters.upstream_rq_pending_active = counters.upstream_rq_retry_active = 0
        for slot in self.slots.values():
            slot.rq_active = slot.cx_active = 0


class Recent:
    """Requests that began in the last interval, as Envoy's retry budget counts them: in ten slots of time. slot: ns."""

    __slots__ = ("_at", "_since", "_slots", "_turned", "slot")

    def __init__(self, slot: int, now: int) -> None:
        self.slot = slot
        self._slots = [0] * _SLOTS
        self._at = self._since = 0
        self._turned = now

    def begin(self, now: int) -> None:
        """A request."""
        self._turn(now)
        self._since += 1

    def count(self, now: int) -> int:
        self._turn(now)
        return self._since + sum(self._slots)

    def _turn(self, now: int) -> None:
        elapsed = now - self._turned
        if elapsed < self.slot:
            return
        self._turned = now
        self._slots[self._at] = self._since
        self._since = 0
        self._at = (self._at + 1) % _SLOTS
        for _ in range(min(_SLOTS, (elapsed - 1) // self.slot)):
            self._slots[self._at] = 0
            self._at = (self._at + 1) % _SLOTS


def acquire_retry(live: Live, limits: low.Limits) -> str:
    """Take a retry; the name of the limit that refuses, "" when it is taken."""
    counters = live.counters
    with live.lock:
        if counters.upstream_rq_retry_active >= _max_retries(live, limits):
            counters.upstream_rq_retry_overflow += 1
            return "max_retries"
        counters.upstream_rq_retry_active += 1
        counters.upstream_rq_retry += 1
    return ""


def acquire_pending(live: Live, limits: low.Limits) -> str:
    """Take a place among the requests that wait for a connection, likewise."""
    counters = live.counters
    with live.lock:
        if (
            limits.max_pending_requests < UNLIMITED
            and counters.upstream_rq_pending_active >= limits.max_pending_requests
        ):
            counters.upstream_rq_pending_overflow += 1
            return "max_pending_requests"
        counters.upstream_rq_pending_active += 1
    return ""


def acquire_request(live: Live, slot: Slot, limits: low.Limits) -> str:
    """Take a request on a connection, likewise."""
    counters = live.counters
    with live.lock:
        if limits.max_requests < UNLIMITED and counters.upstream_rq_active >= limits.max_requests:
            counters.upstream_rq_active_overflow += 1
            return "max_requests"
        slot_time = _budget_slot(limits)
        if slot_time:
            live.recent_requests(slot_time).begin(live.clock())
        counters.upstream_rq_active += 1
        counters.upstream_rq_total += 1
        slot.rq_active += 1
        slot.rq_total += 1
    return ""


def acquire_connection(live: Live, slot: Slot, limits: low.Limits) -> str:
    """Take a connection; the name of the limit that refuses, "" when it is taken."""
    counters = live.counters
    with live.lock:
        if limits.max_connections < UNLIMITED and counters.upstream_cx_active >= limits.max_connections:
            counters.upstream_cx_overflow += 1
            return "max_connections"
        count_connection(live, slot)
    return ""


def count_connection(live: Live, slot: Slot) -> None:
    """A connection is being made; `release_connection` ends it."""
    counters = live.counters
    with live.lock:
        counters.upstream_cx_active += 1
        counters.upstream_cx_total += 1
        slot.cx_active += 1
        slot.cx_total += 1


# Nothing goes below zero: after a fork the child starts at zero while it still holds its parent's leases. A test and a
# subtraction, not `max`: between a call and its assignment the collector may end another lease.


def release_retry(live: Live) -> None:
    with live.lock:
        if live.counters.upstream_rq_retry_active:
            live.counters.upstream_rq_retry_active -= 1


def release_pending(live: Live) -> None:
    with live.lock:
        if live.counters.upstream_rq_pending_active:
            live.counters.upstream_rq_pending_active -= 1


def release_request(live: Live, slot: Slot) -> None:
    with live.lock:
        if live.counters.upstream_rq_active:
            live.counters.upstream_rq_active -= 1
        if slot.rq_active:
            slot.rq_active -= 1


def release_connection(live: Live, slot: Slot) -> None:
    with live.lock:
        if live.counters.upstream_cx_active:
            live.counters.upstream_cx_active -= 1
        if slot.cx_active:
            slot.cx_active -= 1


def count_outcome(live: Live, slot: Slot, status: int | None, error: str | None, *, request: bool) -> None:
    """Learn how a lease ended: an HTTP status, an error of local origin, or (neither) success."""
    with live.lock:
        if error == "connect_timeout":
            live.counters.upstream_cx_connect_timeout += 1
        elif error == "try_timeout":
            live.counters.upstream_rq_per_try_timeout += 1
        elif error == "timeout" and request:
            live.counters.upstream_rq_timeout += 1
        if error is None and (status is None or status < 500):
            slot.rq_success += 1
        else:
            slot.rq_error += 1
            if error in ("connect_failure", "connect_timeout"):
                slot.cx_connect_fail += 1


def _budget_slot(limits: low.Limits) -> int:
    """A tenth of the retry budget's interval (whole ms) in ns; 0 without one."""
    if not limits.retry_budget_interval or limits.retry_budget is None:
        return 0
    return int(limits.retry_budget_interval * 1000 + 0.5) * (1_000_000 // _SLOTS)


def _max_retries(live: Live, limits: low.Limits) -> float:
    """Envoy's retry budget replaces max_retries where it is set."""
    if limits.retry_budget is None:
        return limits.max_retries if limits.max_retries < UNLIMITED else float("inf")
    percent, minimum = limits.retry_budget
    counters = live.counters
    slot = _budget_slot(limits)
    if slot:
        busy = live.recent_requests(slot).count(live.clock())
    else:
        busy = counters.upstream_rq_active + counters.upstream_rq_pending_active
    return max(int(percent / 100.0 * busy), minimum)


def breakers(counters: Counters, limits: low.Limits) -> dict[str, int]:
    """Envoy's gauges of circuit breakers: 1 at the limit, and what is left (Istio: track_remaining). With a retry
    budget what is left of retries is not tracked, and max_retries alone decides whether it is open."""
    made = {}
    resources = (
        ("cx", "cx", counters.upstream_cx_active, limits.max_connections),
        ("rq_pending", "pending", counters.upstream_rq_pending_active, limits.max_pending_requests),
        ("rq", "rq", counters.upstream_rq_active, limits.max_requests),
        ("rq_retry", "retries", counters.upstream_rq_retry_active, limits.max_retries),
    )
    for name, short, active, most in resources:
        made[f"circuit_breakers.default.{name}_open"] = int(active >= most)
        made[f"circuit_breakers.default.remaining_{short}"] = max(0, most - active)
    if limits.retry_budget is not None:
        made["circuit_breakers.default.remaining_retries"] = 0
    return made
