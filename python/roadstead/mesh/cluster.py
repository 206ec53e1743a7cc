"""Clusters: endpoints under a policy (Envoy: config.cluster.v3.Cluster and ClusterLoadAssignment)."""

from __future__ import annotations

from typing import Literal

import msgspec

from roadstead.mesh.origin import Origin

UNLIMITED = 0xFFFFFFFF
# Seconds after which connections to hosts that nobody declared are closed when idle (Istio: a constant).
PASSTHROUGH_IDLE = 300.0

ClusterType = Literal["EDS", "STRICT_DNS", "LOGICAL_DNS", "ORIGINAL_DST", "DYNAMIC_DNS"]
UpstreamProtocol = Literal["http1", "http2", "downstream"]
ProxyProtocol = Literal["", "V1", "V2"]


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """address: IP, host name (DNS clusters; `extended` also STATIC) or path of a unix socket (port 0 then).
    tls_mode: "istio", "disabled" or the label's own word. health: "" or "UNHEALTHY", "DRAINING". labels: augmented.
    priority_tier: outer priority from the label `priority` (dialect extended). probe: how it is found healthy, beside
    its cluster's checks (dialect extended)."""

    address: str
    port: int
    kind: Literal["ip", "hostname", "unix"] = "ip"
    weight: int = 1
    labels: dict[str, str] = {}
    locality: str = ""
    network: str = ""
    cluster_id: str = ""
    namespace: str = ""
    workload_name: str = ""
    service_account: str = ""
    tls_mode: str = "disabled"
    health: str = ""
    hostname: str = ""
    service_port_name: str = ""
    service_port: int = 0
    priority_tier: int = 0
    probe: WorkloadProbe | None = None


class LocalityGroup(msgspec.Struct, frozen=True, gc=False):
    """Endpoints of one locality text and one priority. weight: the group's load_balancing_weight."""

    locality: str
    priority: int
    weight: int
    endpoints: tuple[Endpoint, ...]


class Keepalive(msgspec.Struct, frozen=True, gc=False):
    """TCP keepalive; seconds; None: the system's value. (Istio: connectionPool.tcp.tcpKeepalive)"""

    probes: int | None = None
    time: float | None = None
    interval: float | None = None


class TcpPool(msgspec.Struct, frozen=True, gc=False):
    """Limits of connections. connect_timeout, idle_timeout, max_connection_duration: seconds; None: not set.
    proxy_protocol: connections begin with its header (Istio: trafficPolicy.proxyProtocol)."""

    max_connections: int = UNLIMITED
    connect_timeout: float = 10.0
    keepalive: Keepalive | None = None
    idle_timeout: float | None = None
    max_connection_duration: float | None = None
    proxy_protocol: ProxyProtocol = ""


class HttpPool(msgspec.Struct, frozen=True, gc=False):
    """Limits of requests. h2_upgrade: "DEFAULT" | "UPGRADE" | "DO_NOT_UPGRADE"; retry_budget: (percent, min
    concurrency), retry_budget_interval: seconds over which requests count for it; None: those active now.
    protocol: what is spoken upstream: "http1", "http2" or "downstream" (same as the client's).
    http2_keepalive: (interval, timeout) of pings in seconds, None: Envoy's. keeps_case: names of headers in HTTP/1 keep
    their case."""

    max_pending_requests: int = UNLIMITED
    max_requests: int = UNLIMITED
    max_retries: int = UNLIMITED
    max_requests_per_connection: int | None = None
    max_concurrent_streams: int | None = None
    idle_timeout: float | None = None
    h2_upgrade: str = "DEFAULT"
    use_client_protocol: bool = False
    protocol: UpstreamProtocol = "http1"
    retry_budget: tuple[float, int] | None = None
    retry_budget_interval: float | None = None
    http2_keepalive: tuple[float | None, float | None] | None = None
    keeps_case: bool = False


class ConnectionPool(msgspec.Struct, frozen=True, gc=False):
    tcp: TcpPool = TcpPool()
    http: HttpPool = HttpPool()


class OutlierDetection(msgspec.Struct, frozen=True, gc=False):
    """Envoy's fields after Istio's translation. None: Envoy's default; times in seconds, shares in percent."""

    consecutive_5xx: int | None = None
    enforcing_consecutive_5xx: int | None = None
    consecutive_gateway_failure: int | None = None
    enforcing_consecutive_gateway_failure: int | None = None
    consecutive_local_origin_failure: int | None = None
    enforcing_consecutive_local_origin_failure: int | None = None
    split_external_local_origin_errors: bool = False
    interval: float | None = None
    base_ejection_time: float | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int = 0
    error_codes: tuple[str, ...] = ()
    always_eject_one_host: bool = False


class HealthCheck(msgspec.Struct, frozen=True, gc=False):
    """Active check (dialect extended: trafficPolicy.healthCheck; Envoy: health_checks). Seconds. kind "tcp": a
    connection is enough. path, of "http": what is asked for. service, of "grpc": whose health is asked for, "": the
    server's. headers: of both. authority: the Host, "": the service's host."""

    interval: float
    timeout: float
    unhealthy_threshold: int
    healthy_threshold: int
    kind: Literal["http", "grpc", "tcp"] = "http"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    authority: str = ""
    service: str = ""


class WorkloadProbe(HealthCheck, frozen=True, gc=False):
    """How the workloads of a WorkloadGroup are probed (dialect extended). Every result counts by the thresholds, the
    first too; an answer with a status below 400 is good. port: of the workload. address "": the workload's own. https:
    its certificate is not looked at. initial_delay: seconds before the first."""

    port: int = 0
    address: str = ""
    https: bool = False
    initial_delay: float = 0.0


class HashKey(msgspec.Struct, frozen=True, gc=False):
    """Source of the hash (Istio: consistentHash). ttl: seconds; None: a cookie is only read, never made. nothing: a
    policy of a route that hashes nothing."""

    kind: Literal["header", "cookie", "source_ip", "query", "nothing"]
    name: str = ""
    ttl: float | None = None
    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


class Warmup(msgspec.Struct, frozen=True, gc=False):
    """Slow start (Istio: warmup). duration seconds. None: not set by Istio (Envoy's default holds)."""

    duration: float
    minimum_percent: float | None = 10.0
    aggression: float | None = 1.0


class LoadBalancer(msgspec.Struct, frozen=True, gc=False):
    """policy in Envoy's words. ring_min None: not set (Envoy: 1024). locality_weighted: locality_weighted_lb_config.
    zone_min_cluster_size: zone_aware_lb_config.min_cluster_size; None: not set (Envoy: 6)."""

    policy: Literal["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "RING_HASH", "MAGLEV", "CLUSTER_PROVIDED"] = (
        "LEAST_REQUEST"
    )
    panic_threshold: int | None = 0
    locality_weighted: bool = False
    ring_min: int | None = None
    table_size: int | None = None
    hash_key: HashKey | None = None
    warmup: Warmup | None = None
    zone_aware: bool = False
    zone_min_cluster_size: int | None = None


class TlsOrigination(msgspec.Struct, frozen=True, gc=False):
    """TLS that the mesh speaks upstream. mode in Istio's words: SIMPLE MUTUAL ISTIO_MUTUAL, and AUTO for automatic mTLS
    (per endpoint, by Endpoint.tls_mode). sni "": from the request's host when auto_sni. verify "": the certificate is
    not checked; "san": one of subject_alt_names; "auto": must carry the request's host; "ca": signed by ca, name not
    checked. ca "": system roots. credential_name: a secret (SDS) or "configmap://namespace/name". alpn: offered as they
    are; where there are none, an HTTP/1.1 connection offers "http/1.1" and bytes alone nothing, as in Envoy.
    cipher_suites, curves: in BoringSSL's words; none: Envoy's own. The version is 1.2 or 1.3."""

    mode: Literal["SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "AUTO"]
    sni: str = ""
    subject_alt_names: tuple[str, ...] = ()
    ca: str = ""
    ca_crl: str = ""
    certificate: str = ""
    private_key: str = ""
    credential_name: str = ""
    auto_sni: bool = False
    verify: Literal["", "san", "auto", "ca"] = ""
    alpn: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()


class ClusterPolicy(msgspec.Struct, frozen=True, gc=False):
    """The traffic policy in force for a cluster, after inheritance. Interned: equal policies are one object.
    origins: DestinationRules that contributed, the deciding one first; empty without a rule."""

    connection_pool: ConnectionPool
    load_balancer: LoadBalancer
    outlier_detection: OutlierDetection | None = None
    health_checks: tuple[HealthCheck, ...] = ()
    origins: tuple[Origin, ...] = ()


class Cluster(msgspec.Struct, frozen=True, gc=False):
    """One Envoy cluster. type in Envoy's words; DYNAMIC_DNS is the dynamic forward proxy. tls differs from cluster to
    cluster (its SNI carries the name), so it stands beside the shared policy.

    dns_lookup_family: "V4_ONLY" "V6_ONLY" "ALL" for services with a DNS resolution, "" else. port_override:
    upstream_port_override (NONE)."""

    name: str
    host: str
    port: int
    subset: str
    type: ClusterType
    policy: ClusterPolicy
    groups: tuple[LocalityGroup, ...]
    namespace: str
    origin: Origin
    tls: TlsOrigination | None = None
    subset_labels: dict[str, str] | None = None
    subset_origin: Origin | None = None
    port_override: int = 0
    dns_lookup_family: str = ""
    port_name: str = ""
    protocol: str = ""

    @property
    def connection_pool(self) -> ConnectionPool:
        return self.policy.connection_pool

    @property
    def outlier_detection(self) -> OutlierDetection | None:
        return self.policy.outlier_detection

    @property
    def health_checks(self) -> tuple[HealthCheck, ...]:
        return self.policy.health_checks

    @property
    def load_balancer(self) -> LoadBalancer:
        return self.policy.load_balancer


class UnknownCluster(msgspec.Struct, frozen=True):
    """What is spoken to hosts that nobody declared: PassthroughCluster, AllowAnyDynamicDNSCluster. Its endpoints are
    what its callers ask for."""

    name: str
    connection_pool: ConnectionPool
    tls: TlsOrigination | None = None
    load_balancer: LoadBalancer = LoadBalancer("CLUSTER_PROVIDED", panic_threshold=None)
    outlier_detection: OutlierDetection | None = None
    health_checks: tuple[HealthCheck, ...] = ()
