"""Priority loads and panic: Envoy's integer arithmetic."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple


class Census(NamedTuple):
    """Hosts of one priority by class. Excluded hosts count in `hosts` and leave the denominators."""

    hosts: int
    healthy: int
    degraded: int
    excluded: int

    def availability(self, hosts: int, overprovisioning: int) -> int:
        denominator = self.hosts - self.excluded
        return min(100, overprovisioning * hosts // denominator) if denominator else 0


class Loads:
    """What each priority gets, in percent, and whether it is in panic.

    single: the priority that gets everything with its healthy hosts, or -1; then no number is needed to choose."""

    __slots__ = ("_availability", "degraded", "healthy", "panic", "single")

    def __init__(self, census: list[Census], overprovisioning: int, panic_threshold: int) -> None:
        healthy = [one.availability(one.healthy, overprovisioning) for one in census]
        degraded = [one.availability(one.degraded, overprovisioning) for one in census]
        self._availability = (healthy, degraded)
        total = min(100, sum(healthy) + sum(degraded))
        self.healthy = [0] * len(census)
        self.degraded = [0] * len(census)
        self.panic = [False] * len(census)
        if total:
            self._share(healthy, degraded, total)
        elif census:
            self.healthy[0] = 100
        if total < 100:
            self.panic = [_in_panic(one, panic_threshold) for one in census]
            if census and all(self.panic):
                self._total_panic(census)
        self.single = self.healthy.index(100) if 100 in self.healthy else -1

    def _share(self, healthy: list[int], degraded: list[int], total: int) -> None:
        remaining = 100
        for loads, availabilities in ((self.healthy, healthy), (self.degraded, degraded)):
            for priority, availability in enumerate(availabilities):
                loads[priority] = min(remaining, availability * 100 // total)
                remaining -= loads[priority]
        # What truncation leaves goes to the first available priority only.
        loads, availabilities = (self.healthy, healthy) if any(healthy) else (self.degraded, degraded)
        loads[next(priority for priority, value in enumerate(availabilities) if value)] += remaining

    def without(self, excluded: set[int]) -> Loads | None:
        """The same with these priorities left out; None where nothing is available then."""
        healthy, degraded = [
            [0 if priority in excluded else value for priority, value in enumerate(values)]
            for values in self._availability
        ]
        total = min(100, sum(healthy) + sum(degraded))
        if not total:
            return None
        made = copy(self)
        made.healthy, made.degraded = [0] * len(healthy), [0] * len(degraded)
        remaining = 100
        # What truncation leaves is handed out in further rounds, from the first priority on.
        while remaining:
            for loads, availabilities in ((made.healthy, healthy), (made.degraded, degraded)):
                for priority, availability in enumerate(availabilities):
                    share = min(remaining, availability * 100 // total)
                    loads[priority] += share
                    remaining -= share
        return made

    def _total_panic(self, census: list[Census]) -> None:
        """Every priority is in panic: loads by raw host counts, health ignored."""
        hosts = sum(one.hosts for one in census)
        if not hosts:
            return
        self.healthy = [100 * one.hosts // hosts for one in census]
        first = next(priority for priority, one in enumerate(census) if one.hosts)
        self.healthy[first] += 100 - sum(self.healthy)
        self.degraded = [0] * len(census)

    def choose(self, number: int) -> tuple[int, bool]:
        """The priority for a number, and whether its degraded hosts are meant."""
        x = number % 100 + 1
        for priority, load in enumerate(self.healthy):
            x -= load
            if x <= 0:
                return priority, False
        for priority, load in enumerate(self.degraded):
            x -= load
            if x <= 0:
                return priority, True
        return 0, False


def _in_panic(census: Census, threshold: int) -> bool:
    """Strictly below the threshold, as a double; no host at all is 0 %."""
    denominator = census.hosts - census.excluded
    available = 100.0 * (census.healthy + census.degraded) / denominator if denominator else 0.0
    return available < min(threshold, 100)
