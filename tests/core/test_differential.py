"""The native engine against the fallback: equal decisions and picks after every edit, and a million in one go.

`ROADSTEAD_TEST_DECISIONS` (default 1,000,000) is how many the bulk run makes; a smaller number is a quicker slice."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import ENGINES
from tests.core.generate import Connection, Mesh, Request, features

from roadstead import _lowered as low
from roadstead import core
from roadstead.errors import EngineError, Unavailable

DECISIONS = int(os.environ.get("ROADSTEAD_TEST_DECISIONS", "1000000"))
PARTS = 16
MESH = 2_000
"""Decisions on one mesh."""
REPRESENTATIVE = 1_000_000 // PARTS
"""Fewer in a part need not use every feature."""
# Where only one engine is there it is compared with itself: repeatable at least.
FIRST, SECOND = (ENGINES[0], ENGINES[-1])


ENDS: tuple[dict[str, Any], ...] = (
    *[{"status": status} for status in (200, 429, 500, 503, 503)],
    *[{"error": error} for error in ("connect_failure", "reset", "timeout", "other")],
    {"grpc_status": 14},
    {},
)


class Clock:
    """Nanoseconds that pass when told; both engines read it."""

    def __init__(self) -> None:
        self.now = 10**12

    def __call__(self) -> int:
        return self.now


class Pair:
    """Two engines that are told and asked the same."""

    def __init__(self, chance: random.Random, units: int) -> None:
        self.chance = chance
        self.mesh = Mesh(chance)
        self.clock = Clock()
        self.engines = [core.engine(name).Engine(seed=7, clock=self.clock) for name in (FIRST, SECOND)]
        self.leases: list[tuple[Any, Any]] = []
        self.hits: Counter[Any] = Counter()
        while len(self.mesh.units) < units:
            self.edit()

    def edit(self) -> None:
        """The same change in both, or the same refusal."""
        self.clock.now += self.chance.choice((0, 10**6, 4 * 10**9))
        if self.chance.random() < 0.5:
            due = [engine.sweep() for engine in self.engines]
            assert due[0] == due[1]
        change = self.mesh.edit()
        outcomes = []
        for engine in self.engines:
            try:
                change.apply(engine)
                outcomes.append("done")
            except (KeyError, EngineError) as refused:
                outcomes.append(type(refused).__name__)
        assert outcomes[0] == outcomes[1], change.name
        assert self.engines[0].version == self.engines[1].version

    def decide(self, request: Request | Connection, draw: int) -> None:
        """The same decision of both, and the same use of it."""
        first, second = [ask(engine, request, draw) for engine in self.engines]
        told, again = seen(first), seen(second)
        assert told == again, request
        self.hits[first.kind] += 1
        self.hits[told[-1][0].split(":")[1]] += 1
        if first.route is not None:
            self.hits[first.route] += 1
        if first.cluster is not None:
            self.use(first, second)

    def use(self, first: Any, second: Any) -> None:
        """A pick (or three), a lease that stays for a while, or a pick of another endpoint."""
        self.hits[first.cluster.spec] += 1
        way = self.chance.random()
        if way < 0.1:
            options = {"retry": self.chance.random() < 0.3, "pending": self.chance.random() < 0.1}
            leases = [attempt(decision.lease, **options) for decision in (first, second)]
            assert leases[0][0] == leases[1][0]
            if leases[0][1] is not None:
                self.leases.append((leases[0][1], leases[1][1]))
        elif way < 0.2:
            key: bytes | int = self.chance.choice((b"key", self.chance.getrandbits(64)))
            assert picked(first, hash_key=key) == picked(second, hash_key=key)
        elif way < 0.3:
            excluded = [attempt(decision.pick) for decision in (first, second)]
            assert excluded[0][0] == excluded[1][0]
            if excluded[0][1] is not None:
                assert picked(first, exclude=[excluded[0][1]]) == picked(second, exclude=[excluded[1][1]])
        else:
            assert picked(first) == picked(second)
        if len(self.leases) > self.chance.randint(0, 40):
            self.finish()

    def finish(self) -> None:
        """The end of a lease, as outlier detection tells ends apart."""
        leases = self.leases.pop(self.chance.randrange(len(self.leases)))
        if self.chance.random() < 0.2:
            told = [attempt(lease.ready)[0] for lease in leases]
            assert told[0] == told[1]
        how = self.chance.choice(ENDS)
        for lease in leases:
            lease.finish(**how)

    def compare(self) -> None:
        """Everything that can be listed."""
        for name in ("services", "clusters"):
            listed = [
                [one and (getattr(one, "host", "") or one.name) for one in getattr(engine, name)()]
                for engine in self.engines
            ]
            assert listed[0] == listed[1]
        for cluster in self.engines[0].clusters():
            if cluster is not None:
                assert cluster_seen(self.engines[0].cluster(cluster.name)) == cluster_seen(
                    self.engines[1].cluster(cluster.name)
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """No lease stays open, whatever went wrong."""
        while self.leases:
            self.finish()
        if kind is None:
            self.compare()


def ask(engine: Any, request: Request | Connection, draw: int) -> Any:
    if isinstance(request, Connection):
        host, port, sni, source = request
        return engine.connect(host, port, sni=sni, source_ip=source, draw=draw)
    host, port_or_none, path, method, headers, scheme, source, original = request
    return engine.route(
        host,
        port_or_none,
        path,
        method,
        headers,
        scheme=scheme,
        source_ip=source,
        original_destination=original,
        draw=draw,
    )


def seen(decision: Any) -> tuple[Any, ...]:
    """All that a decision tells, reasons last."""
    service = decision.service
    return (
        decision.kind,
        decision.cluster_name,
        decision.route,
        decision.virtual_host,
        decision.route_index,
        decision.destination_index,
        decision.status,
        decision.flags,
        service and (service.host, service.ports, service.addresses),
        decision.path,
        decision.authority,
        decision.request_headers,
        decision.response_headers,
        decision.redirect,
        decision.direct_response,
        decision.fault,
        decision.mirrors,
        decision.set_cookies,
        decision.hash,
        decision.application_tls,
        decision.draw,
        decision.reasons,
    )


def attempt(work: Any, **options: Any) -> tuple[Any, Any]:
    """(what came out, the object itself or None)."""
    try:
        made = work(**options)
    except (Unavailable, EngineError) as refused:
        return (type(refused).__name__, getattr(refused, "limit", "")), None
    return endpoint_seen(getattr(made, "endpoint", made)), made


def picked(decision: Any, **options: Any) -> Any:
    return attempt(decision.pick, **options)[0]


def endpoint_seen(one: Any) -> tuple[Any, ...]:
    if one is None:
        return ()
    return one.address, one.port, one.kind, one.locality, one.priority, one.weight, one.health, one.hostname


def cluster_seen(cluster: Any) -> tuple[Any, ...]:
    return (
        cluster.name,
        cluster.spec,
        cluster.stats,
        cluster.priority_load(),
        cluster.endpoint_stats(),
        [endpoint_seen(one) for one in cluster.endpoints],
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), units=st.integers(1, 6), rounds=st.lists(st.integers(1, 12), max_size=12))
def test_equal_after_every_edit(seed: int, units: int, rounds: list[int]) -> None:
    """rounds: requests after each edit."""
    chance = random.Random(seed)
    with Pair(chance, units) as pair:
        for requests in rounds:
            pair.edit()
            for _ in range(requests):
                request = pair.mesh.request() if chance.random() < 0.8 else pair.mesh.connection()
                pair.decide(request, chance.getrandbits(64))
                told = [list(map(tuple, engine.explain(ask(engine, request, 1)))) for engine in pair.engines]
                assert told[0] == told[1]
            pair.compare()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), units=st.integers(1, 12))
def test_from_scratch_is_equal(seed: int, units: int) -> None:
    """Whatever edits led there, the tables are those of the units that are left."""
    chance = random.Random(seed)
    pair = Pair(chance, units)
    for _ in range(8):
        pair.edit()
    for engine, name in zip(pair.engines, (FIRST, SECOND), strict=True):
        fresh = core.engine(name).Engine(seed=7)
        builder = fresh.builder()
        builder.set_outbound(low.ALLOW_ANY)
        for unit in pair.mesh.units.values():
            builder.put(unit)
        fresh.publish(builder)
        again = engine.builder()
        again.set_outbound(low.ALLOW_ANY)
        engine.publish(again)
        for _ in range(40):
            request = pair.mesh.request() if chance.random() < 0.8 else pair.mesh.connection()
            draw = chance.getrandbits(64)
            assert seen(ask(fresh, request, draw)) == seen(ask(engine, request, draw)), name


KINDS = ("forward", "redirect", "direct_response", "passthrough", "refused", "not_found", "no_cluster")
HOST_REASONS = ("exact", "wildcard", "vip", "cidr", "unknown")


@pytest.mark.parametrize("part", range(PARTS))
def test_a_million_decisions(part: int, record_property: Callable[[str, object], None]) -> None:
    """In parts, for several processes; each must make its share of a thousand uses of every feature."""
    count, seed = DECISIONS // PARTS, 20_000 + part
    record_property("seed", seed)
    chance = random.Random(seed)
    hits: Counter[Any] = Counter()
    for done in range(0, count, MESH):
        with Pair(chance, 12) as pair:
            requests = [
                pair.mesh.request() if chance.random() < 0.85 else pair.mesh.connection() for _ in range(MESH // 4)
            ]
            for _ in range(min(MESH, count - done)):
                if chance.random() < 0.004:
                    pair.edit()
                pair.decide(chance.choice(requests), chance.getrandbits(64))
        hits += pair.hits
    used: Counter[str] = Counter()
    for key, number in hits.items():
        for feature in {key} if isinstance(key, str) else set(key or ()):
            used[feature] += number
    print(f"seed {seed}: {count} decisions, features used {dict(sorted(used.items()))}")  # noqa: T201
    if count >= REPRESENTATIVE:
        wanted = features() | set(KINDS) | set(HOST_REASONS)
        assert not {feature: used[feature] for feature in wanted if used[feature] < 1_000 / PARTS}, f"seed {seed}"
