"""Endpoints of other networks are reached through those networks' gateways (Istio: xds/endpoints/ep_filters.go)."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

import msgspec

from roadstead.compile.locality import MAX_WEIGHT
from roadstead.compile.services import ip_family
from roadstead.config import MeshNetworks
from roadstead.mesh import Endpoint, LocalityGroup, Node


class Gateways(msgspec.Struct, frozen=True):
    """Gateways by network: (address, port) in order. scale: multiplies all weights, so that they divide evenly."""

    by_network: dict[str, tuple[tuple[str, int], ...]]
    scale: int


def gateways_of(networks: MeshNetworks | None) -> Gateways | None:
    """None where no network has a gateway with an address: then every endpoint is reached directly."""
    if networks is None:
        return None
    found: dict[str, tuple[tuple[str, int], ...]] = {}
    for name, network in networks.networks.items():
        known = {(gateway.address, gateway.port) for gateway in network.gateways if gateway.address}
        if known:
            found[name] = tuple(sorted(known))
    if not found:
        return None
    return Gateways(found, lcm(*[len(members) for members in found.values()]))


def through_gateways(
    groups: Sequence[LocalityGroup], gateways: Gateways, client: Node, mtls: bool | None
) -> tuple[LocalityGroup, ...]:
    """Groups with the endpoints of other networks replaced by gateways that carry their weight.

    mtls: what a rule's tls says for all endpoints, None without one. Without mTLS a gateway cannot tell for whom a
    connection is, so such endpoints are out of reach, as they are where the client has no address of any gateway's
    family.
    """
    families = {family for ip in client.ips if (family := ip_family(ip))}
    return tuple([_through(group, gateways, client.network, families, mtls) for group in groups])


def _through(
    group: LocalityGroup, gateways: Gateways, client_network: str, families: set[int], mtls: bool | None
) -> LocalityGroup:
    direct: list[Endpoint] = []
    carried: dict[tuple[str, str, int], int] = {}
    for endpoint in group.endpoints:
        weight = min(endpoint.weight * gateways.scale, MAX_WEIGHT)
        doors = gateways.by_network.get(endpoint.network, ())
        if not doors or _same_network(endpoint.network, client_network):
            # Among networks a socket is nowhere.
            if endpoint.address and endpoint.kind != "unix":
                direct.append(_with_weight(endpoint, weight))
            continue
        if len(families) == 1:
            doors = tuple([door for door in doors if ip_family(door[0]) in families])
        if not doors or endpoint.tls_mode != "istio" or mtls is False:
            continue
        for address, port in doors:
            door = (endpoint.network, address, port)
            carried[door] = min(carried.get(door, 0) + weight // len(doors), MAX_WEIGHT)
    members = direct + [_door(door, carried[door], group) for door in sorted(carried)]
    weight = min(sum(member.weight for member in members), MAX_WEIGHT)
    return LocalityGroup(group.locality, group.priority, weight, tuple(members))


def _same_network(endpoint: str, client: str) -> bool:
    """A client without a network sees every known network from outside; an endpoint without one is near to all."""
    return endpoint == client or not endpoint


def _with_weight(endpoint: Endpoint, weight: int) -> Endpoint:
    return endpoint if endpoint.weight == weight else msgspec.structs.replace(endpoint, weight=weight)


def _door(door: tuple[str, str, int], weight: int, group: LocalityGroup) -> Endpoint:
    network, address, port = door
    return Endpoint(
        address=address,
        port=port,
        weight=weight,
        labels={"topology.istio.io/network": network},
        locality=group.locality,
        network=network,
        tls_mode="istio",
        priority_tier=group.priority,
    )
