"""The mesh's connections under gRPC, which opens its own. Its TLS checks one host name of a certificate and nothing
else, and nothing may come before it; what asks for more runs here: the channel speaks to a socket in a folder that is
ours alone, and behind it the bytes go on in TLS of Python's `ssl`, with the same contexts, and so the same checks, as
every other client's (identities, any of several names, revoked certificates, no check where the rule says so), after
the PROXY protocol's header where the rule asks for it.

Certificate files that were replaced count with the next connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
import threading
from collections.abc import Coroutine, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from roadstead.clients.dial import Target, aconnect
from roadstead.errors import MissingExtra, NotSpoken, TlsRefused
from roadstead.mesh import ConnectionPool, TlsOrigination

try:
    import grpc
except ImportError as error:
    raise MissingExtra("calls by gRPC", "grpc", "grpcio") from error

if TYPE_CHECKING:
    from roadstead.clients.carry import Call
    from roadstead.clients.tls import Originator

_LOG = logging.getLogger("roadstead.clients.grpc")
_BACKLOG = 128
# The path of a unix socket is short; so is its folder's.
_LONGEST, _SHORT = 72, "/tmp"
ALPN = ("h2",)


def is_relayed(call: Call) -> bool:
    """gRPC cannot open this connection itself."""
    tells = call.pool is not None and bool(call.pool.tcp.proxy_protocol)
    return tells or (call.tls is not None and not is_grpcs(call.tls, call.sni))


def is_grpcs(tls: TlsOrigination, sni: str) -> bool:
    """gRPC's own TLS checks what this one asks for: one host name, which is the one it is asked for by."""
    names = tls.subject_alt_names
    return (
        tls.mode in {"SIMPLE", "MUTUAL"}
        and tls.verify in {"auto", "san"}
        and not tls.ca_crl
        and bool(sni)
        and names in {(), (sni,)}
        and not sni.replace(".", "").isdigit()
        and ":" not in sni
    )


def credentials(originator: Originator, tls: TlsOrigination) -> grpc.ChannelCredentials:
    """gRPC's own TLS; TlsRefused where a file is missing."""
    files = originator.files(tls)

    def read(path: str) -> bytes | None:
        if not path:
            return None
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise TlsRefused(f"{path}: {error}") from error

    return grpc.ssl_channel_credentials(read(files.root), read(files.key), read(files.certificate))


class _Place(NamedTuple):
    """Where a socket leads. tls: None: the bytes go on as they are."""

    cluster: str
    host: str
    port: int
    pool: ConnectionPool
    tls: TlsOrigination | None
    sni: str


class Relay:
    """Sockets by where they lead, served by a thread from the first one on. failures: of each cluster, why its last
    connection did not come about; none where it did."""

    def __init__(self, originator: Originator) -> None:
        self._originator = originator
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._paths: dict[Hashable, str] = {}
        self._ends: set[_End] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: dict[str, str] = {}

    def at(self, key: Hashable, call: Call) -> str:
        """The path of a socket that leads where a call goes. TlsRefused where its TLS cannot be made."""
        place = _Place(call.cluster, call.host, call.port, call.pool or ConnectionPool(), call.tls, call.sni)
        self._context(place)
        if not hasattr(socket, "AF_UNIX"):
            raise NotSpoken(
                f"{call.cluster}: gRPC opens its connections itself, with a TLS that checks one host name and nothing"
                " else; what this rule asks for takes unix sockets, which this system has not"
            )
        with self._lock:
            found = self._paths.get(key)
            if found is None:
                found = self._paths[key] = self._listen(place)
            return found

    def close(self, *, waits: bool = True) -> None:
        """All connections are closed, and the sockets gone. waits: when it returns; not for who may be anywhere, as the
        collector of garbage is."""
        with self._lock:
            loop, thread, folder = self._loop, self._thread, self._folder
            self._loop = self._thread = self._folder = None
            self._paths.clear()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._keep, self._end(loop))
            if waits:
                thread.join()
        if folder is not None:
            folder.cleanup()

    def _context(self, place: _Place) -> ssl.SSLContext | None:
        return None if place.tls is None else self._originator.context(place.tls, alpn=ALPN)

    # Under the lock

    def _listen(self, place: _Place) -> str:
        if self._folder is None:
            # Nobody else may enter it, so nobody else speaks with this identity.
            parent = _SHORT if len(tempfile.gettempdir()) > _LONGEST else None
            self._folder = tempfile.TemporaryDirectory(prefix="roadstead-", dir=parent, ignore_cleanup_errors=True)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="roadstead-grpc-tls", daemon=True)
            self._thread.start()
        path = f"{self._folder.name}/{len(self._paths)}"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(path)
            # Whoever connects before the thread accepts waits in the system.
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
        self._loop.call_soon_threadsafe(self._keep, self._serve(listening, place))
        return path

    # In the thread

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, listening: socket.socket, place: _Place) -> None:
        loop = asyncio.get_running_loop()

        def accept() -> _End:
            near = _End(self._ends)
            self._keep(self._join(near, place))
            return near

        server = await loop.create_unix_server(accept, sock=listening)
        async with server:
            await server.serve_forever()

    async def _join(self, near: _End, place: _Place) -> None:
        """Connect to the endpoint, and carry the bytes."""
        far = _End(self._ends)
        far.peer, near.peer = near, far
        await near.made
        try:
            await self._dial(far, place)
        except (OSError, ssl.SSLError, TlsRefused) as error:
            what = "connect timeout" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            self.failures[place.cluster] = f"{place.host}:{place.port}: {what}"
            _LOG.info("%s: %s:%s: %s", place.cluster, place.host, place.port, what)
            near.transport.abort()
            return
        self.failures.pop(place.cluster, None)
        for one, other in ((near, far), (far, near)):
            if one.is_lost:
                other.transport.close()
            else:
                one.transport.resume_reading()

    async def _dial(self, far: _End, place: _Place) -> None:
        context = self._context(place)
        target = Target(place.host, place.port, place.pool, context, place.sni)
        async with asyncio.timeout(target.timeout):
            await aconnect(target, far)

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        own = {asyncio.current_task()}
        # Who was let in meanwhile comes up with the loop's next turns.
        while self._ends or self._tasks - own:
            for task in self._tasks - own:
                task.cancel()
            for one in list(self._ends):
                one.transport.abort()
            await asyncio.sleep(0)
        loop.stop()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


class _End(asyncio.Protocol):
    """One of two ends: what comes goes to the other, no faster than that takes it. everyone: all there are."""

    transport: asyncio.Transport
    peer: _End

    def __init__(self, everyone: set[_End]) -> None:
        self._everyone = everyone
        self.is_lost = False
        self.made: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol: nothing is read before the other end is there."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()
        self._everyone.add(self)
        self.made.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self.peer.transport.write(data)

    def pause_writing(self) -> None:
        """Of asyncio.Protocol."""
        self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """Of asyncio.Protocol."""
        self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol: what the other end was told is still sent."""
        self.is_lost = True
        self._everyone.discard(self)
        if self.peer.made.done() and not self.peer.is_lost:
            self.peer.transport.close()


__all__ = ["ALPN", "Relay", "credentials", "is_grpcs", "is_relayed"]
