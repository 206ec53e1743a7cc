"""Rules that a decoded resource must keep, one rule set a kind. They report, and never change anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec

from roadstead.config.dialect import Dialect
from roadstead.config.findings import Finding
from roadstead.config.kinds import KINDS
from roadstead.config.mesh_config import MeshConfig, MeshNetworks
from roadstead.config.meta import Resource, Spec
from roadstead.config.validate import (
    destination_rule,
    gateway,
    peer_authentication,
    service_entry,
    sidecar,
    virtual_service,
    workload_entry,
    workload_group,
)
from roadstead.config.validate.fields import Checker, Rules, compiled
from roadstead.config.validate.metadata import rules as metadata_rules
from roadstead.config.validate.report import Report

_SETS = (
    service_entry,
    workload_entry,
    workload_group,
    virtual_service,
    destination_rule,
    gateway,
    sidecar,
    peer_authentication,
)


def validate(resource: Resource[Spec], dialect: Dialect = "extended") -> tuple[Finding, ...]:
    """All findings about a resource, without file, line and column (`roadstead.config.decode.located` adds them). An
    error among them refuses the resource."""
    metadata = resource.metadata
    report = Report(dialect, metadata.namespace, metadata.labels, metadata.annotations, resource.origin.pointer)
    spec = resource.spec
    _checker(type(spec)).run(spec, (), report)
    rules = _rules().get(type(spec))
    if rules is not None:
        rules(spec, report)
    if metadata.annotations or metadata.creation_timestamp or resource.kind == "Gateway":
        return (*metadata_rules(resource.kind, metadata, resource.origin.pointer), *report.findings)
    return tuple(report.findings)


def validate_mesh(settings: MeshConfig | MeshNetworks) -> tuple[Finding, ...]:
    """Findings about a mesh-wide file; paths begin at its top."""
    report = Report("extended", "", {}, {})
    _checker(type(settings)).run(settings, (), report)
    if isinstance(settings, MeshConfig):
        _without_effect(settings, report)
    return tuple(
        msgspec.structs.replace(
            found, path=found.path.removeprefix("spec").removeprefix("."), pointer=found.pointer.removeprefix("/spec")
        )
        for found in report.findings
    )


def _without_effect(settings: MeshConfig, report: Report) -> None:
    """What Istio would heed and nothing here does: told, never silently ignored."""
    policy = settings.outbound_traffic_policy
    unheeded = (
        (settings.proxy_http_port, ("proxyHttpPort",)),
        (settings.verify_certificate_at_client, ("verifyCertificateAtClient",)),
        (settings.mesh_mtls, ("meshMTLS",)),
        (settings.tls_defaults, ("tlsDefaults",)),
        (policy and policy.tls, ("outboundTrafficPolicy", "tls")),
    )
    for value, path in unheeded:
        if value:
            report.warning("EFF-1", path, f"{path[-1]} has no effect here", "Istio heeds it")


@cache
def _checker(struct: type[msgspec.Struct]) -> Checker:
    return compiled(struct, _fields())


@cache
def _fields() -> Rules:
    merged = {struct: rules for rule_set in _SETS for struct, rules in rule_set.FIELDS.items()}
    assert len(merged) == sum(len(rule_set.FIELDS) for rule_set in _SETS), "a struct has its rules in one place"
    return merged


@cache
def _rules() -> dict[type[msgspec.Struct], Callable[[Spec, Report], None]]:
    named = {kind.spec.__module__.rpartition(".")[2]: kind.spec for kind in KINDS.values()}
    return {named[rule_set.__name__.rpartition(".")[2]]: rule_set.rules for rule_set in _SETS}


__all__ = ["validate", "validate_mesh"]
