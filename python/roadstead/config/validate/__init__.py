"""Rules that a decoded resource must keep, one rule set a kind. They report, and never change anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def validate_beside(resource: Resource[Spec], wrong: Sequence[str], dialect: Dialect) -> tuple[Finding, ...]:
    """What else is to be said about a resource of which some values could not be read and are left out. wrong: pointers
    to those. Left unsaid is what may come of their absence."""
    metadata = resource.metadata
    base = resource.origin.pointer
    spec = resource.spec
    alone = Report(dialect, metadata.namespace, metadata.labels, metadata.annotations, base)
    _checker(type(spec)).run(spec, (), alone)
    together = Report(dialect, metadata.namespace, metadata.labels, metadata.annotations, base)
    rules = _rules().get(type(spec))
    if rules is not None:
        rules(spec, together)
    said = [found for found in alone.findings if not any(_concerns(found.pointer, one) for one in wrong)]
    # Rules about several fields look at items of lists one by one, and at everything else at once.
    items = [_item(one, base) for one in wrong]
    if "" not in items:
        said += [found for found in together.findings if _item(found.pointer, base) not in ("", *items)]
    return tuple(said)


def _concerns(pointer: str, other: str) -> bool:
    """Whether one of two places is within the other."""
    return f"{pointer}/".startswith(f"{other}/") or f"{other}/".startswith(f"{pointer}/")


def _item(pointer: str, base: str) -> str:
    """The item of a list of the spec that a place is in, `/spec/http/2`; "" where it is in none."""
    parts = pointer.removeprefix(base).split("/")
    return "/".join(parts[:4]) if len(parts) > 4 and parts[1] == "spec" and parts[3].isdecimal() else ""


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


__all__ = ["validate", "validate_beside", "validate_mesh"]
