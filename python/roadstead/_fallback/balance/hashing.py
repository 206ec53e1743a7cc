"""Ring hash and Maglev tables (Envoy: ring_hash_lb.cc, maglev_lb.cc), built as Envoy builds them, doubles included."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

from roadstead._fallback.rng import MASK
from roadstead._fallback.xxh64 import xxh64
from roadstead.errors import EngineError

MAX_TABLE = 5_000_011
MAX_RING = 8 * 1024 * 1024


class Member(NamedTuple):
    """A host of a table: host (index of the endpoint), text that is hashed, weight normalised over the table."""

    host: int
    key: str
    weight: float


class Ring:
    __slots__ = ("_hashes", "_owners")

    def __init__(self, members: list[Member], minimum: int, maximum: int) -> None:
        points: list[tuple[int, int]] = []
        if members:
            least = min(member.weight for member in members)
            scale = min(math.ceil(least * minimum) / least, float(maximum))
            current, target = 0.0, 0.0
            for member in members:
                target += scale * member.weight
                number = 0
                while current < target:
                    points.append((xxh64(f"{member.key}_{number}".encode()), member.host))
                    number += 1
                    current += 1.0
            # Equal hashes keep the order of the hosts: only the hash is compared.
            points.sort(key=lambda point: point[0])
        self._hashes = [point[0] for point in points]
        self._owners = [point[1] for point in points]

    def choose(self, number: int, attempt: int) -> int:
        """Index of the endpoint; -1 for an empty ring. Attempt k stands k points further."""
        if not self._owners:
            return -1
        at = bisect_left(self._hashes, number)
        return self._owners[((0 if at == len(self._owners) else at) + attempt) % len(self._owners)]

    def counts(self) -> dict[int, int]:
        """How many entries each endpoint has."""
        return _counts(self._owners)


class Maglev:
    __slots__ = ("_table",)

    def __init__(self, members: list[Member], size: int) -> None:
        self._table = _fill(sorted(members, key=lambda member: member.key.encode()), size) if members else []

    def choose(self, number: int, attempt: int) -> int:
        """Index of the endpoint; -1 for an empty table."""
        if not self._table:
            return -1
        if attempt:
            number ^= (MASK - attempt + 1) & MASK
        return self._table[number % len(self._table)]

    def counts(self) -> dict[int, int]:
        return _counts(self._table)


class _Row:
    __slots__ = ("at", "index", "skip", "target", "weight")

    def __init__(self, member: Member, size: int) -> None:
        key = member.key.encode()
        self.index = member.host
        self.weight = member.weight
        self.at = xxh64(key) % size
        self.skip = xxh64(key, 1) % (size - 1) + 1
        self.target = 0.0


def _fill(members: list[Member], size: int) -> list[int]:
    heaviest = max(member.weight for member in members)
    rows = [_Row(member, size) for member in members]
    table = [-1] * size
    placed, turn = 0, 0
    while placed < size:
        turn += 1
        for row in rows:
            if placed == size:
                break
            if turn * row.weight < row.target:
                continue
            row.target += heaviest
            while table[row.at] >= 0:
                row.at = (row.at + row.skip) % size
            table[row.at] = row.index
            row.at = (row.at + row.skip) % size
            placed += 1
    return table


def _counts(owners: list[int]) -> dict[int, int]:
    made: dict[int, int] = {}
    for owner in owners:
        made[owner] = made.get(owner, 0) + 1
    return made


def check_sizes(ring_min: int, ring_max: int, table_size: int) -> None:
    """EngineError for sizes Envoy refuses."""
    if ring_min > ring_max or ring_max > MAX_RING:
        raise EngineError(f"ring sizes {ring_min} (least), {ring_max} (most) must be in order and at most {MAX_RING}")
    if table_size > MAX_TABLE or not _is_prime(table_size):
        raise EngineError(f"Maglev table size {table_size} must be prime and at most {MAX_TABLE}")


def _is_prime(number: int) -> bool:
    if number < 2:
        return False
    return all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
