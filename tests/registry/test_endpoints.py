"""The endpoints' own door."""

from __future__ import annotations

import pytest

from roadstead import Node, NoHealthyEndpoint, NoSuchCluster, NoSuchEndpoint, Registry
from roadstead.mesh import Endpoint
from roadstead.registry.endpoints import parse_endpoint

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: here}
spec:
  hosts: [a.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1, locality: r1/z1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: here}
spec: {host: a.com, trafficPolicy: {outlierDetection: {}}}
"""
NAME = "outbound|80||a.com"


def registry(engine: str) -> Registry:
    return Registry.from_text(TEXT, backend=engine, node=Node(namespace="here", locality="r1/z1"), seed=1)


def addresses(made: Registry) -> set[str]:
    return {made.route("a.com", 80).pick().address for _ in range(30)}


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.0.0.1:80", Endpoint("10.0.0.1", 80)),
        ("[::1]:80", Endpoint("::1", 80)),
        ("name.com:80", Endpoint("name.com", 80, "hostname")),
        ("unix:///run/x", Endpoint("/run/x", 0, "unix")),
    ],
)
def test_endpoints_as_text(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "10.0.0.1", ":80", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:0", "a:65536", "::1:80"])
def test_text_that_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match="not an endpoint"):
        parse_endpoint(text)


def test_an_update_is_visible_at_once_and_compiles_nothing(engine_name: str) -> None:
    made = registry(engine_name)
    mesh = made.mesh
    made.endpoints(NAME).update(["10.0.0.2:80", Endpoint("10.0.0.3", 81)])
    assert addresses(made) == {"10.0.0.2", "10.0.0.3"}
    assert made.mesh == mesh
    made.endpoints(NAME).update([])
    with pytest.raises(NoHealthyEndpoint):
        made.route("a.com", 80).pick()


def test_localities_get_the_priorities_of_the_policy(engine_name: str) -> None:
    made = registry(engine_name)
    made.endpoints(NAME).update(
        [Endpoint("10.0.0.2", 80, locality="r2/z1"), Endpoint("10.0.0.3", 80, locality="r1/z1")]
    )
    cluster = made.cluster(NAME)
    assert cluster is not None
    assert {one.address: one.priority for one in cluster.endpoints} == {"10.0.0.2": 1, "10.0.0.3": 0}
    assert addresses(made) == {"10.0.0.3"}


def test_health(engine_name: str) -> None:
    made = registry(engine_name)
    door = made.endpoints(NAME)
    door.update(["10.0.0.2:80", "10.0.0.3:80"])
    door.set_health("10.0.0.2", 80, "unhealthy")
    assert addresses(made) == {"10.0.0.3"}
    door.set_health("10.0.0.2", 80, "unknown")
    assert addresses(made) == {"10.0.0.2", "10.0.0.3"}
    with pytest.raises(NoSuchEndpoint, match=r"outbound\|80\|\|a.com has no endpoint 10.0.0.9:80"):
        door.set_health("10.0.0.9", 80, "healthy")
    with pytest.raises(ValueError, match="no health 'ill': one of unknown, healthy"):
        door.set_health("10.0.0.2", 80, "ill")  # type: ignore[arg-type]


def test_a_compile_that_changes_the_cluster_takes_its_endpoints_back(engine_name: str) -> None:
    made = registry(engine_name)
    door = made.endpoints(NAME)
    door.update(["10.0.0.2:80"])
    made.apply(put=TEXT)
    assert addresses(made) == {"10.0.0.2"}
    made.apply(put=TEXT.replace("10.0.0.1", "10.0.0.9"))
    assert addresses(made) == {"10.0.0.9"}
    made.apply(delete="ServiceEntry/here/a")
    with pytest.raises(NoSuchCluster):
        door.update(["10.0.0.2:80"])
    with pytest.raises(NoSuchCluster):
        door.set_health("10.0.0.2", 80, "healthy")
    with pytest.raises(NoSuchCluster):
        made.endpoints(NAME)


def test_an_unknown_cluster_is_named_with_those_that_are_near(engine_name: str) -> None:
    with pytest.raises(NoSuchCluster) as caught:
        registry(engine_name).endpoints("outbound|81||a.com")
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == "no cluster 'outbound|81||a.com'; did you mean outbound|80||a.com?"
    assert (caught.value.name, caught.value.near) == ("outbound|81||a.com", ("outbound|80||a.com",))
    with pytest.raises(NoSuchCluster, match=r"no cluster 'PassthroughCluster'$"):
        registry(engine_name).endpoints("PassthroughCluster")
