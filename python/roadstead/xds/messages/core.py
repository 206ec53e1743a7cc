"""envoy.config.core.v3 and envoy.type: what the other packages are made of."""

from __future__ import annotations

from roadstead.xds.schema import EnumType, MessageType, Scalar, keyed, many, one

# Numbers and matchers

PERCENT = MessageType("envoy.type.v3.Percent", (one("value", 1, Scalar.DOUBLE),))
DENOMINATOR = EnumType(
    "envoy.type.v3.FractionalPercent.DenominatorType",
    {"HUNDRED": 0, "TEN_THOUSAND": 1, "MILLION": 2},
)
FRACTIONAL_PERCENT = MessageType(
    "envoy.type.v3.FractionalPercent", (one("numerator", 1, Scalar.UINT32), one("denominator", 2, DENOMINATOR))
)
REGEX_MATCHER = MessageType("envoy.type.matcher.v3.RegexMatcher", (one("regex", 2, Scalar.STRING),))
REGEX_SUBSTITUTE = MessageType(
    "envoy.type.matcher.v3.RegexMatchAndSubstitute",
    (one("pattern", 1, REGEX_MATCHER), one("substitution", 2, Scalar.STRING)),
)
STRING_MATCHER = MessageType(
    "envoy.type.matcher.v3.StringMatcher",
    (
        one("exact", 1, Scalar.STRING, "match_pattern"),
        one("prefix", 2, Scalar.STRING, "match_pattern"),
        one("safe_regex", 5, REGEX_MATCHER, "match_pattern"),
    ),
)
VALUE_MATCHER = MessageType(
    "envoy.type.matcher.v3.ValueMatcher",
    (
        one("string_match", 3, STRING_MATCHER, "match_pattern"),
        one("present_match", 5, Scalar.BOOL, "match_pattern"),
        one("list_match", 6, "envoy.type.matcher.v3.ListMatcher", "match_pattern"),
        one("or_match", 7, "envoy.type.matcher.v3.OrMatcher", "match_pattern"),
    ),
)
LIST_MATCHER = MessageType("envoy.type.matcher.v3.ListMatcher", (one("one_of", 1, VALUE_MATCHER, "match_pattern"),))
OR_MATCHER = MessageType("envoy.type.matcher.v3.OrMatcher", (many("value_matchers", 1, VALUE_MATCHER),))
METADATA_PATH = MessageType(
    "envoy.type.matcher.v3.MetadataMatcher.PathSegment", (one("key", 1, Scalar.STRING, "segment"),)
)
METADATA_MATCHER = MessageType(
    "envoy.type.matcher.v3.MetadataMatcher",
    (
        one("filter", 1, Scalar.STRING),
        many("path", 2, METADATA_PATH),
        one("value", 3, VALUE_MATCHER),
        one("invert", 4, Scalar.BOOL),
    ),
)
TCP_SOURCE_IP = MessageType("envoy.type.v3.HashPolicy.SourceIp")
TCP_HASH_POLICY = MessageType("envoy.type.v3.HashPolicy", (one("source_ip", 1, TCP_SOURCE_IP, "policy_specifier"),))

# Base

LOCALITY = MessageType(
    "envoy.config.core.v3.Locality",
    (one("region", 1, Scalar.STRING), one("zone", 2, Scalar.STRING), one("sub_zone", 3, Scalar.STRING)),
)
METADATA = MessageType("envoy.config.core.v3.Metadata", (keyed("filter_metadata", 1, Scalar.STRUCT),))
RUNTIME_FRACTIONAL_PERCENT = MessageType(
    "envoy.config.core.v3.RuntimeFractionalPercent", (one("default_value", 1, FRACTIONAL_PERCENT),)
)
RUNTIME_DOUBLE = MessageType(
    "envoy.config.core.v3.RuntimeDouble", (one("default_value", 1, Scalar.DOUBLE), one("runtime_key", 2, Scalar.STRING))
)
HEADER_VALUE = MessageType(
    "envoy.config.core.v3.HeaderValue", (one("key", 1, Scalar.STRING), one("value", 2, Scalar.STRING))
)
APPEND_ACTION = EnumType(
    "envoy.config.core.v3.HeaderValueOption.HeaderAppendAction",
    {"APPEND_IF_EXISTS_OR_ADD": 0, "ADD_IF_ABSENT": 1, "OVERWRITE_IF_EXISTS_OR_ADD": 2, "OVERWRITE_IF_EXISTS": 3},
)
HEADER_VALUE_OPTION = MessageType(
    "envoy.config.core.v3.HeaderValueOption", (one("header", 1, HEADER_VALUE), one("append_action", 3, APPEND_ACTION))
)
DATA_SOURCE = MessageType(
    "envoy.config.core.v3.DataSource",
    (
        one("filename", 1, Scalar.STRING, "specifier"),
        one("inline_bytes", 2, Scalar.BYTES, "specifier"),
        one("inline_string", 3, Scalar.STRING, "specifier"),
    ),
)
TRANSPORT_SOCKET = MessageType(
    "envoy.config.core.v3.TransportSocket",
    (one("name", 1, Scalar.STRING), one("typed_config", 3, Scalar.ANY, "config_type")),
)
TYPED_EXTENSION = MessageType(
    "envoy.config.core.v3.TypedExtensionConfig", (one("name", 1, Scalar.STRING), one("typed_config", 2, Scalar.ANY))
)
TRAFFIC_DIRECTION = EnumType("envoy.config.core.v3.TrafficDirection", {"UNSPECIFIED": 0, "INBOUND": 1, "OUTBOUND": 2})

# Addresses

SOCKET_ADDRESS = MessageType(
    "envoy.config.core.v3.SocketAddress",
    (one("address", 2, Scalar.STRING), one("port_value", 3, Scalar.UINT32, "port_specifier")),
)
PIPE = MessageType("envoy.config.core.v3.Pipe", (one("path", 1, Scalar.STRING),))
ADDRESS = MessageType(
    "envoy.config.core.v3.Address",
    (one("socket_address", 1, SOCKET_ADDRESS, "address"), one("pipe", 2, PIPE, "address")),
)
CIDR_RANGE = MessageType(
    "envoy.config.core.v3.CidrRange",
    (one("address_prefix", 1, Scalar.STRING), one("prefix_len", 2, Scalar.UINT32_VALUE)),
)
TCP_KEEPALIVE = MessageType(
    "envoy.config.core.v3.TcpKeepalive",
    (
        one("keepalive_probes", 1, Scalar.UINT32_VALUE),
        one("keepalive_time", 2, Scalar.UINT32_VALUE),
        one("keepalive_interval", 3, Scalar.UINT32_VALUE),
    ),
)

# Where configuration comes from

API_VERSION = EnumType("envoy.config.core.v3.ApiVersion", {"AUTO": 0, "V2": 1, "V3": 2})
API_TYPE = EnumType(
    "envoy.config.core.v3.ApiConfigSource.ApiType",
    {"DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE": 0, "REST": 1, "GRPC": 2, "DELTA_GRPC": 3},
)
ENVOY_GRPC = MessageType("envoy.config.core.v3.GrpcService.EnvoyGrpc", (one("cluster_name", 1, Scalar.STRING),))
GRPC_SERVICE = MessageType("envoy.config.core.v3.GrpcService", (one("envoy_grpc", 1, ENVOY_GRPC, "target_specifier"),))
API_CONFIG_SOURCE = MessageType(
    "envoy.config.core.v3.ApiConfigSource",
    (
        one("api_type", 1, API_TYPE),
        many("grpc_services", 4, GRPC_SERVICE),
        one("set_node_on_first_message_only", 7, Scalar.BOOL),
        one("transport_api_version", 8, API_VERSION),
    ),
)
AGGREGATED_CONFIG_SOURCE = MessageType("envoy.config.core.v3.AggregatedConfigSource")
CONFIG_SOURCE = MessageType(
    "envoy.config.core.v3.ConfigSource",
    (
        one("api_config_source", 2, API_CONFIG_SOURCE, "config_source_specifier"),
        one("ads", 3, AGGREGATED_CONFIG_SOURCE, "config_source_specifier"),
        one("initial_fetch_timeout", 4, Scalar.DURATION),
        one("resource_api_version", 6, API_VERSION),
    ),
)

# Protocols

UPSTREAM_HTTP_OPTIONS = MessageType(
    "envoy.config.core.v3.UpstreamHttpProtocolOptions",
    (one("auto_sni", 1, Scalar.BOOL), one("auto_san_validation", 2, Scalar.BOOL)),
)
UNDERSCORES = EnumType(
    "envoy.config.core.v3.HttpProtocolOptions.HeadersWithUnderscoresAction",
    {"ALLOW": 0, "REJECT_REQUEST": 1, "DROP_HEADER": 2},
)
COMMON_HTTP_OPTIONS = MessageType(
    "envoy.config.core.v3.HttpProtocolOptions",
    (
        one("idle_timeout", 1, Scalar.DURATION),
        one("max_connection_duration", 3, Scalar.DURATION),
        one("max_stream_duration", 4, Scalar.DURATION),
        one("headers_with_underscores_action", 5, UNDERSCORES),
        one("max_requests_per_connection", 6, Scalar.UINT32_VALUE),
    ),
)
PRESERVE_CASE = MessageType("envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig")
HEADER_KEY_FORMAT = MessageType(
    "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat",
    (one("stateful_formatter", 8, TYPED_EXTENSION, "header_format"),),
)
HTTP1_OPTIONS = MessageType(
    "envoy.config.core.v3.Http1ProtocolOptions",
    (
        one("allow_absolute_url", 1, Scalar.BOOL_VALUE),
        one("accept_http_10", 2, Scalar.BOOL),
        one("header_key_format", 4, HEADER_KEY_FORMAT),
    ),
)
KEEPALIVE_SETTINGS = MessageType(
    "envoy.config.core.v3.KeepaliveSettings", (one("interval", 1, Scalar.DURATION), one("timeout", 2, Scalar.DURATION))
)
HTTP2_OPTIONS = MessageType(
    "envoy.config.core.v3.Http2ProtocolOptions",
    (
        one("max_concurrent_streams", 2, Scalar.UINT32_VALUE),
        one("initial_stream_window_size", 3, Scalar.UINT32_VALUE),
        one("initial_connection_window_size", 4, Scalar.UINT32_VALUE),
        one("connection_keepalive", 15, KEEPALIVE_SETTINGS),
    ),
)
PROXY_PROTOCOL_VERSION = EnumType("envoy.config.core.v3.ProxyProtocolConfig.Version", {"V1": 0, "V2": 1})
PROXY_PROTOCOL_CONFIG = MessageType(
    "envoy.config.core.v3.ProxyProtocolConfig", (one("version", 1, PROXY_PROTOCOL_VERSION),)
)

# Health

HEALTH_STATUS = EnumType(
    "envoy.config.core.v3.HealthStatus",
    {"UNKNOWN": 0, "HEALTHY": 1, "UNHEALTHY": 2, "DRAINING": 3, "TIMEOUT": 4, "DEGRADED": 5},
)
HTTP_HEALTH_CHECK = MessageType(
    "envoy.config.core.v3.HealthCheck.HttpHealthCheck",
    (
        one("host", 1, Scalar.STRING),
        one("path", 2, Scalar.STRING),
        many("request_headers_to_add", 6, HEADER_VALUE_OPTION),
    ),
)
GRPC_HEALTH_CHECK = MessageType(
    "envoy.config.core.v3.HealthCheck.GrpcHealthCheck",
    (
        one("service_name", 1, Scalar.STRING),
        one("authority", 2, Scalar.STRING),
        many("initial_metadata", 3, HEADER_VALUE_OPTION),
    ),
)
TCP_HEALTH_CHECK = MessageType("envoy.config.core.v3.HealthCheck.TcpHealthCheck")
HEALTH_CHECK = MessageType(
    "envoy.config.core.v3.HealthCheck",
    (
        one("timeout", 1, Scalar.DURATION),
        one("interval", 2, Scalar.DURATION),
        one("unhealthy_threshold", 4, Scalar.UINT32_VALUE),
        one("healthy_threshold", 5, Scalar.UINT32_VALUE),
        one("http_health_check", 8, HTTP_HEALTH_CHECK, "health_checker"),
        one("tcp_health_check", 9, TCP_HEALTH_CHECK, "health_checker"),
        one("grpc_health_check", 11, GRPC_HEALTH_CHECK, "health_checker"),
        one("transport_socket_match_criteria", 23, Scalar.STRUCT),
    ),
)

TABLE = (
    PERCENT, FRACTIONAL_PERCENT, REGEX_MATCHER, REGEX_SUBSTITUTE, STRING_MATCHER, VALUE_MATCHER, LIST_MATCHER,
    OR_MATCHER, METADATA_PATH, METADATA_MATCHER, TCP_SOURCE_IP, TCP_HASH_POLICY, LOCALITY, METADATA,
    RUNTIME_FRACTIONAL_PERCENT, RUNTIME_DOUBLE, HEADER_VALUE, HEADER_VALUE_OPTION, DATA_SOURCE, TRANSPORT_SOCKET,
    TYPED_EXTENSION, SOCKET_ADDRESS, PIPE, ADDRESS, CIDR_RANGE, TCP_KEEPALIVE, ENVOY_GRPC, GRPC_SERVICE,
    API_CONFIG_SOURCE, AGGREGATED_CONFIG_SOURCE, CONFIG_SOURCE, UPSTREAM_HTTP_OPTIONS, COMMON_HTTP_OPTIONS,
    PRESERVE_CASE, HEADER_KEY_FORMAT, HTTP1_OPTIONS, KEEPALIVE_SETTINGS, HTTP2_OPTIONS, PROXY_PROTOCOL_CONFIG,
    HTTP_HEALTH_CHECK, GRPC_HEALTH_CHECK, TCP_HEALTH_CHECK, HEALTH_CHECK,
)  # fmt: skip
