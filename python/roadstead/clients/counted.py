"""Connections that requests are sent over, as their cluster counts them (Envoy: upstream_cx_total, …_active)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.steps import Try

if TYPE_CHECKING:
    from roadstead._core import Cluster, Endpoint
    from roadstead.clients.carry import Call


class Counted:
    """One connection, from when it is being made until it is gone, or did not come about: `end`, by any thread; later
    calls do nothing. One that is collected has ended. endpoint: None: nothing is counted."""

    __slots__ = ("_of",)

    def __init__(self, cluster: Cluster, endpoint: Endpoint | None) -> None:
        self._of: tuple[Cluster, Endpoint] | None = None
        if endpoint is not None:
            cluster.connected(endpoint)
            self._of = cluster, endpoint

    def end(self) -> None:
        """It is gone."""
        known, self._of = self._of, None
        if known is not None:
            cluster, endpoint = known
            cluster.disconnected(endpoint)

    def __del__(self) -> None:
        self.end()


def counted(call: Call) -> Counted | None:
    """For the endpoint of a call; None where it is over by now."""
    step = call.exchange.step
    return Counted(step.lease.cluster, step.lease.endpoint) if isinstance(step, Try) else None


__all__ = ["Counted", "counted"]
