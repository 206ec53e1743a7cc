"""httpx2 through a registry: `httpx2.Client(transport=Transport(registry))`, and the same for `httpx2.AsyncClient`."""

from __future__ import annotations

from roadstead.clients.transport import TransportLogic
from roadstead.errors import MissingExtra

try:
    import httpcore2
    import httpx2
except ImportError as error:
    raise MissingExtra("sending requests with httpx2", "httpx2", "httpx2") from error


class Transport(TransportLogic, httpx2.BaseTransport, httpx2.AsyncBaseTransport):  # type: ignore[misc]
    __doc__ = TransportLogic.__doc__
    _library = httpx2
    _core = httpcore2


__all__ = ["Transport"]
