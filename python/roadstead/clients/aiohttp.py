"""aiohttp through a registry: `async with session(registry) as client:` instead of `aiohttp.ClientSession()`."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, cast
from weakref import WeakKeyDictionary

from roadstead.clients.bodies import Recorder, Watcher
from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed, Terms
from roadstead.clients.drive import ASYNCHRONOUS, Tasks, drive
from roadstead.clients.sent import KEPT, Sent, idle_time, keepalive_options, most_connections, refuse_http2
from roadstead.clients.tls import Originator
from roadstead.errors import MissingExtra
from roadstead.mesh import ConnectionPool
from roadstead.steps import Try

try:
    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL
except ImportError as error:
    raise MissingExtra("sending requests with aiohttp", "aiohttp", "aiohttp>=3.12") from error

if TYPE_CHECKING:
    import os

    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.client_middlewares import ClientHandlerType
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from roadstead.registry.view import View

# The caller's session has added what it wants; an inner one adds nothing.
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_FRAMING = ("host", "transfer-encoding", "content-length")


class _TryBroke(Exception):
    """A try broke. Not the library's own, so that it does not try again by itself."""


class _Slots:
    """Connections of a cluster that are in use at once, all endpoints together. session: whose connections they are."""

    def __init__(self, most: int | None, session: aiohttp.ClientSession) -> None:
        self._free = None if most is None else asyncio.Semaphore(most)
        self.session = session

    async def take(self) -> None:
        if self._free is not None:
            await self._free.acquire()

    def give_back(self) -> None:
        if self._free is not None:
            self._free.release()


class Response(aiohttp.ClientResponse):
    """A response whose body is passed on. `roadstead` (`Sent`) tells whose answer it is."""

    roadstead: Sent
    _asked: aiohttp.RequestInfo | None = None
    _given: CIMultiDictProxy[str] | None = None
    _outcome: Passed[Response] | None = None
    _terms: Terms | None = None
    _slots: _Slots | None = None

    def passed(self, asked: aiohttp.RequestInfo, outcome: Passed[Response], terms: Terms) -> Response:
        """It is the answer: with the headers that the mesh makes of it."""
        self.told(asked, outcome.headers, Sent(outcome.exchange.decision, "", ""))
        self._outcome = outcome
        self._terms = terms
        self.content.on_eof(self._settle)
        return self

    def told(self, asked: aiohttp.RequestInfo, headers: list[tuple[str, str]], sent: Sent) -> Response:
        """To what request it is the answer, as the caller sees it."""
        self._asked = asked
        self._given = CIMultiDictProxy(CIMultiDict(headers))
        self.roadstead = sent
        return self

    def holds(self, slots: _Slots) -> None:
        """Its connection is one of so many."""
        self._slots = slots
        self.content.on_eof(self._give_back)

    @property
    def url(self) -> URL:
        """Of aiohttp."""
        return super().url if self._asked is None else self._asked.url

    @property
    def real_url(self) -> URL:
        """Of aiohttp."""
        return super().real_url if self._asked is None else self._asked.real_url

    @property
    def host(self) -> str:
        """Of aiohttp."""
        return super().host if self._asked is None else self._asked.url.host or ""

    @property
    def request_info(self) -> aiohttp.RequestInfo:
        """Of aiohttp."""
        return super().request_info if self._asked is None else self._asked

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Of aiohttp."""
        return super().headers if self._given is None else self._given

    def close(self) -> None:
        """Of aiohttp."""
        self._settle()
        super().close()
        self._give_back()

    def release(self) -> object:
        """Of aiohttp."""
        self._settle()
        made = super().release()
        self._give_back()
        return made

    def _settle(self) -> None:
        """Tell, once, how the body ended."""
        outcome, self._outcome = self._outcome, None
        if outcome is None or self._terms is None:
            return
        outcome.watch.received = self.content.total_bytes
        if self.content.is_eof():
            outcome.watch.ended()
        elif self.content.exception() is not None:
            is_late = outcome.deadline is not None and self._terms.clock() >= outcome.deadline
            outcome.watch.broke(None if is_late else "connection_termination")
        else:
            outcome.watch.closed()

    def _give_back(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back()


class _Asked(NamedTuple):
    """One request of the caller. body: bytes, the library's payload, or None."""

    request: ClientRequest
    headers: list[tuple[str, str]]
    body: object
    is_kept: bool


class Middleware:
    """A client middleware of aiohttp that sends each request where the registry says, as its rules say: balanced, with
    retries, time limits, header operations, rewrites, redirects, faults, mirrors, connection limits and TLS
    origination. The session's own connector is not used.

    registry: a Registry or a view of one. identity, credentials: folders of certificates (`clients.tls.Originator`).
    trusted: x-envoy-… request headers steer retries and time limits. recorder: counts requests
    (`metrics.istio.RequestRecorder`). watchers: see it begin, too (`clients.tracing.Spans`). auto_decompress: the
    session's. The session's total time limit holds as well."""

    def __init__(
        self,
        registry: View,
        *,
        identity: str | os.PathLike[str] | None = None,
        credentials: str | os.PathLike[str] | None = None,
        trusted: bool = False,
        recorder: Recorder | None = None,
        watchers: Sequence[Watcher] = (),
        auto_decompress: bool = True,
    ) -> None:
        self._registry = registry
        self._terms = Terms(Originator(identity, credentials), trusted, registry.clock, recorder, tuple(watchers))
        self._auto_decompress = auto_decompress
        self._pools: dict[Hashable, _Slots] = {}
        self._answers: aiohttp.ClientSession | None = None
        self._copies = Tasks()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        """Of aiohttp."""
        asked = await _asked(request)
        size = len(asked.body) if isinstance(asked.body, bytes) else 0
        decision = self._registry.route(
            request.headers.get("Host", request.url.host or ""),
            request.url.port or 80,
            request.url.raw_path_qs,
            request.method,
            asked.headers,
            scheme=request.url.scheme,
        )
        work: Carrying[Response] = Carrying(decision, asked.headers, self._terms, replayable=asked.is_kept, size=size)

        async def send(call: Call) -> Answered[Response] | Broken:
            return await self._send(call, asked)

        def copy(call: Call) -> None:
            self._copies.send(self._send_copy(call, asked if asked.is_kept else asked._replace(body=None)))

        outcome = await drive(work, ASYNCHRONOUS, send, copy)
        if isinstance(outcome, Local):
            return await self._local(asked, outcome)
        return outcome.response.passed(request.request_info, outcome, self._terms)

    async def close(self) -> None:
        """Close all connections; copies on their way are waited for."""
        await self._copies.close()
        for pool in self._pools.values():
            await pool.session.close()
        self._pools.clear()
        if self._answers is not None:
            await self._answers.close()

    async def _send_copy(self, call: Call, asked: _Asked) -> None:
        with call.exchange:
            result = await self._send(call, asked)
            if isinstance(result, Answered):
                call.exchange.response(result.status)
                await result.response.read()

    async def _send(self, call: Call, asked: _Asked) -> Answered[Response] | Broken:
        refuse_http2(call.cluster, call.pool)
        context = None
        if call.tls is not None:
            context = self._terms.tls.context(call.tls, alpn=("http/1.1",))
        pool = self._pool(call, context)
        try:
            async with asyncio.timeout(self._left(call.deadline)):
                await pool.take()
        except TimeoutError:
            return await self._late(call.deadline)
        response: Response | None = None
        try:
            if call.waits and not isinstance(call.exchange.ready(), Try):
                return Broken(None)
            now = call.exchange.step
            deadline = now.deadline if isinstance(now, Try) else call.deadline
            result = await self._answered(call, deadline, asked, pool.session, context)
            response = result.response if isinstance(result, Answered) else None
        finally:
            if response is None:
                pool.give_back()
        if response is not None:
            response.holds(pool)
        return result

    async def _answered(
        self,
        call: Call,
        deadline: int | None,
        asked: _Asked,
        session: aiohttp.ClientSession,
        context: ssl.SSLContext | None,
    ) -> Answered[Response] | Broken:
        """What comes of the request: the head of a response, or how it broke."""
        try:
            async with asyncio.timeout(self._left(deadline)):
                made = await session.request(
                    asked.request.method,
                    _url(call),
                    headers=_headers(call, asked),
                    data=asked.body,
                    chunked=True if not asked.is_kept else None,
                    allow_redirects=False,
                    ssl=context if context is not None else asked.request.ssl if call.secure else False,
                    server_hostname=call.sni or None,
                    timeout=_timeout(call),
                    middlewares=(_as_told,),
                )
        except _TryBroke as broke:
            return _broken(broke.__cause__)
        except aiohttp.ServerTimeoutError:
            return Broken("connection_timeout", sent=False)
        except TimeoutError:
            if deadline is None:
                raise
            return await self._late(deadline)
        response = cast("Response", made)
        return Answered(response.status, list(response.headers.items()), response, response.content.is_eof())

    async def _late(self, deadline: int | None) -> Broken:
        """Timers of loops end a hair early; the exchange is asked when the instant is there."""
        while deadline is not None and self._terms.clock() < deadline:
            await asyncio.sleep(0)
        return Broken(None)

    def _left(self, deadline: int | None) -> float | None:
        return None if deadline is None else self._terms.seconds_until(deadline)

    def _pool(self, call: Call, context: ssl.SSLContext | None) -> _Slots:
        key = (call.cluster, context, "" if call.port else call.host)
        pool = self._pools.get(key)
        if pool is None:
            mesh = call.pool or ConnectionPool()
            connector: aiohttp.BaseConnector
            requests, idle = mesh.http.max_requests_per_connection or 0, idle_time(mesh)
            if call.port:
                connector = _Counting(requests, limit=0, keepalive_timeout=idle, socket_factory=_sockets(mesh))
            else:
                connector = aiohttp.UnixConnector(call.host, limit=0, keepalive_timeout=idle)
            pool = self._pools[key] = _Slots(most_connections(mesh), self._session(connector))
        return pool

    def _session(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=Response,
            auto_decompress=self._auto_decompress,
            skip_auto_headers=_AUTOMATIC,
            timeout=aiohttp.ClientTimeout(),
        )

    async def _local(self, asked: _Asked, outcome: Local) -> Response:
        """An answer of this process, read as if it came over a connection."""
        if self._answers is None:
            self._answers = self._session(_Answers(force_close=True))
        _answer.set(_written(outcome))
        made = await self._answers.request(asked.request.method, "http://localhost/", allow_redirects=False)
        sent = Sent(outcome.decision, outcome.flags, outcome.details)
        return cast("Response", made).told(asked.request.request_info, outcome.headers, sent)


class _Counting(aiohttp.TCPConnector):
    """Connections that serve so many requests each; 0: any number."""

    def __init__(self, requests: int, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._requests = requests
        self._served: WeakKeyDictionary[ResponseHandler, int] = WeakKeyDictionary()

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """Of aiohttp."""
        made = await super().connect(req, traces, timeout)
        if self._requests and made.protocol is not None:
            served = self._served[made.protocol] = self._served.get(made.protocol, 0) + 1
            if served >= self._requests:
                made.protocol.force_close()
        return made


class _Answers(aiohttp.BaseConnector):
    """Connections to nobody, over which one answer comes (`_answer`)."""

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        handler = ResponseHandler(loop)
        handler.connection_made(_Nobody())
        loop.call_soon(handler.data_received, _answer.get())
        return handler


_answer: ContextVar[bytes] = ContextVar("answer")


class _Nobody(asyncio.Transport):
    """Takes everything and says nothing."""

    _is_closing = False

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def session(
    registry: View,
    *,
    identity: str | os.PathLike[str] | None = None,
    credentials: str | os.PathLike[str] | None = None,
    trusted: bool = False,
    recorder: Recorder | None = None,
    watchers: Sequence[Watcher] = (),
    **options: object,
) -> aiohttp.ClientSession:
    """A `ClientSession` whose requests go where the registry says (`Middleware`). options: aiohttp's, but `connector`;
    middlewares run before."""
    auto_decompress = bool(options.get("auto_decompress", True))
    mesh = Middleware(
        registry,
        identity=identity,
        credentials=credentials,
        trusted=trusted,
        recorder=recorder,
        watchers=watchers,
        auto_decompress=auto_decompress,
    )
    others = cast("tuple[object, ...]", tuple(cast("list[object]", options.pop("middlewares", ()))))
    return aiohttp.ClientSession(connector=_Closing(mesh), middlewares=(*others, mesh), **options)  # type: ignore[arg-type]


class _Closing(aiohttp.TCPConnector):
    """Of the caller's session: what it holds open is the middleware's."""

    def __init__(self, mesh: Middleware) -> None:
        super().__init__()
        self._mesh = mesh

    def close(self, *, abort_ssl: bool = False) -> object:  # type: ignore[override]
        """Of aiohttp."""
        own = super().close(abort_ssl=abort_ssl)

        async def both() -> None:
            await self._mesh.close()
            await own

        return _Later(both)


class _Later:
    """Begun when it is awaited: who closes without a loop has nothing to wait for."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work

    def __await__(self) -> object:
        return cast("asyncio.Future[None]", self._work()).__await__()


async def _as_told(request: ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """One try and no more, whatever the library holds of it."""
    try:
        return await handler(request)
    except aiohttp.ServerTimeoutError:
        raise
    except (aiohttp.ClientConnectionError, aiohttp.ClientResponseError, aiohttp.ClientPayloadError, OSError) as error:
        raise _TryBroke from error


def _broken(error: BaseException | None) -> Broken:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        return Broken("remote_connection_failure", sent=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return Broken("protocol_error")
    return Broken("connection_termination")


async def _asked(request: ClientRequest) -> _Asked:
    """A body that is small enough is taken into memory, so that it can be sent again."""
    headers = [(name, value) for name, value in request.headers.items() if name.lower() != "host"]
    body = request.body
    if not isinstance(body, aiohttp.Payload):
        return _Asked(request, headers, bytes(body) or None, True)
    if body.size is not None and body.size <= KEPT:
        return _Asked(request, headers, await body.as_bytes(), True)
    return _Asked(request, headers, body, False)


def _headers(call: Call, asked: _Asked) -> CIMultiDict[str]:
    made = CIMultiDict([("Host", call.authority)])
    for name, value in call.headers:
        if name.lower() not in _FRAMING:
            made.add(name, value)
    return made


def _url(call: Call) -> URL:
    host = "localhost" if not call.port else f"[{call.host}]" if ":" in call.host else call.host
    scheme = "https" if call.secure else "http"
    return URL(f"{scheme}://{host}:{call.port or 80}{call.path}", encoded=True)


def _timeout(call: Call) -> ClientTimeout:
    if call.pool is None:
        return aiohttp.ClientTimeout()
    return aiohttp.ClientTimeout(sock_connect=call.pool.tcp.connect_timeout)


def _sockets(pool: ConnectionPool) -> Callable[[tuple[object, ...]], socket.socket]:
    options = keepalive_options(pool.tcp.keepalive)

    def made(address: tuple[object, ...]) -> socket.socket:
        family, kind, protocol, *_ = cast("tuple[int, int, int, object, object]", address)
        one = socket.socket(family, kind, protocol)
        for option in options:
            one.setsockopt(*option)
        return one

    return made


def _written(outcome: Local) -> bytes:
    reason = http.client.responses.get(outcome.status, "")
    lines = [(name, value) for name, value in outcome.headers if name.lower() not in _FRAMING]
    text = "".join(f"{name}: {value}\r\n" for name, value in [*lines, ("content-length", str(len(outcome.body)))])
    return f"HTTP/1.1 {outcome.status} {reason}\r\n{text}\r\n".encode("latin-1") + outcome.body


__all__ = ["Middleware", "Response", "session"]
