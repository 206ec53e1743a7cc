"""Which resources the engine means when it refuses a unit.

The engine says what is wrong, not whose fault it is. Each piece of the unit is offered to a builder that is thrown
away; pieces that are refused by themselves name their origin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from roadstead.config import ResourceKey, Severity
from roadstead.errors import EngineError
from roadstead.mesh import HostMesh, Origin
from roadstead.registry.lower import Lowering

if TYPE_CHECKING:
    from roadstead._core import Builder


class Refused(msgspec.Struct, frozen=True):
    """A piece that the engine refuses, or (a warning) that Envoy would not take where it has something better. origin:
    the field that made it."""

    origin: Origin
    reason: str
    code: str = "ENG-1"
    severity: Severity = "error"

    @property
    def key(self) -> ResourceKey:
        """The resource with the field."""
        return ResourceKey(self.origin.kind, self.origin.namespace, self.origin.name)


def refused_pieces(host: HostMesh, builder: Callable[[], Builder]) -> list[Refused]:
    """The pieces of a host that cannot be put, each tried alone; empty if only their combination is refused."""
    found: dict[Origin, Refused] = {}
    for origin, piece in _pieces(host):
        if origin in found:
            continue
        try:
            builder().put(Lowering().unit(piece))
        except EngineError as error:
            found[origin] = Refused(origin, str(error))
    return list(found.values())


def _pieces(host: HostMesh) -> Iterator[tuple[Origin, HostMesh]]:
    for service in host.services:
        yield service.origin, HostMesh(host.key, host.order, services=(service,))
    for cluster in host.clusters:
        origin = cluster.policy.origins[0] if cluster.policy.origins else cluster.origin
        yield origin, HostMesh(host.key, host.order, clusters=(cluster,))
    for virtual_host in host.virtual_hosts:
        for route in virtual_host.routes:
            alone = msgspec.structs.replace(virtual_host, routes=(route,))
            yield route.delegate_origin or route.origin, HostMesh(host.key, host.order, virtual_hosts=(alone,))
    for chain in host.chains:
        yield chain.route.origin, HostMesh(host.key, host.order, chains=(chain,))
