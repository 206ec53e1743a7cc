"""Text, trees or resources → resources that keep the rules, and all that is to be said about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from roadstead.config.decode import Decoded, DecodedMesh, decode, decode_mesh, decode_networks, decode_tree, located
from roadstead.config.dialect import Dialect
from roadstead.config.findings import Finding, refuses
from roadstead.config.mesh_config import MeshConfig, MeshNetworks
from roadstead.config.meta import Resource, ResourceKey, Spec

if TYPE_CHECKING:
    from roadstead.config.conform import Json
    from roadstead.config.yaml import Document

_Settings = TypeVar("_Settings", MeshConfig, MeshNetworks)


def read(text: bytes, origin: str = "", dialect: Dialect = "extended") -> Iterator[Decoded]:
    """What comes of each document of a YAML or JSON text; a bad one does not disturb the others. origin: the file's
    name."""
    from roadstead.config.yaml import documents  # the reader is loaded with the first text

    for document in documents(text, origin):
        yield read_document(document, dialect, text)


def read_document(document: Document, dialect: Dialect = "extended", text: bytes | None = None) -> Decoded:
    """What comes of one document; without the text findings have the document's first line only."""
    decoded = decode(document, dialect, text)
    checked = _checked(decoded.resources, dialect)
    said = (*checked.findings, *_beside(decoded, dialect))
    if not said:
        return decoded
    findings = sorted((*decoded.findings, *located(said, document, text)), key=lambda finding: finding.order)
    return Decoded(checked.resources, tuple(findings), (*decoded.refused, *checked.refused))


def read_tree(tree: Json, dialect: Dialect = "extended") -> Decoded:
    """The same for a document made of dicts and lists."""
    decoded = decode_tree(tree, dialect)
    checked = _checked(decoded.resources, dialect)
    beside = _beside(decoded, dialect)
    if not (checked.findings or beside):
        return decoded
    findings = (*decoded.findings, *checked.findings, *beside)
    return Decoded(checked.resources, findings, (*decoded.refused, *checked.refused))


def read_resource(resource: Resource[Spec], dialect: Dialect = "extended") -> Decoded:
    """The same for a resource that a program made."""
    return _checked((resource,), dialect)


def read_mesh(text: bytes, origin: str = "", dialect: Dialect = "extended") -> DecodedMesh[MeshConfig]:
    """A file that holds a MeshConfig; an empty one is Istio's default mesh. Only its first document is read."""
    document = _first(text, origin)
    if document is None:
        return DecodedMesh(MeshConfig())
    return _checked_settings(decode_mesh(document, dialect, text), document, text)


def read_networks(text: bytes, origin: str = "", dialect: Dialect = "extended") -> DecodedMesh[MeshNetworks]:
    """The same for MeshNetworks."""
    document = _first(text, origin)
    if document is None:
        return DecodedMesh(MeshNetworks())
    return _checked_settings(decode_networks(document, dialect, text), document, text)


def _first(text: bytes, origin: str) -> Document | None:
    from roadstead.config.yaml import load

    return next(iter(load(text, origin)), None)


def _checked_settings(decoded: DecodedMesh[_Settings], document: Document, text: bytes) -> DecodedMesh[_Settings]:
    from roadstead.config.validate import (
        validate_mesh,
    )  # the rules are loaded with the first thing to hold against them

    found: tuple[Finding, ...] = validate_mesh(decoded.value) if decoded.value is not None else ()
    if not found:
        return decoded
    findings = (*decoded.findings, *located(found, document, text))
    return DecodedMesh(None if refuses(found) else decoded.value, findings)


def _checked(resources: tuple[Resource[Spec], ...], dialect: Dialect) -> Decoded:
    """The resources without errors, and the findings of all."""
    from roadstead.config.validate import validate

    kept: tuple[Resource[Spec], ...] = ()
    said: tuple[Finding, ...] = ()
    refused: tuple[ResourceKey, ...] = ()
    for resource in resources:
        found = validate(resource, dialect)
        said += found
        if not (found and refuses(found)):
            kept += (resource,)
        else:
            refused += (resource.key,)
    return Decoded(kept, said, refused)


def _beside(decoded: Decoded, dialect: Dialect) -> tuple[Finding, ...]:
    """What is to be said about refused resources beside what they were refused for."""
    if not decoded.partial:
        return ()
    from roadstead.config.validate import validate_beside

    wrong = [finding.pointer for finding in decoded.findings if finding.severity == "error"]
    return tuple([said for resource in decoded.partial for said in validate_beside(resource, wrong, dialect)])


__all__ = ["read", "read_document", "read_mesh", "read_networks", "read_resource", "read_tree"]
