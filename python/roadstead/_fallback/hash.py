"""Hash policies: what a request hashes to, and the cookies made for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roadstead import _lowered as low
from roadstead._fallback.matching import header_name, query_value
from roadstead._fallback.rng import MASK, mix
from roadstead._fallback.xxh64 import xxh64

if TYPE_CHECKING:
    from roadstead._fallback.decision import Decision


def request_hash(policies: Sequence[low.HashPolicy], request: Decision) -> int | None:
    """Policies in order: `rotl(hash, 1) ^ value`; None when none gives anything."""
    found: int | None = None
    for policy in policies:
        value = _value(policy, request)
        if value is not None:
            before = found or 0
            found = ((before << 1) & MASK | before >> 63) ^ value
        if policy.terminal and found is not None:
            break
    return found


def set_cookies(policies: Sequence[low.HashPolicy], request: Decision) -> tuple[str, ...]:
    """Set-Cookie values of the cookies that were made for this request."""
    made: list[str] = []
    found = False
    for policy in policies:
        if policy.kind == low.HASH_COOKIE and policy.ttl is not None and not _cookie(request, policy.name):
            made.append(_set_cookie(policy, policy.ttl, _made_cookie(request)))
        found = found or _value(policy, request) is not None
        if policy.terminal and found:
            break
    return tuple(made)


def _value(policy: low.HashPolicy, request: Decision) -> int | None:
    if policy.kind == low.HASH_HEADER:
        lines = request._lines_of(header_name(policy.name))
        if not lines:
            return None
        found = 0
        for line in sorted([line.encode() for line in lines]):
            found = xxh64(line, found)
        return found
    if policy.kind == low.HASH_COOKIE:
        cookie = _cookie(request, policy.name)
        if not cookie:
            if policy.ttl is None:
                return None
            cookie = _made_cookie(request)
        return xxh64(cookie.encode())
    text = request._given_source if policy.kind == low.HASH_SOURCE_IP else query_value(request._given_path, policy.name)
    return None if text is None else xxh64(text.encode())


def _cookie(request: Decision, name: str) -> str:
    """The first cookie of that name, without its quotes; "" where there is none."""
    for line in request._lines_of("cookie"):
        for part in line.split(";"):
            key, equals, value = part.lstrip(" ").partition("=")
            if equals and key == name:
                return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value
    return ""


def _made_cookie(request: Decision) -> str:
    """Envoy hashes the two ends of the connection; in process the draw stands for them."""
    return f"{mix(request.draw):016x}"


def _set_cookie(policy: low.HashPolicy, ttl: float, value: str) -> str:
    parts = [f'{policy.name}="{value}"']
    if int(ttl):
        parts.append(f"Max-Age={int(ttl)}")
    if policy.path:
        parts.append(f"Path={policy.path}")
    parts += [f"{name}={text}" if text else name for name, text in policy.attributes]
    return "; ".join([*parts, "HttpOnly"])
