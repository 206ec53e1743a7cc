"""What a unit came with is handed back: handles, what its maker makes of them, and policies."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.core.test_route import CLUSTER, HOST, chain_to
from tests.core.units import chain, cluster, forward, prefix, published, service, unit, virtual_host, web

from roadstead import _lowered as low


def test_handles(engine: ModuleType) -> None:
    """What compile made is handed back as it is."""

    rule, host, upstream, owner = object(), object(), object(), object()
    policy = low.ClusterPolicy("pool", None, ("check",), "lb", "tls")
    eng = published(
        engine,
        unit(
            HOST,
            service(HOST, 80, handle=owner),
            cluster(CLUSTER, "10.0.0.1:80", handle=upstream)._replace(policy=policy),
            virtual_host(
                forward(CLUSTER, handle=rule)._replace(policy=low.RoutePolicy(2.5, "retry", "cors")),
                domains=(HOST,),
                handle=host,
            ),
        ),
    )
    decision = eng.route(HOST, 80)
    assert decision.route is rule
    assert decision.virtual_host is host
    assert (decision.timeout, decision.retry, decision.cors) == (2.5, "retry", "cors")
    assert (decision.connection_pool, decision.tls) == ("pool", "tls")
    assert decision.service is not None
    assert decision.service.spec is owner
    assert decision.cluster is not None
    assert decision.cluster is eng.cluster(CLUSTER)
    assert decision.cluster.spec is upstream
    assert (decision.cluster.outlier_detection, decision.cluster.health_checks) == (None, ("check",))
    assert (decision.cluster.load_balancer, decision.cluster.connection_pool) == ("lb", "pool")


def test_without_policies_nothing_is_set(engine: ModuleType) -> None:
    eng = published(engine, web(HOST, forward(CLUSTER)), unit("c", cluster(CLUSTER, "10.0.0.1:80")))
    decision = eng.route(HOST, 80)
    assert (decision.timeout, decision.retry, decision.cors) == (None, None, None)
    assert (decision.connection_pool, decision.tls) == (None, None)
    assert decision.cluster is not None
    assert (decision.cluster.outlier_detection, decision.cluster.health_checks) == (None, ())
    assert decision.cluster.load_balancer is None


def test_the_policy_of_a_connection(engine: ModuleType) -> None:
    """What holds for connections is handed back of those and of no request."""
    terms, name = object(), "outbound|90||db.test"
    db = chain("db.test", 90, name)._replace(policy=low.RoutePolicy(tcp=terms))
    plain = chain("plain.test", 91, name)
    eng = published(engine, unit("db", cluster(name, "10.0.0.1:90"), db, plain), web(HOST, forward(CLUSTER)))
    decision = eng.connect("db.test", 90)
    assert (decision.cluster_name, decision.timeout, decision.retry) == (name, None, None)
    assert decision.tcp_policy is terms
    assert eng.connect("plain.test", 91).tcp_policy is None
    assert eng.connect("unknown.test", 1).tcp_policy is None
    assert eng.route(HOST, 80).tcp_policy is None


class Counting:
    """Makes a new text each time, of what is asked for and how often something was."""

    def __init__(self) -> None:
        self.asked = 0

    def _made(self, what: str, at: int) -> str:
        self.asked += 1
        return f"{what} {at}, {self.asked}"

    def service(self, at: int) -> str:
        return self._made("service", at)

    def cluster(self, at: int) -> str:
        return self._made("cluster", at)

    def virtual_host(self, at: int) -> str:
        return self._made("virtual host", at)

    def route(self, at: int) -> str:
        return self._made("route", at)

    def chain(self, at: int) -> str:
        raise LookupError(f"chain {at}")


def test_a_maker_is_asked_each_time(engine: ModuleType) -> None:
    maker = Counting()
    made = unit(
        HOST,
        service("other.test", 99),
        service(HOST, 80, 81, 90),
        cluster("a", "10.0.0.1:80"),
        cluster(CLUSTER, "10.0.0.1:80"),
        virtual_host(forward("a"), forward("a"), forward("a"), domains=(HOST,), port=81),
        virtual_host(forward("a", path=prefix("/x")), forward(CLUSTER), domains=(HOST,)),
        chain_to("other.test", "a", (), ()),
        chain_to(HOST, "a", (), ("10.0.0.0/8",)),
    )
    eng = published(engine, made._replace(maker=maker))
    decision = eng.route(HOST, 80)
    assert (decision.kind, maker.asked) == ("forward", 0)
    assert (decision.route, decision.route) == ("route 4, 1", "route 4, 2")
    assert decision.virtual_host == "virtual host 1, 3"
    assert decision.cluster is not None
    assert (decision.cluster.spec, decision.cluster.spec) == ("cluster 1, 4", "cluster 1, 5")
    assert decision.service is not None
    assert decision.service.spec == "service 1, 6"
    with pytest.raises(LookupError, match="chain 1"):
        _ = eng.connect("10.1.1.1", 90).route
