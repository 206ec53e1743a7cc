"""httpx through a registry: `httpx.Client(transport=Transport(registry))`, and the same for `httpx.AsyncClient`."""

from __future__ import annotations

from roadstead.clients.transport import TransportLogic
from roadstead.errors import MissingExtra

try:
    import httpcore
    import httpx
except ImportError as error:
    raise MissingExtra("sending requests with httpx", "httpx", "httpx") from error


class Transport(TransportLogic, httpx.BaseTransport, httpx.AsyncBaseTransport):
    __doc__ = TransportLogic.__doc__
    _library = httpx
    _core = httpcore


__all__ = ["Transport"]
