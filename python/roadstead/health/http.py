"""A GET on a connection (Envoy: http_health_check; Istio: httpGet of a probe)."""

from __future__ import annotations

import asyncio

from roadstead.errors import MissingExtra
from roadstead.health.session import Result
from roadstead.health.target import AGENT, Target
from roadstead.mesh import WorkloadProbe

try:
    import h11
except ImportError as error:
    raise MissingExtra("active health checks", "health", "h11") from error

_PROBE = "istio-probe/1.0"
_DEGRADED = b"x-envoy-degraded"


async def ask(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Result:
    """Status 200 is good, any other answer bad; to the probe of a WorkloadGroup all below 400 are good."""
    connection = h11.Connection(h11.CLIENT)
    try:
        writer.write(
            connection.send(h11.Request(method="GET", target=target.check.path, headers=_headers(target))) or b""
        )
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Response):
                return _result(event, isinstance(target.check, WorkloadProbe))
            elif isinstance(event, h11.ConnectionClosed):
                return "network"
    except h11.RemoteProtocolError:
        return "network"


def _headers(target: Target) -> list[tuple[str, str]]:
    written = list(target.check.headers)
    if not isinstance(target.check, WorkloadProbe):
        return [("host", target.authority), ("user-agent", AGENT), *written]
    named = any(name.lower() == "user-agent" for name, _ in written)
    # As from Go: another connection for the next.
    return [("host", target.authority), *([] if named else [("user-agent", _PROBE)]), ("connection", "close"), *written]


def _result(answer: h11.Response, is_probe: bool) -> Result:
    if is_probe:
        return "passed" if answer.status_code < 400 else "bad"
    if answer.status_code != 200:
        return "bad"
    return "degraded" if any(name == _DEGRADED for name, _ in answer.headers) else "passed"


__all__ = ["ask"]
