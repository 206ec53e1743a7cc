"""One check of one address: HTTP or TCP (Envoy: http_health_check, tcp_health_check). The result says all, nothing is
raised."""

from __future__ import annotations

import asyncio
import ssl

from roadstead.errors import MissingExtra
from roadstead.health.session import Result
from roadstead.health.target import Opener, Streams, Target

try:
    import h11
except ImportError as error:
    raise MissingExtra("active health checks", "health", "h11") from error

_AGENT = "Envoy/HC"
_DEGRADED = b"x-envoy-degraded"


async def open_plain(target: Target) -> Streams:
    """A connection without TLS."""
    if not target.port:
        return await asyncio.open_unix_connection(target.address)
    return await asyncio.open_connection(target.address, target.port)


async def probe(target: Target, opener: Opener = open_plain) -> Result:
    """Check once, on a connection of its own."""
    try:
        async with asyncio.timeout(target.check.timeout):
            reader, writer = await opener(target)
            try:
                return await _ask(target, reader, writer) if target.check.path else "passed"
            finally:
                writer.close()
    except TimeoutError:
        return "timeout"
    except (OSError, ssl.SSLError, h11.RemoteProtocolError):
        return "network"


async def _ask(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Result:
    """Status 200 is good, any other answer bad."""
    connection = h11.Connection(h11.CLIENT)
    headers = [("host", target.authority), ("user-agent", _AGENT), *target.check.headers]
    writer.write(connection.send(h11.Request(method="GET", target=target.check.path, headers=headers)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            if event.status_code != 200:
                return "bad"
            return "degraded" if any(name == _DEGRADED for name, _ in event.headers) else "passed"
        elif isinstance(event, h11.ConnectionClosed):
            return "network"
