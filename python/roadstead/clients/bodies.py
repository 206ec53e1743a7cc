"""The body of a response that is passed on: the exchange hears how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadstead._core import Exchange, Reset


class BodyWatch:
    """Reports the end of one body, once."""

    __slots__ = ("_exchange", "_over")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._over = False

    def ended(self) -> None:
        """All of it was read."""
        if not self._over:
            self._over = True
            self._exchange.ended()

    def broke(self, reason: Reset | None) -> None:
        """It breaks off. reason: None where its time was up."""
        if not self._over:
            self._over = True
            if reason is None:
                self._exchange.expired()
            else:
                self._exchange.reset(reason)

    def closed(self) -> None:
        """Nobody wants the rest."""
        if not self._over:
            self._over = True
            self._exchange.cancel()
