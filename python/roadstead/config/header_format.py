"""Values of headers as Envoy reads them: a format, in which `%%` is a percent sign and `%REQ(x)%` a command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_COMMAND = re.compile(r"%(?:%|([A-Z0-9_]+)(?:\(([^()]*)\))?(?::([0-9]+))?%)")


class Command(NamedTuple):
    """word: REQ, PROTOCOL …; argument: what stands in parentheses; limit: most bytes, 0: all."""

    word: str
    argument: str
    limit: int


ANSWERED = frozenset(
    (
        "REQ", "RESP", "PROTOCOL", "RESPONSE_CODE", "UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW",
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    )
)  # fmt: skip
"""Words that stand for something in a decision. The others name what only a proxy knows of its connections: they stand
for nothing here, as one does in Envoy where there is no such thing; what is empty then is not written at all."""


def pieces(value: str) -> Iterator[str | Command]:
    """Texts and commands in order."""
    end = 0
    for found in _COMMAND.finditer(value):
        yield value[end : found.start()]
        end = found.end()
        word, argument, limit = found.groups()
        yield "%" if word is None else Command(word, argument or "", int(limit or 0))
    yield value[end:]


def unanswered(value: str) -> str:
    """A complaint about commands that stand for nothing here."""
    words = [piece.word for piece in pieces(value) if isinstance(piece, Command) and piece.word not in ANSWERED]
    named = ", ".join(f"%{word}%" for word in dict.fromkeys(words))
    return f"{named}: only a proxy knows it; in this process it stands for nothing" if words else ""
