"""Following the objects of one kind: a list, then a watch from the version of the list on, for ever.

A watch that ends, however it ends, is taken up again at the version of the last event that came whole; what the server
does not remember that far back is listed again. An object is known by a hash of its bytes: a list says which are new,
different and gone, and what is as it was is not read again.
"""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

import msgspec

from roadstead.config.dialect import Dialect
from roadstead.sources.kubernetes.api import TROUBLE, Api, Refused, keep_alive, why
from roadstead.sources.kubernetes.intake import Intake
from roadstead.sources.kubernetes.listing import Listing, NotServed
from roadstead.sources.kubernetes.objects import Event, Lines, Objects, Page, TooLarge, event_of, meta_of, status_of
from roadstead.sources.layers import Piece

# Bytes of one event; Kubernetes stores no object above 1.5 MiB.
_MOST = 8 * 1024 * 1024
# Answers to a watch after which the version is still good; after any other the objects are listed again.
_STILL_GOOD = (401, 429, 500, 502, 503)
# Seconds: a watch that ends earlier, and said nothing, is not taken up again at once.
_SHORT = 1.0


class Pace(NamedTuple):
    """Seconds. watch: how long one lasts at least before the server ends it; one that is silent for longer is taken for
    dead. first, longest: pauses before something is tried again, the longer the more often it failed."""

    watch: float = 300.0
    first: float = 0.2
    longest: float = 30.0


DEFAULT_PACE = Pace()


class Follower:
    """One kind, in one namespace or in all."""

    def __init__(self, api: Api, objects: Objects, intake: Intake, dialect: Dialect, pace: Pace) -> None:
        self._api = api
        self._objects = objects
        self._intake = intake
        self._dialect = dialect
        self._pace = pace
        self._listing = Listing(objects)
        self._known: dict[str, int] = {}
        # Where the next watch begins; "": list first.
        self._version = ""
        self._failures = 0
        self._heard = False

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._heard = False
            began = loop.time()
            pause = 0.0
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                if not self._heard and loop.time() - began < _SHORT:
                    pause = self._pause()
            except NotServed as absent:
                pause = self._not_served(absent)
            except TROUBLE as trouble:
                if self._heard or loop.time() - began > self._pace.longest:
                    self._failures = 0
                pause = self._in_trouble(trouble)
            if pause:
                await asyncio.sleep(pause)

    # What went wrong

    def _in_trouble(self, trouble: Exception) -> float:
        """Take note; how long to wait."""
        asked = 0.0
        if isinstance(trouble, Refused):
            asked = trouble.retry_after
            if trouble.streamed or trouble.code not in _STILL_GOOD:
                self._version = ""
        elif isinstance(trouble, (TooLarge, msgspec.MsgspecError, RecursionError)):
            # What came cannot be understood: it would come again.
            self._version = ""
        self._intake.failed(self._objects, why(trouble))
        return max(asked, self._pause())

    def _not_served(self, absent: NotServed) -> float:
        """A kind that never was there has no objects; one that was is not believed to be gone, as its objects would
        have been deleted first."""
        if self._known:
            self._intake.failed(self._objects, f"{absent} any more")
            return self._pause()
        self._intake.listed(self._objects, {}, absent=True)
        return self._pace.longest * random.uniform(0.5, 1)

    def _pause(self) -> float:
        """Longer each time, up to a limit; different for everybody, so that not all come at once."""
        self._failures += 1
        longest = min(self._pace.longest, self._pace.first * 2.0 ** min(self._failures - 1, 20))
        return longest * random.uniform(0.5, 1)

    # All

    async def _list(self) -> None:
        known: dict[str, int] = {}
        changed: dict[str, Piece | None] = {}
        version = ""
        async for page in self._listing.pages(self._api):
            changed.update(await asyncio.to_thread(self._read, page, known))
            version = page.metadata.resource_version
        gone = dict.fromkeys(self._known.keys() - known.keys())
        self._known = known
        self._version = version
        self._intake.listed(self._objects, {**gone, **changed})

    def _read(self, page: Page, known: dict[str, int]) -> dict[str, Piece]:
        """What is new or different; `known` takes everything."""
        changed: dict[str, Piece] = {}
        for item in page.items or ():
            raw = bytes(item)
            piece, mark = self._objects.piece(meta_of(raw)), hash(raw)
            known[piece] = mark
            if self._known.get(piece) != mark:
                changed[piece] = (self._objects.decode(raw, piece, self._dialect),)
        return changed

    # What changes

    async def _watch(self) -> None:
        """Until the server ends it."""
        seconds = max(1, round(self._pace.watch * random.uniform(1, 1.5)))
        watch = self._api.get(
            self._objects,
            self._listing.version,
            seconds * 1.1,
            watch=True,
            allow_watch_bookmarks=True,
            resource_version=self._version,
            timeout_seconds=seconds,
        )
        async with watch as answer:
            self._intake.well(self._objects)
            keep_alive(answer)
            lines = Lines(_MOST)
            async for chunk in answer.content.iter_any():
                for line in lines.feed(chunk):
                    await self._take(event_of(line))

    async def _take(self, event: Event) -> None:
        raw = bytes(event.object)
        if event.type == "ERROR":
            raise Refused(status_of(raw), streamed=True)
        meta = meta_of(raw)
        piece = self._objects.piece(meta)
        if event.type == "DELETED":
            self._known.pop(piece, None)
            await self._intake.put(piece, None)
        elif event.type in ("ADDED", "MODIFIED"):
            mark = hash(raw)
            if self._known.get(piece) != mark:
                self._known[piece] = mark
                await self._intake.put(piece, (self._objects.decode(raw, piece, self._dialect),))
        # Of a bookmark only the version counts.
        self._version = meta.resource_version or self._version
        self._heard = True
