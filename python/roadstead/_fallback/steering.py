"""What the route and the request's own headers say about tries and time limits (Envoy: router.cc, finalTimeout)."""

from __future__ import annotations

from typing import NamedTuple

from roadstead import _lowered as low
from roadstead._fallback.matching import fold, read_lines
from roadstead._fallback.retry import BLANK, Policy, grpc_words, http_words, milliseconds
from roadstead._fallback.rewrite import Headers

_ON, _GRPC_ON, _MOST = "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries"
_CODES, _NAMES = "x-envoy-retriable-status-codes", "x-envoy-retriable-header-names"
_TIMEOUT, _PER_TRY = "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms"
_ALTERNATIVE = "x-envoy-upstream-rq-timeout-alt-response"
_TYPE, _GRPC_TIMEOUT = "content-type", "grpc-timeout"
_READ = frozenset((_TYPE, _GRPC_TIMEOUT))
_TRUSTED = _READ | {_ON, _GRPC_ON, _MOST, _CODES, _NAMES, _TIMEOUT, _PER_TRY, _ALTERNATIVE}
_LENGTHS = {names: frozenset(map(len, names)) for names in (_READ, _TRUSTED)}
CONSUMED = _TRUSTED - _READ | {
    "x-envoy-hedge-on-per-try-timeout", "x-envoy-upstream-stream-duration-ms", "x-envoy-upstream-alt-stat-name",
    "x-envoy-attempt-count",
}  # fmt: skip
"""Request headers that steer Envoy, or that it writes itself: they never go upstream as they came."""
UNTRUSTED = CONSUMED | {
    "x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace", "x-envoy-internal", "x-envoy-ip-tags",
    "x-envoy-original-host", "x-envoy-original-url",
}  # fmt: skip
"""Beside them, what only a trusted request may say."""
_U32, _U64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_GRPC_MOST = 99_999_999
# Units of grpc-timeout in nanoseconds.
_UNITS = {
    "H": 3_600_000_000_000,
    "M": 60_000_000_000,
    "S": 1_000_000_000,
    "m": 1_000_000,
    "u": 1_000,
    "n": 1,
}
_MS = 1_000_000
# About a century, in ms: beyond it the nanoseconds do not fit 63 bits.
_MOST_TIME = 4_000_000_000_000


class Steering(NamedTuple):
    """timeout, per_try: ms, 0: none. policy: None where nothing is tried again. timeout_status: 504, or 204 where asked
    for. grpc: it is a gRPC request. trusted: its x-envoy- headers were read."""

    trusted: bool
    grpc: bool
    timeout: int
    per_try: int
    timeout_status: int
    policy: Policy | None


def steering(route: low.Route | None, headers: Headers | None, trusted: bool) -> Steering:
    names = _TRUSTED if trusted else _READ
    lines = {} if headers is None else read_lines(headers, names, _LENGTHS[names])
    # Envoy joins the lines of such a header.
    given = {name: ",".join(values) for name, values in lines.items()}
    retry = None if route is None else route.retry
    timeout = 0 if route is None else milliseconds(route.timeout)
    per_try = 0 if retry is None else milliseconds(retry.per_try_timeout)
    grpc = is_grpc(given.get(_TYPE, ""))
    if grpc:
        asked = grpc_timeout(given.get(_GRPC_TIMEOUT, ""))
        timeout = asked if asked and (not timeout or asked <= timeout) else timeout
    timeout = _number(given.get(_TIMEOUT), timeout)
    per_try = _number(given.get(_PER_TRY), per_try)
    if timeout and per_try >= timeout:
        per_try = 0
    timeout, per_try = min(timeout, _MOST_TIME), min(per_try, _MOST_TIME)
    return Steering(trusted, grpc, timeout, per_try, 204 if _ALTERNATIVE in given else 504, _policy(retry, given))


def _policy(retry: low.Retry | None, given: dict[str, str]) -> Policy | None:
    policy = Policy.of(low.Retry() if retry is None else retry)
    if not given.keys().isdisjoint((_ON, _GRPC_ON, _MOST, _CODES, _NAMES)):
        words = policy.words | http_words(given.get(_ON, "")) | grpc_words(given.get(_GRPC_ON, ""))
        codes = [decimal(text, _U32) for text in given.get(_CODES, "").split(",")]
        policy = policy._replace(
            words=words,
            attempts=_number(given.get(_MOST), policy.attempts),
            codes=(*policy.codes, *[code for code in codes if code is not None]),
            headers=tuple([fold(name.strip(BLANK)) for name in given.get(_NAMES, "").split(",") if name]),
        )
    return policy if policy.words else None


def _number(text: str | None, default: int) -> int:
    number = None if text is None else decimal(text, _U64)
    return default if number is None else number


def decimal(text: str, most: int) -> int | None:
    """A number as absl::SimpleAtoi reads it; None for anything else."""
    text = text.strip(BLANK).removeprefix("+")
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= 20 and int(digits or "0") <= most else None


def is_grpc(content_type: str) -> bool:
    return content_type == "application/grpc" or content_type.startswith("application/grpc+")


def grpc_timeout(text: str) -> int:
    """Milliseconds, rounded up; 0 where there is none that can be read."""
    number, unit = decimal(text[:-1], _GRPC_MOST), _UNITS.get(text[-1:])
    return 0 if number is None or unit is None else -(-number * unit // _MS)


def grpc_timeout_text(time: int) -> str:
    """The same the other way: at most eight digits."""
    units = iter("SMH")
    unit, step = "m", 1000
    while time > _GRPC_MOST and unit != "H":
        time, unit, step = time // step, next(units), 60
    return f"{min(time, _GRPC_MOST)}{unit}"
