"""Names and addresses: how a host text is normalised, and tables that share what a change does not touch."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import lru_cache
from typing import Generic, TypeAlias, TypeVar

from roadstead._fallback.matching import fold
from roadstead._fallback.rewrite import port_start
from roadstead.errors import EngineError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
K = TypeVar("K")
V = TypeVar("V")

SHARDS = 1024
_MASK = SHARDS - 1
PAGE = 256


def normal_host(text: str, *, keep_dot: bool = False) -> str:
    """Lower case (ASCII), without port, without one trailing dot. IPv6 without brackets is left whole."""
    if text.count(":") > 1 and not text.startswith("[") and ip_of(text) is not None:
        return fold(text)
    end = port_start(text)
    if end >= 0:
        text = text[:end]
    if text.endswith(".") and not keep_dot:
        text = text[:-1]
    return fold(text)


def port_of(number: int) -> int:
    """The port as it is; OverflowError where it is none."""
    if not 0 <= number <= 0xFFFF:
        raise OverflowError(f"a port is from 0 to 65535, not {number}")
    return number


@lru_cache(maxsize=4096)
def ip_of(text: str) -> Address | None:
    """The address a text is, brackets of IPv6 allowed; None for names."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    # A name never starts like this and ends like this; the parser of ipaddress is slow for names.
    if not text or (":" not in text and not text[-1].isdigit()) or "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def network_of(text: str) -> tuple[int, int, int]:
    """(version, prefix length, network bits) of "10.0.0.0/8"; host bits are masked. EngineError for other text."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise EngineError(f"{text!r} is not a CIDR: {error}") from None
    shift = network.max_prefixlen - network.prefixlen
    return network.version, network.prefixlen, int(network.network_address) >> shift


def network_text(network: tuple[int, int, int]) -> str:
    """The CIDR text of (version, prefix length, network bits)."""
    version, length, bits = network
    size = 32 if version == 4 else 128
    address = (ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address)(bits << (size - length))
    return f"{address}/{length}"


def masked(address: Address, length: int) -> int:
    """The first `length` bits of an address."""
    return int(address) >> (address.max_prefixlen - length)


class Sharded(Generic[K, V]):
    """A dictionary in shards: a changed copy shares all shards it does not touch."""

    __slots__ = ("_own", "shards")

    def __init__(self) -> None:
        self.shards: list[dict[K, V]] = [{}] * SHARDS
        self._own: set[int] = set()

    def copy(self) -> Sharded[K, V]:
        made: Sharded[K, V] = Sharded.__new__(Sharded)
        made.shards = self.shards.copy()
        made._own = set()
        return made

    def get(self, key: K) -> V | None:
        return self.shards[hash(key) & _MASK].get(key)

    def __setitem__(self, key: K, value: V) -> None:
        self._writable(key)[key] = value

    def __delitem__(self, key: K) -> None:
        del self._writable(key)[key]

    def __iter__(self) -> Iterator[K]:
        for shard in self.shards:
            yield from shard

    def values(self) -> Iterator[V]:
        for shard in self.shards:
            yield from shard.values()

    def _writable(self, key: K) -> dict[K, V]:
        at = hash(key) & _MASK
        if at not in self._own:
            self._own.add(at)
            self.shards[at] = self.shards[at].copy()
        return self.shards[at]


class Paged(Generic[V]):
    """A list with holes in pages, shared like `Sharded`; freed positions are given out again."""

    __slots__ = ("_free", "_own", "length", "pages")

    def __init__(self) -> None:
        self.pages: list[list[V | None]] = []
        self.length = 0
        self._free: list[int] = []
        self._own: set[int] = set()

    def copy(self) -> Paged[V]:
        made: Paged[V] = Paged()
        made.pages = self.pages.copy()
        made.length = self.length
        made._free = self._free.copy()
        return made

    def add(self, value: V) -> int:
        """The position given to the value."""
        if self._free:
            at = self._free.pop()
        else:
            at = self.length
            self.length += 1
            if at % PAGE == 0:
                self.pages.append([None] * PAGE)
                self._own.add(at // PAGE)
        self._page(at)[at % PAGE] = value
        return at

    def remove(self, at: int) -> None:
        self._page(at)[at % PAGE] = None
        self._free.append(at)

    def __getitem__(self, at: int) -> V | None:
        return self.pages[at // PAGE][at % PAGE]

    def items(self) -> list[V | None]:
        """All in order, None where there is a hole."""
        return [value for page in self.pages for value in page][: self.length]

    def _page(self, at: int) -> list[V | None]:
        number = at // PAGE
        if number not in self._own:
            self._own.add(number)
            self.pages[number] = self.pages[number].copy()
        return self.pages[number]
