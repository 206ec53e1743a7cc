"""Several sources, one above another, as one stream of changes.

A source hands over *pieces*: what it can replace as a whole (a file, an object of a cluster, a document behind a URL).
Of a resource that several sources have, the one of the last source counts, and of one that several pieces of a source
have, the one of the last piece in the source's order (of files the order in which they are loaded: what is followed is
what `Registry.from_files` would give). When it goes, the one below comes back.

What is bad never takes away what was good: a resource that is refused keeps its previous version, and where a piece
holds a document that cannot be read at all (half a file), what the piece had before and does not have now stays too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Protocol, TypeAlias

import msgspec

from roadstead.config import Finding, Resource, ResourceKey, Spec
from roadstead.config.decode import Decoded
from roadstead.config.dialect import Dialect

Piece: TypeAlias = Sequence[Decoded]
_Place: TypeAlias = tuple[int, str]
"""Where a version of a resource stands: level of the layer, name of the piece."""


class Sink(Protocol):
    """What takes the changes; a registry does."""

    @property
    def resources(self) -> Mapping[ResourceKey, Resource[Spec]]:
        """What is in force."""

    def apply(self, put: Iterable[Decoded], delete: Sequence[ResourceKey]) -> object:
        """Put and delete, all at once. put: what was read, with what is to be said about it; handed over one by one, to
        be held by nobody else."""


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

    __slots__ = ("_layers", "_level", "_order", "_pieces", "error", "loaded", "name")

    def __init__(self, layers: Layers, level: int, name: str) -> None:
        self._layers = layers
        self._level = level
        self._pieces: dict[str, tuple[frozenset[ResourceKey], tuple[Finding, ...]]] = {}
        self._order: Mapping[str, int] = {}
        self.name = name
        self.error = ""
        self.loaded = asyncio.Event()

    @property
    def dialect(self) -> Dialect:
        """What documents are to be read as."""
        return self._layers.dialect

    async def update(self, pieces: Mapping[str, Piece | None], order: Sequence[str] = ()) -> None:
        """Replace these pieces; None takes one away. All of it becomes visible at once. order: names of all pieces, the
        later count above the earlier; without it that is the order of their names."""
        self._order = {name: number for number, name in enumerate(order)}
        taking = self._layers.take(self, self._level, pieces)
        # Whoever only waits need not hold thousands of objects.
        del pieces
        await taking

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

    def position(self, piece: str) -> tuple[int, str]:
        """Which of two pieces counts: the one with the larger."""
        return self._order.get(piece, -1), piece

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
        # Whose version is in force.
        self._owner: dict[ResourceKey, _Place] = {}
        # Versions that one above hides.
        self._hidden: dict[ResourceKey, dict[_Place, Resource[Spec]]] = {}

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
        place = self._owner.get(key)
        return None if place is None else self._layers[place[0]].name

    async def take(self, layer: Layer, level: int, pieces: Mapping[str, Piece | None]) -> None:
        """Changes of one layer; see `Layer.update`."""
        async with self._lock:
            changes, deleted = self._taken(layer, level, pieces)
            del pieces
            if changes or deleted:
                changes.reverse()
                # Compiling takes its time; whoever else lives in this loop goes on.
                await asyncio.to_thread(self._sink.apply, _handed_over(changes), deleted)

    def _taken(
        self, layer: Layer, level: int, pieces: Mapping[str, Piece | None]
    ) -> tuple[list[Decoded], list[ResourceKey]]:
        """Note what the pieces change; what the sink is to be told."""
        put: dict[ResourceKey, dict[_Place, Resource[Spec]]] = {}
        gone: dict[ResourceKey, list[_Place]] = {}
        noted: list[tuple[str, frozenset[ResourceKey], tuple[Finding, ...]]] = []
        for name, piece in pieces.items():
            place, before = (level, name), layer.held(name)
            fresh = {resource.key: resource for decoded in piece or () for resource in decoded.resources}
            keeps = _keeps(piece, before)
            for key, resource in fresh.items():
                put.setdefault(key, {})[place] = resource
            for key in before - fresh.keys() - keeps:
                gone.setdefault(key, []).append(place)
            said = tuple([said for decoded in piece or () for said in decoded.findings])
            noted.append((name, frozenset(fresh) | keeps, said))
        changed = {key: self._settle(key, put.get(key, {}), gone.get(key, ())) for key in {**put, **gone}}
        for note in noted:
            layer.keep(*note)
        return _changes([one for piece in pieces.values() for one in piece or ()], changed)

    def _settle(
        self, key: ResourceKey, put: Mapping[_Place, Resource[Spec]], gone: Iterable[_Place]
    ) -> Resource[Spec] | _Nothing:
        """Note where there are versions of a resource by now; what is to be done about the one in force."""
        owner = self._owner.get(key)
        versions: dict[_Place, Resource[Spec] | None] = {**self._hidden.pop(key, {})}
        if owner is not None:
            # What is in force is not kept here.
            versions[owner] = None
        for place in gone:
            versions.pop(place, None)
        versions.update(put)
        if not versions:
            self._owner.pop(key, None)
            return _GONE
        top = max(versions, key=self._rank)
        self._owner[key] = top
        in_force = versions.pop(top)
        if versions:
            self._hidden[key] = {
                place: self._sink.resources[key] if version is None else version for place, version in versions.items()
            }
        return _SAME if in_force is None else in_force

    def _rank(self, place: _Place) -> tuple[int, tuple[int, str]]:
        level, piece = place
        return level, self._layers[level].position(piece)


class _Nothing(Enum):
    """No version to put: none is left, or the one in force stays."""

    GONE = 0
    SAME = 1


_GONE, _SAME = _Nothing.GONE, _Nothing.SAME


def _handed_over(changes: list[Decoded]) -> Iterator[Decoded]:
    """The last first; what was handed over is not held here any more."""
    while changes:
        yield changes.pop()


def _changes(
    read: Iterable[Decoded], changed: Mapping[ResourceKey, Resource[Spec] | _Nothing]
) -> tuple[list[Decoded], list[ResourceKey]]:
    """What a sink is told: what was read, without the resources that other versions hide; what comes to light again;
    what is gone."""
    put = {key: version for key, version in changed.items() if not isinstance(version, _Nothing)}
    changes = [_in_force(decoded, put) for decoded in read]
    told = {id(resource) for decoded in changes for resource in decoded.resources}
    changes += [Decoded((resource,)) for resource in put.values() if id(resource) not in told]
    return changes, [key for key, version in changed.items() if version is _GONE]


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
