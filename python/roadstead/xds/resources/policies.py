"""What clusters with one traffic policy have in common (Istio: core/cluster_traffic_policy.go)."""

from __future__ import annotations

from functools import lru_cache

from roadstead.mesh import ClusterPolicy, ConnectionPool, Keepalive, LoadBalancer, OutlierDetection, Warmup
from roadstead.xds.messages import cluster as table
from roadstead.xds.messages import core
from roadstead.xds.messages.route import HEADER_MATCHER
from roadstead.xds.schema import Message, Value

HTTP_OPTIONS_NAME = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Runtime key that no runtime has: it is required, and nothing is to change the value.
_NO_KEY = "("


def policy_fields(policy: ClusterPolicy, type: str) -> dict[str, Value]:  # noqa: A002 - Envoy's word
    """Fields of Cluster that follow from the policy and the cluster's type (Envoy's word, or DYNAMIC_DNS)."""
    balancer = policy.load_balancer
    made: dict[str, Value] = {
        "connect_timeout": policy.connection_pool.tcp.connect_timeout,
        "circuit_breakers": breakers(policy.connection_pool),
        "lb_policy": balancer.policy,
        **_balancing(balancer),
    }
    if type != "DYNAMIC_DNS":
        made["common_lb_config"] = _common(balancer)
    if policy.outlier_detection is not None:
        made["outlier_detection"] = _ejection(policy.outlier_detection)
    if policy.connection_pool.tcp.keepalive is not None:
        made["upstream_connection_options"] = keepalive(policy.connection_pool.tcp.keepalive)
    return made


def breakers(pool: ConnectionPool) -> Message:
    """How much a cluster does at once."""
    http, budget = pool.http, None
    if http.retry_budget is not None:
        percent, concurrency = http.retry_budget
        budget = table.RETRY_BUDGET(
            budget_percent=core.PERCENT(value=percent),
            min_retry_concurrency=concurrency,
            budget_interval=http.retry_budget_interval,
        )
    thresholds = table.THRESHOLDS(
        max_connections=pool.tcp.max_connections,
        max_pending_requests=http.max_pending_requests,
        max_requests=http.max_requests,
        max_retries=http.max_retries,
        retry_budget=budget,
        track_remaining=True,
    )
    return table.CIRCUIT_BREAKERS.shared(thresholds=(thresholds,))


def _balancing(balancer: LoadBalancer) -> dict[str, Value]:
    if balancer.policy == "RING_HASH" and balancer.ring_min is not None:
        return {"ring_hash_lb_config": table.RING_HASH.shared(minimum_ring_size=balancer.ring_min)}
    if balancer.policy == "RING_HASH":
        return {"ring_hash_lb_config": table.RING_HASH.shared()}
    if balancer.policy == "MAGLEV":
        return {"maglev_lb_config": table.MAGLEV.shared(table_size=balancer.table_size)}
    if balancer.warmup is None:
        return {}
    slow = _slow_start(balancer.warmup)
    if balancer.policy == "ROUND_ROBIN":
        return {"round_robin_lb_config": table.ROUND_ROBIN.shared(slow_start_config=slow)}
    return {"least_request_lb_config": table.LEAST_REQUEST.shared(slow_start_config=slow)}


def _slow_start(warmup: Warmup) -> Message:
    aggression, minimum = warmup.aggression, warmup.minimum_percent
    return table.SLOW_START(
        slow_start_window=warmup.duration,
        aggression=None if aggression is None else core.RUNTIME_DOUBLE(default_value=aggression, runtime_key=_NO_KEY),
        min_weight_percent=None if minimum is None else core.PERCENT(value=minimum),
    )


def _common(balancer: LoadBalancer) -> Message:
    panic, zone = balancer.panic_threshold, None
    if balancer.zone_aware:
        zone = table.ZONE_AWARE(min_cluster_size=balancer.zone_min_cluster_size)
    return table.COMMON_LB.shared(
        healthy_panic_threshold=None if panic is None else core.PERCENT(value=panic),
        zone_aware_lb_config=zone,
        locality_weighted_lb_config=table.LOCALITY_WEIGHTED() if balancer.locality_weighted else None,
    )


def _ejection(outliers: OutlierDetection) -> Message:
    split = outliers.split_external_local_origin_errors
    return table.OUTLIER_DETECTION.shared(
        consecutive_5xx=outliers.consecutive_5xx,
        enforcing_consecutive_5xx=outliers.enforcing_consecutive_5xx,
        consecutive_gateway_failure=outliers.consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure=outliers.enforcing_consecutive_gateway_failure,
        consecutive_local_origin_failure=outliers.consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure=outliers.enforcing_consecutive_local_origin_failure,
        split_external_local_origin_errors=split,
        enforcing_local_origin_success_rate=0 if split else None,
        enforcing_success_rate=0,
        interval=outliers.interval,
        base_ejection_time=outliers.base_ejection_time,
        max_ejection_percent=outliers.max_ejection_percent,
        always_eject_one_host=True if outliers.always_eject_one_host else None,
    )


def keepalive(settings: Keepalive) -> Message:
    """TCP keepalive of upstream connections."""
    made = core.TCP_KEEPALIVE(
        keepalive_probes=settings.probes or None,
        keepalive_time=None if settings.time is None else int(settings.time) or None,
        keepalive_interval=None if settings.interval is None else int(settings.interval) or None,
    )
    return table.UPSTREAM_CONNECTION.shared(tcp_keepalive=made)


def http_options(policy: ClusterPolicy, *, auto_sni: bool = False, auto_san: bool = False) -> Message | None:
    """How HTTP is spoken upstream; None where Envoy's own way is meant. auto_sni, auto_san: the server's name in TLS,
    and in its certificate, is the request's host."""
    pool = policy.connection_pool
    http, tcp = pool.http, pool.tcp
    made: dict[str, Value] = {}
    if (http.idle_timeout, tcp.max_connection_duration, http.max_requests_per_connection) != (None, None, None):
        made["common_http_protocol_options"] = core.COMMON_HTTP_OPTIONS(
            idle_timeout=http.idle_timeout,
            max_connection_duration=tcp.max_connection_duration,
            max_requests_per_connection=http.max_requests_per_connection,
        )
    elif http.protocol == "http1" and (http.max_concurrent_streams, http.http2_keepalive) != (None, None):
        # Istio makes room for them also where they mean nothing.
        made["common_http_protocol_options"] = core.COMMON_HTTP_OPTIONS()
    if auto_sni or auto_san:
        made["upstream_http_protocol_options"] = core.UPSTREAM_HTTP_OPTIONS(
            auto_sni=auto_sni, auto_san_validation=auto_san
        )
    if policy.outlier_detection is not None and policy.outlier_detection.error_codes:
        made["outlier_detection"] = table.HTTP_OUTLIERS(error_matcher=_errors(policy.outlier_detection.error_codes))
    http1 = core.HTTP1_OPTIONS(header_key_format=preserved_case() if http.keeps_case else None)
    if http.protocol == "http1":
        if made or http.keeps_case:
            made["explicit_http_config"] = table.EXPLICIT_HTTP(http_protocol_options=http1)
    else:
        pings = http.http2_keepalive
        http2 = core.HTTP2_OPTIONS(
            max_concurrent_streams=http.max_concurrent_streams,
            connection_keepalive=None
            if pings is None
            else core.KEEPALIVE_SETTINGS(interval=pings[0], timeout=pings[1]),
        )
        if http.protocol == "http2":
            made["explicit_http_config"] = table.EXPLICIT_HTTP(http2_protocol_options=http2)
        else:
            made["use_downstream_protocol_config"] = table.DOWNSTREAM_HTTP(
                http_protocol_options=http1, http2_protocol_options=http2
            )
    return table.HTTP_OPTIONS.shared(**made) if made else None


@lru_cache(maxsize=1)
def preserved_case() -> Message:
    """Names of headers in HTTP/1 keep their case."""
    formatter = core.TYPED_EXTENSION(name="preserve_case", typed_config=core.PRESERVE_CASE())
    return core.HEADER_KEY_FORMAT.shared(stateful_formatter=formatter)


def _errors(codes: tuple[str, ...]) -> Message:
    """A response with one of the codes counts as an error."""
    matched = [
        table.MATCH_PREDICATE(
            http_response_headers_match=table.HEADERS_MATCH(
                headers=[HEADER_MATCHER(name=":status", string_match=core.STRING_MATCHER(exact=code))]
            )
        )
        for code in codes
    ]
    return matched[0] if len(matched) == 1 else table.MATCH_PREDICATE(or_match=table.MATCH_SET(rules=matched))
