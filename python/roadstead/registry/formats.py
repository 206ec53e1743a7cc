"""Formats of headers' values (`config.header_format`) as the engine has them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from roadstead import _lowered as low
from roadstead.config.header_format import Command, pieces

_HEADERS = {"REQ": low.REQUEST_HEADER, "RESP": low.RESPONSE_HEADER}
_FACTS = {
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": low.Piece(low.SOURCE_IP),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": low.Piece(low.SOURCE_IP),
    "RESPONSE_CODE": low.Piece(low.STATUS),
    # Istio calls clusters in statistics by their names and a semicolon.
    "UPSTREAM_CLUSTER": low.Piece(low.CLUSTER, ";"),
    "UPSTREAM_CLUSTER_RAW": low.Piece(low.CLUSTER),
    # Who calls `route` speaks for a program that speaks HTTP/1.1 to its proxy.
    "PROTOCOL": low.Piece(low.TEXT, "HTTP/1.1"),
}


FORWARDED_HOST = low.HeaderOp(low.ADD, "x-forwarded-host", "", (low.Piece(low.REQUEST_HEADER, ":authority"),))
"""The old host goes along (Envoy: append_x_forwarded_host)."""


@lru_cache(maxsize=1024)
def taken_apart(value: str) -> tuple[str, tuple[low.Piece, ...]]:
    """The value as it is sent, and no pieces; or "" and the pieces that make it for each request."""
    if "%" not in value:
        return value, ()
    found = tuple(_joined(value))
    if any(piece.kind != low.TEXT for piece in found):
        return "", found
    return "".join([piece.text for piece in found]), ()


def _joined(value: str) -> Iterator[low.Piece]:
    """Neighbouring texts are one."""
    text = ""
    for one in pieces(value):
        piece = low.Piece(low.TEXT, one) if isinstance(one, str) else _piece(one)
        if piece.kind == low.TEXT:
            text += piece.text
            continue
        if text:
            yield low.Piece(low.TEXT, text)
            text = ""
        yield piece
    if text:
        yield low.Piece(low.TEXT, text)


def _piece(command: Command) -> low.Piece:
    if command.word in _HEADERS:
        first, _, other = command.argument.partition("?")
        return low.Piece(_HEADERS[command.word], first.lower(), other.lower(), command.limit)
    return _FACTS.get(command.word, low.Piece(low.TEXT))._replace(limit=command.limit)
