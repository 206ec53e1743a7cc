"""Durations in Go's syntax, as Istio reads them: "10s", "1.5s", "100ms", "1h30m", "-1s", "0"."""

from __future__ import annotations

import re
from functools import lru_cache

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_LARGEST = 2**63
_MILLISECOND = 10**6


@lru_cache(maxsize=4096)
def nanoseconds(text: str) -> int:
    """Whole nanoseconds. Raises ValueError with what is wrong (a missing unit, a day, nothing at all …)."""
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") and text else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"{text!r} is not a duration")
    total, position = 0, 0
    while position < len(rest):
        term = _TERM.match(rest, position)
        if term is None or not (term[1] or term[2]):
            raise ValueError(_complaint(text, rest[position:]))
        unit = _NANOSECONDS[term[3]]
        total += int(term[1] or 0) * unit
        fraction = term[2] or ""
        total += int(fraction or 0) * unit // 10 ** len(fraction)
        if total >= _LARGEST:
            raise ValueError(f"{text!r} is out of range: at most 2562047h47m16s")
        position = term.end()
    return -total if negative else total


def _complaint(text: str, rest: str) -> str:
    number = re.match(r"[0-9.]+", rest)
    if number is None or number[0] == ".":
        return f"{text!r} is not a duration"
    unit = re.match(r"[^0-9.]*", rest[number.end() :])
    if unit is None or not unit[0]:
        return f"{text!r} has no unit"
    return f"{text!r} has the unknown unit {unit[0]!r}"


@lru_cache(maxsize=4096)
def seconds(text: str) -> float:
    """Seconds. Raises ValueError on what is not a duration; validated resources hold none."""
    return nanoseconds(text) / 1e9


def complaint(text: str, rule: str) -> str:
    """What is wrong with a duration under a rule of the model ("whole milliseconds" or "any"); "" where nothing is."""
    try:
        length = nanoseconds(text)
    except ValueError as error:
        return str(error)
    if rule == "any":
        return ""
    if length < _MILLISECOND:
        return f"{text!r} is too short: at least 1ms"
    return "" if length % _MILLISECOND == 0 else f"{text!r} is not a whole number of milliseconds"


__all__ = ["complaint", "nanoseconds", "seconds"]
