"""PeerAuthentication: which workloads demand mTLS (security.istio.io)."""

from __future__ import annotations

from typing import Literal

from roadstead.config.message import LabelsSelector, Message

MutualTLSMode = Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]


class MutualTLS(Message, frozen=True, kw_only=True):
    """UNSET: what the namespace or the mesh says."""

    mode: MutualTLSMode = "UNSET"


class PeerAuthentication(Message, frozen=True, kw_only=True):
    """selector None: the whole namespace, or the mesh in the root namespace. port_level_mtls: by the workload's
    port."""

    selector: LabelsSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[int, MutualTLS] = {}
