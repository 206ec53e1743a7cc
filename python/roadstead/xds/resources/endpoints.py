"""Endpoints (EDS) and the assignments inside DNS clusters (Istio: xds/endpoints)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from roadstead.mesh import Endpoint, LocalityGroup
from roadstead.xds.messages import core
from roadstead.xds.messages.cluster import CLUSTER_LOAD_ASSIGNMENT, ENDPOINT, LB_ENDPOINT, LOCALITY_LB_ENDPOINTS
from roadstead.xds.schema import Message

_SOCKET = "unix://"

MAX_WEIGHT = 0xFFFFFFFF


def load_assignment(name: str, groups: Iterable[LocalityGroup], *, only_mtls: bool = False) -> Message:
    """The endpoints of a cluster. only_mtls: of those that speak the mesh's TLS alone; groups stay, if empty."""
    return CLUSTER_LOAD_ASSIGNMENT.shared(cluster_name=name, endpoints=[_group(group, only_mtls) for group in groups])


def _group(group: LocalityGroup, only_mtls: bool) -> Message:
    endpoints, weight = group.endpoints, group.weight
    if only_mtls:
        endpoints = tuple([endpoint for endpoint in endpoints if endpoint.tls_mode == "istio"])
        if len(endpoints) != len(group.endpoints):
            weight = min(sum(endpoint.weight for endpoint in endpoints), MAX_WEIGHT)
        weight = weight if endpoints else 0
    return LOCALITY_LB_ENDPOINTS(
        locality=_locality(group.locality),
        lb_endpoints=[_endpoint(endpoint) for endpoint in endpoints],
        load_balancing_weight=weight or None,
        priority=group.priority,
    )


@lru_cache(maxsize=4096)
def _locality(text: str) -> Message:
    region, zone, sub_zone, *_ = (*text.split("/"), "", "")
    return core.LOCALITY.shared(region=region, zone=zone, sub_zone=sub_zone)


def _endpoint(endpoint: Endpoint) -> Message:
    return LB_ENDPOINT(
        endpoint=ENDPOINT(address=_address(endpoint)),
        health_status=endpoint.health or None,
        metadata=_mtls() if endpoint.tls_mode == "istio" else None,
        load_balancing_weight=endpoint.weight,
    )


def _address(endpoint: Endpoint) -> Message:
    if endpoint.kind == "unix":
        return core.ADDRESS(pipe=core.PIPE(path=endpoint.address))
    return socket_address(endpoint.address, endpoint.port)


def listen_address(address: str, port: int) -> Message:
    """An address and port, or a socket: `unix://` and its path."""
    if address.startswith(_SOCKET):
        return core.ADDRESS(pipe=core.PIPE(path=address.removeprefix(_SOCKET)))
    return socket_address(address, port)


def socket_address(address: str, port: int) -> Message:
    return core.ADDRESS(socket_address=core.SOCKET_ADDRESS(address=address, port_value=port))


@lru_cache(maxsize=1)
def _mtls() -> Message:
    """What makes a cluster's `transport_socket_matches` choose TLS."""
    return core.METADATA.shared(filter_metadata={"envoy.transport_socket_match": {"tlsMode": "istio"}})
