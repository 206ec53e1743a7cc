"""What several followers find, handed to a layer together, and how they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from roadstead.sources.kubernetes.objects import Objects
from roadstead.sources.layers import Layer, Piece

# Seconds: changes that come within are one.
_TOGETHER = 0.02
# Objects that wait to be handed over, before followers have to wait.
_MOST = 10_000


class Intake:
    """Between followers and a layer. Nothing is handed over before everything was listed once: half a configuration
    gives wrong answers. Of an object that changes again before it is handed over, only the last state is."""

    def __init__(self, layer: Layer, followed: Iterable[Objects]) -> None:
        self._layer = layer
        self._followed = tuple(followed)
        self._unlisted = set(self._followed)
        self._absent: set[Objects] = set()
        self._errors: dict[Objects, str] = {}
        self._pending: dict[str, Piece | None] = {}
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    # For followers

    def listed(self, objects: Objects, pieces: Mapping[str, Piece | None], *, absent: bool = False) -> None:
        """Everything was read: what is new, different, or (None) gone. absent: the cluster does not know the kind."""
        self._pending.update(pieces)
        self._unlisted.discard(objects)
        (self._absent.add if absent else self._absent.discard)(objects)
        self._changed()
        self.well(objects)

    async def put(self, piece: str, content: Piece | None) -> None:
        """One object came, changed or (None) went. Waits while too many others do."""
        while len(self._pending) >= _MOST and piece not in self._pending:
            self._room.clear()
            await self._room.wait()
        self._pending[piece] = content
        self._changed()

    def well(self, objects: Objects) -> None:
        """They are up to date."""
        if self._errors.pop(objects, None) is not None or not self._errors:
            self._tell()

    def failed(self, objects: Objects, error: str) -> None:
        """They cannot be read now."""
        self._errors[objects] = error
        self._tell()

    # For the layer

    async def run(self) -> None:
        """Hand over what comes, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(_TOGETHER)
            self._news.clear()
            if self._pending:
                await self._layer.update(self._handed_over())
            self._layer.loaded.set()
            self._tell()

    def _handed_over(self) -> Mapping[str, Piece | None]:
        pending, self._pending = self._pending, {}
        self._room.set()
        return pending

    def _changed(self) -> None:
        if not self._unlisted:
            self._news.set()

    def _tell(self) -> None:
        if self._errors:
            self._layer.failed(self._said())
        elif len(self._absent) == len(self._followed):
            self._layer.failed("the cluster has none of Istio's CustomResourceDefinitions")
        elif self._layer.loaded.is_set():
            self._layer.well()

    def _said(self) -> str:
        """All errors; what is the same for everybody is said once."""
        about: dict[str, list[str]] = {}
        for objects, error in self._errors.items():
            about.setdefault(error, []).append(str(objects))
        if len(about) == 1 and len(self._errors) == len(self._followed):
            return next(iter(about))
        return "; ".join(f"{', '.join(names)}: {error}" for error, names in about.items())
