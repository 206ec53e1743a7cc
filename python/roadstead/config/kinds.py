"""The kinds that are read: group, versions, and the struct of the spec."""

from __future__ import annotations

import msgspec

from roadstead.config.destination_rule import DestinationRule
from roadstead.config.gateway import Gateway
from roadstead.config.meta import Spec
from roadstead.config.peer_authentication import PeerAuthentication
from roadstead.config.service_entry import ServiceEntry
from roadstead.config.sidecar import Sidecar
from roadstead.config.virtual_service import VirtualService
from roadstead.config.workload_entry import WorkloadEntry
from roadstead.config.workload_group import WorkloadGroup

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
_NETWORKING_VERSIONS = ("v1", "v1beta1", "v1alpha3")


class Kind(msgspec.Struct, frozen=True):
    """versions mean the same. spec_required: whether a document without `spec` is refused as such."""

    name: str
    spec: type[Spec]
    group: str = NETWORKING
    versions: tuple[str, ...] = _NETWORKING_VERSIONS
    spec_required: bool = False
    short_names: tuple[str, ...] = ()
    plural: str = ""

    @property
    def api_versions(self) -> tuple[str, ...]:
        return tuple(f"{self.group}/{version}" for version in self.versions)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("ServiceEntry", ServiceEntry, spec_required=True, short_names=("se",), plural="serviceentries"),
        Kind("WorkloadEntry", WorkloadEntry, spec_required=True, short_names=("we",), plural="workloadentries"),
        Kind("WorkloadGroup", WorkloadGroup, spec_required=True, short_names=("wg",), plural="workloadgroups"),
        Kind("VirtualService", VirtualService, short_names=("vs",), plural="virtualservices"),
        Kind("DestinationRule", DestinationRule, short_names=("dr",), plural="destinationrules"),
        Kind("Gateway", Gateway, short_names=("gw",), plural="gateways"),
        Kind("Sidecar", Sidecar, plural="sidecars"),
        Kind(
            "PeerAuthentication",
            PeerAuthentication,
            SECURITY,
            ("v1", "v1beta1"),
            short_names=("pa",),
            plural="peerauthentications",
        ),
    )
}

__all__ = ["KINDS", "NETWORKING", "SECURITY", "Kind"]
