"""The transport of httpx and of its successor httpx2: one logic, blocking and asynchronous, for either library.

`httpx.Transport` and `httpx2.Transport` are its classes; types here are httpx's, the library at work is `_library`.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast
from weakref import WeakKeyDictionary

from roadstead.clients.bodies import Recorder, Watcher
from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed, Terms, carry
from roadstead.clients.drive import ASYNCHRONOUS, BLOCKING, Copies, Tasks, drive, finished
from roadstead.clients.sent import KEPT, Sent, idle_time, keepalive_options, most_connections
from roadstead.clients.tls import Originator
from roadstead.errors import MissingExtra
from roadstead.mesh import ConnectionPool
from roadstead.steps import Try

if TYPE_CHECKING:
    import os

    import httpx

    from roadstead.registry.view import View

_Timeouts: TypeAlias = dict[str, float | None]
_PoolKey: TypeAlias = tuple[str, ssl.SSLContext | None, str, bool]
# Of a response: the connection that has served as many requests as it may.
_LAST = "roadstead.last"
_CONNECTED = ("http11.send_request_headers.started", "http2.send_request_headers.started")


class _Url(NamedTuple):
    raw_scheme: bytes
    raw_host: bytes
    port: int | None
    raw_path: bytes


class _Lines(NamedTuple):
    raw: list[tuple[bytes, bytes]]


class _Outgoing(NamedTuple):
    method: str
    url: _Url
    headers: _Lines
    stream: object
    extensions: dict[str, object]


class _AtLimit(Exception):
    """The request got its connection and may not use it; the exchange knows why."""


class TransportLogic:
    """Sends each request where the registry says, as its rules say: balanced, with retries, time limits, header
    operations, rewrites, redirects, faults, mirrors, connection limits and TLS origination.

    registry: a Registry or a view of one. identity, credentials: folders of certificates (`clients.tls.Originator`).
    verify: what the caller's own TLS (https) is checked against, as in httpx. trusted: x-envoy-… request headers steer
    retries and time limits. recorder: counts requests (`metrics.istio.RequestRecorder`). watchers: see it begin, too
    (`clients.tracing.Spans`). The client's own timeouts hold where the route and the cluster set none."""

    _library: ModuleType

    def __init__(
        self,
        registry: View,
        *,
        identity: str | os.PathLike[str] | None = None,
        credentials: str | os.PathLike[str] | None = None,
        verify: ssl.SSLContext | bool = True,
        trusted: bool = False,
        recorder: Recorder | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._registry = registry
        self._terms = Terms(Originator(identity, credentials), trusted, registry.clock, recorder, tuple(watchers))
        self._verify = verify
        self._application: ssl.SSLContext | None = None
        self._pools: dict[_PoolKey, httpx.HTTPTransport] = {}
        self._async_pools: dict[_PoolKey, httpx.AsyncHTTPTransport] = {}
        self._lock = threading.Lock()
        # Requests that a connection has had, where they are limited.
        self._served: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._copies = Copies()
        self._tasks = Tasks()

    # Blocking

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Of httpx.BaseTransport."""
        content = request.read() if self._is_kept(request) else None

        async def send(call: Call) -> Answered[httpx.Response] | Broken:
            return self._send(call, request, content)

        def copy(call: Call) -> None:
            self._copies.send(partial(self._send_copy, call, request, content))

        return self._answer(request, finished(drive(self._work(request, content), BLOCKING, send, copy)))

    def _send(self, call: Call, request: httpx.Request, content: bytes | None) -> Answered[httpx.Response] | Broken:
        try:
            pool = self._pool(call)
            made = self._made(call, request, content, _told(call) if call.waits else None)
            return self._answered(call, pool.handle_request(made))
        except (self._library.TransportError, _AtLimit) as error:
            return self._broken(call, error)

    def _send_copy(self, call: Call, request: httpx.Request, content: bytes | None) -> None:
        with call.exchange:
            result = self._send(call, request, content if content is not None else b"")
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

        async def send(call: Call) -> Answered[httpx.Response] | Broken:
            return await self._asend(call, request, content)

        def copy(call: Call) -> None:
            self._tasks.send(self._asend_copy(call, request, content))

        return self._answer(request, await drive(self._work(request, content), ASYNCHRONOUS, send, copy))

    async def _asend(
        self, call: Call, request: httpx.Request, content: bytes | None
    ) -> Answered[httpx.Response] | Broken:
        try:
            pool = self._async_pool(call)
            made = self._made(call, request, content, _atold(call) if call.waits else None)
            return self._answered(call, await pool.handle_async_request(made))
        except (self._library.TransportError, _AtLimit) as error:
            return self._broken(call, error)

    async def _asend_copy(self, call: Call, request: httpx.Request, content: bytes | None) -> None:
        with call.exchange:
            result = await self._asend(call, request, content if content is not None else b"")
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

    def _work(self, request: httpx.Request, content: bytes | None) -> Carrying[httpx.Response]:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        decision = self._registry.route(
            request.headers.get("host", url.host),
            port,
            url.raw_path.decode("ascii"),
            request.method,
            headers,
            scheme=url.scheme,
        )
        size = 0 if content is None else len(content)
        return carry(decision, headers, self._terms, replayable=content is not None, size=size)

    def _made(
        self,
        call: Call,
        request: httpx.Request,
        content: bytes | None,
        trace: Callable[[str, dict[str, object]], object] | None,
    ) -> httpx.Request:
        """The request as it goes to the endpoint."""
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers if name.lower() != "host"
        ]
        extensions = dict(request.extensions)
        extensions["timeout"] = self._timeouts(call, request)
        if call.sni:
            extensions["sni_hostname"] = call.sni
        if trace is not None:
            extensions["trace"] = trace
        http = None if call.pool is None else call.pool.http
        if http is not None and http.max_requests_per_connection == 1:
            headers = [line for line in headers if line[0].lower() != b"connection"] + [(b"Connection", b"close")]
        url = _Url(
            b"https" if call.secure else b"http",
            call.host.encode("idna" if not call.host.isascii() else "ascii") if call.port else b"localhost",
            call.port or None,
            call.path.encode("latin-1"),
        )
        lines = _Lines([(b"Host", call.authority.encode("latin-1")), *headers])
        stream = self._library.ByteStream(b"") if content == b"" else request.stream
        # The library's transport reads this of a request, and no more; its own class would parse everything again.
        return cast("httpx.Request", _Outgoing(request.method, url, lines, stream, extensions))

    def _timeouts(self, call: Call, request: httpx.Request) -> _Timeouts:
        """The client's own, where the mesh sets none."""
        own: _Timeouts = request.extensions.get("timeout", {})
        found: _Timeouts = {name: own.get(name) for name in ("connect", "read", "write", "pool")}
        if call.pool is not None:
            found["connect"] = call.pool.tcp.connect_timeout
        if call.deadline is not None:
            left = self._terms.seconds_until(call.deadline)
            connect = found["connect"]
            found = {
                "connect": left if connect is None else min(connect, left),
                "read": left,
                "write": left,
                "pool": left,
            }
        elif call.waits:
            # Who waits for a connection waits as long as max_pending_requests lets it.
            found["pool"] = None
        return found

    def _answered(self, call: Call, response: httpx.Response) -> Answered[httpx.Response]:
        most = 0 if call.pool is None else call.pool.http.max_requests_per_connection or 0
        stream = response.extensions.get("network_stream")
        if most > 1 and stream is not None and response.http_version != "HTTP/2":
            served = self._served[stream] = self._served.get(stream, 0) + 1
            if served >= most:
                response.extensions[_LAST] = stream
        return Answered(response.status_code, _text(response), response)

    def _broken(self, call: Call, error: Exception) -> Broken:
        """A library's error as the exchange knows it. One that is the caller's own (its time limit, a bad request) is
        raised again."""
        library = self._library
        if isinstance(error, _AtLimit):
            return Broken(None)
        if isinstance(error, library.TimeoutException):
            if call.deadline is not None and self._terms.seconds_until(call.deadline) <= 0.001:
                _sleep_until(call.deadline, self._terms)
                return Broken(None)
            if isinstance(error, library.ConnectTimeout):
                return Broken("connection_timeout", sent=False)
            raise error
        if isinstance(error, library.ConnectError):
            return Broken("remote_connection_failure", sent=False)
        if isinstance(error, library.RemoteProtocolError):
            cut = "disconnected" in str(error) or "closed connection" in str(error)
            return Broken("connection_termination" if cut else "protocol_error")
        if isinstance(error, library.NetworkError):
            return Broken("connection_termination")
        raise error

    def _answer(self, request: httpx.Request, outcome: Passed[httpx.Response] | Local) -> httpx.Response:
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
        if outcome.headers != _text(response):
            response.headers = self._library.Headers(_raw(outcome.headers))
        last = response.extensions.pop(_LAST, None)
        body = _body_class(self._library)(response.stream, last, outcome, self._terms)
        response.stream = cast("httpx.SyncByteStream", body)
        response.extensions["roadstead"] = Sent(outcome.exchange.decision, "", "")
        response.request = request
        return response

    # Connections

    def _pool(self, call: Call) -> httpx.HTTPTransport:
        key = self._key(call)
        pool = self._pools.get(key)
        if pool is None:
            with self._lock:
                pool = self._pools.get(key)
                if pool is None:
                    made = self._library.HTTPTransport(**self._settings(call, key))
                    pool = self._pools[key] = cast("httpx.HTTPTransport", made)
        return pool

    def _async_pool(self, call: Call) -> httpx.AsyncHTTPTransport:
        key = self._key(call)
        pool = self._async_pools.get(key)
        if pool is None:
            made = self._library.AsyncHTTPTransport(**self._settings(call, key))
            pool = self._async_pools[key] = cast("httpx.AsyncHTTPTransport", made)
        return pool

    def _key(self, call: Call) -> _PoolKey:
        """Connections of a cluster are one pool: its limits hold for all endpoints together."""
        is_http2 = call.pool is not None and call.pool.http.protocol == "http2"
        context = self._context(call, ("h2",) if is_http2 else ("http/1.1",)) if call.secure else None
        return call.cluster, context, "" if call.port else call.host, is_http2

    def _context(self, call: Call, alpn: tuple[str, ...]) -> ssl.SSLContext:
        if call.tls is not None:
            return self._terms.tls.context(call.tls, alpn=alpn)
        if self._application is None:
            self._application = cast("ssl.SSLContext", self._library.create_ssl_context(verify=self._verify))
        return self._application

    def _settings(self, call: Call, key: _PoolKey) -> dict[str, object]:
        _, context, unix, is_http2 = key
        if is_http2:
            try:
                import h2  # noqa: F401 - the library says less clearly what is missing
            except ImportError as error:
                raise MissingExtra("HTTP/2 to an upstream", "http2", "h2") from error
        pool = call.pool or ConnectionPool()
        most = most_connections(pool)
        limits = self._library.Limits(
            max_connections=most, max_keepalive_connections=most, keepalive_expiry=idle_time(pool)
        )
        return {
            "verify": context if context is not None else False,
            "http1": not is_http2,
            "http2": is_http2,
            "limits": limits,
            "trust_env": False,
            "uds": unix or None,
            "socket_options": keepalive_options(pool.tcp.keepalive),
        }


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
    """The body that is passed on, block by block."""

    def __init__(self, stream: object, last: object, passed: Passed[httpx.Response], terms: Terms) -> None:
        self._stream = stream
        self._last = last
        self._watch = passed.watch
        self._passed = passed
        self._terms = terms

    def __iter__(self) -> Iterator[bytes]:
        watch = self._watch
        try:
            for block in cast("Iterator[bytes]", self._stream):
                watch.received += len(block)
                yield block
        except Exception as error:
            self._broke(error)
            raise
        watch.ended()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        watch = self._watch
        try:
            async for block in cast("AsyncIterator[bytes]", self._stream):
                watch.received += len(block)
                yield block
        except Exception as error:
            self._broke(error)
            raise
        watch.ended()

    def _broke(self, error: Exception) -> None:
        deadline = self._passed.deadline
        is_late = deadline is not None and self._terms.clock() >= deadline
        self._watch.broke(None if is_late else "connection_termination")

    def close(self) -> None:
        self._watch.closed()
        cast("httpx.SyncByteStream", self._stream).close()
        if self._last is not None:
            cast("httpx.SyncByteStream", self._last).close()

    async def aclose(self) -> None:
        self._watch.closed()
        await cast("httpx.AsyncByteStream", self._stream).aclose()
        if self._last is not None:
            await cast("httpx.AsyncByteStream", self._last).aclose()


def _text(response: httpx.Response) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]


def _raw(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


@cache
def _body_class(library: ModuleType) -> type[_Body]:
    """A stream that the library takes for one of its own."""
    return type("Body", (_Body, library.SyncByteStream, library.AsyncByteStream), {})
