"""How a request is carried out, whatever library sends it: one piece for blocking and asynchronous clients.

`Carrying.next` says what has to be done, and is told what came of it. The driver of a library does it and nothing else;
every decision is the exchange's.

    said            told
    --------------  ------------------------------------------------------------------------------
    Sleep(seconds)  nothing, when they are over
    Await(pending)  nothing, when the resolver said something
    Call(…)         Answered(…) with the head of a response, or Broken(…); its copies are sent on the
                    side, and nobody waits for them

In the end it says Passed(…), a response whose body is to be passed on, or Local(…), an answer of this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar, cast

from roadstead.clients.bodies import BodyWatch, Count, HeaderList, Recorder, Watcher, told_by
from roadstead.clients.tls import Originator, bare, server_name
from roadstead.errors import EndpointsPending, TlsRefused
from roadstead.mesh import UNLIMITED, ConnectionPool, TlsOrigination
from roadstead.steps import Delay, Done, Forward, Respond, Step, Try

if TYPE_CHECKING:
    from roadstead._core import Decision, Exchange, Reset

R = TypeVar("R")
_NS = 1_000_000_000


class Call(NamedTuple):
    """One request to one endpoint.

    secure: TLS is spoken: `tls` is what the mesh originates, None the caller's own. sni: its server name, "" for none.
    host, port: where to connect; port 0: host is the path of a unix socket. path: with its query. deadline: ns of the
    engine's clock until the head of the response must be here; None: no limit. exchange: who is to hear that the
    request has its connection (`ready`), where `waits` says that limits of connections hold. copies: for mirrors."""

    cluster: str
    pool: ConnectionPool | None
    secure: bool
    tls: TlsOrigination | None
    sni: str
    host: str
    port: int
    path: str
    authority: str
    headers: HeaderList
    deadline: int | None
    exchange: Exchange
    waits: bool
    copies: tuple[Call, ...] = ()


class Sleep(NamedTuple):
    seconds: float


class Await(NamedTuple):
    pending: EndpointsPending


class Answered(NamedTuple, Generic[R]):
    """response: the library's own; its body is not read yet. empty: there is none."""

    status: int
    headers: HeaderList
    response: R
    empty: bool = False


class Broken(NamedTuple):
    """reason: Envoy's, None where the call's deadline passed. sent: something of the request was written."""

    reason: Reset | None
    sent: bool = True


class Local(NamedTuple):
    """What this process answers itself. flags and details: Envoy's."""

    decision: Decision
    status: int
    headers: HeaderList
    body: bytes
    flags: str
    details: str


class Passed(NamedTuple, Generic[R]):
    """An upstream's response. watch: to be told when its body ends, breaks or is not wanted. deadline: ns of the
    engine's clock until it must be here; None: no limit."""

    status: int
    headers: HeaderList
    response: R
    exchange: Exchange
    deadline: int | None
    watch: BodyWatch


Command: TypeAlias = Call | Sleep | Await


class Terms(NamedTuple):
    """How requests of a client are carried out.

    tls: makes contexts. trusted: x-envoy-… headers of the caller steer the exchange, as Envoy lets internal requests
    do. clock: ns, the engine's. recorder: hears of each request once it is over. watchers: when it begins, too. unsaid:
    headers of Envoy's that are not sent."""

    tls: Originator
    trusted: bool = False
    clock: Callable[[], int] = time.monotonic_ns
    recorder: Recorder | None = None
    watchers: tuple[Watcher, ...] = ()
    unsaid: Callable[[], frozenset[str]] = frozenset

    def seconds_until(self, deadline: int) -> float:
        """From now; not below 0."""
        return max(0.0, (deadline - self.clock()) / _NS)


class Carrying(Generic[R]):
    """One request. headers: as the caller gave them. replayable: its body can be sent again. size: bytes of it, for who
    counts. received: all of it is here; else the driver tells the exchange (`Exchange.received`), and time limits count
    from then."""

    __slots__ = (
        "_answered",
        "_count",
        "_decision",
        "_exchange",
        "_headers",
        "_received",
        "_replayable",
        "_size",
        "_step",
        "_terms",
        "_waits",
    )

    def __init__(
        self,
        decision: Decision,
        headers: HeaderList,
        terms: Terms,
        *,
        replayable: bool,
        size: int = 0,
        received: bool = True,
    ) -> None:
        self._decision = decision
        self._headers = headers
        self._terms = terms
        self._replayable = replayable
        self._size = size
        self._received = received
        self._waits = _is_limited(decision)
        self._exchange: Exchange | None = None
        self._step: Step | None = None
        self._answered: Answered[R] | None = None
        self._count = None if terms.recorder is None else terms.recorder.count

    def next(self, result: Answered[R] | Broken | None = None) -> Command | Passed[R] | Local:
        """What is to be done, now that `result` came of what was said before. What it raises (an error of the
        configuration) ends the request."""
        try:
            return self._after(result)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """The driver was cancelled, or met an error that it cannot name as a reset."""
        if self._exchange is not None:
            self._exchange.cancel()
            if self._count is not None:
                self._count(self._exchange, self._size, 0, -1)

    def _after(self, result: Answered[R] | Broken | None) -> Command | Passed[R] | Local:
        exchange, last = self._exchange, self._step
        if exchange is None:
            try:
                exchange = self._exchange = self._decision.exchange(
                    trusted=self._terms.trusted,
                    replayable=self._replayable,
                    received=self._received,
                    pending=self._waits,
                )
            except EndpointsPending as pending:
                return Await(pending)
            if self._terms.watchers:
                self._headers, self._count = _watched(self._decision, self._headers, self._terms.watchers, self._count)
            step = exchange.step
        elif isinstance(last, Delay):
            step = exchange.expired()
        elif isinstance(result, Answered):
            self._answered = result
            step = exchange.response(result.status, result.headers, end_stream=result.empty)
        else:
            self._answered = None
            step = _broken(exchange, cast("Try", last), result)
        self._step = step
        if isinstance(step, Try):
            return self._try(exchange, step)
        if isinstance(step, Delay):
            return Sleep(self._terms.seconds_until(step.until))
        return self._over(exchange, step)

    def _try(self, exchange: Exchange, step: Try) -> Call:
        self._answered = None
        headers, terms = self._headers, self._terms
        if not step.mirrors:
            return _call(exchange, step, headers, terms, waits=self._waits)
        copies = tuple([_call(copy, first, headers, terms, waits=False) for copy, first in _copies(exchange, step)])
        return _call(exchange, step, headers, terms, waits=self._waits, copies=copies)

    def _over(self, exchange: Exchange, step: Forward | Respond | Done) -> Passed[R] | Local:
        decision, answered = self._decision, self._answered
        if isinstance(step, Respond):
            told = decision.apply_response(step.headers, step.status)
            if self._count is not None:
                self._count(exchange, self._size, len(step.body), _grpc_status(told))
            return Local(decision, step.status, told, step.body, step.flags, step.details)
        if answered is None:
            raise RuntimeError(f"an exchange without a response ended with {step}")
        told = decision.apply_response(answered.headers, answered.status)
        if cookies := decision.set_cookies:
            told += [("set-cookie", cookie) for cookie in cookies]
        deadline = step.deadline if isinstance(step, Forward) else None
        watch = BodyWatch(exchange, self._count, self._size)
        return Passed(answered.status, told, answered.response, exchange, deadline, watch)


def _watched(
    decision: Decision, headers: HeaderList, watchers: Sequence[Watcher], count: Count | None
) -> tuple[HeaderList, Count | None]:
    counts = [] if count is None else [count]
    for watcher in watchers:
        headers, told = watcher.begin(decision, headers)
        counts.append(told)
    return headers, told_by(counts)


def _broken(exchange: Exchange, step: Try, result: Broken | None) -> Step:
    """A try that did not come to a response. Where the wait for a connection ended at a limit, the exchange knows; the
    same try with another deadline is one that got its connection."""
    now = exchange.step
    if not isinstance(now, Try) or now.number != step.number:
        return now
    if result is None or result.reason is None:
        return exchange.expired()
    return exchange.reset(result.reason, sent=result.sent)


def _copies(exchange: Exchange, step: Try) -> Iterator[tuple[Exchange, Try]]:
    """Exchanges of the copies, begun; those that have nowhere to go are over at once."""
    for name in step.mirrors:
        copy = exchange.mirror(name)
        if isinstance(copy.step, Try):
            yield copy, copy.step


def _call(
    exchange: Exchange,
    step: Try,
    headers: HeaderList,
    terms: Terms,
    *,
    waits: bool,
    copies: tuple[Call, ...] = (),
) -> Call:
    """Where a try goes. TlsRefused where the caller's TLS would have to run inside the mesh's."""
    decision, lease = exchange.decision, step.lease
    endpoint, cluster = lease.endpoint, lease.cluster
    authority, is_secure = decision.authority, decision.application_tls
    tls: TlsOrigination | None = cluster.tls  # type: ignore[assignment]
    sni = ""
    if tls is not None:
        tls = terms.tls.wanted(tls, endpoint.labels)
    if tls is not None:
        if is_secure:
            raise TlsRefused(
                f"{decision.cluster_name}: the DestinationRule's tls would carry the caller's own TLS inside (https to"
                " a port that originates TLS): ask for http, or leave tls out of the rule"
            )
        is_secure, sni = True, server_name(tls, authority)
    elif is_secure:
        sni = bare(authority)
    sent = exchange.apply(headers)
    if unsaid := terms.unsaid():
        # Of those that the exchange adds; what the caller says is the caller's.
        unsaid = unsaid.intersection([name for name, _ in step.headers])
        sent = [line for line in sent if line[0] not in unsaid]
    return Call(
        cluster.name,
        cluster.connection_pool,  # type: ignore[arg-type]
        is_secure,
        tls,
        sni,
        endpoint.address,
        endpoint.port,
        decision.path,
        authority,
        sent,
        step.deadline,
        exchange,
        waits,
        copies,
    )


def _grpc_status(headers: HeaderList) -> int:
    """Of an answer of this process; -1 for none."""
    return next((int(value) for name, value in headers if name == "grpc-status"), -1)


def _is_limited(decision: Decision) -> bool:
    """Whether requests of the cluster may have to wait for a connection."""
    pool = cast("ConnectionPool | None", decision.connection_pool)
    return pool is not None and (pool.tcp.max_connections != UNLIMITED or pool.http.max_pending_requests != UNLIMITED)
