"""A document → a resource, or all that is wrong with it.

The good path is one pass of a typed decoder and looks at nothing twice. A document that it refuses, or in which
something stands that wants a closer look (a null, a field of the extended dialect), is walked field by field against
the model (config/conform.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from roadstead.config.conform import Conformer, Json, suggestion
from roadstead.config.dialect import EXTENDED_NAMES, Dialect
from roadstead.config.findings import Finding, refuses
from roadstead.config.kinds import KINDS, NETWORKING, SECURITY, Kind
from roadstead.config.mesh_config import MeshConfig, MeshNetworks
from roadstead.config.message import Message
from roadstead.config.meta import DEFAULT_NAMESPACE, NO_STATUS, ObjectMeta, Resource, Source, Spec, Status
from roadstead.config.schema import Object

if TYPE_CHECKING:
    from roadstead.config.yaml import Document, Positions

_T = TypeVar("_T")
_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")
_ABOUT_KEYS = ("DEC-1", "META-1", "EXT-3", "EXT-4", "EXT-5")
"""Findings whose place is the name that was written, not the value after it."""
_HEAD = re.compile(rb'\{"apiVersion":"([^"\\]*)","kind":"([^"\\]*)"')


class Decoded(msgspec.Struct, frozen=True):
    """What came of a document: one resource, several from a List, none if it was refused or is of no kind read here."""

    resources: tuple[Resource[Spec], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def resource(self) -> Resource[Spec] | None:
        """The only resource; the first of a List."""
        return self.resources[0] if self.resources else None


class DecodedMesh(msgspec.Struct, Generic[_T], frozen=True):
    """What came of a MeshConfig or MeshNetworks file; value None: refused."""

    value: _T | None
    findings: tuple[Finding, ...] = ()


class _Envelope(Message, Generic[_T], frozen=True, kw_only=True):
    api_version: str
    kind: str
    metadata: ObjectMeta = ObjectMeta()
    spec: _T
    status: Status = NO_STATUS


class _Reader(msgspec.Struct, frozen=True):
    """How documents with one apiVersion and kind are decoded."""

    kind: Kind
    api_version: str
    decoder: msgspec.json.Decoder[_Envelope[Spec]]


def decode(document: Document, dialect: Dialect = "extended", text: bytes | None = None) -> Decoded:
    """The resource of a document. text: what the document was read from; without it findings carry the document's first
    line."""
    if document.json is None:
        return Decoded(findings=(_unreadable(document),))
    source = Source(document.origin, document.index, document.line)
    head = _HEAD.match(document.json)
    reader = _reader(head[0]) if head else None
    if reader is not None and not _wants_a_look(document.json):
        try:
            return Decoded((_resource(reader, reader.decoder.decode(document.json), source),))
        except msgspec.ValidationError:
            pass
    decoded = _decode_tree(msgspec.json.decode(document.json), dialect, source)
    return Decoded(decoded.resources, located(decoded.findings, document, text)) if decoded.findings else decoded


def decode_tree(tree: Json, dialect: Dialect = "extended", source: Source | None = None) -> Decoded:
    """The same for a document that is already a tree of dicts and lists; its findings have no lines."""
    return _decode_tree(tree, dialect, source or Source())


def decode_mesh(
    document: Document, dialect: Dialect = "extended", text: bytes | None = None
) -> DecodedMesh[MeshConfig]:
    """A file that holds a MeshConfig. An empty one is Istio's default mesh."""
    return _decode_settings(MeshConfig, document, dialect, text)


def decode_networks(
    document: Document, dialect: Dialect = "extended", text: bytes | None = None
) -> DecodedMesh[MeshNetworks]:
    """A file that holds MeshNetworks."""
    return _decode_settings(MeshNetworks, document, dialect, text)


def _wants_a_look(json: bytes) -> bool:
    return b"null" in json or any(name in json for name in EXTENDED_NAMES)


@lru_cache(maxsize=256)
def _reader(head: bytes) -> _Reader | None:
    """The reader for a document that begins like this; None where the kind is not read here."""
    match = _HEAD.match(head)
    assert match is not None
    return _reader_of(match[1].decode(), match[2].decode())


@lru_cache(maxsize=256)
def _reader_of(api_version: str, name: str) -> _Reader | None:
    kind = KINDS.get(name)
    if kind is None or api_version not in kind.api_versions:
        return None
    # mypy has no word for a generic type made at run time.
    return _Reader(kind, api_version, msgspec.json.Decoder(_Envelope[kind.spec]))  # type: ignore[name-defined]


def _resource(reader: _Reader, envelope: _Envelope[Spec], source: Source) -> Resource[Spec]:
    metadata = envelope.metadata
    if not metadata.namespace:
        metadata = msgspec.structs.replace(metadata, namespace=DEFAULT_NAMESPACE)
    return Resource(
        kind=reader.kind.name,
        api_version=reader.api_version,
        metadata=metadata,
        spec=envelope.spec,
        status=envelope.status,
        origin=source,
    )


def _decode_tree(tree: Json, dialect: Dialect, source: Source) -> Decoded:
    resources: list[Resource[Spec]] = []
    findings: list[Finding] = []
    for item, pointer in _flattened(tree, source.pointer):
        place = source if pointer == source.pointer else msgspec.structs.replace(source, pointer=pointer)
        resource, said = _decode_item(item, dialect, place)
        findings += said
        if resource is not None:
            resources.append(resource)
    return Decoded(tuple(resources), tuple(findings))


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
    if not isinstance(tree, dict):
        return None, [Finding("DOC-2", "warning", "not an object: skipped", file=source.file, pointer=source.pointer)]
    kind, api_version = tree.get("kind"), tree.get("apiVersion")
    reader = _reader_of(api_version, kind) if isinstance(kind, str) and isinstance(api_version, str) else None
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
    if _refused(said, dialect):
        return None, said
    try:
        envelope = reader.decoder.decode(msgspec.json.encode(made))
    except msgspec.ValidationError as error:
        return None, [*said, Finding("DEC-2", "error", str(error), pointer=source.pointer)]
    return _resource(reader, envelope, source), said


def _refused(findings: Iterable[Finding], dialect: Dialect) -> bool:
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


def _decode_settings(type_: type[_T], document: Document, dialect: Dialect, text: bytes | None) -> DecodedMesh[_T]:
    if document.json is None:
        return DecodedMesh(None, (_unreadable(document),))
    if not _wants_a_look(document.json):
        try:
            return DecodedMesh(msgspec.json.decode(document.json, type=type_))
        except msgspec.ValidationError:
            pass
    conformer = Conformer(dialect, schema=False)
    tree = msgspec.json.decode(document.json)
    value = conformer.conform({} if tree is None else tree, Object(type=type_), "", "")  # type: ignore[arg-type]
    findings = located(conformer.findings, document, text)
    if _refused(findings, dialect):
        return DecodedMesh(None, findings)
    return DecodedMesh(msgspec.json.decode(msgspec.json.encode(value), type=type_), findings)


def _unreadable(document: Document) -> Finding:
    error = document.error
    assert error is not None
    return Finding("DOC-1", "error", error.message, file=document.origin, line=error.line, column=error.column)


def _positions(text: bytes, index: int) -> Positions:
    from roadstead.config.yaml import positions  # nobody whose documents are right needs it

    return positions(text, index)


def located(findings: Iterable[Finding], document: Document, text: bytes | None) -> tuple[Finding, ...]:
    """The findings with file, line and column, in order of place. Only here is the text read a second time."""
    findings = tuple(findings)
    if not findings:
        return findings
    places = _positions(text, document.index) if text is not None else None
    placed = []
    for finding in findings:
        find = None if places is None else places.key if finding.code in _ABOUT_KEYS else places.at
        line, column = (find and find(finding.pointer)) or (document.line, 0)
        placed.append(msgspec.structs.replace(finding, file=document.origin, line=line, column=column))
    return tuple(sorted(placed, key=lambda finding: finding.order))


__all__ = ["Decoded", "DecodedMesh", "decode", "decode_mesh", "decode_networks", "decode_tree", "located", "refuses"]
