"""From names to endpoints: what a DNS cluster has while its names mean what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from roadstead.dns.names import NameState
from roadstead.mesh import Cluster, Endpoint

Names: TypeAlias = Mapping[str, NameState]


def names_of(cluster: Cluster) -> tuple[str, ...]:
    """The names that a cluster's endpoints are, each once. Empty: nothing to resolve."""
    return tuple(
        dict.fromkeys(
            endpoint.address for group in cluster.groups for endpoint in group.endpoints if endpoint.kind == "hostname"
        )
    )


def endpoints_of(cluster: Cluster, names: Names, now: float) -> list[Endpoint]:
    """One endpoint for each address (STRICT_DNS; also names in STATIC entries) or the name's first address
    (LOGICAL_DNS: one logical host). Port, weight, locality, labels and health are those of the name's entry; `hostname`
    is its own or the name. Endpoints that are addresses already stay as they are."""
    look: Callable[[NameState, float], tuple[str, ...]]
    look = NameState.first if cluster.type == "LOGICAL_DNS" else NameState.addresses
    made: list[Endpoint] = []
    for group in cluster.groups:
        for endpoint in group.endpoints:
            if endpoint.kind != "hostname":
                made.append(endpoint)
                continue
            hostname = endpoint.hostname or endpoint.address
            made += [
                replace(endpoint, address=address, kind="ip", hostname=hostname)
                for address in look(names[endpoint.address], now)
            ]
    return made
