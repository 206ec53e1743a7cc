"""How much a client may ask of the proxy."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds; None: no limit. Defaults are Envoy's where it has one.

    header_bytes, headers: of one head, the client's or an upstream's (Envoy: max_request_headers_kb,
    max_headers_count). body_bytes: of a request. kept_bytes: of a request's body that are kept so that it can be sent
    again or copied (per_request_buffer_limit_bytes). buffer_bytes: read ahead of the slower side, for each direction of
    a connection. connections: of clients, tunnels included. headers_timeout: from the first byte of a head to its last,
    or until a TLS client says its server name. idle_timeout: between two requests. stream_idle_timeout: within a
    request while nothing moves. streams: of HTTP/2, requests of one client at a time (max_concurrent_streams).
    premature_resets: streams of a client given up at once and unanswered, where they are most of its streams
    (overload.premature_reset_total_stream_count). connect_attempts: picks of an endpoint until one answers, for
    connections (max_connect_attempts)."""

    header_bytes: int = 60 * 1024
    headers: int = 100
    body_bytes: int | None = None
    kept_bytes: int = 1024 * 1024
    buffer_bytes: int = 128 * 1024
    connections: int = 10_000
    headers_timeout: float | None = 15.0
    idle_timeout: float | None = 3600.0
    stream_idle_timeout: float | None = 300.0
    streams: int = 100
    premature_resets: int = 500
    connect_attempts: int = 1

    def __post_init__(self) -> None:
        for name in (
            *("header_bytes", "headers", "kept_bytes", "buffer_bytes", "connections", "streams", "premature_resets"),
            "connect_attempts",
        ):
            least = 0 if name == "kept_bytes" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} is at least {least}, not {getattr(self, name)}")
        for name in ("body_bytes", "headers_timeout", "idle_timeout", "stream_idle_timeout"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is not below 0: {value}")
