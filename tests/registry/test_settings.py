"""What mesh-wide settings mean for one client."""

from __future__ import annotations

import pytest

from roadstead.config import MeshConfig
from roadstead.mesh import Node
from roadstead.registry.settings import Settings, env_of, locality_of


@pytest.mark.parametrize(
    ("node", "locality"),
    [
        (Node(), ""),
        (Node(locality="r/z/s"), "r/z/s"),
        (Node(locality="r", labels={"topology.kubernetes.io/zone": "z"}), "/z/"),
        (Node(locality="r", labels={"topology.kubernetes.io/region": "q", "topology.istio.io/subzone": "s"}), "q//s"),
        (Node(locality="r", labels={"istio-locality": "q.z"}), "q.z"),
        (Node(locality="r", labels={"istio-locality": "q", "topology.istio.io/locality": "p/z"}), "p/z"),
    ],
)
def test_where_a_client_is(node: Node, locality: str) -> None:
    assert locality_of(node) == locality


def test_a_client_carries_its_topology() -> None:
    node = Node(locality="r/z", network="n", cluster="c", labels={"app": "x"})
    env = env_of(node, Settings(MeshConfig(), None, extended=True))
    assert env.labels == {
        "app": "x",
        "topology.kubernetes.io/region": "r",
        "topology.kubernetes.io/zone": "z",
        "topology.istio.io/cluster": "c",
        "topology.istio.io/network": "n",
    }
    assert (env.locality.region, env.locality.zone, env.networks) == ("r", "z", None)
