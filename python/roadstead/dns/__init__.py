"""Names kept fresh: what DNS says of the hosts in DNS clusters becomes their endpoints, with Envoy's rules for time and
failure. Logic is in `names` and `clusters`, the loop in `upkeep`; who asks is a `Resolver`: `system.SystemResolver`
(dnspython, extra `dns`) or `cares.CaresResolver` (c-ares, extra `aiodns`, for many names)."""

from __future__ import annotations

from roadstead.dns.answer import Answer, Family, Resolver
from roadstead.dns.names import Policy
from roadstead.dns.upkeep import NameStatus, Sink, Upkeep

__all__ = ["Answer", "Family", "NameStatus", "Policy", "Resolver", "Sink", "Upkeep"]
