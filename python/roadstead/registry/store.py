"""Resources by key, kept small: packed bytes that are decoded when compile touches them and dropped afterwards."""

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
from roadstead.registry.packed import Packed

# Resources that stay decoded after the last use: what neighbouring hosts share, and what one change asks for.
_WARM = 256


class Store:
    """Resources by key. files: digest of every text that resources came from, by its name."""

    __slots__ = ("_bytes", "_digests", "_warm")

    def __init__(self) -> None:
        self._bytes: Packed[ResourceKey] = Packed()
        self._warm: dict[ResourceKey, Resource[Spec]] = {}
        self._digests: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._bytes)

    def __contains__(self, key: object) -> bool:
        return key in self._bytes

    def __iter__(self) -> Iterator[ResourceKey]:
        return iter(self._bytes)

    def put(self, resource: Resource[Spec], key: ResourceKey | None = None) -> None:
        """Add or replace. key: the object that is kept as its key."""
        key = resource.key if key is None else key
        self._bytes.put(key, _encoder.encode(resource))
        self._warm.pop(key, None)
        self._remember(key, resource)

    def pop(self, key: ResourceKey) -> Resource[Spec] | None:
        """Remove; what was there."""
        if key not in self._bytes:
            return None
        resource = self.load(key)
        self._bytes.pop(key)
        self._warm.pop(key, None)
        return resource

    def get(self, key: ResourceKey) -> Resource[Spec] | None:
        return self.load(key) if key in self._bytes else None

    def load(self, key: ResourceKey) -> Resource[Spec]:
        """Decode a resource; KeyError where there is none."""
        resource = self._warm.get(key)
        if resource is None:
            resource = _decoder(key.kind).decode(self._bytes.get(key))
            self._remember(key, resource)
        return resource

    def _remember(self, key: ResourceKey, resource: Resource[Spec]) -> None:
        if len(self._warm) >= _WARM:
            self._warm.clear()
        self._warm[key] = resource

    def rest(self) -> None:
        """Give up what is only kept at hand: nobody will ask for it soon."""
        self._warm.clear()
        self._bytes.rest()

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
