"""kubectl's `-o jsonpath=TEMPLATE`: text, `{.path}`, `{"\\n"}`, `{range .items[*]} … {end}` over jsonpath-ng."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import click

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | int | float | bool | None"


class _Piece(NamedTuple):
    """kind: text, path, range (with a body)."""

    kind: str
    text: str
    body: tuple[_Piece, ...] = ()


_TOKEN = re.compile(r"""\{((?:[^{}"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*)\}""")
_NAMES = re.compile(r"""\[((?:\s*'[^']*'\s*,)+\s*'[^']*'\s*)\]$""")


def render(template: str, tree: Tree) -> str:
    """The template filled from a tree; click.UsageError for a template that cannot be read."""
    pieces, rest = _parse(_tokens(template))
    if rest:
        raise click.UsageError("jsonpath: {end} without {range}")
    return _render(pieces, tree, tree)


def _tokens(template: str) -> list[_Piece]:
    if "{" not in template:
        template = "{" + template + "}"
    tokens: list[_Piece] = []
    at = 0
    for match in _TOKEN.finditer(template):
        if match.start() > at:
            tokens.append(_plain(template[at : match.start()]))
        inner = match.group(1).strip()
        if inner.startswith(("'", '"')):
            try:
                tokens.append(_Piece("text", str(json.loads('"' + inner[1:-1] + '"'))))
            except ValueError:
                raise click.UsageError(f"jsonpath: bad text {inner}") from None
        elif inner.startswith("range "):
            tokens.append(_Piece("range", inner[6:].strip()))
        else:
            tokens.append(_Piece("end" if inner == "end" else "path", inner))
        at = match.end()
    if at < len(template):
        tokens.append(_plain(template[at:]))
    return tokens


def _plain(text: str) -> _Piece:
    """Text between paths, where a brace can only be half a path."""
    if "{" in text or "}" in text:
        raise click.UsageError(f"jsonpath: {{ and }} do not match in {text!r}")
    return _Piece("text", text)


def _parse(tokens: Sequence[_Piece], inside: bool = False) -> tuple[tuple[_Piece, ...], list[_Piece]]:
    """Pieces up to the matching {end}, and what is left."""
    pieces: list[_Piece] = []
    left = list(tokens)
    while left:
        token = left.pop(0)
        if token.kind == "end":
            if not inside:
                return tuple(pieces), [token, *left]
            return tuple(pieces), left
        if token.kind == "range":
            body, left = _parse(left, inside=True)
            token = token._replace(body=body)
        pieces.append(token)
    if inside:
        raise click.UsageError("jsonpath: {range} without {end}")
    return tuple(pieces), []


def _render(pieces: Sequence[_Piece], tree: Tree, root: Tree) -> str:
    out: list[str] = []
    for piece in pieces:
        if piece.kind == "text":
            out.append(piece.text)
        elif piece.kind == "range":
            out.extend(_render(piece.body, found, root) for found in _find(piece.text, tree, root))
        else:
            out.append(" ".join(_text(found) for found in _find(piece.text, tree, root)))
    return "".join(out)


def _find(path: str, tree: Tree, root: Tree) -> list[Tree]:
    from jsonpath_ng.ext.parser import parse

    several = _NAMES.search(path)
    if several:
        # kubectl's ['a.b', 'c']: each name of every item, name by name.
        names = (one.strip()[1:-1] for one in several[1].split(","))
        return [found for name in names for found in _find(f"{path[: several.start()]}.{name}", tree, root)]
    start = root if path.startswith("$") else tree
    inner = path.removeprefix("$").removeprefix("@")
    if inner in ("", "."):
        return [start]
    if not inner.startswith(("[", ".")):
        inner = "." + inner
    # kubectl escapes dots in keys with a backslash.
    inner = re.sub(
        r"\.((?:[^.\[\]\\]|\\.)*\\\.(?:[^.\[\]\\]|\\.)*)", lambda m: "['" + m[1].replace("\\", "") + "']", inner
    )
    try:
        compiled = parse("$" + inner)
    except Exception as error:  # noqa: BLE001 - the library raises a bare Exception for bad syntax
        raise click.UsageError(f"jsonpath: cannot read {path!r}: {error}") from None
    return [match.value for match in compiled.find(start)]


def _text(value: Tree) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
