"""The tree of an RE2 pattern as a pattern of Python's `re` over bytes, if that cannot run away.

RE2 runs in time linear in the text; `re` goes back and tries again, and a loop whose turns can be cut in several ways
then takes exponential time. So a loop is accepted only when it is deterministic: after each byte, the next byte alone
says which part of the body comes next and whether a new turn begins.
"""

from __future__ import annotations

from collections.abc import Set

from roadstead.regex_syntax import Chars, Concat, Either, Group, Look, Node, RegexSyntaxError, Repeat

_MULTI_LINE = {"^": b"(?m:^)", "$": b"(?m:$)"}
# `\B` of `re` does not match the empty text, RE2's does.
_FOR_RE = {"\\A": rb"\A", "\\Z": rb"\Z", "\\b": rb"\b", "\\B": rb"(?!\b)", "none": b"(?!)"} | _MULTI_LINE
_FOR_RE2 = {"\\A": rb"\A", "\\Z": rb"\z", "\\b": rb"\b", "\\B": rb"\B", "none": rb"[^\x00-\xff]"} | _MULTI_LINE


def for_re(node: Node) -> bytes:
    """The pattern for Python's `re`."""
    return _emit(node, _FOR_RE)


def for_re2(node: Node) -> bytes:
    """The pattern for RE2 over Latin-1, spelled without flags, so that case folds as ASCII."""
    return _emit(node, _FOR_RE2)


def _emit(node: Node, spelling: dict[str, bytes]) -> bytes:
    if isinstance(node, Chars):
        return _chars(node.set) or spelling["none"]
    if isinstance(node, Look):
        return spelling[node.kind]
    if isinstance(node, Group):
        return b"(" + _emit(node.body, spelling) + b")"
    if isinstance(node, Concat):
        return b"".join([_emit(item, spelling) for item in node.items])
    if isinstance(node, Either):
        return b"(?:" + b"|".join([_emit(choice, spelling) for choice in node.choices]) + b")"
    high = b"" if node.high is None else b"%d" % node.high
    return b"(?:%s){%d,%s}%s" % (_emit(node.body, spelling), node.low, high, b"" if node.greedy else b"?")


def _chars(chars: int) -> bytes:
    """A class of bytes; empty where no byte is in it."""
    if not chars:
        return b""
    if chars.bit_count() == 1:
        return b"\\x%02x" % (chars.bit_length() - 1)
    ranges, low = [], 0
    while low < 256:
        if not chars >> low & 1:
            low += 1
            continue
        high = low
        while chars >> high + 1 & 1:
            high += 1
        ranges.append(b"\\x%02x-\\x%02x" % (low, high))
        low = high + 1
    return b"[" + b"".join(ranges) + b"]"


class _Part:
    """Glushkov's view of a tree: which positions come first and last, and whether it can be empty."""

    __slots__ = ("first", "last", "nullable")

    def __init__(self, first: frozenset[int], last: frozenset[int], nullable: bool) -> None:
        self.first, self.last, self.nullable = first, last, nullable


_NOTHING: frozenset[int] = frozenset()


class RunawayCheck:
    """Raises RegexSyntaxError for a loop that `re` could take exponential time on."""

    def __init__(self) -> None:
        self._sets: list[int] = []
        self._follow: list[set[int]] = []

    def run(self, node: Node) -> None:
        self._visit(node)

    def _visit(self, node: Node) -> _Part:
        if isinstance(node, Chars):
            self._sets.append(node.set)
            self._follow.append(set())
            one = frozenset((len(self._sets) - 1,))
            return _Part(one, one, False)
        if isinstance(node, Look):
            return _Part(_NOTHING, _NOTHING, True)
        if isinstance(node, Group):
            return self._visit(node.body)
        if isinstance(node, Concat):
            return self._concat(node)
        if isinstance(node, Either):
            parts = [self._visit(choice) for choice in node.choices]
            return _Part(
                frozenset().union(*[part.first for part in parts]),
                frozenset().union(*[part.last for part in parts]),
                any(part.nullable for part in parts),
            )
        return self._loop(node)

    def _concat(self, node: Concat) -> _Part:
        whole = _Part(_NOTHING, _NOTHING, True)
        for item in node.items:
            part = self._visit(item)
            for position in whole.last:
                self._follow[position] |= part.first
            whole = _Part(
                whole.first | part.first if whole.nullable else whole.first,
                whole.last | part.last if part.nullable else part.last,
                whole.nullable and part.nullable,
            )
        return whole

    def _loop(self, node: Repeat) -> _Part:
        start = len(self._sets)
        part = self._visit(node.body)
        part = _Part(part.first, part.last, part.nullable or node.low == 0)
        if node.high is not None and node.high <= 1:
            return part
        if len(self._sets) > start + 1 or isinstance(_bare(node.body), Repeat):
            self._require_deterministic(node, part, start)
        for position in part.last:
            self._follow[position] |= part.first
        return part

    def _require_deterministic(self, node: Repeat, part: _Part, start: int) -> None:
        body_empty = _nullable(node.body)
        choices: list[Set[int]] = [part.first, *self._follow[start:]]
        clear = all(self._disjoint(options) for options in choices)
        # Where a turn may end, going on inside it and beginning the next one must differ in the first byte.
        turns = all(
            not self._sets[inside] & self._sets[again]
            for position in part.last
            for inside in self._follow[position]
            for again in part.first
        )
        if body_empty or not clear or not turns:
            raise RegexSyntaxError(
                "a repetition inside a repetition can be cut in several ways and could run away; "
                "write it without the nesting, or install google-re2, which takes it"
            )

    def _disjoint(self, positions: Set[int]) -> bool:
        seen = 0
        for position in positions:
            if seen & self._sets[position]:
                return False
            seen |= self._sets[position]
        return True


def _bare(node: Node) -> Node:
    while isinstance(node, Group) or (isinstance(node, Concat) and len(node.items) == 1):
        node = node.body if isinstance(node, Group) else node.items[0]
    return node


def _nullable(node: Node) -> bool:
    if isinstance(node, Chars):
        return False
    if isinstance(node, Look):
        return True
    if isinstance(node, Group):
        return _nullable(node.body)
    if isinstance(node, Concat):
        return all(map(_nullable, node.items))
    if isinstance(node, Either):
        return any(map(_nullable, node.choices))
    return node.low == 0 or _nullable(node.body)
