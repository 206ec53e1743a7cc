"""Trees → resources, or all that is wrong with them: the way of documents that the typed decoder does not take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from roadstead.config.conform import Conformer, Json, suggestion
from roadstead.config.dialect import Dialect
from roadstead.config.envelope import reader_of, resource_from
from roadstead.config.findings import Finding
from roadstead.config.kinds import KINDS, NETWORKING, SECURITY
from roadstead.config.meta import DEFAULT_NAMESPACE, ObjectMeta, Resource, ResourceKey, Source, Spec, Status
from roadstead.config.schema import Object

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")


def resources_of(
    tree: Json, dialect: Dialect, source: Source
) -> tuple[tuple[Resource[Spec], ...], tuple[Resource[Spec], ...], tuple[Finding, ...]]:
    """The resources of a document, what could be read of refused ones, and what is said about it, without file, line
    and column."""
    resources: list[Resource[Spec]] = []
    partial: list[Resource[Spec]] = []
    findings: list[Finding] = []
    for item, pointer in _flattened(tree, source.pointer):
        place = source if pointer == source.pointer else msgspec.structs.replace(source, pointer=pointer)
        resource, said = _decode_item(item, dialect, place)
        findings += said
        if resource is not None:
            (partial if refused(said, dialect) else resources).append(resource)
    return tuple(resources), tuple(partial), tuple(findings)


def _flattened(tree: Json, pointer: str) -> Iterator[tuple[Json, str]]:
    """A document, or the items of a List in it, each with its pointer. What is empty says nothing."""
    if tree is None or tree == {}:
        return
    if isinstance(tree, dict) and tree.get("kind") == "List" and isinstance(tree.get("items"), list):
        for index, item in enumerate(tree["items"]):  # type: ignore[arg-type]
            yield from _flattened(item, f"{pointer}/items/{index}")
    else:
        yield tree, pointer


def _decode_item(tree: Json, dialect: Dialect, source: Source) -> tuple[Resource[Spec] | None, list[Finding]]:
    """A resource, without the values that are wrong; None where nothing is left of it."""
    if not isinstance(tree, dict):
        return None, [Finding("DOC-2", "warning", "not an object: skipped", file=source.file, pointer=source.pointer)]
    kind, api_version = tree.get("kind"), tree.get("apiVersion")
    reader = reader_of(api_version, kind) if isinstance(kind, str) and isinstance(api_version, str) else None
    if reader is None:
        return None, [_skipped(tree, source)]
    said = [_unknown_top_level(name, source) for name in tree if name not in _TOP_LEVEL]
    conformer = Conformer(dialect)
    made: dict[str, Json] = {"apiVersion": api_version, "kind": kind}
    for part, shape in (
        ("metadata", Object(type=ObjectMeta)),
        ("spec", Object(type=reader.kind.spec)),
        ("status", Object(type=Status)),
    ):
        if part != "spec" and tree.get(part) is None:
            continue
        if part not in tree:
            if reader.kind.spec_required:
                said.append(Finding("DEC-8", "error", "spec is required", path="spec", pointer=source.pointer))
            made[part] = {}
            continue
        value = conformer.conform(tree[part], shape, part, f"{source.pointer}/{part}")
        if isinstance(value, dict):
            made[part] = value
    said += conformer.findings
    try:
        envelope = reader.decoder.decode(msgspec.json.encode(made))
    except msgspec.ValidationError as error:
        if refused(said, dialect):
            return None, said
        return None, [*said, Finding("DEC-2", "error", str(error), pointer=source.pointer)]
    return resource_from(reader, envelope, source), said


def keys_in(tree: Json) -> Iterator[ResourceKey]:
    """What a document, or each item of a List, is called as far as it says so and is of a kind that is read here."""
    for item, _ in _flattened(tree, ""):
        if not isinstance(item, dict):
            continue
        kind, api_version, metadata = item.get("kind"), item.get("apiVersion"), item.get("metadata")
        if isinstance(kind, str) and isinstance(api_version, str) and isinstance(metadata, dict):
            name, namespace = metadata.get("name"), metadata.get("namespace") or DEFAULT_NAMESPACE
            if isinstance(name, str) and isinstance(namespace, str) and reader_of(api_version, kind) is not None:
                yield ResourceKey(kind, namespace, name)


def refused(findings: Iterable[Finding], dialect: Dialect) -> bool:
    """Unknown fields alone do not stop Istio from applying the rest."""
    return any(found.severity == "error" and not (dialect == "istio" and found.code == "DEC-1") for found in findings)


def _unknown_top_level(name: str, source: Source) -> Finding:
    return Finding(
        "META-1",
        "error",
        f"unknown field {name!r}",
        path=name,
        hint=suggestion(name, _TOP_LEVEL) or "it may belong under spec",
        pointer=f"{source.pointer}/{name}",
    )


def _skipped(tree: dict[str, Json], source: Source) -> Finding:
    kind, api_version = tree.get("kind"), tree.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        istio = isinstance(tree.get("spec"), dict)
        hint = "an Istio document begins with apiVersion and kind" if istio else ""
        return Finding("DOC-2", "warning" if istio else "info", "no kind: skipped", hint=hint, pointer=source.pointer)
    group = str(api_version).partition("/")[0] if api_version is not None else ""
    known = KINDS.get(kind)
    if known is not None and (group in ("", known.group) or "istio" in group):
        hint = f"apiVersion is one of {', '.join(known.api_versions)}"
        message = (
            f"{kind} of apiVersion {api_version!r} is unknown: skipped"
            if api_version
            else f"{kind} without apiVersion: skipped"
        )
        return Finding(
            "DOC-4", "warning", message, path="apiVersion", hint=hint, pointer=f"{source.pointer}/apiVersion"
        )
    near = suggestion(kind, tuple(KINDS)) if group in (NETWORKING, SECURITY) and known is None else ""
    if near:
        return Finding(
            "DOC-4",
            "warning",
            f"unknown kind {kind!r}: skipped",
            path="kind",
            hint=near,
            pointer=f"{source.pointer}/kind",
        )
    name = f"{api_version} {kind}" if api_version else kind
    return Finding("DOC-3", "info", f"{name} is not read here: skipped", path="kind", pointer=f"{source.pointer}/kind")


def conformed(tree: Json, type_: type[msgspec.Struct], dialect: Dialect) -> tuple[Json | None, tuple[Finding, ...]]:
    """A mesh-wide file in the model's own spelling, None if it is refused, and what is said about it."""
    conformer = Conformer(dialect, schema=False)
    value = conformer.conform({} if tree is None else tree, Object(type=type_), "", "")
    findings = tuple(conformer.findings)
    return (None if refused(findings, dialect) or not isinstance(value, dict) else value), findings
