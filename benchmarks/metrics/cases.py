"""What do Istio's metrics cost a request? Counting one that is over, beside a call that does nothing.

The labels were made with the first request of the class; each further one is a count, three sums and three buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import meshes
from benchmarks.case import Case
from roadstead import Registry
from roadstead.metrics.istio import RequestRecorder

if TYPE_CHECKING:
    from roadstead._core import Exchange

_OPERATIONS = 20_000
_MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
"""


def bare_loop() -> Case:
    """The loop that every case runs."""

    def run(_: object) -> None:
        for _number in range(_OPERATIONS):
            pass

    return Case("loop", run, _OPERATIONS)


def cases() -> list[Case]:
    """100 ns is what is owed."""

    def nothing(exchange: object, request_bytes: int, response_bytes: int) -> None:
        pass

    def run_nothing(_: object) -> None:
        for _number in range(_OPERATIONS):
            nothing(None, 0, 300)

    return [Case("a call of Python", run_nothing, _OPERATIONS), *map(_counting, meshes.ENGINES)]


def _counting(engine: str) -> Case:
    registry = Registry.from_text(_MESH, backend=engine)
    recorder = RequestRecorder(registry)
    over: Exchange = registry.route("api.test", 80).exchange()
    over.response(200)

    def run(_: object) -> None:
        count = recorder.count
        for _number in range(_OPERATIONS):
            count(over, 0, 300)

    return Case(f"count, {engine}", run, _OPERATIONS, limit=100e-9 if engine == "native" else 0.0)
