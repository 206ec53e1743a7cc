"""The experiments of the data plane's specification (section 13) that do not need a network: 1 to 13, 22 and 23.

Each says what a right implementation shows; tolerances are four standard deviations unless the value is exact."""

from __future__ import annotations

import random
from collections import Counter
from math import sqrt
from types import ModuleType
from typing import Any

import pytest
from tests.core import reference
from tests.core.units import endpoint, forward, group, published, unit, virtual_host, web

from roadstead import _lowered as low
from roadstead._fallback.xxh64 import xxh64

HOST, NAME = "a.test", "outbound|80||a.test"
OK, BAD, DEGRADED = low.HEALTHY, low.UNHEALTHY, low.DEGRADED
KEYS = [f"key-{number}" for number in range(300)]


def hosts(*healths: int, priority: int = 0, weight: int | None = None) -> low.LocalityGroup:
    made = [endpoint(f"10.{priority}.0.{number}:80", health=health) for number, health in enumerate(healths)]
    return group(*made, priority=priority, locality=f"r/z{priority}", weight=weight)


def weighted(*weights: int) -> low.LocalityGroup:
    """The ports of the experiments' upstreams."""
    return group(*[endpoint(f"127.0.0.1:{18001 + at}", weight=weight) for at, weight in enumerate(weights)])


def run(module: ModuleType, *given: low.LocalityGroup, policy: int = low.ROUND_ROBIN, **options: Any) -> Any:
    lb = low.LbConfig(policy=policy)._replace(**options)
    return published(module, web(HOST, endpoints=given, lb=lb))


def traffic(eng: Any, count: int, seed: int = 1) -> list[Any]:
    """So many requests with a random draw each: the endpoints they went to."""
    draws = random.Random(seed)
    return [eng.route(HOST, 80, draw=draws.getrandbits(64)).pick() for _ in range(count)]


def near(number: int, count: int, share: float) -> bool:
    return abs(number - count * share) <= 4 * sqrt(count * share * (1 - share))


THREE = (hosts(OK, BAD, BAD, BAD), hosts(OK, BAD, BAD, BAD, priority=1), hosts(OK, BAD, BAD, BAD, BAD, priority=2))


def test_01_priorities_below_full_health(engine: ModuleType) -> None:
    eng = run(engine, *THREE, panic_threshold=0)
    assert eng.cluster(NAME).priority_load() == ((37, 0), (35, 0), (28, 0))
    count = 20_000
    found = Counter(one.priority for one in traffic(eng, count))
    for priority, share in enumerate((0.37, 0.35, 0.28)):
        assert abs(found[priority] / count - share) <= 0.014
    assert eng.cluster(NAME).stats["lb_healthy_panic"] == 0


def test_02_total_panic(engine: ModuleType) -> None:
    eng = run(engine, *THREE, panic_threshold=50)
    assert eng.cluster(NAME).priority_load() == ((32, 0), (30, 0), (38, 0))
    count = 1300
    chosen = traffic(eng, count)
    found = Counter(one.priority for one in chosen)
    assert all(near(found[priority], count, share) for priority, share in enumerate((0.32, 0.30, 0.38)))
    assert len({one.address for one in chosen}) == 13
    assert eng.cluster(NAME).stats["lb_healthy_panic"] == count


def test_03_panic_is_strictly_below_the_threshold(engine: ModuleType) -> None:
    found = Counter(one.address for one in traffic(run(engine, hosts(OK, BAD), panic_threshold=50), 100))
    assert found == {"10.0.0.0": 100}
    found = Counter(one.address for one in traffic(run(engine, hosts(OK, BAD, BAD), panic_threshold=50), 100))
    assert sorted(found.values()) == [33, 33, 34]


def test_04_degraded_hosts(engine: ModuleType) -> None:
    count = 4000
    found = Counter(one.address for one in traffic(run(engine, hosts(OK, DEGRADED, DEGRADED, BAD)), count))
    assert near(found["10.0.0.0"], count, 0.35)
    assert near(found["10.0.0.1"], count, 0.325)
    assert near(found["10.0.0.2"], count, 0.325)
    assert found["10.0.0.3"] == 0


def test_05_locality_weights_are_turns_not_draws(engine: ModuleType) -> None:
    first = group(endpoint("10.0.0.0:80", health=OK), endpoint("10.0.0.1:80", health=BAD), locality="a", weight=1)
    second = group("10.0.1.0:80", "10.0.1.1:80", locality="b", weight=2)
    found = Counter(one.locality for one in traffic(run(engine, first, second, locality_weighted=True), 2700))
    assert abs(found["a"] - 700) <= 2


def test_06_round_robin_with_weights(engine: ModuleType) -> None:
    order = "".join("abc"[one.port - 18001] for one in traffic(run(engine, weighted(1, 2, 3)), 18))
    assert order in "cbcabc" * 4
    assert order[:6] == order[6:12] == order[12:]


def test_07_random_ignores_weights(engine: ModuleType) -> None:
    count = 3000
    found = Counter(one.port for one in traffic(run(engine, weighted(1, 2, 3), policy=low.RANDOM), count))
    assert all(near(found[port], count, 1 / 3) for port in (18001, 18002, 18003))


def test_08_least_request_with_weights_is_flatter(engine: ModuleType) -> None:
    """60 requests of 300 ms, 4 ms apart: all overlap. About 14, 21, 25, where weights alone give 10, 20, 30."""
    eng = run(engine, weighted(1, 2, 3), policy=low.LEAST_REQUEST)
    held = [eng.route(HOST, 80).lease() for _ in range(60)]
    found = Counter(lease.endpoint.port for lease in held)
    for lease in held:
        lease.finish()
    assert [abs(found[18001 + at] - expected) <= 2 for at, expected in enumerate((14, 21, 25))] == [True] * 3


def by_header(module: ModuleType, given: low.LocalityGroup, **options: Any) -> Any:
    rule = forward(NAME)._replace(hash_policies=(low.HashPolicy(low.HASH_HEADER, "x-key"),))
    return published(module, web(HOST, rule, endpoints=(given,), lb=low.LbConfig(**options)))


def assert_ring(eng: Any, points: list[tuple[int, int]]) -> None:
    """Each key, and the engine's ring has these points and no others: what lies between two goes to the second."""
    for key in KEYS:
        chosen = eng.route(HOST, 80, headers={"x-key": key}).pick()
        assert chosen.port == 18001 + reference.on_ring(points, xxh64(key.encode()))
    decision = eng.route(HOST, 80)
    for at, (point, owner) in enumerate(points):
        assert decision.pick(hash_key=point).port == 18001 + owner
        assert decision.pick(hash_key=(point + 1) % 2**64).port == 18001 + points[(at + 1) % len(points)][1]


def test_09_ring_of_equal_hosts(engine: ModuleType) -> None:
    points = reference.ring([(f"127.0.0.1:{port}", 1) for port in (18001, 18002, 18003)])
    assert len(points) == 1026
    assert set(Counter(owner for _, owner in points).values()) == {342}
    assert_ring(by_header(engine, weighted(1, 1, 1), policy=low.RING_HASH), points)


def test_10_small_ring_with_weights(engine: ModuleType) -> None:
    points = reference.ring([(f"127.0.0.1:{18000 + weight}", weight) for weight in (1, 2, 3)], minimum=10)
    assert Counter(owner for _, owner in points) == {0: 2, 1: 4, 2: 6}
    assert_ring(by_header(engine, weighted(1, 2, 3), policy=low.RING_HASH, ring_min=10), points)


def test_11_maglev_with_weights(engine: ModuleType) -> None:
    table = reference.maglev([(f"127.0.0.1:{18000 + weight}", weight) for weight in (1, 2, 3)])
    assert Counter(table) == {0: 10923, 1: 21846, 2: 32768}
    eng = by_header(engine, weighted(1, 2, 3), policy=low.MAGLEV)
    for key in KEYS:
        chosen = eng.route(HOST, 80, headers={"x-key": key}).pick()
        assert chosen.port == 18001 + table[xxh64(key.encode()) % 65537]
    decision = eng.route(HOST, 80)
    assert [decision.pick(hash_key=number).port - 18001 for number in range(65537)] == table


def test_12_policies_are_combined(engine: ModuleType) -> None:
    policies = (
        low.HashPolicy(low.HASH_HEADER, "x-key"),
        low.HashPolicy(low.HASH_QUERY, "q"),
        low.HashPolicy(low.HASH_COOKIE, "ck"),
    )
    rule = forward(NAME)._replace(hash_policies=policies)
    lb = low.LbConfig(policy=low.RING_HASH)
    eng = published(engine, web(HOST, rule, endpoints=(weighted(1, 1, 1),), lb=lb))
    points = reference.ring([(f"127.0.0.1:{port}", 1) for port in (18001, 18002, 18003)])

    def rotl(value: int) -> int:
        return (value << 1 | value >> 63) & 2**64 - 1

    for number in range(200):
        key, query, cookie = f"h{number}", f"q{number % 7}", f"c{number % 11}"
        headers = {"x-key": key, "cookie": f'a=b; ck="{cookie}"'}
        decision = eng.route(HOST, 80, f"/?q={query}", headers=headers)
        expected = rotl(rotl(xxh64(key.encode())) ^ xxh64(query.encode())) ^ xxh64(cookie.encode())
        assert decision.hash == expected
        assert decision.pick().port == 18001 + reference.on_ring(points, expected)
    twice = eng.route(HOST, 80, headers=[("x-key", "b"), ("x-key", "a")])
    assert twice.hash == xxh64(b"b", xxh64(b"a"))


@pytest.mark.parametrize(
    ("ttl", "path", "ending"), [(0.0, "", "; HttpOnly"), (3600.0, "/p", "; Max-Age=3600; Path=/p; HttpOnly")]
)
def test_13_cookies_make_the_first_request_sticky(engine: ModuleType, ttl: float, path: str, ending: str) -> None:
    rule = forward(NAME)._replace(hash_policies=(low.HashPolicy(low.HASH_COOKIE, "ck", ttl, path),))
    lb = low.LbConfig(policy=low.RING_HASH)
    eng = published(engine, web(HOST, rule, endpoints=(weighted(1, 1, 1),), lb=lb))
    for _ in range(20):
        first = eng.route(HOST, 80)
        [text] = first.set_cookies
        value = text.removeprefix('ck="').removesuffix(f'"{ending}')
        assert len(value) == 16
        assert int(value, 16) >= 0
        second = eng.route(HOST, 80, headers={"cookie": f"ck={value}"})
        assert second.set_cookies == ()
        assert second.pick() is first.pick()


def operations(level: str) -> tuple[low.HeaderOp, ...]:
    return (
        low.HeaderOp(low.ADD, "x-o", level),
        low.HeaderOp(low.SET, "x-ow", level),
        low.HeaderOp(low.ADD_IF_ABSENT, "x-ifabs", level),
    )


MUTATIONS = [
    # Levels after the weighted cluster in order of execution → the x-o lines, x-ow, x-ifabs.
    (("route", "vhost", "rc"), ["client", "wc", "route", "vhost", "rc"], "rc", "wc"),
    (("rc", "vhost", "route"), ["client", "wc", "rc", "vhost", "route"], "route", "wc"),
]


@pytest.mark.parametrize(("levels", "appended", "overwritten", "absent"), MUTATIONS)
def test_22_order_of_header_mutations(
    engine: ModuleType, levels: tuple[str, ...], appended: list[str], overwritten: str, absent: str
) -> None:
    """The weighted cluster first, then what the route is given: the levels of its host and configuration, flattened."""
    later = tuple([one for level in levels for one in operations(level)])
    rule = forward(low.Destination(NAME, 1, operations("wc")), (NAME, 0))._replace(request_ops=later)
    sent = published(engine, web(HOST, rule)).route(HOST, 80).apply([("x-o", "client")])
    assert [value for name, value in sent if name == "x-o"] == appended
    assert [value for name, value in sent if name == "x-ow"] == [overwritten]
    assert [value for name, value in sent if name == "x-ifabs"] == [absent]


DOMAINS = ("foo.bar.com", "*.bar.com", "*-x.bar.com", "foo.*", "foo.bar.*", "p.com", "p.com:8080", "*")
AUTHORITIES = {
    "foo.bar.com": "foo.bar.com",
    "FOO.BAR.COM": "foo.bar.com",
    "foo.bar.com:80": "foo.bar.com",
    "a.bar.com": "*.bar.com",
    "a.b.bar.com": "*.bar.com",
    "a-x.bar.com": "*-x.bar.com",
    "-x.bar.com": "*.bar.com",
    "bar.com": "*",
    ".bar.com": "*",
    "foo.bar.org": "foo.bar.*",
    "foo.org": "foo.*",
    "foo.": "*",
    "p.com": "p.com",
    "p.com:8080": "p.com",
    "p.com:9": "p.com",
}


@pytest.mark.parametrize(("authority", "domain"), AUTHORITIES.items())
def test_23_virtual_hosts(engine: ModuleType, authority: str, domain: str) -> None:
    """With ignore_port_in_host_matching, which Istio sets everywhere: a domain with a port never matches."""
    units = [unit(name, virtual_host(forward(NAME, handle=name), domains=(name,))) for name in DOMAINS]
    assert published(engine, *units).route(authority, 80).route == domain
