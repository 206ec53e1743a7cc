"""The services of a port, read only as far as they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from roadstead.compile.inputs import HostView


class OnPort(Sequence[HostView]):
    """What `read` yields for a port, read anew each time."""

    def __init__(self, read: Callable[[int], Iterator[HostView]], port: int) -> None:
        self._read = read
        self._port = port

    def __iter__(self) -> Iterator[HostView]:
        return self._read(self._port)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, at: int) -> HostView: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[HostView]: ...
    def __getitem__(self, at: int | slice) -> HostView | Sequence[HostView]:
        return list(self)[at]
