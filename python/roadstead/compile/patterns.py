"""A table of host names and wildcards that answers overlap questions without looking at every name.

Registry.md 3.1 and 3.2: a name is a wildcard if it starts with `*`; the rest is a plain text suffix, without label
boundaries. Names are compared as they are given; callers fold the case where Istio does.

| question                    | answered from                                                    |
|-----------------------------|------------------------------------------------------------------|
| this very name              | a dict                                                           |
| wildcards over a name       | the lengths of wildcards that exist: one dict look-up a length   |
| names under a wildcard      | a sorted list of reversed names, made on the first such question |
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

V = TypeVar("V")

# Sorts behind every text with a given start.
_END = "\U0010ffff"


def is_wild(name: str) -> bool:
    """Whether a host is a pattern."""
    return name.startswith("*")


class HostTable(Generic[V]):
    """Values by host name or wildcard."""

    __slots__ = ("_lengths", "_reversed", "_values", "_wild_reversed")

    def __init__(self) -> None:
        self._values: dict[str, V] = {}
        # Length of a wildcard's suffix -> how many wildcards have it.
        self._lengths: dict[int, int] = {}
        self._reversed: list[str] | None = None
        self._wild_reversed: list[str] | None = None

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, host: str) -> bool:
        return host in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, host: str) -> V | None:
        """The value of that very text."""
        return self._values.get(host)

    def put(self, host: str, value: V) -> None:
        """Add or replace."""
        if host not in self._values:
            if is_wild(host):
                length = len(host) - 1
                self._lengths[length] = self._lengths.get(length, 0) + 1
                if self._wild_reversed is not None:
                    insort(self._wild_reversed, host[:0:-1])
            elif self._reversed is not None:
                insort(self._reversed, host[::-1])
        self._values[host] = value

    def pop(self, host: str) -> V | None:
        """Remove; what was there."""
        value = self._values.pop(host, None)
        if value is None:
            return None
        if is_wild(host):
            length = len(host) - 1
            self._lengths[length] -= 1
            if not self._lengths[length]:
                del self._lengths[length]
            _drop(self._wild_reversed, host[:0:-1])
        else:
            _drop(self._reversed, host[::-1])
        return value

    def above(self, host: str) -> list[str]:
        """Wildcards that contain `host` (a name or a wildcard; itself too if it is one), most specific first."""
        if not self._lengths:
            return []
        text = host[1:] if is_wild(host) else host
        found = []
        for length in sorted(self._lengths, reverse=True):
            if length <= len(text):
                pattern = "*" + text[len(text) - length :]
                if pattern in self._values:
                    found.append(pattern)
        return found

    def below(self, pattern: str) -> list[str]:
        """Names and wildcards that a wildcard contains, without itself; any order."""
        suffix = pattern[:0:-1]
        if self._reversed is None:
            self._reversed = sorted([host[::-1] for host in self._values if not is_wild(host)])
        if self._wild_reversed is None:
            self._wild_reversed = sorted([host[:0:-1] for host in self._values if is_wild(host)])
        found = [text[::-1] for text in _starting(self._reversed, suffix)]
        found += ["*" + text[::-1] for text in _starting(self._wild_reversed, suffix) if text != suffix]
        return found

    def overlapping(self, host: str) -> list[str]:
        """Every entry that shares a name with `host`; any order, each once."""
        found = self.above(host)
        if is_wild(host):
            return found + self.below(host)
        return [host, *found] if host in self._values else found

    def best(self, host: str) -> Iterator[str]:
        """Entries that contain `host`, most specific first: itself, then wildcards."""
        if not is_wild(host) and host in self._values:
            yield host
        if self._lengths:
            yield from self.above(host)


def _starting(texts: list[str], start: str) -> list[str]:
    return texts[bisect_left(texts, start) : bisect_left(texts, start + _END)]


def _drop(texts: list[str] | None, text: str) -> None:
    if texts is not None:
        del texts[bisect_left(texts, text)]
