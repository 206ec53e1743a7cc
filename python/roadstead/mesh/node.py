"""The client for which a mesh is compiled (Istio: model.Proxy)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """The workload that asks: what it sees (namespace, labels) and what is near (locality, network, cluster).

    type: "sidecar", or "router" for a gateway (Istio: SidecarProxy, Router), whose rules are those of the Gateways that
    select its labels. namespace: decides exportTo, Sidecar and where DestinationRules are looked for. labels: matched
    by workloadSelector, sourceLabels and a Gateway's selector. locality: "region/zone/subzone", "" = unknown, and
    nothing is nearer than anything else. network, cluster: Istio's network and cluster id; "" = the default network.
    ips: its own addresses; they decide between IPv4 and IPv6. dns_domain: "" = `<namespace>.svc.cluster.local`. name:
    the pod's, for display. metadata: Istio's node metadata, values as text ({"DNS_CAPTURE": "true"})."""

    type: Literal["sidecar", "router"] = "sidecar"
    name: str = ""
    namespace: str = "default"
    labels: dict[str, str] = {}
    locality: str = ""
    network: str = ""
    cluster: str = "Kubernetes"
    ips: tuple[str, ...] = ()
    dns_domain: str = ""
    metadata: dict[str, str] = {}

    @classmethod
    def from_json(cls, path: str | Path) -> Node:
        """Read the description of a client from a JSON file: an object with any of type name namespace labels locality
        network cluster ip ips metadata dns_domain. OSError where it cannot be read, msgspec.MsgspecError for other
        content, unknown fields included."""
        raw = msgspec.json.decode(Path(path).read_bytes(), type=_NodeFile)
        ips = ((raw.ip,) if raw.ip else ()) + tuple(ip for ip in raw.ips if ip != raw.ip)
        return cls(
            type=raw.type,
            name=raw.name,
            namespace=raw.namespace,
            labels=raw.labels,
            locality=raw.locality,
            network=raw.network,
            cluster=raw.cluster,
            ips=ips,
            dns_domain=raw.dns_domain,
            metadata={name: _text(value) for name, value in raw.metadata.items()},
        )

    @property
    def domain(self) -> str:
        """DNS domain of the workload; default `<namespace>.svc.cluster.local`."""
        return self.dns_domain or f"{self.namespace}.svc.cluster.local"

    @property
    def dns_capture(self) -> bool:
        """Whether names are resolved to virtual addresses for this client (ISTIO_META_DNS_CAPTURE)."""
        return self.metadata.get("DNS_CAPTURE", "").lower() == "true"


def _text(value: msgspec.Raw) -> str:
    """Text as it is, anything else as JSON: Istio's own metadata has numbers and objects too."""
    return str(msgspec.json.decode(value, type=str)) if bytes(value)[:1] == b'"' else bytes(value).decode()


class _NodeFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    type: Literal["sidecar", "router"] = "sidecar"
    name: str = ""
    namespace: str = "default"
    labels: dict[str, str] = {}
    locality: str = ""
    network: str = ""
    cluster: str = "Kubernetes"
    ip: str = ""
    ips: list[str] = []
    dns_domain: str = ""
    metadata: dict[str, msgspec.Raw] = {}
