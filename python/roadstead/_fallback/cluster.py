"""Clusters and endpoints as the caller sees them, over the state that lives in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, final

from roadstead import _lowered as low
from roadstead._fallback.balance.balancer import DEGRADED, EXCLUDED, HEALTHY, UNHEALTHY, Balancer, Group
from roadstead._fallback.balance.hashing import check_sizes
from roadstead._fallback.outliers import Hits, Policy, active_in, policy_of
from roadstead._fallback.overlay import (
    UNSET,
    Counters,
    Identity,
    Live,
    Slot,
    breakers,
    count_connection,
    release_connection,
)
from roadstead.host import with_port

EndpointKind = Literal["ip", "hostname", "unix"]
Health = Literal["unknown", "healthy", "unhealthy", "draining", "degraded"]

_KINDS: dict[int, EndpointKind] = {low.IP: "ip", low.HOSTNAME: "hostname", low.UNIX: "unix"}
_NO_LABELS: dict[str, str] = {}


def health_class(eds: int, slot: Slot) -> int:
    """The class of a host: the worst of EDS health, active health and outlier detection."""
    mark = slot.mark
    if eds == low.DRAINING:
        return EXCLUDED
    if eds == low.UNHEALTHY or mark in (low.UNHEALTHY, low.DRAINING) or slot.ejected:
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
        found = health_class(self._eds, self._slot)
        if found == EXCLUDED:
            return "draining"
        if found != HEALTHY:
            return "unhealthy" if found == UNHEALTHY else "degraded"
        return "healthy" if low.HEALTHY in (self._eds, self._slot.mark) else "unknown"

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

    __slots__ = ("_ejects", "_groups", "_kept", "_lb", "_live", "balancer", "endpoints", "slots")

    def __init__(self, lb: low.LbConfig, groups: Sequence[low.LocalityGroup], live: Live, ejects: bool) -> None:
        self._lb = lb
        self._ejects = ejects
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
        self._forget_ejections({})

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

    def _forget_ejections(self, gone: dict[Identity, Slot]) -> None:
        """Those of slots that had been gone, and all where nothing is ejected any more."""
        for slot in gone.values() if self._ejects else self.slots:
            slot.record = None

    def reclaim(self, balanced: bool) -> None:
        """After another membership: what lives is again what lives here."""
        gone = {identity: slot for identity, slot in self._kept.items() if identity not in self._live.slots}
        self._live.slots = self._kept
        self._count_ages()
        self._forget_ejections(gone)
        if balanced or self.balancer is not None:
            self.rebuild()

    def rebuild(self) -> None:
        """After a change of health."""
        self.balancer = self._build()

    def classes(self) -> list[int]:
        return [health_class(endpoint._eds, endpoint._slot) for endpoint in self.endpoints]

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
    return with_port(endpoint.address, endpoint.port)


_NO_POLICY = low.ClusterPolicy()


@final
class Cluster:
    """One upstream cluster of one published snapshot; what lives in it is shared with its successors."""

    __slots__ = ("_at", "_groups", "_index", "_live", "_low", "_maker", "_outliers", "_policy", "_state", "name")

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
        made._outliers = policy_of(lowered.outlier_detection)
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
    _outliers: Policy | None
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
                    self._state = state = self._made_of(self._groups)
        return state

    def _made_of(self, groups: Sequence[low.LocalityGroup]) -> State:
        return State(self._low.lb, groups, self._live, self._outliers is not None)

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
            state = self._made_of(groups)
            if balanced:
                state.balanced()
            self._groups = groups
            self._state = state

    def _set_health(self, address: str, port: int, health: int, now: int) -> bool:
        state = self._current()
        mark = low.UNHEALTHY if health == low.DRAINING else health
        found = [one._slot for one in state.endpoints if one.address == address and one.port == port]
        changed = False
        with self._live.lock:
            for slot in found:
                changed = changed or slot.mark != mark
                if self._low.lb.slow_start_window and slot.mark == low.UNHEALTHY != mark:
                    slot.since = now
                slot.mark = mark
                if mark in (low.HEALTHY, low.DEGRADED) and slot.record is not None and slot.record.ejected:
                    slot.record.bring_back(now)
                    changed = True
            if changed:
                state.rebuild()
        return bool(found)

    def _eject(self, slot: Slot, hits: Hits, now: int, draw: Callable[[], int]) -> bool:
        """What was detected of an endpoint, if it is still here; whether it is ejected now."""
        policy, state = self._outliers, self._current()
        if policy is None or slot.record is None or slot not in state.slots:
            return False
        with self._live.lock:
            back = self._bring_back(policy, state, now)
            ejected = policy.judge(slot.record, state.slots, hits, now, draw, self._live.tally)
            if back or ejected:
                state.rebuild()
        return ejected

    def _tick(self, now: int) -> int | None:
        """Do the ticks that are due; the next one with something to do, None without."""
        policy, state = self._outliers, self._current()
        if policy is None:
            return None
        with self._live.lock:
            if self._bring_back(policy, state, now):
                state.rebuild()
            due = [policy.tick(slot.record, now) for slot in state.slots if slot.record is not None]
        return min([tick for tick in due if tick is not None], default=None)

    def _bring_back(self, policy: Policy, state: State, now: int) -> bool:
        """Whether an endpoint is back."""
        ejected = [slot.record for slot in state.slots if slot.record is not None and slot.record.ejected]
        for slot in state.slots:
            if slot.record is not None:
                policy.tick(slot.record, now)
        return not all(record.ejected for record in ejected)

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
        state = self._current()
        classes = state.classes()
        made = self._counters.stats() | {
            "membership_total": len(classes),
            "membership_healthy": classes.count(HEALTHY),
            "membership_degraded": classes.count(DEGRADED),
            "membership_excluded": classes.count(EXCLUDED),
        }
        made |= breakers(self._counters, self._low.limits)
        if self._outliers is not None:
            made |= self._live.tally.stats(active_in(state.slots))
        return made

    def connected(self, endpoint: Endpoint) -> None:
        """A connection that no lease holds is being made."""
        count_connection(self._live, endpoint._slot)

    def disconnected(self, endpoint: Endpoint) -> None:
        """It is gone, or did not come about."""
        release_connection(self._live, endpoint._slot)

    def priority_load(self) -> tuple[tuple[int, int], ...]:
        """(healthy load, degraded load) in percent of each priority."""
        loads = self._current().balanced().loads
        return tuple(zip(loads.healthy, loads.degraded, strict=True))

    def endpoint_stats(self) -> tuple[dict[str, int], ...]:
        """Per endpoint, in order of `endpoints`."""
        slots, policy = self._current().slots, self._outliers
        if policy is None:
            return tuple([slot.stats() for slot in slots])
        return tuple([slot.stats() | policy.stats(slot.record) for slot in slots])

    def __repr__(self) -> str:
        return f"<Cluster {self.name}>"
