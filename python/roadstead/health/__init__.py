"""Active health checks: `session` is one endpoint over time, `probes` one check on the wire, `checks` the loop."""

from __future__ import annotations

from roadstead.health.checks import Checks, CheckStatus, Sink
from roadstead.health.session import Event, Health, Result, Session

__all__ = ["CheckStatus", "Checks", "Event", "Health", "Result", "Session", "Sink"]
