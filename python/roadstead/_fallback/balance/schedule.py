"""Round robin and Envoy's EDF order as schedules with one cursor (edf_scheduler.h).

The EDF queue with fixed weights repeats after `sum(w / gcd)` picks: entry i stands at the deadlines k / w_i. Ties come
in order of insertion: the smaller weight was put back earlier, then list order. Up to `MAX_CYCLE` entries the cycle is
written out; beyond that an entry is found by its rank.
"""

from __future__ import annotations

import heapq
from math import gcd, lcm

MAX_CYCLE = 65_536


class Schedule:
    """What to take next. members: (index, reduced weight); equal members: an equal schedule, whose cursor may be kept.

    order: the indices in turn, None where the cycle is too long to be written out. weighted: weights differ."""

    __slots__ = ("cursor", "members", "order", "period", "weighted")

    def __init__(self, members: list[tuple[int, int]], cursor: int) -> None:
        divisor = gcd(*[weight for _, weight in members]) or 1
        self.members = tuple([(index, weight // divisor) for index, weight in members])
        total = sum(weight for _, weight in self.members)
        self.weighted = len({weight for _, weight in self.members}) > 1
        self.order: list[int] | None = None
        self.period = total if self.weighted else len(members)
        if not self.weighted:
            self.order = [index for index, _ in self.members]
        elif total <= MAX_CYCLE:
            self.order = _cycle(self.members)
        self.cursor = cursor

    def next(self) -> int:
        """The next in order; the schedule is not empty."""
        at = self.cursor
        self.cursor = at + 1
        order = self.order
        return _by_rank(self.members, at % self.period) if order is None else order[at % len(order)]


def _cycle(members: tuple[tuple[int, int], ...]) -> list[int]:
    # Deadlines k / w as whole numbers: in units of 1 / lcm of the weights.
    unit = lcm(*[weight for _, weight in members])
    queue = [(unit // weight, weight, position) for position, (_, weight) in enumerate(members)]
    heapq.heapify(queue)
    order = []
    for _ in range(sum(weight for _, weight in members)):
        deadline, weight, position = queue[0]
        order.append(members[position][0])
        heapq.heapreplace(queue, (deadline + unit // weight, weight, position))
    return order


def _by_rank(members: tuple[tuple[int, int], ...], rank: int) -> int:
    """The entry at a rank of the order: for each member, the k whose deadline has that rank."""
    for position, (index, weight) in enumerate(members):
        low, high = 1, weight
        while low <= high:
            k = (low + high) // 2
            found = _rank_of(members, position, k)
            if found == rank:
                return index
            if found < rank:
                low = k + 1
            else:
                high = k - 1
    return members[0][0]


def _rank_of(members: tuple[tuple[int, int], ...], position: int, k: int) -> int:
    """How many deadlines come before the k-th of the member at `position`."""
    own = members[position][1]
    before = 0
    for other, (_, weight) in enumerate(members):
        if other == position:
            before += k - 1
            continue
        # The other's deadlines up to k / own; one that is equal comes before only if it wins the tie.
        count, rest = divmod(k * weight, own)
        before += count - 1 if not rest and (weight, other) > (own, position) else count
    return before
