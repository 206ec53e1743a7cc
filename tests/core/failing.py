"""Short ways to make endpoints fail, and to see who is ejected."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.units import published, web

from roadstead import _lowered as low

HOST, NAME = "a.test", "outbound|80||a.test"
MS = 10**6
SECOND = 10**9
THREE = ("10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80")
# Everybody may be ejected, at the first failure.
STRICT = low.OutlierDetection(consecutive_5xx=1, max_ejection_percent=100)


class Clock:
    """Nanoseconds that pass when told."""

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def run(
    module: ModuleType,
    outliers: low.OutlierDetection | None,
    *endpoints: low.Endpoint | low.LocalityGroup | str,
    clock: Clock | None = None,
    panic: int = 0,
) -> Any:
    lb = low.LbConfig(low.ROUND_ROBIN, panic)
    unit = web(HOST, endpoints=endpoints or THREE, lb=lb, outliers=outliers)
    return published(module, unit, clock=clock or Clock())


def request(eng: Any, bad: tuple[str, ...] = (), status: int = 500) -> str:
    """One request; endpoints of these addresses answer with the status, others with 200. Its address."""
    with eng.route(HOST, 80).lease() as lease:
        address: str = lease.endpoint.address
        lease.finish(status=status if address in bad else 200)
    return address


def fail(eng: Any, address: str, times: int = 1, **how: Any) -> None:
    """So many failures in a row of one endpoint: picks of others are not counted."""
    how = how or {"status": 500}
    while times:
        lease = eng.route(HOST, 80).lease()
        if lease.endpoint.address == address:
            lease.finish(**how)
            times -= 1
        else:
            give_up(lease)


def give_up(lease: Any) -> None:
    """End a lease that says nothing of its endpoint."""
    with pytest.raises(KeyboardInterrupt), lease:
        raise KeyboardInterrupt


def ejected(eng: Any, name: str = NAME) -> set[str]:
    live = eng.cluster(name)
    return {
        one.address for one, stats in zip(live.endpoints, live.endpoint_stats(), strict=True) if stats.get("ejected")
    }


def tallies(eng: Any, name: str = NAME) -> dict[str, int]:
    """Outlier detection's counters that are not 0, in short."""
    prefix = "outlier_detection.ejections_"
    return {
        key.removeprefix(prefix): value
        for key, value in eng.cluster(name).stats.items()
        if key.startswith(prefix) and value
    }


def failures(eng: Any, name: str = NAME) -> tuple[int, int, int]:
    """Gateway, 5xx, local: in a row, of the first endpoint."""
    stats = eng.cluster(name).endpoint_stats()[0]
    return (
        stats["consecutive_gateway_failure"],
        stats["consecutive_5xx"],
        stats["consecutive_local_origin_failure"],
    )
