"""envoy.config.cluster.v3, envoy.config.endpoint.v3 and what clusters are extended with."""

from __future__ import annotations

from roadstead.xds.messages import core
from roadstead.xds.messages.route import HEADER_MATCHER
from roadstead.xds.schema import EnumType, MessageType, Scalar, keyed, many, one

# Endpoints

ENDPOINT = MessageType(
    "envoy.config.endpoint.v3.Endpoint", (one("address", 1, core.ADDRESS), one("hostname", 3, Scalar.STRING))
)
LB_ENDPOINT = MessageType(
    "envoy.config.endpoint.v3.LbEndpoint",
    (
        one("endpoint", 1, ENDPOINT, "host_identifier"),
        one("health_status", 2, core.HEALTH_STATUS),
        one("metadata", 3, core.METADATA),
        one("load_balancing_weight", 4, Scalar.UINT32_VALUE),
    ),
)
LOCALITY_LB_ENDPOINTS = MessageType(
    "envoy.config.endpoint.v3.LocalityLbEndpoints",
    (
        one("locality", 1, core.LOCALITY),
        many("lb_endpoints", 2, LB_ENDPOINT),
        one("load_balancing_weight", 3, Scalar.UINT32_VALUE),
        one("priority", 5, Scalar.UINT32),
    ),
)
CLUSTER_LOAD_ASSIGNMENT = MessageType(
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    (one("cluster_name", 1, Scalar.STRING), many("endpoints", 2, LOCALITY_LB_ENDPOINTS)),
)

# Parts of a cluster

RETRY_BUDGET = MessageType(
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget",
    (
        one("budget_percent", 1, core.PERCENT),
        one("min_retry_concurrency", 2, Scalar.UINT32_VALUE),
        one("budget_interval", 3, Scalar.DURATION),
    ),
)
THRESHOLDS = MessageType(
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
    (
        one("max_connections", 2, Scalar.UINT32_VALUE),
        one("max_pending_requests", 3, Scalar.UINT32_VALUE),
        one("max_requests", 4, Scalar.UINT32_VALUE),
        one("max_retries", 5, Scalar.UINT32_VALUE),
        one("track_remaining", 6, Scalar.BOOL),
        one("retry_budget", 8, RETRY_BUDGET),
    ),
)
CIRCUIT_BREAKERS = MessageType("envoy.config.cluster.v3.CircuitBreakers", (many("thresholds", 1, THRESHOLDS),))
OUTLIER_DETECTION = MessageType(
    "envoy.config.cluster.v3.OutlierDetection",
    (
        one("consecutive_5xx", 1, Scalar.UINT32_VALUE),
        one("interval", 2, Scalar.DURATION),
        one("base_ejection_time", 3, Scalar.DURATION),
        one("max_ejection_percent", 4, Scalar.UINT32_VALUE),
        one("enforcing_consecutive_5xx", 5, Scalar.UINT32_VALUE),
        one("enforcing_success_rate", 6, Scalar.UINT32_VALUE),
        one("consecutive_gateway_failure", 10, Scalar.UINT32_VALUE),
        one("enforcing_consecutive_gateway_failure", 11, Scalar.UINT32_VALUE),
        one("split_external_local_origin_errors", 12, Scalar.BOOL),
        one("consecutive_local_origin_failure", 13, Scalar.UINT32_VALUE),
        one("enforcing_consecutive_local_origin_failure", 14, Scalar.UINT32_VALUE),
        one("enforcing_local_origin_success_rate", 15, Scalar.UINT32_VALUE),
        one("always_eject_one_host", 25, Scalar.BOOL_VALUE),
    ),
)
TRANSPORT_SOCKET_MATCH = MessageType(
    "envoy.config.cluster.v3.Cluster.TransportSocketMatch",
    (
        one("name", 1, Scalar.STRING),
        one("match", 2, Scalar.STRUCT),
        one("transport_socket", 3, core.TRANSPORT_SOCKET),
    ),
)
CUSTOM_CLUSTER_TYPE = MessageType(
    "envoy.config.cluster.v3.Cluster.CustomClusterType",
    (one("name", 1, Scalar.STRING), one("typed_config", 2, Scalar.ANY)),
)
EDS_CLUSTER_CONFIG = MessageType(
    "envoy.config.cluster.v3.Cluster.EdsClusterConfig",
    (one("eds_config", 1, core.CONFIG_SOURCE), one("service_name", 2, Scalar.STRING)),
)
SLOW_START = MessageType(
    "envoy.config.cluster.v3.Cluster.SlowStartConfig",
    (
        one("slow_start_window", 1, Scalar.DURATION),
        one("aggression", 2, core.RUNTIME_DOUBLE),
        one("min_weight_percent", 3, core.PERCENT),
    ),
)
ROUND_ROBIN = MessageType(
    "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig", (one("slow_start_config", 1, SLOW_START),)
)
LEAST_REQUEST = MessageType(
    "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig", (one("slow_start_config", 3, SLOW_START),)
)
RING_HASH = MessageType(
    "envoy.config.cluster.v3.Cluster.RingHashLbConfig", (one("minimum_ring_size", 1, Scalar.UINT64_VALUE),)
)
MAGLEV = MessageType("envoy.config.cluster.v3.Cluster.MaglevLbConfig", (one("table_size", 1, Scalar.UINT64_VALUE),))
ORIGINAL_DST = MessageType(
    "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig", (one("upstream_port_override", 3, Scalar.UINT32_VALUE),)
)
ZONE_AWARE = MessageType(
    "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig",
    (one("min_cluster_size", 2, Scalar.UINT64_VALUE),),
)
LOCALITY_WEIGHTED = MessageType("envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig")
COMMON_LB = MessageType(
    "envoy.config.cluster.v3.Cluster.CommonLbConfig",
    (
        one("healthy_panic_threshold", 1, core.PERCENT),
        one("zone_aware_lb_config", 2, ZONE_AWARE, "locality_config_specifier"),
        one("locality_weighted_lb_config", 3, LOCALITY_WEIGHTED, "locality_config_specifier"),
    ),
)
UPSTREAM_CONNECTION = MessageType(
    "envoy.config.cluster.v3.UpstreamConnectionOptions", (one("tcp_keepalive", 1, core.TCP_KEEPALIVE),)
)
DISCOVERY_TYPE = EnumType(
    "envoy.config.cluster.v3.Cluster.DiscoveryType",
    {"STATIC": 0, "STRICT_DNS": 1, "LOGICAL_DNS": 2, "EDS": 3, "ORIGINAL_DST": 4},
)
LB_POLICY = EnumType(
    "envoy.config.cluster.v3.Cluster.LbPolicy",
    {"ROUND_ROBIN": 0, "LEAST_REQUEST": 1, "RING_HASH": 2, "RANDOM": 3, "MAGLEV": 5, "CLUSTER_PROVIDED": 6},
)
DNS_LOOKUP_FAMILY = EnumType(
    "envoy.config.cluster.v3.Cluster.DnsLookupFamily",
    {"AUTO": 0, "V4_ONLY": 1, "V6_ONLY": 2, "V4_PREFERRED": 3, "ALL": 4},
)
CLUSTER = MessageType(
    "envoy.config.cluster.v3.Cluster",
    (
        one("name", 1, Scalar.STRING),
        one("type", 2, DISCOVERY_TYPE, "cluster_discovery_type"),
        one("eds_cluster_config", 3, EDS_CLUSTER_CONFIG),
        one("connect_timeout", 4, Scalar.DURATION),
        one("lb_policy", 6, LB_POLICY),
        many("health_checks", 8, core.HEALTH_CHECK),
        one("circuit_breakers", 10, CIRCUIT_BREAKERS),
        one("dns_refresh_rate", 16, Scalar.DURATION),
        one("dns_lookup_family", 17, DNS_LOOKUP_FAMILY),
        one("outlier_detection", 19, OUTLIER_DETECTION),
        one("ring_hash_lb_config", 23, RING_HASH, "lb_config"),
        one("transport_socket", 24, core.TRANSPORT_SOCKET),
        one("common_lb_config", 27, COMMON_LB),
        one("alt_stat_name", 28, Scalar.STRING),
        one("upstream_connection_options", 30, UPSTREAM_CONNECTION),
        one("load_assignment", 33, CLUSTER_LOAD_ASSIGNMENT),
        one("original_dst_lb_config", 34, ORIGINAL_DST, "lb_config"),
        keyed("typed_extension_protocol_options", 36, Scalar.ANY),
        one("least_request_lb_config", 37, LEAST_REQUEST, "lb_config"),
        one("cluster_type", 38, CUSTOM_CLUSTER_TYPE, "cluster_discovery_type"),
        one("respect_dns_ttl", 39, Scalar.BOOL),
        many("transport_socket_matches", 43, TRANSPORT_SOCKET_MATCH),
        one("maglev_lb_config", 52, MAGLEV, "lb_config"),
        one("typed_dns_resolver_config", 55, core.TYPED_EXTENSION),
        one("round_robin_lb_config", 56, ROUND_ROBIN, "lb_config"),
        one("dns_jitter", 58, Scalar.DURATION),
    ),
)

# Extensions

EXPLICIT_HTTP = MessageType(
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig",
    (
        one("http_protocol_options", 1, core.HTTP1_OPTIONS, "protocol_config"),
        one("http2_protocol_options", 2, core.HTTP2_OPTIONS, "protocol_config"),
    ),
)
DOWNSTREAM_HTTP = MessageType(
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig",
    (one("http_protocol_options", 1, core.HTTP1_OPTIONS), one("http2_protocol_options", 2, core.HTTP2_OPTIONS)),
)
HEADERS_MATCH = MessageType("envoy.config.common.matcher.v3.HttpHeadersMatch", (many("headers", 1, HEADER_MATCHER),))
MATCH_SET = MessageType(
    "envoy.config.common.matcher.v3.MatchPredicate.MatchSet",
    (many("rules", 1, "envoy.config.common.matcher.v3.MatchPredicate"),),
)
MATCH_PREDICATE = MessageType(
    "envoy.config.common.matcher.v3.MatchPredicate",
    (
        one("or_match", 1, MATCH_SET, "rule"),
        one("http_response_headers_match", 7, HEADERS_MATCH, "rule"),
    ),
)
HTTP_OUTLIERS = MessageType(
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.OutlierDetection",
    (one("error_matcher", 1, MATCH_PREDICATE),),
)
HTTP_OPTIONS = MessageType(
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    (
        one("common_http_protocol_options", 1, core.COMMON_HTTP_OPTIONS),
        one("upstream_http_protocol_options", 2, core.UPSTREAM_HTTP_OPTIONS),
        one("explicit_http_config", 3, EXPLICIT_HTTP, "upstream_protocol_options"),
        one("use_downstream_protocol_config", 4, DOWNSTREAM_HTTP, "upstream_protocol_options"),
        one("outlier_detection", 8, HTTP_OUTLIERS),
    ),
)
DNS_CACHE = MessageType(
    "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig",
    (
        one("name", 1, Scalar.STRING),
        one("dns_lookup_family", 2, DNS_LOOKUP_FAMILY),
        one("max_hosts", 5, Scalar.UINT32_VALUE),
    ),
)
DYNAMIC_CLUSTER = MessageType(
    "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
    (
        one("dns_cache_config", 1, DNS_CACHE, "cluster_implementation_specifier"),
        one("allow_insecure_cluster_options", 2, Scalar.BOOL),
    ),
)
CARES = MessageType(
    "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
    (one("udp_max_queries", 5, Scalar.UINT32_VALUE),),
)

TABLE = (
    ENDPOINT, LB_ENDPOINT, LOCALITY_LB_ENDPOINTS, CLUSTER_LOAD_ASSIGNMENT, RETRY_BUDGET, THRESHOLDS, CIRCUIT_BREAKERS,
    OUTLIER_DETECTION, TRANSPORT_SOCKET_MATCH, CUSTOM_CLUSTER_TYPE, EDS_CLUSTER_CONFIG, SLOW_START, ROUND_ROBIN,
    LEAST_REQUEST, RING_HASH, MAGLEV, ORIGINAL_DST, ZONE_AWARE, LOCALITY_WEIGHTED, COMMON_LB, UPSTREAM_CONNECTION,
    CLUSTER, EXPLICIT_HTTP, DOWNSTREAM_HTTP, HEADERS_MATCH, MATCH_SET, MATCH_PREDICATE, HTTP_OUTLIERS, HTTP_OPTIONS,
    DNS_CACHE, DYNAMIC_CLUSTER, CARES,
)  # fmt: skip
