"""One request on its way: faults, tries, time limits, mirrors. The table of its states is in the contract."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias, cast, final

from roadstead import _lowered as low
from roadstead._fallback import overlay, rewrite
from roadstead._fallback.lease import RequestLease
from roadstead._fallback.matching import read_lines
from roadstead._fallback.replies import TIMED_OUT, Reply, own_answer, reset_reply
from roadstead._fallback.retry import CONNECTION_FAILURES, Policy, PreviousPriorities, Verdict, milliseconds
from roadstead._fallback.rewrite import Headers
from roadstead._fallback.rng import SplitMix64, mix
from roadstead._fallback.steering import CONSUMED, UNTRUSTED, Steering, decimal, grpc_timeout_text, steering
from roadstead.errors import EngineError, NoHealthyEndpoint, Overflow
from roadstead.steps import Delay, Done, Forward, Respond, Step, Try

if TYPE_CHECKING:
    from roadstead._core import RequestLease as ContractLease
    from roadstead._fallback.cluster import Cluster, Endpoint
    from roadstead._fallback.decision import Decision

Reset: TypeAlias = Literal[
    "local_connection_failure", "remote_connection_failure", "connection_timeout", "connection_termination",
    "local_reset", "remote_reset", "remote_refused_stream_reset", "protocol_error", "overflow",
]  # fmt: skip
_RESET_FLAGS = {
    "local_connection_failure": "UF",
    "remote_connection_failure": "UF",
    "connection_timeout": "UF",
    "connection_termination": "UC",
    "local_reset": "LR",
    "remote_reset": "UR",
    "remote_refused_stream_reset": "UR",
    "protocol_error": "UPE",
    "overflow": "UO",
}
_FAULT, _BACKOFF, _TRYING, _FORWARDING, _OVER = "fault", "back-off", "try", "response", "over"
_MS = 1_000_000
_MOST = 2**63 - 1
_U16 = 0xFFFF
_MOST_GRPC_STATUS = 16


# How a lease ends whose connection did not come about.
_ERRORS = {**dict.fromkeys(CONNECTION_FAILURES, "connect_failure"), "connection_timeout": "connect_timeout"}


class Terms(NamedTuple):
    """The arguments of `Decision.exchange`."""

    trusted: bool
    replayable: bool
    received: bool
    pending: bool
    hash_key: bytes | int | None


@final
class Exchange:
    """One request on its way: it says what to do now, the caller does it and reports what came of it."""

    __slots__ = (
        "_backoffs",
        "_begun_at",
        "_cluster",
        "_complete_at",
        "_hash_key",
        "_held",
        "_last",
        "_learnt",
        "_lease",
        "_left",
        "_mirrors",
        "_pending",
        "_per_try_at",
        "_policy",
        "_previous",
        "_sent",
        "_started",
        "_state",
        "_steering",
        "_told",
        "_tried",
        "_waiting",
        "attempts",
        "deadline",
        "decision",
        "replayable",
        "step",
    )  # fmt: skip

    decision: Decision
    step: Step
    attempts: int
    deadline: int | None
    replayable: bool

    @classmethod
    def _begun(cls, decision: Decision, now: int | None, terms: Terms, mirror: Cluster | None = None) -> Exchange:
        made = cls()
        made.decision = decision
        made._cluster = decision.cluster if mirror is None else mirror
        made._steering = own = steering(decision._route, decision._request[3], terms.trusted)
        made._policy = own.policy if mirror is None else None
        made._left = 0 if made._policy is None else made._policy.attempts
        frequency = 0 if made._policy is None else made._policy.previous_priorities
        made._previous = PreviousPriorities(frequency) if frequency else None
        made._backoffs = SplitMix64(mix(decision.draw))
        made._hash_key, made._pending = terms.hash_key, terms.pending
        made._mirrors = mirror is None
        made._lease = made._learnt = None
        made._held = made._started = made._sent = made._waiting = False
        made._told, made._tried = [], []
        made._per_try_at = made._complete_at = made.deadline = None
        made.attempts = 0
        made.replayable = terms.replayable
        made._begun_at = made._last = now = made._now(now)
        made._complete_at = now if terms.received else None
        made._state = _FAULT
        delay = 0 if mirror is not None or decision.fault is None else milliseconds(decision.fault[0])
        if delay:
            made._tell("DI")
            made.step = Delay(_after(now, delay))
        else:
            made.step = made._after_delay(now)
        return made

    _cluster: Cluster | None
    _steering: Steering
    _policy: Policy | None
    # Tries left after this one.
    _left: int
    _previous: PreviousPriorities | None
    _backoffs: SplitMix64
    _hash_key: bytes | int | None
    # Tries wait for a connection first; this one still does.
    _pending: bool
    _waiting: bool
    # Not a mirror's.
    _mirrors: bool
    _lease: RequestLease | None
    # gRPC status of the response that is passed on.
    _learnt: int | None
    # A retry is counted against max_retries.
    _held: bool
    # Something of a response was passed on; something of the request was written.
    _started: bool
    _sent: bool
    _told: list[str]
    _tried: list[Endpoint]
    # Since when the request is here as a whole.
    _complete_at: int | None
    _per_try_at: int | None
    # When it began, and when it was over.
    _begun_at: int
    _last: int
    _state: str

    @property
    def flags(self) -> str:
        """Envoy's response flags so far, in order of occurrence."""
        return ",".join(self._told)

    def _tell(self, flag: str) -> None:
        if flag and flag not in self._told:
            self._told.append(flag)

    def _now(self, now: int | None) -> int:
        return self.decision._snapshot.passthrough._live.clock() if now is None else now

    def apply(self, headers: Headers) -> list[tuple[str, str]]:
        """The headers of this try."""
        stripped = CONSUMED if self._steering.trusted else UNTRUSTED
        lines = [line for line in self.decision.apply(headers) if line[0].lower() not in stripped]
        own = self.step.headers if isinstance(self.step, Try) else ()
        return rewrite.apply(tuple([low.HeaderOp(low.SET, name, value) for name, value in own]), lines)

    # Reports

    def received(self, now: int | None = None) -> Step:
        """The whole request is here; the time limits count from now."""
        if self._complete_at is None and self._state != _OVER:
            self._complete_at = now = self._now(now)
            if self._state != _FAULT:
                self._count(now)
                if self._state == _TRYING and not self._waiting:
                    self._limit_try(now)
                self._refresh()
        return self.step

    def ready(self, now: int | None = None) -> Step:
        """The try has its connection."""
        if self._state == _OVER:
            return self.step
        lease = self._under_way("ready")
        try:
            lease.ready()
        except Overflow:
            self._lease = None
            return self._broken("overflow", False, now)
        self._waiting = False
        if self._complete_at is not None:
            self._limit_try(self._now(now))
            self._refresh()
        return self.step

    def response(
        self, status: int, headers: Headers | None = None, *, end_stream: bool = True, now: int | None = None
    ) -> Step:
        """Response headers are here."""
        if not 0 <= status <= _U16:
            raise OverflowError(f"a status is from 0 to {_U16}, not {status}")
        if self._state == _OVER:
            return self.step
        lease = self._under_way("response")
        self._sent = True
        if 100 <= status < 200 and status != 101:
            self._started, self._per_try_at = True, None
            self._refresh()
            return self.step
        policy = self._policy
        names = frozenset(("grpc-status", "x-envoy-ratelimited", *(() if policy is None else policy.headers)))
        lines = {} if headers is None else read_lines(headers, names, frozenset(map(len, names)))
        grpc_status = _grpc_status(lines)
        verdict = Verdict.NO
        if policy is not None and self._may_repeat():
            verdict = self._settled(policy.after_response(status, lines, grpc_status))
        learnt = grpc_status if self._steering.grpc else None
        if verdict is not Verdict.NO:
            lease.finish(status=status, grpc_status=learnt, now=now)
            return self._repeat(verdict, self._now(now))
        self._release()
        if end_stream:
            lease.finish(status=status, grpc_status=learnt, now=now)
            return self._over(Done(status, self.flags, "via_upstream", False), now)
        self._state, self._started, self._per_try_at = _FORWARDING, True, None
        self._learnt = learnt
        self.step = Forward(status, self.flags, self.deadline)
        return self.step

    def ended(self, now: int | None = None) -> Step:
        """The response that is passed on came to its end."""
        if self._state == _OVER:
            return self.step
        if self._state != _FORWARDING or not isinstance(self.step, Forward) or self._lease is None:
            raise EngineError("ended: no response is being passed on")
        self._lease.finish(status=self.step.status, grpc_status=self._learnt, now=now)
        return self._over(Done(self.step.status, self.flags, "via_upstream", False), now)

    def reset(self, reason: Reset, *, sent: bool = True, now: int | None = None) -> Step:
        """The try broke."""
        if reason not in _RESET_FLAGS:
            raise EngineError(f"no reset {reason!r}: {', '.join(_RESET_FLAGS)}")
        if self._state == _OVER:
            return self.step
        if self._lease is None or self._state not in (_TRYING, _FORWARDING):
            raise EngineError("reset: no try is under way")
        self._sent = self._sent or (sent and reason not in CONNECTION_FAILURES)
        verdict = self._after_reset(reason)
        if reason == "overflow":
            self._lease._ended()
        else:
            self._lease.finish(error=_ERRORS.get(reason, "reset"), now=now)
        if verdict is not Verdict.NO:
            return self._repeat(verdict, self._now(now))
        return self._broken(reason, self._started, now)

    def expired(self, now: int | None = None) -> Step:
        """Time has passed; the same step where nothing is due yet."""
        if self._state == _OVER:
            return self.step
        now = self._now(now)
        if self.deadline is not None and now >= self.deadline:
            return self._timed_out("response_timeout", now)
        if isinstance(self.step, Delay):
            if now < self.step.until:
                return self.step
            self.step = self._after_delay(now) if self._state == _FAULT else self._try(now)
        elif self._per_try_at is not None and now >= self._per_try_at and self._lease is not None:
            self._sent = True
            verdict = self._after_reset("local_reset")
            if verdict is Verdict.NO:
                return self._timed_out("upstream_per_try_timeout", now)
            self._lease.finish(error="try_timeout", now=now)
            return self._repeat(verdict, now)
        return self.step

    def cancel(self, now: int | None = None) -> Step:
        """The client went away, or lost interest."""
        if self._state == _OVER:
            return self.step
        status = self.step.status if isinstance(self.step, Forward) else 0
        self._tell("DC")
        if self._lease is not None:
            self._lease._ended()
        return self._over(Done(status, self.flags, "downstream_remote_disconnect", False), now)

    def mirror(self, cluster: str, now: int | None = None) -> Exchange:
        """The copy for one of `Try.mirrors`."""
        found = self.decision._snapshot.clusters.get(cluster)
        if found is None:
            raise EngineError(f"no cluster {cluster!r} to mirror to")
        terms = Terms(False, False, self._complete_at is not None, self._pending, None)
        return Exchange._begun(self.decision._copied(found), now, terms, found)

    # What follows

    def _after_delay(self, now: int) -> Step:
        """A fault answers, or the decision does, or a try begins."""
        decision = self.decision
        reply = own_answer(decision, self._mirrors)
        if reply is not None:
            return self._respond(reply, now)
        if self._complete_at is not None:
            self._complete_at = now
            self._count(now)
        return self._try(now)

    def _count(self, now: int) -> None:
        """The request's time limit, from now."""
        if self._steering.timeout:
            self.deadline = _after(now, self._steering.timeout)

    def _limit_try(self, now: int) -> None:
        self._per_try_at = _after(now, self._steering.per_try) if self._steering.per_try and not self._started else None

    def _try(self, now: int) -> Step:
        """Where picking fails otherwise (EndpointsPending), nothing has changed."""
        cluster = self._cluster
        if cluster is None:
            raise EngineError("no cluster to send to")
        try:
            endpoint = self._endpoint(cluster)
        except NoHealthyEndpoint:
            self.attempts += 1
            return self._respond(Reply(503, "UH", "no_healthy_upstream", b"no healthy upstream"), now)
        self._state = _TRYING
        self.attempts += 1
        self._tried.append(endpoint)
        try:
            self._lease = RequestLease._taken(cluster, endpoint, False, self._pending)
        except Overflow:
            return self._broken("overflow", False, now)
        if self._previous is not None:
            self._previous.tried.append(endpoint.priority)
        self._waiting, self._per_try_at = self._pending, None
        if self._complete_at is not None and not self._waiting:
            self._limit_try(now)
        lease = cast("ContractLease", self._lease)
        self.step = Try(lease, self.attempts, self._until(), self._headers(now), self._copies())
        return self.step

    def _endpoint(self, cluster: Cluster) -> Endpoint:
        again = self.attempts > 0 and self._policy is not None
        avoided = tuple(self._tried) if again and self._policy is not None and self._policy.previous_hosts else ()
        return self.decision._pick_again(
            cluster, self._hash_key, avoided, self._previous if again else None, self._mirrors
        )

    def _copies(self) -> tuple[str, ...]:
        if self.attempts > 1 or not self._mirrors:
            return ()
        clusters = self.decision._snapshot.clusters
        return tuple([name for name in self.decision.mirrors if clusters.get(name) is not None])

    def _headers(self, now: int) -> tuple[tuple[str, str], ...]:
        own = self._steering
        made = [("x-envoy-attempt-count", str(self.attempts))]
        expected = own.per_try or own.timeout
        if own.timeout:
            gone = 0 if self._complete_at is None else max(0, now - self._complete_at) // _MS
            expected = 1 if gone >= own.timeout else min(expected, own.timeout - gone)
        if expected:
            made.append(("x-envoy-expected-rq-timeout-ms", str(expected)))
            if own.grpc:
                made.append(("grpc-timeout", grpc_timeout_text(expected)))
        return tuple(made)

    def _until(self) -> int | None:
        """When something is due of the step that there is."""
        known = [one for one in (self._per_try_at, self.deadline) if one is not None]
        return min(known) if known else None

    def _refresh(self) -> None:
        step = self.step
        if isinstance(step, Try):
            self.step = step._replace(deadline=self._until())
        elif isinstance(step, Forward):
            self.step = step._replace(deadline=self.deadline)
        elif isinstance(step, Delay) and self._state == _BACKOFF and self.deadline is not None:
            self.step = Delay(min(step.until, self.deadline))

    def _may_repeat(self) -> bool:
        return self.replayable and not self._started

    def _after_reset(self, reason: str) -> Verdict:
        if self._policy is None or not self._may_repeat():
            return Verdict.NO
        return self._settled(self._policy.after_reset(reason, self._sent))

    def _settled(self, verdict: Verdict) -> Verdict:
        """What tries that are left and max_retries make of it; a retry counts until the next outcome."""
        self._release()
        if verdict is Verdict.NO or self._cluster is None:
            return Verdict.NO
        if not self._left:
            self._tell("URX")
            return Verdict.NO
        # Gone, whatever comes of it.
        self._left -= 1
        if overlay.acquire_retry(self._cluster._live, self._cluster._low.limits):
            self._tell("UO")
            return Verdict.NO
        self._held = True
        return verdict

    def _release(self) -> None:
        if self._held and self._cluster is not None:
            self._held = False
            overlay.release_retry(self._cluster._live)

    def _repeat(self, verdict: Verdict, now: int) -> Step:
        self._lease, self._per_try_at, self._state = None, None, _BACKOFF
        until = now
        if verdict is Verdict.AFTER_BACKOFF and self._policy is not None:
            number = self._policy.attempts - self._left
            until = _after(now, self._backoffs.next() % self._policy.interval(number))
        self.step = Delay(until if self.deadline is None else min(until, self.deadline))
        return self._try(now) if verdict is Verdict.AT_ONCE else self.step

    def _broken(self, reason: str, cut: bool, now: int | None) -> Step:
        """A reset that is not repaired. cut: something was passed on already."""
        self._tell(_RESET_FLAGS[reason])
        if cut:
            status = self.step.status if isinstance(self.step, Forward) else 0
            details = f"upstream_reset_after_response_started{{{reason}}}"
            return self._over(Done(status, self.flags, details, True), now)
        return self._respond(reset_reply(reason, self.attempts > 1), now)

    def _timed_out(self, details: str, now: int) -> Step:
        if self._lease is not None:
            own = details == "upstream_per_try_timeout"
            self._lease.finish(error="try_timeout" if own else "timeout", now=now)
        self._tell("UT")
        if self._started:
            status = self.step.status if isinstance(self.step, Forward) else 0
            return self._over(Done(status, self.flags, details, True), now)
        status = self._steering.timeout_status
        return self._respond(Reply(status, "", details, TIMED_OUT if status == 504 else b""), now)

    def _respond(self, reply: Reply, now: int | None) -> Step:
        self._tell(reply.flag)
        status, headers, body = reply.as_sent(self._steering.grpc)
        return self._over(Respond(status, headers, body, self.flags, reply.details), now)

    def _over(self, step: Done | Respond, now: int | None) -> Step:
        self._last = self._now(now)
        self._release()
        self._state, self._lease, self.step = _OVER, None, step
        return step

    def _under_way(self, report: str) -> RequestLease:
        if self._state != _TRYING or self._lease is None:
            raise EngineError(f"{report}: no try is under way")
        return self._lease

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        # The lease gives back and warns by itself.
        if getattr(self, "_held", False):
            self._release()

    def __repr__(self) -> str:
        return f"<Exchange {type(self.step).__name__} attempts={self.attempts}>"


def _after(now: int, milliseconds: int) -> int:
    return min(now + milliseconds * _MS, _MOST)


def _grpc_status(lines: dict[str, list[str]]) -> int | None:
    """The status of a gRPC response that is in its headers; -1 for one that cannot be read."""
    text = ",".join(lines.get("grpc-status", ()))
    if not text:
        return None
    number = decimal(text, 0xFFFFFFFFFFFFFFFF)
    return number if number is not None and number <= _MOST_GRPC_STATUS else -1
