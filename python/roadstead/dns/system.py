"""The default resolver: dnspython, set up as the system is (resolv.conf: servers, search domains, ndots, options)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from roadstead.dns.answer import Answer, Family
from roadstead.dns.hosts import PATH, HostsFile
from roadstead.errors import LookupFailed, MissingExtra

try:
    import dns.asyncresolver
    import dns.exception
    import dns.name
    import dns.rdatatype
    import dns.resolver
except ImportError as error:
    raise MissingExtra("resolving names", "dns", "dnspython") from error

_TYPES = {"V4_ONLY": ("A",), "V6_ONLY": ("AAAA",), "ALL": ("AAAA", "A")}


class SystemResolver:
    """Looks names up with dnspython.

    nameservers: addresses instead of those of the system; port: theirs. timeout: seconds for one look-up, all servers
    and tries together. hosts: a hosts file that is asked first; None: none."""

    __slots__ = ("_hosts", "_resolver", "_timeout")

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        port: int = 53,
        timeout: float = 5.0,
        search: Sequence[str] | None = None,
        hosts: str | os.PathLike[str] | None = PATH,
    ) -> None:
        resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
        if nameservers is not None:
            resolver.nameservers = list(nameservers)
            resolver.port = port
        if search is not None:
            resolver.search = [dns.name.from_text(domain) for domain in search]
        # Refreshing is the names' business: a cache underneath would answer with what is just to be renewed.
        resolver.cache = None
        self._resolver = resolver
        self._timeout = timeout
        self._hosts = None if hosts is None else HostsFile(hosts)

    async def look_up(self, name: str, family: Family) -> Answer:
        """As `Resolver.look_up`. A name that ends with a dot is not tried in search domains."""
        if self._hosts is not None and (known := self._hosts.look_up(name, family)) is not None:
            return known
        types = _TYPES[family]
        if len(types) == 1:
            return await self._ask(name, types[0])
        said = await asyncio.gather(*[self._ask(name, kind) for kind in types], return_exceptions=True)
        return merged(said)

    async def close(self) -> None:
        """Nothing is kept open between look-ups."""

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            answer = await self._resolver.resolve(
                name, kind, search=True, lifetime=self._timeout, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return Answer(())
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(f"{name}: {str(error) or type(error).__name__}") from error
        if answer.rrset is None:
            return Answer(())
        addresses = dict.fromkeys(record.address for record in answer.rrset)
        return Answer(tuple(addresses), float(answer.chaining_result.minimum_ttl))


def merged(said: Sequence[Answer | BaseException]) -> Answer:
    """Of both families: what either found; only where neither found any, a failure counts."""
    answers = [one for one in said if isinstance(one, Answer)]
    addresses = [address for answer in answers for address in answer.addresses]
    if not addresses:
        for one in said:
            if isinstance(one, BaseException):
                raise one
        return Answer(())
    return Answer(tuple(addresses), min(answer.ttl for answer in answers if answer.addresses))
