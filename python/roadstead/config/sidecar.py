"""Sidecar: what a namespace's workloads see of the mesh, and how they take traffic."""

from __future__ import annotations

from typing import Literal

from roadstead.config.destination_rule import ConnectionPoolSettings
from roadstead.config.gateway import ServerTLSSettings
from roadstead.config.message import Message, UInt32, WorkloadSelector
from roadstead.config.virtual_service import Destination

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]
OutboundMode = Literal["REGISTRY_ONLY", "ALLOW_ANY"]


class SidecarPort(Message, frozen=True, kw_only=True):
    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0


class IstioIngressListener(Message, frozen=True, kw_only=True):
    """default_endpoint: "127.0.0.1:port" or "unix:///path"."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    default_endpoint: str = ""
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None


class IstioEgressListener(Message, frozen=True, kw_only=True):
    """hosts: "namespace/name"; namespace "*" any, "." own, "~" none. port None: every port."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    hosts: tuple[str, ...] = ()


class OutboundTrafficPolicy(Message, frozen=True, kw_only=True):
    """Unknown destinations. An empty policy means REGISTRY_ONLY; a Sidecar without one takes the mesh's mode."""

    mode: OutboundMode = "REGISTRY_ONLY"
    egress_proxy: Destination | None = None


class Sidecar(Message, frozen=True, kw_only=True):
    """workload_selector None: the namespace's default. egress (): everything exported to the namespace."""

    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    inbound_connection_pool: ConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
