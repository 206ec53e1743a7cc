"""What is checked, and how a connection to it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from roadstead.mesh import HealthCheck

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Target(msgspec.Struct, frozen=True, gc=False):
    """What is checked, and how; equal targets are one probe. port 0: `address` is the path of a unix socket.
    authority: the Host header. secure: the cluster whose TLS is spoken first, "" for none."""

    address: str
    port: int
    check: HealthCheck
    authority: str
    secure: str = ""


Opener: TypeAlias = Callable[[Target], Awaitable[Streams]]
"""Opens a connection to a target, TLS included. OSError where it cannot."""
