"""The services that a node sees, as a list to read and compare."""

from __future__ import annotations

import msgspec

from roadstead.mesh import Mesh, Service

_RESOLUTIONS = {
    "STATIC": "ClientSide",
    "DNS": "DNS",
    "DNS_ROUND_ROBIN": "DNSRoundRobin",
    "NONE": "Passthrough",
    "DYNAMIC_DNS": "DynamicDNS",
}


class SeenService(msgspec.Struct, frozen=True, omit_defaults=True):
    """One service. object: the resource it comes from. ports: "number/name/PROTOCOL". resolution: Istio's own word.
    auto_v4, auto_v6: addresses that an allocator gave it."""

    address: str
    hostname: str
    mesh_external: bool
    namespace: str
    object: str
    ports: tuple[str, ...]
    resolution: str
    auto_v4: str = ""
    auto_v6: str = ""


def seen_services(mesh: Mesh) -> list[SeenService]:
    """The services of a mesh, in Istio's order."""
    return [_seen(host.services[0]) for host in mesh.hosts.values() if host.services]


def _seen(service: Service) -> SeenService:
    return SeenService(
        service.address,
        service.host,
        service.mesh_external,
        service.namespace,
        service.object_name,
        tuple([f"{port.number}/{port.name}/{port.protocol or 'UnsupportedProtocol'}" for port in service.ports]),
        _RESOLUTIONS[service.resolution],
        *service.allocated,
    )
