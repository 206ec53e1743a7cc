"""Paths → texts: files, folders, standard input. Nothing is kept; whoever needs a text longer holds it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".yaml", ".yml", ".json")
"""What is read of a folder; a file that is named itself is read whatever it is called."""
STDIN = "-"
STDIN_NAME = "<stdin>"


class Text(NamedTuple):
    """name: where it comes from, "<stdin>" for standard input. data: the bytes as they are."""

    name: str
    data: bytes


def read(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Text]:
    """The texts of files, folders (with what is below them, in order of name; other suffixes and hidden files and
    folders are passed over) and standard input ("-"), one after the other.

    Raises FileNotFoundError for a path that is not there and OSError for one that cannot be read, each with the path as
    `filename`; all paths are looked for before the first is read. Text that is no UTF-8 is for the YAML reader to
    refuse: it says where."""
    for name in names(paths):
        yield Text(STDIN_NAME, sys.stdin.buffer.read()) if name == STDIN else Text(name, Path(name).read_bytes())


def names(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """The files that `read` reads, and "-", in its order; it raises the same for a path that is not there."""
    known = [os.fspath(path) for path in paths]
    for path in known:
        if path != STDIN:
            Path(path).stat()
    for path in known:
        if path != STDIN and Path(path).is_dir():
            yield from _below(path)
        else:
            yield path


def _below(folder: str) -> Iterator[str]:
    """Files of a folder, and then those of each folder in it; links to folders are not followed, so no walk goes
    round."""
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.endswith(SUFFIXES) and entry.is_file():
            yield entry.path
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)


__all__ = ["STDIN", "STDIN_NAME", "SUFFIXES", "Text", "names", "read"]
