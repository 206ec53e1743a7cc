"""The endpoints' own door: what DNS, health checks and workloads report, straight to the engine, without a compile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from roadstead.errors import NoSuchCluster, NoSuchEndpoint
from roadstead.host import is_ip
from roadstead.mesh import Endpoint, LocalityGroup
from roadstead.registry.lower import MARKS, lowered_groups
from roadstead.registry.similar import similar

if TYPE_CHECKING:
    from roadstead._core import Engine
    from roadstead.errors import Waiting

Health = Literal["unknown", "healthy", "unhealthy", "degraded"]
Arrange = Callable[[Sequence[Endpoint]], tuple[LocalityGroup, ...]]
"""Endpoints → the cluster's groups with the priorities and weights its policy gives them."""


class ClusterEndpoints:
    """The endpoints of one cluster of one node (`Registry.endpoints`).

    What is set here holds until a change of configuration gives the cluster other endpoints; then those hold."""

    __slots__ = ("_arrange", "_engine", "_once", "name")

    def __init__(self, engine: Engine, name: str, arrange: Arrange, *, once: bool) -> None:
        self._engine = engine
        self._arrange = arrange
        self._once = once
        self.name = name

    def update(self, endpoints: Iterable[Endpoint | str]) -> None:
        """Replace all endpoints of the cluster; visible when this returns. Localities get the priorities and weights
        that the cluster's policy gives them. An endpoint may be text: "10.0.0.1:80", "[::1]:80", "name:80",
        "unix:///path".

        Counters, health and ejections of endpoints that stay (same address and port) survive. NoSuchCluster once it is
        gone; ValueError for text that is no endpoint."""
        given = [parse_endpoint(one) if isinstance(one, str) else one for one in endpoints]
        groups = lowered_groups(self._arrange(given), once=self._once)
        try:
            self._engine.update_endpoints(self.name, groups)
        except KeyError:
            raise no_such_cluster(self._engine, self.name) from None

    def hold(self, want: Callable[[], Waiting]) -> None:
        """Take the endpoints away until `update` brings some: what they are is not known yet. Who picks meanwhile gets
        EndpointsPending, which calls `want`. NoSuchCluster once the cluster is gone."""
        try:
            self._engine.hold(self.name, want)
        except KeyError:
            raise no_such_cluster(self._engine, self.name) from None

    def set_health(self, address: str, port: int, health: Health) -> None:
        """What an active check found; takes effect at once. "unknown" takes the mark away. "healthy" and "degraded" end
        an ejection too (Envoy: successful_active_health_check_uneject_host), so each check that an ejected endpoint
        passes is to be reported. NoSuchEndpoint for one that the cluster does not have, NoSuchCluster once it is gone;
        ValueError for another word."""
        mark = MARKS.get(health)
        if mark is None:
            raise ValueError(f"no health {health!r}: one of {', '.join(MARKS)}")
        try:
            self._engine.set_health(self.name, address, port, mark)
        except KeyError:
            if self._engine.cluster(self.name) is None:
                raise no_such_cluster(self._engine, self.name) from None
            raise NoSuchEndpoint(self.name, address, port) from None


def no_such_cluster(engine: Engine, name: str) -> NoSuchCluster:
    """The error, with names that look like it."""
    known = [cluster.name for cluster in engine.clusters() if cluster is not None]
    return NoSuchCluster(name, similar(name, known))


def parse_endpoint(text: str) -> Endpoint:
    """`address:port`, `[v6]:port` or `unix:///path` → an endpoint of weight 1."""
    if text.startswith("unix://"):
        return Endpoint(text[len("unix://") :], 0, "unix")
    address, colon, port = text.rpartition(":")
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not colon or not bare or not port.isdecimal() or not 0 < int(port) < 65536 or (":" in bare and bare is address):
        raise ValueError(f"not an endpoint: {text!r} (expected address:port, [v6]:port or unix:///path)")
    return Endpoint(bare, int(port), "ip" if is_ip(bare) else "hostname")
