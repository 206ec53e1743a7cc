"""Sidecar."""

from __future__ import annotations

from roadstead.config.sidecar import IstioEgressListener, IstioIngressListener, Sidecar, SidecarPort
from roadstead.config.validate.destination import check_destination
from roadstead.config.validate.destination_rule import check_pool
from roadstead.config.validate.fields import Rule, Rules
from roadstead.config.validate.gateway import check_tls
from roadstead.config.validate.predicates import (
    fqdn,
    ip,
    label,
    optional_label,
    partial_wildcard,
    port,
    required,
    unix_path,
    wild_domain,
)
from roadstead.config.validate.predicates import optional_protocol as protocol
from roadstead.config.validate.report import Path, Report
from roadstead.protocol import Protocol

_LOCAL = ("", "127.0.0.1", "0.0.0.0", "::1", "::")


def _no_target(number: int) -> str:
    return "has no effect on a Sidecar" if number else ""


FIELDS: Rules = {
    SidecarPort: (
        Rule("SC-5", "target_port", _no_target),
        Rule("SC-6", "name", optional_label),
        Rule("SC-7", "protocol", protocol),
    ),
    IstioIngressListener: (Rule("SC-4", "port", required, always=True),),
    IstioEgressListener: (Rule("SC-26", "hosts", required),),
}


def rules(sidecar: Sidecar, report: Report) -> None:
    if not (sidecar.egress or sidecar.ingress or sidecar.outbound_traffic_policy or sidecar.inbound_connection_pool):
        report.error("SC-3", (), "one of egress, ingress, outboundTrafficPolicy, inboundConnectionPool is needed")
    if sidecar.workload_selector is not None and not sidecar.workload_selector.labels:
        report.warning("SC-2", ("workloadSelector",), "a selector without labels takes the whole namespace")
    if sidecar.inbound_connection_pool is not None:
        check_pool(sidecar.inbound_connection_pool, ("inboundConnectionPool",), report)
    _ingress(sidecar, report)
    _egress(sidecar, report)
    policy = sidecar.outbound_traffic_policy
    if policy is not None and policy.egress_proxy is not None:
        at: Path = ("outboundTrafficPolicy", "egressProxy")
        if policy.mode != "ALLOW_ANY":
            report.error("SC-33", at, "needs mode ALLOW_ANY")
        elif complaint := fqdn(policy.egress_proxy.host):
            report.error("SC-34", (*at, "host"), complaint)
        elif policy.egress_proxy.port is None:
            report.error("SC-35", (*at, "port"), "is required")
        else:
            check_destination(policy.egress_proxy, at, report)


def _ingress(sidecar: Sidecar, report: Report) -> None:
    numbers: set[int] = set()
    for index, listener in enumerate(sidecar.ingress):
        at: Path = ("ingress", index)
        if listener.port is None:
            continue
        if complaint := port(listener.port.number):
            report.error("SC-8", (*at, "port", "number"), complaint)
        if listener.port.number in numbers:
            report.error("SC-10", (*at, "port", "number"), f"the number {listener.port.number} is taken")
        numbers.add(listener.port.number)
        if listener.bind and (complaint := ip(listener.bind)):
            report.error("SC-9", (*at, "bind"), complaint)
        if listener.default_endpoint and (complaint := _endpoint(listener.default_endpoint)):
            report.error("SC-12", (*at, "defaultEndpoint"), complaint)
        if listener.tls is not None:
            _ingress_tls(listener, at, report)
        if listener.connection_pool is not None:
            check_pool(listener.connection_pool, (*at, "connectionPool"), report)


def _ingress_tls(listener: IstioIngressListener, at: Path, report: Report) -> None:
    tls, path = listener.tls, (*at, "tls")
    assert tls is not None
    assert listener.port is not None
    for name in ("subject_alt_names", "https_redirect", "credential_name", "credential_names", "tls_certificates"):
        if getattr(tls, name):
            report.error("SC-13", path, f"{name} has no place in a Sidecar")
    if tls.mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        report.error("SC-14", (*path, "mode"), f"{tls.mode} has no place in a Sidecar")
    if not Protocol(listener.port.protocol).is_tls:
        report.error("SC-15", path, "needs a port of protocol HTTPS or TLS")
    check_tls(tls, path, report)


def _endpoint(text: str) -> str:
    if text.startswith("unix://"):
        return unix_path(text)
    host, colon, number = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        return f"{text!r} is not an address and a port"
    if (host[1:-1] if bracketed else host) not in _LOCAL or not number.isdecimal():
        return f"{text!r} is not the workload's own address and port"
    return port(int(number))


def _egress(sidecar: Sidecar, report: Report) -> None:
    taken: set[str | int] = set()
    for index, listener in enumerate(sidecar.egress):
        at: Path = ("egress", index)
        if listener.port is None:
            if index != len(sidecar.egress) - 1:
                report.error("SC-19", (*at, "port"), "only the last listener may have no port")
        else:
            _egress_port(listener, listener.port, at, taken, report)
        for number, host in enumerate(listener.hosts):
            _egress_host(host, (*at, "hosts", number), report)


def _egress_port(
    listener: IstioEgressListener, where: SidecarPort, at: Path, taken: set[str | int], report: Report
) -> None:
    if where.number == 0:
        if not listener.bind.startswith("unix://") or unix_path(listener.bind):
            report.error("SC-22", (*at, "bind"), "port 0 needs a unix socket")
        if listener.capture_mode == "IPTABLES":
            report.error("SC-22", (*at, "captureMode"), "a unix socket cannot be captured")
        if not Protocol(where.protocol).is_http:
            complaint = (
                f"has no effect: nothing is made of {where.protocol or 'an unknown protocol'} over a unix socket"
            )
            report.warning("EFF-1", (*at, "port", "protocol"), complaint, "HTTP, or a port of the loopback address")
    else:
        if complaint := port(where.number):
            report.error("SC-23", (*at, "port", "number"), complaint)
        if listener.bind and (complaint := ip(listener.bind)):
            report.error("SC-23", (*at, "bind"), complaint)
    key: str | int = where.number or listener.bind
    if key in taken:
        report.error("SC-25", (*at, "port"), f"{key} is taken")
    taken.add(key)


def _egress_host(text: str, path: Path, report: Report) -> None:
    owner, slash, host = text.partition("/")
    if not slash:
        report.error("SC-27", path, "must be namespace/name")
        return
    namespace = owner.removeprefix("~")
    if not owner or not host or (namespace and namespace not in ("*", ".") and label(namespace)):
        report.error("SC-28", path, f"{owner!r} is not a namespace, `*`, `.` or `~`")
    if host and host != "*":
        if "." not in host:
            report.error("SC-29", path, f"the short name {host!r} is not allowed", "write it in full")
        elif (complaint := wild_domain(host)) or partial_wildcard(host):
            report.error("SC-29", path, complaint or f"partial wildcard {host!r}")
