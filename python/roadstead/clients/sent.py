"""What the clients of all libraries have in common beside the logic: what they tell of a response, socket options."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from roadstead.mesh import Keepalive

if TYPE_CHECKING:
    from roadstead._core import Decision


class Sent(NamedTuple):
    """Whose answer a response is. flags and details: Envoy's; "" for an upstream's."""

    decision: Decision
    flags: str
    details: str


def keepalive_options(keepalive: Keepalive | None) -> list[tuple[int, int, int]]:
    """Socket options of a cluster's connections. None: keepalive is off, as in Envoy."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    if keepalive is None:
        return options
    options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    for name, value in (
        ("TCP_KEEPCNT", keepalive.probes),
        ("TCP_KEEPIDLE", keepalive.time),
        ("TCP_KEEPINTVL", keepalive.interval),
    ):
        number = getattr(socket, name, None)
        if number is not None and value is not None:
            options.append((socket.IPPROTO_TCP, number, max(1, round(value))))
    return options
