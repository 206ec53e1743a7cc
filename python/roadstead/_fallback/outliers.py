"""Outlier detection: what the ends of leases say of an endpoint, when it is ejected and when it comes back
(Envoy: outlier_detection_impl.cc; the rules are in `_core.pyi`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from roadstead import _lowered as low
from roadstead.errors import EngineError

if TYPE_CHECKING:
    from roadstead._fallback.overlay import Slot

# Detectors, in the order they are asked.
GATEWAY: Final = 0
SERVER: Final = 1
LOCAL: Final = 2
DETECTORS = ("consecutive_gateway_failure", "consecutive_5xx", "consecutive_local_origin_failure")
Hits: TypeAlias = tuple[int, ...]
"""Detectors whose thresholds are reached."""

_NONE: Hits = ()
_MILLISECOND = 1_000_000
_GRPC = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)


def http_status(grpc_status: int) -> int:
    """The HTTP status that stands for one of gRPC (Envoy: grpcToHttpStatus)."""
    return _GRPC[grpc_status] if 0 <= grpc_status < len(_GRPC) else 500


# What counts like another error.
_AS = {"connect_timeout": "connect_failure", "try_timeout": "timeout"}


class Record:
    """What is known of one endpoint. failures: in a row, by detector. until: when the ejection is over; of one that is
    back, when it came back or its multiplier last went down; ns."""

    __slots__ = ("ejected", "ejections", "failures", "multiplier", "until")

    def __init__(self) -> None:
        self.failures = [0, 0, 0]
        self.ejected = False
        self.ejections = self.multiplier = self.until = 0

    def bring_back(self, now: int) -> None:
        self.ejected = False
        self.failures = [0, 0, 0]
        self.until = now


class End(NamedTuple):
    """How a lease ended. connection: a ConnectionLease. grpc: the status stands for one of gRPC. pending: it was still
    waiting for a connection. told: that the connection is there was told before."""

    status: int | None
    error: str | None
    connection: bool
    grpc: bool = False
    pending: bool = False
    told: bool = False


class Tally:
    """Counters of a cluster, by detector."""

    __slots__ = ("detected", "enforced", "overflow")

    def __init__(self) -> None:
        self.detected = [0, 0, 0]
        self.enforced = [0, 0, 0]
        self.overflow = 0

    def stats(self, active: int) -> dict[str, int]:
        made = {
            "ejections_active": active,
            "ejections_enforced_total": sum(self.enforced),
            "ejections_overflow": self.overflow,
        }
        for at, name in enumerate(DETECTORS):
            made[f"ejections_detected_{name}"] = self.detected[at]
            made[f"ejections_enforced_{name}"] = self.enforced[at]
        return {f"outlier_detection.{name}": value for name, value in made.items()}


class Policy:
    """A cluster's outlier detection; times in ns, jitter in ms. What has no record never failed."""

    __slots__ = (
        "_always_one", "_base", "_codes", "_enforcing", "_interval", "_jitter", "_longest", "_percent", "_split",
        "_thresholds",
    )  # fmt: skip

    def __init__(self, given: low.OutlierDetection) -> None:
        if given.max_ejection_time < given.base_ejection_time:
            raise EngineError("max_ejection_time is shorter than base_ejection_time")
        self._thresholds = (
            given.consecutive_gateway_failure,
            given.consecutive_5xx,
            given.consecutive_local_origin_failure,
        )
        self._enforcing = (
            given.enforcing_consecutive_gateway_failure,
            given.enforcing_consecutive_5xx,
            given.enforcing_consecutive_local_origin_failure,
        )
        self._split = given.split_external_local_origin_errors
        self._interval = _milliseconds(given.interval) * _MILLISECOND
        self._base = _milliseconds(given.base_ejection_time) * _MILLISECOND
        self._longest = _milliseconds(given.max_ejection_time) * _MILLISECOND
        self._jitter = _milliseconds(given.max_ejection_time_jitter)
        self._percent = min(100, given.max_ejection_percent)
        self._always_one = given.always_eject_one_host
        self._codes = frozenset(given.error_codes)

    # Counting

    def connected(self, slot: Slot, *, connection: bool) -> None:
        """A connection is there; of a ConnectionLease that is all there is to it, so it counts as an answer too."""
        record = slot.record
        if record is not None and self._split:
            record.failures[LOCAL] = 0
        elif record is not None and connection:
            record.failures[GATEWAY] = record.failures[SERVER] = 0

    def ended(self, slot: Slot, end: End) -> Hits:
        """What the end of a lease says."""
        error = _AS.get(end.error or "", end.error)
        if end.connection and error == "reset":
            # It was there.
            error = None
        worked = error in ("reset", "timeout") and not (end.connection or end.pending)
        if (error is None or worked) and not end.told:
            self.connected(slot, connection=end.connection and end.status is None)
        if error is not None:
            return self._failed(slot, 504 if error == "timeout" else 503)
        if end.status is not None:
            return self._code(slot, self._counted(end.status, end.grpc))
        return _NONE if end.connection else self._code(slot, 200)

    def _counted(self, status: int, grpc: bool) -> int:
        """The code that an answer counts as. The statuses to look for are those of HTTP; an answer of gRPC has 200."""
        if not self._codes:
            return status
        if grpc or status not in self._codes:
            return 200
        return status if 500 <= status < 600 else 500

    def _failed(self, slot: Slot, code: int) -> Hits:
        """A failure of local origin, and the code it counts as where those are not told apart."""
        if not self._split:
            return self._code(slot, code)
        failures = _record(slot).failures
        failures[LOCAL] += 1
        return (LOCAL,) if failures[LOCAL] == self._thresholds[LOCAL] else _NONE

    def _code(self, slot: Slot, code: int) -> Hits:
        if not 500 <= code < 600:
            if slot.record is not None:
                slot.record.failures[GATEWAY] = slot.record.failures[SERVER] = 0
            return _NONE
        failures = _record(slot).failures
        hits = _NONE
        if 502 <= code <= 504:
            failures[GATEWAY] += 1
            if failures[GATEWAY] == self._thresholds[GATEWAY]:
                hits = (GATEWAY,)
        else:
            failures[GATEWAY] = 0
        failures[SERVER] += 1
        return (*hits, SERVER) if failures[SERVER] == self._thresholds[SERVER] else hits

    # Ejecting

    def judge(
        self, record: Record, everyone: Sequence[Slot], hits: Hits, now: int, draw: Callable[[], int], tally: Tally
    ) -> bool:
        """What was detected of one of the cluster's endpoints: whether it is ejected now."""
        if record.ejected:
            return False
        for detector in hits:
            tally.detected[detector] += 1
            if not self._room(everyone):
                tally.overflow += 1
            elif _chance(self._enforcing[detector], draw):
                self._eject(record, now, draw)
                tally.enforced[detector] += 1
            record.failures[detector] = 0
            if record.ejected:
                return True
        return False

    def _room(self, everyone: Sequence[Slot]) -> bool:
        active = active_in(everyone)
        return 100 * (active + 1) <= self._percent * len(everyone) or (self._always_one and not active)

    def _eject(self, record: Record, now: int, draw: Callable[[], int]) -> None:
        record.ejected = True
        record.ejections += 1
        jitter = draw() % (self._jitter + 1) if self._jitter else 0
        if record.multiplier * self._base < self._longest + self._base:
            record.multiplier += 1
        record.until = now + min(record.multiplier * self._base, self._longest) + jitter * _MILLISECOND

    # Coming back

    def tick_at(self, when: int) -> int:
        """The first tick at an instant or after."""
        return -(-when // self._interval) * self._interval

    def tick(self, record: Record, now: int) -> int | None:
        """Do what the ticks until now have to do; the next one with something to do, None where there is none."""
        if record.ejected:
            back = self.tick_at(record.until)
            if now < back:
                return back
            record.bring_back(back)
        if not record.multiplier:
            return None
        lower = self.tick_at(record.until + self._interval)
        if now >= lower:
            ticks = (now - lower) // self._interval + 1
            record.multiplier = max(0, record.multiplier - ticks)
            record.until = lower + (ticks - 1) * self._interval
            lower = record.until + self._interval
        return lower if record.multiplier else None

    def stats(self, record: Record | None) -> dict[str, int]:
        known = record or Record()
        made = {
            "ejected": int(known.ejected),
            "ejected_until": self.tick_at(known.until) if known.ejected else 0,
            "ejections": known.ejections,
        }
        return made | {name: known.failures[at] for at, name in enumerate(DETECTORS)}


@lru_cache(maxsize=4096)
def policy_of(given: low.OutlierDetection | None) -> Policy | None:
    """One policy for equal columns."""
    return None if given is None else Policy(given)


def active_in(everyone: Sequence[Slot]) -> int:
    """How many are ejected."""
    return sum([slot.ejected for slot in everyone])


def _record(slot: Slot) -> Record:
    if slot.record is None:
        slot.record = Record()
    return slot.record


def _chance(percent: int, draw: Callable[[], int]) -> bool:
    return percent >= 100 or (percent > 0 and draw() % 100 < percent)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000 + 0.5)
