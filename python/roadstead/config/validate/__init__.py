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
    effects,
    gateway,
    mesh_config,
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
        mesh_config.rules(settings, report)
    return tuple(
        msgspec.structs.replace(
            found, path=found.path.removeprefix("spec").removeprefix("."), pointer=found.pointer.removeprefix("/spec")
        )
        for found in report.findings
    )


@cache
def _checker(struct: type[msgspec.Struct]) -> Checker:
    return compiled(struct, _fields())


@cache
def _fields() -> Rules:
    sets = (*_SETS, mesh_config)
    merged = {struct: rules for rule_set in sets for struct, rules in rule_set.FIELDS.items()}
    assert len(merged) == sum(len(rule_set.FIELDS) for rule_set in sets), "a struct has its rules in one place"
    for struct, rules in effects.rules().items():
        merged[struct] = (*merged.get(struct, ()), *rules)
    return merged


@cache
def _rules() -> dict[type[msgspec.Struct], Callable[[Spec, Report], None]]:
    named = {kind.spec.__module__.rpartition(".")[2]: kind.spec for kind in KINDS.values()}
    return {named[rule_set.__name__.rpartition(".")[2]]: rule_set.rules for rule_set in _SETS}


__all__ = ["validate", "validate_mesh"]
