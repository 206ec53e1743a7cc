"""Resources of a small configuration, as JSON by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest

from roadstead import Registry
from roadstead.config import MeshConfig
from roadstead.config.read import read_mesh
from roadstead.mesh import Mesh, Node
from roadstead.xds.json import to_json
from roadstead.xds.resources import resources
from roadstead.xds.schema import Json, Message

Named: TypeAlias = dict[str, dict[str, Json]]


class Sent:
    """What a node is sent: each resource by its name."""

    def __init__(self, mesh: Mesh, node: Node) -> None:
        self.mesh = mesh
        made = resources(mesh, node)
        self.clusters = _named(made.clusters)
        self.endpoints = _named(made.endpoints, "cluster_name")
        self.listeners = _named(made.listeners)
        self.routes = _named(made.routes)


def _named(messages: Sequence[Message], key: str = "name") -> Named:
    written = [to_json(message) for message in messages]
    made = {str(message[key]): message for message in written}
    assert len(made) == len(written)
    return made


Send: TypeAlias = Callable[..., Sent]


@pytest.fixture
def send() -> Send:
    def sent(text: str, node: Node | None = None, mesh: str = "") -> Sent:
        node = node or Node()
        config: MeshConfig | None = None
        if mesh:
            config = read_mesh(mesh.encode(), "mesh.yaml", "istio").value
            assert config is not None
        registry = Registry.from_text(text, backend="fallback", dialect="istio", node=node, mesh=config)
        assert [finding for finding in registry.diagnostics if finding.severity == "error"] == []
        return Sent(registry.mesh, node)

    return sent
