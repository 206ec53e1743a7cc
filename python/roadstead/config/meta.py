"""ObjectMeta, status, and the envelope of a resource."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import msgspec

from roadstead.config.destination_rule import DestinationRule
from roadstead.config.gateway import Gateway
from roadstead.config.peer_authentication import PeerAuthentication
from roadstead.config.service_entry import ServiceEntry
from roadstead.config.sidecar import Sidecar
from roadstead.config.virtual_service import VirtualService
from roadstead.config.workload_entry import WorkloadEntry
from roadstead.config.workload_group import WorkloadGroup

Spec = (
    ServiceEntry
    | WorkloadEntry
    | WorkloadGroup
    | VirtualService
    | DestinationRule
    | Gateway
    | Sidecar
    | PeerAuthentication
)
SpecT_co = TypeVar("SpecT_co", bound=Spec, covariant=True)

DEFAULT_NAMESPACE = "default"
UNDATED = 1704067200.0
"""2024-01-01T00:00:00Z: the one instant at which everything without a creationTimestamp was made. Files rarely carry
one; beside objects that do, Istio's recorded output has the others at this time."""


class ObjectMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """Kubernetes' metadata; what is not named here is allowed and dropped. creation_timestamp: RFC 3339 as written."""

    name: str = ""
    namespace: str = DEFAULT_NAMESPACE
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    generate_name: str = ""
    generation: int = 0
    resource_version: str = ""
    uid: str = ""


class StatusAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """An automatic VIP of one host of a ServiceEntry."""

    value: str = ""
    host: str = ""


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """status: "True", "False" or "Unknown"."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """addresses: of a ServiceEntry. conditions: of a WorkloadEntry above all."""

    addresses: tuple[StatusAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where a resource was read. file: path or other name of the text. index: of the document in it, from 0. line: of
    the document's first line, from 1; 0 without a text. pointer: inside the document, "/items/3" in a List."""

    file: str = ""
    index: int = 0
    line: int = 0
    pointer: str = ""


NOWHERE = Source()
NO_STATUS = Status()


class ResourceKey(NamedTuple):
    """Identity of a resource."""

    kind: str
    namespace: str
    name: str


class Resource(msgspec.Struct, Generic[SpecT_co], frozen=True, kw_only=True, gc=False):
    """One document. api_version: "networking.istio.io/v1" and the like; the versions mean the same."""

    kind: str
    api_version: str
    metadata: ObjectMeta
    spec: SpecT_co
    status: Status = NO_STATUS
    origin: Source = NOWHERE

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """Never empty: "default" where left out."""
        return self.metadata.namespace

    @property
    def key(self) -> ResourceKey:
        return ResourceKey(self.kind, self.metadata.namespace, self.metadata.name)

    @property
    def creation_time(self) -> float:
        """Seconds since the epoch; where left out, one instant for all (UNDATED)."""
        text = self.metadata.creation_timestamp
        return timestamp(text) if text else UNDATED


@lru_cache(maxsize=4096)
def timestamp(text: str) -> float:
    """RFC 3339 → seconds since the epoch. Raises ValueError on anything else."""
    if "T" not in text.upper() or (not text[-1:].upper() == "Z" and text[-6:-5] not in ("+", "-")):
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    return datetime.fromisoformat(text.upper()).timestamp()


__all__ = [
    "DEFAULT_NAMESPACE",
    "Condition",
    "ObjectMeta",
    "Resource",
    "ResourceKey",
    "Source",
    "Spec",
    "Status",
    "StatusAddress",
    "timestamp",
]
