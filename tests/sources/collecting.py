"""A sink that keeps what it is told, and ways to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from roadstead import Registry
from roadstead.config import Resource, ResourceKey, Spec
from roadstead.config.decode import Decoded
from roadstead.sources import Layers, Source


def entry(name: str, host: str = "", namespace: str = "default") -> str:
    """A ServiceEntry."""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{host or name}.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: DNS
---
"""


def hosts_of(resources: Mapping[ResourceKey, Resource[Spec]]) -> dict[str, str]:
    """Name of each ServiceEntry → its host, without the ending."""
    return {key.name: resource.spec.hosts[0].removesuffix(".test") for key, resource in resources.items()}  # type: ignore[union-attr]


class Sink:
    """A registry, and how often it was changed."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.applied = 0
        self._is_changing = False
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Condition()

    @property
    def resources(self) -> Mapping[ResourceKey, Resource[Spec]]:
        return self.registry.resources

    def apply(self, put: Iterable[Decoded], delete: Sequence[ResourceKey]) -> object:
        self._is_changing = True
        delta = self.registry.apply(put, delete)
        self.applied += 1
        self._is_changing = False
        asyncio.run_coroutine_threadsafe(self._tell(), self._loop)
        return delta

    def hosts(self) -> dict[str, str]:
        """Name of each ServiceEntry → its host, without the ending."""
        return hosts_of(self.resources)

    async def has(self, **hosts: str) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: self.hosts() == hosts), 30)

    async def has_resources(self, count: int) -> None:
        """And decisions know them, which comes a little later."""
        await self.until(lambda: len(self.resources) == count and not self._is_changing)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Of what is not told as news, too: looked at again and again."""
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.005)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def following(*sources: Source) -> AsyncIterator[tuple[Sink, Layers]]:
    """The sources at work, until the end of the block."""
    sink = Sink()
    layers = Layers(sink, "istio")
    tasks = [asyncio.create_task(source.run(layers.layer(source.name))) for source in sources]
    try:
        yield sink, layers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
