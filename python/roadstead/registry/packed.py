"""Many small texts that resemble each other, in little memory: compressed in blocks, neighbours together."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K")

# Texts of a block. One of them costs the unpacking of all: about 20 kB, some 50 µs.
_BLOCK = 32
# Unpacked blocks kept at hand.
_WARM = 32
# Speed first: what resembles is found by the quickest search too.
_LEVEL = 1


class Packed(Generic[K]):
    """Bytes by key. The last that were put are kept as they are until they fill a block."""

    __slots__ = ("_blocks", "_fresh", "_left", "_next", "_places", "_warm")

    def __init__(self) -> None:
        # Block and position in it, as one number; of fresh texts -1.
        self._places: dict[K, int] = {}
        self._fresh: dict[K, bytes] = {}
        # The keys of a block, as it was packed, and its texts.
        self._blocks: dict[int, tuple[tuple[K, ...], bytes]] = {}
        # How many of them still stand there.
        self._left: dict[int, int] = {}
        self._warm: dict[int, list[bytes]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[K]:
        return iter(self._places)

    def put(self, key: K, text: bytes) -> None:
        """Add or replace; a key keeps its place in the order of keys."""
        if key in self._places:
            self._leave(key)
        self._places[key] = -1
        self._fresh[key] = text
        if len(self._fresh) >= 2 * _BLOCK:
            self._pack()

    def get(self, key: K) -> bytes:
        """KeyError where there is none."""
        place = self._places[key]
        return self._fresh[key] if place < 0 else self._unpacked(place // _BLOCK)[place % _BLOCK]

    def pop(self, key: K) -> None:
        """KeyError where there is none."""
        self._leave(key)
        del self._places[key]

    def _pack(self) -> None:
        """The oldest fresh texts become a block."""
        keys = tuple(islice(self._fresh, _BLOCK))
        block = self._next
        self._next += 1
        texts = [self._fresh.pop(key) for key in keys]
        self._blocks[block] = (keys, zlib.compress(_encoder.encode(texts), _LEVEL))
        self._left[block] = len(keys)
        for at, key in enumerate(keys):
            self._places[key] = block * _BLOCK + at

    def _leave(self, key: K) -> None:
        """The text of a key counts no more. A block of which little is left is taken apart."""
        place = self._places[key]
        if place < 0:
            del self._fresh[key]
            return
        self._places[key] = -1
        block = place // _BLOCK
        self._left[block] -= 1
        if self._left[block] > _BLOCK // 4:
            return
        texts = self._unpacked(block)
        keys, _ = self._blocks.pop(block)
        for at, other in enumerate(keys):
            if self._places.get(other) == block * _BLOCK + at:
                self._places[other] = -1
                self._fresh[other] = texts[at]
        del self._left[block], self._warm[block]

    def _unpacked(self, block: int) -> list[bytes]:
        texts = self._warm.get(block)
        if texts is None:
            if len(self._warm) >= _WARM:
                del self._warm[next(iter(self._warm))]
            texts = self._warm[block] = _decoder.decode(zlib.decompress(self._blocks[block][1]))
        return texts

    def rest(self) -> None:
        """Give up what is only kept at hand."""
        self._warm.clear()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])
