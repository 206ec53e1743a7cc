"""How long until Envoy's clusters are ready to be written? Mesh objects in memory → JSON, beside PyYAML reading the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

from benchmarks import meshes, workload
from benchmarks.case import Case
from benchmarks.load.cases import PYYAML, pyyaml
from roadstead import Registry
from roadstead.mesh import Mesh
from roadstead.xds.json import to_json
from roadstead.xds.resources import ResourceMaker

# A service with a VirtualService and a DestinationRule.
_NUMBER = 2


def cases(size: int) -> list[Case]:
    """All clusters made from nothing, and made again after one of the DestinationRules changed."""
    mesh = meshes.registry("native", size).mesh
    return [
        Case(PYYAML, pyyaml(workload.text(size))),
        Case("clusters, cold", lambda _: _written(ResourceMaker(meshes.NODE), mesh), owed=((PYYAML, 0.4),)),
        Case("clusters, one rule changed", *_changed(meshes.registry("native", size))),
    ]


def _written(maker: ResourceMaker, mesh: Mesh) -> None:
    for message in maker.clusters(mesh):
        to_json(message)


def _changed(registry: Registry) -> tuple[Callable[[Mesh], object], int, Callable[[], Mesh]]:
    """Only the making is timed: compiling the change is a question of its own (update)."""
    rule = workload.destination_rule(_NUMBER)
    texts: Iterator[str] = cycle([rule.replace("maxConnections: 100", "maxConnections: 101"), rule])
    maker = ResourceMaker(meshes.NODE)
    maker.clusters(registry.mesh)

    def change() -> Mesh:
        registry.apply(put=next(texts))
        return registry.mesh

    return maker.clusters, 1, change
