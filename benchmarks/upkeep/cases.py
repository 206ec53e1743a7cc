"""What does keeping names fresh cost? Processor time of 1,000 names that are asked for once a minute, as a share of a core."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks import meshes
from benchmarks.upkeep.server import TTL
from roadstead.dns import Answer, Family, Policy, Resolver, Upkeep
from roadstead.mesh import Cluster, Endpoint

NAMES = 1000
# Seconds between two look-ups of a name in a mesh; here they come every TTL, and what one costs is what counts.
_PERIOD = 60.0


class Share(NamedTuple):
    """resolver: the library. look_ups: how many were measured. each: processor seconds of one. owed: share of a core."""

    resolver: str
    look_ups: int
    each: float
    owed: float

    @property
    def share(self) -> float:
        """Of a core, for NAMES names once a minute."""
        return self.each * NAMES / _PERIOD


class _Sink:
    """Takes what it is given; every cluster is always in use."""

    def update(self, cluster: str, endpoints: Sequence[Endpoint]) -> None:
        pass

    def park(self, cluster: str) -> None:
        pass

    def was_used(self, cluster: str) -> bool:
        return True


class _Counted:
    """A resolver, and how often it was asked."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.count = 0

    async def look_up(self, name: str, family: Family) -> Answer:
        self.count += 1
        return await self._resolver.look_up(name, family)

    async def close(self) -> None:
        await self._resolver.close()


def shares(names: int = NAMES, seconds: float = 3 * TTL) -> list[Share]:
    """Each library, over a name server on the loopback."""
    clusters = list(_clusters(names))
    with _server() as port:
        return [
            asyncio.run(_measured(library, make(port), owed, clusters, seconds))
            for library, make, owed in (("dnspython", _dnspython, 0.02), ("aiodns", _aiodns, 0.005))
        ]


def _dnspython(port: int) -> Callable[[], Resolver]:
    from roadstead.dns.system import SystemResolver

    return lambda: SystemResolver(["127.0.0.1"], port=port, search=[], hosts=None)


def _aiodns(port: int) -> Callable[[], Resolver]:
    from roadstead.dns.cares import CaresResolver

    return lambda: CaresResolver([f"127.0.0.1:{port}"], hosts=None)


async def _measured(
    library: str, make: Callable[[], Resolver], owed: float, clusters: Sequence[Cluster], seconds: float
) -> Share:
    resolver = _Counted(make())
    # Spread over the period, as the names of a mesh are that came into use one by one.
    upkeep = Upkeep(resolver, _Sink(), policy=Policy(jitter=float(TTL)))
    loop = asyncio.create_task(upkeep.run())
    for cluster in clusters:
        upkeep.want(cluster)
    await asyncio.sleep(2 * TTL)
    before, started = resolver.count, time.process_time()
    await asyncio.sleep(seconds)
    look_ups, used = resolver.count - before, time.process_time() - started
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    return Share(library, look_ups, used / max(1, look_ups), owed)


def _clusters(names: int) -> Iterator[Cluster]:
    """Clusters of so many names."""
    text = "".join(
        f"---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{number}}}\nspec:\n"
        f"  hosts: [svc-{number}.example.com]\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  resolution: DNS\n"
        for number in range(names)
    )
    for host in meshes.text_registry("native", text).mesh.hosts.values():
        yield from host.clusters


@contextmanager
def _server() -> Iterator[int]:
    served = subprocess.Popen([sys.executable, "-m", "benchmarks.upkeep.server"], stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout is not None
        yield int(served.stdout.readline())
    finally:
        served.kill()
        served.wait()
