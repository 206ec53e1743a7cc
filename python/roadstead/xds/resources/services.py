"""The services that a node sees, as a list to read and compare."""

from __future__ import annotations

import msgspec

from roadstead.mesh import Mesh, Service

_RESOLUTIONS = {
    "STATIC": "ClientSide",
    "DNS": "DNS",
    "DNS_ROUND_ROBIN": "DNSRoundRobin",
    "NONE": "Passthrough",
    # Istio has a number for it, and no word.
    "DYNAMIC_DNS": "5",
}
_PROTOCOLS = {"": "UnsupportedProtocol", "MONGO": "Mongo", "MYSQL": "MySQL", "REDIS": "Redis", "GRPC-WEB": "GRPC-Web"}


class SeenService(msgspec.Struct, frozen=True, omit_defaults=True):
    """One service. object: the resource it comes from. ports: "number/name/PROTOCOL", None: it has none.
    resolution: Istio's own word. auto_v4, auto_v6: addresses that an allocator gave it."""

    address: str
    hostname: str
    mesh_external: bool
    namespace: str
    object: str
    ports: tuple[str, ...] | None
    resolution: str
    auto_v4: str = ""
    auto_v6: str = ""


def seen_services(mesh: Mesh) -> list[SeenService]:
    """The services of a mesh, in Istio's order."""
    found = [host.services[0] if host.services else host.drawn_in for host in mesh.hosts.values()]
    return [_seen(service) for service in found if service is not None]


def _seen(service: Service) -> SeenService:
    return SeenService(
        service.address,
        service.host,
        service.mesh_external,
        service.namespace,
        service.object_name,
        _ports(service),
        _RESOLUTIONS[service.resolution],
        *service.allocated,
    )


def _ports(service: Service) -> tuple[str, ...] | None:
    words = [f"{port.number}/{port.name}/{_PROTOCOLS.get(port.protocol, port.protocol)}" for port in service.ports]
    return tuple(words) or None
