"""What an Exchange says is to be done now: small facts, the same classes whichever engine makes them.

Instants are nanoseconds of the engine's clock (`time.monotonic_ns`, or the `clock` the registry was given).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from roadstead._core import RequestLease

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Delay(NamedTuple):
    """Wait until this instant, then call `expired()`: an injected fault, or the back-off before the next try (or the
    request's time limit, where that comes first)."""

    until: int


class Try(NamedTuple):
    """Send the request to `lease.endpoint`, then report `response` or `reset`; `expired()` when the deadline passes.

    number: from 1. deadline: the limit of this try or of the whole request, whichever comes first; None: no limit.
    headers: to be set on the request after `Decision.apply` (Envoy: x-envoy-attempt-count, -expected-rq-timeout-ms,
    grpc-timeout). mirrors: clusters that get a copy (`Exchange.mirror`); on the first try only."""

    lease: RequestLease
    number: int
    deadline: int | None
    headers: Headers
    mirrors: tuple[str, ...]


class Forward(NamedTuple):
    """Pass the response on as it comes. Report `ended()` at its end, `reset` where it breaks, `expired()` at the
    deadline (the request's; None: no limit)."""

    status: int
    flags: str
    deadline: int | None


class Respond(NamedTuple):
    """The exchange is over: answer with this. status, headers and body are Envoy's own answer (a gRPC request is told
    by grpc-status and grpc-message); `Decision.apply_response` is still to be applied to the headers. flags: Envoy's,
    comma separated. details: Envoy's RESPONSE_CODE_DETAILS."""

    status: int
    headers: Headers
    body: bytes
    flags: str
    details: str


class Done(NamedTuple):
    """The exchange is over: the upstream's response is the answer. status: its own; 0 where the client left first.
    reset: it is cut off, so the client's stream must be too."""

    status: int
    flags: str
    details: str
    reset: bool


Step: TypeAlias = Delay | Try | Forward | Respond | Done

__all__ = ["Delay", "Done", "Forward", "Headers", "Respond", "Step", "Try"]
