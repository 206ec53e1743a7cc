"""The signatures of what a registry takes over from its engine unchanged: bound methods kept as attributes.

A method of a Python class around them would add a frame to every request. What each does is said in `_core.pyi`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from roadstead._core import Cluster, Decision, Headers, HostColumn, Service


class Find(Protocol):
    """The service that owns (host, port) for the node, HTTP or not, or None."""

    def __call__(self, host: str, port: int) -> Service | None:
        """The service that owns (host, port) for the node, HTTP or not, or None.

        host: a name or an IP; case, one trailing dot and a port in the text make no difference. A name under a wildcard
        finds the wildcard's service (`service.host == "*.example.com"`), an IP that of a virtual address or of the
        longest CIDR. Never raises for an unknown host."""


class Route(Protocol):
    """Where an HTTP request goes. Never raises for 404, 502, 503: see `Decision.kind`."""

    def __call__(
        self,
        host: str,
        port: int | None = None,
        path: str = "/",
        method: str = "GET",
        headers: Headers | None = None,
        *,
        scheme: str | None = None,
        source_ip: str | None = None,
        original_destination: tuple[str, int] | None = None,
        draw: int | None = None,
    ) -> Decision:
        """Where an HTTP request goes. Never raises for 404, 502 and 503: see `Decision.kind`, `status` and `flags`.

        host: as in the Host header. port: default 443 for https, else 80. path: with its query, as it is sent.
        headers: a mapping or pairs; names in any case, repeats allowed; read only where a rule asks for them.
        scheme: "http" or "https"; default: https where the port's protocol is HTTPS or TLS, else http.
        source_ip: the caller's address, for hashing by source. original_destination: (IP, port) that was dialled, for
        services with resolution NONE. draw: the random number of the decision (weights, faults, mirrors, the
        pick), 0 … 2**64 - 1; default: a fresh one."""


class Connect(Protocol):
    """Where a connection goes (TCP, or TLS by its SNI): a host name selects its service, an IP the listener."""

    def __call__(
        self, host: str, port: int, *, sni: str | None = None, source_ip: str | None = None, draw: int | None = None
    ) -> Decision:
        """Where a connection goes. Never raises for an unknown destination: see `Decision.kind`.

        host: a name selects its service, an IP the listener of that address. sni: the server name of TLS; None: no TLS
        is spoken. source_ip: the caller's address, for hashing by source. draw: the random number, default a fresh
        one."""


class FindMany(Protocol):
    """`find` of whole columns. ports: uint16[n]; out: int32[n], index into `services()` or -1."""

    def __call__(self, hosts: HostColumn, ports: Buffer, out: Buffer) -> None: ...


class RouteMany(Protocol):
    """`route` of whole columns, GET without headers. out: int32[n], index into `clusters()` or -1 where nothing is
    forwarded."""

    def __call__(
        self,
        hosts: HostColumn,
        ports: Buffer,
        out: Buffer,
        *,
        paths: HostColumn | None = None,
        draws: Buffer | None = None,
    ) -> None: ...


class Explain(Protocol):
    """Each route of the decision's virtual host up to the one taken: (index, 1 taken / 0 not, first condition that
    failed)."""

    def __call__(self, decision: Decision) -> Sequence[tuple[int, int, str]]: ...


class Sweep(Protocol):
    """Bring back endpoints whose ejection is over; nanoseconds until there is something to do again, None while nothing
    is ejected."""

    def __call__(self, now: int | None = None) -> int | None:
        """Do the ticks of outlier detection that are due: endpoints come back whose ejection is over.

        now: nanoseconds of the registry's clock, default its time. Nanoseconds until the next tick that has something
        to do; None while nothing is ejected, and then it is soon enough to ask again in a second: an ejection that is
        made meanwhile lasts longer. Costs nothing where nothing is ejected."""


class Services(Protocol):
    """All services in order of their index, None where one was removed."""

    def __call__(self) -> Sequence[Service | None]: ...


class Clusters(Protocol):
    """All clusters in order of their index, None where one was removed."""

    def __call__(self) -> Sequence[Cluster | None]: ...
