"""Conditions of a route as functions, made once at `put`: text tests, headers, query parameters.

A condition is called with the decision under way, which knows the request. Paths are tested without query and fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, TypeAlias

from roadstead import _lowered as low
from roadstead._fallback.regex import compile_regex
from roadstead.errors import EngineError

if TYPE_CHECKING:
    from roadstead._fallback.decision import Decision
    from roadstead._fallback.rewrite import Headers

TextTest: TypeAlias = Callable[[str], bool]
Condition: TypeAlias = "Callable[[Decision], bool]"

# Tests of ALWAYS are left out; a route whose conditions list is empty matches at once.
_KIND_WORDS = {low.EXACT: "", low.PREFIX: "prefix ", low.REGEX: "regex ", low.PRESENT: "present", low.SUFFIX: "suffix "}


def fold(text: str) -> str:
    """ASCII lower case, the only case folding there is here."""
    return text.lower() if text.isascii() else as_bytes(text).lower().decode()


def as_bytes(text: str) -> bytes:
    """Its UTF-8; UnicodeEncodeError for text that no bytes stand for (lone surrogates)."""
    return text.encode()


def read_lines(headers: Headers, names: frozenset[str], lengths: Container[int]) -> dict[str, list[str]]:
    """The lines of the headers of these names (lower case; lengths: theirs); no others are looked at."""
    found: dict[str, list[str]] = {}
    if type(headers) is not dict:
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            if len(name) in lengths and (folded := fold(name)) in names:
                _add(found, folded, value)
        return found
    # Another thread may change it meanwhile.
    headers = headers.copy()
    # Where a plain dict has the name in lower case, that is the header.
    for name in names:
        if name in headers:
            _add(found, name, headers[name])
    if len(found) < len(names):
        absent = names.difference(found)
        for name in [name for name in headers if len(name) in lengths]:
            if (folded := fold(name)) in absent:
                _add(found, folded, headers[name])
    return found


def _add(lines: dict[str, list[str]], name: str, value: str) -> None:
    if not value.isascii():
        as_bytes(value)
    lines.setdefault(name, []).append(value)


def text_test(match: low.ValueMatch) -> TextTest:
    """The test of one string."""
    kind, value, ignore_case = match
    if kind == low.PRESENT:
        return _always
    if kind == low.REGEX:
        return compile_regex(value).full_match
    if ignore_case and kind in (low.EXACT, low.PREFIX):
        folded = fold(value)
        if kind == low.EXACT:
            return lambda text: fold(text) == folded
        return lambda text: fold(text).startswith(folded)
    if kind == low.EXACT:
        return value.__eq__
    if kind == low.PREFIX:
        return lambda text: text.startswith(value)
    if kind == low.SUFFIX:
        return lambda text: text.endswith(value)
    raise EngineError(f"no string match of kind {kind}")


def _always(text: str) -> bool:
    return True


def header_name(name: str) -> str:
    """The name by which a header is kept: `host` and `:authority` are one."""
    name = fold(name)
    return ":authority" if name == "host" else name


def header_condition(match: low.HeaderMatch) -> Condition:
    """Each line is tested by itself; inverted, no line may match. See `_lowered.HeaderMatch` for absent headers."""
    name, invert = header_name(match.name), match.invert
    if match.match.kind == low.PRESENT:
        return lambda request: bool(request._lines_of(name)) is not invert
    test = text_test(match.match)
    absent = test("") is not invert if match.missing_as_empty else False

    def judge(lines: list[str] | None) -> bool:
        if not lines:
            return absent
        for line in lines:
            if test(line):
                return not invert
        return invert

    if name.startswith(":"):
        return lambda request: judge(request._lines_of(name))

    def holds(request: Decision) -> bool:
        # Most headers that rules read are absent: that is told without a further call.
        lines = request._lines
        if lines is None:
            request._lines = lines = request._read()
        return judge(lines[name]) if name in lines else absent

    return holds


def query_condition(match: low.QueryMatch) -> Condition:
    """First occurrence only, nothing decoded."""
    name = match.name
    test = text_test(match.match)

    def holds(request: Decision) -> bool:
        value = query_value(request._given_path, name)
        return value is not None and test(value)

    return holds


def query_value(path: str, name: str) -> str | None:
    """The first value of a parameter; "" for `?k`; None where it is absent."""
    start = path.find("?")
    if start < 0:
        return None
    for parameter in path[start + 1 :].split("&"):
        key, _, value = parameter.partition("=")
        if key == name:
            return value
    return None


def bare(path: str) -> str:
    """The path without query and fragment."""
    cut = path.find("?")
    if cut >= 0:
        path = path[:cut]
    cut = path.find("#")
    return path if cut < 0 else path[:cut]


def describe(match: low.ValueMatch) -> str:
    """For explain: `prefix "/api"`, `regex "a+"`, `"exact"`, `present`."""
    word = _KIND_WORDS[match.kind]
    return word if match.kind == low.PRESENT else f'{word}"{match.value}"'


def describe_header(match: low.HeaderMatch) -> str:
    return f"header {match.name} {'not ' if match.invert else ''}{describe(match.match)}"


def describe_query(match: low.QueryMatch) -> str:
    return f"query {match.name} {describe(match.match)}"
