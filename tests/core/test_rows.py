"""Units put as columns: whatever comes before, after and in between, the engine answers as if each were put by itself."""

from __future__ import annotations

import random
from array import array
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import ENGINES
from tests.core import units
from tests.core.test_template import Maker

from roadstead import _lowered as low
from roadstead import core
from roadstead.errors import EngineError

HOST, VIP = low.place(0), low.place(1)
NAMES = ("a.test", "b.test", "c.test", "d.a.test", "e.b.test", "10.0.0.7")
VIPS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.4")
ASKED = (
    *NAMES, *VIPS, "a.test.", "B.test", "x.a.test", "y.x.b.test", "test", "f.test", "a.test:80", "10.0.0.9", "",
)  # fmt: skip


class Told(Maker):
    """Says whose unit it makes the parts of."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def _said(self, piece: str, at: int) -> object:
        return piece, at, *self.names


def http(host: str, vip: str) -> low.Unit:
    """What most hosts are."""
    name = f"outbound|80||{host}"
    return low.Unit(
        host,
        f"1\0{host}",
        (units.service(host, 80, (443, low.PROTO_TLS)),),
        (units.cluster(name, low.Endpoint(vip, 80)), units.cluster(f"outbound|443||{host}")),
        (units.virtual_host(units.forward(name), domains=(host, (f"{host}.", 2))),),
        (units.chain(host, 443, f"outbound|443||{host}", snis=(host,)),),
    )


def listening(host: str, vip: str) -> low.Unit:
    """With an address, where it listens itself."""
    unit = http(host, vip)
    hosts = (unit.virtual_hosts[0]._replace(domains=((host, 1), (vip, 4)), addresses=(vip,)),)
    chains = (
        units.chain(host, 443, f"outbound|443||{host}", addresses=(vip,)),
        units.chain(host, 90, f"outbound|80||{host}", addresses=(vip,), snis=(host,)),
    )
    services = (units.service(host, 80, (443, low.PROTO_TLS), addresses=(vip,)),)
    return unit._replace(services=services, virtual_hosts=hosts, chains=chains)


def wildcard(host: str, vip: str) -> low.Unit:
    return http(f"*.{host}", vip)


def elsewhere(host: str, vip: str) -> low.Unit:
    """Leads to a cluster of somebody else, which columns cannot."""
    unit = http(host, vip)
    route = units.forward(("outbound|80||a.test", 1), (f"outbound|80||{host}", 1))
    return unit._replace(virtual_hosts=(units.virtual_host(route, domains=(host,)),))


def crossing(host: str, vip: str) -> low.Unit:
    """Everything on a port of everybody."""
    return http(host, vip)._replace(chains=(units.chain(host, 91, f"outbound|443||{host}", cidrs=(f"{vip}/32",)),))


def policies(host: str, vip: str) -> low.Unit:
    """Rules, a mirror, a port of HTTPS that rules hold for."""
    unit = http(host, vip)
    name = f"outbound|80||{host}"
    rule = units.forward((name, 3), (f"outbound|443||{host}", 1), path=units.regex("/a+"))
    other = units.forward(name)._replace(mirrors=(low.Mirror(f"outbound|443||{host}", 1_000_000),), host_rewrite=host)
    away = units.redirect(low.Redirect("https", host), path=units.exact("/away"))
    plain, over_tls = (
        units.virtual_host(rule, away, other, domains=(host,), port=port, tls=port == 443) for port in (80, 443)
    )
    return unit._replace(virtual_hosts=(plain, over_tls._replace(addresses=("",))))


SHAPES = (http, listening, wildcard, elsewhere, crossing, policies)


class Side:
    """An engine, and how it is told of rows: all at once, or one by one."""

    def __init__(self, module: ModuleType, at_once: bool) -> None:
        self.module = module
        self.engine: Any = module.Engine(seed=3)
        self.templates = {shape: self.engine.template(shape(HOST, VIP)) for shape in SHAPES}
        self.at_once = at_once

    def put(self, builder: Any, shape: Any, rows: list[tuple[str, str]]) -> None:
        if self.at_once:
            columns = [self.module.HostColumn(column) for column in zip(*rows, strict=True)]
            builder.put_rows(self.templates[shape], columns, [Told(*row) for row in rows])
        else:
            for row in rows:
                builder.put_like(self.templates[shape], row, Told(*row))

    def answers(self, chance: random.Random) -> list[object]:
        said: list[object] = []
        engine = self.engine
        for host in chance.sample(ASKED, 8):
            for port in (80, 443, 90, 91):
                said.append(found(engine.find(host, port)))
                draw = chance.getrandbits(64)
                path = chance.choice(("/", "/aa", "/away"))
                scheme = chance.choice((None, "http", "https"))
                dialled = chance.choice((None, None, (chance.choice(VIPS), port)))
                asked = {"scheme": scheme, "original_destination": dialled, "draw": draw}
                said.append(decided(engine.route(host, port, path, **asked)))
                sni = chance.choice((None, *NAMES, "x.a.test"))
                said.append(decided(engine.connect(host, port, sni=sni, draw=draw)))
        for name in NAMES:
            for cluster in (f"outbound|80||{name}", f"outbound|443||{name}", f"outbound|80||*.{name}", name):
                known = engine.cluster(cluster)
                said.append(known and (known.name, known.spec, [one.address for one in known.endpoints]))
        said.append(self.many())
        return said

    def many(self) -> list[object]:
        """By columns: what the indices stand for."""
        out, ports = array("i", [0] * len(ASKED)), array("H", [80] * len(ASKED))
        column, draws = self.module.HostColumn(ASKED), array("Q", range(len(ASKED)))
        self.engine.find_many(column, ports, out)
        services = self.engine.services()
        said: list[object] = [found(None if at < 0 else services[at]) for at in out]
        self.engine.route_many(column, ports, out, draws=draws)
        clusters = self.engine.clusters()
        return [*said, *[None if at < 0 else clusters[at].name for at in out]]


def found(service: Any) -> object:
    return service and (service.host, service.namespace, service.addresses, service.ports, service.spec)


def decided(decision: Any) -> object:
    picked = None
    if decision.cluster is not None and decision.cluster.endpoints:
        picked = decision.pick().address
    return (
        decision.kind, decision.cluster_name, decision.cluster and decision.cluster.spec, decision.route, picked,
        decision.virtual_host, decision.authority, decision.mirrors, found(decision.service), decision.reasons,
    )  # fmt: skip


def change(chance: random.Random, sides: list[Side]) -> None:
    """One change of a few steps, the same on both."""
    builders = [side.engine.builder() for side in sides]
    for _ in range(chance.randint(1, 4)):
        way = chance.random()
        if way < 0.55:
            shape = chance.choice(SHAPES)
            count = chance.randint(1, 5)
            rows = [(chance.choice(NAMES), chance.choice(VIPS)) for _ in range(count)]
            for side, builder in zip(sides, builders, strict=True):
                side.put(builder, shape, rows)
        elif way < 0.75:
            key = chance.choice(("", "", "*.")) + chance.choice(NAMES)
            for builder in builders:
                builder.delete(key)
        else:
            unit = chance.choice(SHAPES)(chance.choice(NAMES), chance.choice(VIPS))
            unit = unit._replace(key=chance.choice((unit.key, "another")), order=chance.choice(("0", "2")))
            for builder in builders:
                builder.put(unit)
    for side, builder in zip(sides, builders, strict=True):
        side.engine.publish(builder)


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_columns_are_units_one_by_one(name: str, seed: int) -> None:
    engine = core.engine(name)
    chance = random.Random(seed)
    sides = [Side(engine, at_once) for at_once in (True, False)]
    for _ in range(chance.randint(1, 6)):
        change(chance, sides)
        asked = chance.getrandbits(64)
        one, other = (side.answers(random.Random(asked)) for side in sides)
        assert one == other


def rows_of(engine: ModuleType, made: Any, shape: Any, rows: list[tuple[str, str]]) -> None:
    builder = made.builder()
    builder.put_rows(made.template(shape(HOST, VIP)), [engine.HostColumn(one) for one in zip(*rows, strict=True)])
    made.publish(builder)


ROWS = [("a.test", "10.0.0.1"), ("b.test", "10.0.0.2"), ("c.test", "10.0.0.3")]


def test_what_was_handed_out_stays_the_same(engine: ModuleType) -> None:
    """Also when something comes in the way of a row, and what lives in its clusters goes on."""
    made = engine.Engine(seed=1)
    rows_of(engine, made, http, ROWS)
    service, cluster = made.find("b.test", 80), made.cluster("outbound|80||b.test")
    assert made.find("B.test.", 443) is service
    assert made.find("b.test", 80).spec is None
    lease = made.route("b.test", 80).lease()
    units.publish(made, units.unit("other", units.virtual_host(units.forward("x"), domains=("b.test",), port=81)))
    assert made.find("b.test", 80) is service
    assert made.cluster("outbound|80||b.test") is cluster
    assert made.services()[1] is service
    assert cluster.stats["upstream_rq_active"] == 1
    lease.finish(status=200)
    assert cluster.stats["upstream_rq_active"] == 0


def test_a_unit_that_takes_the_place_of_a_row_takes_over_what_lives_there(engine: ModuleType) -> None:
    made = engine.Engine(seed=1)
    rows_of(engine, made, http, ROWS)
    lease = made.route("b.test", 80).lease()
    units.publish(made, http("b.test", "10.0.0.2"))
    assert made.cluster("outbound|80||b.test").stats["upstream_rq_active"] == 1
    rows_of(engine, made, http, ROWS)
    assert made.cluster("outbound|80||b.test").stats["upstream_rq_active"] == 1
    lease.finish(status=200)
    assert made.cluster("outbound|80||b.test").stats["upstream_rq_active"] == 0


def test_endpoints_and_health_of_a_row(engine: ModuleType) -> None:
    made = engine.Engine(seed=1)
    rows_of(engine, made, http, ROWS)
    made.update_endpoints("outbound|80||c.test", (units.group("10.9.0.1:80", "10.9.0.2:80"),))
    made.set_health("outbound|80||c.test", "10.9.0.1", 80, low.UNHEALTHY)
    assert {made.route("c.test", 80).pick().address for _ in range(4)} == {"10.9.0.2"}
    # An older view goes on as it was.
    before = made.route("c.test", 80)
    units.publish(made, delete=["c.test", "a.test", "b.test"])
    assert before.pick().address == "10.9.0.2"
    assert made.route("c.test", 80).kind == "passthrough"
    assert list(filter(None, made.services())) == []


def test_a_bad_row_changes_nothing(engine: ModuleType) -> None:
    made = engine.Engine()
    template = made.template(listening(HOST, VIP))
    builder = made.builder()
    for vips, message in (
        (["10.0.0.1", "no address", "10.0.0.3"], "row 1: 'no address'|row 1: \"no address\""),
        (["10.0.0.1", "10.0.0.2"], "one length"),
    ):
        columns = [engine.HostColumn(["a.test", "b.test", "c.test"]), engine.HostColumn(vips)]
        with pytest.raises(EngineError, match=message):
            builder.put_rows(template, columns)
    with pytest.raises(EngineError, match="a column for each name"):
        builder.put_rows(template, [engine.HostColumn(["a.test"])])
    with pytest.raises(EngineError, match="2 makers"):
        builder.put_rows(made.template(http(HOST, "10.0.0.1")), [engine.HostColumn(["a.test"])], [Maker(), Maker()])
    builder.put_rows(template, [engine.HostColumn([]), engine.HostColumn([])])
    made.publish(builder)
    assert made.find("a.test", 80) is None


def test_nothing_is_made_before_it_is_read(engine: ModuleType) -> None:
    made = engine.Engine(seed=1)
    builder = made.builder()
    makers = [Told(*row) for row in ROWS]
    columns = [engine.HostColumn(column) for column in zip(*ROWS, strict=True)]
    builder.put_rows(made.template(http(HOST, VIP)), columns, makers)
    made.publish(builder)
    decision = made.route("b.test", 80)
    assert (decision.kind, decision.cluster.name) == ("forward", "outbound|80||b.test")
    assert decision.route == ("route", 0, "b.test", "10.0.0.2")
    assert decision.cluster.spec == ("cluster", 0, "b.test", "10.0.0.2")


def test_the_last_row_of_a_key_counts(engine: ModuleType) -> None:
    """Also where something is in the way of an earlier one."""
    made = engine.Engine(seed=1)
    rows = [("a.test", "10.0.0.2"), ("b.test", "10.0.0.2"), ("a.test", "10.0.0.4"), ("b.test", "10.0.0.1")]
    rows_of(engine, made, listening, rows)
    assert [made.find(host, 80).addresses for host in ("a.test", "b.test")] == [("10.0.0.4",), ("10.0.0.1",)]
    assert made.find("10.0.0.2", 80) is None
