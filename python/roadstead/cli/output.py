"""How answers are written: json and yaml for programs, tables for people; colour and width only on a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

import msgspec
import rich_click as click
from rich.cells import cell_len

from roadstead.cli.jsonpath import Tree

Row = Sequence[str]


def tree_of(value: object) -> Tree:
    """Plain lists, dicts and scalars of structs and tuples."""
    # Through JSON: to_builtins leaves tuples as they are.
    made: Tree = msgspec.json.decode(msgspec.json.encode(value))
    return made


def write(tree: Tree, form: str) -> None:
    """As json (indented) or yaml (one document)."""
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode())
    else:
        click.echo(msgspec.yaml.encode(tree).decode(), nl=False)


def table(header: Row, rows: Sequence[Row], *, headers: bool = True) -> None:
    """Columns as kubectl prints them: no frame, three spaces, never cut or folded. headers: whether the first line is
    printed."""
    lines = [header, *rows] if headers else rows
    widths = [max((cell_len(line[at]) for line in lines), default=0) for at in range(len(header))]
    for number, row in enumerate(lines):
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        text = "   ".join(cells).rstrip()
        click.echo(click.style(text, bold=True) if headers and not number else text)


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Aligned `name  value` lines; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        field(name, value, width)


def field(name: str, value: str, width: int) -> None:
    """`name  value`; on a terminal what does not fit goes on under the value."""
    first, *rest = _lines(value, width + 2)
    click.echo(click.style(name.ljust(width), bold=True) + "  " + first)
    for line in rest:
        click.echo(" " * (width + 2) + line)


def paragraph(text: str, *, colour: str) -> None:
    """Text in a colour; on a terminal what does not fit goes on indented."""
    first, *rest = _lines(text, 2)
    click.echo(click.style(first, fg=colour))
    for line in rest:
        click.echo("  " + click.style(line, fg=colour))


def _lines(text: str, indent: int) -> list[str]:
    if not sys.stdout.isatty():
        return [text]
    room = max(20, shutil.get_terminal_size().columns - indent)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
