"""aiohttp through a registry: `async with session(registry) as client:` instead of `aiohttp.ClientSession()`."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Unpack, cast
from weakref import WeakKeyDictionary

from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed, Terms
from roadstead.clients.counted import Counted, counted
from roadstead.clients.deadlines import Deadlines
from roadstead.clients.dial import Target, aconnect
from roadstead.clients.drive import ASYNCHRONOUS, Tasks, drive
from roadstead.clients.options import Options, terms
from roadstead.clients.sent import (
    KEPT,
    Sent,
    idle_time,
    keepalive_options,
    most_connections,
    refuse_http2,
    refuse_proxy_protocol,
)
from roadstead.errors import MissingExtra
from roadstead.mesh import ConnectionPool
from roadstead.steps import Try

try:
    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL
except ImportError as error:
    raise MissingExtra("sending requests with aiohttp", "aiohttp", "aiohttp>=3.12.6") from error

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.client_middlewares import ClientHandlerType
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from roadstead.registry.view import View

# What frames a body is the library's; so long are the names (most others need not be looked at).
_FRAMING = frozenset(["host", "transfer-encoding", "content-length"])
_LENGTHS = frozenset(map(len, _FRAMING))
# Of a request: the connections of its try.
_WAY = "roadstead_way"
_ANSWER = "roadstead_answer"
_CALL = "roadstead_call"
_ADDED: CIMultiDict[None] = CIMultiDict([("Content-Type", None)])


class _Way:
    """The connections of a cluster. timeout: until one is there; None: the caller's. free: how many more may be in
    use at once, all endpoints together; None: any number."""

    __slots__ = ("connector", "free", "timeout")

    def __init__(self, connector: aiohttp.BaseConnector, timeout: ClientTimeout | None, most: int | None) -> None:
        self.connector = connector
        self.timeout = timeout
        self.free = None if most is None else asyncio.Semaphore(most)


class Response(aiohttp.ClientResponse):
    """A response whose body is passed on. `roadstead` (`Sent`) tells whose answer it is."""

    roadstead: Sent
    # The headers as they came.
    lines: list[tuple[str, str]] | None = None
    _asked: ClientRequest | None = None
    _given: CIMultiDictProxy[str] | None = None
    _outcome: Passed[Response] | None = None
    _terms: Terms | None = None
    _free: asyncio.Semaphore | None = None

    def passed(self, request: ClientRequest, outcome: Passed[Response], terms: Terms) -> Response:
        """It is the answer: with the headers that the mesh makes of it."""
        self.told(request, outcome.headers, Sent(outcome.exchange.decision, "", ""))
        self._outcome = outcome
        self._terms = terms
        self.content.on_eof(self._settle)
        return self

    def told(self, request: ClientRequest, headers: list[tuple[str, str]], sent: Sent) -> Response:
        """To what request it is the answer, as the caller sees it."""
        self._asked = request
        if headers != self.lines:
            self._given = CIMultiDictProxy(CIMultiDict(headers))
        self.roadstead = sent
        return self

    def holds(self, free: asyncio.Semaphore) -> None:
        """Its connection is one of so many."""
        self._free = free
        self.content.on_eof(self._give_back)

    @property
    def request_info(self) -> aiohttp.RequestInfo:
        """Of aiohttp."""
        return super().request_info if self._asked is None else self._asked.request_info

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Of aiohttp."""
        return super().headers if self._given is None else self._given

    def close(self) -> None:
        """Of aiohttp."""
        if self._outcome is not None:
            self._settle()
        super().close()
        if self._free is not None:
            self._give_back()

    def release(self) -> object:
        """Of aiohttp."""
        if self._outcome is not None:
            self._settle()
        made = super().release()
        if self._free is not None:
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
        free, self._free = self._free, None
        if free is not None:
            free.release()


class _Asked(NamedTuple):
    """One request of the caller. handler: sends one. content: its body, where it is kept; else it can be sent once.
    payload: the body as it is sent. is_cut: it goes without the body that it had."""

    request: ClientRequest
    handler: ClientHandlerType
    content: bytes | None
    payload: aiohttp.Payload | None
    is_cut: bool = False

    def copied(self) -> _Asked:
        """As it goes to a mirror: without a body that cannot be sent twice."""
        return self if self.content is not None else self._replace(payload=None, is_cut=True)


class Middleware:
    """A client middleware of aiohttp that sends each request where the registry says, as its rules say: balanced, with
    retries, time limits, header operations, rewrites, redirects, faults, mirrors, connection limits and TLS
    origination. Its session's connector is `Middleware.connector`.

    registry: a Registry or a view of one. options: `clients.options.Options`. The session's time limits hold as well,
    but for those of connecting to what the mesh knows."""

    def __init__(
        self,
        registry: View,
        **options: Unpack[Options],
    ) -> None:
        self._registry = registry
        self._terms = terms(registry, options)
        self._ways: dict[Hashable, _Way] = {}
        self._answers: _Way | None = None
        self._copies = Tasks()
        self._deadlines = Deadlines()

    def connector(self) -> aiohttp.TCPConnector:
        """For the session; it closes what the middleware holds open."""
        return _Connector(self)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        """Of aiohttp."""
        body = request.body
        content, payload = await _kept(body) if isinstance(body, aiohttp.Payload) else (b"", None)
        given, url = request.headers, request.url
        headers = [line for line in given.items() if len(line[0]) != 4 or line[0].lower() != "host"]
        asked = _Asked(request, handler, content, payload)
        decision = self._registry.route(
            given.get("Host") or url.host or "",
            url.port or 80,
            url.raw_path_qs,
            request.method,
            headers,
            scheme=url.scheme,
        )
        work: Carrying[Response] = Carrying(
            decision, headers, self._terms, replayable=content is not None, size=len(content) if content else 0
        )
        outcome = await drive(work, ASYNCHRONOUS, partial(self._send, asked), partial(self._copy, asked), _drop)
        if isinstance(outcome, Local):
            return await self._local(asked, outcome)
        return outcome.response.passed(request, outcome, self._terms)

    async def close(self) -> None:
        """Close all connections; copies on their way are waited for."""
        await self._copies.close()
        for way in self._ways.values():
            await way.connector.close()
        self._ways.clear()
        if self._answers is not None:
            await self._answers.connector.close()

    def _copy(self, asked: _Asked, call: Call) -> None:
        self._copies.send(self._send_copy(asked.copied(), call))

    async def _send_copy(self, asked: _Asked, call: Call) -> None:
        with call.exchange:
            result = await self._send(asked, call)
            if isinstance(result, Answered):
                call.exchange.response(result.status)
                await result.response.read()

    def _send(self, asked: _Asked, call: Call) -> Awaitable[Answered[Response] | Broken]:
        refuse_http2(call.cluster, call.pool)
        context = None
        if call.tls is not None:
            context = self._terms.tls.context(call.tls, alpn=("http/1.1",))
        way = self._way(call, context)
        if way.free is None and not call.waits:
            return self._answered(call, call.deadline, asked, way, context)
        return self._in_turn(call, asked, way, context)

    async def _in_turn(
        self, call: Call, asked: _Asked, way: _Way, context: ssl.SSLContext | None
    ) -> Answered[Response] | Broken:
        """The same where connections are limited."""
        try:
            async with self._deadlines.within(self._left(call.deadline)):
                if way.free is not None:
                    await way.free.acquire()
        except TimeoutError:
            return await self._late(call.deadline)
        response: Response | None = None
        try:
            if call.waits and not isinstance(call.exchange.ready(), Try):
                return Broken(None)
            now = call.exchange.step
            deadline = now.deadline if isinstance(now, Try) else call.deadline
            result = await self._answered(call, deadline, asked, way, context)
            response = result.response if isinstance(result, Answered) else None
        finally:
            if response is None and way.free is not None:
                way.free.release()
        if response is not None and way.free is not None:
            response.holds(way.free)
        return result

    async def _answered(
        self, call: Call, deadline: int | None, asked: _Asked, way: _Way, context: ssl.SSLContext | None
    ) -> Answered[Response] | Broken:
        """What comes of the request: the head of a response, or how it broke."""
        request = _request(call, asked, way, context)
        try:
            async with self._deadlines.within(self._left(deadline)):
                made = await asked.handler(request)
        except aiohttp.ConnectionTimeoutError:
            return Broken("connection_timeout", sent=False)
        except aiohttp.ServerTimeoutError:
            raise
        except TimeoutError:
            if deadline is None:
                raise
            return await self._late(deadline)
        except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError):
            return Broken("remote_connection_failure", sent=False)
        except aiohttp.ClientResponseError:
            return Broken("protocol_error")
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError):
            return Broken("connection_termination")
        response = cast("Response", made)
        response.lines = list(response.headers.items())
        return Answered(response.status, response.lines, response, response.content.is_eof())

    async def _late(self, deadline: int | None) -> Broken:
        """Timers of loops end a hair early; the exchange is asked when the instant is there."""
        while deadline is not None and self._terms.clock() < deadline:
            await asyncio.sleep(0)
        return Broken(None)

    def _left(self, deadline: int | None) -> float | None:
        return None if deadline is None else self._terms.seconds_until(deadline)

    def _way(self, call: Call, context: ssl.SSLContext | None) -> _Way:
        version = "" if call.pool is None else call.pool.tcp.proxy_protocol
        key = (call.cluster, context, "" if call.port else call.host, version)
        way = self._ways.get(key)
        if way is None:
            mesh = call.pool or ConnectionPool()
            connector: aiohttp.BaseConnector
            requests, idle = mesh.http.max_requests_per_connection or 0, idle_time(mesh)
            if not call.port:
                refuse_proxy_protocol(call.cluster, mesh)
                connector = _Unix(call.host, limit=0, keepalive_timeout=idle)
            elif version:
                connector = _Proxied(mesh, requests, limit=0, keepalive_timeout=idle, socket_factory=_sockets(mesh))
            elif requests:
                connector = _Counting(requests, limit=0, keepalive_timeout=idle, socket_factory=_sockets(mesh))
            else:
                connector = _Tcp(limit=0, keepalive_timeout=idle, socket_factory=_sockets(mesh))
            timeout = None if call.pool is None else aiohttp.ClientTimeout(sock_connect=mesh.tcp.connect_timeout)
            way = self._ways[key] = _Way(connector, timeout, most_connections(mesh))
        return way

    async def _local(self, asked: _Asked, outcome: Local) -> Response:
        """An answer of this process, read as if it came over a connection."""
        if self._answers is None:
            self._answers = _Way(_Answers(force_close=True), None, None)
        request = _another(asked.request, asked.request.headers, URL("http://localhost/"), self._answers)
        setattr(request, _ANSWER, _written(outcome))
        made = await asked.handler(request)
        sent = Sent(outcome.decision, outcome.flags, outcome.details)
        return cast("Response", made).told(asked.request, outcome.headers, sent)


class _Tcp(aiohttp.TCPConnector):
    """Connections that their cluster counts."""

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        with counted(getattr(req, _CALL)) as known:
            return _watched(await super()._create_connection(req, traces, timeout), known)


class _Unix(aiohttp.UnixConnector):
    """The same to unix sockets."""

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        with counted(getattr(req, _CALL)) as known:
            return _watched(await super()._create_connection(req, traces, timeout), known)


def _watched(made: ResponseHandler, known: Counted) -> ResponseHandler:
    """It tells of its end."""
    lost = made.connection_lost

    def gone(exc: BaseException | None) -> None:
        known.end()
        lost(exc)

    made.connection_lost = gone  # type: ignore[method-assign]
    return made


class _Counting(_Tcp):
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


class _Proxied(_Counting):
    """The same that begin with the PROXY protocol."""

    def __init__(self, pool: ConnectionPool, requests: int, **options: object) -> None:
        super().__init__(requests, **options)
        self._pool = pool

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        context = self._get_ssl_context(req)
        host = req.url.raw_host or ""
        target = Target(host, req.port or 80, self._pool, context, req.server_hostname or host)
        with counted(getattr(req, _CALL)) as known:
            return _watched(await self._dialled(req, target, timeout), known)

    async def _dialled(self, req: ClientRequest, target: Target, timeout: ClientTimeout) -> ResponseHandler:
        handler = ResponseHandler(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(timeout.sock_connect):
                transport = await aconnect(target, handler)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"no connection to {target.name} in time") from error
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        if isinstance(req.ssl, aiohttp.Fingerprint):
            req.ssl.check(transport)
        return handler


class _Answers(aiohttp.BaseConnector):
    """Connections to nobody, over which one answer comes: what the request has with it."""

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        handler = ResponseHandler(loop)
        handler.connection_made(_Nobody())
        loop.call_soon(handler.data_received, getattr(req, _ANSWER))
        return handler


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


def session(registry: View, **options: object) -> aiohttp.ClientSession:
    """A `ClientSession` whose requests go where the registry says (`Middleware`). options: `clients.options.Options`,
    and aiohttp's, but `connector`; middlewares run before."""
    own = {name: options.pop(name) for name in Options.__annotations__ if name in options}
    mesh = Middleware(registry, **cast("Options", own))
    others = cast("tuple[object, ...]", tuple(cast("list[object]", options.pop("middlewares", ()))))
    return aiohttp.ClientSession(connector=mesh.connector(), middlewares=(*others, mesh), **options)  # type: ignore[arg-type]


class _Connector(aiohttp.TCPConnector):
    """Of the caller's session: each try has the connections of its cluster with it. What is held open is the
    middleware's."""

    def __init__(self, mesh: Middleware) -> None:
        super().__init__()
        self._mesh = mesh

    def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Awaitable[Connection]:  # type: ignore[override]
        """Of aiohttp."""
        way: _Way | None = getattr(req, _WAY, None)
        if way is None:
            # Of a request that the caller keeps out of the mesh (`middlewares=()`).
            return super().connect(req, traces, timeout)
        return way.connector.connect(req, traces, way.timeout or timeout)

    def close(self, **how: bool) -> object:  # type: ignore[override]
        """Of aiohttp."""
        own = super().close(**how)

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


async def _drop(response: Response) -> None:
    response.release()


async def _kept(body: aiohttp.Payload) -> tuple[bytes | None, aiohttp.Payload]:
    """A body that is small enough is taken into memory, so that it can be sent again; and how it is sent."""
    if body.size is None or body.size > KEPT:
        return None, body
    content = await body.as_bytes()
    return content, body if isinstance(body, aiohttp.BytesPayload) else aiohttp.BytesPayload(content)


def _request(call: Call, asked: _Asked, way: _Way, context: ssl.SSLContext | None) -> ClientRequest:
    """The request as it goes to the endpoint. How its body is framed is not for rules to say."""
    lines = [line for line in call.headers if len(line[0]) not in _LENGTHS or line[0].lower() not in _FRAMING]
    lines.insert(0, ("Host", call.authority))
    own = asked.request
    if asked.is_cut:
        lines.append(("Content-Length", "0"))
    elif asked.payload is not None or own.method not in own.GET_METHODS:
        lines += [(name, own.headers[name]) for name in ("Content-Length", "Transfer-Encoding") if name in own.headers]
    made = _another(own, CIMultiDict(lines), _url(call), way)
    made._body = asked.payload
    if context is not None:
        made._ssl = context
    elif not call.secure:
        made._ssl = True
    made.server_hostname = call.sni or None
    setattr(made, _CALL, call)
    return made


def _another(request: ClientRequest, headers: CIMultiDict[str], url: URL, way: _Way) -> ClientRequest:
    """The caller's request once more, with other headers and to another place: all else that the library's constructor
    finds out is known."""
    made = object.__new__(type(request))
    made.__dict__.update(request.__dict__)
    made.headers = headers
    made.url = url
    made.response_class = Response
    # The caller's session has added what it wants.
    made._skip_auto_headers = _ADDED
    if made.proxy is not None:
        made.update_proxy(None, None, None)
    if made._continue is not None:
        made._continue = asyncio.get_running_loop().create_future()
    setattr(made, _WAY, way)
    return made


def _url(call: Call) -> URL:
    host = "localhost" if not call.port else f"[{call.host}]" if ":" in call.host else call.host
    scheme = "https" if call.secure else "http"
    return URL(f"{scheme}://{host}:{call.port or 80}{call.path}", encoded=True)


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
