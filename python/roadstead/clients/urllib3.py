"""urllib3 through a registry: `PoolManager(registry).request("GET", "http://api.test/")`; requests is made of it."""

from __future__ import annotations

import http.client
import io
import re
import ssl
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import IO, TYPE_CHECKING, NamedTuple, TypeAlias, Unpack, cast
from urllib.parse import urlsplit

from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed, Terms
from roadstead.clients.counted import Counted, counted
from roadstead.clients.dial import Target, dial
from roadstead.clients.drive import BLOCKING, Copies, drive, finished
from roadstead.clients.options import Options, terms
from roadstead.clients.sent import KEPT, Sent, idle_time, most_connections, refuse_http2
from roadstead.clients.threads import Connections, NoConnection
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
    from roadstead.registry.view import View

Body: TypeAlias = "bytes | str | IO[bytes] | Iterable[bytes] | None"
# What breaks off a body.
_BREAKS = (HTTPError, OSError, http.client.HTTPException)
# A head that needs no second look: every line is one line, every name a name.
_PLAIN = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+ [!-~]+ HTTP/1\.1\r\n(?:[^:\s][^:\r\n]*: [^\r\n]*\r\n)+")
# A body that is not larger is sent together with its head.
_TOGETHER = 64 * 1024
_BODILESS = frozenset(["GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"])
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
        body, headers = asked.body, asked.headers
        is_kept = body is None or isinstance(body, bytes)
        decision = self._registry.route(
            next((value for name, value in headers if len(name) == 4 and name.lower() == "host"), "")
            or _authority(asked),
            asked.port,
            asked.path,
            asked.method,
            headers,
            scheme=asked.scheme,
        )
        size = len(body) if isinstance(body, bytes) else 0
        work: Carrying[Passing] = Carrying(decision, headers, self._terms, replayable=is_kept, size=size)
        outcome = finished(drive(work, BLOCKING, partial(self._sent, asked), partial(self._copy, asked), _drop))
        return _local(asked, outcome) if isinstance(outcome, Local) else outcome.response.passed(outcome)

    def close(self) -> None:
        """Close all connections; copies on their way are waited for."""
        self._copies.close()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _copy(self, asked: Asked, call: Call) -> None:
        body = asked.body if isinstance(asked.body, bytes) else None
        self._copies.send(partial(self._send_copy, call, asked._replace(body=body)))

    def _send_copy(self, call: Call, asked: Asked) -> None:
        with call.exchange:
            result = finished(self._sent(asked, call))
            if isinstance(result, Answered):
                call.exchange.response(result.status)
                result.response.drain_conn()
                result.response.close()

    async def _sent(self, asked: Asked, call: Call) -> Answered[Passing] | Broken:
        refuse_http2(call.cluster, call.pool)
        left = None if call.deadline is None else self._terms.seconds_until(call.deadline)
        context = None
        if call.secure:
            context = asked.context() if call.tls is None else self._terms.tls.context(call.tls, alpn=("http/1.1",))
        connect = asked.connect if call.pool is None else call.pool.tcp.connect_timeout
        connect = connect if left is None else left if connect is None else min(connect, left)
        pool = self._pool(call, context)
        try:
            waits = left if left is not None or call.waits else asked.connect
            connection = pool.take((call.host, call.port), partial(_connection, call, context, connect), waits)
        except NoConnection:
            if call.deadline is None:
                raise EmptyPoolError(None, f"{call.cluster}: all connections are in use") from None  # type: ignore[arg-type]
            return self._late(call.deadline)
        except TimeoutError as error:
            if self._is_late(call.deadline):
                return self._late(call.deadline)
            if call.pool is None and call.deadline is None:
                raise ConnectTimeoutError(f"{call.host}:{call.port}: {error}") from error
            return Broken("connection_timeout", sent=False)
        except OSError:
            return Broken("remote_connection_failure", sent=False)
        deadline = call.deadline
        if call.waits:
            now = call.exchange.ready()
            if not isinstance(now, Try):
                pool.give_back(connection)
                return Broken(None)
            deadline = now.deadline
        return self._exchanged(call, deadline, asked, pool, connection)

    def _exchanged(
        self,
        call: Call,
        deadline: int | None,
        asked: Asked,
        pool: Connections[_Connection],
        connection: _Connection,
    ) -> Answered[Passing] | Broken:
        """Send the request over a connection, and read the head of the response."""
        read = asked.read if deadline is None else max(self._terms.seconds_until(deadline), 1e-3)
        try:
            response = connection.ask(call, asked, read, last=pool.is_last(connection))
        except TimeoutError as error:
            pool.drop(connection)
            if self._is_late(deadline):
                return self._late(deadline)
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
        lines = response.msg.items()
        made = Passing(response, lines, asked, pool, connection, self._terms)
        return Answered(response.status, lines, made, made.isclosed())

    def _is_late(self, deadline: int | None) -> bool:
        return deadline is not None and self._terms.seconds_until(deadline) <= 0.001

    def _late(self, deadline: int | None) -> Broken:
        """Timers of sockets end a hair early; the exchange is asked when the instant is there."""
        while deadline is not None and self._terms.clock() < deadline:
            time.sleep(0)
        return Broken(None)

    def _pool(self, call: Call, context: ssl.SSLContext | None) -> Connections[_Connection]:
        key = (call.cluster, context, "" if call.pool is None else call.pool.tcp.proxy_protocol)
        pool = self._pools.get(key)
        if pool is None:
            mesh = call.pool or ConnectionPool()
            with self._lock:
                made: Connections[_Connection] = Connections(
                    most_connections(mesh), idle_time(mesh), mesh.http.max_requests_per_connection or 0
                )
                pool = self._pools.setdefault(key, made)
        return pool


async def _drop(response: Passing) -> None:
    response.close()


def _connection(call: Call, context: ssl.SSLContext | None, connect: float | None) -> _Connection:
    target = Target(call.host, call.port, call.pool or ConnectionPool(), context, call.sni)
    with counted(call) as known:
        return _Connection(target, connect, known)


class _Connection(HTTPConnection):
    """A connection to an endpoint, dialled as its cluster wants it."""

    def __init__(self, target: Target, connect: float | None, known: Counted) -> None:
        super().__init__(target.host, target.port or None)
        self._counted = known
        self.key: Hashable = (target.host, target.port)
        self.served = 0
        self.idle_since = 0.0
        self.sock = dial(target, connect)

    def close(self) -> None:
        """Of http.client."""
        super().close()
        self._counted.end()

    def is_usable(self) -> bool:
        """Nothing says that the other side has left."""
        return self.sock is not None and self.is_connected

    def connect(self) -> None:
        """Nobody connects it again: it is replaced."""
        raise http.client.NotConnected

    def ask(self, call: Call, asked: Asked, timeout: float | None, *, last: bool) -> http.client.HTTPResponse:
        """Send a request; its response, whose body is not read."""
        self.timeout = timeout
        lines = [("Host", call.authority)]
        lines += [line for line in call.headers if len(line[0]) != 4 or line[0].lower() != "host"]
        if last:
            lines = [line for line in lines if line[0].lower() != "connection"]
            lines.append(("Connection", "close"))
        written = _written(asked, call.path, lines)
        # A server may answer before it has read everything, and close.
        with suppress(BrokenPipeError, ConnectionResetError):
            if written is None:
                self._ask_at_length(asked, call.path, lines)
            else:
                self.sock.settimeout(timeout)
                self.sock.sendall(written)
        return http.client.HTTPConnection.getresponse(self) if written is None else self._head(asked.method)

    def _ask_at_length(self, asked: Asked, path: str, lines: list[tuple[str, str]]) -> None:
        headers: MutableMapping[str, str] = dict(lines)
        if len(headers) != len(lines):
            # Of a name that comes twice both lines are sent.
            headers = urllib3.HTTPHeaderDict(lines)
        for name in _ADDED:
            if name not in headers and not any(known.lower() == name.lower() for known in headers):
                headers[name] = SKIP_HEADER
        self.request(asked.method, path, asked.body, headers, decode_content=False)

    def _head(self, method: str) -> http.client.HTTPResponse:
        """What `getresponse` does for requests that the library itself has written."""
        response = self.response_class(self.sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        if response.will_close:
            self.close()
        return response


def _written(asked: Asked, path: str, lines: list[tuple[str, str]]) -> bytes | None:
    """A request whose body is in memory, as its bytes; None where that takes the library's care: for what it refuses,
    what is chunked, and bodies that are made as they are sent."""
    body = asked.body
    if body is None and asked.method not in _BODILESS:
        body = b""
    text = f"{asked.method} {path} HTTP/1.1\r\n" + "".join([f"{name}: {value}\r\n" for name, value in lines])
    is_small = body is None or (isinstance(body, bytes) and len(body) <= _TOGETHER)
    if not is_small or text.count("\n") != len(lines) + 1 or _PLAIN.fullmatch(text) is None:
        return None
    names = text.lower()
    if "\ntransfer-encoding:" in names:
        return None
    if body is None:
        return f"{text}\r\n".encode("latin-1")
    if "\ncontent-length:" not in names:
        text = f"{text}Content-Length: {len(cast('bytes', body))}\r\n"
    return f"{text}\r\n".encode("latin-1") + cast("bytes", body)


class Passing(urllib3.HTTPResponse):
    """A response whose body is passed on; how it ends is told, and its connection given back."""

    roadstead: Sent

    def __init__(
        self,
        response: http.client.HTTPResponse,
        lines: list[tuple[str, str]],
        asked: Asked,
        pool: Connections[_Connection],
        connection: _Connection,
        terms: Terms,
    ) -> None:
        self._outcome: Passed[Passing] | None = None
        self._lines = lines
        self._connections = pool
        self._its = connection
        self._terms = terms
        self._is_over = False
        super().__init__(
            response,
            headers=urllib3.HTTPHeaderDict(lines),
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
        if outcome.headers != self._lines:
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
        try:
            made = super().read(amt, decode_content, cache_content)
        except _BREAKS:
            self._break()
            raise
        if self.isclosed():
            self._end()
        return made

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Of urllib3."""
        try:
            made = super().read1(amt, decode_content)
        except _BREAKS:
            self._break()
            raise
        if self.isclosed():
            self._end()
        return made

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:  # type: ignore[override]
        """Of urllib3."""
        try:
            yield from super().read_chunked(amt, decode_content)
        except _BREAKS:
            self._break()
            raise
        if self.isclosed():
            self._end()

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


def _kept(body: Body, headers: list[tuple[str, str]]) -> Body:
    """A body that is small enough is taken into memory, so that it can be sent again."""
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    length = next((value for name, value in headers if name.lower() == "content-length"), "")
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
            _kept(body, lines),
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

    registry: a Registry or a view of one. ssl_context: of the caller's own TLS (https). options:
    `clients.options.Options`. The caller's timeouts hold where the route and the cluster set none; urllib3's `retries`
    follow redirects and nothing else. `.roadstead` of a response (`Sent`) tells whose answer it is."""

    def __init__(
        self,
        registry: View,
        *,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(headers=headers)
        self._context = ssl_context
        self._wire = Wire(registry, terms(registry, options))

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
