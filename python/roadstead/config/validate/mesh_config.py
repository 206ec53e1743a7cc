"""MeshConfig. What istiod would refuse, and what comes to nothing for a reason that stands elsewhere."""

from __future__ import annotations

from roadstead.config import duration
from roadstead.config.mesh_config import (
    NAMESPACE_NAME,
    LabelSelector,
    LabelSelectorRequirement,
    MeshConfig,
    ServiceSettings,
    TLSConfig,
)
from roadstead.config.proxy_config import ConnectionSettings, ProxyConfig
from roadstead.config.validate.destination_rule import check_locality, check_outlier, check_pool, check_zones
from roadstead.config.validate.fields import Rule, Rules
from roadstead.config.validate.predicates import ip_or_domain, label, label_map, not_negative, port, wild_domain
from roadstead.config.validate.report import Path, Report

_MILLISECOND = 10**6
_LONGEST_CONNECT = 3600 * 10**9
_CURVES = ("", *"P-224 P-256 P-384 P-521 X25519 X25519Kyber768Draft00 X25519MLKEM768".split())  # noqa: SIM905
_SETS = ("In", "NotIn")
_SMALLEST_WINDOW = 65535
_BYTES = ("listener_per_connection_buffer_limit_bytes", "cluster_per_connection_buffer_limit_bytes")
_TIMES = tuple(
    f"http_{name}"
    for name in (
        "idle_timeout",
        "max_connection_duration",
        "drain_timeout",
        "request_timeout",
        "request_headers_timeout",
        "stream_idle_timeout",
        "max_stream_duration",
    )
)
_COUNTS = ("http_max_concurrent_streams", "listener_connection_limit", "global_downstream_connection_limit")
_WINDOWS = ("http2_initial_stream_window_size", "http2_initial_connection_window_size")
_OPERATORS = (*_SETS, "Exists", "DoesNotExist")


def _connect_timeout(text: str) -> str:
    written = _nanoseconds(text)
    if written is not None and (not _MILLISECOND <= written <= _LONGEST_CONNECT or written % _MILLISECOND):
        return f"{text} is not within 1ms to 1h, in whole milliseconds"
    return ""


def _whole_milliseconds(text: str) -> str:
    return f"{text} is not in whole milliseconds" if (_nanoseconds(text) or 0) % _MILLISECOND else ""


def _nanoseconds(text: str) -> int | None:
    """None for what is no duration, as DEC-6 says."""
    try:
        return duration.nanoseconds(text)
    except ValueError:
        return None


def _trust_domain(name: str) -> str:
    """Labels joined by dots; an empty one at the end makes the name absolute."""
    labels = name.split(".")
    if len(labels) > 1 and not labels[-1]:
        labels.pop()
    return next(filter(None, map(label, labels)), "")


def _not_below_zero(text: str) -> str:
    return f"{text} is negative" if (_nanoseconds(text) or 0) < 0 else ""


def _positive(number: int) -> str:
    return "" if number > 0 else f"{number} is not positive"


def _window(size: int) -> str:
    return "" if size >= _SMALLEST_WINDOW else f"{size} is less than {_SMALLEST_WINDOW}"


def _host_and_port(text: str) -> str:
    """Istio: ValidateProxyAddress. Left out: istiod's own."""
    if not text:
        return ""
    host, colon, number = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not number.isdecimal() or (":" in host and bare == host):
        return f"{text!r} is not a host and a port"
    return port(int(number)) or ip_or_domain(bare)


def _operator(word: str) -> str:
    return "" if word in _OPERATORS else f"{word!r} is none of {', '.join(_OPERATORS)}"


FIELDS: Rules = {
    MeshConfig: (
        Rule("MC-1", "proxy_listen_port", port),
        Rule("MC-2", "connect_timeout", _connect_timeout),
        Rule("MC-3", "protocol_detection_timeout", _whole_milliseconds),
        Rule("MC-5", "trust_domain", _trust_domain),
        Rule("MC-5", "trust_domain_aliases", _trust_domain, on="each"),
    ),
    ProxyConfig: (Rule("MC-11", "discovery_address", _host_and_port),),
    ConnectionSettings: (
        *[Rule("MC-10", name, not_negative) for name in _BYTES],
        *[Rule("MC-10", name, _not_below_zero) for name in _TIMES],
        *[Rule("MC-10", name, _positive) for name in _COUNTS],
        *[Rule("MC-10", name, _window) for name in _WINDOWS],
    ),
    ServiceSettings: (Rule("MC-4", "hosts", wild_domain, on="each"),),
    LabelSelector: (Rule("MC-8", "match_labels", label_map),),
    LabelSelectorRequirement: (Rule("MC-8", "operator", _operator),),
}


def rules(mesh: MeshConfig, report: Report) -> None:
    if mesh.mesh_mtls is not None and mesh.mesh_mtls.ecdh_curves:
        report.error("MC-6", ("meshMTLS", "ecdhCurves"), "the mesh's own TLS takes no curves", "use tlsDefaults")
    if mesh.tls_defaults is not None:
        _curves(mesh.tls_defaults, report)
    if mesh.locality_lb_setting is not None:
        check_locality(mesh.locality_lb_setting, ("localityLbSetting",), report)
    if mesh.zone_aware_lb_setting is not None:
        check_zones(mesh.zone_aware_lb_setting, ("zoneAwareLbSetting",), report)
    defaults = mesh.default_traffic_policy
    if defaults is not None and defaults.connection_pool is not None:
        check_pool(defaults.connection_pool, ("defaultTrafficPolicy", "connectionPool"), report)
    if defaults is not None and defaults.outlier_detection is not None:
        check_outlier(defaults.outlier_detection, ("defaultTrafficPolicy", "outlierDetection"), report)
    _visibility(mesh, report)
    _unknown_tls(mesh, report)


def _curves(settings: TLSConfig, report: Report) -> None:
    for index, curve in enumerate(settings.ecdh_curves):
        at: Path = ("tlsDefaults", "ecdhCurves", index)
        if curve not in _CURVES:
            report.warning("MC-7", at, f"Envoy has no curve {curve!r}", f"one of {', '.join(_CURVES[1:])}")
        elif curve in settings.ecdh_curves[:index]:
            report.warning("MC-7", at, f"{curve!r} is there twice")


def _visibility(mesh: MeshConfig, report: Report) -> None:
    rules_ = mesh.service_entry_visibility
    policies = () if rules_ is None else rules_.policies
    for place, policy in enumerate(policies):
        for index, rule in enumerate(policy.matching_rules):
            at: Path = ("serviceEntryVisibility", "policies", place, "matchingRules", index, "namespaceSelector")
            selector = rule.namespace_selector
            if selector is None:
                continue
            if rules_ is not None and rules_.apply_to_sidecars:
                _known_labels(selector, at, report)
            for number, term in enumerate(selector.match_expressions):
                if bool(term.values) != (term.operator in _SETS):
                    complaint = "are needed" if term.operator in _SETS else f"do not go with {term.operator}"
                    report.error("MC-8", (*at, "matchExpressions", number, "values"), complaint)


def _known_labels(selector: LabelSelector, at: Path, report: Report) -> None:
    """Namespaces are no resources here: a policy that hides by another label would show what it is to hide."""
    for name in (*selector.match_labels, *(term.key for term in selector.match_expressions)):
        if name != NAMESPACE_NAME:
            report.error(
                "MC-9",
                at,
                f"labels of namespaces are not known here, so nobody can tell {name!r}",
                f"select by {NAMESPACE_NAME}, which Kubernetes gives every namespace",
            )


def _unknown_tls(mesh: MeshConfig, report: Report) -> None:
    """Settings for hosts that nobody declared, where nothing is spoken by them."""
    policy, at = mesh.outbound_traffic_policy, ("outboundTrafficPolicy", "tls")
    tls = policy.tls
    if tls is None or tls.mode == "DISABLE":
        return
    secret = tls.credential_name and not tls.credential_name.startswith("configmap://")
    if policy.mode != "ALLOW_ANY_DYNAMIC_DNS":
        report.warning("EFF-1", at, f"has no effect: {policy.mode} lets the caller speak", "ALLOW_ANY_DYNAMIC_DNS")
    elif tls.mode != "ISTIO_MUTUAL" and secret:
        complaint = "has no effect: a sidecar has no secrets, and sends plain text"
        report.warning("EFF-1", (*at, "credentialName"), complaint, "caCertificates")
    elif tls.mode == "MUTUAL" and not (secret or (tls.client_certificate and tls.private_key)):
        report.warning("EFF-1", at, "has no effect: MUTUAL without clientCertificate and privateKey is plain text")


__all__ = ["FIELDS", "rules"]
