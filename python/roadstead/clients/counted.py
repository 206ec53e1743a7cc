"""Connections that requests are sent over, as their cluster counts them (Envoy: upstream_cx_total, …_active)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from roadstead.steps import Try

if TYPE_CHECKING:
    from types import TracebackType

    from roadstead._core import Cluster, Endpoint
    from roadstead.clients.carry import Call


class Counted:
    """One connection, from when it is being made until it is gone, or did not come about: `end`, by any thread; later
    calls do nothing. One that is collected has ended. cluster, endpoint: None: nothing is counted.

    As a context it is that of making the connection: an error in it means that it did not come about."""

    __slots__ = ("_of",)

    def __init__(self, cluster: Cluster | None, endpoint: Endpoint | None) -> None:
        self._of: tuple[Cluster, Endpoint] | None = None
        if cluster is not None and endpoint is not None:
            cluster.connected(endpoint)
            self._of = cluster, endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.end()

    def end(self) -> None:
        """It is gone."""
        known, self._of = self._of, None
        if known is not None:
            cluster, endpoint = known
            cluster.disconnected(endpoint)

    def __del__(self) -> None:
        self.end()


def counted(call: Call) -> Counted:
    """For the endpoint of a call; of nothing where it is over by now."""
    step = call.exchange.step
    return Counted(step.lease.cluster, step.lease.endpoint) if isinstance(step, Try) else Counted(None, None)


__all__ = ["Counted", "counted"]
