"""Units made of a template: what `put_like` makes is what `put` makes of the same unit with its names in place."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.core import units

from roadstead import _lowered as low
from roadstead.errors import EngineError

HOST, VIP, NAMESPACE = (low.place(index) for index in range(3))
POLICY = low.ClusterPolicy("the pool", "the ejection")
TIMES = low.RoutePolicy(3.0, "the retries")
LASTS = low.RoutePolicy(tcp="how long")


class Maker:
    """Says what it is asked for, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def _said(self, piece: str, at: int) -> object:
        self.asked += 1
        return piece, at

    def service(self, at: int) -> object:
        return self._said("service", at)

    def cluster(self, at: int) -> object:
        return self._said("cluster", at)

    def virtual_host(self, at: int) -> object:
        return self._said("virtual host", at)

    def route(self, at: int) -> object:
        return self._said("route", at)

    def chain(self, at: int) -> object:
        return self._said("chain", at)


def written(host: str, vip: str, namespace: str, maker: low.Maker | None = None) -> low.Unit:
    """A unit with every kind of part, names wherever they may stand."""
    cluster = f"outbound|80||{host}"
    labels = {"v": "1"}
    endpoints = (low.Endpoint(vip, 80, labels=labels), low.Endpoint(host, 81, low.HOSTNAME, hostname=host))
    policy = low.LbConfig(low.ROUND_ROBIN)
    groups = (low.LocalityGroup("here", 0, 1, endpoints),)
    routes = (
        low.Route(
            None,
            low.Match(units.prefix("/old")),
            low.REDIRECT,
            redirect=low.Redirect("https", host, 0, "/new"),
        ),
        low.Route(
            None,
            low.Match(None),
            low.FORWARD,
            (low.Destination(cluster, 1, host_rewrite=host), low.Destination(f"other|{host}", 1)),
            host_rewrite=host,
            mirrors=(low.Mirror(f"other|{host}", 1_000_000),),
            policy=TIMES,
        ),
    )
    return low.Unit(
        host,
        f"0\0{host}\0{namespace}",
        (low.Service(None, host, namespace, (vip,), (low.Port(80, "http", low.PROTO_HTTP), low.Port(90, "tcp", 1))),),
        (
            low.Cluster(None, cluster, low.STRICT_DNS, policy, low.Limits(), groups, 0, POLICY),
            low.Cluster(None, f"other|{host}", low.EDS, policy, low.Limits(7), ()),
        ),
        (low.VirtualHost(None, 80, ((host, 0), (f"{host}.", 2), (vip, 3)), routes, False, (vip,)),),
        (low.Chain(None, host, 90, (vip,), (f"{vip}/32",), (host,), 0, (low.Destination(cluster, 0),), (), LASTS),),
        maker,
    )


def answers(engine: object) -> list[object]:
    """What an engine says of two hosts, in texts."""
    said: list[object] = []
    for host, vip in (("a.test", "10.0.0.1"), ("b.test", "10.0.0.2")):
        for asked in (host, vip, f"{host}."):
            found = engine.find(asked, 80)  # type: ignore[attr-defined]
            said.append((found.host, found.namespace, found.addresses, found.ports, found.spec))
            for path in ("/", "/old"):
                decision = engine.route(asked, 80, path, draw=5)  # type: ignore[attr-defined]
                said.append((decision.kind, decision.cluster_name, decision.authority, decision.redirect))
                said.append((decision.route, decision.virtual_host, decision.mirrors, decision.reasons))
                said.append((decision.timeout, decision.retry))
        connection = engine.connect(vip, 90, sni=host, draw=5)  # type: ignore[attr-defined]
        said.append((connection.kind, connection.cluster_name, connection.route, connection.tcp_policy))
        for name in (f"outbound|80||{host}", f"other|{host}"):
            cluster = engine.cluster(name)  # type: ignore[attr-defined]
            ends = [(one.address, one.port, one.kind, one.hostname, dict(one.labels)) for one in cluster.endpoints]
            said.append((cluster.name, cluster.spec, cluster.connection_pool, cluster.outlier_detection, ends))
    return said


def test_what_is_put_like_a_template_is_what_is_put(engine: ModuleType) -> None:
    one, other = engine.Engine(seed=1), engine.Engine(seed=1)
    hosts = [("a.test", "10.0.0.1", "here"), ("b.test", "10.0.0.2", "there")]
    units.publish(one, *[written(*names, Maker()) for names in hosts])
    template = other.template(written(HOST, VIP, NAMESPACE))
    builder = other.builder()
    for names in hosts:
        builder.put_like(template, names, Maker())
    other.publish(builder)
    assert answers(one) == answers(other)


def test_it_takes_the_place_of_a_unit_and_goes_like_one(engine: ModuleType) -> None:
    made = engine.Engine(seed=1)
    units.publish(made, written("a.test", "10.0.0.9", "before"))
    builder = made.builder()
    builder.put_like(made.template(written(HOST, VIP, NAMESPACE)), ("a.test", "10.0.0.1", "after"), Maker())
    made.publish(builder)
    assert made.find("a.test", 80).namespace == "after"
    assert made.find("10.0.0.9", 80) is None
    units.publish(made, delete=["a.test"])
    assert made.find("a.test", 80) is None


def test_nothing_is_made_before_it_is_read(engine: ModuleType) -> None:
    maker = Maker()
    made = engine.Engine(seed=1)
    builder = made.builder()
    builder.put_like(made.template(written(HOST, VIP, NAMESPACE)), ("a.test", "10.0.0.1", "here"), maker)
    made.publish(builder)
    decision = made.route("a.test", 80, draw=5)
    assert (decision.kind, decision.cluster.name, decision.timeout) == ("forward", "other|a.test", 3.0)
    assert [one.labels for one in made.cluster("outbound|80||a.test").endpoints] == [{"v": "1"}, {}]
    assert maker.asked == 0
    assert (decision.cluster.spec, decision.route) == (("cluster", 1), ("route", 1))
    assert maker.asked == 2


@pytest.mark.parametrize(
    "route",
    [
        units.forward("c", path=units.prefix(HOST)),
        units.forward("c")._replace(request_ops=(low.HeaderOp(low.SET, "x", HOST),)),
        units.forward("c")._replace(prefix_rewrite=HOST),
        units.forward("c")._replace(hash_policies=(low.HashPolicy(low.HASH_HEADER, HOST),)),
    ],
)
def test_where_no_name_may_stand_a_template_is_refused(engine: ModuleType, route: low.Route) -> None:
    unit = units.unit(HOST, units.virtual_host(route, domains=(HOST,)))
    with pytest.raises(EngineError, match="no names"):
        engine.Engine().template(unit)


def test_a_bad_unit_changes_nothing(engine: ModuleType) -> None:
    made = engine.Engine()
    builder = made.builder()
    with pytest.raises(EngineError):
        builder.put_like(made.template(written(HOST, VIP, NAMESPACE)), ("a.test", "no address", "here"), Maker())
    made.publish(builder)
    assert made.find("a.test", 80) is None
