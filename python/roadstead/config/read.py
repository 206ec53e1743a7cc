"""Text, trees or resources → resources that keep the rules, and all that is to be said about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from roadstead.config.decode import Decoded, decode, decode_tree, located
from roadstead.config.dialect import Dialect
from roadstead.config.findings import Finding, refuses
from roadstead.config.meta import Resource, Spec
from roadstead.config.validate import validate

if TYPE_CHECKING:
    from roadstead.config.conform import Json
    from roadstead.config.yaml import Document


def read(text: bytes, origin: str = "", dialect: Dialect = "extended") -> Iterator[Decoded]:
    """What comes of each document of a YAML or JSON text; a bad one does not disturb the others. origin: the file's
    name."""
    from roadstead.config.yaml import load  # the reader is loaded with the first text

    for document in load(text, origin):
        yield read_document(document, dialect, text)


def read_document(document: Document, dialect: Dialect = "extended", text: bytes | None = None) -> Decoded:
    """What comes of one document; without the text findings have the document's first line only."""
    decoded = decode(document, dialect, text)
    kept, said = _checked(decoded.resources, dialect)
    if not said:
        return decoded
    findings = sorted((*decoded.findings, *located(said, document, text)), key=lambda finding: finding.order)
    return Decoded(kept, tuple(findings))


def read_tree(tree: Json, dialect: Dialect = "extended") -> Decoded:
    """The same for a document made of dicts and lists."""
    decoded = decode_tree(tree, dialect)
    kept, said = _checked(decoded.resources, dialect)
    return Decoded(kept, (*decoded.findings, *said)) if said else decoded


def read_resource(resource: Resource[Spec], dialect: Dialect = "extended") -> Decoded:
    """The same for a resource that a program made."""
    return Decoded(*_checked((resource,), dialect))


def _checked(
    resources: tuple[Resource[Spec], ...], dialect: Dialect
) -> tuple[tuple[Resource[Spec], ...], tuple[Finding, ...]]:
    """The resources without errors, and the findings of all."""
    kept: tuple[Resource[Spec], ...] = ()
    said: tuple[Finding, ...] = ()
    for resource in resources:
        found = validate(resource, dialect)
        said += found
        if not (found and refuses(found)):
            kept += (resource,)
    return kept, said


__all__ = ["read", "read_document", "read_resource", "read_tree"]
