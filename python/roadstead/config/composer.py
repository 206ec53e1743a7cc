"""Events of one YAML document → its JSON, or the places of its nodes: as native/yaml/src/{tree,events}.rs do it."""

from __future__ import annotations

from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Literal, NamedTuple, TypeAlias

from roadstead.config.scalars import MERGE, json_of, key_of

Kind = Literal["document", "map", "list", "end", "scalar", "alias"]


class Event(NamedTuple):
    """line, column: 1-based, of the whole text. text: a scalar's, or the anchor an alias names. plain: without quotes,
    or with the tag `!`. tag: the full name, for scalars alone."""

    kind: Kind
    line: int
    column: int
    text: str = ""
    plain: bool = False
    tag: str | None = None
    anchor: str | None = None

    @property
    def nothing(self) -> bool:
        """Nothing is written where a node belongs."""
        return self.kind == "scalar" and not self.text and self.plain and self.tag is None and self.anchor is None


class Limits(NamedTuple):
    depth: int
    aliases: int
    scalar: int
    bytes: int


class RefusedError(Exception):
    """Why a document cannot be read, and where."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


# JSON text, or members by key (as JSON text), or items. Aliases share what they name: a tree is smaller than its JSON.
_Tree: TypeAlias = "str | dict[str, _Tree] | list[_Tree]"


class _Anchor(NamedTuple):
    tree: _Tree
    nodes: int
    height: int
    size: int


class _Frame:
    __slots__ = ("anchor", "height", "key", "members", "merging", "nodes", "size", "sources", "tree")

    def __init__(self, tree: dict[str, _Tree] | list[_Tree], anchor: str | None, nodes: int, size: int) -> None:
        self.tree = tree
        self.members = tree if isinstance(tree, dict) else None
        self.anchor = anchor
        # Counters of the composer when it was opened.
        self.nodes = nodes
        self.size = size
        self.height = 0
        self.key: str | None = None
        self.merging = False
        self.sources: list[dict[str, _Tree]] = []


class _Composer:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._frames: list[_Frame] = []
        # None while the anchored node is open.
        self._anchors: dict[str, _Anchor | None] = {}
        self._nodes = 0
        self._expanded = 0
        self._size = 0
        self.root: _Tree | None = None

    @property
    def depth(self) -> int:
        return len(self._frames)

    def feed(self, event: Event) -> None:
        """One node, or the end of one. Raises ValueError with what is wrong."""
        if event.kind == "scalar":
            self._scalar(event)
        elif event.kind == "end":
            self._close()
        elif event.kind == "alias":
            self._alias(event.text)
        else:
            self._open({} if event.kind == "map" else [], event.anchor)

    def _open(self, tree: dict[str, _Tree] | list[_Tree], anchor: str | None) -> None:
        if self._key_next():
            raise ValueError("a mapping key must be a scalar")
        self._check_depth(1)
        if anchor is not None:
            self._anchors[anchor] = None
        self._frames.append(_Frame(tree, anchor, self._nodes, self._size))
        self._nodes += 1
        self._grow(2)

    def _close(self) -> None:
        frame = self._frames.pop()
        tree = frame.tree
        if isinstance(tree, dict):
            for source in frame.sources:
                for key, value in source.items():
                    tree.setdefault(key, value)
        height = frame.height + 1
        if frame.anchor is not None:
            self._anchors[frame.anchor] = _Anchor(tree, self._nodes - frame.nodes, height, self._size - frame.size)
        self._put(tree, height, alias=False)

    def _scalar(self, event: Event) -> None:
        text = event.text
        if len(text) > self._limits.scalar // 4 and len(text.encode()) > self._limits.scalar:
            raise ValueError(f"a scalar of more than {self._limits.scalar} bytes")
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.key is None and frame.members is not None:
            self._key(event)
            return
        self._nodes += 1
        json = json_of(text, event.plain, event.tag)
        size = (len(json) if json.isascii() else len(json.encode())) + 1
        self._grow(size)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(json, 1, 0, size)
        self._put(json, 0, alias=False)

    def _key(self, event: Event) -> None:
        frame = self._frames[-1]
        if event.text == "<<" and (event.tag == MERGE or (event.plain and event.tag is None)):
            frame.merging = True
            frame.key = ""
            return
        if event.anchor is not None:
            json = json_of(event.text, event.plain, event.tag)
            self._anchors[event.anchor] = _Anchor(json, 1, 0, len(json) + 1)
        self._set_key(encode_basestring(key_of(event.text, event.plain, event.tag)))

    def _set_key(self, key: str) -> None:
        frame = self._frames[-1]
        if key in frame.tree:
            raise ValueError(f"key {key} already set in map")
        frame.key = key
        self._grow(len(key) + 2)

    def _alias(self, name: str) -> None:
        if name not in self._anchors:
            raise ValueError(f"unknown anchor {name!r}")
        anchor = self._anchors[name]
        if anchor is None:
            raise ValueError("an anchor's value contains itself")
        self._expanded += anchor.nodes
        if self._expanded > self._limits.aliases:
            raise ValueError(f"aliases add more than {self._limits.aliases} nodes")
        self._check_depth(anchor.height)
        if self._key_next():
            self._alias_key(anchor.tree)
            return
        self._grow(anchor.size)
        self._nodes += anchor.nodes
        self._put(anchor.tree, anchor.height, alias=True)

    def _alias_key(self, tree: _Tree) -> None:
        if not isinstance(tree, str):
            raise ValueError("a mapping key must be a scalar")
        if tree == "null":
            raise ValueError("a mapping key must not be null")
        self._set_key(tree if tree.startswith('"') else f'"{tree}"')

    def _key_next(self) -> bool:
        return bool(self._frames) and self._frames[-1].key is None and self._frames[-1].members is not None

    def _put(self, tree: _Tree, height: int, *, alias: bool) -> None:
        if not self._frames:
            self.root = tree
            return
        frame = self._frames[-1]
        frame.height = max(frame.height, height)
        if isinstance(frame.tree, list):
            frame.tree.append(tree)
        elif frame.merging:
            frame.sources[:0] = _sources(tree, alias)
            frame.merging = False
        elif frame.key is not None:
            frame.tree[frame.key] = tree
        frame.key = None

    def _check_depth(self, height: int) -> None:
        if len(self._frames) + height > self._limits.depth:
            raise ValueError(f"nested deeper than {self._limits.depth} levels")

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.bytes:
            raise ValueError(f"a document of more than {self._limits.bytes} bytes of JSON")


def _sources(tree: _Tree, alias: bool) -> list[dict[str, _Tree]]:
    """The mappings of a `<<` value, the strongest first."""
    found = [tree] if isinstance(tree, dict) else tree if isinstance(tree, list) and not alias else [""]
    sources = [one for one in found if isinstance(one, dict)]
    if len(sources) < len(found):
        raise ValueError("map merge requires map or sequence of maps as the value")
    return sources


def _write(tree: _Tree, out: list[str]) -> None:
    if isinstance(tree, str):
        out.append(tree)
    elif isinstance(tree, dict):
        before = "{"
        for key, value in tree.items():
            out.append(before + key + ":")
            _write(value, out)
            before = ","
        out.append("}" if tree else "{}")
    else:
        before = "["
        for item in tree:
            out.append(before)
            _write(item, out)
            before = ","
        out.append("]" if tree else "[]")


def compose(events: Iterable[Event], limits: Limits) -> bytes | None:
    """The document's JSON; None if there is nothing in it. Raises RefusedError."""
    composer = _Composer(limits)
    documents = 0
    empty = False
    for event in events:
        try:
            if event.kind == "document":
                documents += 1
                if documents > 1:
                    raise ValueError("content after the end of the document")
            elif composer.depth or not event.nothing:
                composer.feed(event)
            else:
                empty = True
        except ValueError as error:
            raise RefusedError(str(error), event.line, event.column) from None
    if composer.root is None or empty:
        return None
    out: list[str] = []
    _write(composer.root, out)
    return "".join(out).encode()


class _Level:
    __slots__ = ("item", "key", "mapping", "pointer")

    def __init__(self, pointer: str, *, mapping: bool) -> None:
        self.mapping = mapping
        self.pointer = pointer
        self.item = 0
        # The key whose value comes next: its pointer and its place.
        self.key: tuple[str, int, int] | None = None


class _Index:
    def __init__(self) -> None:
        self.nodes: list[tuple[str, int, int, int, int]] = []
        self.levels: list[_Level] = []

    def feed(self, event: Event) -> None:
        if event.kind == "end":
            self.levels.pop()
        elif event.kind in ("map", "list"):
            self.levels.append(_Level(self._node(event), mapping=event.kind == "map"))
        elif self.key_next:
            self._key(_key_text(event), event.line, event.column)
        else:
            self._node(event)

    @property
    def key_next(self) -> bool:
        return bool(self.levels) and self.levels[-1].mapping and self.levels[-1].key is None

    def _key(self, text: str, line: int, column: int) -> None:
        level = self.levels[-1]
        level.key = (f"{level.pointer}/{text.replace('~', '~0').replace('/', '~1')}", line, column)

    def _node(self, event: Event) -> str:
        """Note the node that starts here; gives its pointer."""
        line, column = event.line, event.column
        pointer, key_line, key_column = "", line, column
        if self.levels:
            level = self.levels[-1]
            if level.key is not None:
                pointer, key_line, key_column = level.key
                level.key = None
                if event.nothing:
                    line, column = key_line, key_column
            else:
                pointer = f"{level.pointer}/{level.item}"
                level.item += 1
        self.nodes.append((pointer, key_line, key_column, line, column))
        return pointer


def _key_text(event: Event) -> str:
    try:
        return key_of(event.text, event.plain, event.tag) if event.kind == "scalar" else ""
    except ValueError:
        return event.text


def places(events: Iterable[Event], max_depth: int) -> list[tuple[str, int, int, int, int]]:
    """(pointer, line and column of the key, line and column of the value) of each node before the end or an error."""
    index = _Index()
    documents = 0
    try:
        for event in events:
            if event.kind != "document":
                if index.key_next and event.kind in ("map", "list"):
                    break
                index.feed(event)
                if len(index.levels) > max_depth:
                    break
            elif documents:
                break
            else:
                documents = 1
    except RefusedError:
        pass
    return index.nodes


__all__ = ["Event", "Limits", "RefusedError", "compose", "places"]
