"""The body of a response that is passed on: the exchange hears how it ends, and whoever counts requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from roadstead._core import Decision, Exchange, Reset

HeaderList: TypeAlias = list[tuple[str, str]]
Count: TypeAlias = "Callable[[Exchange, int, int, int], None]"


class Recorder(Protocol):
    """Hears of requests that are over (`metrics.istio.RequestRecorder`)."""

    @property
    def count(self) -> Count:
        """Of an exchange: bytes of the request's body, of the response's, and the gRPC status (-1: none)."""


class Watcher(Protocol):
    """Sees requests begin, and hears when they are over (`clients.tracing.Spans`, `metrics.otel.Instruments`)."""

    def begin(self, decision: Decision, headers: HeaderList) -> tuple[HeaderList, Count]:
        """The headers that are to be sent, and what to call once it is over."""


def told_by(counts: Sequence[Count]) -> Count | None:
    """All of them as one; None for none."""
    if len(counts) < 2:
        return counts[0] if counts else None

    def tell(exchange: Exchange, sent: int, received: int, grpc_status: int) -> None:
        for count in counts:
            count(exchange, sent, received, grpc_status)

    return tell


class BodyWatch:
    """Reports the end of one body, once. received: bytes of it so far; grpc_status: of its trailers, -1 for none: the
    reader of the body keeps both, for who counts."""

    __slots__ = ("_count", "_exchange", "_over", "_sent", "grpc_status", "received")

    def __init__(self, exchange: Exchange, count: Count | None = None, sent: int = 0) -> None:
        self._exchange = exchange
        self._count = count
        self._sent = sent
        self._over = False
        self.received = 0
        self.grpc_status = -1

    def ended(self) -> None:
        """All of it was read."""
        if not self._over:
            self._over = True
            self._exchange.ended()
            self._told()

    def broke(self, reason: Reset | None) -> None:
        """It breaks off. reason: None where its time was up."""
        if not self._over:
            self._over = True
            if reason is None:
                self._exchange.expired()
            else:
                self._exchange.reset(reason)
            self._told()

    def closed(self) -> None:
        """Nobody wants the rest."""
        if not self._over:
            self._over = True
            self._exchange.cancel()
            self._told()

    def _told(self) -> None:
        if self._count is not None:
            self._count(self._exchange, self._sent, self.received, self.grpc_status)
