"""envoy.config.route.v3 and what routes are extended with."""

from __future__ import annotations

from roadstead.xds.messages import core
from roadstead.xds.schema import EnumType, MessageType, Scalar, keyed, many, one

# Matching

HEADER_MATCHER = MessageType(
    "envoy.config.route.v3.HeaderMatcher",
    (
        one("name", 1, Scalar.STRING),
        one("present_match", 7, Scalar.BOOL, "header_match_specifier"),
        one("invert_match", 8, Scalar.BOOL),
        one("string_match", 13, core.STRING_MATCHER, "header_match_specifier"),
        one("treat_missing_header_as_empty", 14, Scalar.BOOL),
    ),
)
QUERY_MATCHER = MessageType(
    "envoy.config.route.v3.QueryParameterMatcher",
    (
        one("name", 1, Scalar.STRING),
        one("string_match", 5, core.STRING_MATCHER, "query_parameter_match_specifier"),
        one("present_match", 6, Scalar.BOOL, "query_parameter_match_specifier"),
    ),
)
ROUTE_MATCH = MessageType(
    "envoy.config.route.v3.RouteMatch",
    (
        one("prefix", 1, Scalar.STRING, "path_specifier"),
        one("path", 2, Scalar.STRING, "path_specifier"),
        one("case_sensitive", 4, Scalar.BOOL_VALUE),
        many("headers", 6, HEADER_MATCHER),
        many("query_parameters", 7, QUERY_MATCHER),
        one("safe_regex", 10, core.REGEX_MATCHER, "path_specifier"),
        many("dynamic_metadata", 13, core.METADATA_MATCHER),
    ),
)

# Forwarding

HASH_HEADER = MessageType(
    "envoy.config.route.v3.RouteAction.HashPolicy.Header", (one("header_name", 1, Scalar.STRING),)
)
COOKIE_ATTRIBUTE = MessageType(
    "envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute",
    (one("name", 1, Scalar.STRING), one("value", 2, Scalar.STRING)),
)
HASH_COOKIE = MessageType(
    "envoy.config.route.v3.RouteAction.HashPolicy.Cookie",
    (
        one("name", 1, Scalar.STRING),
        one("ttl", 2, Scalar.DURATION),
        one("path", 3, Scalar.STRING),
        many("attributes", 4, COOKIE_ATTRIBUTE),
    ),
)
HASH_CONNECTION = MessageType(
    "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties", (one("source_ip", 1, Scalar.BOOL),)
)
HASH_QUERY = MessageType(
    "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter", (one("name", 1, Scalar.STRING),)
)
HASH_POLICY = MessageType(
    "envoy.config.route.v3.RouteAction.HashPolicy",
    (
        one("header", 1, HASH_HEADER, "policy_specifier"),
        one("cookie", 2, HASH_COOKIE, "policy_specifier"),
        one("connection_properties", 3, HASH_CONNECTION, "policy_specifier"),
        one("query_parameter", 5, HASH_QUERY, "policy_specifier"),
    ),
)
MIRROR_POLICY = MessageType(
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
    (
        one("cluster", 1, Scalar.STRING),
        one("runtime_fraction", 3, core.RUNTIME_FRACTIONAL_PERCENT),
        one("trace_sampled", 4, Scalar.BOOL_VALUE),
        one("disable_shadow_host_suffix_append", 6, Scalar.BOOL),
    ),
)
WEIGHTED = MessageType(
    "envoy.config.route.v3.WeightedCluster.ClusterWeight",
    (
        one("name", 1, Scalar.STRING),
        one("weight", 2, Scalar.UINT32_VALUE),
        many("request_headers_to_add", 4, core.HEADER_VALUE_OPTION),
        many("response_headers_to_add", 5, core.HEADER_VALUE_OPTION),
        many("response_headers_to_remove", 6, Scalar.STRING),
        many("request_headers_to_remove", 9, Scalar.STRING),
        one("host_rewrite_literal", 11, Scalar.STRING, "host_rewrite_specifier"),
    ),
)
WEIGHTED_CLUSTERS = MessageType("envoy.config.route.v3.WeightedCluster", (many("clusters", 1, WEIGHTED),))
RETRY_PRIORITY = MessageType(
    "envoy.config.route.v3.RetryPolicy.RetryPriority",
    (one("name", 1, Scalar.STRING), one("typed_config", 3, Scalar.ANY, "config_type")),
)
RETRY_HOST_PREDICATE = MessageType(
    "envoy.config.route.v3.RetryPolicy.RetryHostPredicate",
    (one("name", 1, Scalar.STRING), one("typed_config", 3, Scalar.ANY, "config_type")),
)
RETRY_BACK_OFF = MessageType(
    "envoy.config.route.v3.RetryPolicy.RetryBackOff", (one("base_interval", 1, Scalar.DURATION),)
)
RETRY_POLICY = MessageType(
    "envoy.config.route.v3.RetryPolicy",
    (
        one("retry_on", 1, Scalar.STRING),
        one("num_retries", 2, Scalar.UINT32_VALUE),
        one("per_try_timeout", 3, Scalar.DURATION),
        one("retry_priority", 4, RETRY_PRIORITY),
        many("retry_host_predicate", 5, RETRY_HOST_PREDICATE),
        one("host_selection_retry_max_attempts", 6, Scalar.INT64),
        many("retriable_status_codes", 7, Scalar.UINT32),
        one("retry_back_off", 8, RETRY_BACK_OFF),
    ),
)
ROUTE_ACTION = MessageType(
    "envoy.config.route.v3.RouteAction",
    (
        one("cluster", 1, Scalar.STRING, "cluster_specifier"),
        one("weighted_clusters", 3, WEIGHTED_CLUSTERS, "cluster_specifier"),
        one("prefix_rewrite", 5, Scalar.STRING),
        one("host_rewrite_literal", 6, Scalar.STRING, "host_rewrite_specifier"),
        one("timeout", 8, Scalar.DURATION),
        one("retry_policy", 9, RETRY_POLICY),
        many("hash_policy", 15, HASH_POLICY),
        one("max_grpc_timeout", 23, Scalar.DURATION),
        many("request_mirror_policies", 30, MIRROR_POLICY),
        one("regex_rewrite", 32, core.REGEX_SUBSTITUTE),
        one("append_x_forwarded_host", 38, Scalar.BOOL),
    ),
)

# Answering

REDIRECT_CODE = EnumType(
    "envoy.config.route.v3.RedirectAction.RedirectResponseCode",
    {"MOVED_PERMANENTLY": 0, "FOUND": 1, "SEE_OTHER": 2, "TEMPORARY_REDIRECT": 3, "PERMANENT_REDIRECT": 4},
)
REDIRECT = MessageType(
    "envoy.config.route.v3.RedirectAction",
    (
        one("host_redirect", 1, Scalar.STRING),
        one("path_redirect", 2, Scalar.STRING, "path_rewrite_specifier"),
        one("response_code", 3, REDIRECT_CODE),
        one("prefix_rewrite", 5, Scalar.STRING, "path_rewrite_specifier"),
        one("scheme_redirect", 7, Scalar.STRING, "scheme_rewrite_specifier"),
        one("port_redirect", 8, Scalar.UINT32),
    ),
)
DIRECT_RESPONSE = MessageType(
    "envoy.config.route.v3.DirectResponseAction", (one("status", 1, Scalar.UINT32), one("body", 2, core.DATA_SOURCE))
)

# Tables

ROUTE = MessageType(
    "envoy.config.route.v3.Route",
    (
        one("match", 1, ROUTE_MATCH),
        one("route", 2, ROUTE_ACTION, "action"),
        one("redirect", 3, REDIRECT, "action"),
        one("direct_response", 7, DIRECT_RESPONSE, "action"),
        many("request_headers_to_add", 9, core.HEADER_VALUE_OPTION),
        many("response_headers_to_add", 10, core.HEADER_VALUE_OPTION),
        many("response_headers_to_remove", 11, Scalar.STRING),
        many("request_headers_to_remove", 12, Scalar.STRING),
        keyed("typed_per_filter_config", 13, Scalar.ANY),
        one("name", 14, Scalar.STRING),
        one("stat_prefix", 19, Scalar.STRING),
    ),
)
TLS_REQUIREMENT = EnumType(
    "envoy.config.route.v3.VirtualHost.TlsRequirementType", {"NONE": 0, "EXTERNAL_ONLY": 1, "ALL": 2}
)
VIRTUAL_HOST = MessageType(
    "envoy.config.route.v3.VirtualHost",
    (
        one("name", 1, Scalar.STRING),
        many("domains", 2, Scalar.STRING),
        many("routes", 3, ROUTE),
        one("require_tls", 4, TLS_REQUIREMENT),
        one("include_request_attempt_count", 14, Scalar.BOOL),
    ),
)
ROUTE_CONFIGURATION = MessageType(
    "envoy.config.route.v3.RouteConfiguration",
    (
        one("name", 1, Scalar.STRING),
        many("virtual_hosts", 2, VIRTUAL_HOST),
        one("validate_clusters", 7, Scalar.BOOL_VALUE),
        one("max_direct_response_body_size_bytes", 11, Scalar.UINT32_VALUE),
        one("ignore_port_in_host_matching", 14, Scalar.BOOL),
    ),
)

# Extensions

PREVIOUS_HOSTS = MessageType("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
PREVIOUS_PRIORITIES = MessageType(
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    (one("update_frequency", 1, Scalar.INT32),),
)
FAULT_DELAY = MessageType(
    "envoy.extensions.filters.common.fault.v3.FaultDelay",
    (
        one("fixed_delay", 3, Scalar.DURATION, "fault_delay_secifier"),
        one("percentage", 4, core.FRACTIONAL_PERCENT),
    ),
)
FAULT_ABORT = MessageType(
    "envoy.extensions.filters.http.fault.v3.FaultAbort",
    (
        one("http_status", 2, Scalar.UINT32, "error_type"),
        one("percentage", 3, core.FRACTIONAL_PERCENT),
        one("grpc_status", 5, Scalar.UINT32, "error_type"),
    ),
)
HTTP_FAULT = MessageType(
    "envoy.extensions.filters.http.fault.v3.HTTPFault", (one("delay", 1, FAULT_DELAY), one("abort", 2, FAULT_ABORT))
)
CORS_POLICY = MessageType(
    "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    (
        many("allow_origin_string_match", 1, core.STRING_MATCHER),
        one("allow_methods", 2, Scalar.STRING),
        one("allow_headers", 3, Scalar.STRING),
        one("expose_headers", 4, Scalar.STRING),
        one("max_age", 5, Scalar.STRING),
        one("allow_credentials", 6, Scalar.BOOL_VALUE),
        one("filter_enabled", 7, core.RUNTIME_FRACTIONAL_PERCENT),
        one("forward_not_matching_preflights", 10, Scalar.BOOL_VALUE),
    ),
)

TABLE = (
    HEADER_MATCHER, QUERY_MATCHER, ROUTE_MATCH, HASH_HEADER, COOKIE_ATTRIBUTE, HASH_COOKIE, HASH_CONNECTION, HASH_QUERY,
    HASH_POLICY, MIRROR_POLICY, WEIGHTED, WEIGHTED_CLUSTERS, RETRY_PRIORITY, RETRY_HOST_PREDICATE, RETRY_BACK_OFF,
    RETRY_POLICY, ROUTE_ACTION, REDIRECT, DIRECT_RESPONSE, ROUTE, VIRTUAL_HOST, ROUTE_CONFIGURATION, PREVIOUS_HOSTS,
    PREVIOUS_PRIORITIES, FAULT_DELAY, FAULT_ABORT, HTTP_FAULT, CORS_POLICY,
)  # fmt: skip
