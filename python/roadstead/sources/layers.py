"""Several sources, one above another, as one stream of changes.

A source hands over *pieces*: what it can replace as a whole (a file, an object of a cluster, a document behind a URL).
Of a resource that several sources have, the one of the last source counts; when it goes, the one below comes back.

What is bad never takes away what was good: a resource that is refused keeps its previous version, and where a piece
holds a document that cannot be read at all (half a file), what the piece had before and does not have now stays too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from roadstead.config import Finding, Resource, ResourceKey, Spec
from roadstead.config.decode import Decoded
from roadstead.config.dialect import Dialect

Piece: TypeAlias = Sequence[Decoded]


class Sink(Protocol):
    """What takes the changes; a registry does."""

    @property
    def resources(self) -> Mapping[ResourceKey, Resource[Spec]]:
        """What is in force."""

    def apply(self, put: Sequence[Decoded], delete: Sequence[ResourceKey]) -> object:
        """Put and delete, all at once. put: what was read, with what is to be said about it."""


class Source(Protocol):
    """Where configuration comes from, and follows what happens there."""

    @property
    def name(self) -> str:
        """For people: what it is a source of."""

    async def run(self, layer: Layer) -> None:
        """Hand everything over, then every change, until cancelled. What goes wrong is told to the layer, and tried
        again; it never ends the run."""


class SourceStatus(msgspec.Struct, frozen=True):
    """What people see of a source. loaded: it was read completely at least once. error: what keeps it from being up to
    date now, "" for nothing. findings: what is said about its documents."""

    name: str
    loaded: bool
    error: str
    pieces: int
    resources: int
    findings: tuple[Finding, ...]


class Layer:
    """One source's place among the others."""

    __slots__ = ("_layers", "_level", "_pieces", "error", "loaded", "name")

    def __init__(self, layers: Layers, level: int, name: str) -> None:
        self._layers = layers
        self._level = level
        self._pieces: dict[str, tuple[frozenset[ResourceKey], tuple[Finding, ...]]] = {}
        self.name = name
        self.error = ""
        self.loaded = asyncio.Event()

    @property
    def dialect(self) -> Dialect:
        """What documents are to be read as."""
        return self._layers.dialect

    async def update(self, pieces: Mapping[str, Piece | None]) -> None:
        """Replace these pieces; None takes one away. All of it becomes visible at once."""
        await self._layers.take(self, self._level, pieces)

    async def replace(self, pieces: Mapping[str, Piece]) -> None:
        """These are all pieces there are; the source was read completely."""
        gone: dict[str, Piece | None] = dict.fromkeys(self._pieces.keys() - pieces.keys())
        await self.update({**gone, **pieces})
        self.well()

    def well(self) -> None:
        """The source is up to date."""
        self.error = ""
        self.loaded.set()

    def failed(self, error: str) -> None:
        """The source cannot be read now; what it had stays in force."""
        self.error = error

    def status(self) -> SourceStatus:
        keys = {key for held, _ in self._pieces.values() for key in held}
        findings = tuple([finding for _, said in self._pieces.values() for finding in said])
        return SourceStatus(self.name, self.loaded.is_set(), self.error, len(self._pieces), len(keys), findings)

    # For the layers

    def held(self, piece: str) -> frozenset[ResourceKey]:
        """The keys that a piece has."""
        return self._pieces[piece][0] if piece in self._pieces else frozenset()

    def holds(self, key: ResourceKey, *, but: Iterable[str] = ()) -> bool:
        """Whether a piece, other than these, has the key."""
        left_out = set(but)
        return any(key in keys for name, (keys, _) in self._pieces.items() if name not in left_out)

    def keep(self, piece: str, keys: frozenset[ResourceKey], findings: tuple[Finding, ...]) -> None:
        """Note what a piece has by now."""
        if keys or findings:
            self._pieces[piece] = (keys, findings)
        else:
            self._pieces.pop(piece, None)


class Layers:
    """All sources of one registry, the later above the earlier."""

    __slots__ = ("_hidden", "_layers", "_lock", "_owner", "_sink", "dialect")

    def __init__(self, sink: Sink, dialect: Dialect) -> None:
        self.dialect = dialect
        self._sink = sink
        self._layers: list[Layer] = []
        self._lock = asyncio.Lock()
        # Which layer's version is in force.
        self._owner: dict[ResourceKey, int] = {}
        # Versions that one above hides, by layer.
        self._hidden: dict[ResourceKey, dict[int, Resource[Spec]]] = {}

    def layer(self, name: str) -> Layer:
        """The place of another source, above all there are."""
        made = Layer(self, len(self._layers), name)
        self._layers.append(made)
        return made

    def status(self) -> list[SourceStatus]:
        """All sources, the lowest first."""
        return [layer.status() for layer in self._layers]

    def source_of(self, key: ResourceKey) -> str | None:
        """The name of the source whose version is in force; None: no source's."""
        level = self._owner.get(key)
        return None if level is None else self._layers[level].name

    async def take(self, layer: Layer, level: int, pieces: Mapping[str, Piece | None]) -> None:
        """Changes of one layer; see `Layer.update`."""
        async with self._lock:
            read = [decoded for piece in pieces.values() for decoded in piece or ()]
            put = {resource.key: resource for decoded in read for resource in decoded.resources}
            gone: set[ResourceKey] = set()
            noted: list[tuple[str, frozenset[ResourceKey], tuple[Finding, ...]]] = []
            for name, piece in pieces.items():
                before = layer.held(name)
                fresh = frozenset(resource.key for decoded in piece or () for resource in decoded.resources)
                keeps = _keeps(piece, before)
                gone |= before - fresh - keeps
                noted.append(
                    (name, fresh | keeps, tuple([said for decoded in piece or () for said in decoded.findings]))
                )
            self._hide(level, put)
            back, deleted = self._take_away(
                level, [key for key in gone if key not in put and not layer.holds(key, but=pieces)]
            )
            changes = [_in_force(decoded, put) for decoded in read] + [Decoded((resource,)) for resource in back]
            for note in noted:
                layer.keep(*note)
            if changes or deleted:
                # Compiling takes its time; whoever else lives in this loop goes on.
                await asyncio.to_thread(self._sink.apply, changes, deleted)

    def _hide(self, level: int, put: dict[ResourceKey, Resource[Spec]]) -> None:
        """What a layer puts is from now on its own, unless one above has it: that is taken out of `put` and hidden."""
        for key in list(put):
            owner = self._owner.get(key)
            if owner is not None and owner > level:
                self._hidden.setdefault(key, {})[level] = put.pop(key)
                continue
            if owner is not None and owner < level:
                self._hidden.setdefault(key, {})[owner] = self._sink.resources[key]
            self._owner[key] = level

    def _take_away(self, level: int, gone: Iterable[ResourceKey]) -> tuple[list[Resource[Spec]], list[ResourceKey]]:
        """What comes to light, and what is gone altogether, where a layer does not have these any more."""
        back: list[Resource[Spec]] = []
        deleted: list[ResourceKey] = []
        for key in gone:
            below = self._hidden.get(key, {})
            if self._owner.get(key) != level:
                below.pop(level, None)
            elif below:
                self._owner[key] = max(below)
                back.append(below.pop(max(below)))
            else:
                del self._owner[key]
                deleted.append(key)
            if not below:
                self._hidden.pop(key, None)
        return back, deleted


def _in_force(decoded: Decoded, put: Mapping[ResourceKey, Resource[Spec]]) -> Decoded:
    """A document without the resources that another layer's, or a later document's, versions hide."""
    resources = tuple([resource for resource in decoded.resources if put.get(resource.key) is resource])
    return Decoded(resources, decoded.findings, decoded.refused)


def _keeps(piece: Piece | None, before: frozenset[ResourceKey]) -> frozenset[ResourceKey]:
    """What a piece had and keeps although it is not in it in a usable form."""
    if piece is None:
        return frozenset()
    if any(finding.code == "DOC-1" for decoded in piece for finding in decoded.findings):
        return before
    return before & {key for decoded in piece for key in decoded.refused}
