"""Connections that are no HTTP: TLS by its server name, without ending it, and TCP by the address that was dialled."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from roadstead.metrics.access_log import Entry
from roadstead.proxy.downstream import keep_alive
from roadstead.proxy.ends import End
from roadstead.proxy.flow import Flow, name_of
from roadstead.proxy.hello import HelloReader, NoHello
from roadstead.proxy.messages import Refusal
from roadstead.proxy.shared import milliseconds, wall
from roadstead.proxy.tunnel import address_of, opened, splice
from roadstead.proxy_protocol import Peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from roadstead._core import Decision
    from roadstead.proxy.shared import Shared

# linux/netfilter_ipv4.h, netfilter_ipv6/ip6_tables.h: what the client dialled before it was redirected here.
_SO_ORIGINAL_DST = 80


class Wanted(NamedTuple):
    """Where a connection wants to go. sni: of its TLS; None: none is spoken, or it is not looked for."""

    host: str
    port: int
    sni: str | None = None


class Connection(Flow):
    """A client's connection that is carried as it is. wanted: where to; None: to the address that was dialled.
    by_name: its TLS says where to, at port `port` (0: the one that was dialled)."""

    def __init__(
        self,
        shared: Shared,
        wanted: Wanted | None,
        *,
        by_name: bool,
        port: int,
        may_pass: bool,
        gone: Callable[[Connection], None],
    ) -> None:
        super().__init__()
        self.shared = shared
        self._wanted = wanted
        self._by_name = by_name
        self._port = port
        self._may_pass = may_pass
        self._gone = gone
        self._hello: HelloReader | None = HelloReader() if by_name else None
        self._first = b""
        self._named: asyncio.Future[None] = self._loop.create_future()
        self._began = self._loop.time()
        self._decision: Decision | None = None
        self._host: str | None = None
        self._flags = ""
        self._details: str | None = None
        self._failure: str | None = None
        self._termination: str | None = None
        self._is_handed_over = False
        self._received = self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        super().connection_made(transport)
        self._socket = transport.get_extra_info("socket")
        self._local = transport.get_extra_info("sockname")
        self._peer = transport.get_extra_info("peername")
        keep_alive(self._socket)
        if self._hello is None:
            self.hold()
        self._task = self._loop.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol: the beginning of a TLS handshake."""
        self._first += data
        if self._named.done() or self._hello is None:
            return
        try:
            if self._hello.feed(data):
                self.hold()
                self._named.set_result(None)
        except NoHello as error:
            self._unnamed(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        super().connection_lost(exc)
        self._task.cancel()

    def sweep(self, now: float) -> None:
        """End a handshake that takes too long."""
        limit = self.shared.limits.headers_timeout
        if self._hello is not None and not self._named.done() and limit is not None and now - self._began > limit:
            self._unnamed(NoHello("no ClientHello in time"))

    def _unnamed(self, error: NoHello) -> None:
        self._named.set_exception(error)
        # Who was cut off meanwhile does not ask.
        self._named.exception()

    def drain(self) -> None:
        """A connection has no end of its own to wait for: it goes on until the time to drain is over."""

    def abort(self) -> None:
        """Cut it off."""
        self._task.cancel()

    async def over(self) -> None:
        """Returns when the connection is served to its end."""
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        try:
            await self._carried()
        except NoHello as error:
            self._details = f"tls_inspector: {error}"
        except Refusal as refusal:
            self._flags, self._details, self._failure = refusal.flags, refusal.details, refusal.text
        except asyncio.CancelledError:
            self._flags = self._flags or "DC"
            raise
        finally:
            self._tell()
            self._gone(self)
            if not self._is_handed_over:
                self.cut()

    async def _carried(self) -> None:
        if self._hello is not None:
            await self._named
        wanted = self._destination()
        decision = self._decision = self.shared.view.connect(
            wanted.host, wanted.port, sni=wanted.sni, source_ip=str(self._peer[0]) if self._peer else None
        )
        self.shared.admit(decision, wanted.host, wanted.port, may_pass=self._may_pass)
        peers = Peers(self._peer[:2], _dialled(self._socket, self._local)) if self._peer else None
        made = await opened(self.shared, decision, wanted.host, wanted.port, peers)
        self._host = address_of(made.target)
        try:
            near = End()
            self._is_handed_over = True
            self.transport.set_protocol(near)
            near.connection_made(self.transport)
            made.place.read_by(lambda: (made.end.total, near.total))
            try:
                self._termination = await splice(near, made.end, self._first, made.policy) or None
            finally:
                self._received, self._sent = near.total, made.end.total
        finally:
            made.place.end()
            made.end.transport.abort()

    def _destination(self) -> Wanted:
        if self._wanted is not None:
            return self._wanted
        host, port = _dialled(self._socket, self._local)
        if not self._by_name:
            return Wanted(host, port)
        assert self._hello is not None
        name = self._hello.name
        if name is None:
            raise Refusal(0, "no_server_name", "the client's TLS names no server (SNI)", "NR")
        return Wanted(name, self._port or port, name)

    def _tell(self) -> None:
        now = self._loop.time()
        shared, decision = self.shared, self._decision
        shared.log(
            Entry(
                wall(now - self._began),
                flags=self._flags,
                details=self._details,
                termination=self._termination,
                failure=self._failure,
                received=self._received,
                sent=self._sent,
                duration=milliseconds(self._began, now),
                upstream_host=self._host,
                upstream_cluster=None if decision is None else decision.cluster_name or None,
                downstream_local=name_of(self._local),
                downstream_remote=name_of(self._peer),
                server_name=None if self._hello is None else self._hello.name,
            )
        )


def _dialled(sock: socket.socket | None, local: object) -> tuple[str, int]:
    """What the client dialled: before a redirect by the system's firewall, else the address it reached."""
    if sock is not None:
        with contextlib.suppress(OSError, struct.error):
            if sock.family == socket.AF_INET:
                port, address = struct.unpack("!2xH4s8x", sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
            else:
                raw = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
                port, address = struct.unpack("!2xH4x16s4x", raw)
            return str(ipaddress.ip_address(address)), int(port)
    assert isinstance(local, tuple)
    host = ipaddress.ip_address(str(local[0]).partition("%")[0])
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return str(mapped or host), int(local[1])


__all__ = ["Connection", "Wanted"]
