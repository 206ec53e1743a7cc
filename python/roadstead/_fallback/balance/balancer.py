"""One cluster's picker: what follows from membership and health, immutable but for cursors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import lcm
from typing import TypeAlias

from roadstead import _lowered as low
from roadstead._fallback.balance.hashing import Maglev, Member, Ring
from roadstead._fallback.balance.loads import Census, Loads
from roadstead._fallback.balance.schedule import Schedule
from roadstead._fallback.overlay import Live, Slot
from roadstead._fallback.rng import GOLDEN, MASK, mix

# Classes of a host: which vectors it is in.
HEALTHY, DEGRADED, UNHEALTHY, EXCLUDED = 0, 1, 2, 3
# Sources of a schedule, beside the priority and the locality, as keys of `Live.schedules`.
_ALL, _HEALTHY, _DEGRADED, _LOCALITIES_HEALTHY, _LOCALITIES_DEGRADED = 0, 1, 2, 3, 4

_HASHED = frozenset((low.RING_HASH, low.MAGLEV))
_PICK_STEP = GOLDEN * 16
_ONE = 65_536
Hosts: TypeAlias = list[tuple[int, int]]


class Group:
    """Endpoints of one locality at one priority: their indices, weights and classes."""

    __slots__ = ("classes", "first", "priority", "weight", "weights")

    def __init__(self, priority: int, weight: int | None, first: int, weights: list[int], classes: list[int]) -> None:
        self.priority = priority
        self.weight = weight
        self.first = first
        self.weights = weights
        self.classes = classes

    def of_class(self, wanted: int) -> Hosts:
        return [(self.first + at, self.weights[at]) for at, one in enumerate(self.classes) if one == wanted]

    def hosts(self) -> Hosts:
        return [(self.first + at, weight) for at, weight in enumerate(self.weights)]


class _Source:
    """Where hosts of one priority and class come from: a flat schedule, or one of localities with a schedule each."""

    __slots__ = ("flat", "localities", "parts")

    def __init__(self, flat: Schedule | None, localities: Schedule | None, parts: dict[int, Schedule]) -> None:
        self.flat = flat
        self.localities = localities
        self.parts = parts

    def schedule(self) -> Schedule | None:
        return self.flat if self.localities is None else self.parts[self.localities.next()]


class Balancer:
    """Picks indices of endpoints. slots and keys run parallel to the endpoints."""

    __slots__ = (
        "_bias", "_degraded", "_groups", "_healthy", "_keys", "_lb", "_simple", "_slots", "_slow", "_tables", "hashes",
        "live", "loads",
    )  # fmt: skip

    def __init__(self, lb: low.LbConfig, groups: list[Group], slots: Sequence[Slot], keys: Sequence[str], live: Live):
        self._lb = lb
        self._slots = slots
        self._keys = keys
        self.live = live
        count = max((group.priority for group in groups), default=-1) + 1
        self._groups = [[group for group in groups if group.priority == priority] for priority in range(count)]
        self.loads = Loads([_census(of) for of in self._groups], lb.overprovisioning, lb.panic_threshold)
        self._healthy: list[_Source] = []
        self._degraded: list[_Source] = []
        self._tables: dict[int, Ring | Maglev] = {}
        self._bias = lb.active_request_bias if lb.active_request_bias >= 0 else 1.0
        self._slow = SlowStart.of(lb, slots, live.clock)
        self._simple: Schedule | None = None
        # Picks take the hash of the request.
        self.hashes = lb.policy in _HASHED
        if not self.hashes:
            self._make_sources()

    def _make_sources(self) -> None:
        kept: dict[tuple[int, int, int], Schedule] = {}
        for priority, groups in enumerate(self._groups):
            if self.loads.panic[priority]:
                everyone = self._flat(kept, priority, _ALL, [host for group in groups for host in group.hosts()])
                self._healthy.append(everyone)
                self._degraded.append(everyone)
            else:
                self._healthy.append(self._source(kept, priority, groups, _HEALTHY, HEALTHY))
                self._degraded.append(self._source(kept, priority, groups, _DEGRADED, DEGRADED))
        self.live.schedules = kept
        single = self.loads.single
        flat = single >= 0 and not self.loads.panic[single] and self._healthy[single].localities is None
        if flat and self._slow is None:
            self._simple = self._healthy[single].flat

    def _flat(self, kept: dict[tuple[int, int, int], Schedule], priority: int, kind: int, hosts: Hosts) -> _Source:
        return _Source(self._schedule(kept, (priority, kind, 0), hosts) if hosts else None, None, {})

    def _schedule(
        self, kept: dict[tuple[int, int, int], Schedule], key: tuple[int, int, int], hosts: Hosts
    ) -> Schedule:
        if self._lb.policy == low.RANDOM:
            # Weights are ignored.
            hosts = [(index, 1) for index, _ in hosts]
        kept[key] = made = self.live.schedule(key, hosts)
        return made

    def _source(
        self, kept: dict[tuple[int, int, int], Schedule], priority: int, groups: list[Group], kind: int, wanted: int
    ) -> _Source:
        if self._lb.locality_weighted:
            weights = _locality_weights(groups, wanted, self._lb.overprovisioning)
            if weights:
                turns = _LOCALITIES_HEALTHY if kind == _HEALTHY else _LOCALITIES_DEGRADED
                localities = kept[priority, turns, 0] = self.live.schedule((priority, turns, 0), weights)
                parts = {
                    at: self._schedule(kept, (priority, kind, at + 1), groups[at].of_class(wanted)) for at, _ in weights
                }
                return _Source(None, localities, parts)
        return self._flat(kept, priority, kind, [host for group in groups for host in group.of_class(wanted)])

    def pick(self, draw: int, number: int, hashed: int | None, attempt: int, loads: Loads | None = None) -> int:
        """Index of the endpoint, -1 for none. number: of the pick in its decision. attempt: of the same hash.
        loads: in place of the balancer's own, for a try again (Envoy: retry_priority; hash balancers do not ask)."""
        policy = self._lb.policy
        simple = self._simple if loads is None else None
        if simple is not None and policy == low.ROUND_ROBIN:
            return simple.next()
        state = (draw + _PICK_STEP * number + GOLDEN) & MASK
        if simple is not None and policy == low.LEAST_REQUEST:
            return self._credited(simple, self._bias) if simple.weighted else self._least(simple, state)
        first = mix(state)
        if self.hashes:
            return self._by_hash(first if hashed is None else hashed, attempt)
        if not self._groups:
            return -1
        priority, degraded = (loads or self.loads).choose(first)
        if self.loads.panic[priority]:
            self.live.counters.lb_healthy_panic += 1
        schedule = (self._degraded if degraded else self._healthy)[priority].schedule()
        if schedule is None:
            return -1
        if policy == low.RANDOM:
            return schedule.members[first % len(schedule.members)][0]
        factor = None if self._slow is None or self.loads.panic[priority] else self._slow.factor()
        if policy == low.ROUND_ROBIN:
            return schedule.next() if factor is None else self._credited(schedule, 0.0, factor)
        if schedule.weighted or factor is not None:
            return self._credited(schedule, self._bias, factor)
        return self._least(schedule, state)

    def _least(self, schedule: Schedule, state: int) -> int:
        """The first of `choice_count` hosts drawn, unless a later one has strictly fewer active requests."""
        members = schedule.members
        count = len(members)
        if count == 1:
            return members[0][0]
        slots = self._slots
        state = (state + GOLDEN) & MASK
        best = members[mix(state) % count][0]
        active = slots[best].rq_active
        left = self._lb.choice_count - 1
        # Nobody has fewer than none.
        while active and left > 0:
            left -= 1
            state = (state + GOLDEN) & MASK
            index = members[mix(state) % count][0]
            if slots[index].rq_active < active:
                best, active = index, slots[index].rq_active
        return best

    def _credited(self, schedule: Schedule, bias: float, factor: Callable[[Slot], float] | None = None) -> int:
        """A slot of a busy or slowly starting host only counts a part; see the contract's rules."""
        index = -1
        for _ in range(schedule.period * max(8, 1024 // schedule.period) + 1):
            index = schedule.next()
            slot = self._slots[index]
            if factor is None and not slot.rq_active:
                # A whole turn, spent at once.
                return index
            whole = _ONE if factor is None else _ONE * factor(slot)
            slot.credit += int(whole / (slot.rq_active + 1) ** bias)
            if slot.credit >= _ONE:
                slot.credit -= _ONE
                return index
        return index

    def _by_hash(self, hashed: int, attempt: int) -> int:
        if not self._groups:
            return -1
        priority, _ = self.loads.choose(hashed)
        if self.loads.panic[priority]:
            self.live.counters.lb_healthy_panic += 1
        return self.table(priority).choose(hashed, attempt)

    def table(self, priority: int) -> Ring | Maglev:
        """The hash table of a priority, made when first asked for."""
        table = self._tables.get(priority)
        if table is None:
            members = self._table_members(priority)
            lb = self._lb
            if lb.policy == low.RING_HASH:
                table = Ring(members, lb.ring_min, lb.ring_max)
            else:
                table = Maglev(members, lb.table_size)
            self._tables[priority] = table
        return table

    def _table_members(self, priority: int) -> list[Member]:
        groups = self._groups[priority]
        panic = self.loads.panic[priority]
        parts = [group.hosts() if panic else group.of_class(HEALTHY) for group in groups]
        if not self._lb.locality_weighted:
            return self._normalised([host for part in parts for host in part], 1.0)
        total = sum(group.weight or 0 for group in groups)
        return [
            member
            for group, part in zip(groups, parts, strict=True)
            if group.weight
            for member in self._normalised(part, group.weight / total)
        ]

    def _normalised(self, hosts: Hosts, share: float) -> list[Member]:
        total = sum(weight for _, weight in hosts)
        return [Member(index, self._keys[index], weight * share / total) for index, weight in hosts]


class SlowStart:
    """Endpoints that are new get a growing share."""

    __slots__ = ("_aggression", "_clock", "_floor", "_over", "_window")

    def __init__(self, lb: low.LbConfig, over: int, clock: Callable[[], int]) -> None:
        self._window = lb.slow_start_window * 1000.0
        self._aggression = lb.slow_start_aggression if lb.slow_start_aggression > 0 else 1.0
        self._floor = lb.slow_start_min_percent / 100.0
        # When the youngest endpoint is through, in ns.
        self._over = over
        self._clock = clock

    @classmethod
    def of(cls, lb: low.LbConfig, slots: Sequence[Slot], clock: Callable[[], int]) -> SlowStart | None:
        """None for clusters without slow start, or where it is over already."""
        if lb.slow_start_window <= 0 or not slots or lb.policy not in (low.ROUND_ROBIN, low.LEAST_REQUEST):
            return None
        over = max(slot.since for slot in slots) + int(lb.slow_start_window * 1e9)
        return cls(lb, over, clock) if clock() < over else None

    def factor(self) -> Callable[[Slot], float] | None:
        """The factor of an endpoint now; None once every endpoint is through."""
        now = self._clock()
        if now >= self._over:
            return None

        def of(slot: Slot) -> float:
            age = max(1, (now - slot.since) // 1_000_000)
            if age >= self._window:
                return 1.0
            return float(max((age / self._window) ** (1.0 / self._aggression), self._floor))

        return of


def _census(groups: list[Group]) -> Census:
    classes = [one for group in groups for one in group.classes]
    return Census(len(classes), classes.count(HEALTHY), classes.count(DEGRADED), classes.count(EXCLUDED))


def _locality_weights(groups: list[Group], wanted: int, overprovisioning: int) -> list[tuple[int, int]]:
    """Effective weights `w * min(1, f / 100 * eligible / N)` of the localities that have one, as whole numbers."""
    rows = []
    for at, group in enumerate(groups):
        count = len(group.classes) - group.classes.count(EXCLUDED)
        eligible = group.classes.count(wanted)
        if group.weight and eligible:
            rows.append((at, group.weight * min(100 * count, overprovisioning * eligible), count))
    unit = lcm(*[count for _, _, count in rows])
    return [(at, weight * (unit // count)) for at, weight, count in rows]
