"""WorkloadEntry: one workload outside Kubernetes; also the endpoints of a ServiceEntry."""

from __future__ import annotations

from roadstead.config.message import Message, UInt32


class WorkloadEntry(Message, frozen=True, kw_only=True):
    """address: IP, host name or "unix:///path". ports: service port name → number here. locality:
    "region/zone/subzone". weight: 0 means 1. service_account: makes the workload's SPIFFE identity, and mTLS
    possible."""

    address: str = ""
    ports: dict[str, UInt32] = {}
    labels: dict[str, str] = {}
    network: str = ""
    locality: str = ""
    weight: UInt32 = 0
    service_account: str = ""
