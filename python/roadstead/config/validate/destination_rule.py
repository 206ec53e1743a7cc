"""DestinationRule."""

from __future__ import annotations

import re

from roadstead.config.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    ConsistentHashLB,
    DestinationRule,
    Distribute,
    Failover,
    GrpcHealthCheck,
    HealthCheck,
    HealthCheckHeader,
    HTTPCookie,
    HTTPCookieAttribute,
    HTTPSettings,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    MagLev,
    OutlierDetection,
    PortTrafficPolicy,
    RetryBudget,
    Subset,
    TCPSettings,
    TrafficPolicy,
    TunnelSettings,
    WarmupConfiguration,
    ZoneAwareLoadBalancerSetting,
)
from roadstead.config.message import LabelsSelector
from roadstead.config.validate import exports
from roadstead.config.validate.fields import Oneof, Rule, Rules, written
from roadstead.config.validate.predicates import (
    at_most,
    fqdn,
    is_ip,
    label,
    label_map,
    not_negative,
    percent,
    port,
    required,
    selector,
    short_values,
    wild_domain,
)
from roadstead.config.validate.report import Path, Report

_TOPOLOGY_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
_PARTS = ("outlier_detection", "connection_pool", "load_balancer", "tls")
_LARGEST_TABLE = 5000011
_CONFIG_MAP = "configmap://"


def _prime(number: int | None) -> str:
    if not number:
        return "is required"
    if number >= _LARGEST_TABLE:
        return f"{number} is not below {_LARGEST_TABLE}"
    prime = number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))
    return "" if prime else f"{number} is not a prime"


def _error_code(number: int) -> str:
    return "" if 100 <= number <= 599 else f"{number} is not in 100 to 599"


def _positive(number: float) -> str:
    return "" if number > 0 else f"{number:g} is not positive"


def _check_path(path: str) -> str:
    if not path:
        return ""
    return "" if _VISIBLE.fullmatch(path) and path.startswith("/") else f"{path!r} is not a path"


def _check_host(host: str) -> str:
    return "" if not host or _VISIBLE.fullmatch(host) else f"{host!r} is not a host"


def _check_header(name: str) -> str:
    if name.lower() == "host":
        return "Envoy takes no host here: use healthCheck.host or healthCheck.grpc.authority"
    return "" if _TOKEN.fullmatch(name) else f"{name!r} is not a header's name"


def _target_host(text: str) -> str:
    return "" if is_ip(text) else fqdn(text)


def _tunnel(word: str) -> str:
    return "" if word in ("", "CONNECT", "POST") else f"{word!r} is neither CONNECT nor POST"


def _failover_region(region: str) -> str:
    return f"{region!r} is not a region" if "/" in region or "*" in region else ""


_VISIBLE = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_POOL_LIMITS = (
    "http1_max_pending_requests",
    "http2_max_requests",
    "max_requests_per_connection",
    "max_retries",
    "max_concurrent_streams",
)

FIELDS: Rules = {
    DestinationRule: (Rule("DR-1", "host", wild_domain),),
    LabelsSelector: (
        Rule("DR-7", "match_labels", selector),
        Rule("K-DR-8", "match_labels", at_most(4096)),
        Rule("K-DR-8", "match_labels", short_values),
    ),
    TrafficPolicy: (Rule("K-DR-7", "port_level_settings", at_most(4096)),),
    Subset: (Rule("DR-3", "name", label), Rule("DR-4", "labels", label_map)),
    TunnelSettings: (
        Rule("DR-13", "protocol", _tunnel),
        Rule("DR-14", "target_host", _target_host),
        Rule("DR-15", "target_port", port),
    ),
    RetryBudget: (Rule("K-DR-6", "percent", percent),),
    OutlierDetection: (
        Rule("DR-23", "max_ejection_percent", percent),
        Rule("DR-23", "min_health_percent", percent),
        Rule("K-DR-6", "outlier_detection_http_error_codes", _error_code, on="each"),
    ),
    HTTPSettings: tuple(Rule("DR-31", name, not_negative) for name in _POOL_LIMITS),
    TCPSettings: (Rule("DR-35", "max_connections", not_negative),),
    LoadBalancerSettings: (Oneof("K-DR-2", ("simple", "consistent_hash", "backend_utilization")),),
    ConsistentHashLB: (
        Oneof("K-DR-2", ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")),
        Oneof("K-DR-2", ("ring_hash", "maglev")),
    ),
    MagLev: (Rule("DR-44", "table_size", _prime, always=True),),
    HTTPCookie: (Rule("DR-40", "name", required),),
    HTTPCookieAttribute: (Rule("DR-41", "name", required),),
    WarmupConfiguration: (
        Rule("DR-55", "duration", required, always=True),
        Rule("DR-56", "minimum_percent", percent),
        Rule("DR-57", "aggression", _positive),
    ),
    ZoneAwareLoadBalancerSetting: (Rule("K-DR-6", "min_cluster_size", _positive),),
    Failover: (Rule("DR-52", "from_", _failover_region), Rule("DR-52", "to", _failover_region)),
    PortTrafficPolicy: (Rule("DR-70", "port", required, always=True),),
    HealthCheck: (
        Rule("EXT-3", "interval", required, always=True),
        Rule("EXT-3", "timeout", required, always=True),
        Rule("EXT-3", "unhealthy_threshold", _positive),
        Rule("EXT-3", "healthy_threshold", _positive),
        Rule("EXT-3", "path", _check_path),
        Rule("EXT-3", "host", _check_host),
    ),
    GrpcHealthCheck: (Rule("EXT-3", "authority", _check_host),),
    HealthCheckHeader: (Rule("EXT-3", "name", _check_header),),
}


def rules(rule: DestinationRule, report: Report) -> None:
    names: set[str] = set()
    for index, subset in enumerate(rule.subsets):
        if subset.name in names:
            report.error("DR-2", ("subsets", index, "name"), f"the name {subset.name!r} is taken")
        names.add(subset.name)
        if subset.traffic_policy is not None:
            _policy(subset.traffic_policy, ("subsets", index, "trafficPolicy"), report)
    if rule.traffic_policy is not None:
        _policy(rule.traffic_policy, ("trafficPolicy",), report)
    if rule.workload_selector is not None and not rule.workload_selector.match_labels:
        report.warning("DR-9", ("workloadSelector",), "a selector without matchLabels selects nothing in particular")
    exports.rules(rule.export_to, ("exportTo",), report, own_only=rule.workload_selector is not None)


def _policy(policy: TrafficPolicy, at: Path, report: Report) -> None:
    if policy == TrafficPolicy():
        report.error("DR-10", at, "a traffic policy needs a field")
        return
    if policy.tunnel is not None and policy.proxy_protocol is not None:
        report.error("DR-11", at, "tunnel and proxyProtocol exclude each other")
    if policy.health_check is not None:
        _health_check(policy.health_check, (*at, "healthCheck"), report)
    if policy.circuit_breaker is not None and policy.outlier_detection is not None:
        report.error(
            "EXT-10", (*at, "circuitBreaker"), "circuitBreaker and outlierDetection say the same thing: give one"
        )
    _parts(policy, at, report)
    for index, settings in enumerate(policy.port_level_settings):
        where: Path = (*at, "portLevelSettings", index)
        if all(getattr(settings, name) is None for name in _PARTS):
            report.error("DR-71", where, "the settings of a port need a field")
        _parts(settings, where, report)


def _health_check(check: HealthCheck, at: Path, report: Report) -> None:
    if check.path and check.grpc is not None:
        report.error("EXT-3", (*at, "grpc"), "only one of path, grpc may be given")
    if check.host and not check.path:
        hint = "grpc.authority" if check.grpc is not None else "a path makes it an HTTP check"
        report.error("EXT-3", (*at, "host"), "is the Host of an HTTP check", hint)
    if check.http_headers and not check.path and check.grpc is None:
        report.error("EXT-3", (*at, "httpHeaders"), "a TCP check sends none", "a path makes it an HTTP check")


def _parts(policy: TrafficPolicy | PortTrafficPolicy, at: Path, report: Report) -> None:
    if policy.connection_pool is not None:
        check_pool(policy.connection_pool, (*at, "connectionPool"), report)
    outlier = policy.outlier_detection
    if outlier is not None:
        check_outlier(outlier, (*at, "outlierDetection"), report)
    if policy.load_balancer is not None:
        _load_balancer(policy.load_balancer, (*at, "loadBalancer"), report)
    if policy.tls is not None:
        _tls(policy.tls, (*at, "tls"), report)


def check_outlier(outlier: OutlierDetection, at: Path, report: Report) -> None:
    if outlier.consecutive_errors:
        report.warning("DR-21", (*at, "consecutiveErrors"), "deprecated", "use consecutive5xxErrors")
    if outlier.consecutive_local_origin_failures and not outlier.split_external_local_origin_errors:
        report.error("DR-22", (*at, "consecutiveLocalOriginFailures"), "needs splitExternalLocalOriginErrors")


def check_pool(pool: ConnectionPoolSettings, at: Path, report: Report) -> None:
    if pool.tcp is None and pool.http is None:
        report.error("DR-30", at, "one of tcp, http is needed")
    if pool.tcp is not None and pool.tcp.keep_alive is not None and pool.tcp.tcp_keepalive is not None:
        report.error("EXT-10", (*at, "tcp", "keepAlive"), "keepAlive and tcpKeepalive say the same thing: give one")
    if pool.http is None:
        return
    if pool.http.h2_upgrade_policy == "UPGRADE" and pool.http.use_client_protocol:
        report.error("DR-33", (*at, "http", "useClientProtocol"), "does not go with h2UpgradePolicy UPGRADE")
    pings = pool.http.http2_keep_alive
    if pings is not None:
        for name in ("interval", "timeout"):
            if getattr(pings, name) is None:
                report.error("DR-34", (*at, "http", "http2KeepAlive", name), "is required")


def _load_balancer(settings: LoadBalancerSettings, at: Path, report: Report) -> None:
    hash_ = settings.consistent_hash
    if hash_ is not None:
        if hash_.minimum_ring_size:
            report.warning("DR-42", (*at, "consistentHash", "minimumRingSize"), "deprecated", "use ringHash")
            if hash_.ring_hash is not None or hash_.maglev is not None:
                report.error("DR-43", (*at, "consistentHash", "minimumRingSize"), "does not go with ringHash or maglev")
        if hash_.http_cookie is not None:
            seen: set[str] = set()
            for index, attribute in enumerate(hash_.http_cookie.attributes):
                if attribute.name in seen:
                    report.error(
                        "DR-41",
                        (*at, "consistentHash", "httpCookie", "attributes", index),
                        f"{attribute.name!r} is there twice",
                    )
                seen.add(attribute.name)
    locality, zones = settings.locality_lb_setting, settings.zone_aware_lb_setting
    if locality is not None and zones is not None:
        report.error("DR-45", at, "localityLbSetting and zoneAwareLbSetting exclude each other")
    if locality is not None:
        check_locality(locality, (*at, "localityLbSetting"), report)
    if zones is not None:
        check_zones(zones, (*at, "zoneAwareLbSetting"), report)


def check_zones(zones: ZoneAwareLoadBalancerSetting, at: Path, report: Report) -> None:
    """Also the mesh's own."""
    _failover(zones.failover, at, report)
    for index, name in enumerate(zones.failover_priority):
        if name.partition("=")[0] in _TOPOLOGY_LABELS:
            report.error("DR-53", (*at, "failoverPriority", index), f"{name!r} is the topology's own")


def check_locality(setting: LocalityLoadBalancerSetting, at: Path, report: Report) -> None:
    if setting.distribute and setting.failover:
        report.error("DR-46", at, "distribute and failover exclude each other")
        return
    if setting.failover:
        for index, name in enumerate(setting.failover_priority):
            if name.partition("=")[0] in _TOPOLOGY_LABELS:
                report.error("DR-47", (*at, "failoverPriority", index), f"{name!r} does not go with failover")
                return
    for index, rule in enumerate(setting.distribute):
        _shares(rule, (*at, "distribute", index), report)
    _overlaps([rule.from_ for rule in setting.distribute], (*at, "distribute"), report)
    _failover(setting.failover, at, report)


def _shares(rule: Distribute, at: Path, report: Report) -> None:
    for locality, share in rule.to.items():
        if not 1 <= share <= 100:
            report.error("DR-48", (*at, "to", locality), f"{share} is not in 1 to 100")
    if sum(rule.to.values()) != 100:
        report.error("DR-49", (*at, "to"), f"the shares add up to {sum(rule.to.values())}, not 100")
    _overlaps(sorted(rule.to), (*at, "to"), report)


def _overlaps(localities: list[str], at: Path, report: Report) -> None:
    taken: list[tuple[str, ...]] = []
    for locality in localities:
        parts = tuple(locality.split("/"))
        if "" in parts or "*" in locality[:-1]:
            report.error("DR-50", at, f"{locality!r}: no empty part, and one `*` at the end only")
            continue
        # A part that only ends in `*` is a name like any other.
        covered = parts[:-1] if parts[-1] == "*" else parts
        if any(covered[: len(other)] == other[: len(covered)] for other in taken):
            report.error("DR-50", at, f"{locality!r} overlaps another locality")
        taken.append(covered)


def _failover(rules_: tuple[Failover, ...], at: Path, report: Report) -> None:
    for index, rule in enumerate(rules_):
        if rule.from_ == rule.to:
            report.error("DR-52", (*at, "failover", index), f"from {rule.from_!r} to itself")


def _tls(tls: ClientTLSSettings, at: Path, report: Report) -> None:
    if tls.credential_name.startswith(_CONFIG_MAP):
        owner, slash, name = tls.credential_name.removeprefix(_CONFIG_MAP).partition("/")
        if not slash or not name or "/" in name or owner != report.namespace:
            report.error(
                "DR-60", (*at, "credentialName"), "must be configmap://namespace/name of the rule's own namespace"
            )
    if tls.insecure_skip_verify and tls.mode in ("SIMPLE", "MUTUAL"):
        unused = ["ca_certificates", "subject_alt_names"] + (["credential_name"] if tls.mode == "SIMPLE" else [])
        for name in unused:
            if getattr(tls, name):
                code = "DR-61" if tls.mode == "SIMPLE" else "DR-62"
                report.error(code, at, f"{written(tls, name)} does not go with insecureSkipVerify")
    if tls.mode in ("SIMPLE", "MUTUAL") and tls.credential_name:
        for name in ("client_certificate", "ca_certificates", "private_key", "ca_crl"):
            if getattr(tls, name):
                report.error("DR-63", at, f"{written(tls, name)} does not go with credentialName")
    elif tls.mode == "MUTUAL":
        for name, value in (("clientCertificate", tls.client_certificate), ("privateKey", tls.private_key)):
            if not value:
                report.error("DR-64", (*at, name), "is required for MUTUAL")


__all__ = ["FIELDS", "check_locality", "check_outlier", "check_pool", "check_zones", "rules"]
