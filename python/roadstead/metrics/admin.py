"""Envoy's admin interface over a registry: a small HTTP server for people and scrapers, on loopback.

with serve(registry, "127.0.0.1:15000") as admin:
    admin.address  # ("127.0.0.1", 15000)
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from roadstead.errors import InputError
from roadstead.metrics import formats
from roadstead.metrics.envoy import ClusterLabel, ClusterStats, text

if TYPE_CHECKING:
    from types import TracebackType

    from roadstead.registry.view import View

_PLAIN = "text/plain; charset=UTF-8"
_JSON = "application/json"


class Answer(NamedTuple):
    status: int
    content_type: str
    body: str


Query: TypeAlias = dict[str, list[str]]


class AdminPages:
    """The answers, without a server. label: as in `envoy.ClusterCollector`."""

    def __init__(self, view: View, *, label: ClusterLabel = "envoy_cluster_name") -> None:
        self._view = view
        self._label = label
        self._stats = ClusterStats(view)
        self._pages: dict[str, Callable[[Query], Answer]] = {
            "/clusters": self._clusters,
            "/config_dump": self._config_dump,
            "/ready": lambda _: Answer(200, _PLAIN, "LIVE\n"),
            "/server_info": lambda _: Answer(200, _JSON, formats.server_info(view)),
            "/stats": self._of_stats,
            "/stats/prometheus": lambda _: Answer(200, _PLAIN, text(self._stats, label=label)),
        }

    def get(self, target: str) -> Answer:
        """What is said of a path with its query."""
        parts = urlsplit(target)
        page = self._pages.get(parts.path)
        if page is None:
            known = "".join(f"  {path}\n" for path in self._pages)
            return Answer(404, _PLAIN, f"invalid path. admin commands are:\n{known}")
        try:
            return page(parse_qs(parts.query, keep_blank_values=True))
        except InputError as error:
            return Answer(400, _PLAIN, str(error))

    def _clusters(self, query: Query) -> Answer:
        if _format(query, "clusters", ("json", "text")) == "json":
            return Answer(200, _JSON, formats.clusters_json(self._view))
        return Answer(200, _PLAIN, formats.clusters_text(self._view))

    def _config_dump(self, query: Query) -> Answer:
        for name in query.keys() - {"include_eds"}:
            raise InputError(f"/config_dump: {name} is not supported; include_eds is")
        return Answer(200, _JSON, formats.config_dump(self._view, include_eds="include_eds" in query))

    def _of_stats(self, query: Query) -> Answer:
        kind = _format(query, "stats", ("json", "prometheus", "text"))
        pattern, used_only = query.get("filter", [""])[0], "usedonly" in query
        if kind == "prometheus":
            return Answer(200, _PLAIN, text(self._stats, label=self._label))
        if kind == "json":
            return Answer(200, _JSON, formats.stats_json(self._stats, pattern=pattern, used_only=used_only))
        return Answer(200, _PLAIN, formats.stats_text(self._stats, pattern=pattern, used_only=used_only))


class Admin:
    """A running admin server; `close`, or leave it as a context manager, to end it."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="roadstead-admin", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Stop listening; answers on their way are finished."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    view: View,
    address: str = "127.0.0.1:15000",
    *,
    label: ClusterLabel = "envoy_cluster_name",
    beyond_loopback: bool = False,
) -> Admin:
    """Serve a registry's admin pages from a thread. address: "host:port", port 0 for a free one.

    What is told shows all of the configuration and asks nobody who they are, so an address that is not loopback is
    refused (InputError) without `beyond_loopback`. OSError where it cannot listen."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise InputError(f"address {address!r}: write host:port, as 127.0.0.1:15000")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError as error:
        raise InputError(f"address {address!r}: {host!r} is no IP address; write one, as 127.0.0.1") from error
    if not ip.is_loopback and not beyond_loopback:
        raise InputError(
            f"address {address!r} is not loopback: the admin pages are open to whoever reaches them;"
            " give beyond_loopback=True if that is meant"
        )
    handler = type("Handler", (_Handler,), {"pages": AdminPages(view, label=label)})
    server = _SixServer if ip.version == 6 else ThreadingHTTPServer
    return Admin(server((str(ip), int(port)), handler))


class _SixServer(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    pages: AdminPages
    protocol_version = "HTTP/1.1"
    server_version = "roadstead"
    sys_version = ""

    def do_GET(self) -> None:
        answer = self.pages.get(self.path)
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Cache-Control", "no-cache, max-age=0")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing is logged."""


def _format(query: Query, page: str, known: tuple[str, ...]) -> str:
    asked = query.get("format", ["text"])[0]
    if asked not in known:
        raise InputError(f"usage: /{page}?format=({'|'.join(known)})\n\n")
    return asked
