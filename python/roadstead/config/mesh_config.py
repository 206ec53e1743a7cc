"""MeshConfig and MeshNetworks: mesh-wide settings. They are files of their own, not Kubernetes documents.

Every field of Istio's MeshConfig is accepted. What bears on outbound traffic is typed; the rest (telemetry,
certificates, the proxy's bootstrap) is kept as the JSON it was written as and never read: type `Unread`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from roadstead.config.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    TcpKeepalive,
    ZoneAwareLoadBalancerSetting,
)
from roadstead.config.message import BoolValue, FreeDuration, Int32, Message, UInt32
from roadstead.config.proxy_config import NOTHING, ProxyConfig, Unread
from roadstead.config.virtual_service import HTTPRetry

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that Kubernetes gives every namespace."""

MeshOutboundMode = Literal["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"]
MeshInboundMode = Literal["PASSTHROUGH", "LOCALHOST"]
MeshH2UpgradePolicy = Literal["DO_NOT_UPGRADE", "UPGRADE"]
IngressControllerMode = Literal["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"]
AccessLogEncoding = Literal["TEXT", "JSON"]
PathNormalization = Literal["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]
MeshTLSProtocol = Literal["TLS_AUTO", "TLSV1_2", "TLSV1_3"]
Visibility = Literal["VISIBILITY_UNSPECIFIED", "NONE", "NAMESPACE", "PUBLIC"]


class MeshOutboundTrafficPolicy(Message, frozen=True, kw_only=True):
    """Unknown destinations. The mesh's default is ALLOW_ANY, an empty policy means REGISTRY_ONLY. tls: for
    ALLOW_ANY_DYNAMIC_DNS."""

    mode: MeshOutboundMode = "REGISTRY_ONLY"
    tls: ClientTLSSettings | None = None


class MeshInboundTrafficPolicy(Message, frozen=True, kw_only=True):
    mode: MeshInboundMode = "PASSTHROUGH"


class ProxyPathNormalization(Message, frozen=True, kw_only=True):
    """How the paths of requests are normalised. DEFAULT is BASE: dot segments, `\\` and needless escapes."""

    normalization: PathNormalization = "DEFAULT"


class LabelSelectorRequirement(Message, frozen=True, kw_only=True):
    """operator: In, NotIn, Exists, DoesNotExist."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(Message, frozen=True, kw_only=True):
    """Kubernetes' selector: all conditions hold together."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class VisibilityRule(Message, frozen=True, kw_only=True):
    namespace_selector: LabelSelector | None = None


class VisibilityPolicy(Message, frozen=True, kw_only=True):
    visibility: Visibility = "VISIBILITY_UNSPECIFIED"
    matching_rules: tuple[VisibilityRule, ...] = ()


class ServiceEntryVisibility(Message, frozen=True, kw_only=True):
    """The most that exportTo of a ServiceEntry may give away; the first policy that matches its namespace, else the
    default."""

    default_visibility: Visibility = "VISIBILITY_UNSPECIFIED"
    apply_to_sidecars: bool = False
    policies: tuple[VisibilityPolicy, ...] = ()


class DefaultTrafficPolicy(Message, frozen=True, kw_only=True):
    """Whole blocks that stand in where a DestinationRule has none."""

    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None


class ServiceSettingsFlags(Message, frozen=True, kw_only=True):
    cluster_local: bool = False


class ServiceSettings(Message, frozen=True, kw_only=True):
    settings: ServiceSettingsFlags | None = None
    hosts: tuple[str, ...] = ()


class TLSConfig(Message, frozen=True, kw_only=True):
    min_protocol_version: MeshTLSProtocol = "TLS_AUTO"
    ecdh_curves: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()


class MeshConfig(Message, frozen=True, kw_only=True):
    """`MeshConfig()` is Istio's default mesh. Durations of None: left out."""

    outbound_traffic_policy: MeshOutboundTrafficPolicy = MeshOutboundTrafficPolicy(mode="ALLOW_ANY")
    inbound_traffic_policy: MeshInboundTrafficPolicy | None = None
    connect_timeout: FreeDuration = "10s"
    protocol_detection_timeout: FreeDuration = "0s"
    hbone_idle_timeout: FreeDuration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    dns_refresh_rate: FreeDuration = "60s"
    enable_auto_mtls: BoolValue = field(default=True, name="enableAutoMtls")
    h2_upgrade_policy: MeshH2UpgradePolicy = "DO_NOT_UPGRADE"
    default_http_retry_policy: HTTPRetry | None = None
    default_inbound_http_retry_policy: HTTPRetry | None = None
    default_traffic_policy: DefaultTrafficPolicy | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = LocalityLoadBalancerSetting(enabled=True)
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    service_entry_visibility: ServiceEntryVisibility | None = None
    service_settings: tuple[ServiceSettings, ...] = ()
    proxy_listen_port: Int32 = 15001
    proxy_inbound_listen_port: Int32 = 15006
    proxy_http_port: Int32 = 0
    outbound_cluster_stat_name: str = ""
    inbound_cluster_stat_name: str = ""
    verify_certificate_at_client: BoolValue = None
    mesh_mtls: TLSConfig | None = field(default=None, name="meshMTLS")
    tls_defaults: TLSConfig | None = None
    default_config: ProxyConfig | None = None
    ingress_class: str = "istio"
    ingress_service: str = "istio-ingressgateway"
    ingress_selector: str = "ingressgateway"
    ingress_controller_mode: IngressControllerMode = "STRICT"
    enable_tracing: bool = False
    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: AccessLogEncoding = "TEXT"
    enable_envoy_access_log_service: bool = False
    disable_envoy_listener_log: bool = False
    enable_prometheus_merge: BoolValue = True
    config_sources: Unread = NOTHING
    ca_certificates: Unread = NOTHING
    certificates: Unread = NOTHING
    ca: Unread = NOTHING
    service_scope_configs: Unread = NOTHING
    extension_providers: Unread = NOTHING
    default_providers: Unread = NOTHING
    discovery_selectors: Unread = NOTHING
    path_normalization: ProxyPathNormalization | None = None


class NetworkEndpoints(Message, frozen=True, kw_only=True):
    """Which endpoints are in the network: one of from_cidr, from_registry."""

    from_cidr: str | None = None
    from_registry: str | None = None


class IstioNetworkGateway(Message, frozen=True, kw_only=True):
    """A way into the network: address (IP or name), or registry_service_name "": none."""

    registry_service_name: str = ""
    address: str = ""
    port: UInt32 = 0
    locality: str = ""


class Network(Message, frozen=True, kw_only=True):
    endpoints: tuple[NetworkEndpoints, ...] = ()
    gateways: tuple[IstioNetworkGateway, ...] = ()


class MeshNetworks(Message, frozen=True, kw_only=True):
    """Networks by name."""

    networks: dict[str, Network] = {}
