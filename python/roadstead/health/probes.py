"""One check of one address: HTTP, gRPC or TCP. The result says all, nothing is raised."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import Iterable
from functools import lru_cache

from roadstead.health.session import Result
from roadstead.health.target import Opener, Streams, Target, open_plain
from roadstead.mesh import HealthCheck, WorkloadProbe


def need(checks: Iterable[HealthCheck]) -> None:
    """Load what these checks are made with; MissingExtra where a library is not installed."""
    for kind in {check.kind for check in checks}:
        if kind != "tcp":
            importlib.import_module(f"roadstead.health.{kind}")


async def probe(target: Target, opener: Opener = open_plain) -> Result:
    """Check once, on a connection of its own. opener: for what speaks the TLS of its cluster; a WorkloadGroup's probe
    says itself whether there is any."""
    if isinstance(target.check, WorkloadProbe):
        opener = _open_unverified if target.check.https else open_plain
    try:
        async with asyncio.timeout(target.check.timeout):
            reader, writer = await opener(target)
            try:
                return await _ask(target, reader, writer)
            finally:
                writer.close()
    except TimeoutError:
        return "timeout"
    except (OSError, ssl.SSLError):
        return "network"


async def _ask(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Result:
    if target.check.kind == "http":
        from roadstead.health import http

        return await http.ask(target, reader, writer)
    if target.check.kind == "grpc":
        from roadstead.health import grpc

        return await grpc.ask(target, reader, writer, secure=writer.get_extra_info("ssl_object") is not None)
    return "passed"


async def _open_unverified(target: Target) -> Streams:
    """TLS whose certificate is not looked at, as Istio's agent speaks it."""
    return await asyncio.open_connection(target.address, target.port, ssl=_unverified(), server_hostname="")


@lru_cache(maxsize=1)
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
