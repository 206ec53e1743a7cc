"""`connect`: filter chains by address, network, server name and transport."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.units import chain, cluster, publish, published, service, unit

from roadstead import _lowered as low

ANY, TLS, RAW = 0, 1, 2


def tcp(
    host: str, port: int, *chains: low.Chain, protocol: int = low.PROTO_TCP, addresses: tuple[str, ...] = ()
) -> low.Unit:
    """A TCP host: every chain goes to a cluster of its handle's name."""
    made = [one._replace(destinations=(low.Destination(str(one.handle), 0),)) for one in chains]
    clusters = [cluster(str(one.handle), "192.0.2.1:1") for one in chains]
    return unit(host, service(host, (port, protocol), addresses=addresses), *clusters, *made)


def to_host(name: str, host: str, port: int, **options: Any) -> low.Chain:
    return chain(host, port, "", handle=name, **options)


UNITS = (
    # One name, one port: the wildcard listener of 5432 is this service's alone.
    tcp("db.test", 5432, to_host("db", "db.test", 5432)),
    # VIPs: a listener each on 3306.
    tcp(
        "one.test",
        3306,
        to_host("one", "one.test", 3306, addresses=("240.0.0.1", "2001:db8::1")),
        addresses=("240.0.0.1",),
    ),
    tcp("two.test", 3306, to_host("two", "two.test", 3306, addresses=("240.0.0.2",)), addresses=("240.0.0.2",)),
    # Server names on the wildcard listener of 443.
    tcp(
        "a.sni.test",
        443,
        to_host("sni-a", "a.sni.test", 443, snis=("a.sni.test",), transport=TLS),
        protocol=low.PROTO_TLS,
    ),
    tcp(
        "*.sni.test",
        443,
        to_host("sni-any", "*.sni.test", 443, snis=("*.sni.test",), transport=TLS),
        protocol=low.PROTO_TLS,
    ),
    tcp(
        "*.b.sni.test",
        443,
        to_host("sni-b", "*.b.sni.test", 443, snis=("*.b.sni.test",), transport=TLS),
        protocol=low.PROTO_TLS,
    ),
    # Networks on 6379, a wildcard service name under them.
    tcp("net.test", 6379, to_host("net8", "net.test", 6379, cidrs=("10.0.0.0/8",)), addresses=("10.0.0.0/8",)),
    tcp("sub.test", 6379, to_host("net16", "sub.test", 6379, cidrs=("10.1.0.0/16",)), addresses=("10.1.0.0/16",)),
    tcp("*.tcp.test", 7000, to_host("wild", "*.tcp.test", 7000)),
)

CASES = [
    # host, port, sni, cluster ("" = passed through)
    ("db.test", 5432, None, "db"),
    ("DB.test.", 5432, None, "db"),
    ("db.test:5432", 5432, None, "db"),
    ("192.0.2.77", 5432, None, "db"),
    ("db.test", 5433, None, ""),
    ("240.0.0.1", 3306, None, "one"),
    ("2001:db8::1", 3306, None, "one"),
    ("[2001:db8::1]", 3306, None, "one"),
    ("240.0.0.2", 3306, None, "two"),
    ("240.0.0.3", 3306, None, ""),
    ("one.test", 3306, None, "one"),
    ("two.test", 3306, None, "two"),
    ("a.sni.test", 443, None, "sni-a"),
    ("a.sni.test", 443, "a.sni.test", "sni-a"),
    ("A.SNI.TEST", 443, "A.SNI.TEST", "sni-a"),
    ("203.0.113.5", 443, "a.sni.test", "sni-a"),
    ("203.0.113.5", 443, "x.sni.test", "sni-any"),
    ("203.0.113.5", 443, "x.y.sni.test", "sni-any"),
    ("203.0.113.5", 443, "x.b.sni.test", "sni-b"),
    ("203.0.113.5", 443, "x.y.b.sni.test", "sni-b"),
    ("203.0.113.5", 443, "b.sni.test", "sni-any"),
    ("203.0.113.5", 443, "sni.test", ""),
    ("203.0.113.5", 443, "other.test", ""),
    ("203.0.113.5", 443, None, ""),
    ("x.sni.test", 443, None, "sni-any"),
    # Networks: the longest that the listener has.
    ("10.2.0.1", 6379, None, "net8"),
    ("10.1.0.1", 6379, None, "net16"),
    ("11.0.0.1", 6379, None, ""),
    ("x.tcp.test", 7000, None, "wild"),
    ("unknown.test", 9999, None, ""),
]


@pytest.mark.parametrize(("host", "port", "sni", "name"), CASES)
def test_connect(engine: ModuleType, host: str, port: int, sni: str | None, name: str) -> None:
    decision = published(engine, *UNITS).connect(host, port, sni=sni)
    assert (decision.kind, decision.cluster_name) == (
        ("forward", name) if name else ("passthrough", "PassthroughCluster")
    )


def test_what_a_connection_knows(engine: ModuleType) -> None:
    decision = published(engine, *UNITS).connect("db.test", 5432)
    assert (decision.route, decision.virtual_host, decision.route_index) == ("db", None, -1)
    assert decision.service is not None
    assert decision.service.host == "db.test"
    assert (decision.status, decision.flags, decision.destination_index) == (0, "", 0)
    assert (decision.path, decision.authority, decision.application_tls) == ("", "db.test", False)
    assert (decision.request_headers, decision.mirrors, decision.fault, decision.redirect) == ((), (), None, None)
    assert decision.reasons == ("host:exact",)


def test_refused_connection(engine: ModuleType) -> None:
    """Nothing answers with a status: the connection is closed, as Envoy does with BlackHoleCluster (UH)."""
    decision = published(engine, *UNITS, outbound=low.REGISTRY_ONLY).connect("unknown.test", 1)
    assert (decision.kind, decision.cluster_name, decision.flags) == ("refused", "BlackHoleCluster", "UH")


def test_weights_are_for_connections(engine: ModuleType) -> None:
    weighted = low.Chain(None, "w.test", 1, (), (), (), ANY, (low.Destination("a", 1), low.Destination("b", 3)))
    eng = published(engine, unit("w", service("w.test", (1, low.PROTO_TCP)), cluster("a"), cluster("b"), weighted))
    assert [eng.connect("w.test", 1, draw=draw).cluster_name for draw in range(5)] == ["a", "b", "b", "b", "a"]


def test_missing_cluster(engine: ModuleType) -> None:
    eng = published(engine, unit("w", service("w.test", (1, low.PROTO_TCP)), chain("w.test", 1, "gone")))
    decision = eng.connect("w.test", 1)
    assert (decision.kind, decision.status, decision.flags, decision.cluster_name) == ("no_cluster", 503, "NC", "gone")


def test_most_specific_without_going_back(engine: ModuleType) -> None:
    """The longest network captures the connection though nothing under it fits; only a match-all chain is tried then."""
    narrow = tcp("n.test", 9000, to_host("narrow", "n.test", 9000, cidrs=("127.0.0.1/32",), snis=("only.tls",)))
    wide = tcp("w.test", 9000, to_host("wide", "w.test", 9000, cidrs=("127.0.0.0/8",)))
    eng = published(engine, narrow, wide)
    assert eng.connect("127.0.0.2", 9000).cluster_name == "wide"
    assert eng.connect("127.0.0.1", 9000, sni="only.tls").cluster_name == "narrow"
    assert eng.connect("127.0.0.1", 9000).kind == "passthrough"
    publish(eng, tcp("z.test", 9000, to_host("everything", "z.test", 9000)))
    assert eng.connect("127.0.0.1", 9000).cluster_name == "everything"
    assert eng.connect("127.0.0.2", 9000).cluster_name == "wide"


def test_transport(engine: ModuleType) -> None:
    made = tcp(
        "t.test",
        443,
        to_host("raw", "t.test", 443, transport=RAW),
        to_host("tls", "t.test", 443, transport=TLS),
        to_host("named", "t.test", 443, snis=("named.test",), transport=TLS),
    )
    eng = published(engine, made)
    assert eng.connect("192.0.2.1", 443).cluster_name == "raw"
    assert eng.connect("192.0.2.1", 443, sni="x.test").cluster_name == "tls"
    assert eng.connect("192.0.2.1", 443, sni="named.test").cluster_name == "named"
    assert eng.connect("t.test", 443).cluster_name == "raw"


def test_equal_conditions_go_to_the_first(engine: ModuleType) -> None:
    older = tcp("b.test", 443, to_host("older", "b.test", 443, snis=("x.test",)))._replace(order="1")
    newer = tcp("a.test", 443, to_host("newer", "a.test", 443, snis=("x.test",)))._replace(order="2")
    eng = published(engine, newer, older)
    assert eng.connect("192.0.2.1", 443, sni="x.test").cluster_name == "older"
    publish(eng, delete=["b.test"])
    assert eng.connect("192.0.2.1", 443, sni="x.test").cluster_name == "newer"


def test_source_ip_is_hashed(engine: ModuleType) -> None:
    policy = (low.HashPolicy(low.HASH_SOURCE_IP),)
    eng = published(
        engine,
        unit("s", service("s.test", (1, low.PROTO_TCP)), cluster("c"), chain("s.test", 1, "c", hash_policies=policy)),
    )
    assert eng.connect("s.test", 1, source_ip="127.0.0.1").hash == 0xC08B1587DF65B7A7  # xxh64 of the text
    assert eng.connect("s.test", 1).hash is None
