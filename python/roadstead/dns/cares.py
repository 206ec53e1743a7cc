"""The resolver for many names: c-ares through aiodns, which also is Envoy's own library."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import partial

from roadstead.dns.answer import Answer, Family
from roadstead.dns.hosts import PATH, HostsFile
from roadstead.errors import LookupFailed, MissingExtra

try:
    import aiodns
    import aiodns.error
except ImportError as error:
    raise MissingExtra("resolving names with c-ares", "aiodns", "aiodns") from error

_FAMILIES = {"V4_ONLY": socket.AF_INET, "V6_ONLY": socket.AF_INET6, "ALL": socket.AF_UNSPEC}
_NOTHING = {aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA}


class CaresResolver:
    """Looks names up with c-ares, as the system is set up (resolv.conf, search domains). A TTL is that of the
    addresses; aliases that led to them do not count, as in Envoy.

    nameservers: "address" or "address:port" instead of those of the system. timeout: seconds a server has for its
    first answer, which doubles from try to try; tries: how often each is asked. hosts: as `SystemResolver`."""

    __slots__ = ("_hosts", "_open", "_resolver")

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        timeout: float = 2.0,
        tries: int = 3,
        hosts: str | os.PathLike[str] | None = PATH,
    ) -> None:
        self._open = partial(aiodns.DNSResolver, nameservers, timeout=timeout, tries=tries, lookups="b")
        self._resolver: aiodns.DNSResolver | None = None
        self._hosts = None if hosts is None else HostsFile(hosts)

    async def look_up(self, name: str, family: Family) -> Answer:
        """As `Resolver.look_up`."""
        if self._hosts is not None and (known := self._hosts.look_up(name, family)) is not None:
            return known
        if self._resolver is None:
            # It belongs to the loop that runs it.
            self._resolver = self._open()
        try:
            found = await self._resolver.getaddrinfo(name, family=_FAMILIES[family], type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            if error.args[0] in _NOTHING:
                return Answer(())
            raise LookupFailed(f"{name}: {error.args[1]}") from error
        nodes = found.nodes
        if not nodes:
            return Answer(())
        addresses = dict.fromkeys(node.addr[0].decode() for node in nodes)
        return Answer(tuple(addresses), float(min(node.ttl for node in nodes)))

    async def close(self) -> None:
        """Close the sockets; another look-up opens them again."""
        resolver, self._resolver = self._resolver, None
        if resolver is not None:
            await resolver.close()
