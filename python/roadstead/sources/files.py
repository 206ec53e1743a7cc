"""Files and folders, followed as they change (also a ConfigMap's folder, whose links are swapped at once)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TypeAlias

from roadstead.config.files import names
from roadstead.config.read import read
from roadstead.errors import MissingExtra
from roadstead.sources.layers import Layer, Piece

try:
    from watchfiles import awatch
except ImportError as error:
    raise MissingExtra("following files", "watch", "watchfiles") from error

# What a file looks like from outside: when and what was written.
_Mark: TypeAlias = tuple[int, int, int]
# Milliseconds: changes within the first are one; the second is how often is looked without any notice (network file
# systems send none).
_TOGETHER, _ANYHOW = 50, 2000


class Files:
    """Every .yaml, .yml and .json below the folders, and the files that are named. Each file is a piece.

    A file that is half written keeps what it had, one that is deleted takes its resources with it; a path that is not
    there (any more) is told in the source's status, and what it had stays."""

    def __init__(self, *paths: str | os.PathLike[str]) -> None:
        self._paths = [os.fspath(path) for path in paths]
        self._seen: dict[str, _Mark] = {}

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
        try:
            marks = await asyncio.to_thread(_marks, self._paths)
            changed = [name for name, mark in marks.items() if self._seen.get(name) != mark]
            pieces: dict[str, Piece | None] = dict.fromkeys(self._seen.keys() - marks.keys())
            pieces.update(await asyncio.to_thread(_decoded, changed, layer))
        except OSError as error:
            layer.failed(f"{error.filename}: {error.strerror}")
            return
        if pieces:
            await layer.update(pieces)
            self._seen = marks
        layer.well()


def _marks(paths: list[str]) -> dict[str, _Mark]:
    marks = {}
    for name in names(paths):
        stat = Path(name).stat()
        marks[name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return marks


def _decoded(changed: list[str], layer: Layer) -> dict[str, Piece]:
    return {name: list(read(Path(name).read_bytes(), name, layer.dialect)) for name in changed}


def _folder_of(path: str) -> Path:
    """What to watch for a path: a file is replaced in its folder."""
    return Path(path) if Path(path).is_dir() else Path(path).parent
