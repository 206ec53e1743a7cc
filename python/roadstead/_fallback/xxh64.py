"""xxHash64: what Envoy hashes with, for rings, Maglev tables and hash policies."""

from __future__ import annotations

import struct

from roadstead._fallback.rng import MASK

_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _round(state: int, lane: int) -> int:
    state = (state + lane * _P2) & MASK
    return ((state << 31) & MASK | state >> 33) * _P1 & MASK


def xxh64(data: bytes, seed: int = 0) -> int:
    """xxHash64 of the bytes. `xxh64(b"") == 0xef46db3751d8e999`."""
    length = len(data)
    at = 0
    if length >= 32:
        lanes = [(seed + _P1 + _P2) & MASK, (seed + _P2) & MASK, seed & MASK, (seed - _P1) & MASK]
        at = length & ~31
        for block in struct.iter_unpack("<4Q", data[:at]):
            lanes = [_round(state, lane) for state, lane in zip(lanes, block, strict=True)]
        h = sum(((v << r) & MASK) | v >> (64 - r) for v, r in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for state in lanes:
            h = ((h ^ _round(0, state)) * _P1 + _P4) & MASK
    else:
        h = (seed + _P5) & MASK
    h = (h + length) & MASK
    while at + 8 <= length:
        h ^= _round(0, int.from_bytes(data[at : at + 8], "little"))
        h = (((h << 27) & MASK | h >> 37) * _P1 + _P4) & MASK
        at += 8
    if at + 4 <= length:
        h ^= int.from_bytes(data[at : at + 4], "little") * _P1 & MASK
        h = (((h << 23) & MASK | h >> 41) * _P2 + _P3) & MASK
        at += 4
    while at < length:
        h ^= data[at] * _P5 & MASK
        h = ((h << 11) & MASK | h >> 53) * _P1 & MASK
        at += 1
    h = (h ^ h >> 33) * _P2 & MASK
    h = (h ^ h >> 29) * _P3 & MASK
    return h ^ h >> 32
