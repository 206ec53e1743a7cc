"""envoy.config.listener.v3, TLS, and what listeners are extended with."""

from __future__ import annotations

from roadstead.xds.messages import core
from roadstead.xds.messages.cluster import DNS_CACHE
from roadstead.xds.messages.route import ROUTE_CONFIGURATION
from roadstead.xds.schema import EnumType, MessageType, Scalar, many, one

# Listeners

FILTER = MessageType(
    "envoy.config.listener.v3.Filter",
    (one("name", 1, Scalar.STRING), one("typed_config", 4, Scalar.ANY, "config_type")),
)
FILTER_CHAIN_MATCH = MessageType(
    "envoy.config.listener.v3.FilterChainMatch",
    (
        many("prefix_ranges", 3, core.CIDR_RANGE),
        one("destination_port", 8, Scalar.UINT32_VALUE),
        one("transport_protocol", 9, Scalar.STRING),
        many("application_protocols", 10, Scalar.STRING),
        many("server_names", 11, Scalar.STRING),
    ),
)
FILTER_CHAIN = MessageType(
    "envoy.config.listener.v3.FilterChain",
    (
        one("filter_chain_match", 1, FILTER_CHAIN_MATCH),
        many("filters", 3, FILTER),
        one("transport_socket", 6, core.TRANSPORT_SOCKET),
        one("name", 7, Scalar.STRING),
        one("transport_socket_connect_timeout", 9, Scalar.DURATION),
    ),
)
LISTENER_FILTER = MessageType(
    "envoy.config.listener.v3.ListenerFilter",
    (one("name", 1, Scalar.STRING), one("typed_config", 3, Scalar.ANY, "config_type")),
)
ADDITIONAL_ADDRESS = MessageType("envoy.config.listener.v3.AdditionalAddress", (one("address", 1, core.ADDRESS),))
LISTENER = MessageType(
    "envoy.config.listener.v3.Listener",
    (
        one("name", 1, Scalar.STRING),
        one("address", 2, core.ADDRESS),
        many("filter_chains", 3, FILTER_CHAIN),
        one("per_connection_buffer_limit_bytes", 5, Scalar.UINT32_VALUE),
        one("use_original_dst", 4, Scalar.BOOL_VALUE),
        many("listener_filters", 9, LISTENER_FILTER),
        one("listener_filters_timeout", 15, Scalar.DURATION),
        one("traffic_direction", 16, core.TRAFFIC_DIRECTION),
        one("continue_on_listener_filters_timeout", 17, Scalar.BOOL),
        one("default_filter_chain", 25, FILTER_CHAIN),
        one("bind_to_port", 26, Scalar.BOOL_VALUE),
        many("additional_addresses", 33, ADDITIONAL_ADDRESS),
        one("max_connections_to_accept_per_socket_event", 34, Scalar.UINT32_VALUE),
    ),
)

# TCP

TCP_WEIGHT = MessageType(
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight",
    (one("name", 1, Scalar.STRING), one("weight", 2, Scalar.UINT32)),
)
TCP_WEIGHTED = MessageType(
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster", (many("clusters", 1, TCP_WEIGHT),)
)
TUNNELING = MessageType(
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig",
    (one("hostname", 1, Scalar.STRING), one("use_post", 2, Scalar.BOOL)),
)
TCP_PROXY = MessageType(
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    (
        one("stat_prefix", 1, Scalar.STRING),
        one("cluster", 2, Scalar.STRING, "cluster_specifier"),
        one("idle_timeout", 8, Scalar.DURATION),
        one("weighted_clusters", 10, TCP_WEIGHTED, "cluster_specifier"),
        many("hash_policy", 11, core.TCP_HASH_POLICY),
        one("tunneling_config", 12, TUNNELING),
        one("max_downstream_connection_duration", 13, Scalar.DURATION),
    ),
)
MONGO_PROXY = MessageType(
    "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy", (one("stat_prefix", 1, Scalar.STRING),)
)
SNI_DYNAMIC = MessageType(
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
    (
        one("dns_cache_config", 1, DNS_CACHE),
        one("port_value", 2, Scalar.UINT32, "port_specifier"),
    ),
)

# HTTP

RDS = MessageType(
    "envoy.extensions.filters.network.http_connection_manager.v3.Rds",
    (one("config_source", 1, core.CONFIG_SOURCE), one("route_config_name", 2, Scalar.STRING)),
)
HTTP_FILTER = MessageType(
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
    (one("name", 1, Scalar.STRING), one("typed_config", 4, Scalar.ANY, "config_type")),
)
UPGRADE_CONFIG = MessageType(
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig",
    (one("upgrade_type", 1, Scalar.STRING),),
)
CLIENT_CERT_DETAILS = MessageType(
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails",
    (
        one("subject", 1, Scalar.BOOL_VALUE),
        one("cert", 3, Scalar.BOOL),
        one("dns", 4, Scalar.BOOL),
        one("uri", 5, Scalar.BOOL),
    ),
)
FORWARD_CLIENT_CERT = EnumType(
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ForwardClientCertDetails",
    {"SANITIZE": 0, "FORWARD_ONLY": 1, "APPEND_FORWARD": 2, "SANITIZE_SET": 3, "ALWAYS_FORWARD_ONLY": 4},
)
ESCAPED_SLASHES = EnumType(
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.PathWithEscapedSlashesAction",
    {
        "IMPLEMENTATION_SPECIFIC_DEFAULT": 0,
        "KEEP_UNCHANGED": 1,
        "REJECT_REQUEST": 2,
        "UNESCAPE_AND_REDIRECT": 3,
        "UNESCAPE_AND_FORWARD": 4,
    },
)
SERVER_HEADER = EnumType(
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ServerHeaderTransformation",
    {"OVERWRITE": 0, "APPEND_IF_ABSENT": 1, "PASS_THROUGH": 2},
)
HTTP_CONNECTION_MANAGER = MessageType(
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    (
        one("stat_prefix", 2, Scalar.STRING),
        one("rds", 3, RDS, "route_specifier"),
        one("route_config", 4, ROUTE_CONFIGURATION, "route_specifier"),
        many("http_filters", 5, HTTP_FILTER),
        one("http_protocol_options", 8, core.HTTP1_OPTIONS),
        one("http2_protocol_options", 9, core.HTTP2_OPTIONS),
        one("server_name", 10, Scalar.STRING),
        one("drain_timeout", 12, Scalar.DURATION),
        one("use_remote_address", 14, Scalar.BOOL_VALUE),
        one("generate_request_id", 15, Scalar.BOOL_VALUE),
        one("forward_client_cert_details", 16, FORWARD_CLIENT_CERT),
        one("set_current_client_cert_details", 17, CLIENT_CERT_DETAILS),
        one("proxy_100_continue", 18, Scalar.BOOL),
        one("xff_num_trusted_hops", 19, Scalar.UINT32),
        many("upgrade_configs", 23, UPGRADE_CONFIG),
        one("stream_idle_timeout", 24, Scalar.DURATION),
        one("request_timeout", 28, Scalar.DURATION),
        one("normalize_path", 30, Scalar.BOOL_VALUE),
        one("merge_slashes", 33, Scalar.BOOL),
        one("server_header_transformation", 34, SERVER_HEADER),
        one("common_http_protocol_options", 35, core.COMMON_HTTP_OPTIONS),
        one("request_headers_timeout", 41, Scalar.DURATION),
        one("path_with_escaped_slashes_action", 45, ESCAPED_SLASHES),
        one("append_x_forwarded_port", 51, Scalar.BOOL),
    ),
)
CORS = MessageType("envoy.extensions.filters.http.cors.v3.Cors")
GRPC_STATS = MessageType(
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    (
        one("emit_filter_state", 1, Scalar.BOOL),
        one("stats_for_all_methods", 3, Scalar.BOOL_VALUE, "per_method_stat_specifier"),
    ),
)
GRPC_WEB = MessageType("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb")
DYNAMIC_FORWARD = MessageType(
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
    (one("dns_cache_config", 1, DNS_CACHE, "implementation_specifier"),),
)
ROUTER = MessageType("envoy.extensions.filters.http.router.v3.Router", (one("suppress_envoy_headers", 4, Scalar.BOOL),))
TLS_INSPECTOR = MessageType(
    "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    (one("initial_read_buffer_size", 2, Scalar.UINT32_VALUE),),
)
HTTP_INSPECTOR = MessageType("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector")
PROXY_PROTOCOL_LISTENER = MessageType("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol")

# TLS and other transport sockets

TLS_VERSION = EnumType(
    "envoy.extensions.transport_sockets.tls.v3.TlsParameters.TlsProtocol",
    {"TLS_AUTO": 0, "TLSv1_0": 1, "TLSv1_1": 2, "TLSv1_2": 3, "TLSv1_3": 4},
)
TLS_PARAMETERS = MessageType(
    "envoy.extensions.transport_sockets.tls.v3.TlsParameters",
    (
        one("tls_minimum_protocol_version", 1, TLS_VERSION),
        one("tls_maximum_protocol_version", 2, TLS_VERSION),
        many("cipher_suites", 3, Scalar.STRING),
        many("ecdh_curves", 4, Scalar.STRING),
    ),
)
SDS_SECRET = MessageType(
    "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig",
    (one("name", 1, Scalar.STRING), one("sds_config", 2, core.CONFIG_SOURCE)),
)
TRUST = EnumType(
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.TrustChainVerification",
    {"VERIFY_TRUST_CHAIN": 0, "ACCEPT_UNTRUSTED": 1},
)
VALIDATION_CONTEXT = MessageType(
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
    (
        many("verify_certificate_hash", 2, Scalar.STRING),
        many("verify_certificate_spki", 3, Scalar.STRING),
        one("crl", 7, core.DATA_SOURCE),
        many("match_subject_alt_names", 9, core.STRING_MATCHER),
        one("trust_chain_verification", 10, TRUST),
    ),
)
COMBINED_VALIDATION = MessageType(
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext",
    (
        one("default_validation_context", 1, VALIDATION_CONTEXT),
        one("validation_context_sds_secret_config", 2, SDS_SECRET),
    ),
)
COMMON_TLS = MessageType(
    "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
    (
        one("tls_params", 1, TLS_PARAMETERS),
        one("validation_context", 3, VALIDATION_CONTEXT, "validation_context_type"),
        many("alpn_protocols", 4, Scalar.STRING),
        many("tls_certificate_sds_secret_configs", 6, SDS_SECRET),
        one("combined_validation_context", 8, COMBINED_VALIDATION, "validation_context_type"),
    ),
)
UPSTREAM_TLS = MessageType(
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    (one("common_tls_context", 1, COMMON_TLS), one("sni", 2, Scalar.STRING)),
)
DOWNSTREAM_TLS = MessageType(
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    (one("common_tls_context", 1, COMMON_TLS), one("require_client_certificate", 2, Scalar.BOOL_VALUE)),
)
RAW_BUFFER = MessageType("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")
PROXY_PROTOCOL = MessageType(
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
    (one("config", 1, core.PROXY_PROTOCOL_CONFIG), one("transport_socket", 2, core.TRANSPORT_SOCKET)),
)

TABLE = (
    FILTER, FILTER_CHAIN_MATCH, FILTER_CHAIN, LISTENER_FILTER, ADDITIONAL_ADDRESS, LISTENER, TCP_WEIGHT, TCP_WEIGHTED,
    TUNNELING, TCP_PROXY, MONGO_PROXY, SNI_DYNAMIC, RDS, HTTP_FILTER, UPGRADE_CONFIG, CLIENT_CERT_DETAILS,
    HTTP_CONNECTION_MANAGER, CORS, GRPC_STATS, GRPC_WEB, DYNAMIC_FORWARD, ROUTER, TLS_INSPECTOR, HTTP_INSPECTOR,
    PROXY_PROTOCOL_LISTENER,
    TLS_PARAMETERS, SDS_SECRET, VALIDATION_CONTEXT, COMBINED_VALIDATION, COMMON_TLS, UPSTREAM_TLS, DOWNSTREAM_TLS,
    RAW_BUFFER, PROXY_PROTOCOL,
)  # fmt: skip
