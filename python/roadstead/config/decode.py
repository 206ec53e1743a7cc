"""A document → a resource, or all that is wrong with it.

The good path is one pass of a typed decoder and looks at nothing twice. A document that it refuses, or in which
something stands that wants a closer look (a null, a field of the extended dialect), is walked field by field against
the model (config/conform.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from roadstead.config.dialect import EXTENDED_NAMES, Dialect
from roadstead.config.envelope import HEAD, reader_for, resource_from
from roadstead.config.findings import Finding, refuses
from roadstead.config.mesh_config import MeshConfig, MeshNetworks
from roadstead.config.meta import Resource, ResourceKey, Source, Spec

if TYPE_CHECKING:
    from roadstead.config.conform import Json
    from roadstead.config.yaml import Document, Positions

_Settings = TypeVar("_Settings", MeshConfig, MeshNetworks)
_NO_PORT = b'"targetPort":0'
_ABOUT_KEYS = ("DEC-1", "META-1", "EXT-3", "EXT-4", "EXT-5")
"""Findings whose place is the name that was written, not the value after it."""


class Decoded(msgspec.Struct, frozen=True):
    """What came of a document: one resource, several from a List, none if it was refused or is of no kind read here.
    refused: the keys of what was, where it has a name. partial: refused resources without the values that could not be
    read, for whoever has more to say about them."""

    resources: tuple[Resource[Spec], ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: tuple[ResourceKey, ...] = ()
    partial: tuple[Resource[Spec], ...] = ()

    @property
    def resource(self) -> Resource[Spec] | None:
        """The only resource; the first of a List."""
        return self.resources[0] if self.resources else None


class DecodedMesh(msgspec.Struct, Generic[_Settings], frozen=True):
    """What came of a MeshConfig or MeshNetworks file; value None: refused."""

    value: _Settings | None
    findings: tuple[Finding, ...] = ()


def decode(document: Document, dialect: Dialect = "extended", text: bytes | None = None) -> Decoded:
    """The resource of a document. text: what the document was read from; without it findings carry the document's first
    line."""
    if document.json is None:
        return Decoded(findings=(_unreadable(document),))
    source = Source(document.origin, document.index, document.line)
    head = HEAD.match(document.json)
    reader = reader_for(head[0]) if head else None
    if reader is not None and not wants_a_look(document.json):
        try:
            return Decoded((resource_from(reader, reader.decoder.decode(document.json), source),))
        except msgspec.ValidationError:
            pass
    decoded = decode_tree(msgspec.json.decode(document.json), dialect, source)
    if not decoded.findings:
        return decoded
    return msgspec.structs.replace(decoded, findings=located(decoded.findings, document, text))


def decode_tree(tree: Json, dialect: Dialect = "extended", source: Source | None = None) -> Decoded:
    """The same for a document that is already a tree of dicts and lists; its findings have no lines."""
    from roadstead.config.tree import keys_in, resources_of  # most programs never meet a document that needs it

    resources, partial, findings = resources_of(tree, dialect, source or Source())
    made = {resource.key for resource in resources}
    return Decoded(resources, findings, tuple([key for key in keys_in(tree) if key not in made]), partial)


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


def wants_a_look(json: bytes) -> bool:
    """Whether a document has to be walked although the decoder may take it."""
    return b"null" in json or any(name in json for name in EXTENDED_NAMES) or _NO_PORT in json


def _decode_settings(
    type_: type[_Settings], document: Document, dialect: Dialect, text: bytes | None
) -> DecodedMesh[_Settings]:
    if document.json is None:
        return DecodedMesh(None, (_unreadable(document),))
    if not wants_a_look(document.json):
        try:
            return DecodedMesh(msgspec.json.decode(document.json, type=type_))
        except msgspec.ValidationError:
            pass
    from roadstead.config.tree import conformed

    value, said = conformed(msgspec.json.decode(document.json), type_, dialect)
    findings = located(said, document, text)
    if value is None:
        return DecodedMesh(None, findings)
    return DecodedMesh(msgspec.json.decode(msgspec.json.encode(value), type=type_), findings)


def _unreadable(document: Document) -> Finding:
    error = document.error
    assert error is not None
    # Windows PowerShell's `kubectl get … > file` is where most of it comes from.
    hint = "save it as UTF-8; PowerShell's > may have written UTF-16" if error.message == "not UTF-8" else ""
    return Finding(
        "DOC-1", "error", error.message, file=document.origin, line=error.line, column=error.column, hint=hint
    )


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


__all__ = [
    "Decoded",
    "DecodedMesh",
    "decode",
    "decode_mesh",
    "decode_networks",
    "decode_tree",
    "located",
    "refuses",
    "wants_a_look",
]
