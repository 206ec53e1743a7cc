"""WorkloadGroup."""

from __future__ import annotations

import re

from roadstead.config.validate.fields import Oneof, Rule, Rules
from roadstead.config.validate.predicates import at_most, label_map, not_negative, optional_port, port, required
from roadstead.config.validate.report import Report
from roadstead.config.validate.workload_entry import check_ports, check_socket
from roadstead.config.workload_group import (
    ExecHealthCheckConfig,
    GrpcHealthCheckConfig,
    HTTPHeader,
    HTTPHealthCheckConfig,
    ReadinessProbe,
    TCPHealthCheckConfig,
    TemplateMeta,
    WorkloadGroup,
)

_HEADER = re.compile(r"[-A-Za-z0-9]+")


def _scheme(text: str) -> str:
    return "" if text in ("", "HTTP", "HTTPS") else f"{text!r} is neither HTTP nor HTTPS"


def _header(name: str) -> str:
    return "" if _HEADER.fullmatch(name) else f"{name!r} is not a header's name"


FIELDS: Rules = {
    WorkloadGroup: (Rule("WG-1", "template", lambda template: "is required" if template is None else "", always=True),),
    TemplateMeta: (
        Rule("WG-2", "labels", label_map),
        Rule("K-WG-2", "labels", at_most(256)),
        Rule("K-WG-2", "annotations", at_most(256)),
    ),
    ReadinessProbe: (
        Rule("WG-3", "period_seconds", not_negative),
        Rule("WG-3", "initial_delay_seconds", not_negative),
        Rule("WG-3", "timeout_seconds", not_negative),
        Rule("WG-3", "success_threshold", not_negative),
        Rule("WG-3", "failure_threshold", not_negative),
        Oneof("K-WG-3", ("http_get", "tcp_socket", "exec", "grpc"), needed=True),
    ),
    HTTPHealthCheckConfig: (Rule("WG-4", "port", port), Rule("WG-5", "scheme", _scheme)),
    HTTPHeader: (Rule("WG-6", "name", _header),),
    TCPHealthCheckConfig: (Rule("WG-7", "port", port),),
    GrpcHealthCheckConfig: (Rule("K-WG-4", "port", optional_port),),
    ExecHealthCheckConfig: (Rule("WG-8", "command", required), Rule("K-WG-6", "command", required, on="each")),
}


def rules(group: WorkloadGroup, report: Report) -> None:
    probe = group.probe
    if probe is not None and report.extended:
        _extended(probe, report)
    elif probe is not None and probe.grpc is not None:
        report.error("WG-9", ("probe", "grpc"), "Istio does not know this method")
    # Istio looks at a template only when a workload comes of it; the schema of the resource does not wait.
    template = group.template
    if template is not None:
        check_socket(template, ("template",), report)
        check_ports(template, None, ("template",), report)


def _extended(probe: ReadinessProbe, report: Report) -> None:
    if probe.exec is not None:
        hint = "httpGet, tcpSocket or grpc"
        report.warning("EXT-11", ("probe", "exec"), "a command cannot be run from here: nothing is probed", hint)
        return
    report.extension("EXT-11", ("probe",))
