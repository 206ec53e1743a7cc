"""Hash keys of destinations, remembered while a unit is compiled."""

from __future__ import annotations

from tests.compile.selected import client, destination_rule, entry

from roadstead.compile.hashing import HashKeys
from roadstead.mesh import HashKey

A = entry("a.test", "80/HTTP")
HASHED = "trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x}}}"
PORT = """
trafficPolicy:
  portLevelSettings: [{port: {number: 80}, loadBalancer: {consistentHash: {httpHeaderName: x}}}]
"""
SUBSET = "subsets: [{name: v1, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x}}}}]"
KEY = (HashKey("header", "x"),)


def keys(rule: str) -> HashKeys:
    return HashKeys(client(A, destination_rule("a.test", rule)))


def test_keys_of_a_destination() -> None:
    made = keys(HASHED)
    assert made.of("a.test", 80, "", False) == made.of("a.test", 80, "v9", True) == KEY
    assert made.of("b.test", 80, "", False) is None


def test_settings_of_a_port_count_where_the_port_is_named() -> None:
    made = keys(PORT)
    assert made.of("a.test", 80, "", True) == KEY
    assert made.of("a.test", 80, "", False) is made.of("a.test", 81, "", True) is None


def test_settings_of_a_subset() -> None:
    made = keys(SUBSET)
    assert made.of("a.test", 80, "v1", False) == KEY
    assert made.of("a.test", 80, "", False) is None


def test_rules_that_hash_nothing() -> None:
    made = keys("trafficPolicy: {loadBalancer: {simple: RANDOM}}")
    assert made.of("a.test", 80, "", True) is None


def test_a_services_own_route_names_its_port() -> None:
    scope = client(A, destination_rule("a.test", PORT))
    view = scope.view("a.test")
    assert view is not None
    assert HashKeys(scope).of_view(view, 80) == KEY
    assert HashKeys(scope).of_view(view, 81) == ()
