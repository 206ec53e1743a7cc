"""Files and folders, followed as they change (also a ConfigMap's folder, whose links are swapped at once)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

from roadstead.config.files import names
from roadstead.config.read import read
from roadstead.errors import MissingExtra
from roadstead.sources.layers import Layer, Piece

try:
    from watchfiles import awatch
except ImportError as error:
    raise MissingExtra("following files", "watch", "watchfiles") from error

# Milliseconds: changes within the first are one; the second is how often is looked without any notice (network file
# systems send none).
_TOGETHER, _ANYHOW = 50, 2000
# Milliseconds after which a file that got smaller is believed to be whole: editors and `cp` empty a file before they
# write it.
_SETTLED = 500


class _Mark(NamedTuple):
    """What a file looks like from outside."""

    written: int
    size: int
    inode: int

    def cuts(self, before: _Mark) -> bool:
        """Whether the same file lost something; one that was put in the place of another is whole."""
        return self.inode == before.inode and self.size < before.size


class Files:
    """Every .yaml, .yml and .json below the folders, and the files that are named. Each file is a piece.

    A file that is half written keeps what it had: one that got smaller counts when it stays as it is for a moment. One
    that is deleted takes its resources with it; a path that is not there (any more) is told in the source's status, and
    what it had stays."""

    def __init__(self, *paths: str | os.PathLike[str]) -> None:
        self._paths = [os.fspath(path) for path in paths]
        self._seen: dict[str, _Mark] = {}
        # Files that got smaller, as they were when last looked at.
        self._smaller: dict[str, _Mark] = {}

    @property
    def name(self) -> str:
        """The paths."""
        return ", ".join(self._paths)

    async def run(self, layer: Layer) -> None:
        """Read everything, then what changes; until cancelled."""
        await self._read(layer)
        folders = {str(_folder_of(path)) for path in self._paths}
        while True:
            there = [folder for folder in folders if Path(folder).is_dir()]
            if not there:
                await asyncio.sleep(_ANYHOW / 1000)
                await self._read(layer)
                continue
            watching = awatch(
                *there, watch_filter=None, debounce=_TOGETHER, rust_timeout=_ANYHOW, yield_on_timeout=True, step=20
            )
            async for _ in watching:
                await self._read(layer)
                if not all(Path(folder).is_dir() for folder in there):
                    break

    async def _read(self, layer: Layer) -> None:
        """Hand over what changed since the last look."""
        while await self._look(layer):
            await asyncio.sleep(_SETTLED / 1000)

    async def _look(self, layer: Layer) -> bool:
        """Whether something may just be written, and has to be looked at again soon."""
        try:
            marks = await asyncio.to_thread(_marks, self._paths)
            smaller = {name: mark for name, mark in marks.items() if name in self._seen and mark.cuts(self._seen[name])}
            before, self._smaller = self._smaller, smaller
            unsettled = {name for name, mark in smaller.items() if before.get(name) != mark}
            for name in unsettled:
                marks[name] = self._seen[name]
            changed = [name for name, mark in marks.items() if self._seen.get(name) != mark]
            pieces: dict[str, Piece | None] = dict.fromkeys(self._seen.keys() - marks.keys())
            pieces.update(await asyncio.to_thread(_decoded, changed, layer))
        except OSError as error:
            layer.failed(f"{error.filename}: {error.strerror}")
            return False
        if pieces:
            await layer.update(pieces, list(marks))
            self._seen = marks
        layer.well()
        return bool(unsettled)


def _marks(paths: list[str]) -> dict[str, _Mark]:
    marks = {}
    for name in names(paths):
        stat = Path(name).stat()
        marks[name] = _Mark(stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return marks


def _decoded(changed: list[str], layer: Layer) -> dict[str, Piece]:
    return {name: list(read(Path(name).read_bytes(), name, layer.dialect)) for name in changed}


def _folder_of(path: str) -> Path:
    """What to watch for a path: a file is replaced in its folder."""
    return Path(path) if Path(path).is_dir() else Path(path).parent
