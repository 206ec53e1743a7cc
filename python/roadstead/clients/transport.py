"""The transport of httpx and of its successor httpx2: one logic, blocking and asynchronous, for either library.

`httpx.Transport` and `httpx2.Transport` are its classes; types here are httpx's, the library at work is `_library`.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache, lru_cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, Unpack, cast
from weakref import WeakKeyDictionary

from roadstead.clients.bodies import HeaderList
from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed, Terms
from roadstead.clients.direct import AsyncDirect, Direct
from roadstead.clients.drive import ASYNCHRONOUS, BLOCKING, Copies, Tasks, drive, finished
from roadstead.clients.httpcore_backend import AsyncBackend, Backend
from roadstead.clients.options import Options, terms
from roadstead.clients.sent import KEPT, Sent, idle_time, keepalive_options, most_connections
from roadstead.errors import MissingExtra
from roadstead.mesh import ConnectionPool
from roadstead.steps import Try

if TYPE_CHECKING:
    import httpcore
    import httpx

    from roadstead._core import Cluster
    from roadstead.mesh.cluster import ProxyProtocol
    from roadstead.registry.view import View

_Timeouts: TypeAlias = dict[str, float | None]
_PoolKey: TypeAlias = "tuple[str, ssl.SSLContext | None, str, bool, ProxyProtocol]"
_RawLines: TypeAlias = list[tuple[bytes, bytes]]
_Errors: TypeAlias = dict[type[Exception], type[Exception]]
_UNPROXIED: ProxyProtocol = ""
# Of a response: the connection that has served as many requests as it may.
_LAST = "roadstead.last"
_CONNECTED = ("http11.send_request_headers.started", "http2.send_request_headers.started")


# Errors of connections, by the name that the library has for them, too.
_ERRORS = (
    "TimeoutException",
    "ConnectTimeout",
    "ReadTimeout",
    "WriteTimeout",
    "PoolTimeout",
    "NetworkError",
    "ConnectError",
    "ReadError",
    "WriteError",
    "ProxyError",
    "UnsupportedProtocol",
    "ProtocolError",
    "LocalProtocolError",
    "RemoteProtocolError",
)


class _Place(NamedTuple):
    """Where a connection leads, as the library's connections name it."""

    scheme: bytes
    host: bytes
    port: int
    origin: httpcore.Origin


class _Url:
    """What connections of the library ask of a `httpcore.URL`; its own finds out the origin whenever it is asked."""

    __slots__ = ("host", "origin", "port", "scheme", "target")

    def __init__(self, place: _Place, target: bytes) -> None:
        self.scheme, self.host, self.port, self.origin = place
        self.target = target


class _Outgoing:
    """A request as they take it (`httpcore.Request`, whose own constructor would look through everything again)."""

    __slots__ = ("extensions", "headers", "method", "stream", "url")

    def __init__(
        self, method: bytes, url: _Url, headers: _RawLines, stream: object, extensions: dict[str, object]
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.stream = stream
        self.extensions = extensions


class _AtLimit(Exception):
    """The request got its connection and may not use it; the exchange knows why."""


class TransportLogic:
    """Sends each request where the registry says, as its rules say: balanced, with retries, time limits, header
    operations, rewrites, redirects, faults, mirrors, connection limits and TLS origination.

    registry: a Registry or a view of one. verify: what the caller's own TLS (https) is checked against, as in httpx.
    options: `clients.options.Options`. The client's own timeouts hold where the route and the cluster set none."""

    _library: ModuleType
    # What it sends with: connections and their pool.
    _core: ModuleType

    def __init__(
        self,
        registry: View,
        *,
        verify: ssl.SSLContext | bool = True,
        **options: Unpack[Options],
    ) -> None:
        self._registry = registry
        self._terms = terms(registry, options)
        self._verify = verify
        self._application: ssl.SSLContext | None = None
        self._pools: dict[_PoolKey, httpcore.ConnectionPool | Direct] = {}
        self._async_pools: dict[_PoolKey, httpcore.AsyncConnectionPool | AsyncDirect] = {}
        self._lock = threading.Lock()
        # Requests that a connection has had, where they are limited.
        self._served: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._copies = Copies()
        self._tasks = Tasks()
        self._errors = _errors_of(self._library, self._core)
        self._failures: tuple[type[Exception], ...] = (*self._errors, _AtLimit)
        self._body = _body_class(self._library)

    # Blocking

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Of httpx.BaseTransport."""
        content = request.read() if self._is_kept(request) else None
        send, copy = partial(self._send, request, content), partial(self._copy, request, content)
        return self._answer(request, finished(drive(self._work(request, content), BLOCKING, send, copy, _drop)))

    async def _send(
        self, request: httpx.Request, content: bytes | None, call: Call
    ) -> Answered[httpcore.Response] | Broken:
        try:
            pool = self._pool(call)
            made = self._made(call, request, content, _told(call) if call.waits else None)
            return self._answered(call, pool.handle_request(made))  # type: ignore[arg-type]
        except self._failures as error:
            return self._broken(call, error)

    def _copy(self, request: httpx.Request, content: bytes | None, call: Call) -> None:
        self._copies.send(partial(self._send_copy, request, content, call))

    def _send_copy(self, request: httpx.Request, content: bytes | None, call: Call) -> None:
        with call.exchange:
            result = finished(self._send(request, content if content is not None else b"", call))
            if isinstance(result, Answered):
                call.exchange.response(result.status)
                result.response.read()
                result.response.close()

    def close(self) -> None:
        """Close all connections; copies on their way are waited for."""
        self._copies.close()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    # Asynchronous

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Of httpx.AsyncBaseTransport."""
        content = await request.aread() if self._is_kept(request) else None
        send, copy = partial(self._asend, request, content), partial(self._acopy, request, content)
        return self._answer(request, await drive(self._work(request, content), ASYNCHRONOUS, send, copy, _adrop))

    async def _asend(
        self, request: httpx.Request, content: bytes | None, call: Call
    ) -> Answered[httpcore.Response] | Broken:
        try:
            pool = self._async_pool(call)
            made = self._made(call, request, content, _atold(call) if call.waits else None)
            return self._answered(call, await pool.handle_async_request(made))  # type: ignore[arg-type]
        except self._failures as error:
            return self._broken(call, error)

    def _acopy(self, request: httpx.Request, content: bytes | None, call: Call) -> None:
        self._tasks.send(self._asend_copy(request, content, call))

    async def _asend_copy(self, request: httpx.Request, content: bytes | None, call: Call) -> None:
        with call.exchange:
            result = await self._asend(request, content if content is not None else b"", call)
            if isinstance(result, Answered):
                call.exchange.response(result.status)
                await result.response.aread()
                await result.response.aclose()

    async def aclose(self) -> None:
        """Close all connections; copies on their way are waited for."""
        await self._tasks.close()
        for pool in self._async_pools.values():
            await pool.aclose()
        self._async_pools.clear()

    # What both share

    def _is_kept(self, request: httpx.Request) -> bool:
        """Whether the body is (or will be) in memory, so that it can be sent again."""
        if isinstance(request.stream, self._library.ByteStream):
            return True
        length = request.headers.get("content-length")
        return length is not None and length.isdigit() and int(length) <= KEPT

    def _work(self, request: httpx.Request, content: bytes | None) -> Carrying[httpcore.Response]:
        url = request.url
        scheme = url.scheme
        headers = _text(request.headers.raw)
        decision = self._registry.route(
            next((value for name, value in headers if len(name) == 4 and name.lower() == "host"), None) or url.host,
            url.port or (443 if scheme == "https" else 80),
            url.raw_path.decode("ascii"),
            request.method,
            headers,
            scheme=scheme,
        )
        size = 0 if content is None else len(content)
        return Carrying(decision, headers, self._terms, replayable=content is not None, size=size)

    def _made(
        self,
        call: Call,
        request: httpx.Request,
        content: bytes | None,
        trace: Callable[[str, dict[str, object]], object] | None,
    ) -> _Outgoing:
        """The request as it goes to the endpoint."""
        headers = [(b"Host", call.authority.encode("latin-1"))]
        headers += [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in call.headers
            if len(name) != 4 or name.lower() != "host"
        ]
        if call.pool is not None and call.pool.http.max_requests_per_connection == 1:
            headers = [line for line in headers if line[0].lower() != b"connection"]
            headers.append((b"Connection", b"close"))
        extensions = {**request.extensions, "timeout": self._timeouts(call, request)}
        if call.sni:
            extensions["sni_hostname"] = call.sni
        if trace is not None:
            extensions["trace"] = trace
        target = extensions.get("target") or call.path.encode("latin-1")
        url = _Url(_place(self._core, call.secure, call.host, call.port), target)
        stream = self._library.ByteStream(b"") if content == b"" else request.stream
        return _Outgoing(request.method.encode("ascii"), url, headers, stream, extensions)

    def _timeouts(self, call: Call, request: httpx.Request) -> _Timeouts:
        """The client's own, where the mesh sets none."""
        own: _Timeouts = request.extensions.get("timeout", {})
        if call.deadline is not None:
            left = self._terms.seconds_until(call.deadline)
            connect = own.get("connect") if call.pool is None else call.pool.tcp.connect_timeout
            connect = left if connect is None else min(connect, left)
            return {"connect": connect, "read": left, "write": left, "pool": left}
        found: _Timeouts = {name: own.get(name) for name in ("connect", "read", "write", "pool")}
        if call.pool is not None:
            found["connect"] = call.pool.tcp.connect_timeout
        if call.waits:
            # Who waits for a connection waits as long as max_pending_requests lets it.
            found["pool"] = None
        return found

    def _answered(self, call: Call, response: httpcore.Response) -> Answered[httpcore.Response]:
        most = 0 if call.pool is None else call.pool.http.max_requests_per_connection or 0
        if most > 1 and response.extensions["http_version"] != b"HTTP/2":
            stream = response.extensions["network_stream"]
            served = self._served[stream] = self._served.get(stream, 0) + 1
            if served >= most:
                response.extensions[_LAST] = stream
        return Answered(response.status, _text(response.headers), response)

    def _broken(self, call: Call, error: Exception) -> Broken:
        """A library's error as the exchange knows it. One that is the caller's own (its time limit, a bad request) is
        raised again, as the library names it."""
        core = self._core
        if isinstance(error, _AtLimit):
            return Broken(None)
        if isinstance(error, core.TimeoutException):
            if call.deadline is not None and self._terms.seconds_until(call.deadline) <= 0.001:
                _sleep_until(call.deadline, self._terms)
                return Broken(None)
            if isinstance(error, core.ConnectTimeout):
                return Broken("connection_timeout", sent=False)
        elif isinstance(error, core.ConnectError):
            return Broken("remote_connection_failure", sent=False)
        elif isinstance(error, core.RemoteProtocolError):
            cut = "disconnected" in str(error) or "closed connection" in str(error)
            return Broken("connection_termination" if cut else "protocol_error")
        elif isinstance(error, core.NetworkError):
            return Broken("connection_termination")
        named = _named(error, self._errors)
        raise named from named.__cause__

    def _answer(self, request: httpx.Request, outcome: Passed[httpcore.Response] | Local) -> httpx.Response:
        if isinstance(outcome, Local):
            sent = Sent(outcome.decision, outcome.flags, outcome.details)
            made = self._library.Response(
                outcome.status,
                headers=_raw(outcome.headers),
                content=outcome.body,
                extensions={"roadstead": sent},
                request=request,
            )
            return cast("httpx.Response", made)
        response = outcome.response
        extensions = response.extensions
        last = extensions.pop(_LAST, None)
        extensions["roadstead"] = Sent(outcome.exchange.decision, "", "")
        made = self._library.Response(
            outcome.status,
            headers=_raw(outcome.headers),
            stream=self._body(outcome, last, self._terms, self._errors),
            extensions=extensions,
            request=request,
        )
        return cast("httpx.Response", made)

    # Connections

    def _pool(self, call: Call) -> httpcore.ConnectionPool | Direct:
        key = self._key(call)
        pool = self._pools.get(key)
        if pool is None:
            with self._lock:
                pool = self._pools.get(key)
                if pool is None:
                    backend = Backend(self._core, key[4], _cluster(call))
                    settings = {**self._settings(call, key), "network_backend": backend}
                    if self._is_free(call, key):
                        pool = Direct(partial(self._core.HTTPConnection, **settings))
                    else:
                        pool = cast("httpcore.ConnectionPool", self._core.ConnectionPool(**settings, **_limits(call)))
                    self._pools[key] = pool
        return pool

    def _async_pool(self, call: Call) -> httpcore.AsyncConnectionPool | AsyncDirect:
        key = self._key(call)
        pool = self._async_pools.get(key)
        if pool is None:
            backend = AsyncBackend(self._core, key[4], _cluster(call))
            settings = {**self._settings(call, key), "network_backend": backend}
            if self._is_free(call, key):
                pool = AsyncDirect(partial(self._core.AsyncHTTPConnection, **settings))
            else:
                made = self._core.AsyncConnectionPool(**settings, **_limits(call))
                pool = cast("httpcore.AsyncConnectionPool", made)
            self._async_pools[key] = pool
        return pool

    def _key(self, call: Call) -> _PoolKey:
        """Connections of a cluster are one pool: its limits hold for all endpoints together."""
        is_http2, version = False, _UNPROXIED
        if call.pool is not None:
            is_http2, version = call.pool.http.protocol == "http2", call.pool.tcp.proxy_protocol
        context = self._context(call, ("h2",) if is_http2 else ("http/1.1",)) if call.secure else None
        return call.cluster, context, "" if call.port else call.host, is_http2, version

    def _context(self, call: Call, alpn: tuple[str, ...]) -> ssl.SSLContext:
        if call.tls is not None:
            return self._terms.tls.context(call.tls, alpn=alpn)
        if self._application is None:
            self._application = cast("ssl.SSLContext", self._library.create_ssl_context(verify=self._verify))
        return self._application

    def _is_free(self, call: Call, key: _PoolKey) -> bool:
        """A connection serves one request at a time, and there may be any number."""
        return not key[3] and (call.pool is None or most_connections(call.pool) is None)

    def _settings(self, call: Call, key: _PoolKey) -> dict[str, object]:
        _, context, unix, is_http2, _ = key
        if is_http2:
            try:
                import h2  # noqa: F401 - the library says less clearly what is missing
            except ImportError as error:
                raise MissingExtra("HTTP/2 to an upstream", "http2", "h2") from error
        pool = call.pool or ConnectionPool()
        return {
            "ssl_context": context,
            "http1": not is_http2,
            "http2": is_http2,
            "keepalive_expiry": idle_time(pool),
            "uds": unix or None,
            "socket_options": keepalive_options(pool.tcp.keepalive),
        }


async def _drop(response: httpcore.Response) -> None:
    response.close()


async def _adrop(response: httpcore.Response) -> None:
    await response.aclose()


def _limits(call: Call) -> dict[str, int | None]:
    most = most_connections(call.pool or ConnectionPool())
    return {"max_connections": most, "max_keepalive_connections": most}


def _cluster(call: Call) -> Cluster:
    step = call.exchange.step
    if not isinstance(step, Try):
        raise _AtLimit
    return step.lease.cluster


def _told(call: Call) -> Callable[[str, dict[str, object]], None]:
    def trace(event: str, info: dict[str, object]) -> None:
        if event in _CONNECTED and not isinstance(call.exchange.ready(), Try):
            raise _AtLimit

    return trace


def _atold(call: Call) -> Callable[[str, dict[str, object]], object]:
    told = _told(call)

    async def trace(event: str, info: dict[str, object]) -> None:
        told(event, info)

    return trace


def _sleep_until(deadline: int, terms: Terms) -> None:
    """Timers of sockets end a hair early; the exchange is asked when the instant is there."""
    while terms.clock() < deadline:
        time.sleep(0)


class _Body:
    """The body that is passed on, block by block. Who keeps the response after its end keeps nothing of the
    exchange by it."""

    def __init__(self, passed: Passed[httpcore.Response], last: object, terms: Terms, errors: _Errors) -> None:
        self._passed: Passed[httpcore.Response] | None = passed
        self._last = last
        self._terms = terms
        self._errors = errors

    def __iter__(self) -> Iterator[bytes]:
        passed = self._passed
        if passed is None:
            return
        watch = passed.watch
        try:
            for block in cast("Iterator[bytes]", passed.response.stream):
                watch.received += len(block)
                yield block
        except Exception as error:  # noqa: BLE001 - the library's own follow, or itself
            named = self._broke(passed, error)
            raise named from named.__cause__
        watch.ended()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        passed = self._passed
        if passed is None:
            return
        watch = passed.watch
        try:
            async for block in cast("AsyncIterator[bytes]", passed.response.stream):
                watch.received += len(block)
                yield block
        except Exception as error:  # noqa: BLE001 - the library's own follow, or itself
            named = self._broke(passed, error)
            raise named from named.__cause__
        watch.ended()

    def _broke(self, passed: Passed[httpcore.Response], error: Exception) -> Exception:
        """Tell; the error as it is to be raised."""
        is_late = passed.deadline is not None and self._terms.clock() >= passed.deadline
        passed.watch.broke(None if is_late else "connection_termination")
        return _named(error, self._errors)

    def close(self) -> None:
        passed, self._passed = self._passed, None
        if passed is not None:
            passed.watch.closed()
            cast("httpx.SyncByteStream", passed.response.stream).close()
            if self._last is not None:
                cast("httpx.SyncByteStream", self._last).close()

    async def aclose(self) -> None:
        passed, self._passed = self._passed, None
        if passed is not None:
            passed.watch.closed()
            await cast("httpx.AsyncByteStream", passed.response.stream).aclose()
            if self._last is not None:
                await cast("httpx.AsyncByteStream", self._last).aclose()


def _named(error: Exception, errors: _Errors) -> Exception:
    """An error of connections as the library calls it; another is itself."""
    for kind in type(error).__mro__:
        if kind in errors:
            named = errors[kind](str(error))
            named.__cause__ = error
            return named
    return error


@cache
def _errors_of(library: ModuleType, core: ModuleType) -> _Errors:
    return {getattr(core, name): getattr(library, name) for name in _ERRORS}


@lru_cache(4096)
def _place(core: ModuleType, is_secure: bool, host: str, port: int) -> _Place:
    scheme, default = (b"https", 443) if is_secure else (b"http", 80)
    raw = host.encode("ascii" if host.isascii() else "idna") if port else b"localhost"
    port = port or default
    return _Place(scheme, raw, port, core.Origin(scheme, raw, port))


def _text(raw: _RawLines) -> HeaderList:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]


def _raw(headers: HeaderList) -> _RawLines:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


@cache
def _body_class(library: ModuleType) -> type[_Body]:
    """A stream that the library takes for one of its own."""
    return type("Body", (_Body, library.SyncByteStream, library.AsyncByteStream), {})
