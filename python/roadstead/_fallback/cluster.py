"""Clusters and endpoints as the caller sees them, over the state that lives in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, final

from roadstead import _lowered as low
from roadstead._fallback.balance.balancer import DEGRADED, EXCLUDED, HEALTHY, UNHEALTHY, Balancer, Group
from roadstead._fallback.balance.hashing import check_sizes
from roadstead._fallback.overlay import UNSET, Counters, Identity, Live, Slot

EndpointKind = Literal["ip", "hostname", "unix"]
Health = Literal["unknown", "healthy", "unhealthy", "draining", "degraded"]

_KINDS: dict[int, EndpointKind] = {low.IP: "ip", low.HOSTNAME: "hostname", low.UNIX: "unix"}
_NO_LABELS: dict[str, str] = {}


def health_class(eds: int, mark: int) -> int:
    """The class of a host: the worse of EDS health and active health."""
    if eds == low.DRAINING:
        return EXCLUDED
    if eds == low.UNHEALTHY or mark in (low.UNHEALTHY, low.DRAINING):
        return UNHEALTHY
    return DEGRADED if low.DEGRADED in (eds, mark) else HEALTHY


@final
class Endpoint:
    """One host of a cluster. Endpoints are equal when address and port are."""

    __slots__ = ("_eds", "_slot", "address", "hostname", "kind", "labels", "locality", "port", "priority", "weight")

    address: str
    port: int
    kind: EndpointKind
    locality: str
    priority: int
    weight: int
    labels: Mapping[str, str]
    hostname: str
    _eds: int
    _slot: Slot

    @classmethod
    def _made(cls, endpoint: low.Endpoint, locality: str, priority: int, slot: Slot) -> Endpoint:
        made = cls()
        made.address, made.port, kind, made.weight, made._eds, labels, made.hostname, _ = endpoint
        made.kind = _KINDS[kind]
        made.labels = _NO_LABELS if labels is None else labels
        made.locality = locality
        made.priority = priority
        made._slot = slot
        return made

    @property
    def health(self) -> Health:
        mark = self._slot.mark
        found = health_class(self._eds, mark)
        if found == EXCLUDED:
            return "draining"
        if found != HEALTHY:
            return "unhealthy" if found == UNHEALTHY else "degraded"
        return "healthy" if low.HEALTHY in (self._eds, mark) else "unknown"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Endpoint):
            return NotImplemented
        return self.address == other.address and self.port == other.port

    def __hash__(self) -> int:
        return hash((self.address, self.port))

    def __repr__(self) -> str:
        return f"<Endpoint {self.address}:{self.port}>"


class State:
    """One membership of a cluster: its endpoints, their slots, and the balancer once a pick asked for it."""

    __slots__ = ("_groups", "_kept", "_lb", "_live", "balancer", "endpoints", "slots")

    def __init__(self, lb: low.LbConfig, groups: Sequence[low.LocalityGroup], live: Live) -> None:
        self._lb = lb
        self._groups = groups
        self._live = live
        endpoints: list[Endpoint] = []
        kept: dict[Identity, Slot] = {}
        seen: dict[tuple[str, int], int] = {}
        for group in groups:
            for endpoint in group.endpoints:
                ordinal = seen.get((endpoint.address, endpoint.port), 0)
                seen[endpoint.address, endpoint.port] = ordinal + 1
                identity = (endpoint.address, endpoint.port, ordinal)
                slot = live.slots.get(identity) or Slot()
                kept[identity] = slot
                endpoints.append(Endpoint._made(endpoint, group.locality, group.priority, slot))
        live.slots = self._kept = kept
        self.endpoints = tuple(endpoints)
        self.slots = [endpoint._slot for endpoint in endpoints]
        self.balancer: Balancer | None = None
        self._count_ages()

    def balanced(self) -> Balancer:
        """The balancer of this membership and health, made when first asked for."""
        with self._live.lock:
            if self.balancer is None:
                self.balancer = self._build()
            return self.balancer

    def _count_ages(self) -> None:
        """From now, for endpoints that come in or had no slow start so far."""
        slow = self._lb.slow_start_window > 0
        now = self._live.clock() if slow else 0
        for slot in self.slots:
            if not slow:
                slot.since = UNSET
            elif slot.since == UNSET:
                slot.since = now

    def reclaim(self, balanced: bool) -> None:
        """After another membership: what lives is again what lives here."""
        self._live.slots = self._kept
        self._count_ages()
        if balanced or self.balancer is not None:
            self.rebuild()

    def rebuild(self) -> None:
        """After a change of health."""
        self.balancer = self._build()

    def classes(self) -> list[int]:
        return [health_class(endpoint._eds, endpoint._slot.mark) for endpoint in self.endpoints]

    def _build(self) -> Balancer:
        classes = self.classes()
        groups, first = [], 0
        for group in self._groups:
            end = first + len(group.endpoints)
            weights = [endpoint.weight for endpoint in group.endpoints]
            groups.append(Group(group.priority, group.weight, first, weights, classes[first:end]))
            first = end
        keys = [_hash_key(endpoint) for group in self._groups for endpoint in group.endpoints]
        return Balancer(self._lb, groups, self.slots, keys, self._live)


def _hash_key(endpoint: low.Endpoint) -> str:
    if endpoint.hash_key:
        return endpoint.hash_key
    if endpoint.kind == low.UNIX:
        return endpoint.address
    return f"[{endpoint.address}]:{endpoint.port}" if ":" in endpoint.address else f"{endpoint.address}:{endpoint.port}"


_NO_POLICY = low.ClusterPolicy()


@final
class Cluster:
    """One upstream cluster of one published snapshot; what lives in it is shared with its successors."""

    __slots__ = ("_at", "_groups", "_index", "_live", "_low", "_maker", "_policy", "_state", "name")

    name: str

    @classmethod
    def _made(cls, lowered: low.Cluster, live: Live, maker: low.Maker | None = None, at: int = 0) -> Cluster:
        lb = lowered.lb
        check_sizes(lb.ring_min, lb.ring_max, lb.table_size)
        made = cls()
        made.name = lowered.name
        made._maker, made._at = maker, at
        made._policy = lowered.policy or _NO_POLICY
        made._low = lowered
        made._live = live
        made._groups = lowered.groups
        made._state = None
        made._index = -1
        return made

    def _with_spec(self, spec: object) -> Cluster:
        """The same with another spec; itself where it has it already."""
        if spec is self.spec:
            return self
        policy = low.ClusterPolicy._make(
            [getattr(spec, name, default) for name, default in low.ClusterPolicy._field_defaults.items()]
        )
        return Cluster._made(self._low._replace(handle=spec, policy=policy), self._live)

    _low: low.Cluster
    _maker: low.Maker | None
    _at: int
    _policy: low.ClusterPolicy
    _live: Live
    _groups: Sequence[low.LocalityGroup]
    _state: State | None
    _index: int

    def _current(self) -> State:
        state = self._state
        if state is None:
            with self._live.lock:
                state = self._state
                if state is None:
                    self._state = state = State(self._low.lb, self._groups, self._live)
        return state

    def _begin(self, before: Cluster | None) -> None:
        """Before it is seen: take over from the cluster of that name; what was in use there is ready here."""
        if before is not None and before._state is not None:
            balanced = before._state.balancer is not None
            if self._state is None:
                self._renew(self._groups, balanced)
            else:
                # It had the name before: its endpoints have their slots.
                self._state.reclaim(balanced)
        elif self._low.lb.slow_start_window:
            # Ages count from here, not from the first pick.
            self._current()

    def _update(self, groups: Sequence[low.LocalityGroup]) -> None:
        before = self._state
        if before is None:
            self._groups = groups
        else:
            self._renew(groups, before.balancer is not None)

    def _renew(self, groups: Sequence[low.LocalityGroup], balanced: bool) -> None:
        with self._live.lock:
            state = State(self._low.lb, groups, self._live)
            if balanced:
                state.balanced()
            self._groups = groups
            self._state = state

    def _set_health(self, address: str, port: int, health: int) -> bool:
        state = self._current()
        mark = low.UNHEALTHY if health == low.DRAINING else health
        found = [one._slot for one in state.endpoints if one.address == address and one.port == port]
        with self._live.lock:
            for slot in found:
                if self._low.lb.slow_start_window and slot.mark == low.UNHEALTHY != mark:
                    slot.since = self._live.clock()
                slot.mark = mark
            if found:
                state.rebuild()
        return bool(found)

    @property
    def _counters(self) -> Counters:
        return self._live.counters

    # What compile made; the clusters of the outbound policy have no spec

    @property
    def spec(self) -> object:
        return self._low.handle if self._maker is None else self._maker.cluster(self._at)

    @property
    def connection_pool(self) -> object:
        return self._policy.connection_pool

    @property
    def outlier_detection(self) -> object | None:
        return self._policy.outlier_detection

    @property
    def health_checks(self) -> Sequence[object]:
        return self._policy.health_checks

    @property
    def load_balancer(self) -> object:
        return self._policy.load_balancer

    @property
    def tls(self) -> object | None:
        return self._policy.tls

    # What lives

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self._current().endpoints

    @property
    def stats(self) -> dict[str, int]:
        classes = self._current().classes()
        return self._counters.stats() | {
            "membership_total": len(classes),
            "membership_healthy": classes.count(HEALTHY),
            "membership_degraded": classes.count(DEGRADED),
            "membership_excluded": classes.count(EXCLUDED),
        }

    def priority_load(self) -> tuple[tuple[int, int], ...]:
        """(healthy load, degraded load) in percent of each priority."""
        loads = self._current().balanced().loads
        return tuple(zip(loads.healthy, loads.degraded, strict=True))

    def endpoint_stats(self) -> tuple[dict[str, int], ...]:
        """Per endpoint, in order of `endpoints`."""
        return tuple([slot.stats() for slot in self._current().slots])

    def __repr__(self) -> str:
        return f"<Cluster {self.name}>"
