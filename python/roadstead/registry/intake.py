"""What people hand to a registry → resources and findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import IOBase
from os import PathLike
from typing import TypeAlias

import msgspec

from roadstead.config import Resource, ResourceKey, Spec
from roadstead.config.decode import Decoded
from roadstead.config.dialect import Dialect
from roadstead.config.read import read, read_resource, read_tree

Given: TypeAlias = Resource[Spec] | Decoded | Mapping[str, object] | str | bytes
"""A resource, a document as dicts and lists, YAML or JSON text with any number of documents, or what was read already,
by `config.read`, with what is to be said about it."""
Put: TypeAlias = Given | Iterable[Given]
_TAKEN = "a resource, a document (dict), YAML text"
Doomed: TypeAlias = ResourceKey | Resource[Spec] | Mapping[str, object] | str
"""What to delete: a key (also as the tuple it is), a resource or document (its key counts), or
"Kind/namespace/name"."""
Delete: TypeAlias = Doomed | Iterable[Doomed]


def taken_in(put: Put, dialect: Dialect) -> Iterator[Decoded]:
    """What becomes of each document. TypeError for what is none of `Given`."""
    for one in [put] if isinstance(put, (Resource, Decoded, Mapping, str, bytes)) else _several(put):
        if isinstance(one, Decoded):
            yield one
        elif isinstance(one, Resource):
            yield read_resource(one, dialect)
        elif isinstance(one, Mapping):
            # Through JSON, so that tuples, dates and the like are what they would be in a file.
            yield read_tree(msgspec.json.decode(msgspec.json.encode(one)), dialect)
        elif isinstance(one, (str, bytes)):
            yield from read_text(one.encode() if isinstance(one, str) else one, "", dialect)
        else:
            raise TypeError(f"put takes {_TAKEN}, not {type(one).__name__}")


def _several(put: object) -> Iterable[object]:
    """What is none of `Given` itself. A file is refused, because it would be taken line by line."""
    if isinstance(put, (IOBase, PathLike)):
        instead = "its text (.read_text())" if isinstance(put, PathLike) else "what it holds (.read())"
        raise TypeError(f"put takes {_TAKEN}, not {type(put).__name__}: pass {instead}, or load it with from_files")
    if not isinstance(put, Iterable):
        raise TypeError(f"put takes {_TAKEN}, or several of them, not {type(put).__name__}")
    return put


def read_text(text: bytes, name: str, dialect: Dialect) -> Iterator[Decoded]:
    """Every document of a text, decoded and held against the rules; one with an error comes without its resource."""
    return read(text, name, dialect)


def keys_of(delete: Delete) -> list[ResourceKey]:
    """The keys of what is to be deleted. ValueError for text that is no key."""
    if isinstance(delete, (Resource, ResourceKey, Mapping, str)):
        return [_key(delete)]
    return [_key(one) for one in delete]


def _key(doomed: Doomed) -> ResourceKey:
    if isinstance(doomed, Resource):
        return doomed.key
    if isinstance(doomed, Mapping):
        metadata = doomed.get("metadata")
        fields = metadata if isinstance(metadata, Mapping) else {}
        return ResourceKey(str(doomed.get("kind")), str(fields.get("namespace") or "default"), str(fields.get("name")))
    parts = doomed.split("/") if isinstance(doomed, str) else tuple(doomed)
    if len(parts) != 3:
        raise ValueError(f"not a key of a resource: {doomed!r} (expected Kind/namespace/name)")
    return ResourceKey(*parts)
