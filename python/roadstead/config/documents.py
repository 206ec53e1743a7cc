"""A YAML text cut into documents, so that an error costs one document and not the rest.

A document ends at a line that is `---` or `...`, alone or followed by a blank, wherever it stands: YAML allows such a
line inside no scalar. What stands before the first `---` is a document only if it holds more than comments and
directives. The native reader's native/yaml/src/split.rs does the same.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_MARKER = re.compile(r"^(?:---|\.\.\.)(?=[ \t\n]|\Z)", re.MULTILINE)
_CONTENT = re.compile(r"^[ \t]*[^ \t\n#]", re.MULTILINE)
_AFTER_MARKER = re.compile(r"[ \t]*[^ \t\n#]")
# What YAML does not let stand, and what YAML 1.1 and 1.2 read differently (line separators, a byte order mark).
_REFUSED = re.compile("[^\t\n -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class Chunk(NamedTuple):
    """text: of one document. line: of its first character; content_line: of its first content; both 1-based."""

    text: str
    line: int
    content_line: int

    def refused(self) -> tuple[int, str] | None:
        """Offset of the first character that may not stand here, and what to say about it."""
        found = _REFUSED.search(self.text)
        if found is None:
            return None
        if "\ud800" <= found[0] <= "\udfff":
            return found.start(), "not UTF-8"
        return found.start(), (f"character U+{ord(found[0]):04X} is not allowed here: write it as an escape in quotes")

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character in the whole text."""
        return self.line + self.text.count("\n", 0, offset), offset - self.text.rfind("\n", 0, offset)


def split(data: bytes) -> list[Chunk]:
    """The documents of a text, the empty ones too; every line break is `\\n` in them."""
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _Splitter(text).chunks


class _Splitter:
    def __init__(self, text: str) -> None:
        self.chunks: list[Chunk] = []
        self._text = text
        self._start: int | None = None
        self._content: int | None = None
        # Where directives began that belong to the next `---`.
        self._directives: int | None = None
        self._counted = (0, 1)
        at = 0
        for marker in _MARKER.finditer(text):
            self._read(at, marker.start())
            at = self._line_end(marker.end())
            if marker[0] == "---":
                self._close(marker.start())
                self._open(marker.start(), marker.start() if _AFTER_MARKER.match(text, marker.end(), at) else None)
            else:
                self._close(at)
        self._read(at, len(text))
        if self._directives is not None:
            self._open(self._directives, None)
        self._close(len(text))

    def _read(self, start: int, end: int) -> None:
        """Text without a marker."""
        while self._content is None or self._start is None:
            found = _CONTENT.search(self._text, start, end)
            if found is None:
                return
            if self._start is not None:
                self._content = found.start()
            elif self._text[found.start()] == "%":
                self._directives = found.start() if self._directives is None else self._directives
                start = self._line_end(found.start())
            else:
                self._open(found.start(), found.start())

    def _open(self, start: int, content: int | None) -> None:
        self._start = start if self._directives is None else self._directives
        self._content = content
        self._directives = None

    def _close(self, end: int) -> None:
        if self._start is None:
            return
        line = self._line_of(self._start)
        content_line = line if self._content is None else self._line_of(self._content)
        self.chunks.append(Chunk(self._text[self._start : end], line, content_line))
        self._start = self._content = None

    def _line_end(self, at: int) -> int:
        return self._text.find("\n", at) + 1 or len(self._text)

    def _line_of(self, offset: int) -> int:
        at, line = self._counted
        line += self._text.count("\n", at, offset)
        self._counted = (offset, line)
        return line


__all__ = ["Chunk", "split"]
