"""Envoy's admin interface over a registry: a small HTTP server for people and scrapers, on loopback.

with serve(registry, "127.0.0.1:15000") as admin:
    admin.address  # ("127.0.0.1", 15000)
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from roadstead.errors import InputError, MissingExtra
from roadstead.metrics import formats
from roadstead.metrics.envoy import ClusterLabel, ClusterStats, text

try:
    from prometheus_client import CollectorRegistry, generate_latest
except ImportError as error:
    raise MissingExtra("Metrics for Prometheus", "metrics", "prometheus-client") from error

if TYPE_CHECKING:
    from types import TracebackType

    from prometheus_client.registry import Collector

    from roadstead.registry.view import View

_PLAIN = "text/plain; charset=UTF-8"
_JSON = "application/json"


class Answer(NamedTuple):
    status: int
    content_type: str
    body: str


State: TypeAlias = Literal["INITIALIZING", "LIVE", "DRAINING"]
Query: TypeAlias = dict[str, list[str]]


class Subject(Protocol):
    """What serves a registry, where something does: a proxy."""

    @property
    def state(self) -> State:
        """Whether it is ready."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened at its clients' side, in Envoy's words (http.<stat_prefix>.…)."""


class AdminPages:
    """The answers, without a server. label: as in `envoy.ClusterCollector`. subject: what serves the registry.
    collectors: of prometheus-client; `/metrics` tells what they have beside the clusters' statistics."""

    def __init__(
        self,
        view: View,
        *,
        label: ClusterLabel = "envoy_cluster_name",
        subject: Subject | None = None,
        collectors: Iterable[Collector] = (),
    ) -> None:
        self._view = view
        self._label = label
        self._subject = subject
        self._collected = CollectorRegistry()
        for collector in collectors:
            self._collected.register(collector)
        self._stats = ClusterStats(view)
        self._pages: dict[str, Callable[[Query], Answer]] = {
            "/clusters": self._clusters,
            "/config_dump": self._config_dump,
            "/metrics": lambda _: Answer(200, _PLAIN, self._prometheus() + self._of_collectors()),
            "/ready": self._ready,
            "/server_info": lambda _: Answer(200, _JSON, formats.server_info(view, self._state)),
            "/stats": self._of_stats,
            "/stats/prometheus": lambda _: Answer(200, _PLAIN, self._prometheus()),
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
            return Answer(200, _PLAIN, self._prometheus())
        told = formats.stats_json if kind == "json" else formats.stats_text
        body = told(self._stats, pattern=pattern, used_only=used_only, listening=self._counts)
        return Answer(200, _JSON if kind == "json" else _PLAIN, body)

    def _ready(self, _: Query) -> Answer:
        return Answer(200 if self._state == "LIVE" else 503, _PLAIN, f"{self._state}\n")

    def _prometheus(self) -> str:
        return text(self._stats, label=self._label, listening=self._counts)

    def _of_collectors(self) -> str:
        return str(generate_latest(self._collected).decode())

    @property
    def _state(self) -> State:
        return "LIVE" if self._subject is None else self._subject.state

    @property
    def _counts(self) -> Mapping[str, int] | None:
        return None if self._subject is None else self._subject.counts


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
    subject: Subject | None = None,
    collectors: Iterable[Collector] = (),
    beyond_loopback: bool = False,
) -> Admin:
    """Serve a registry's admin pages from a thread. address: "host:port", port 0 for a free one. label, subject,
    collectors: as of `AdminPages`.

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
    handler = type(
        "Handler", (_Handler,), {"pages": AdminPages(view, label=label, subject=subject, collectors=collectors)}
    )
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
