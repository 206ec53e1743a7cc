"""Envoy's hash tables written out once more, word for word from the specification, for the tests to compare with."""

from __future__ import annotations

import math
from bisect import bisect_left

from roadstead._fallback.xxh64 import xxh64

Host = tuple[str, float]
"""Key text and weight."""


def ring(hosts: list[Host], minimum: int = 1024, maximum: int = 8 * 1024 * 1024) -> list[tuple[int, int]]:
    """(hash, position of the host), in order of the hash."""
    total = sum(weight for _, weight in hosts)
    normalised = [weight / total for _, weight in hosts]
    least = min(normalised)
    scale = min(math.ceil(least * minimum) / least, maximum)
    current = target = 0.0
    points = []
    for position, (key, _) in enumerate(hosts):
        target += scale * normalised[position]
        i = 0
        while current < target:
            points.append((xxh64(f"{key}_{i}".encode()), position))
            i += 1
            current += 1
    return sorted(points)


def on_ring(points: list[tuple[int, int]], number: int) -> int:
    at = bisect_left(points, (number, 0))
    return points[at % len(points)][1]


def maglev(hosts: list[Host], size: int = 65537) -> list[int]:
    """The table: positions of hosts."""
    total = sum(weight for _, weight in hosts)
    entries = sorted((key.encode(), weight / total, position) for position, (key, weight) in enumerate(hosts))
    heaviest = max(weight for _, weight, _ in entries)
    table = [-1] * size
    offsets = [xxh64(key) % size for key, _, _ in entries]
    skips = [xxh64(key, 1) % (size - 1) + 1 for key, _, _ in entries]
    following, targets = [0] * len(entries), [0.0] * len(entries)
    placed, iteration = 0, 0
    while placed < size:
        iteration += 1
        for row, (_, weight, position) in enumerate(entries):
            if placed == size or iteration * weight < targets[row]:
                continue
            targets[row] += heaviest
            while table[at := (offsets[row] + skips[row] * following[row]) % size] >= 0:
                following[row] += 1
            table[at] = position
            following[row] += 1
            placed += 1
    return table
