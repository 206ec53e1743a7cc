"""How a proxy takes what its callers send over HTTP (Envoy: HttpConnectionManager)."""

from __future__ import annotations

from typing import Literal

import msgspec

ClientCertificate = Literal["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"]
EscapedSlashes = Literal["KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"]
Underscores = Literal["ALLOW", "REJECT_REQUEST", "DROP_HEADER"]


class Timeouts(msgspec.Struct, frozen=True, gc=False):
    """Seconds; None: Envoy's own. stream_idle 0: never."""

    idle: float | None = None
    max_connection: float | None = None
    max_stream: float | None = None
    stream_idle: float = 0.0
    request: float | None = None
    request_headers: float | None = None
    drain: float | None = None


class Http2Limits(msgspec.Struct, frozen=True, gc=False):
    """None: Envoy's own. Windows in bytes."""

    max_concurrent_streams: int | None = None
    stream_window: int | None = None
    connection_window: int | None = None


class Callers(msgspec.Struct, frozen=True, gc=False):
    """What is done with requests before they are routed, and what is added to them and to responses.

    merges_slashes, escaped_slashes: what becomes of a path where connection settings say so, None: what Proxy.paths
    says. underscores: in names of headers. server: the `server` header of responses, None: the
    proxy's own; keeps_server: what the upstream says stays. keeps_case: names of headers in HTTP/1 keep their case.
    forwards_host: where a rewrite changes the host the old one goes along as x-forwarded-host; forwards_port: so does
    the port that was dialled. counts_attempts, gives_ids, tells_of_envoy: x-envoy-attempt-count, x-request-id and other
    x-envoy-* headers are sent. accepts_http10: requests of HTTP/1.0 are taken.

    Of routers: trusted_hops: proxies in front whose x-forwarded-for is believed. certificate: what becomes of
    x-forwarded-client-cert. proxy_protocol: connections begin with it. buffer_limit: bytes that a listener holds for a
    connection, None: Envoy's own."""

    merges_slashes: bool | None = None
    escaped_slashes: EscapedSlashes | None = None
    underscores: Underscores | None = None
    server: str | None = None
    keeps_server: bool = False
    keeps_case: bool = False
    forwards_host: bool = False
    forwards_port: bool = False
    counts_attempts: bool = True
    gives_ids: bool = True
    tells_of_envoy: bool = True
    accepts_http10: bool = False
    timeouts: Timeouts = Timeouts()
    http2: Http2Limits | None = None
    trusted_hops: int = 0
    certificate: ClientCertificate = "SANITIZE_SET"
    proxy_protocol: bool = False
    buffer_limit: int | None = None
