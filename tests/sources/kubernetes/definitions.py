"""CustomResourceDefinitions of the kinds that are read, made from the model: what it takes is what the server takes."""

from __future__ import annotations

from roadstead.config.kinds import KINDS, Kind
from roadstead.config.meta import Status
from roadstead.config.schema import (
    Anything,
    Boolean,
    Entries,
    Integer,
    Items,
    Number,
    Object,
    Shape,
    Words,
    fields_of,
    shape_of,
)

Schema = dict[str, object]


def definitions() -> list[Schema]:
    """One for each kind."""
    return [_definition(kind) for kind in KINDS.values()]


def _definition(kind: Kind) -> Schema:
    names = {"kind": kind.name, "listKind": f"{kind.name}List", "plural": kind.plural, "singular": kind.name.lower()}
    open_schema = {
        "type": "object",
        "properties": {
            "spec": _schema(shape_of(kind.spec)),
            "status": _schema(shape_of(Status)) | {"x-kubernetes-preserve-unknown-fields": True},
        },
    }
    versions = [
        {"name": name, "served": True, "storage": not number, "schema": {"openAPIV3Schema": open_schema}}
        for number, name in enumerate(kind.versions)
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {"group": kind.group, "names": names, "scope": "Namespaced", "versions": versions},
    }


def _schema(shape: Shape) -> Schema:
    made: Schema
    if isinstance(shape, Object):
        properties = {name: _schema(inner) for name, inner in fields_of(shape.type).shapes.items()}
        made = {"type": "object", "properties": properties}
    elif isinstance(shape, Items):
        made = {"type": "array", "items": _schema(shape.item)}
    elif isinstance(shape, Entries):
        made = {"type": "object", "additionalProperties": _schema(shape.value)}
    elif isinstance(shape, Integer):
        made = {"type": "integer", "minimum": max(shape.low, -(2**53)), "maximum": min(shape.high, 2**53)}
    elif isinstance(shape, Boolean):
        made = {"type": "boolean"}
    elif isinstance(shape, Number):
        made = {"type": "number"}
    elif isinstance(shape, Words):
        made = {"type": "string", "enum": list(shape.words)}
    elif isinstance(shape, Anything):
        made = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    else:
        made = {"type": "string"}
    if shape.nullable:
        made["nullable"] = True
    return made
