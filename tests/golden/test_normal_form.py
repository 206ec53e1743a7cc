"""The normal form forgets what decides nothing, and nothing else."""

from __future__ import annotations

from copy import deepcopy

import pytest
from tests.golden.normal_form import Json, Resource, differences, of_type, plain

CLUSTER: Resource = {
    "name": "outbound|80||a",
    "type": "STRICT_DNS",
    "connect_timeout": "10s",
    "alt_stat_name": "x",
    "metadata": {"a": 1},
    "transport_socket": {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"sni": "a", "common_tls_context": {"alpn_protocols": ["istio", "h2"]}},
    },
    "load_assignment": {
        "cluster_name": "outbound|80||a",
        "endpoints": [
            {
                "locality": {"region": "r"},
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": "b", "port_value": 80}}}},
                    {"endpoint": {"address": {"socket_address": {"address": "c", "port_value": 80}}}},
                ],
            }
        ],
    },
}
ROUTES: Resource = {
    "name": "80",
    "virtual_hosts": [
        {"name": "b", "domains": ["b", "b."], "routes": [{"match": {"prefix": "/b"}}, {"match": {"prefix": "/"}}]},
        {"name": "a", "domains": ["a"], "routes": []},
    ],
}
LISTENER: Resource = {
    "name": "0.0.0.0_80",
    "filter_chains": [
        {"filter_chain_match": {"server_names": ["a"]}, "filters": [{"name": "istio.stats", "typed_config": {}}]},
        {"filters": [{"typed_config": {"@type": "x.TcpProxy", "cluster": "c", "stat_prefix": "s"}}]},
    ],
}


def changed(resource: Resource, value: Json, *path: str | int) -> Resource:
    made = deepcopy(resource)
    at: Json = made
    for part in path[:-1]:
        at = at[part]  # type: ignore[index]
    at[path[-1]] = value  # type: ignore[index]
    return made


def backwards(resource: Resource, *path: str | int) -> Resource:
    """The same with a list the other way round."""
    at: Json = resource
    for part in path:
        at = at[part]  # type: ignore[index]
    assert isinstance(at, list)
    return changed(resource, at[::-1], *path)


ENDPOINTS = ("load_assignment", "endpoints", 0, "lb_endpoints")
SAME = [
    ("clusters", CLUSTER, changed(CLUSTER, "y", "alt_stat_name")),
    ("clusters", CLUSTER, changed(CLUSTER, "10.000s", "connect_timeout")),
    (
        "clusters",
        CLUSTER,
        backwards(CLUSTER, *ENDPOINTS),
    ),
    ("clusters", CLUSTER, changed(CLUSTER, 1, *ENDPOINTS, 0, "load_balancing_weight")),
    (
        "clusters",
        CLUSTER,
        changed(CLUSTER, ["h2"], "transport_socket", "typed_config", "common_tls_context", "alpn_protocols"),
    ),
    ("routes", ROUTES, backwards(ROUTES, "virtual_hosts")),
    ("routes", ROUTES, changed(ROUTES, ["b.", "b"], "virtual_hosts", 0, "domains")),
    ("listeners", LISTENER, backwards(LISTENER, "filter_chains")),
    ("listeners", LISTENER, changed(LISTENER, [], "filter_chains", 0, "filters")),
    ("listeners", LISTENER, changed(LISTENER, True, "bind_to_port")),
]
OTHER = [
    ("clusters", CLUSTER, changed(CLUSTER, "11s", "connect_timeout")),
    ("clusters", CLUSTER, changed(CLUSTER, "b", "transport_socket", "typed_config", "sni")),
    ("clusters", CLUSTER, changed(CLUSTER, 2, *ENDPOINTS, 0, "load_balancing_weight")),
    ("clusters", CLUSTER, changed(CLUSTER, "UNHEALTHY", *ENDPOINTS, 0, "health_status")),
    ("clusters", CLUSTER, changed(CLUSTER, 1, "load_assignment", "endpoints", 0, "priority")),
    ("routes", ROUTES, backwards(ROUTES, "virtual_hosts", 0, "routes")),
    ("routes", ROUTES, changed(ROUTES, ["b"], "virtual_hosts", 0, "domains")),
    ("listeners", LISTENER, changed(LISTENER, False, "bind_to_port")),
    ("listeners", LISTENER, changed(LISTENER, "d", "filter_chains", 1, "filters", 0, "typed_config", "cluster")),
    ("listeners", LISTENER, changed(LISTENER, ["b"], "filter_chains", 0, "filter_chain_match", "server_names")),
]


@pytest.mark.parametrize(("kind", "one", "other"), SAME)
def test_is_the_same(kind: str, one: Resource, other: Resource) -> None:
    assert list(differences(of_type(kind, [one]), of_type(kind, [other]))) == []


@pytest.mark.parametrize(("kind", "one", "other"), OTHER)
def test_is_not_the_same(kind: str, one: Resource, other: Resource) -> None:
    assert list(differences(of_type(kind, [one]), of_type(kind, [other])))


def test_missing_and_unexpected_resources_are_differences() -> None:
    assert list(differences({"a": 1}, {"b": 1})) == ["/a: missing 1", "/b: unexpected 1"]


def test_what_is_foreign_is_left_out() -> None:
    assert of_type("clusters", [{"name": "xds-grpc"}]) == {}


def test_numbers_and_durations_have_one_spelling() -> None:
    assert plain({"a": "80", "b": 2.0, "c": "1.500s", "d": {}, "e": None}) == {"a": 80, "b": 2, "c": "1.5s"}
