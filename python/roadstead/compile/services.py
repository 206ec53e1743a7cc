"""ServiceEntry → services: one for each host and usable address (Istio: serviceentry/conversion.go, model.Service)."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from roadstead.compile.inputs import Env
from roadstead.config import Resource, ServiceEntry
from roadstead.config.dialect import resolution_of
from roadstead.mesh import Node, Origin, Port, Service
from roadstead.mesh.service import Resolution
from roadstead.protocol import Protocol

NO_ADDRESS = "0.0.0.0"
AUTO_ALLOCATE_LABEL = "networking.istio.io/enable-autoallocate-ip"
TRAFFIC_DISTRIBUTION = "networking.istio.io/traffic-distribution"
CONNECT_STRATEGY = "istio.io/connect-strategy"
RACE = "RACE_FIRST_TCP_CONNECT"

# PreferClose is the older word for PreferSameZone.
_DISTRIBUTIONS = {
    "preferclose": "PreferSameZone",
    "prefersamezone": "PreferSameZone",
    "prefersamenode": "PreferSameNode",
}


def services_of(entry: Resource[ServiceEntry], env: Env) -> tuple[Service, ...]:
    """The services of one entry for one client, each host once, with its addresses in order.

    An entry whose addresses are all unreadable gives none. `auto_addresses` are filled only for a client that captures
    DNS: nobody else ever dials them.
    """
    spec = entry.spec
    addresses = usable_addresses(spec.addresses)
    if not addresses:
        return ()
    ports = ports_of(spec)
    origin = Origin("ServiceEntry", entry.namespace, entry.name)
    annotations = entry.metadata.annotations
    distribution = strategy = ""
    if annotations:
        distribution = _DISTRIBUTIONS.get(annotations.get(TRAFFIC_DISTRIBUTION, "").lower(), "")
        strategy = annotations.get(CONNECT_STRATEGY, "")
    selector = spec.workload_selector
    labels = None if selector is None else selector.labels
    export_to = _words(spec.export_to)
    external = spec.location == "MESH_EXTERNAL"
    families = _families(env.node) if env.captures_dns else ()
    listed = bool(entry.status.addresses)
    made: list[Service] = []
    resolution = resolution_of(spec, env.dialect)
    for host in dict.fromkeys(spec.hosts):
        automatic = _automatic(entry, host, resolution, families) if families and listed else ("", "")
        allocated = _automatic(entry, host, resolution, (4, 6)) if listed else ("", "")
        made += [
            Service(
                host=host,
                namespace=entry.namespace,
                object_name=entry.name,
                address=address,
                auto_addresses=automatic,
                ports=ports,
                resolution=resolution,
                mesh_external=external,
                subject_alt_names=spec.subject_alt_names,
                labels=entry.metadata.labels,
                export_to=export_to,
                selector=labels,
                creation_time=entry.creation_time,
                connect_strategy=strategy,
                traffic_distribution=distribution,
                origin=origin,
                allocated=allocated,
            )
            for address in addresses
        ]
    return tuple(made)


def usable_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """Addresses and CIDRs that can be read, each once, a full mask dropped; ("0.0.0.0",) where none is written."""
    if not addresses:
        return (NO_ADDRESS,)
    return tuple(dict.fromkeys([usable for address in addresses if (usable := _usable(address))]))


def ports_of(spec: ServiceEntry) -> tuple[Port, ...]:
    """The ports of an entry; equal ports are one object."""
    return tuple([_port(port.number, port.name, port.protocol, port.target_port) for port in spec.ports])


def merge(services: Sequence[Service]) -> Service:
    """One service of several with one host and namespace, as clusters and `find` see it.

    The first keeps everything; ports of the others are added where nothing but addresses and alternative names differs.
    """
    first = services[0]
    ports = first.ports
    for other in services[1:]:
        if other.ports != ports and _alike(first, other):
            taken = {port.number for port in ports}
            added = [port for port in other.ports if port.number not in taken]
            if first.resolution == "NONE":
                # Where a dialled port leads is the first one's to say.
                added = [msgspec.structs.replace(port, target_port=0) if port.target_port else port for port in added]
            ports += tuple(added)
    return first if ports is first.ports else msgspec.structs.replace(first, ports=ports)


def trimmed(services: Sequence[Service], ports: Sequence[int]) -> tuple[Service, ...]:
    """Services with only those ports, in that order; those left without any are left out."""
    made = []
    for service in services:
        declared = {port.number: port for port in reversed(service.ports)}
        kept = tuple([declared[number] for number in ports if number in declared])
        if kept:
            made.append(service if kept == service.ports else msgspec.structs.replace(service, ports=kept))
    return tuple(made)


def _alike(one: Service, other: Service) -> bool:
    return (
        one.namespace == other.namespace
        and one.resolution == other.resolution
        and one.labels == other.labels
        and (one.selector or {}) == (other.selector or {})
        and one.export_to == other.export_to
    )


@lru_cache(maxsize=4096)
def _port(number: int, name: str, protocol: str, target_port: int) -> Port:
    return Port(number, name, str(Protocol(protocol)), target_port)


@lru_cache(maxsize=256)
def _words(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(words)


@lru_cache(maxsize=512)
def ip_family(text: str) -> int:
    """4 or 6 for the text of an IP address, 0 for anything else."""
    if ":" not in text and not text[:1].isdigit():
        return 0
    for family, number in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return number
    return 0


def _usable(address: str) -> str:
    text, slash, mask = address.partition("/")
    family = ip_family(text)
    if not family:
        return ""
    if not slash:
        return address
    bits = 32 if family == 4 else 128
    if not (mask.isascii() and mask.isdigit()) or (mask != "0" and mask.startswith("0")) or int(mask) > bits:
        return ""
    return text if int(mask) == bits else address


def _families(node: Node) -> tuple[int, ...]:
    """Address families a client uses; one that says nothing about itself uses IPv4."""
    return tuple(sorted({family for ip in node.ips if (family := ip_family(ip))})) or (4,)


def _automatic(
    entry: Resource[ServiceEntry], host: str, resolution: Resolution, families: Iterable[int]
) -> tuple[str, str]:
    """The (v4, v6) addresses that an allocator wrote into the entry's status for a host."""
    if resolution == "NONE" or entry.spec.addresses:
        return "", ""
    if entry.metadata.labels.get(AUTO_ALLOCATE_LABEL, "").lower() == "false":
        return "", ""
    found = {4: "", 6: ""}
    for address in entry.status.addresses:
        family = ip_family(address.value)
        if address.host == host and family in families:
            # Of several the last one counts.
            found[family] = address.value
    return found[4], found[6]
