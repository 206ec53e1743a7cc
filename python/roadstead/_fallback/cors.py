"""What a CORS policy writes into responses, and preflights that are answered here (Envoy: cors_filter.cc)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead import _lowered as low
from roadstead._fallback.matching import text_test

if TYPE_CHECKING:
    from roadstead._fallback.decision import Decision

_ORIGIN, _METHOD, _HEADERS = "origin", "access-control-request-method", "access-control-request-headers"
HEADERS = (_ORIGIN, _METHOD, _HEADERS)
"""What is read of a request."""
PREFLIGHT = "cors:preflight"
"""The reason of a decision that answers a preflight: nothing of the route is done to it."""


class Cors:
    """A route's policy, its origins as functions."""

    __slots__ = ("_cors", "_origins")

    def __init__(self, cors: low.Cors) -> None:
        self._cors = cors
        self._origins = tuple([text_test(origin) for origin in cors.origins])

    def answers(self, request: Decision) -> bool:
        """Whether the request is a preflight that goes no further."""
        if request._request[2] != "OPTIONS":
            return False
        origin = _value(request, _ORIGIN)
        if not origin or not _value(request, _METHOD):
            return False
        return not self._cors.forward_unmatched or self._allows(origin)

    def operations(self, request: Decision, preflight: bool) -> tuple[low.HeaderOp, ...]:
        """What is written into a response or the answer to a preflight, empty values too; nothing for an origin that is
        not allowed."""
        cors, origin = self._cors, _value(request, _ORIGIN)
        if not origin or not self._allows(origin):
            return ()
        found = (
            ("access-control-allow-origin", origin, None, False),
            ("access-control-allow-credentials", "true" if cors.allow_credentials else "", None, False),
            ("access-control-allow-methods", cors.allow_methods, _METHOD, True),
            ("access-control-allow-headers", cors.allow_headers, _HEADERS, True),
            ("access-control-expose-headers", cors.expose_headers, None, False),
            ("access-control-max-age", cors.max_age, None, True),
        )
        return tuple(
            [
                low.HeaderOp(low.SET, name, text if asked is None or text != "*" else _value(request, asked))
                for name, text, asked, only in found
                if text and (preflight or not only)
            ]
        )

    def _allows(self, origin: str) -> bool:
        return any(allows("*") or allows(origin) for allows in self._origins)


def _value(request: Decision, name: str) -> str:
    return ",".join(request._lines_of(name))
