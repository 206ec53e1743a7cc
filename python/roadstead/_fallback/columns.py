"""Columns for many look-ups at once: strings prepared once, numbers as buffers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, final

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
        return self

    def __len__(self) -> int:
        return len(self._values)


def hosts_of(column: HostColumn, count: int | None = None) -> tuple[str, ...]:
    """The strings of a column; ValueError where there are not as many as there are rows."""
    values = column._values
    if count is not None and len(values) != count:
        raise ValueError(f"{count} rows need as many strings, not {len(values)}")
    return values


def uint16s(buffer: Buffer, count: int) -> memoryview[int]:
    return _numbers(buffer, "H", count)


def int32s(buffer: Buffer, count: int) -> memoryview[int]:
    """A buffer that is written to."""
    view = _numbers(buffer, "i", count)
    if view.readonly:
        raise ValueError("the buffer for results is read-only")
    return view


def uint64s(buffer: Buffer, count: int) -> memoryview[int]:
    return _numbers(buffer, "Q", count)


_ALIASES = {"l": "i", "L": "Q", "=H": "H", "<H": "H", "=i": "i", "<i": "i", "=Q": "Q", "<Q": "Q"}


def _numbers(buffer: Buffer, kind: Kind, count: int) -> memoryview[int]:
    """A flat view of `count` numbers; raw bytes count as numbers."""
    view = memoryview(buffer)
    sizes = {"H": 2, "i": 4, "Q": 8}
    if view.format not in (kind, "B", "b", "c") and not _same(view, kind, sizes[kind]):
        raise TypeError(f"a buffer of {kind!r} is needed, not of {view.format!r}")
    if view.nbytes != count * sizes[kind]:
        raise ValueError(f"{count} rows need {count * sizes[kind]} bytes, not {view.nbytes}")
    return view.cast("B").cast(kind)


def _same(view: memoryview[int], kind: str, size: int) -> bool:
    return view.itemsize == size and _ALIASES.get(view.format, view.format) == kind
