"""PeerAuthentication (security.istio.io)."""

from __future__ import annotations

from roadstead.config.peer_authentication import PeerAuthentication
from roadstead.config.validate.fields import Rules
from roadstead.config.validate.predicates import port
from roadstead.config.validate.report import Report

FIELDS: Rules = {}


def rules(authentication: PeerAuthentication, report: Report) -> None:
    selector = authentication.selector
    if authentication.port_level_mtls and (selector is None or not selector.match_labels):
        report.error("PA-1", ("portLevelMtls",), "needs a selector: ports are those of workloads")
    for number in authentication.port_level_mtls:
        if complaint := port(number):
            report.error("PA-2", ("portLevelMtls", str(number)), complaint)
