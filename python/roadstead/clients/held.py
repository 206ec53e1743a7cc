"""Sockets that hold a place among a cluster's connections until their descriptor is closed."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from roadstead._core import ConnectionLease


class Held(socket.socket):
    """A socket with a lease, which ends with it (after `makefile`: with the last file of it)."""

    lease: ConnectionLease | None = None

    def close(self) -> None:
        """As every socket's."""
        super().close()
        if self.lease is not None and self.fileno() == -1:
            self.lease.finish()

    def detach(self) -> int:
        """As every socket's; the place is held until the descriptor is closed, which `give_back` looks for. TLS that
        the caller puts over the socket takes its descriptor this way."""
        number = super().detach()
        if self.lease is not None:
            _watch(number, self.lease)
        return number


class HeldProtocol(asyncio.StreamReaderProtocol):
    """The same for asyncio's streams."""

    _lease: ConnectionLease | None = None
    _is_lost = False

    def hold(self, lease: ConnectionLease) -> None:
        """From now on; over at once where the connection is."""
        self._lease = lease
        if self._is_lost:
            lease.finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        self._is_lost = True
        if self._lease is not None:
            self._lease.finish()
        super().connection_lost(exc)


def holding(context: ssl.SSLContext) -> None:
    """Make the sockets of a context such."""
    if not issubclass(context.sslsocket_class, Held):
        context.sslsocket_class = type("HeldTlsSocket", (Held, context.sslsocket_class), {})


class _Detached(NamedTuple):
    """A descriptor that somebody else closes. mark: what it was; a number is soon somebody else's."""

    number: int
    mark: tuple[int, int]
    lease: ConnectionLease


_detached: list[_Detached] = []
_lock = threading.Lock()


def give_back() -> None:
    """End the leases of detached descriptors that are closed by now."""
    if not _detached:
        return
    with _lock:
        over = [one for one in _detached if _mark(one.number) != one.mark]
        for one in over:
            _detached.remove(one)
    for one in over:
        one.lease.finish()


def _watch(number: int, lease: ConnectionLease) -> None:
    mark = _mark(number)
    if mark is None:
        # The descriptor cannot be looked at (systems whose sockets are no files).
        lease.finish()
        return
    with _lock:
        _detached.append(_Detached(number, mark, lease))


def _mark(number: int) -> tuple[int, int] | None:
    try:
        stat = os.fstat(number)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


__all__ = ["Held", "HeldProtocol", "give_back", "holding"]
