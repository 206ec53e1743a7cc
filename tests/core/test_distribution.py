"""100,000 picks of each weighted or prioritised case, against the shares that Envoy's rules give: chi-square within its bound.

Seeds are fixed, so a case passes always or never."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from types import ModuleType
from typing import NamedTuple

import pytest
from tests.core import reference
from tests.core.units import endpoint, group, published, web

from roadstead import _lowered as low

HOST = "a.test"
PICKS = 100_000
OK, BAD, DEGRADED = low.HEALTHY, low.UNHEALTHY, low.DEGRADED
# Standard deviations that a sum of squares may lie beyond its mean: about 3 in 100,000.
DEVIATIONS = 4.0


class Case(NamedTuple):
    """shares: of each endpoint, by its address; what is not there gets nothing."""

    groups: Sequence[low.LocalityGroup]
    lb: low.LbConfig
    shares: dict[str, float]


def equal(share: float, *addresses: str) -> dict[str, float]:
    return {address: share / len(addresses) for address in addresses}


def members(
    network: int, *healths: int, priority: int = 0, weight: int | None = None, weights: Sequence[int] = ()
) -> low.LocalityGroup:
    made = [
        endpoint(f"10.{network}.0.{at}:80", health=health, weight=weights[at] if weights else 1)
        for at, health in enumerate(healths)
    ]
    return group(*made, priority=priority, locality=f"r/z{network}", weight=weight)


def names(network: int, count: int) -> list[str]:
    return [f"10.{network}.0.{at}" for at in range(count)]


def lb(policy: int, **options: object) -> low.LbConfig:
    return low.LbConfig(policy=policy)._replace(**options)


def _weights(policy: int) -> Case:
    weights = (1, 2, 3, 10, 100)
    shares = {address: weight / 116 for address, weight in zip(names(0, 5), weights, strict=True)}
    return Case([members(0, *[OK] * 5, weights=weights)], lb(policy), shares)


def _priorities(policy: int) -> Case:
    """Healthy 1/4, 1/4, 1/5 with the factor 1.4: loads 37, 35, 28."""
    given = [members(0, OK, *[BAD] * 3), members(1, OK, *[BAD] * 3, priority=1), members(2, OK, *[BAD] * 4, priority=2)]
    return Case(given, lb(policy), {"10.0.0.0": 0.37, "10.1.0.0": 0.35, "10.2.0.0": 0.28})


def _localities(policy: int) -> Case:
    """Weights 1 and 2; half of the first is well: 0.7 against 2."""
    given = [members(0, OK, BAD, weight=1), members(1, OK, OK, weight=2)]
    shares = {"10.0.0.0": 0.7 / 2.7, **equal(2 / 2.7, *names(1, 2))}
    return Case(given, lb(policy, locality_weighted=True), shares)


def _inside(policy: int) -> Case:
    """Localities 1 to 3, hosts weighted inside of each."""
    given = [members(0, OK, OK, weight=1, weights=(1, 4)), members(1, OK, OK, OK, weight=3, weights=(1, 1, 2))]
    shares = {"10.0.0.0": 0.05, "10.0.0.1": 0.2, "10.1.0.0": 0.1875, "10.1.0.1": 0.1875, "10.1.0.2": 0.375}
    return Case(given, lb(policy, locality_weighted=True), shares)


def _panic(policy: int) -> Case:
    """Everything below half: by raw host counts, 4 to 6."""
    given = [members(0, OK, *[BAD] * 3), members(1, OK, *[BAD] * 5, priority=1)]
    shares = {**equal(0.4, *names(0, 4)), **equal(0.6, *names(1, 6))}
    return Case(given, lb(policy, panic_threshold=50), shares)


def _degraded(policy: int) -> Case:
    return Case(
        [members(0, OK, DEGRADED, DEGRADED, BAD)], lb(policy), {"10.0.0.0": 0.35, "10.0.0.1": 0.325, "10.0.0.2": 0.325}
    )


def _ring() -> Case:
    weights = (1, 2, 3, 1, 5)
    hosts = [(f"{address}:80", float(weight)) for address, weight in zip(names(0, 5), weights, strict=True)]
    points = reference.ring(hosts)
    arcs: Counter[int] = Counter()
    for at, (point, position) in enumerate(points):
        arcs[position] += (point - points[at - 1][0]) % 2**64
    shares = {f"10.0.0.{position}": arc / 2**64 for position, arc in arcs.items()}
    return Case([members(0, *[OK] * 5, weights=weights)], lb(low.RING_HASH), shares)


def _maglev() -> Case:
    weights = (1, 2, 3, 1, 5)
    hosts = [(f"{address}:80", float(weight)) for address, weight in zip(names(0, 5), weights, strict=True)]
    found = Counter(reference.maglev(hosts))
    shares = {f"10.0.0.{position}": count / 65537 for position, count in found.items()}
    return Case([members(0, *[OK] * 5, weights=weights)], lb(low.MAGLEV), shares)


POLICIES = {"round robin": low.ROUND_ROBIN, "least request": low.LEAST_REQUEST}
CASES: dict[str, Case] = {
    **{f"weights, {name}": _weights(policy) for name, policy in POLICIES.items()},
    "weights are nothing to random": Case(
        [members(0, *[OK] * 3, weights=(1, 2, 9))], lb(low.RANDOM), equal(1, *names(0, 3))
    ),
    **{
        f"{made.__name__.strip('_')}, {name}": made(policy)
        for made in (_priorities, _localities, _panic, _degraded)
        for name, policy in (*POLICIES.items(), ("random", low.RANDOM))
    },
    **{f"weights in localities, {name}": _inside(policy) for name, policy in POLICIES.items()},
    "ring": _ring(),
    "maglev": _maglev(),
}


@pytest.mark.parametrize("name", CASES)
def test_picks_follow_the_shares(engine: ModuleType, name: str) -> None:
    case = CASES[name]
    assert sum(case.shares.values()) == pytest.approx(1)
    eng = published(engine, web(HOST, endpoints=case.groups, lb=case.lb))
    draws = random.Random(name)
    found = Counter(eng.route(HOST, 80, draw=draws.getrandbits(64)).pick().address for _ in range(PICKS))
    assert set(found) == set(case.shares)
    squares = sum((found[address] - PICKS * share) ** 2 / (PICKS * share) for address, share in case.shares.items())
    assert squares <= bound(len(case.shares) - 1)


def bound(freedom: int) -> float:
    """What a chi-square sum of so many degrees of freedom hardly ever exceeds (Wilson and Hilferty)."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + DEVIATIONS * sqrt(part)) ** 3
