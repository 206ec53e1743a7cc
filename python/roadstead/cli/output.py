"""How answers are written: json and yaml for programs, tables for people; colour and width only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from roadstead.cli.jsonpath import Tree

Row = Sequence[str]


def console() -> Console:
    """A console on standard output: plain and never wrapped in a pipe. NO_COLOR is kept by rich."""
    return Console(soft_wrap=not sys.stdout.isatty(), highlight=False)


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


def table(header: Row, rows: Sequence[Row]) -> None:
    """Columns as kubectl prints them: no frame, two spaces, cut to the width of a terminal only there."""
    if not sys.stdout.isatty():
        widths = [max([len(header[at]), *(len(row[at]) for row in rows)]) for at in range(len(header))]
        for row in (header, *rows):
            click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in header:
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*row)
    console().print(made)


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Aligned `name  value` lines; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(click.style(name.ljust(width), bold=True) + "  " + value)
