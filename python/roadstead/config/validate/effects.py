"""What is accepted and decides nothing about outbound traffic: who reads it in Istio, and what to write instead.

The one home of these facts: the findings EFF-1 and the table of fields (python/docs/fields.md) are made from it. A
warning where somebody may count on an effect for the traffic that leaves; information for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from roadstead.config.destination_rule import LoadBalancerSettings
from roadstead.config.dialect import Dialect
from roadstead.config.findings import Severity
from roadstead.config.gateway import Server, TLSCertificate
from roadstead.config.mesh_config import MeshConfig
from roadstead.config.proxy_config import ConnectionSettings, ProxyConfig, ProxyHeaders
from roadstead.config.sidecar import Sidecar
from roadstead.config.validate.fields import Rule, Rules, Test
from roadstead.config.virtual_service import L4MatchAttributes
from roadstead.config.workload_group import WorkloadGroup


class Effect(NamedTuple):
    """reads: what becomes of it in Istio. instead: what to write for what may be meant, "" where there is nothing.
    dialect: the one in which it does nothing; None: in both."""

    reads: str
    instead: str = ""
    severity: Severity = "info"
    dialect: Dialect | None = None


_INBOUND = "istiod makes inbound listeners and clusters of it: how the workload itself takes traffic"
_AGENT = "the proxy's agent and injector read it: bootstrap"
_TELEMETRY = "istiod puts it into access logs, traces and metrics"
_CONTROL_PLANE = "istiod itself reads it"
_INGRESS = "istiod's reader of Kubernetes Ingress reads it"
_INGRESS_INSTEAD = "a Gateway and a VirtualService"
_PROVIDERS = "Telemetry, AuthorizationPolicy and istiod's access logs refer to it"
_AMBIENT = "ztunnel and waypoints read it: ambient mesh"
_REGISTERED = "istiod makes a WorkloadEntry of it for each workload that registers itself"
_REGISTERED_INSTEAD = "a WorkloadEntry for each workload"

EFFECTS: Mapping[type[msgspec.Struct], Mapping[str, Effect]] = {
    WorkloadGroup: {
        "template": Effect(_REGISTERED, _REGISTERED_INSTEAD),
        "metadata": Effect("labels of the WorkloadEntries that istiod makes", _REGISTERED_INSTEAD),
        "probe": Effect("the workload's agent probes itself and tells istiod", "trafficPolicy.outlierDetection",
                        dialect="istio"),
    },
    LoadBalancerSettings: {
        "backend_utilization": Effect("nothing in Istio reads it", "simple or consistentHash", "warning"),
    },
    L4MatchAttributes: {
        "source_subnet": Effect("nothing in Istio reads it", "sourceLabels or sourceNamespace", "warning"),
    },
    Server: {
        "default_endpoint": Effect("nothing in Istio reads it", "a VirtualService bound to the Gateway", "warning"),
    },
    TLSCertificate: {
        "ca_certificates": Effect("nothing in Istio reads it: one CA serves all certificates of a server",
                                  "caCertificates of the server", "warning"),
    },
    Sidecar: {
        "ingress": Effect(_INBOUND),
        "inbound_connection_pool": Effect(_INBOUND),
    },
    MeshConfig: {
        "verify_certificate_at_client": Effect(
            "nothing in Istio reads it any more: certificates are checked, against the system's roots where a rule "
            "names no others", "caCertificates or insecureSkipVerify in the DestinationRule's tls", "warning"),
        "mesh_mtls": Effect(
            "istiod makes inbound TLS of it; clients of the mesh speak 1.2 or 1.3 with Envoy's own ciphers",
            "tlsDefaults for TLS that is not the mesh's", "warning"),
        "inbound_traffic_policy": Effect(_INBOUND),
        "default_inbound_http_retry_policy": Effect(_INBOUND, "defaultHttpRetryPolicy"),
        "proxy_inbound_listen_port": Effect(_INBOUND),
        "inbound_cluster_stat_name": Effect(_INBOUND),
        "hbone_idle_timeout": Effect(_AMBIENT),
        "service_scope_configs": Effect(_AMBIENT),
        "ingress_class": Effect(_INGRESS, _INGRESS_INSTEAD),
        "ingress_service": Effect(_INGRESS, _INGRESS_INSTEAD),
        "ingress_selector": Effect(_INGRESS, _INGRESS_INSTEAD),
        "ingress_controller_mode": Effect(_INGRESS, _INGRESS_INSTEAD),
        "enable_tracing": Effect(_TELEMETRY),
        "access_log_file": Effect(_TELEMETRY),
        "access_log_format": Effect(_TELEMETRY),
        "access_log_encoding": Effect(_TELEMETRY),
        "enable_envoy_access_log_service": Effect(_TELEMETRY),
        "disable_envoy_listener_log": Effect(_TELEMETRY),
        "enable_prometheus_merge": Effect(_AGENT),
        "extension_providers": Effect(_PROVIDERS),
        "default_providers": Effect(_PROVIDERS),
        "config_sources": Effect(_CONTROL_PLANE, "the files and objects that are loaded"),
        "ca_certificates": Effect("the agent adds them to the workload's root certificates"),
        "certificates": Effect(_CONTROL_PLANE),
        "ca": Effect(_CONTROL_PLANE),
        "discovery_selectors": Effect("istiod leaves out the namespaces that it does not select",
                                      "load only what is to count", "warning"),
    },
    ProxyConfig: {
        "interception_mode": Effect("the injector puts it into the proxy's metadata", "the node's metadata"),
        "service_cluster": Effect(_AGENT),
        "tracing": Effect(_TELEMETRY),
        "tracing_service_name": Effect(_TELEMETRY),
        "extra_stat_tags": Effect(_TELEMETRY),
        "proxy_stats_matcher": Effect(_TELEMETRY),
        "stat_name_length": Effect(_TELEMETRY),
        "stats_compression": Effect(_TELEMETRY),
        "file_flush_interval": Effect(_TELEMETRY),
        "file_flush_min_size_kb": Effect(_TELEMETRY),
        "envoy_access_log_service": Effect(_TELEMETRY),
        "envoy_metrics_service": Effect(_TELEMETRY),
        "private_key_provider": Effect("the agent serves it with the secrets of the proxy"),
        **dict.fromkeys(
            ("mesh_id", "hold_application_until_proxy_starts", "config_path", "binary_path", "drain_duration",
             "discovery_refresh_delay", "zipkin_address", "statsd_udp_address",
             "envoy_metrics_service_address", "proxy_admin_port", "availability_zone", "control_plane_auth_policy",
             "custom_config_file", "concurrency", "proxy_bootstrap_template_path", "sds", "runtime_values",
             "status_port", "termination_drain_duration", "readiness_probe", "ca_certificates_pem", "image"),
            Effect(_AGENT),
        ),
    },
    ProxyHeaders: {
        "forwarded_client_cert": Effect(_INBOUND),
        "set_current_client_cert_details": Effect(_INBOUND),
        "metadata_exchange_headers": Effect("istiod puts it into the filters of its own Envoy build"),
    },
    ConnectionSettings: {
        "cluster_per_connection_buffer_limit_bytes": Effect("nothing in Istio reads it yet", "", "warning"),
        "listener_connection_limit": Effect("nothing in Istio reads it yet", "", "warning"),
        "global_downstream_connection_limit": Effect(_AGENT),
    },
}  # fmt: skip
"""By message and attribute."""


def rules() -> Rules:
    """A rule for each, broken where the field says something else than its default."""
    return {struct: tuple(_of(struct, named)) for struct, named in EFFECTS.items()}


def _of(struct: type[msgspec.Struct], named: Mapping[str, Effect]) -> Iterator[Rule]:
    defaults = {field.name: field.default for field in msgspec.structs.fields(struct)}
    for attribute, effect in named.items():
        test = _test(defaults[attribute], f"has no effect on what leaves the workload: {effect.reads}")
        yield Rule("EFF-1", attribute, test, severity=effect.severity, hint=effect.instead, dialect=effect.dialect)


def _test(default: object, complaint: str) -> Test:
    return lambda value: "" if value == default else complaint
