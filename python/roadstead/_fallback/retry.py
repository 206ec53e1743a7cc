"""Whether a try is repeated, after how long, and where (Envoy: retry_state_impl.cc, previous_priorities.cc)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from roadstead import _lowered as low
from roadstead._fallback.balance.loads import Loads

_GRPC = {"cancelled": 1, "deadline-exceeded": 4, "resource-exhausted": 8, "internal": 13, "unavailable": 14}
_HTTP = (
    "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited", "retriable-4xx",
    "refused-stream", "retriable-status-codes", "retriable-headers", "http3-post-connect-failure",
)  # fmt: skip
CONNECTION_FAILURES = frozenset(("local_connection_failure", "remote_connection_failure", "connection_timeout"))
# Conditions that any reset fulfils: it would become a 503 (Envoy).
_ANY_RESET = frozenset(("reset", "5xx", "gateway-error"))
_TOO_EARLY = 425
BLANK = " \t\n\v\f\r"
# Growth of the back-off ends here, in base intervals.
_MOST_INTERVALS = 10


class Verdict(Enum):
    """What a retry policy makes of an outcome."""

    NO = auto()
    AFTER_BACKOFF = auto()
    AT_ONCE = auto()


@lru_cache(maxsize=1024)
def http_words(text: str) -> frozenset[str]:
    """Envoy's words of x-envoy-retry-on in a comma separated text."""
    return frozenset([word for word in _split(text) if word in _HTTP])


@lru_cache(maxsize=1024)
def grpc_words(text: str) -> frozenset[str]:
    """Those of x-envoy-retry-grpc-on."""
    return frozenset([word for word in _split(text) if word in _GRPC])


def _split(text: str) -> list[str]:
    return [word.strip(BLANK) for word in text.split(",")]


def milliseconds(seconds: float) -> int:
    """Envoy's unit of time limits."""
    return int(seconds * 1000 + 0.5)


class Policy(NamedTuple):
    """The retry policy of one request. words: conditions of both kinds. attempts: tries after the first one. base: ms.
    headers: names whose presence in a response asks for another try (lower case)."""

    words: frozenset[str]
    attempts: int
    base: int
    codes: tuple[int, ...]
    headers: tuple[str, ...] = ()
    previous_hosts: bool = False
    previous_priorities: int = 0

    @classmethod
    def of(cls, retry: low.Retry) -> Policy:
        return cls(
            http_words(retry.retry_on) | grpc_words(retry.retry_on),
            retry.attempts,
            max(1, milliseconds(retry.base_interval)),
            retry.status_codes,
            (),
            retry.previous_hosts,
            retry.previous_priorities,
        )

    def after_response(self, status: int, lines: Mapping[str, list[str]], grpc_status: int | None) -> Verdict:
        """lines: those of the response's headers that `header_names` gives."""
        words = self.words
        if "x-envoy-ratelimited" in lines:
            return Verdict.AFTER_BACKOFF if "envoy-ratelimited" in words else Verdict.NO
        if (
            ("5xx" in words and 500 <= status <= 599)
            or ("gateway-error" in words and 502 <= status <= 504)
            or ("retriable-4xx" in words and status == 409)
        ):
            return Verdict.AFTER_BACKOFF
        if "retriable-status-codes" in words and status in self.codes:
            return Verdict.AT_ONCE if status == _TOO_EARLY else Verdict.AFTER_BACKOFF
        if "retriable-headers" in words and any(name in lines for name in self.headers):
            return Verdict.AFTER_BACKOFF
        if any(_GRPC.get(word) == grpc_status for word in words if word in _GRPC):
            return Verdict.AFTER_BACKOFF
        return Verdict.NO

    def after_reset(self, reason: str, sent: bool) -> Verdict:
        """sent: something of the request was written, in this try or an earlier one."""
        words = self.words
        if reason == "overflow":
            return Verdict.NO
        if (
            ("connect-failure" in words and reason in CONNECTION_FAILURES)
            or ("reset-before-request" in words and not sent)
            or not words.isdisjoint(_ANY_RESET)
            or ("refused-stream" in words and reason == "remote_refused_stream_reset")
        ):
            return Verdict.AFTER_BACKOFF
        return Verdict.NO

    def interval(self, number: int) -> int:
        """The bound of the n-th back-off, in ms (n from 1): it doubles, up to ten bases."""
        return min(self.base << min(number - 1, 4), self.base * _MOST_INTERVALS)


class PreviousPriorities:
    """Priorities that were tried are left out, anew after each `frequency` tries; when nothing is left, all over again.

    tried: the priorities of the endpoints tried so far."""

    __slots__ = ("_excluded", "_frequency", "_loads", "tried")

    def __init__(self, frequency: int) -> None:
        self._frequency = frequency
        self._excluded: set[int] = set()
        self._loads: Loads | None = None
        self.tried: list[int] = []

    def loads(self, own: Loads) -> Loads | None:
        """What the next pick chooses its priority by; None: the balancer's own."""
        count = len(self.tried)
        if count < self._frequency:
            return None
        if count % self._frequency == 0:
            self._excluded.update(self.tried)
            self._loads = own.without(self._excluded)
            if self._loads is None:
                self._excluded.clear()
                self.tried.clear()
                self._loads = own.without(self._excluded)
        found = self._loads
        return found if found is not None and len(found.healthy) == len(own.healthy) else None
