"""What happened to endpoints, for people: a bounded ring of events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

What = Literal["came", "left", "ejected", "returned", "degraded", "recovered"]
"""came, left: with configuration or an answer of DNS. ejected, returned: by an active check or outlier detection.
degraded, recovered: by an active check."""


class Event(msgspec.Struct, frozen=True):
    """when: seconds since 1970. endpoint: "address:port". why: "configuration", "dns", "health check: timeout",
    "outlier detection" …"""

    when: float
    cluster: str
    endpoint: str
    what: What
    why: str


class History:
    """The last events, oldest first. size: how many are kept."""

    __slots__ = ("_events", "_now")

    def __init__(self, size: int = 1000, now: Callable[[], float] = time.time) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self._now = now

    def note(self, cluster: str, endpoint: str, what: What, why: str) -> None:
        """Something happened now."""
        self._events.append(Event(self._now(), cluster, endpoint, what, why))

    def compare(self, cluster: str, before: Iterable[str], after: Iterable[str], why: str) -> None:
        """Note who came and who left."""
        old, new = dict.fromkeys(before), dict.fromkeys(after)
        for endpoint in old:
            if endpoint not in new:
                self.note(cluster, endpoint, "left", why)
        for endpoint in new:
            if endpoint not in old:
                self.note(cluster, endpoint, "came", why)

    def events(self, cluster: str | None = None) -> list[Event]:
        """All that are kept; of one cluster where it is named."""
        return [event for event in list(self._events) if cluster in (None, event.cluster)]
