"""connectionPool, outlierDetection, healthCheck and circuitBreaker → Envoy's terms
(Istio: core/cluster_traffic_policy.go; the last two are the extended dialect's)."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from roadstead.config import (
    CircuitBreaker,
    ConnectionPoolSettings,
    OutlierDetection,
    RetryBudget,
    TcpKeepalive,
)
from roadstead.config import HealthCheck as HealthCheckSettings
from roadstead.config.duration import seconds
from roadstead.mesh import ConnectionPool, HealthCheck, HttpPool, Keepalive, TcpPool
from roadstead.mesh import OutlierDetection as Ejection
from roadstead.mesh.cluster import UNLIMITED, ProxyProtocol, UpstreamProtocol
from roadstead.protocol import Protocol

ProtocolClass = Literal["plain", "http", "upgraded", "http2", "sniffed"]
"""http: HTTP/1 by declaration, told from plain only where that makes a difference."""

RETRY_PERCENT, RETRY_CONCURRENCY = 20.0, 3
HEALTH_INTERVAL, HEALTH_TIMEOUT = 10.0, 5.0
UNHEALTHY_THRESHOLD, HEALTHY_THRESHOLD = 3, 2


@lru_cache(maxsize=8192)
def pool_of(
    settings: ConnectionPoolSettings | None,
    budget: RetryBudget | None,
    protocol: UpstreamProtocol,
    connect_timeout: float,
    keepalive: Keepalive | None,
    keeps_case: bool = False,
    proxied: ProxyProtocol = "",
) -> ConnectionPool:
    """The limits of a cluster. connect_timeout, keepalive: the mesh's, for what the rule leaves out. keeps_case: as in
    HttpPool. proxied: the version of the PROXY protocol."""
    tcp = settings.tcp if settings is not None else None
    http = settings.http if settings is not None else None
    tcp_idle = http_idle = None
    if tcp is None:
        tcp_pool = TcpPool(connect_timeout=connect_timeout, keepalive=keepalive, proxy_protocol=proxied)
    else:
        tcp_idle = _seconds(tcp.idle_timeout)
        written = tcp.tcp_keepalive if tcp.tcp_keepalive is not None else tcp.keep_alive
        tcp_pool = TcpPool(
            _limit(tcp.max_connections),
            connect_timeout if tcp.connect_timeout is None else seconds(tcp.connect_timeout),
            keepalive_of(written, keepalive),
            tcp_idle,
            _seconds(tcp.max_connection_duration),
            proxied,
        )
    retry = interval = None
    if budget is not None:
        interval = _seconds(budget.budget_interval)
        percent = RETRY_PERCENT if budget.percent is None else budget.percent
        retry = (percent, budget.min_retry_concurrency or RETRY_CONCURRENCY)
    if http is None:
        return ConnectionPool(
            tcp_pool,
            HttpPool(
                idle_timeout=tcp_idle,
                protocol=protocol,
                retry_budget=retry,
                retry_budget_interval=interval,
                keeps_case=keeps_case,
            ),
        )
    http_idle, pings = _seconds(http.idle_timeout), http.http2_keep_alive
    return ConnectionPool(
        tcp_pool,
        HttpPool(
            _limit(http.http1_max_pending_requests),
            _limit(http.http2_max_requests),
            _limit(http.max_retries),
            http.max_requests_per_connection if http.max_requests_per_connection > 0 else None,
            http.max_concurrent_streams if http.max_concurrent_streams > 0 else None,
            tcp_idle if http_idle is None else http_idle,
            http.h2_upgrade_policy,
            http.use_client_protocol,
            protocol,
            retry,
            interval,
            None if pings is None else (_seconds(pings.interval), _seconds(pings.timeout)),
            keeps_case,
        ),
    )


def keepalive_of(written: TcpKeepalive | None, base: Keepalive | None) -> Keepalive | None:
    """Keepalive field by field: what is written, else the base's."""
    if written is None:
        return base
    given = base or Keepalive()
    return Keepalive(
        written.probes or given.probes,
        given.time if written.time is None else seconds(written.time),
        given.interval if written.interval is None else seconds(written.interval),
    )


@lru_cache(maxsize=256)
def protocol_class(protocol: str, mesh_upgrades: bool, keeps_case: bool = False) -> ProtocolClass:
    """What matters of a port's protocol. mesh_upgrades: declared HTTP becomes HTTP/2 unless a rule objects. keeps_case:
    HTTP/1 is spoken in a way of its own."""
    known = Protocol(protocol)
    if known.is_sniffed:
        return "sniffed"
    if known.is_http2:
        return "http2"
    if not known.is_http:
        return "plain"
    return "upgraded" if mesh_upgrades else "http" if keeps_case else "plain"


def upstream_protocol(
    protocol: ProtocolClass, settings: ConnectionPoolSettings | None, sidecar: bool
) -> UpstreamProtocol:
    """What is spoken to a port's endpoints. A rule's UPGRADE holds for any declared protocol; a sidecar that finds the
    protocol out by looking speaks what it was spoken to."""
    http = settings.http if settings is not None else None
    if (http is not None and http.use_client_protocol) or (protocol == "sniffed" and sidecar):
        return "downstream"
    upgrade = "DEFAULT" if http is None else http.h2_upgrade_policy
    if protocol == "http2" or upgrade == "UPGRADE":
        return "http2"
    return "http2" if protocol == "upgraded" and upgrade == "DEFAULT" else "http1"


@lru_cache(maxsize=8192)
def ejection_of(outlier: OutlierDetection | None, breaker: CircuitBreaker | None) -> Ejection | None:
    """Outlier detection. A circuit breaker fills in what outlierDetection lacks, and lets a lone host be ejected."""
    if outlier is None:
        if breaker is None:
            return None
        outlier = _NOTHING
    gateway, interval = outlier.consecutive_gateway_errors, outlier.interval
    base, share = outlier.base_ejection_time, outlier.max_ejection_percent
    if breaker is not None:
        gateway = breaker.consecutive_gateway_errors if gateway is None else gateway
        interval = breaker.interval if interval is None else interval
        base = breaker.base_ejection_time if base is None else base
        share = share or breaker.max_ejection_percent
    errors = outlier.consecutive_5xx_errors
    local = outlier.consecutive_local_origin_failures if outlier.split_external_local_origin_errors else None
    return Ejection(
        errors,
        _enforcing(errors),
        gateway,
        _enforcing(gateway),
        local,
        _enforcing(local),
        outlier.split_external_local_origin_errors,
        _seconds(interval),
        _seconds(base),
        share or None,
        outlier.min_health_percent,
        tuple([str(code) for code in outlier.outlier_detection_http_error_codes]),
        breaker is not None,
    )


_NOTHING = OutlierDetection()


def health_check_of(settings: HealthCheckSettings) -> HealthCheck:
    """An active check. Left out: every 10 s, 5 s to answer, down after 3 failures, up after 2 successes."""
    unhealthy, healthy = settings.unhealthy_threshold, settings.healthy_threshold
    return HealthCheck(
        HEALTH_INTERVAL if settings.interval is None else seconds(settings.interval),
        HEALTH_TIMEOUT if settings.timeout is None else seconds(settings.timeout),
        UNHEALTHY_THRESHOLD if unhealthy is None else unhealthy,
        HEALTHY_THRESHOLD if healthy is None else healthy,
        "grpc" if settings.grpc is not None else "http" if settings.path else "tcp",
        settings.path,
        tuple([(header.name, header.value) for header in settings.http_headers]),
        settings.host if settings.grpc is None else settings.grpc.authority,
        "" if settings.grpc is None else settings.grpc.service,
    )


def _limit(written: int) -> int:
    return written if written > 0 else UNLIMITED


def _enforcing(threshold: int | None) -> int | None:
    """A threshold of zero switches its detector off."""
    return None if threshold is None else 100 if threshold else 0


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds(text)
