"""requests through a registry: `session.mount("http://", Adapter(registry))`, and the same for "https://"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack
from urllib.parse import urlsplit

from roadstead.clients.options import Options, terms
from roadstead.errors import MissingExtra

try:
    from requests.adapters import HTTPAdapter
except ImportError as error:
    raise MissingExtra("sending requests with requests", "requests", "requests") from error

from roadstead.clients.urllib3 import Door, Wire

if TYPE_CHECKING:
    import requests

    from roadstead.registry.view import View


class Adapter(HTTPAdapter):
    """Sends each request where the registry says, as its rules say: balanced, with retries, time limits, header
    operations, rewrites, redirects, faults, mirrors, connection limits and TLS origination.

    registry: a Registry or a view of one. options: `clients.options.Options`. The session's timeouts hold where the
    route and the cluster set none; its proxies are not asked. `.roadstead` of a response (`Sent`) tells whose
    answer it is."""

    def __init__(
        self,
        registry: View,
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        self._wire = Wire(registry, terms(registry, options))

    def get_connection_with_tls_context(  # type: ignore[override]
        self, request: requests.PreparedRequest, verify: object, proxies: object = None, cert: object = None
    ) -> Door:
        """Of requests."""
        parts = urlsplit(str(request.url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return Door(self._wire, parts.scheme, parts.hostname or "", port)

    def request_url(self, request: requests.PreparedRequest, proxies: object) -> str:
        """Of requests."""
        return request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: object) -> requests.Response:
        """Of requests."""
        made = super().build_response(req, resp)  # type: ignore[arg-type]
        made.roadstead = resp.roadstead  # type: ignore[attr-defined]
        return made

    def close(self) -> None:
        """Close all connections; copies on their way are waited for."""
        self._wire.close()
        super().close()


__all__ = ["Adapter"]
