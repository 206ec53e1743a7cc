"""YAML or JSON text → documents as normalised JSON, and the place of any field when somebody asks.

The tree is the one Go's sigs.k8s.io/yaml gives, so that a file means here what it means to Kubernetes: scalars as in
`roadstead.config.scalars`, keys as strings, keys in the order of writing (those of a merge key last), aliases written
out. A key set twice is an error. A key that `<<` brings as well is not: the mapping's own value wins, then the last
`<<`, then the first of its sources (istioctl validate calls the override a duplicate, kubectl takes it).

Two readers give the same JSON and the same places: the native one, without the GIL, and PyYAML's C loader. The words
about a syntax error are each parser's own, and at the edge of the language one may take what the other refuses: blank
lines of tabs, a block scalar at the very margin, a comment right behind a closing quote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from roadstead import core
from roadstead.errors import EngineError

if TYPE_CHECKING:
    from types import ModuleType

    from roadstead.config.composer import Event, Kind

MAX_DEPTH = 100
"""Nesting of mappings and sequences in one document, aliases written out."""
MAX_ALIASES = 100_000
"""Nodes that aliases may add to one document."""
MAX_SCALAR = 1 << 20
"""Bytes of one scalar (Kubernetes stores no object above 1.5 MiB)."""
MAX_BYTES = 64 << 20
"""Bytes of JSON of one document; one `kind: List` may hold a whole mesh."""


class SyntaxProblem(msgspec.Struct, frozen=True, gc=False):
    """Why a document cannot be read, and where: 1-based, of the whole text, columns in characters."""

    line: int
    column: int
    message: str


class Document(msgspec.Struct, frozen=True, gc=False):
    """One document of a text. origin: what the text is called. index: its ordinal in the text (empty documents are
    counted and left out). line: of its first content, 1-based. json: normalised, UTF-8; None if there is an error."""

    origin: str
    index: int
    line: int
    json: bytes | None
    error: SyntaxProblem | None = None


Place: TypeAlias = tuple[int, int]
"""Line and column, 1-based, of the whole text."""
Row: TypeAlias = tuple[bytes | None, int, int, str | None, int, int]
FormRow: TypeAlias = tuple[bytes | None, int, int, str | None, int, int, tuple[str, ...]]
Node: TypeAlias = tuple[str, int, int, int, int]


class Positions:
    """Where the fields of one document are written, by JSON pointer.

    A field that is not written (it is missing, or an alias or a merge key brings it) is where its nearest parent is."""

    __slots__ = ("_places",)

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._places: dict[str, tuple[Place, Place]] = {}
        for pointer, key_line, key_column, line, column in nodes:
            self._places.setdefault(pointer, ((key_line, key_column), (line, column)))

    def at(self, pointer: str) -> Place | None:
        """Of the value: of its key where nothing is written after it. None if nothing of the document can be placed."""
        found = self._nearest(pointer)
        return None if found is None else found[1]

    def key(self, pointer: str) -> Place | None:
        """Of the key of a mapping's member; of anything else the same as `at`."""
        found = self._nearest(pointer)
        return None if found is None else found[0]

    def _nearest(self, pointer: str) -> tuple[Place, Place] | None:
        while pointer not in self._places:
            if not pointer:
                return None
            pointer = pointer.rpartition("/")[0]
        return self._places[pointer]


class Reader(Protocol):
    """UTF-8 text in; rows as `_core.pyi` has them out."""

    def rows(self, text: bytes) -> Iterator[Row]:
        """One row a document, forgotten when the next one is asked for."""

    def load(self, text: bytes) -> list[Row]: ...

    def forms(self, text: bytes, places: Sequence[str]) -> list[FormRow]: ...

    def positions(self, text: bytes, index: int) -> list[Node]: ...


class _Native:
    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def rows(self, text: bytes) -> Iterator[Row]:
        rows: Iterator[Row] = self._module.yaml_load(
            text, max_depth=MAX_DEPTH, max_aliases=MAX_ALIASES, max_scalar=MAX_SCALAR, max_bytes=MAX_BYTES
        )
        return rows

    def load(self, text: bytes) -> list[Row]:
        return list(self.rows(text))

    def forms(self, text: bytes, places: Sequence[str]) -> list[FormRow]:
        rows: list[FormRow] = self._module.yaml_forms(
            text, places, max_depth=MAX_DEPTH, max_aliases=MAX_ALIASES, max_scalar=MAX_SCALAR, max_bytes=MAX_BYTES
        )
        return rows

    def positions(self, text: bytes, index: int) -> list[Node]:
        nodes: list[Node] = self._module.yaml_positions(text, index, max_depth=MAX_DEPTH)
        return nodes


class _Fallback:
    def load(self, text: bytes) -> list[Row]:
        return list(self.rows(text))

    def rows(self, text: bytes) -> Iterator[Row]:
        from roadstead.config.composer import Limits, RefusedError, compose
        from roadstead.config.documents import split

        limits = Limits(MAX_DEPTH, MAX_ALIASES, MAX_SCALAR, MAX_BYTES)
        for index, chunk in enumerate(split(text)):
            refused = chunk.refused()
            try:
                if refused is not None:
                    raise RefusedError(refused[1], *chunk.place(refused[0]))
                json = compose(_events(chunk.text, chunk.line), limits)
            except RefusedError as error:
                yield None, index, chunk.content_line, error.message, error.line, error.column
            else:
                if json is not None:
                    yield json, index, chunk.content_line, None, 0, 0

    def forms(self, text: bytes, places: Sequence[str]) -> list[FormRow]:
        # Every document is its own form: taking names out would take this reader longer than it saves.
        return [(*row, ()) for row in self.load(text)]

    def positions(self, text: bytes, index: int) -> list[Node]:
        from roadstead.config.composer import places
        from roadstead.config.documents import split

        chunks = split(text)
        if index >= len(chunks):
            return []
        chunk = chunks[index]
        refused = chunk.refused()
        return places(_events(chunk.text if refused is None else chunk.text[: refused[0]], chunk.line), MAX_DEPTH)


def _events(text: str, first_line: int) -> Iterator[Event]:
    """PyYAML's events of one document. Without libyaml the parser written in Python does it, some ten times slower."""
    import yaml  # 15 ms, and the native reader does without

    from roadstead.config.composer import Event, RefusedError

    def refused(message: str, mark: yaml.Mark | None) -> RefusedError:
        line, column = (0, 0) if mark is None else (mark.line, mark.column)
        return RefusedError(message, line + first_line, column + 1)

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    scalar = yaml.ScalarEvent
    try:
        while (event := loader.get_event()) is not None:
            mark = event.start_mark
            line, column = mark.line + first_line, mark.column + 1
            if type(event) is scalar:
                tag = event.tag
                tag = None if tag == "!" else tag
                yield Event("scalar", line, column, event.value, event.implicit[0], tag, event.anchor)
            elif isinstance(event, yaml.CollectionStartEvent):
                kind: Kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
                yield Event(kind, line, column, anchor=event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                yield Event("end", line, column)
            elif isinstance(event, yaml.AliasEvent):
                yield Event("alias", line, column, event.anchor or "")
            elif isinstance(event, yaml.DocumentStartEvent):
                yield Event("document", line, column)
            elif isinstance(event, yaml.StreamEndEvent):
                return
    except yaml.MarkedYAMLError as error:
        raise refused(error.problem or error.context or "not YAML", error.problem_mark or error.context_mark) from None
    except yaml.YAMLError as error:
        raise refused(str(error), None) from None
    finally:
        loader.dispose()


@lru_cache(maxsize=4)
def reader(name: str | None = None) -> Reader:
    """A reader by the name of its engine: "native", "fallback", or None for the default engine's.

    The default is the fallback's where the native module is absent. Raises EngineError for another name and ImportError
    for a native reader that is asked for and is absent or broken."""
    wanted = name or core.BACKEND
    if wanted == "fallback":
        return _Fallback()
    if wanted != "native":
        raise EngineError(f"no engine named {wanted!r}: use 'native' or 'fallback'")
    return _Native(core.engine("native"))


def load(text: bytes | str, origin: str = "<string>") -> list[Document]:
    """The documents of a text, in order; a bad one carries its error, the others are read. No text makes it raise."""
    return list(documents(text, origin))


def documents(text: bytes | str, origin: str = "<string>") -> Iterator[Document]:
    """The same one by one; each is forgotten when the next one is asked for."""
    for row in reader().rows(_bytes(text)):
        yield document_of(origin, row)


def document_of(origin: str, row: Row) -> Document:
    """A reader's row as a document."""
    json, index, line, message, at_line, column = row
    error = None if message is None else SyntaxProblem(at_line, column, message)
    return Document(origin, index, line, json, error)


def forms(text: bytes, places: Sequence[str]) -> Iterator[FormRow]:
    """The documents of a text as forms (`_core.yaml_forms`); a reader may leave all names in their places. Each is
    forgotten when the next one is asked for."""
    rows = reader().forms(text, places)
    rows.reverse()
    while rows:
        yield rows.pop()


def positions(text: bytes | str, index: int) -> Positions:
    """Where the fields of one document are written; the text is read again. index: `Document.index`."""
    return Positions(reader().positions(_bytes(text), index))


def _bytes(text: bytes | str) -> bytes:
    # A lone surrogate becomes bytes that are no UTF-8, which the readers refuse with the place.
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


__all__ = [
    "MAX_ALIASES",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_SCALAR",
    "Document",
    "FormRow",
    "Place",
    "Positions",
    "Reader",
    "SyntaxProblem",
    "document_of",
    "documents",
    "forms",
    "load",
    "positions",
    "reader",
]
