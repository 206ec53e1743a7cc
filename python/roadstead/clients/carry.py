"""How a request is carried out, whatever library sends it: one generator for blocking and asynchronous clients.

`carry` yields what has to be done and is sent what came of it. The driver of a library does it and nothing else; every
decision is the exchange's.

    yielded             sent back
    ------------------  ------------------------------------------------------------------------------
    Sleep(seconds)      nothing, when they are over
    Await(pending)      nothing, when the resolver said something
    Send(call, copies)  Answered(…) with the head of a response, or Broken(…); copies are sent on the
                        side, and nobody waits for them

It returns Passed(…), a response whose body is to be passed on, or Local(…), an answer of this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar, cast

from roadstead.clients.bodies import BodyWatch, Count, HeaderList, Recorder, Watcher, told_by
from roadstead.clients.tls import Originator, bare, server_name
from roadstead.errors import EndpointsPending, TlsRefused
from roadstead.mesh import UNLIMITED, ConnectionPool, TlsOrigination
from roadstead.steps import Delay, Forward, Respond, Step, Try

if TYPE_CHECKING:
    from roadstead._core import Decision, Exchange, Reset

R = TypeVar("R")
_NS = 1_000_000_000


class Call(NamedTuple):
    """One request to one endpoint.

    secure: TLS is spoken: `tls` is what the mesh originates, None the caller's own. sni: its server name, "" for none.
    host, port: where to connect; port 0: host is the path of a unix socket. path: with its query. deadline: ns of the
    engine's clock until the head of the response must be here; None: no limit. exchange: who is to hear that the
    request has its connection (`ready`), where `waits` says that limits of connections hold."""

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


class Sleep(NamedTuple):
    seconds: float


class Await(NamedTuple):
    pending: EndpointsPending


class Send(NamedTuple):
    call: Call
    copies: list[Call]


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


Command: TypeAlias = Sleep | Await | Send
Result: TypeAlias = "Answered[R] | Broken | None"
Carrying: TypeAlias = "Generator[Command, Answered[R] | Broken | None, Passed[R] | Local]"


class Terms(NamedTuple):
    """How requests of a client are carried out.

    tls: makes contexts. trusted: x-envoy-… headers of the caller steer the exchange, as Envoy lets internal requests
    do. clock: ns, the engine's. recorder: hears of each request once it is over. watchers: when it begins, too."""

    tls: Originator
    trusted: bool = False
    clock: Callable[[], int] = time.monotonic_ns
    recorder: Recorder | None = None
    watchers: tuple[Watcher, ...] = ()

    def seconds_until(self, deadline: int) -> float:
        """From now; not below 0."""
        return max(0.0, (deadline - self.clock()) / _NS)


def carry(
    decision: Decision,
    headers: HeaderList,
    terms: Terms,
    *,
    replayable: bool,
    size: int = 0,
    received: bool = True,
) -> Carrying[R]:
    """Carry a request out. headers: as the caller gave them. replayable: its body can be sent again. size: bytes of it,
    for who counts. received: all of it is here; else the driver tells the exchange (`Exchange.received`), and time
    limits count from then.

    What a driver throws in (its own cancellation, an error it cannot name as a reset) cancels the exchange."""
    waits = _is_limited(decision)
    while True:
        try:
            exchange = decision.exchange(trusted=terms.trusted, replayable=replayable, received=received, pending=waits)
            break
        except EndpointsPending as pending:
            yield Await(pending)
    count = None if terms.recorder is None else terms.recorder.count
    if terms.watchers:
        headers, count = _watched(decision, headers, terms.watchers, count)
    try:
        outcome: Passed[R] | Local = yield from _steps(
            exchange, headers, terms, BodyWatch(exchange, count, size), waits
        )
    except BaseException:
        exchange.cancel()
        if count is not None:
            count(exchange, size, 0, -1)
        raise
    if count is not None and isinstance(outcome, Local):
        count(exchange, size, len(outcome.body), _grpc_status(outcome.headers))
    return outcome


def _watched(
    decision: Decision, headers: HeaderList, watchers: Sequence[Watcher], count: Count | None
) -> tuple[HeaderList, Count | None]:
    counts = [] if count is None else [count]
    for watcher in watchers:
        headers, told = watcher.begin(decision, headers)
        counts.append(told)
    return headers, told_by(counts)


def _steps(exchange: Exchange, headers: HeaderList, terms: Terms, watch: BodyWatch, waits: bool) -> Carrying[R]:
    step: Step = exchange.step
    answered: Answered[R] | None = None
    while True:
        if isinstance(step, Delay):
            yield Sleep(terms.seconds_until(step.until))
            step = exchange.expired()
        elif isinstance(step, Try):
            copies = [_call(copy, first, headers, terms, waits=False) for copy, first in _copies(exchange, step)]
            answered = None
            result = yield Send(_call(exchange, step, headers, terms, waits=waits), copies)
            if isinstance(result, Answered):
                answered = result
                step = exchange.response(result.status, result.headers, end_stream=result.empty)
            else:
                step = _broken(exchange, step, result)
        elif isinstance(step, Respond):
            told = exchange.decision.apply_response(step.headers, step.status)
            return Local(exchange.decision, step.status, told, step.body, step.flags, step.details)
        elif answered is not None:
            told = exchange.decision.apply_response(answered.headers, answered.status)
            told += [("set-cookie", cookie) for cookie in exchange.decision.set_cookies]
            deadline = step.deadline if isinstance(step, Forward) else None
            return Passed(answered.status, told, answered.response, exchange, deadline, watch)
        else:
            raise RuntimeError(f"an exchange without a response ended with {step}")


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


def _call(exchange: Exchange, step: Try, headers: HeaderList, terms: Terms, *, waits: bool) -> Call:
    """Where a try goes. TlsRefused where the caller's TLS would have to run inside the mesh's."""
    decision, endpoint = exchange.decision, step.lease.endpoint
    cluster = step.lease.cluster
    authority = decision.authority
    tls = terms.tls.wanted(cast("TlsOrigination | None", cluster.tls), endpoint.labels)
    if tls is not None and decision.application_tls:
        raise TlsRefused(
            f"{decision.cluster_name}: the DestinationRule's tls would carry the caller's own TLS inside (https to a"
            " port that originates TLS): ask for http, or leave tls out of the rule"
        )
    sni = server_name(tls, authority) if tls is not None else bare(authority) if decision.application_tls else ""
    return Call(
        cluster.name,
        cast("ConnectionPool | None", cluster.connection_pool),
        tls is not None or decision.application_tls,
        tls,
        sni,
        endpoint.address,
        endpoint.port,
        decision.path,
        authority,
        exchange.apply(headers),
        step.deadline,
        exchange,
        waits,
    )


def _grpc_status(headers: HeaderList) -> int:
    """Of an answer of this process; -1 for none."""
    return next((int(value) for name, value in headers if name == "grpc-status"), -1)


def _is_limited(decision: Decision) -> bool:
    """Whether requests of the cluster may have to wait for a connection."""
    pool = cast("ConnectionPool | None", decision.connection_pool)
    return pool is not None and (pool.tcp.max_connections != UNLIMITED or pool.http.max_pending_requests != UNLIMITED)
