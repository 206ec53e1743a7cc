"""SplitMix64: the one generator, so that both engines draw alike."""

from __future__ import annotations

import os

MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    """SplitMix64's output function: a permutation of u64."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


class SplitMix64:
    """A stream of u64 from one state."""

    __slots__ = ("state",)

    def __init__(self, state: int) -> None:
        self.state = state & MASK

    def next(self) -> int:
        self.state = (self.state + GOLDEN) & MASK
        return mix(self.state)


def entropy() -> int:
    """A u64 of the system's randomness."""
    return int.from_bytes(os.urandom(8), "little")
