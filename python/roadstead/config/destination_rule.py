"""DestinationRule: policy for traffic whose destination is known.

`health_check`, `circuit_breaker` and `keep_alive` are the extended dialect's (config/dialect.py); Istio does not know
them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from roadstead.config.message import (
    BoolValue,
    DoubleValue,
    Duration,
    FreeDuration,
    Int32,
    LabelsSelector,
    Message,
    PortSelector,
    UInt32,
    UInt32Value,
    UInt64,
    UInt64Value,
)

SimpleLB = Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"]
ClientTLSMode = Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]
H2UpgradePolicy = Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]
ProxyProtocolVersion = Literal["V1", "V2"]


class HTTPCookieAttribute(Message, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""


class HTTPCookie(Message, frozen=True, kw_only=True):
    """ttl None: no cookie is made; "0s": a session cookie is."""

    name: str = ""
    path: str = ""
    ttl: FreeDuration | None = None
    attributes: tuple[HTTPCookieAttribute, ...] = ()


class RingHash(Message, frozen=True, kw_only=True):
    """minimum_ring_size 0: 1024."""

    minimum_ring_size: UInt64 = 0


class MagLev(Message, frozen=True, kw_only=True):
    """table_size: a prime below 5000011; None: 65537."""

    table_size: UInt64 | None = None


class ConsistentHashLB(Message, frozen=True, kw_only=True):
    """One key (http_header_name, http_cookie, use_source_ip, http_query_parameter_name), one algorithm (ring_hash, the
    default, or maglev). minimum_ring_size: deprecated."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: UInt64 = 0


class BackendUtilization(Message, frozen=True, kw_only=True):
    """Weights from load reports (Envoy: client_side_weighted_round_robin)."""

    weight_stabilization_period: FreeDuration | None = None
    weight_expiration_period: FreeDuration | None = None
    weight_update_period: FreeDuration | None = None
    error_utilization_penalty_percent: UInt32Value = None
    metric_names_for_computing_utilization: tuple[str, ...] = ()


class Distribute(Message, frozen=True, kw_only=True):
    """Clients in `from_` ("region/zone/*") send the given percents to localities."""

    from_: str = field(default="", name="from")
    to: dict[str, UInt32] = {}


class Failover(Message, frozen=True, kw_only=True):
    """From one region to another."""

    from_: str = field(default="", name="from")
    to: str = ""


class LocalityLoadBalancerSetting(Message, frozen=True, kw_only=True):
    """enabled None: what the mesh says. failover_priority: "label" or "label=value", in order of importance."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: BoolValue = None


class ZoneAwareLoadBalancerSetting(Message, frozen=True, kw_only=True):
    """min_cluster_size None: 6 (Envoy)."""

    enabled: BoolValue = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: UInt64Value = None


class WarmupConfiguration(Message, frozen=True, kw_only=True):
    """minimum_percent None: 10. aggression None: 1."""

    duration: Duration | None = None
    minimum_percent: DoubleValue = None
    aggression: DoubleValue = None


class LoadBalancerSettings(Message, frozen=True, kw_only=True):
    """One of simple, consistent_hash, backend_utilization. UNSPECIFIED: LEAST_REQUEST. warmup_duration_secs:
    deprecated."""

    simple: SimpleLB | None = None
    consistent_hash: ConsistentHashLB | None = None
    backend_utilization: BackendUtilization | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None


class TcpKeepalive(Message, frozen=True, kw_only=True):
    """probes 0, time None, interval None: the operating system's."""

    probes: UInt32 = 0
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(Message, frozen=True, kw_only=True):
    """max_connections 0: no limit. connect_timeout None: the mesh's. idle_timeout "0s": none; None: 1 h (Envoy).
    keep_alive: the extended dialect's word for tcp_keepalive."""

    max_connections: Int32 = 0
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: FreeDuration | None = None
    keep_alive: TcpKeepalive | None = None


class ConnectionKeepalive(Message, frozen=True, kw_only=True):
    """HTTP/2 PING."""

    interval: Duration | None = None
    timeout: Duration | None = None


class HTTPSettings(Message, frozen=True, kw_only=True):
    """Limits of 0: none."""

    http1_max_pending_requests: Int32 = 0
    http2_max_requests: Int32 = 0
    max_requests_per_connection: Int32 = 0
    max_retries: Int32 = 0
    idle_timeout: Duration | None = None
    h2_upgrade_policy: H2UpgradePolicy = "DEFAULT"
    use_client_protocol: bool = False
    max_concurrent_streams: Int32 = 0
    http2_keep_alive: ConnectionKeepalive | None = None


class ConnectionPoolSettings(Message, frozen=True, kw_only=True):
    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Message, frozen=True, kw_only=True):
    """consecutive_errors: deprecated. Thresholds None: Envoy's default; 0: that detector is off. Percents 0: left
    out."""

    consecutive_errors: Int32 = 0
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: UInt32Value = None
    consecutive_gateway_errors: UInt32Value = None
    consecutive_5xx_errors: UInt32Value = field(default=None, name="consecutive5xxErrors")
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 = 0
    min_health_percent: Int32 = 0
    outlier_detection_http_error_codes: tuple[UInt32, ...] = ()


class ClientTLSSettings(Message, frozen=True, kw_only=True):
    """TLS towards the destination. Certificates are paths; credential_name is a secret (routers only)."""

    mode: ClientTLSMode = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: BoolValue = None
    ca_crl: str = ""


class PortTrafficPolicy(Message, frozen=True, kw_only=True):
    """Policy of one port; it replaces the rule's whole, field by field nothing is inherited."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class TunnelSettings(Message, frozen=True, kw_only=True):
    """TCP through an HTTP proxy. protocol: CONNECT (also for "") or POST."""

    protocol: str = ""
    target_host: str = ""
    target_port: UInt32 = 0


class ProxyProtocol(Message, frozen=True, kw_only=True):
    """The PROXY protocol header sent to the destination."""

    version: ProxyProtocolVersion = "V1"


class RetryBudget(Message, frozen=True, kw_only=True):
    """percent None: 20. min_retry_concurrency 0: 3."""

    percent: DoubleValue = None
    min_retry_concurrency: UInt32 = 0
    budget_interval: Duration | None = None


class HealthCheckHeader(Message, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""


class GrpcHealthCheck(Message, frozen=True, kw_only=True):
    """`grpc.health.v1.Health/Check`. service "": the server as a whole. authority "": the service's host."""

    service: str = ""
    authority: str = ""


class HealthCheck(Message, frozen=True, kw_only=True):
    """Extended dialect: active checks. With `path` an HTTP request, with `grpc` a call, on ports that speak HTTP/2;
    with neither the check is a TCP connection. host: the Host of the request, "": the service's host. None: Envoy's own
    minimum or default."""

    interval: Duration | None = None
    timeout: Duration | None = None
    unhealthy_threshold: UInt32Value = None
    healthy_threshold: UInt32Value = None
    path: str = ""
    host: str = ""
    http_headers: tuple[HealthCheckHeader, ...] = ()
    grpc: GrpcHealthCheck | None = None


class CircuitBreaker(Message, frozen=True, kw_only=True):
    """Extended dialect: outlier detection under another name, and a lone host may be ejected."""

    consecutive_gateway_errors: UInt32Value = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 = 0


class TrafficPolicy(Message, frozen=True, kw_only=True):
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None
    health_check: HealthCheck | None = None
    circuit_breaker: CircuitBreaker | None = None


class Subset(Message, frozen=True, kw_only=True):
    """Endpoints of the host with all these labels. traffic_policy: overrides the rule's, field by field."""

    name: str = ""
    labels: dict[str, str] = {}
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Message, frozen=True, kw_only=True):
    """export_to (): the mesh's default. workload_selector: clients the rule is for, in its own namespace."""

    host: str = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: LabelsSelector | None = None
