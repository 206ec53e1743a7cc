"""Columns for many look-ups at once: strings prepared once, numbers as buffers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, final

from roadstead._fallback.matching import as_bytes
from roadstead.errors import EngineError

if TYPE_CHECKING:
    from typing_extensions import Buffer

Kind: TypeAlias = Literal["H", "i", "Q"]


@final
class HostColumn:
    """Strings prepared once for `find_many` and `route_many` (hosts, or paths)."""

    __slots__ = ("_values",)

    _values: tuple[str, ...]

    def __new__(cls, values: Iterable[str]) -> Self:
        self = super().__new__(cls)
        self._values = tuple(values)
        for value in self._values:
            if not isinstance(value, str):
                raise TypeError(f"a column holds strings, not {type(value).__name__}")
            as_bytes(value)
        return self

    def __len__(self) -> int:
        return len(self._values)


def hosts_of(column: HostColumn, count: int | None = None) -> tuple[str, ...]:
    """The strings of a column; EngineError where there are not as many as there are rows."""
    values = column._values
    if count is not None and len(values) != count:
        raise EngineError(f"{count} rows need as many strings, not {len(values)}")
    return values


def uint16s(buffer: Buffer, count: int) -> memoryview[int]:
    return _numbers(buffer, "H", count)


def int32s(buffer: Buffer, count: int) -> memoryview[int]:
    """A buffer that is written to."""
    view = _numbers(buffer, "i", count)
    if view.readonly:
        raise EngineError("the buffer for results is read-only")
    return view


def uint64s(buffer: Buffer, count: int) -> memoryview[int]:
    return _numbers(buffer, "Q", count)


# What numbers of a kind are called: (formats, size in bytes). `l` and `L` are as long as the platform says.
_FORMATS: dict[Kind, tuple[str, int]] = {"H": ("H", 2), "i": ("il", 4), "Q": ("QL", 8)}


def _numbers(buffer: Buffer, kind: Kind, count: int) -> memoryview[int]:
    """A flat view of `count` numbers."""
    view = memoryview(buffer)
    formats, size = _FORMATS[kind]
    if view.format.lstrip("@=<") not in formats or view.itemsize != size or view.ndim != 1 or not view.c_contiguous:
        raise EngineError(f"a flat buffer of {kind!r} is needed, not {view.ndim} dimensions of {view.format!r}")
    if len(view) != count:
        raise EngineError(f"{count} rows need {count} numbers, not {len(view)}")
    return view.cast("B").cast(kind)
