"""Sockets that hold a place among a cluster's connections until they are closed, and then tell what moved."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from roadstead.clients.lifetime import Mark, mark

if TYPE_CHECKING:
    from roadstead._core import ConnectionLease, Decision

# Of Linux's struct tcp_info: bytes received, sent, sent again.
_TCP_INFO, _RECEIVED, _SENT, _SENT_AGAIN = 216, 128, 200, 208


class Flow(Protocol):
    """A connection as whoever counts them knows it (`metrics.istio.Flow`)."""

    read: Callable[[], tuple[int, int]] | None

    def moved(self, sent: int, received: int) -> None:
        """So many bytes, since it was opened; see `opened`."""

    def closed(self, flags: str = "") -> None:
        """It is over."""


class ConnectionRecorder(Protocol):
    """Hears of connections (`metrics.istio.ConnectionRecorder`)."""

    def opened(self, decision: Decision, read: Callable[[], tuple[int, int]] | None = None) -> Flow:
        """One was let in. read: tells the bytes so far as Istio names them: sent are those of responses, received those
        of requests, whoever counts."""


class Place:
    """What ends with a connection: its place among the cluster's, and its entry in the metrics. Ended once."""

    __slots__ = ("_flow", "_lease")

    def __init__(self, lease: ConnectionLease, flow: Flow | None) -> None:
        self._lease = lease
        self._flow = flow

    def read_by(self, read: Callable[[], tuple[int, int]]) -> None:
        """How the bytes that moved are found out from now on."""
        if self._flow is not None:
            self._flow.read = read
            self.moved()

    def moved(self) -> None:
        """Take down what moved, while it can be seen."""
        if self._flow is not None and self._flow.read is not None:
            self._flow.moved(*self._flow.read())

    def over(self) -> None:
        """It was ended while its socket is still open."""
        self.moved()
        self.end()

    def end(self) -> None:
        """The connection is over."""
        self._lease.finish()
        if self._flow is not None:
            self._flow.closed()


class Held(socket.socket):
    """A socket with a place, which ends with it (after `makefile`: with the last file of it)."""

    place: Place | None = None

    def close(self) -> None:
        """As every socket's."""
        if self.place is not None:
            self.place.moved()
        super().close()
        if self.place is not None and self.fileno() == -1:
            self.place.end()

    def detach(self) -> int:
        """As every socket's; the place is held until the descriptor is closed, which `give_back` looks for. TLS that
        the caller puts over the socket takes its descriptor this way."""
        number = super().detach()
        if self.place is not None:
            _watch(number, self.place)
        return number


class HeldProtocol(asyncio.StreamReaderProtocol):
    """The same for asyncio's streams."""

    _place: Place | None = None
    _is_lost = False

    def hold(self, place: Place) -> None:
        """From now on; over at once where the connection is."""
        self._place = place
        if self._is_lost:
            place.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        self._is_lost = True
        if self._place is not None:
            self._place.moved()
            self._place.end()
        super().connection_lost(exc)


def holding(context: ssl.SSLContext) -> None:
    """Make the sockets of a context such."""
    if not issubclass(context.sslsocket_class, Held):
        context.sslsocket_class = type("HeldTlsSocket", (Held, context.sslsocket_class), {})


class _Detached(NamedTuple):
    """A descriptor that somebody else closes."""

    number: int
    mark: Mark
    place: Place


_detached: list[_Detached] = []
_lock = threading.Lock()


def give_back() -> None:
    """End the leases of detached descriptors that are closed by now."""
    if not _detached:
        return
    with _lock:
        over = [one for one in _detached if mark(one.number) != one.mark]
        for one in over:
            _detached.remove(one)
    for one in over:
        one.place.end()


def _watch(number: int, place: Place) -> None:
    known = mark(number)
    if known is None:
        # Nobody would ever find out that it is closed.
        place.end()
        return
    place.read_by(partial(_moved_of, number, known))
    with _lock:
        _detached.append(_Detached(number, known, place))


def moved(made: socket.socket) -> tuple[int, int]:
    """Bytes (of responses, of requests) of a client's TCP connection as the system counts them, those of TLS included;
    (0, 0) where it does not tell."""
    try:
        told = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO)
    except (OSError, AttributeError):
        return 0, 0
    if len(told) < _TCP_INFO:
        return 0, 0
    received, sent, again = (struct.unpack_from("=Q", told, at)[0] for at in (_RECEIVED, _SENT, _SENT_AGAIN))
    return received, sent - again


def _moved_of(number: int, known: Mark) -> tuple[int, int]:
    """The same of a descriptor that somebody else has."""
    if mark(number) != known:
        return 0, 0
    try:
        with socket.socket(fileno=os.dup(number)) as copy:
            return moved(copy)
    except OSError:
        return 0, 0


__all__ = ["ConnectionRecorder", "Held", "HeldProtocol", "Place", "give_back", "holding", "moved"]
