"""How long until a change is visible? One STATIC endpoint through its own door, one document through `apply`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, cycle

from benchmarks import meshes, workload
from benchmarks.case import Case
from roadstead import Registry
from roadstead.mesh import Endpoint

# A STATIC service with a VirtualService.
_NUMBER = next(n for n in range(200) if workload.resolution(n) == "STATIC" and n % 10 in (2, 3, 4))


def cases(size: int) -> list[Case]:
    """Each engine's endpoint update and document update over a mesh of that many services."""
    found = []
    for engine in meshes.ENGINES:
        registry = meshes.registry(engine, size)
        limits = (200e-6, 5e-3) if engine == "native" else (0.0, 0.0)
        found.append(Case(f"one endpoint, {engine}", _endpoint(registry), limit=limits[0]))
        found.append(Case(f"one document, {engine}", _document(registry), limit=limits[1]))
    return found


def _endpoint(registry: Registry) -> Callable[[None], None]:
    name = f"outbound|80||{workload.host(_NUMBER)}"
    numbers = count()
    door = registry.endpoints(name)
    rest = [Endpoint(f"10.200.0.{k}", 80, weight=1 + k, locality="us-west/us-west-a") for k in range(1, 6)]

    def run(_: None) -> None:
        address = f"10.201.{next(numbers) % 250}.1"
        door.update([Endpoint(address, 80, locality="us-west/us-west-a"), *rest])
        cluster = registry.route(workload.asked(_NUMBER), 80).cluster
        assert cluster is not None
        assert registry.cluster(name) is not None

    return run


def _document(registry: Registry) -> Callable[[None], None]:
    texts: Iterator[str] = cycle([workload.virtual_service(_NUMBER, timeout="7s"), workload.virtual_service(_NUMBER)])

    def run(_: None) -> None:
        registry.apply(put=next(texts))
        registry.route(workload.asked(_NUMBER), 80)

    return run
