"""Values of header operations with Envoy's commands in them (substitution_formatter.cc), taken apart when lowered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from roadstead import _lowered as low
from roadstead._fallback.matching import fold

Fact: TypeAlias = Callable[[low.Piece, "list[low.HeaderOp]"], str | None]
"""What a piece stands for, given the operations before; None: there is none."""


def rendered(operations: Iterable[low.HeaderOp], fact: Fact) -> tuple[low.HeaderOp, ...]:
    """Operations with their values."""
    made: list[low.HeaderOp] = []
    for operation in operations:
        value = _text(operation.format, fact, made) if operation.format else operation.value
        made.append(low.HeaderOp(operation.kind, operation.name, value))
    return tuple(made)


def _text(pieces: tuple[low.Piece, ...], fact: Fact, before: list[low.HeaderOp]) -> str:
    found = []
    for piece in pieces:
        if piece.kind == low.TEXT:
            found.append(piece.text)
        elif (value := fact(piece, before)) is not None:
            found.append(value.encode()[: piece.limit].decode(errors="ignore") if piece.limit else value)
    return "".join(found)


def after(operations: Iterable[low.HeaderOp], name: str, before: str | None) -> str | None:
    """The first value of a header after operations on it."""
    wanted, found = fold(name), before
    for kind, known, value, _ in operations:
        if fold(known) != wanted:
            continue
        if kind == low.REMOVE:
            found = None
        elif value and (kind == low.SET or found is None):
            found = value
    return found


def names(operations: Iterable[low.HeaderOp]) -> list[str]:
    """The request headers that are read for their values."""
    pieces = [piece for operation in operations for piece in operation.format if piece.kind == low.REQUEST_HEADER]
    return [name for piece in pieces for name in (piece.text, piece.other) if name]
