"""What waits to be handed over is bounded, and of each object only its last state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from tests.sources.collecting import entry

from roadstead.config import Resource, ResourceKey, Spec
from roadstead.config.decode import Decoded
from roadstead.config.kinds import KINDS
from roadstead.config.read import read
from roadstead.sources import Layers
from roadstead.sources.kubernetes.intake import Intake
from roadstead.sources.kubernetes.objects import Objects

ENTRIES = Objects(KINDS["ServiceEntry"], "", "kubernetes")
RULES = Objects(KINDS["DestinationRule"], "", "kubernetes")


class Taken:
    """A sink that counts."""

    resources: Mapping[ResourceKey, Resource[Spec]] = {}

    def __init__(self) -> None:
        self.put: list[int] = []

    def apply(self, put: Iterable[Decoded], delete: Sequence[ResourceKey]) -> object:
        self.put.append(len(list(put)))
        return None


def one(name: str) -> list[Decoded]:
    return list(read(entry(name).encode(), "", "istio"))


async def test_nobody_reads_further_than_is_taken() -> None:
    sink = Taken()
    layer = Layers(sink, "istio").layer("kubernetes")
    intake = Intake(layer, [ENTRIES, RULES])
    content = one("a")

    async def flood() -> None:
        for number in range(25_000):
            await intake.put(f"piece {number}", content)

    intake.listed(ENTRIES, {})
    flooding = asyncio.create_task(flood())
    running = asyncio.create_task(intake.run())
    # Half of everything is not handed over, and the other half waits.
    for _ in range(20):
        await asyncio.sleep(0)
    assert (flooding.done(), sink.put, layer.loaded.is_set()) == (False, [], False)
    intake.listed(RULES, {})
    await flooding
    async with asyncio.timeout(30):
        while sum(sink.put) < 25_000:
            await asyncio.sleep(0.01)
    running.cancel()
    assert max(sink.put) <= 10_000


async def test_an_object_that_changes_often_is_handed_over_once() -> None:
    sink = Taken()
    intake = Intake(Layers(sink, "istio").layer("kubernetes"), [ENTRIES])
    intake.listed(ENTRIES, {})
    for _ in range(25_000):
        await intake.put("piece", one("a") if not _ else [])
    await intake.put("piece", one("a"))
    running = asyncio.create_task(intake.run())
    async with asyncio.timeout(30):
        while not sink.put:
            await asyncio.sleep(0.01)
    running.cancel()
    assert sink.put == [1]
