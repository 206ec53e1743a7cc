"""Exchanges as the tables write them: instants in milliseconds of a clock that stands at 0, steps in one line each."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tests.core.units import UNLIMITED, forward, published, web

from roadstead import _lowered as low
from roadstead.steps import Delay, Forward, Respond, Step, Try

HOST, NAME = "a.test", "outbound|80||a.test"
MS = 1_000_000
THREE = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
RESETS = (
    "local_connection_failure", "remote_connection_failure", "connection_timeout", "connection_termination", "local_reset",
    "remote_reset", "remote_refused_stream_reset", "protocol_error", "overflow",
)  # fmt: skip
SERVER_ERROR = low.Retry("5xx", 3, previous_hosts=True)


def told(step: Step) -> str:
    """A step in one line."""
    if isinstance(step, Delay):
        return f"delay {step.until // MS}"
    if isinstance(step, Try):
        until = "" if step.deadline is None else f" until {step.deadline // MS}"
        return f"try {step.number} {step.lease.endpoint.address[-1]}{until}"
    if isinstance(step, Forward):
        return f"forward {step.status} {step.flags}".rstrip()
    if isinstance(step, Respond):
        return f"respond {step.status} {step.flags} {step.details}"
    return f"done {step.status} {step.flags}".rstrip() + " reset" * step.reset


def engine_with(module: ModuleType, route: low.Route, endpoints: Any = THREE, **options: Any) -> Any:
    limits = options.pop("limits", UNLIMITED)
    return published(module, web(HOST, route, endpoints=endpoints, limits=limits, **options), clock=lambda: 0)


def route(retry: low.Retry | None = None, timeout: float = 0.0, **fields: Any) -> low.Route:
    return forward(NAME)._replace(retry=retry, timeout=timeout, **fields)


def begun(eng: Any, headers: Any = None, draw: int = 0, path: str = "/", **terms: Any) -> Any:
    return eng.route(HOST, 80, path, headers=headers, draw=draw).exchange(0, **terms)


def report(exchange: Any, written: tuple[Any, ...]) -> Step:
    """(milliseconds, report, arguments …)."""
    now, name, *arguments = written
    keywords = arguments.pop() if arguments and isinstance(arguments[-1], dict) and name != "response" else {}
    if name == "response" and len(arguments) > 1 and arguments[-1] == "more":
        arguments.pop()
        keywords = {"end_stream": False}
    step: Step = getattr(exchange, name)(*arguments, **keywords, now=now * MS)
    assert exchange.step == step
    return step


def idle(eng: Any, name: str = NAME) -> bool:
    """Nothing is held any more."""
    stats = eng.cluster(name).stats
    return not any(stats[key] for key in stats if key.endswith("_active"))
