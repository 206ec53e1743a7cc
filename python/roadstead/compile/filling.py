"""Values that differ in names only, made from one of them.

Somebody makes a value of blanks instead of names, `filling` finds where they went, and fills in others. A blank is a
text that is treated as a name of its kind is, and that nothing else contains.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar, cast

import msgspec

T = TypeVar("T")
Names: TypeAlias = Sequence[str]

MOST_BLANKS = 100
_ADDRESS = "255.254.253."
_BLANK = re.compile(r"\x01(\d+)\.?\x02|255\.254\.253\.1(\d\d)")


def blank(kind: str, index: int) -> str:
    """What stands for a name. kind: "n" a label, "h" a host, "4" an IPv4 address. index: below MOST_BLANKS."""
    if kind == "4":
        return f"{_ADDRESS}1{index:02d}"
    # A host has a dot, or it would be taken for a short name.
    return f"\x01{index}.\x02" if kind == "h" else f"\x01{index}\x02"


def escaped(text: str) -> str:
    """A blank as it stands in JSON."""
    return text.replace("\x01", "\\u0001").replace("\x02", "\\u0002")


def could_be_blank(text: bytes) -> bool:
    """Whether a text contains what blanks are known by."""
    return _ADDRESS.encode() in text


def filling(value: T) -> Callable[[Names], T]:
    """Makes the value with names in the place of the blanks. What has no blank in it is the same object each time, and
    what is one object in the value is one in what is made. ValueError where a name was taken apart."""
    source = _Source(value)
    text = source.of(value)
    # One expression for all: walking the value again for each of thousands of hosts takes several times as long.
    return cast("Callable[[Names], T]", eval(f"lambda names: {text or source.constant(value)}", source.constants))


class _Source:
    """Writes the expression that makes one value. Objects are known by identity: the value outlives this. constants: by
    name, what the expression reads beside `names`."""

    def __init__(self, value: object) -> None:
        self.constants: dict[str, object] = {"new": tuple.__new__, "frozenset": frozenset}
        self._uses: Counter[int] = Counter()
        self._count(value)
        self._known: dict[int, str] = {}

    def _count(self, value: object) -> None:
        if isinstance(value, str | int | float | bytes) or value is None:
            return
        self._uses[id(value)] += 1
        if self._uses[id(value)] == 1:
            for part in _parts(value):
                self._count(part)

    def constant(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def of(self, value: object) -> str:
        """The expression for a value; "" where there is nothing to fill in."""
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int | float | bytes) or value is None:
            return ""
        key = id(value)
        if key not in self._known:
            made = self._collection(value)
            if made and self._uses[key] > 1:
                # Its first use gives it a name, which the others read: expressions run from left to right.
                name = self._known[key] = f"s{len(self._known)}"
                return f"({name} := {made})"
            self._known[key] = made
        return self._known[key]

    def _collection(self, value: object) -> str:
        parts = _parts(value)
        texts = [self.of(part) for part in parts]
        if not any(texts):
            return ""
        texts = [text or self.constant(part) for part, text in zip(parts, texts, strict=True)]
        items = "".join([f"{text}," for text in texts])
        if isinstance(value, dict):
            return f"{{{''.join([f'{key}: {item},' for key, item in zip(texts[::2], texts[1::2], strict=True)])}}}"
        if isinstance(value, frozenset):
            return f"frozenset(({items}))"
        if type(value) is tuple:
            return f"({items})"
        made = self.constant(type(value))
        if isinstance(value, tuple):
            return f"new({made}, ({items}))"
        assert isinstance(value, msgspec.Struct)
        names = value.__struct_fields__
        if type(value).__match_args__ == names:
            return f"{made}({items})"
        return f"{made}({''.join([f'{name}={text},' for name, text in zip(names, texts, strict=True)])})"


def _parts(value: object) -> list[object]:
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, tuple | frozenset):
        return list(value)
    raise TypeError(f"no filling for {type(value).__name__}")


def _text(text: str) -> str:
    pieces = _BLANK.split(text)
    # Of the two groups one has the index.
    literals, indices = pieces[::3], [int(one or other) for one, other in zip(pieces[1::3], pieces[2::3], strict=True)]
    if any("\x01" in literal or "\x02" in literal or _ADDRESS in literal for literal in literals):
        raise ValueError(f"a name was taken apart: {text!r}")
    if not indices:
        return ""
    made = [repr(literals[0])] if literals[0] else []
    for index, literal in zip(indices, literals[1:], strict=True):
        made += [f"names[{index}]", repr(literal)] if literal else [f"names[{index}]"]
    return f"({' + '.join(made)})" if len(made) > 1 else made[0]


__all__ = ["MOST_BLANKS", "Names", "blank", "could_be_blank", "escaped", "filling"]
