"""ServiceEntry: services the mesh does not find by itself."""

from __future__ import annotations

from typing import Literal

from roadstead.config.message import Message, UInt32, WorkloadSelector
from roadstead.config.workload_entry import WorkloadEntry

Location = Literal["MESH_EXTERNAL", "MESH_INTERNAL"]
Resolution = Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]


class ServicePort(Message, frozen=True, kw_only=True):
    """protocol: as written; "" means sniffed. target_port 0: the number itself."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0


class ServiceEntry(Message, frozen=True, kw_only=True):
    """addresses: VIPs or CIDRs of every host. resolution None: left out (Istio: NONE; the extended dialect may mean
    DNS)."""

    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Location = "MESH_EXTERNAL"
    resolution: Resolution | None = None
    endpoints: tuple[WorkloadEntry, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
