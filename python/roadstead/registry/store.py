"""Resources by key, kept small: form and names, or packed bytes, that are decoded when compile touches them and dropped
afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec

from roadstead.config import (
    DestinationRule,
    Gateway,
    PeerAuthentication,
    Resource,
    ResourceKey,
    ServiceEntry,
    Sidecar,
    Source,
    Spec,
    VirtualService,
    WorkloadEntry,
    WorkloadGroup,
)
from roadstead.config.forms import Written
from roadstead.registry.packed import Packed

# Resources that stay decoded after the last use: what neighbouring hosts share, and what one change asks for.
_WARM = 256


class Store:
    """Resources by key. files: digest of every text that resources came from, by its name."""

    __slots__ = ("_digests", "_kept", "_packed", "_warm")

    def __init__(self) -> None:
        # In order; None: among the packed ones.
        self._kept: dict[ResourceKey, Written | None] = {}
        self._packed: Packed[ResourceKey] = Packed()
        self._warm: dict[ResourceKey, Resource[Spec]] = {}
        self._digests: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def __iter__(self) -> Iterator[ResourceKey]:
        return iter(self._kept)

    def put(self, resource: Resource[Spec], key: ResourceKey | None = None) -> None:
        """Add or replace. key: the object that is kept as its key."""
        key = resource.key if key is None else key
        self._packed.put(key, _encoder.encode(resource))
        self._kept[key] = None
        self._warm.pop(key, None)
        self._remember(key, resource)

    def put_written(self, key: ResourceKey, written: Written) -> None:
        """Add or replace a resource that is kept as form and names."""
        if key in self._packed:
            self._packed.pop(key)
        self._kept[key] = written
        self._warm.pop(key, None)

    def move(self, key: ResourceKey, resource: Resource[Spec]) -> None:
        """A resource that means the same as the one that is there, read elsewhere or later."""
        place, written, before = resource.origin, self._kept[key], self.load(key)
        if before.metadata != resource.metadata or before.status != resource.status:
            self.put(resource, key)
        elif written is not None and not place.pointer:
            self.put_written(key, Written(written.form, written.names, place.file, place.index, place.line))
        elif self.source(key) != place:
            self.put(resource, key)

    def pop(self, key: ResourceKey) -> Resource[Spec] | None:
        """Remove; what was there."""
        if key not in self._kept:
            return None
        resource = self.load(key)
        if self._kept.pop(key) is None:
            self._packed.pop(key)
        self._warm.pop(key, None)
        return resource

    def get(self, key: ResourceKey) -> Resource[Spec] | None:
        return self.load(key) if key in self._kept else None

    def source(self, key: ResourceKey) -> Source | None:
        """Where a resource was read; None where there is none."""
        written = self._kept.get(key)
        if written is not None:
            return written.source
        return self.load(key).origin if key in self._kept else None

    def load(self, key: ResourceKey) -> Resource[Spec]:
        """Decode a resource; KeyError where there is none."""
        resource = self._warm.get(key)
        if resource is None:
            written = self._kept[key]
            if written is not None:
                resource = written.resource()
            else:
                resource = _decoder(key.kind).decode(self._packed.get(key))
            self._remember(key, resource)
        return resource

    def _remember(self, key: ResourceKey, resource: Resource[Spec]) -> None:
        if len(self._warm) >= _WARM:
            self._warm.clear()
        self._warm[key] = resource

    def rest(self) -> None:
        """Give up what is only kept at hand: nobody will ask for it soon."""
        self._warm.clear()
        self._packed.rest()

    # Texts

    def saw(self, name: str, text: bytes) -> None:
        """Remember which text a name stood for, so that positions in it can be found again."""
        self._digests[name] = _digest(text)

    def text_of(self, source: Source) -> bytes | None:
        """The text a resource came from, read again; None if it is gone or is another one by now."""
        wanted = self._digests.get(source.file)
        if wanted is None:
            return None
        try:
            text = Path(source.file).read_bytes()
        except OSError:
            return None
        return text if _digest(text) == wanted else None


class Resources(Mapping[ResourceKey, Resource[Spec]]):
    """All resources that are in force, decoded one by one as they are asked for. A view, not a copy."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, key: ResourceKey) -> Resource[Spec]:
        return self._store.load(key)

    def __iter__(self) -> Iterator[ResourceKey]:
        return iter(self._store)

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, key: object) -> bool:
        return key in self._store


def _digest(text: bytes) -> bytes:
    from hashlib import blake2b  # it brings OpenSSL along: only for those who load files

    return blake2b(text, digest_size=16).digest()


_encoder = msgspec.msgpack.Encoder()
_TYPES = {
    "ServiceEntry": Resource[ServiceEntry],
    "WorkloadEntry": Resource[WorkloadEntry],
    "WorkloadGroup": Resource[WorkloadGroup],
    "VirtualService": Resource[VirtualService],
    "DestinationRule": Resource[DestinationRule],
    "Gateway": Resource[Gateway],
    "Sidecar": Resource[Sidecar],
    "PeerAuthentication": Resource[PeerAuthentication],
}


@cache
def _decoder(kind: str) -> msgspec.msgpack.Decoder[Resource[Spec]]:
    return msgspec.msgpack.Decoder(_TYPES[kind])
