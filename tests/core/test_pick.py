"""`pick`: priorities, panic, localities, algorithms, hash policies, exclusion."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from tests.core.units import endpoint, forward, group, picks, published, redirect, unit, virtual_host, web

from roadstead import _lowered as low
from roadstead.errors import EngineError, NoHealthyEndpoint

HOST, NAME = "a.test", "outbound|80||a.test"
OK, BAD, DRAINING, DEGRADED = low.HEALTHY, low.UNHEALTHY, low.DRAINING, low.DEGRADED
MASK = 2**64 - 1


def mix(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def numbers(draw: int, pick: int, count: int) -> list[int]:
    """What a pick draws, from the contract's words."""
    state = draw + 0x9E3779B97F4A7C15 * 16 * pick & MASK
    found = []
    for _ in range(count):
        state = state + 0x9E3779B97F4A7C15 & MASK
        found.append(mix(state))
    return found


def hosts(*healths: int, priority: int = 0, locality: str = "", weight: int | None = None) -> low.LocalityGroup:
    """Endpoints 10.PRIORITY.0.N:80 of these healths."""
    made = [endpoint(f"10.{priority}.0.{number}:80", health=health) for number, health in enumerate(healths)]
    return group(*made, priority=priority, locality=locality, weight=weight)


def balanced(module: ModuleType, *given: low.LocalityGroup, policy: int = low.ROUND_ROBIN, **options: Any) -> Any:
    lb = low.LbConfig(policy=policy)._replace(**options)
    return published(module, web(HOST, endpoints=given, lb=lb))


# healthy/all of each priority → load of healthy hosts (table of section 1.2)
LOADS = [
    ([(5, 7), (1, 1)], [100, 0]),
    ([(71, 100), (1, 1)], [99, 1]),
    ([(1, 2), (1, 1)], [70, 30]),
    ([(1, 4), (1, 4)], [50, 50]),
    ([(1, 4), (1, 4), (1, 5)], [37, 35, 28]),
    ([(0, 3), (3, 3)], [0, 100]),
    ([(0, 3), (0, 3)], [100, 0]),
    ([(0, 0), (1, 1)], [0, 100]),
]


@pytest.mark.parametrize(("counts", "loads"), LOADS)
def test_priority_load(engine: ModuleType, counts: list[tuple[int, int]], loads: list[int]) -> None:
    given = [hosts(*[OK] * ok, *[BAD] * (every - ok), priority=at) for at, (ok, every) in enumerate(counts)]
    eng = balanced(engine, *given)
    assert [healthy for healthy, _ in eng.cluster(NAME).priority_load()] == loads


def test_degraded_load(engine: ModuleType) -> None:
    assert balanced(engine, hosts(OK, DEGRADED, DEGRADED, BAD)).cluster(NAME).priority_load() == ((35, 65),)
    # A draining host leaves the denominator: 1 of 3 healthy, 1 of 3 degraded.
    assert balanced(engine, hosts(OK, DEGRADED, BAD, DRAINING)).cluster(NAME).priority_load() == ((50, 50),)


def test_overprovisioning(engine: ModuleType) -> None:
    given = (hosts(OK, BAD), hosts(OK, priority=1))
    assert balanced(engine, *given, overprovisioning=100).cluster(NAME).priority_load() == ((50, 0), (50, 0))
    assert balanced(engine, *given, overprovisioning=200).cluster(NAME).priority_load() == ((100, 0), (0, 0))


def test_membership(engine: ModuleType) -> None:
    stats = balanced(engine, hosts(DRAINING, BAD, DEGRADED, OK)).cluster(NAME).stats
    found = {name: stats[f"membership_{name}"] for name in ("total", "healthy", "degraded", "excluded")}
    assert found == {"total": 4, "healthy": 1, "degraded": 1, "excluded": 1}


def test_the_first_number_chooses_the_priority(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(OK, BAD), hosts(OK, OK, OK, priority=1), policy=low.RANDOM)
    for draw in range(200):
        first = numbers(draw, 0, 1)[0]
        endpoint = eng.route(HOST, 80, draw=draw).pick()
        expected = "10.0.0.0" if first % 100 + 1 <= 70 else f"10.1.0.{first % 3}"
        assert endpoint.address == expected


def test_later_picks_have_numbers_of_their_own(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(OK, OK, OK, OK, OK), policy=low.RANDOM)
    decision = eng.route(HOST, 80, draw=MASK)
    assert picks(decision, 5) == [f"10.0.0.{numbers(MASK, pick, 1)[0] % 5}" for pick in range(5)]


def test_two_choices(engine: ModuleType) -> None:
    """LEAST_REQUEST over equal weights: a later one wins only with strictly fewer active requests."""
    eng = balanced(engine, hosts(OK, OK, OK, OK), policy=low.LEAST_REQUEST)
    held: list[Any] = []
    active: Counter[int] = Counter()
    for draw in range(100):
        first, second = (number % 4 for number in numbers(draw, 0, 3)[1:])
        expected = second if active[second] < active[first] else first
        held.append(eng.route(HOST, 80, draw=draw).lease())
        assert held[-1].endpoint.address == f"10.0.0.{expected}"
        active[expected] += 1
    for lease in held:
        lease.finish()


def test_more_choices(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(OK, OK, OK, OK), policy=low.LEAST_REQUEST, choice_count=5)
    one = eng.route(HOST, 80, draw=7)
    lease = one.lease()
    drawn = [number % 4 for number in numbers(7, 0, 6)[1:]]
    assert lease.endpoint.address == f"10.0.0.{drawn[0]}"
    free = next((index for index in drawn if index != drawn[0]), drawn[0])
    assert eng.route(HOST, 80, draw=7).pick().address == f"10.0.0.{free}"
    lease.finish()


def weighted(*weights: int) -> low.LocalityGroup:
    return group(*[endpoint(f"10.0.0.{number}:80", weight=weight) for number, weight in enumerate(weights)])


def order(eng: Any, count: int) -> list[int]:
    return [int(address.rpartition(".")[2]) for address in picks(eng.route(HOST, 80), count)]


@pytest.mark.parametrize("policy", [low.ROUND_ROBIN, low.LEAST_REQUEST])
def test_weighted_order(engine: ModuleType, policy: int) -> None:
    """Envoy's EDF order; the same for LEAST_REQUEST while nothing is active."""
    assert order(balanced(engine, weighted(1, 2, 3), policy=policy), 12) == [2, 1, 2, 0, 1, 2] * 2
    assert order(balanced(engine, weighted(10, 20, 30), policy=policy), 6) == [2, 1, 2, 0, 1, 2]


def test_long_cycles_are_ranked(engine: ModuleType) -> None:
    eng = balanced(engine, weighted(1, 99_999, 100_000))
    found = Counter(order(eng, 2000))
    assert found[1] in (999, 1000, 1001)
    assert found[0] == 0


def test_busy_hosts_get_less(engine: ModuleType) -> None:
    """LEAST_REQUEST, weights 1 and 2: a host with 3 active requests gets a quarter of its turns."""
    eng = balanced(engine, weighted(1, 2), policy=low.LEAST_REQUEST)
    held: list[Any] = []
    while len(held) < 3:
        lease = eng.route(HOST, 80).lease()
        if lease.endpoint.address == "10.0.0.1":
            held.append(lease)
        else:
            lease.finish()
    found = Counter(order(eng, 300))
    assert abs(found[1] - 100) <= 2
    for lease in held:
        lease.finish()


def test_bias(engine: ModuleType) -> None:
    eng = balanced(engine, weighted(1, 2), policy=low.LEAST_REQUEST, active_request_bias=0.0)
    held = [eng.route(HOST, 80).lease() for _ in range(6)]
    assert Counter(order(eng, 300)) == {1: 200, 0: 100}
    for lease in held:
        lease.finish()


def test_random_ignores_weights(engine: ModuleType) -> None:
    eng = balanced(engine, weighted(1, 1000), policy=low.RANDOM)
    assert 400 < Counter(order(eng, 1000))[0] < 600


def test_panic_threshold(engine: ModuleType) -> None:
    half = balanced(engine, hosts(OK, BAD), panic_threshold=50)
    assert set(picks(half.route(HOST, 80), 20)) == {"10.0.0.0"}
    assert half.cluster(NAME).stats["lb_healthy_panic"] == 0
    third = balanced(engine, hosts(OK, BAD, DRAINING, BAD), panic_threshold=50)
    assert Counter(picks(third.route(HOST, 80), 20)) == {f"10.0.0.{number}": 5 for number in range(4)}
    assert third.cluster(NAME).stats["lb_healthy_panic"] == 20


def test_nobody(engine: ModuleType) -> None:
    for given in ((hosts(BAD, BAD),), ()):
        for policy in range(low.CLUSTER_PROVIDED + 1):
            eng = balanced(engine, *given, policy=policy)
            with pytest.raises(NoHealthyEndpoint) as refused:
                eng.route(HOST, 80).pick()
            assert (refused.value.status, refused.value.flags) == (503, "UH")
            assert eng.cluster(NAME).stats["upstream_cx_none_healthy"] == 1


def test_decisions_without_a_cluster(engine: ModuleType) -> None:
    eng = published(
        engine,
        web(HOST, forward("missing")),
        web("r.test", redirect(low.Redirect(path="/"))),
        outbound=low.REGISTRY_ONLY,
    )
    with pytest.raises(EngineError):
        eng.route("r.test", 80).pick()
    for host in (HOST, "unknown.test"):
        with pytest.raises(NoHealthyEndpoint):
            eng.route(host, 80).pick()


def test_locality_weights(engine: ModuleType) -> None:
    given = (
        group("10.0.0.0:80", "10.0.0.1:80", locality="a", weight=1),
        group("10.0.1.0:80", locality="b", weight=3),
    )
    found = Counter(picks(balanced(engine, *given, locality_weighted=True).route(HOST, 80), 80))
    assert found == {"10.0.0.0": 10, "10.0.0.1": 10, "10.0.1.0": 60}
    # Without the policy the weights are ignored.
    found = Counter(picks(balanced(engine, *given).route(HOST, 80), 60))
    assert set(found.values()) == {20}


def test_unset_locality_weights(engine: ModuleType) -> None:
    def run(first: int | None, second: int | None) -> Counter[str]:
        given = (group("10.0.0.0:80", weight=first), group("10.0.1.0:80", "10.0.1.1:80", weight=second))
        return Counter(picks(balanced(engine, *given, locality_weighted=True).route(HOST, 80), 600))

    assert run(1, None) == {"10.0.0.0": 600}
    assert set(run(None, None).values()) == {200}
    assert set(run(0, 0).values()) == {200}


def test_set_health(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(low.UNKNOWN, low.UNKNOWN, OK))
    at = {"10.0.0.0": 0, "10.0.0.1": 1, "10.0.0.2": 2}
    eng.set_health(NAME, "10.0.0.0", 80, BAD)
    assert set(picks(eng.route(HOST, 80), 10)) == {"10.0.0.1", "10.0.0.2"}
    eng.set_health(NAME, "10.0.0.1", 80, OK)
    assert [one.health for one in eng.cluster(NAME).endpoints] == ["unhealthy", "healthy", "healthy"]
    eng.set_health(NAME, "10.0.0.2", 80, DEGRADED)
    assert eng.cluster(NAME).priority_load() == ((50, 50),)
    eng.set_health(NAME, "10.0.0.0", 80, low.UNKNOWN)
    eng.set_health(NAME, "10.0.0.2", 80, low.UNKNOWN)
    assert set(picks(eng.route(HOST, 80), 9)) == set(at)


def test_a_mark_cannot_heal(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(BAD, DRAINING, OK))
    for address in ("10.0.0.0", "10.0.0.1"):
        eng.set_health(NAME, address, 80, OK)
    assert set(picks(eng.route(HOST, 80), 6)) == {"10.0.0.2"}
    assert [one.health for one in eng.cluster(NAME).endpoints] == ["unhealthy", "draining", "healthy"]


def test_endpoint_values(engine: ModuleType) -> None:
    made = low.Endpoint("db.test", 5432, low.HOSTNAME, 7, OK, {"app": "db"}, "db.test")
    unix = low.Endpoint("/run/db.sock", 0, low.UNIX)
    eng = balanced(engine, low.LocalityGroup("r/z/s", 1, 2, (made, unix)))
    first, second = eng.cluster(NAME).endpoints
    assert (first.address, first.port, first.kind, first.weight) == ("db.test", 5432, "hostname", 7)
    assert (first.locality, first.priority, dict(first.labels), first.hostname) == (
        "r/z/s",
        1,
        {"app": "db"},
        "db.test",
    )
    assert first.health == "healthy"
    assert (second.address, second.port, second.kind, second.health) == ("/run/db.sock", 0, "unix", "unknown")
    assert dict(second.labels) == {}


def test_endpoints_are_equal_by_address_and_port(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(OK, OK))
    before = eng.cluster(NAME).endpoints
    assert eng.route(HOST, 80).pick() in before
    eng.update_endpoints(NAME, (hosts(OK, OK, OK),))
    after = eng.cluster(NAME).endpoints
    assert before == after[:2]
    assert hash(before[0]) == hash(after[0])
    assert before[0] != after[1]
    assert before[0] != "10.0.0.0"


def test_exclude(engine: ModuleType) -> None:
    """Other hosts, as often as the route may try; then the last one is used."""
    eng = balanced(engine, hosts(OK, OK, OK))
    first, second, third = eng.cluster(NAME).endpoints
    assert eng.route(HOST, 80).pick(exclude=[first, second]) is third
    assert eng.route(HOST, 80).pick(exclude=(one for one in (first,))) == second
    rule = forward(NAME)._replace(retry_host_attempts=1)
    eng = published(engine, web(HOST, rule, endpoints=(hosts(OK, OK, OK),)))
    first, second, _ = eng.cluster(NAME).endpoints
    assert eng.route(HOST, 80).pick(exclude=[first, second]) == second


@pytest.mark.parametrize("attempts", [-1, 2**16])
def test_as_many_further_picks_are_refused(engine: ModuleType, attempts: int) -> None:
    """One call would be as many picks."""
    with pytest.raises(EngineError, match=r"retry_host_attempts|field 15"):
        published(engine, web(HOST, forward(NAME)._replace(retry_host_attempts=attempts)))


def test_exclude_moves_along_the_ring(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(OK, OK, OK), policy=low.RING_HASH)
    decision = eng.route(HOST, 80)
    first = decision.pick(hash_key=b"key")
    assert decision.pick(hash_key=b"key") is first
    assert decision.pick(hash_key=b"key", exclude=[first]) != first


def test_hash_key(engine: ModuleType) -> None:
    """Bytes are hashed, an int is the hash."""
    for policy in (low.RING_HASH, low.MAGLEV):
        eng = balanced(engine, hosts(OK, OK, OK), policy=policy)
        decision = eng.route(HOST, 80)
        for text, hashed in ((b"", 0xEF46DB3751D8E999), (b"127.0.0.1", 0xC08B1587DF65B7A7)):
            assert decision.pick(hash_key=text) is decision.pick(hash_key=hashed)


def test_without_a_hash_the_first_number_is_it(engine: ModuleType) -> None:
    for policy in (low.RING_HASH, low.MAGLEV):
        eng = balanced(engine, hosts(OK, OK, OK), policy=policy)
        for draw in range(20):
            decision = eng.route(HOST, 80, draw=draw)
            assert decision.hash is None
            assert decision.pick() is eng.route(HOST, 80).pick(hash_key=numbers(draw, 0, 1)[0])


def test_the_hash_chooses_the_priority_too(engine: ModuleType) -> None:
    eng = balanced(engine, hosts(OK, BAD), hosts(OK, OK, priority=1), policy=low.MAGLEV)
    for hashed in range(300):
        assert eng.route(HOST, 80).pick(hash_key=hashed).priority == (0 if hashed % 100 < 70 else 1)


def test_tables_hold_healthy_hosts_only(engine: ModuleType) -> None:
    for policy in (low.RING_HASH, low.MAGLEV):
        eng = balanced(engine, hosts(OK, DEGRADED), policy=policy)
        assert {eng.route(HOST, 80).pick(hash_key=number << 50).address for number in range(300)} == {"10.0.0.0"}
        eng = balanced(engine, hosts(DEGRADED, DEGRADED), policy=policy)
        with pytest.raises(NoHealthyEndpoint):
            eng.route(HOST, 80).pick()
        # In panic everyone is on the table.
        eng = balanced(engine, hosts(OK, BAD, BAD), policy=policy, panic_threshold=50)
        found = {eng.route(HOST, 80).pick(hash_key=number << 50).address for number in range(300)}
        assert len(found) == 3


def test_hash_key_of_an_endpoint(engine: ModuleType) -> None:
    """`Endpoint.hash_key` stands for the address: two clusters whose keys agree pick the same position."""
    plain = balanced(engine, group("10.0.0.1:80", "10.0.0.2:80"), policy=low.RING_HASH)
    named = group(endpoint("192.0.2.1:1", hash_key="10.0.0.1:80"), endpoint("192.0.2.2:1", hash_key="10.0.0.2:80"))
    other = balanced(engine, named, policy=low.RING_HASH)
    for number in range(100):
        key = str(number).encode()
        assert (
            plain.route(HOST, 80).pick(hash_key=key).address[-1] == other.route(HOST, 80).pick(hash_key=key).address[-1]
        )


def test_original_destination(engine: ModuleType) -> None:
    """Resolution NONE: the original destination, else what was asked for with the target port."""
    name = "outbound|80||*.none.test"
    eng = published(
        engine,
        unit(
            "none",
            low.Service(None, "*.none.test", "ns", (), (low.Port(80, "http", low.PROTO_HTTP),)),
            low.Cluster(None, name, low.ORIGINAL_DST, low.LbConfig(policy=low.CLUSTER_PROVIDED), low.Limits(), ()),
            virtual_host(forward(name), domains=("*.none.test",)),
        ),
    )
    found = eng.route("x.none.test:80", 80).pick()
    assert (found.address, found.port, found.kind) == ("x.none.test", 80, "hostname")
    found = eng.route("x.none.test", 80, original_destination=("192.0.2.7", 8080)).pick()
    assert (found.address, found.port, found.kind) == ("192.0.2.7", 8080, "ip")
    found = eng.route("unknown.test", 8081).pick()
    assert (found.address, found.port, found.kind) == ("unknown.test", 8081, "hostname")
    found = eng.route("[2001:db8::1]:99", 99).pick()
    assert (found.address, found.port, found.kind) == ("2001:db8::1", 99, "ip")


def test_port_override_and_dynamic_proxy(engine: ModuleType) -> None:
    lb = low.LbConfig(policy=low.CLUSTER_PROVIDED)
    eng = published(
        engine,
        unit(
            "u",
            low.Cluster(None, "override", low.ORIGINAL_DST, lb, low.Limits(), (), 9090),
            low.Cluster(None, "dynamic", low.DYNAMIC_DNS, lb, low.Limits(), ()),
            virtual_host(forward("override"), domains=("o.test",)),
            virtual_host(forward("dynamic"), domains=("d.test",)),
            virtual_host(forward("dynamic")._replace(host_rewrite="sent.test:8443"), domains=("h.test",)),
        ),
    )
    cases = {
        "o.test": ("o.test", 9090),
        "d.test": ("d.test", 80),
        "d.test:81": ("d.test", 81),
        "h.test": ("sent.test", 8443),
    }
    for host, expected in cases.items():
        found = eng.route(host, 80).pick()
        assert (found.address, found.port) == expected


class Clock:
    """Nanoseconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def shares(eng: Any, count: int) -> dict[str, float]:
    found = Counter(picks(eng.route(HOST, 80), count))
    return {address: number / count for address, number in found.items()}


@pytest.mark.parametrize("policy", [low.ROUND_ROBIN, low.LEAST_REQUEST])
def test_slow_start(engine: ModuleType, policy: int) -> None:
    """Window 60 s: a new host gets the floor of 10 % of its weight, then age / window, then all of it."""
    clock = Clock()
    lb = low.LbConfig(policy=policy, slow_start_window=60.0)
    eng = published(engine, web(HOST, endpoints=(hosts(OK),), lb=lb), clock=clock)
    clock.wait(100)
    eng.update_endpoints(NAME, (hosts(OK, OK),))
    for age, factor in ((3, 0.1), (12, 0.25), (15, 0.5), (29, 59 / 60), (2, 1.0)):
        clock.wait(age)
        assert shares(eng, 4000)["10.0.0.1"] == pytest.approx(factor / (1 + factor), abs=0.005)


def test_slow_start_aggression(engine: ModuleType) -> None:
    clock = Clock()
    lb = low.LbConfig(
        policy=low.ROUND_ROBIN, slow_start_window=60.0, slow_start_aggression=2.0, slow_start_min_percent=20.0
    )
    eng = published(engine, web(HOST, endpoints=(hosts(OK),), lb=lb), clock=clock)
    clock.wait(100)
    eng.update_endpoints(NAME, (hosts(OK, OK),))
    assert shares(eng, 3000)["10.0.0.1"] == pytest.approx(0.2 / 1.2, abs=0.005)
    clock.wait(15)
    assert shares(eng, 3000)["10.0.0.1"] == pytest.approx(0.5 / 1.5, abs=0.005)


def test_slow_start_together_and_after_health(engine: ModuleType) -> None:
    clock = Clock()
    lb = low.LbConfig(policy=low.ROUND_ROBIN, slow_start_window=10.0)
    eng = published(engine, web(HOST, endpoints=(hosts(OK, OK),), lb=lb), clock=clock)
    # All new together: equal shares.
    assert shares(eng, 1000)["10.0.0.0"] == pytest.approx(0.5, abs=0.005)
    clock.wait(20)
    eng.set_health(NAME, "10.0.0.1", 80, BAD)
    clock.wait(20)
    eng.set_health(NAME, "10.0.0.1", 80, OK)
    clock.wait(5)
    assert shares(eng, 3000)["10.0.0.1"] == pytest.approx(1 / 3, abs=0.005)
    clock.wait(5)
    assert shares(eng, 1000)["10.0.0.1"] == 0.5
