"""meshConfig.defaultConfig and the node's metadata → how its proxy takes HTTP (Istio: util/proxy_headers.go,
core/connection_settings.go, core/gateway.go buildGatewayConnectionManager)."""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from roadstead.compile.inputs import Env
from roadstead.config import ConnectionSettings, ProxyHeaders, Topology
from roadstead.config.duration import seconds
from roadstead.config.proxy_config import HeaderSwitchOff, HeaderSwitchOn
from roadstead.mesh.callers import Callers, EscapedSlashes, Http2Limits, Timeouts, Underscores

_MESSAGE_PREFIX = "HEADERS_WITH_UNDERSCORES_"

# Envoy's advice for the edge, where the settings leave something out.
_EDGE = ConnectionSettings(
    listener_per_connection_buffer_limit_bytes=32768,
    http_idle_timeout="1h",
    http_stream_idle_timeout="5m",
    http_request_timeout="5m",
    http_request_headers_timeout="60s",
    http_max_concurrent_streams=100,
    http2_initial_stream_window_size=65536,
    http2_initial_connection_window_size=1048576,
    http_headers_with_underscores_action="HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
    http_merge_slashes=True,
    http_path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT",
)


def callers_of(env: Env) -> Callers:
    """For one client. Of its connection settings a sidecar takes what concerns HTTP, a router the buffers too."""
    written = env.proxy_config
    headers, router = env.proxy_headers, env.node.type == "router"
    settings = _settings(written.connection_settings, router=router)
    topology = (written.gateway_topology if router else None) or Topology()
    server = headers.server
    keeps_server = server is not None and bool(server.disabled)
    certificate = topology.forward_client_cert_details
    return Callers(
        merges_slashes=settings.http_merge_slashes,
        escaped_slashes=_escaped(settings),
        underscores=_underscores(settings),
        server=server.value if server is not None and server.value and not keeps_server else None,
        keeps_server=keeps_server,
        keeps_case=bool(headers.preserve_http1_header_case),
        forwards_host=forwards_host(headers),
        forwards_port=_enabled(headers.x_forwarded_port),
        counts_attempts=not _disabled(headers.attempt_count),
        gives_ids=not _disabled(headers.request_id),
        tells_of_envoy=not _disabled(headers.envoy_debug_headers),
        accepts_http10=env.node.metadata.get("HTTP10") == "1",
        timeouts=_timeouts(settings, env.idle_timeout),
        http2=_http2(settings),
        trusted_hops=topology.num_trusted_proxies,
        certificate="SANITIZE_SET" if certificate == "UNDEFINED" else certificate,
        proxy_protocol=topology.proxy_protocol is not None,
        buffer_limit=settings.listener_per_connection_buffer_limit_bytes if router else None,
    )


def forwards_host(headers: ProxyHeaders) -> bool:
    """Whether the old host goes along where a rewrite changes it."""
    return _enabled(headers.x_forwarded_host)


def unsaid(env: Env) -> frozenset[str]:
    """Headers that proxies add of themselves, and that this client goes without."""
    headers = env.proxy_headers
    names: list[str] = []
    if _disabled(headers.attempt_count):
        names.append("x-envoy-attempt-count")
    if _disabled(headers.request_id):
        names.append("x-request-id")
    if _disabled(headers.envoy_debug_headers):
        names += ["x-envoy-expected-rq-timeout-ms", "x-envoy-upstream-service-time"]
    return frozenset(names)


def _settings(written: ConnectionSettings | None, *, router: bool) -> ConnectionSettings:
    if written is None:
        return ConnectionSettings()
    if written.profile != "EDGE" or not router:
        return written
    plain = ConnectionSettings()
    filled = {
        name: getattr(_EDGE, name)
        for name in ConnectionSettings.__struct_fields__
        if getattr(written, name) == getattr(plain, name) and name != "profile"
    }
    return msgspec.structs.replace(written, **filled)


def _enabled(switch: HeaderSwitchOn | None) -> bool:
    return switch is not None and bool(switch.enabled)


def _disabled(switch: HeaderSwitchOff | None) -> bool:
    return switch is not None and bool(switch.disabled)


def _escaped(settings: ConnectionSettings) -> EscapedSlashes | None:
    word = settings.http_path_with_escaped_slashes_action
    return None if word == "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED" else word


def _underscores(settings: ConnectionSettings) -> Underscores | None:
    word = settings.http_headers_with_underscores_action.removeprefix(_MESSAGE_PREFIX)
    return None if word == "UNSPECIFIED" else cast("Literal['ALLOW', 'REJECT_REQUEST', 'DROP_HEADER']", word)


def _timeouts(settings: ConnectionSettings, idle: float | None) -> Timeouts:
    return Timeouts(
        idle=idle if settings.http_idle_timeout is None else seconds(settings.http_idle_timeout),
        max_connection=_seconds(settings.http_max_connection_duration),
        max_stream=_seconds(settings.http_max_stream_duration),
        stream_idle=_seconds(settings.http_stream_idle_timeout) or 0.0,
        request=_seconds(settings.http_request_timeout),
        request_headers=_seconds(settings.http_request_headers_timeout),
        drain=_seconds(settings.http_drain_timeout),
    )


def _http2(settings: ConnectionSettings) -> Http2Limits | None:
    made = Http2Limits(
        settings.http_max_concurrent_streams,
        settings.http2_initial_stream_window_size,
        settings.http2_initial_connection_window_size,
    )
    return None if made == Http2Limits() else made


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds(text)
