"""A recorded request carried out by an exchange against what the recording's upstreams did, in a time of its own.

`x-fail` asked the upstream for outcomes (one for each try, the last one repeats), `x-slow` for time; where Envoy could not connect
or found nonsense, the upstream was like that. The client gave up after 15 seconds."""

from __future__ import annotations

import re
from collections.abc import Callable

from roadstead import Decision
from roadstead.steps import Delay, Respond, Try

from .recorded import Recorded

Differ = Callable[[str, object, object], None]
_MS = 1_000_000
_PATIENCE = 15_000 * _MS
_GRPC = {"content-type": "application/grpc", "grpc-status": "14"}
_EXPECTED = "x-envoy-expected-rq-timeout-ms"


def carry(sent: dict[str, str], expect: Recorded, decision: Decision, differ: Differ) -> None:
    """Tell where the end differs from what was recorded: status, flags, tries, details, body, headers of the first try."""
    exchange, now = decision.exchange(0), 0
    first = exchange.step
    if isinstance(first, Delay):
        first = exchange.expired(now := first.until)
    if isinstance(first, Try):
        added = expect.get("request_headers_added", {})
        differ(_EXPECTED, added.get(_EXPECTED), dict(first.headers).get(_EXPECTED))
        kept = {name.lower() for name, _ in exchange.apply(sent)}
        removed = {name for name in expect.get("request_headers_removed", ()) if name.startswith("x-envoy-")}
        differ("headers that steer", set(), removed & kept)
    slow = int(sent.get("x-slow", 0)) * _MS
    while isinstance(step := exchange.step, Delay | Try):
        if isinstance(step, Delay):
            exchange.expired(now := step.until)
            continue
        outcome = _outcome(sent, expect, step.number)
        answered = None if outcome == "hang" else now + slow
        if answered is not None and (step.deadline is None or answered < step.deadline):
            now = answered
            if outcome.isdecimal():
                exchange.response(int(outcome), now=now)
            elif outcome == "grpc14":
                exchange.response(200, _GRPC, now=now)
            else:
                exchange.reset(outcome, now=now)  # type: ignore[arg-type]
        elif step.deadline is not None:
            exchange.expired(now := step.deadline)
        else:
            exchange.cancel(_PATIENCE)
    differ("flags", expect["response_flags"], exchange.flags or "-")
    if "attempts" not in expect.get("depends_on_endpoint", ()):
        differ("attempts", expect.get("attempts", 0), exchange.attempts)
    differ("details", expect["details"].partition("|")[0].rstrip("}"), exchange.step.details.rstrip("}"))
    if "status" in expect:
        differ("status", expect["status"], exchange.step.status)
    if expect.get("body") and isinstance(exchange.step, Respond):
        differ("body", expect["body"], exchange.step.body.decode())


def _outcome(sent: dict[str, str], expect: Recorded, number: int) -> str:
    broken = re.search(r"\{(\w+)", expect["details"])
    reason = broken[1] if broken is not None else "connection_termination"
    if reason in ("remote_connection_failure", "protocol_error"):
        return reason
    outcomes = sent.get("x-fail", "200").split(",")
    outcome = outcomes[min(number, len(outcomes)) - 1]
    return reason if outcome == "reset" else outcome
