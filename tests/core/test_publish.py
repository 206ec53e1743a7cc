"""Changes: claims on names, takeover when a unit goes, what survives, what is refused."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.units import (
    chain,
    cluster,
    forward,
    group,
    header,
    picks,
    prefix,
    publish,
    published,
    redirect,
    regex,
    service,
    unit,
    virtual_host,
    web,
)

from roadstead import _lowered as low
from roadstead.errors import EngineError


def domain(key: str, name: str, tier: int, order: str) -> low.Unit:
    """A unit with a claim on a domain; its route's handle is its key."""
    return unit(key, virtual_host(forward("c", handle=key), domains=((name, tier),)), order=order)


def owner(eng: Any, name: str = "x.test") -> object:
    return eng.route(name, 80).route


def test_version_counts(engine: ModuleType) -> None:
    eng = engine.Engine()
    assert eng.version == 0
    publish(eng)
    assert eng.version == 1
    publish(eng, web("a.test"))
    assert eng.version == 2


def test_nothing_is_seen_before_publish(engine: ModuleType) -> None:
    eng = engine.Engine()
    builder = eng.builder()
    builder.put(web("a.test"))
    assert eng.find("a.test", 80) is None
    assert eng.cluster("outbound|80||a.test") is None
    eng.publish(builder)
    assert eng.find("a.test", 80) is not None


def test_only_the_newest_builder_is_published(engine: ModuleType) -> None:
    eng = engine.Engine()
    first, second = eng.builder(), eng.builder()
    first.put(web("a.test"))
    second.put(web("b.test"))
    eng.publish(second)
    with pytest.raises(EngineError):
        eng.publish(first)
    with pytest.raises(EngineError):
        eng.publish(second)
    assert eng.version == 1
    assert eng.find("a.test", 80) is None


def test_a_published_builder_is_used_up(engine: ModuleType) -> None:
    eng = engine.Engine()
    builder = eng.builder()
    eng.publish(builder)
    with pytest.raises(EngineError):
        builder.put(web("a.test"))
    with pytest.raises(EngineError):
        builder.delete("a.test")
    with pytest.raises(EngineError):
        builder.set_outbound(low.REGISTRY_ONLY)


def test_memory_is_given_back_and_nothing_changes(engine: ModuleType) -> None:
    eng = published(engine, domain("a", "x.test", 0, "1"))
    eng.trim()
    assert owner(eng) == "a"


class Unknown:
    """What compile makes of a cluster of the outbound policy."""

    tls, connection_pool = "tls", "pool"


def test_clusters_of_the_outbound_policy_come_with_what_compile_made(engine: ModuleType) -> None:
    eng = engine.Engine()
    assert eng.connect("192.0.2.1", 80).tls is None
    straight, by_name = Unknown(), Unknown()
    for policy, spec in ((low.ALLOW_ANY, straight), (low.ALLOW_ANY_DYNAMIC_DNS, by_name)):
        builder = eng.builder()
        builder.set_outbound(policy, passthrough=straight, dynamic=by_name)
        eng.publish(builder)
        decision = eng.route("unknown.test", 80)
        assert (decision.kind, decision.tls, decision.connection_pool) == ("passthrough", "tls", "pool")
        assert decision.cluster.spec is spec
    before = eng.connect("192.0.2.1", 80).cluster
    assert before.spec is straight
    # The same again, or nothing, leaves the object.
    for given in ({"passthrough": straight}, {}):
        builder = eng.builder()
        builder.set_outbound(low.ALLOW_ANY, **given)
        eng.publish(builder)
        assert eng.connect("192.0.2.1", 80).cluster is before
    builder = eng.builder()
    builder.set_outbound(low.ALLOW_ANY, passthrough=by_name)
    eng.publish(builder)
    after = eng.connect("192.0.2.1", 80).cluster
    assert (after.spec, before.spec) == (by_name, straight)


def test_tier_then_order_then_key(engine: ModuleType) -> None:
    eng = published(engine, domain("c", "x.test", 1, "0"), domain("b", "x.test", 0, "2"), domain("a", "x.test", 0, "3"))
    assert owner(eng) == "b"
    publish(eng, delete=["b"])
    assert owner(eng) == "a"
    publish(eng, delete=["a"])
    assert owner(eng) == "c"
    publish(eng, domain("e", "x.test", 1, "0"), domain("d", "x.test", 1, "0"))
    assert owner(eng) == "c"
    publish(eng, delete=["c"])
    assert owner(eng) == "d"
    publish(eng, delete=["d", "e"])
    assert owner(eng) is None


def test_services_of_one_name(engine: ModuleType) -> None:
    """The older unit has the name and port; another port of the same name is the younger's."""
    older = unit("older", service("x.test", 80), order="1")
    younger = unit("younger", service("x.test", 80, 81), order="2")
    younger = younger._replace(services=(younger.services[0]._replace(namespace="young"),))
    eng = published(engine, younger, older)
    assert [eng.find("x.test", port).namespace for port in (80, 81)] == ["ns", "young"]
    publish(eng, delete=["older"])
    assert eng.find("x.test", 80).namespace == "young"


def test_clusters_of_one_name(engine: ModuleType) -> None:
    older = unit("older", cluster("c", "10.0.0.1:1"), order="1")
    younger = unit("younger", cluster("c", "10.0.0.2:1"), order="2")
    route = domain("r", "x.test", 0, "0")
    eng = published(engine, younger, older, route)
    assert picks(eng.route("x.test", 80), 2) == ["10.0.0.1"] * 2
    publish(eng, delete=["older"])
    assert picks(eng.route("x.test", 80), 2) == ["10.0.0.2"] * 2
    publish(eng, older)
    assert picks(eng.route("x.test", 80), 2) == ["10.0.0.1"] * 2


def test_a_rival_does_not_undo_an_update(engine: ModuleType) -> None:
    older = unit("older", cluster("c", "10.0.0.1:1"), order="1")
    eng = published(engine, older, domain("r", "x.test", 0, "0"))
    eng.update_endpoints("c", (group("10.0.0.9:1"),))
    publish(eng, unit("younger", cluster("c", "10.0.0.2:1"), order="2"))
    assert picks(eng.route("x.test", 80), 1) == ["10.0.0.9"]


def test_replacing_a_unit(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"), unit("u", service("one.test", 80), service("two.test", 80)))
    publish(eng, unit("u", service("two.test", 81), service("three.test", 80)))
    found = [eng.find(name, port) is not None for name in ("one.test", "two.test", "three.test") for port in (80, 81)]
    assert found == [False, False, False, True, True, False]
    assert eng.find("a.test", 80) is not None


def test_a_decision_keeps_its_snapshot(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    decision = eng.route("a.test", 80, "/x")
    publish(eng, delete=["a.test"])
    assert (decision.kind, decision.cluster_name, decision.path) == ("forward", "outbound|80||a.test", "/x")
    assert decision.reasons == ("host:exact", "route:0")
    assert decision.pick().address == "10.0.0.1"


def test_indices_of_services_and_clusters(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"), web("b.test"), web("c.test"))
    names = ["a.test", "b.test", "c.test"]
    assert [one.host for one in eng.services()] == names
    assert [one.name for one in eng.clusters()] == [f"outbound|80||{name}" for name in names]
    publish(eng, delete=["b.test"])
    assert [one and one.host for one in eng.services()] == ["a.test", None, "c.test"]
    assert [one and one.name for one in eng.clusters()] == ["outbound|80||a.test", None, "outbound|80||c.test"]
    publish(eng, web("d.test"))
    assert [one.host for one in eng.services()] == ["a.test", "d.test", "c.test"]


def test_update_endpoints(engine: ModuleType) -> None:
    eng = published(engine, web("a.test", endpoints=("10.0.0.1:80", "10.0.0.2:80")))
    name = "outbound|80||a.test"
    decision = eng.route("a.test", 80)
    with decision.lease():
        eng.update_endpoints(name, (group("10.0.0.3:80"), group("10.0.0.1:80", locality="r/z/s", priority=1)))
        assert eng.version == 1
        endpoints = eng.cluster(name).endpoints
        assert [(one.address, one.priority, one.locality) for one in endpoints] == [
            ("10.0.0.3", 0, ""),
            ("10.0.0.1", 1, "r/z/s"),
        ]
        # Counters of an endpoint that stays survive; the others start anew.
        assert [one["rq_active"] for one in eng.cluster(name).endpoint_stats()] == [0, 1]
    assert picks(eng.route("a.test", 80), 2) == ["10.0.0.3"] * 2
    assert decision.pick().address == "10.0.0.3"


def test_publish_replaces_an_update_again(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"), web("b.test"))
    for name in ("a", "b"):
        eng.update_endpoints(f"outbound|80||{name}.test", (group("10.0.0.9:80"),))
    publish(eng, web("a.test"))
    assert picks(eng.route("a.test", 80), 1) == ["10.0.0.1"]
    # A unit that was not put again keeps what it was told.
    assert picks(eng.route("b.test", 80), 1) == ["10.0.0.9"]


def test_duplicates_have_a_slot_each(engine: ModuleType) -> None:
    eng = published(engine, web("a.test", endpoints=("10.0.0.1:80", "10.0.0.1:80")))
    name = "outbound|80||a.test"
    eng.route("a.test", 80).lease().finish(status=200)
    eng.route("a.test", 80).lease().finish(status=200)
    assert [one["rq_total"] for one in eng.cluster(name).endpoint_stats()] == [1, 1]
    eng.update_endpoints(name, (group("10.0.0.1:80", "10.0.0.2:80"),))
    assert [one["rq_total"] for one in eng.cluster(name).endpoint_stats()] == [1, 0]


def test_cursor_survives_an_equal_schedule(engine: ModuleType) -> None:
    eng = published(engine, web("a.test", endpoints=("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")))
    decision = eng.route("a.test", 80)
    assert picks(decision, 2) == ["10.0.0.1", "10.0.0.2"]
    publish(eng, web("a.test", endpoints=("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")))
    assert picks(eng.route("a.test", 80), 2) == ["10.0.0.3", "10.0.0.1"]
    publish(eng, web("a.test", endpoints=("10.0.0.1:80", "10.0.0.2:80")))
    assert picks(eng.route("a.test", 80), 2) == ["10.0.0.1", "10.0.0.2"]


def test_unknown_cluster(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    with pytest.raises(KeyError):
        eng.update_endpoints("nobody", ())
    with pytest.raises(KeyError):
        eng.set_health("nobody", "10.0.0.1", 80, low.HEALTHY)
    with pytest.raises(KeyError):
        eng.set_health("outbound|80||a.test", "10.0.0.7", 80, low.HEALTHY)
    assert eng.cluster("nobody") is None


GOOD = forward("c")
LB = low.LbConfig()


def with_match(match: low.ValueMatch) -> low.Unit:
    return web("a.test", forward("c", path=match))


def with_lb(**options: Any) -> low.Unit:
    return web("a.test", lb=LB._replace(**options))


def with_endpoint(**options: Any) -> low.Unit:
    one = low.Endpoint("10.0.0.1", 80)._replace(**options)
    return web("a.test", endpoints=(one,))


def with_route(**options: Any) -> low.Unit:
    return web("a.test", GOOD._replace(**options))


REFUSED = {
    "regex": with_match(regex("(")),
    "regex of a header": web("a.test", forward("c", headers=(header("x", regex("(?=a)")),))),
    "regex of a query": web("a.test", forward("c", queries=(low.QueryMatch("x", regex("a**")),))),
    "rewrite": with_route(regex_rewrite=("(", "x")),
    "substitution": with_route(regex_rewrite=("(a)", "\\2")),
    "substitution escape": with_route(regex_rewrite=("(a)", "\\x")),
    "substitution end": with_route(regex_rewrite=("(a)", "x\\")),
    "match kind": with_match(low.ValueMatch(9, "x")),
    "action": with_route(action=7),
    "no destinations": with_route(destinations=()),
    "weights of nothing": with_route(destinations=(low.Destination("c", 0), low.Destination("d", 0))),
    "redirect without one": web("a.test", redirect(low.Redirect(path="/"))._replace(redirect=None)),
    "operation": with_route(request_ops=(low.HeaderOp(5, "x"),)),
    "hash kind": with_route(hash_policies=(low.HashPolicy(8),)),
    "retry attempts": with_route(retry_host_attempts=-1),
    "policy": with_lb(policy=6),
    "table is not prime": with_lb(policy=low.MAGLEV, table_size=65536),
    "table too large": with_lb(policy=low.MAGLEV, table_size=5_000_021),
    "ring sizes in disorder": with_lb(policy=low.RING_HASH, ring_min=10, ring_max=5),
    "ring too large": with_lb(policy=low.RING_HASH, ring_max=8 * 1024 * 1024 + 1),
    "no choice": with_lb(choice_count=0),
    "cluster type": unit("a.test", cluster("c", kind=9)),
    "endpoint kind": with_endpoint(kind=3),
    "endpoint health": with_endpoint(health=5),
    "endpoint weight": with_endpoint(weight=0),
    "endpoint port": with_endpoint(port=65536),
    "priority": web("a.test", endpoints=(group("10.0.0.1:80", priority=129),)),
    "address": unit("a.test", service("a.test", 80, addresses=("nonsense",))),
    "network": unit("a.test", service("a.test", 80, addresses=("10.0.0.0/33",))),
    "protocol": unit("a.test", service("a.test", (80, 7))),
    "port": unit("a.test", service("a.test", 70000)),
    "chain network": unit("a.test", chain("a.test", 80, "c", cidrs=("10.0.0.0/x",))),
    "chain address": unit("a.test", chain("a.test", 80, "c", addresses=("nonsense",))),
    "chain transport": unit("a.test", chain("a.test", 80, "c", transport=3)),
    "chain without destinations": unit("a.test", chain("a.test", 80)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_nothing_changed(engine: ModuleType, what: str) -> None:
    eng = published(engine, web("a.test", forward("outbound|80||a.test", path=prefix("/old"))))
    builder = eng.builder()
    with pytest.raises(EngineError) as refused:
        builder.put(REFUSED[what])
    assert str(refused.value)
    builder.put(web("b.test"))
    eng.publish(builder)
    assert eng.route("a.test", 80, "/old").kind == "forward"
    assert eng.route("b.test", 80).kind == "forward"


def test_refused_endpoints_and_policies(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    with pytest.raises(EngineError):
        eng.update_endpoints("outbound|80||a.test", (group(low.Endpoint("10.0.0.2", 80, weight=0)),))
    with pytest.raises(EngineError):
        eng.set_health("outbound|80||a.test", "10.0.0.1", 80, 9)
    with pytest.raises(EngineError):
        eng.builder().set_outbound(9)
    assert picks(eng.route("a.test", 80), 1) == ["10.0.0.1"]
