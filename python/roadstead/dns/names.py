"""What is known of one name, and when it is asked for again: Envoy's DNS clusters, without I/O.

| the servers say | STRICT_DNS (`addresses`) | LOGICAL_DNS (`first`) | asked again after |
|---|---|---|---|
| addresses | these | the first of them | TTL within floor and ceiling, else `refresh`; + up to `jitter` |
| the name does not exist, or has none | none | as before | `refresh`, + up to `jitter` |
| nothing that can be used (SERVFAIL, silence) | as before | as before | `refresh`, or the failure back-off |

Beyond Envoy, where a policy asks for it: with `stale_if_error` a name that was there and is said not to exist, or that
nobody answers for, keeps its addresses for so many seconds after the last good answer and loses them then; with `grace`
an address that is missing from a good answer stays for so many seconds.
"""

from __future__ import annotations

import msgspec

from roadstead.dns.answer import Answer


class Policy(msgspec.Struct, frozen=True, gc=False):
    """How a name is kept fresh. Seconds.

    refresh: where no TTL is told and after failures (Istio: MeshConfig.dnsRefreshRate; Envoy: dns_refresh_rate).
    jitter: an answer is asked for again up to so much later (Envoy: dns_jitter; Istio: 100 ms).
    ttl_floor, ttl_ceiling: bounds of a TTL (Envoy: dns_min_refresh_rate).
    failure_base, failure_max: failures in a row are retried after a random time below base x 2 ** n, at most max
    (Envoy: dns_failure_refresh_rate; Istio sets none). None: `refresh`; failure_max None: 10 x base.
    stale_if_error: see above; None: as Envoy. grace: see above."""

    refresh: float = 60.0
    jitter: float = 0.1
    ttl_floor: float = 1.0
    ttl_ceiling: float = 86_400.0
    failure_base: float | None = None
    failure_max: float | None = None
    stale_if_error: float | None = None
    grace: float = 0.0

    def __post_init__(self) -> None:
        for field in (
            "refresh",
            "jitter",
            "ttl_floor",
            "ttl_ceiling",
            "failure_base",
            "failure_max",
            "stale_if_error",
            "grace",
        ):
            value = getattr(self, field)
            if value is not None and value < 0:
                raise ValueError(f"{field} must not be negative: {value}")
        if not self.refresh:
            raise ValueError("refresh must be more than 0 seconds")
        if self.ttl_floor > self.ttl_ceiling:
            raise ValueError(f"ttl_floor {self.ttl_floor} is above ttl_ceiling {self.ttl_ceiling}")


ISTIO = Policy()


class NameState:
    """One name of one family. Times are seconds of one monotonic clock, draws numbers in [0, 1)."""

    __slots__ = (
        "_first",
        "_good",
        "_good_at",
        "_leaving",
        "_stale",
        "answered",
        "due",
        "error",
        "failures",
        "policy",
        "started",
    )

    def __init__(self, policy: Policy = ISTIO) -> None:
        self.policy = policy
        # Whether anybody said anything yet, failures included (Envoy: the cluster is initialised then).
        self.started = False
        # Whether there was ever an answer, be it that the name does not exist.
        self.answered = False
        # When to look up next.
        self.due = 0.0
        # Failures in a row, and what the last one was; "" after an answer.
        self.failures = 0
        self.error = ""
        self._good: tuple[str, ...] = ()
        self._good_at = 0.0
        self._first: str | None = None
        # `_good` is not what the servers say any more; `stale_if_error` keeps it.
        self._stale = False
        # Address: until when it stays although the name does not have it any more.
        self._leaving: dict[str, float] = {}

    def addresses(self, now: float) -> tuple[str, ...]:
        """Of STRICT_DNS: all that the name stands for."""
        if self._is_too_old(now):
            return ()
        kept = [address for address, until in self._leaving.items() if until > now]
        return (*self._good, *kept) if kept else self._good

    def first(self, now: float) -> tuple[str, ...]:
        """Of LOGICAL_DNS: where new connections go, the first of the last answer that had any; else nothing."""
        return () if self._first is None or self._is_too_old(now) else (self._first,)

    def changes_at(self, now: float) -> float | None:
        """When `addresses` or `first` will be different without another answer; None: never."""
        times = [until for until in self._leaving.values() if until > now]
        limit = self.policy.stale_if_error
        if self._stale and limit is not None and not self._is_too_old(now):
            times.append(self._good_at + limit)
        return min(times, default=None)

    def took(self, answer: Answer, now: float, draw: float) -> None:
        """An answer came. draw: for the jitter."""
        policy = self.policy
        self.started = self.answered = True
        self.failures, self.error = 0, ""
        if answer.addresses:
            self._leave(answer.addresses, now)
            # A server that turns its records round tells nothing new: those that stay keep their places.
            stay = [address for address in self._good if address in answer.addresses]
            self._good = (*stay, *[address for address in answer.addresses if address not in stay])
            self._good_at, self._first = now, answer.addresses[0]
            self._stale = False
        elif policy.stale_if_error is not None and self._good:
            self._stale = True
        else:
            self._leave((), now)
            self._good = ()
        ttl = min(max(answer.ttl, policy.ttl_floor), policy.ttl_ceiling) if answer.ttl > 0 else policy.refresh
        self.due = now + ttl + draw * policy.jitter

    def failed(self, error: str, now: float, draw: float) -> None:
        """Nothing that can be used came. draw: for the back-off."""
        self.started = True
        self.failures += 1
        self.error = error
        self._stale = self.policy.stale_if_error is not None and bool(self._good)
        self.due = now + self._back_off(draw)

    def _back_off(self, draw: float) -> float:
        policy = self.policy
        if policy.failure_base is None:
            return policy.refresh
        most = 10 * policy.failure_base if policy.failure_max is None else policy.failure_max
        # As Envoy's jittered back-off: anything below the interval, which doubles from failure to failure.
        return max(0.001, draw * min(policy.failure_base * 2.0 ** min(self.failures - 1, 63), most))

    def _is_too_old(self, now: float) -> bool:
        limit = self.policy.stale_if_error
        return self._stale and limit is not None and now >= self._good_at + limit

    def _leave(self, fresh: tuple[str, ...], now: float) -> None:
        """Addresses that are missing from now on stay as long as the policy grants."""
        if not self.policy.grace and not self._leaving:
            return
        if self.policy.grace:
            for address in self._good:
                self._leaving.setdefault(address, now + self.policy.grace)
        self._leaving = {name: until for name, until in self._leaving.items() if until > now and name not in fresh}
