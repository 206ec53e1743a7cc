"""Requests that are over, counted by what they have in common."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, final

from roadstead.errors import EngineError
from roadstead.steps import Done, Respond

if TYPE_CHECKING:
    from roadstead._fallback.decision import Decision
    from roadstead._fallback.exchange import Exchange

Describe: TypeAlias = "Callable[[Decision, str], object]"
# (about, status, flags, gRPC, gRPC status, count, sums, buckets) of a class.
TallyRow: TypeAlias = tuple[
    object, int, str, bool, int, int,
    tuple[float, float, float], tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
]  # fmt: skip
_NANOSECONDS = 1e6
# Classes that are told apart by their authority: names that clients make up must not fill the memory.
_MOST = 4096


class _Class(NamedTuple):
    cluster: str
    kind: str
    authority: str
    status: int
    flags: str
    grpc: bool
    grpc_status: int


class _Cell:
    def __init__(self, about: object, buckets: int) -> None:
        self.about = about
        self.count = 0
        self.sums = [0.0, 0.0, 0.0]
        self.buckets = [[0] * buckets for _ in range(3)]


@final
class Tally:
    """Counts requests by class, what a class is about being made once."""

    __slots__ = ("__weakref__", "_bounds", "_cells", "_describe", "_lock")

    def __init__(self, describe: Describe, bounds: Sequence[float]) -> None:
        self._describe = describe
        self._bounds = list(bounds)
        self._cells: dict[_Class, _Cell] = {}
        self._lock = threading.Lock()

    def count(self, exchange: Exchange, request_bytes: int = 0, response_bytes: int = 0, grpc_status: int = -1) -> None:
        """Count an exchange that is over."""
        step = exchange.step
        if not isinstance(step, Done | Respond):
            raise EngineError("count: the exchange is not over")
        self.add(
            exchange.decision,
            step.status,
            exchange.flags,
            nanoseconds=exchange._last - exchange._begun_at,
            request_bytes=request_bytes,
            response_bytes=response_bytes,
            grpc=exchange._steering.grpc,
            grpc_status=grpc_status,
        )

    def add(
        self,
        decision: Decision,
        status: int,
        flags: str = "",
        *,
        nanoseconds: int,
        request_bytes: int = 0,
        response_bytes: int = 0,
        grpc: bool = False,
        grpc_status: int = -1,
    ) -> None:
        """Count a request that was carried out in another way."""
        cluster = decision.cluster_name
        authority = "" if cluster.startswith("outbound|") else decision.authority
        key = _Class(cluster, decision.kind, authority, status, flags, grpc, grpc_status)
        cell = self._cells.get(key) or self._new(key, decision)
        numbers = (nanoseconds / _NANOSECONDS, request_bytes, response_bytes)
        with self._lock:
            cell.count += 1
            for at, value in enumerate(numbers):
                cell.sums[at] += value
                cell.buckets[at][bisect_left(self._bounds, value)] += 1

    def _new(self, key: _Class, decision: Decision) -> _Cell:
        if len(self._cells) >= _MOST:
            key = key._replace(authority="")
        known = self._cells.get(key)
        if known is None:
            made = _Cell(self._describe(decision, key.authority), len(self._bounds) + 1)
            known = self._cells.setdefault(key, made)
        return known

    def read(self) -> list[TallyRow]:
        """A row for each class."""
        with self._lock:
            return [_row(key, cell) for key, cell in self._cells.items()]


def _row(key: _Class, cell: _Cell) -> TallyRow:
    first, second, third = cell.buckets
    milliseconds, sent, received = cell.sums
    return (
        cell.about,
        key.status,
        key.flags,
        key.grpc,
        key.grpc_status,
        cell.count,
        (milliseconds, sent, received),
        (tuple(first), tuple(second), tuple(third)),
    )
