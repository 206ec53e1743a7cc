"""Regular expressions in RE2's language: google-re2 where it is installed, Python's `re` over a translation otherwise.

Texts are matched as their UTF-8 bytes, as the native engine does.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from functools import lru_cache
from typing import Protocol

from roadstead._fallback.regex_emit import RunawayCheck, for_re, for_re2
from roadstead.errors import EngineError
from roadstead.regex_syntax import Node, RegexSyntaxError, parse


class _Match(Protocol):
    def span(self) -> tuple[int, int]: ...

    def group(self, group: int, /) -> bytes | None: ...


class _Matcher(Protocol):
    @property
    def groups(self) -> int: ...

    def fullmatch(self, text: bytes, /) -> _Match | None: ...

    def search(self, text: bytes, pos: int = 0, /) -> _Match | None: ...


class Regex:
    """A compiled pattern."""

    __slots__ = ("_matcher", "pattern")

    def __init__(self, pattern: str, matcher: _Matcher) -> None:
        self.pattern = pattern
        self._matcher = matcher

    @property
    def groups(self) -> int:
        return self._matcher.groups

    def full_match(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return self._matcher.fullmatch(text.encode()) is not None

    def replace_all(self, text: str, substitution: Substitution) -> str:
        """Every match replaced; as RE2's GlobalReplace, an empty match right behind another match is none."""
        data = text.encode()
        parts: list[bytes] = []
        at, last = 0, -1
        while at <= len(data):
            found = self._matcher.search(data, at)
            if found is None:
                break
            start, end = found.span()
            if start == end == last:
                # Nothing between two matches: go on behind the next byte.
                parts.append(data[at : at + 1])
                at += 1
                last = -1
                continue
            parts.append(data[at:start])
            parts.append(substitution.expand(found))
            at = last = end
            if start == end:
                parts.append(data[at : at + 1])
                at += 1
        parts.append(data[at:])
        return b"".join(parts).decode(errors="replace")


class Substitution:
    """RE2's rewrite text: `\\0`..`\\9` are groups, `\\\\` is a backslash."""

    __slots__ = ("_parts",)

    def __init__(self, text: str, groups: int) -> None:
        self._parts: list[bytes | int] = []
        at = 0
        while at < len(text):
            cut = text.find("\\", at)
            if cut < 0:
                break
            self._parts.append(text[at:cut].encode())
            following = text[cut + 1 : cut + 2]
            if following == "\\":
                self._parts.append(b"\\")
            elif following.isascii() and following.isdigit():
                if int(following) > groups:
                    raise EngineError(f"substitution {text!r}: the pattern has {groups} groups, not {following}")
                self._parts.append(int(following))
            else:
                raise EngineError(f"substitution {text!r}: after a backslash comes a digit or a backslash")
            at = cut + 2
        self._parts.append(text[at:].encode())

    def expand(self, found: _Match) -> bytes:
        return b"".join([part if isinstance(part, bytes) else found.group(part) or b"" for part in self._parts])


@lru_cache(maxsize=1024)
def compile_regex(pattern: str) -> Regex:
    """EngineError where RE2 refuses the pattern, or where only `re` is there and it could run away."""
    return (with_re2 if importlib.util.find_spec("re2") else with_re)(pattern)


def with_re(pattern: str) -> Regex:
    """The translation to Python's `re`."""
    try:
        tree = parse(pattern)
        RunawayCheck().run(tree)
        return Regex(pattern, re.compile(for_re(tree)))
    except (RegexSyntaxError, re.error, OverflowError, RecursionError) as error:
        raise _refused(pattern, error) from None


def with_re2(pattern: str) -> Regex:
    tree = _parsed(pattern)
    re2 = importlib.import_module("re2")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    try:
        made = re2.compile(for_re2(tree), options)
    except re2.error as error:
        raise _refused(pattern, error) from None
    return Regex(pattern, made)


def _parsed(pattern: str) -> Node:
    try:
        return parse(pattern)
    except (RegexSyntaxError, RecursionError) as error:
        raise _refused(pattern, error) from None


def _refused(pattern: str, error: Exception) -> EngineError:
    return EngineError(f"regular expression {pattern!r}: {error}")


__all__ = ["Regex", "Substitution", "compile_regex", "with_re", "with_re2"]
