"""What looking a name up gives, and who can look one up."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

Family = Literal["V4_ONLY", "V6_ONLY", "ALL"]
"""Which addresses are asked for (Envoy: dns_lookup_family, as Istio sets it from the node's addresses)."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The name's servers spoke. addresses: distinct, in the order given; empty: the name does not exist or has none of
    the family. ttl: seconds, the least of the records; 0: not told."""

    addresses: tuple[str, ...]
    ttl: float = 0.0


class Resolver(Protocol):
    """Looks names up, without blocking the loop."""

    async def look_up(self, name: str, family: Family) -> Answer:
        """What the servers say now. LookupFailed where none of them says anything that can be used (SERVFAIL, refused,
        silence)."""

    async def close(self) -> None:
        """Give sockets back; no look-up is running then."""
