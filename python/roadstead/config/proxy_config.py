"""ProxyConfig: the mesh's defaults for its proxies (meshConfig.defaultConfig).

What bears on outbound traffic is typed; the rest (telemetry, certificates, the proxy's bootstrap) is kept as the JSON
it was written as and never read: type `Unread`.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import field

from roadstead.config.message import BoolValue, FreeDuration, Int32Value, Message, UInt32

Unread = msgspec.Raw
"""JSON as written; `null` where left out."""
NOTHING = msgspec.Raw(b"null")

ForwardClientCertDetails = Literal[
    "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
]
MetadataExchangeMode = Literal["UNDEFINED", "IN_MESH"]
ConnectionProfile = Literal["SIDECAR", "EDGE"]
HeadersWithUnderscoresAction = Literal[
    "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
    "HEADERS_WITH_UNDERSCORES_ALLOW",
    "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
    "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
]
PathWithEscapedSlashesAction = Literal[
    "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
]


class HeaderSwitchOff(Message, frozen=True, kw_only=True):
    """A header that is sent unless it is disabled."""

    disabled: BoolValue = None


class HeaderSwitchOn(Message, frozen=True, kw_only=True):
    """A header that is sent only where it is enabled."""

    enabled: BoolValue = None


class ServerHeader(Message, frozen=True, kw_only=True):
    """The `server` header of responses. disabled: what the upstream says is kept. value: "" = Istio's own word."""

    disabled: BoolValue = None
    value: str = ""


class MetadataExchangeHeaders(Message, frozen=True, kw_only=True):
    mode: MetadataExchangeMode = "UNDEFINED"


class SetCurrentClientCertDetails(Message, frozen=True, kw_only=True):
    subject: BoolValue = None
    cert: BoolValue = None
    chain: BoolValue = None
    dns: BoolValue = None
    uri: BoolValue = None


class ProxyHeaders(Message, frozen=True, kw_only=True):
    """Headers that proxies add of themselves. preserve_http1_header_case: names in HTTP/1 keep their case.
    x_forwarded_host: where the host is rewritten the old one goes along. forwarded_client_cert,
    set_current_client_cert_details: of inbound listeners."""

    forwarded_client_cert: ForwardClientCertDetails = "UNDEFINED"
    server: ServerHeader | None = None
    request_id: HeaderSwitchOff | None = None
    attempt_count: HeaderSwitchOff | None = None
    envoy_debug_headers: HeaderSwitchOff | None = None
    metadata_exchange_headers: MetadataExchangeHeaders | None = None
    set_current_client_cert_details: SetCurrentClientCertDetails | None = None
    preserve_http1_header_case: BoolValue = None
    x_forwarded_host: HeaderSwitchOn | None = field(default=None, name="xForwardedHost")
    x_forwarded_port: HeaderSwitchOn | None = field(default=None, name="xForwardedPort")


class ProxyProtocolConfiguration(Message, frozen=True, kw_only=True):
    pass


class Topology(Message, frozen=True, kw_only=True):
    """What stands in front of gateways. num_trusted_proxies: how many whose X-Forwarded-For is believed.
    proxy_protocol: connections begin with the PROXY protocol."""

    num_trusted_proxies: UInt32 = 0
    forward_client_cert_details: ForwardClientCertDetails = "UNDEFINED"
    proxy_protocol: ProxyProtocolConfiguration | None = None


class ConnectionSettings(Message, frozen=True, kw_only=True):
    """Limits of what callers may do to a proxy's listeners. profile EDGE: Envoy's advice for the edge where nothing is
    said, on gateways only."""

    profile: ConnectionProfile = "SIDECAR"
    listener_per_connection_buffer_limit_bytes: Int32Value = None
    cluster_per_connection_buffer_limit_bytes: Int32Value = None
    http_idle_timeout: FreeDuration | None = None
    http_max_connection_duration: FreeDuration | None = None
    http_drain_timeout: FreeDuration | None = None
    http_request_timeout: FreeDuration | None = None
    http_request_headers_timeout: FreeDuration | None = None
    http_stream_idle_timeout: FreeDuration | None = None
    http_max_stream_duration: FreeDuration | None = None
    http_max_concurrent_streams: Int32Value = None
    http2_initial_stream_window_size: Int32Value = None
    http2_initial_connection_window_size: Int32Value = None
    http_headers_with_underscores_action: HeadersWithUnderscoresAction = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED"
    http_merge_slashes: BoolValue = None
    http_path_with_escaped_slashes_action: PathWithEscapedSlashesAction = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED"
    listener_connection_limit: Int32Value = None
    global_downstream_connection_limit: Int32Value = None


class ProxyConfig(Message, frozen=True, kw_only=True):
    """Defaults of the proxies. discovery_address: "host:port" of istiod, whose host is local to its cluster. What only
    the proxy's bootstrap, telemetry and agent read stays unread."""

    proxy_metadata: dict[str, str] = {}
    mesh_id: str = ""
    hold_application_until_proxy_starts: BoolValue = None
    config_path: Unread = NOTHING
    binary_path: Unread = NOTHING
    service_cluster: Unread = NOTHING
    tracing_service_name: Unread = NOTHING
    drain_duration: Unread = NOTHING
    discovery_address: str = ""
    discovery_refresh_delay: Unread = NOTHING
    zipkin_address: Unread = NOTHING
    statsd_udp_address: Unread = NOTHING
    envoy_metrics_service_address: Unread = NOTHING
    proxy_admin_port: Unread = NOTHING
    availability_zone: Unread = NOTHING
    control_plane_auth_policy: Unread = NOTHING
    custom_config_file: Unread = NOTHING
    stat_name_length: Unread = NOTHING
    concurrency: Unread = NOTHING
    proxy_bootstrap_template_path: Unread = NOTHING
    interception_mode: Unread = NOTHING
    tracing: Unread = NOTHING
    sds: Unread = NOTHING
    envoy_access_log_service: Unread = NOTHING
    envoy_metrics_service: Unread = NOTHING
    runtime_values: Unread = NOTHING
    status_port: Unread = NOTHING
    extra_stat_tags: Unread = NOTHING
    gateway_topology: Topology | None = None
    termination_drain_duration: Unread = NOTHING
    readiness_probe: Unread = NOTHING
    proxy_stats_matcher: Unread = NOTHING
    ca_certificates_pem: Unread = NOTHING
    image: Unread = NOTHING
    private_key_provider: Unread = NOTHING
    proxy_headers: ProxyHeaders | None = None
    file_flush_interval: Unread = NOTHING
    file_flush_min_size_kb: Unread = NOTHING
    stats_compression: Unread = NOTHING
    connection_settings: ConnectionSettings | None = None
