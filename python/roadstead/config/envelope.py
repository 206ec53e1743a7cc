"""The typed decoder of each kind and version, and how a decoded document becomes a resource."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Generic, TypeVar

import msgspec

from roadstead.config.kinds import KINDS, Kind
from roadstead.config.message import Message
from roadstead.config.meta import DEFAULT_NAMESPACE, NO_STATUS, ObjectMeta, Resource, Source, Spec, Status

_T = TypeVar("_T")
HEAD = re.compile(rb'\{"apiVersion":"([^"\\]*)","kind":"([^"\\]*)"')
"""How nearly every document begins once it is JSON."""


class Envelope(Message, Generic[_T], frozen=True, kw_only=True):
    api_version: str
    kind: str
    metadata: ObjectMeta = ObjectMeta()
    spec: _T
    status: Status = NO_STATUS


class Reader(msgspec.Struct, frozen=True):
    """How documents with one apiVersion and kind are decoded."""

    kind: Kind
    api_version: str
    decoder: msgspec.json.Decoder[Envelope[Spec]]


@lru_cache(maxsize=256)
def reader_for(head: bytes) -> Reader | None:
    """The reader for a document that begins like this; None where the kind is not read here."""
    match = HEAD.match(head)
    assert match is not None
    return reader_of(match[1].decode(), match[2].decode())


@lru_cache(maxsize=256)
def reader_of(api_version: str, name: str) -> Reader | None:
    kind = KINDS.get(name)
    if kind is None or api_version not in kind.api_versions:
        return None
    # mypy has no word for a generic type made at run time.
    return Reader(kind, api_version, msgspec.json.Decoder(Envelope[kind.spec]))  # type: ignore[name-defined]


def resource_from(reader: Reader, envelope: Envelope[Spec], source: Source) -> Resource[Spec]:
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
