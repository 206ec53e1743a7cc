"""Where connections go."""

from __future__ import annotations

import msgspec
import pytest
import yaml
from tests.compile.selected import client, destination_rule, entry

from roadstead.compile.tcp_routes import default_tcp_route, tcp_route
from roadstead.config import RouteDestination
from roadstead.mesh import Destination, HashKey, Origin, TcpPolicy, TcpRoute, Tunnel

ORIGIN = Origin("VirtualService", "default", "vs", "/spec/tcp/0")
A = entry("a.test", "5432/TCP")
B = entry("b.test", "5432/TCP", "9000/TCP")


def route(text: str, *rules: str, port: int = 5432) -> TcpRoute | None:
    targets = msgspec.convert(yaml.safe_load(text), tuple[RouteDestination, ...])
    return tcp_route(client(A, B, *rules), targets, port, ORIGIN)


@pytest.mark.parametrize(
    ("text", "destinations"),
    [
        ("[{destination: {host: a.test}}]", (Destination("outbound|5432||a.test"),)),
        ("[{destination: {host: a.test}, weight: 7}]", (Destination("outbound|5432||a.test"),)),
        ("[{destination: {host: b.test}}]", (Destination("outbound|7000||b.test"),)),
        ("[{destination: {host: none.test}}]", (Destination("outbound|7000||none.test"),)),
        ("[{destination: {host: b.test, subset: v1, port: {number: 1}}}]", (Destination("outbound|1|v1|b.test"),)),
        (
            "[{destination: {host: a.test}, weight: 80}, {destination: {host: b.test}}, {destination: {}, weight: 2}]",
            (Destination("outbound|5432||a.test", 80), Destination("UnknownService", 2)),
        ),
    ],
)
def test_destinations(text: str, destinations: tuple[Destination, ...]) -> None:
    made = route(text, port=7000)
    assert made is not None
    assert made.destinations == destinations
    assert made.origin == ORIGIN


def test_no_weight_at_all_is_no_route() -> None:
    assert route("[{destination: {host: a.test}}, {destination: {host: b.test}}]") is None


RULE = """
trafficPolicy:
  connectionPool: {tcp: {idleTimeout: 90s, maxConnectionDuration: 10m}}
  loadBalancer: {consistentHash: {useSourceIp: true}}
  tunnel: {targetHost: t.test, targetPort: 443}
subsets:
- {name: own, trafficPolicy: {tunnel: {protocol: POST, targetHost: p.test, targetPort: 444}}}
- {name: random, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
- {name: bare}
"""
TUNNEL = Tunnel("CONNECT", "t.test", 443)
SOURCE = (HashKey("source_ip"),)


@pytest.mark.parametrize(
    ("subset", "hashes", "tunnel"),
    [
        ("", SOURCE, TUNNEL),
        ("undeclared", SOURCE, TUNNEL),
        ("own", SOURCE, Tunnel("POST", "p.test", 444)),
        ("random", (), None),
        ("bare", SOURCE, None),
    ],
)
def test_the_first_destinations_rule(subset: str, hashes: tuple[HashKey, ...], tunnel: Tunnel | None) -> None:
    made = route(f"[{{destination: {{host: a.test, subset: '{subset}'}}}}]", destination_rule("a.test", RULE))
    assert made is not None
    assert made.policy == TcpPolicy(90.0, 600.0, tunnel)
    assert made.hash_policies == hashes


def test_subsets_of_several_destinations_do_not_count() -> None:
    weighted = "[{destination: {host: a.test, subset: own}, weight: 1}, {destination: {host: b.test}, weight: 1}]"
    made = route(weighted, destination_rule("a.test", RULE))
    assert made is not None
    assert made.policy.tunnel == TUNNEL
    other = route(weighted, destination_rule("b.test", RULE))
    assert other is not None
    assert other.policy == TcpPolicy()


def test_the_default_route() -> None:
    scope = client(B, destination_rule("b.test", RULE))
    view = scope.view("b.test")
    assert view is not None
    made = default_tcp_route(scope, view, 9000)
    assert made.destinations == (Destination("outbound|9000||b.test"),)
    assert (made.policy.tunnel, made.origin) == (TUNNEL, view.merged.origin)
