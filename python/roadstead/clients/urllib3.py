"""urllib3 through a registry: `PoolManager(registry).request("GET", "http://api.test/")`; requests is made of it."""

from __future__ import annotations

import http.client
import io
import ssl
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, TYPE_CHECKING, NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

from roadstead.clients.bodies import Recorder, Watcher
from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed, Terms
from roadstead.clients.dial import Target, dial
from roadstead.clients.drive import BLOCKING, Copies, drive, finished
from roadstead.clients.sent import KEPT, Sent, idle_time, most_connections, refuse_http2
from roadstead.clients.threads import Connections, NoConnection
from roadstead.clients.tls import Originator
from roadstead.errors import MissingExtra
from roadstead.mesh import ConnectionPool
from roadstead.steps import Try

try:
    import urllib3
    from urllib3.connection import HTTPConnection
    from urllib3.exceptions import ConnectTimeoutError, EmptyPoolError, HTTPError, ReadTimeoutError
    from urllib3.util import SKIP_HEADER, Timeout
except ImportError as error:
    raise MissingExtra("sending requests with urllib3", "urllib3", "urllib3") from error

if TYPE_CHECKING:
    import os

    from roadstead.registry.view import View

Body: TypeAlias = "bytes | str | IO[bytes] | Iterable[bytes] | None"
# The library adds these by itself where they are missing.
_ADDED = ("Accept-Encoding", "User-Agent")


class Asked(NamedTuple):
    """One request of the caller. connect, read: its own time limits in seconds. context: of its own TLS."""

    method: str
    scheme: str
    host: str
    port: int
    path: str
    headers: list[tuple[str, str]]
    body: Body
    connect: float | None
    read: float | None
    decode: bool
    context: Callable[[], ssl.SSLContext]


class Wire:
    """Sends requests where a registry says: what the shells of urllib3 and requests share."""

    def __init__(self, registry: View, terms: Terms) -> None:
        self._registry = registry
        self._terms = terms
        self._pools: dict[Hashable, Connections[_Connection]] = {}
        self._lock = threading.Lock()
        self._copies = Copies()

    def send(self, asked: Asked) -> urllib3.HTTPResponse:
        """The response; `.roadstead` (`Sent`) tells whose it is."""
        asked = asked._replace(body=_kept(asked))
        content = asked.body if isinstance(asked.body, bytes) or asked.body is None else None
        is_kept = content is not None or asked.body is None
        decision = self._registry.route(
            next((value for name, value in asked.headers if name.lower() == "host"), _authority(asked)),
            asked.port,
            asked.path,
            asked.method,
            asked.headers,
            scheme=asked.scheme,
        )
        size = 0 if content is None else len(content)
        work: Carrying[Passing] = Carrying(decision, asked.headers, self._terms, replayable=is_kept, size=size)

        async def send(call: Call) -> Answered[Passing] | Broken:
            return self._sent(call, asked)

        def copy(call: Call) -> None:
            body = asked.body if is_kept else None
            self._copies.send(partial(self._send_copy, call, asked._replace(body=body)))

        outcome = finished(drive(work, BLOCKING, send, copy))
        return _local(asked, outcome) if isinstance(outcome, Local) else outcome.response.passed(outcome)

    def close(self) -> None:
        """Close all connections; copies on their way are waited for."""
        self._copies.close()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _send_copy(self, call: Call, asked: Asked) -> None:
        with call.exchange:
            result = self._sent(call, asked)
            if isinstance(result, Answered):
                call.exchange.response(result.status)
                result.response.drain_conn()
                result.response.close()

    def _sent(self, call: Call, asked: Asked) -> Answered[Passing] | Broken:
        refuse_http2(call.cluster, call.pool)
        left = None if call.deadline is None else self._terms.seconds_until(call.deadline)
        mesh = call.pool or ConnectionPool()
        context = None
        if call.secure:
            context = asked.context() if call.tls is None else self._terms.tls.context(call.tls, alpn=("http/1.1",))
        connect = asked.connect if call.pool is None else mesh.tcp.connect_timeout
        connect = connect if left is None else left if connect is None else min(connect, left)
        pool = self._pool(call, mesh, context)
        target = Target(call.host, call.port, mesh, context, call.sni)
        try:
            waits = left if left is not None or call.waits else asked.connect
            connection = pool.take((call.host, call.port), lambda: _Connection(target, connect), waits)
        except NoConnection:
            if call.deadline is None:
                raise EmptyPoolError(None, f"{call.cluster}: all connections are in use") from None  # type: ignore[arg-type]
            return self._late(call)
        except TimeoutError as error:
            if self._is_late(call):
                return self._late(call)
            if call.pool is None and call.deadline is None:
                raise ConnectTimeoutError(f"{call.host}:{call.port}: {error}") from error
            return Broken("connection_timeout", sent=False)
        except OSError:
            return Broken("remote_connection_failure", sent=False)
        if call.waits and not isinstance(call.exchange.ready(), Try):
            pool.give_back(connection)
            return Broken(None)
        return self._exchanged(call, asked, pool, connection)

    def _exchanged(
        self, call: Call, asked: Asked, pool: Connections[_Connection], connection: _Connection
    ) -> Answered[Passing] | Broken:
        """Send the request over a connection, and read the head of the response."""
        now = call.exchange.step
        deadline = now.deadline if isinstance(now, Try) else call.deadline
        call = call._replace(deadline=deadline)
        read = asked.read if deadline is None else max(self._terms.seconds_until(deadline), 1e-3)
        try:
            response = connection.ask(call, asked, read, last=pool.is_last(connection))
        except TimeoutError as error:
            pool.drop(connection)
            if self._is_late(call):
                return self._late(call)
            raise ReadTimeoutError(None, asked.path, f"{call.host}:{call.port}: no response in time") from error  # type: ignore[arg-type]
        except (http.client.RemoteDisconnected, http.client.IncompleteRead, OSError):
            pool.drop(connection)
            return Broken("connection_termination")
        except http.client.HTTPException:
            pool.drop(connection)
            return Broken("protocol_error")
        except BaseException:
            pool.drop(connection)
            raise
        made = Passing(response, asked, pool, connection, self._terms)
        return Answered(made.status, list(made.headers.items()), made, made.isclosed())

    def _is_late(self, call: Call) -> bool:
        return call.deadline is not None and self._terms.seconds_until(call.deadline) <= 0.001

    def _late(self, call: Call) -> Broken:
        """Timers of sockets end a hair early; the exchange is asked when the instant is there."""
        while call.deadline is not None and self._terms.clock() < call.deadline:
            time.sleep(0)
        return Broken(None)

    def _pool(self, call: Call, mesh: ConnectionPool, context: ssl.SSLContext | None) -> Connections[_Connection]:
        key = (call.cluster, context)
        pool = self._pools.get(key)
        if pool is None:
            with self._lock:
                made: Connections[_Connection] = Connections(
                    most_connections(mesh), idle_time(mesh), mesh.http.max_requests_per_connection or 0
                )
                pool = self._pools.setdefault(key, made)
        return pool


class _Connection(HTTPConnection):
    """A connection to an endpoint, dialled as its cluster wants it."""

    def __init__(self, target: Target, connect: float | None) -> None:
        super().__init__(target.host, target.port or None)
        self.key: Hashable = (target.host, target.port)
        self.served = 0
        self.idle_since = 0.0
        self.sock = dial(target, connect)

    def is_usable(self) -> bool:
        """Nothing says that the other side has left."""
        return self.sock is not None and self.is_connected

    def connect(self) -> None:
        """Nobody connects it again: it is replaced."""
        raise http.client.NotConnected

    def ask(self, call: Call, asked: Asked, timeout: float | None, *, last: bool) -> http.client.HTTPResponse:
        """Send a request; its response, whose body is not read."""
        self.timeout = timeout
        headers = urllib3.HTTPHeaderDict([("Host", call.authority)])
        for name, value in call.headers:
            if name.lower() != "host" and not (last and name.lower() == "connection"):
                headers.add(name, value)
        if last:
            headers.add("Connection", "close")
        for name in _ADDED:
            headers.setdefault(name, SKIP_HEADER)
        # A server may answer before it has read everything, and close.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.request(asked.method, call.path, asked.body, headers, decode_content=False)
        return http.client.HTTPConnection.getresponse(self)


class Passing(urllib3.HTTPResponse):
    """A response whose body is passed on; how it ends is told, and its connection given back."""

    roadstead: Sent

    def __init__(
        self,
        response: http.client.HTTPResponse,
        asked: Asked,
        pool: Connections[_Connection],
        connection: _Connection,
        terms: Terms,
    ) -> None:
        self._outcome: Passed[Passing] | None = None
        self._connections = pool
        self._its = connection
        self._terms = terms
        self._is_over = False
        super().__init__(
            response,
            headers=urllib3.HTTPHeaderDict(response.msg.items()),
            status=response.status,
            version=response.version,
            version_string=f"HTTP/{response.version // 10}.{response.version % 10}",
            reason=response.reason,
            preload_content=False,
            decode_content=asked.decode,
            original_response=response,
            request_method=asked.method,
            request_url=asked.path,
        )

    def passed(self, outcome: Passed[Passing]) -> Passing:
        """It is the answer: with the headers that the mesh makes of it."""
        self.headers = urllib3.HTTPHeaderDict(outcome.headers)
        self.roadstead = Sent(outcome.exchange.decision, "", "")
        self._outcome = outcome
        if outcome.deadline is not None and self._its.sock is not None:
            self._its.sock.settimeout(max(self._terms.seconds_until(outcome.deadline), 1e-3))
        if self.isclosed():
            self._end()
        return self

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """Of urllib3."""
        with self._watched():
            return super().read(amt, decode_content, cache_content)

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Of urllib3."""
        with self._watched():
            return super().read1(amt, decode_content)

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:  # type: ignore[override]
        """Of urllib3."""
        with self._watched():
            yield from super().read_chunked(amt, decode_content)

    def drain_conn(self) -> None:
        """Of urllib3."""
        super().drain_conn()
        if self.isclosed():
            self._end()

    def close(self) -> None:
        """Of urllib3."""
        was_read = self.isclosed()
        super().close()
        if was_read:
            self._end()
        elif self._finish():
            if self._outcome is not None:
                self._outcome.watch.closed()
            self._connections.drop(self._its)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (HTTPError, OSError, http.client.HTTPException):
            self._break()
            raise
        if self.isclosed():
            self._end()

    def _finish(self) -> bool:
        """Whether it was not over before."""
        was_over, self._is_over = self._is_over, True
        if self._outcome is not None:
            self._outcome.watch.received = self.tell()
        return not was_over

    def _end(self) -> None:
        if self._finish():
            if self._outcome is not None:
                self._outcome.watch.ended()
            if self._its.sock is None:
                self._connections.drop(self._its)
            else:
                self._connections.give_back(self._its)

    def _break(self) -> None:
        if self._finish():
            if self._outcome is not None:
                deadline = self._outcome.deadline
                is_late = deadline is not None and self._terms.seconds_until(deadline) <= 0.001
                self._outcome.watch.broke(None if is_late else "connection_termination")
            self._connections.drop(self._its)


class _Local(urllib3.HTTPResponse):
    """What this process answers itself."""

    roadstead: Sent


def _local(asked: Asked, outcome: Local) -> urllib3.HTTPResponse:
    made = _Local(
        io.BytesIO(outcome.body),
        headers=urllib3.HTTPHeaderDict(outcome.headers),
        status=outcome.status,
        version=11,
        version_string="HTTP/1.1",
        reason=http.client.responses.get(outcome.status, ""),
        preload_content=False,
        decode_content=asked.decode,
        request_method=asked.method,
        request_url=asked.path,
    )
    made.roadstead = Sent(outcome.decision, outcome.flags, outcome.details)
    return made


def _authority(asked: Asked) -> str:
    """The Host that is sent where the caller gives none."""
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    return host if asked.port == (443 if asked.scheme == "https" else 80) else f"{host}:{asked.port}"


def _kept(asked: Asked) -> Body:
    """A body that is small enough is taken into memory, so that it can be sent again."""
    body = asked.body
    if isinstance(body, str):
        return body.encode()
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    length = next((value for name, value in asked.headers if name.lower() == "content-length"), "")
    if not length.isdigit() or int(length) > KEPT:
        return body
    return cast("IO[bytes]", body).read() if hasattr(body, "read") else b"".join(body)


class Door:
    """What urllib3 calls the pool of a host: here, the way into the mesh for it. The attributes are urllib3's, about
    the caller's own TLS (https); requests sets them."""

    def __init__(self, wire: Wire, scheme: str, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        self._wire = wire
        self.scheme = scheme
        self.host = host
        self.port = port
        self.cert_reqs: str | int | None = "CERT_REQUIRED"
        self.ca_certs: str | None = None
        self.ca_cert_dir: str | None = None
        self.cert_file: str | None = None
        self.key_file: str | None = None
        self._context = context

    def urlopen(
        self,
        method: str,
        url: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        retries: object = None,
        redirect: bool = True,
        assert_same_host: bool = True,
        timeout: Timeout | float | object | None = None,
        pool_timeout: float | None = None,
        release_conn: bool | None = None,
        chunked: bool = False,
        body_pos: object = None,
        preload_content: bool = True,
        decode_content: bool = True,
        **_: object,
    ) -> urllib3.HTTPResponse:
        """Of urllib3's pools. The mesh's rules retry; retries is about redirects alone, which the manager follows."""
        limits = timeout if isinstance(timeout, Timeout) else Timeout(cast("float | None", timeout))
        lines = [(str(name), _text(value)) for name, value in (headers or {}).items()]
        read = limits.read_timeout
        asked = Asked(
            method,
            self.scheme,
            self.host,
            self.port,
            url,
            lines,
            body,
            Timeout.resolve_default_timeout(limits.connect_timeout),
            Timeout.resolve_default_timeout(read),
            decode_content,
            self._application,
        )
        response = self._wire.send(asked)
        if preload_content:
            response.read(cache_content=True)
        return response

    def is_same_host(self, url: str) -> bool:
        """Of urllib3's pools."""
        if url.startswith("/"):
            return True
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return (parts.scheme, parts.hostname, port) == (self.scheme, self.host, self.port)

    def close(self) -> None:
        """The connections are the manager's."""

    def _application(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = _context(self.cert_reqs, self.ca_certs, self.ca_cert_dir, self.cert_file, self.key_file)
        return self._context


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


_contexts: dict[tuple[object, ...], ssl.SSLContext] = {}


def _context(reqs: object, file: str | None, folder: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """Of the caller's own TLS; made once, so that connections are used again."""
    given = (reqs, file, folder, cert, key)
    made = _contexts.get(given)
    if made is None:
        made = ssl.create_default_context(cafile=file, capath=folder)
        if reqs in ("CERT_NONE", ssl.CERT_NONE):
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if cert:
            made.load_cert_chain(cert, key)
        made = _contexts.setdefault(given, made)
    return made


class PoolManager(urllib3.PoolManager):
    """urllib3's manager, whose requests go where the registry says, as its rules say: balanced, with retries, time
    limits, header operations, rewrites, redirects, faults, mirrors, connection limits and TLS origination.

    registry: a Registry or a view of one. identity, credentials: folders of certificates (`clients.tls.Originator`).
    trusted: x-envoy-… request headers steer retries and time limits. recorder: counts requests
    (`metrics.istio.RequestRecorder`). watchers: see it begin, too (`clients.tracing.Spans`). ssl_context: of the
    caller's own TLS (https). The caller's timeouts hold where the route and the cluster set none; urllib3's `retries`
    follow redirects and nothing else. `.roadstead` of a response (`Sent`) tells whose answer it is."""

    def __init__(
        self,
        registry: View,
        *,
        identity: str | os.PathLike[str] | None = None,
        credentials: str | os.PathLike[str] | None = None,
        trusted: bool = False,
        recorder: Recorder | None = None,
        watchers: Sequence[Watcher] = (),
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(headers=headers)
        self._context = ssl_context
        self._wire = Wire(
            registry, Terms(Originator(identity, credentials), trusted, registry.clock, recorder, tuple(watchers))
        )

    def connection_from_host(  # type: ignore[override]
        self, host: str | None, port: int | None = None, scheme: str | None = "http", pool_kwargs: object = None
    ) -> Door:
        """Of urllib3."""
        scheme = scheme or "http"
        return Door(
            self._wire, scheme, (host or "").strip("[]"), port or (443 if scheme == "https" else 80), self._context
        )

    def clear(self) -> None:
        """Of urllib3: close all connections."""
        self._wire.close()


__all__ = ["Door", "PoolManager", "Wire"]
