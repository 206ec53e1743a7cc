"""One try of a request, and the copies of it: a connection, the request on it, the head of the response."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from roadstead.clients.carry import Answered, Broken, Call
from roadstead.errors import TlsRefused
from roadstead.proxy.codec import Asked, Asking, Cut, Head, unframed
from roadstead.proxy.flow import name_of
from roadstead.proxy.messages import Refusal, Request, end_to_end
from roadstead.proxy.outgoing import Outgoing
from roadstead.proxy.shared import milliseconds
from roadstead.proxy_protocol import Peers
from roadstead.steps import Try

if TYPE_CHECKING:
    from roadstead.proxy.shared import Shared


class Sender:
    """failure, upstream_time, length: of the last try: why its connection failed, milliseconds until the response, its
    Content-Length. peers: on whose behalf. wanted: called before the first block
    of a body is waited for."""

    def __init__(
        self,
        shared: Shared,
        request: Request,
        outgoing: Outgoing,
        peers: Peers | None,
        wanted: Callable[[], None] | None = None,
    ) -> None:
        self._shared = shared
        self._peers = peers
        self._wanted = wanted
        self._request = request
        self._outgoing = outgoing
        self._loop = asyncio.get_running_loop()
        self._upstream: Asking | None = None
        self._upload: asyncio.Task[None] | None = None
        self._copies: set[asyncio.Task[None]] = set()
        self._call: Call | None = None
        self.failure: str | None = None
        self.upstream_time: int | None = None
        self.length: int | None = None

    @property
    def upstream_host(self) -> str | None:
        """Of the last try, None where there was none."""
        call = self._call
        return None if call is None else name_of((call.host, call.port)) if call.port else call.host

    @property
    def is_sent(self) -> bool:
        """The request was written to its end."""
        return self._outgoing.is_here and (self._upload is None or self._upload.done())

    async def send(self, call: Call) -> Answered[Asking] | Broken:
        """One try."""
        self.abort()
        self.failure = None
        self._call = call
        found = await self._connected(call)
        if isinstance(found, Broken):
            return found
        self._upstream = found
        deadline = call.deadline
        if call.waits:
            step = call.exchange.ready()
            if not isinstance(step, Try):
                # It got its connection and may not use it; the exchange knows why.
                found.done(is_sent=True)
                self._upstream = None
                return Broken(None)
            deadline = step.deadline
        return await self._asked(found, call, deadline)

    def copy(self, call: Call) -> None:
        """Send a copy on the side; what comes of it is nobody's business."""
        task = self._loop.create_task(self._copied(call))
        _COPIES.add(task)
        task.add_done_callback(_COPIES.discard)

    def release(self) -> None:
        """The response is over: the connection is the next one's, if it can be."""
        if self._upstream is not None:
            self._upstream.done(is_sent=self.is_sent)
            self._upstream = None
        self._stop()

    def abort(self) -> None:
        """Nothing more is wanted of the try."""
        self._stop()
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None

    def _stop(self) -> None:
        upload, self._upload = self._upload, None
        if upload is None:
            return
        if not upload.done():
            upload.cancel()
        elif not upload.cancelled():
            # What broke it is known from the response, or is nobody's business any more.
            upload.exception()

    async def _connected(self, call: Call) -> Asking | Broken:
        pools, http2 = self._shared.pools, self._speaks_http2(call)
        try:
            found = None if http2 else pools.at_once(call)
            if found is not None:
                return found
            if call.deadline is None:
                return await pools.acquire(call, self._peers, http2=http2)
            async with asyncio.timeout(self._shared.terms.seconds_until(call.deadline)) as limit:
                try:
                    return await pools.acquire(call, self._peers, http2=http2)
                except TimeoutError:
                    return self._failed("connection_timeout", "connect timeout")
        except TimeoutError:
            if call.deadline is None or not limit.expired():
                return self._failed("connection_timeout", "connect timeout")
            return await self.until(call.deadline)
        except TlsRefused:
            raise
        except (OSError, ssl.SSLError) as error:
            return self._failed("remote_connection_failure", str(error) or type(error).__name__)

    def _speaks_http2(self, call: Call) -> bool:
        """As the cluster says, or as the client does."""
        protocol = "http1" if call.pool is None else call.pool.http.protocol
        if protocol == "downstream":
            return self._request.version == "2"
        if protocol == "http2" and self._request.upgrade:
            raise Refusal(
                502, "upgrade_failed", f"{call.cluster} speaks HTTP/2, in which this proxy carries no WebSocket", "UPE"
            )
        return protocol == "http2"

    def _failed(self, why: object, text: str) -> Broken:
        self.failure = text
        return Broken(why, sent=False)  # type: ignore[arg-type] # one of Envoy's words

    async def until(self, deadline: int) -> Broken:
        """Timers end a hair early; the exchange is asked when the instant is there."""
        while self._shared.terms.clock() < deadline:
            await asyncio.sleep(0.0005)
        return Broken(None)

    async def _asked(self, upstream: Asking, call: Call, deadline: int | None) -> Answered[Asking] | Broken:
        """Write the request, and wait for the head of the response."""
        began = self._loop.time()
        head = self._write(upstream, call)
        try:
            if self._upload is None:
                answer: Head | None = None
                left = None if deadline is None else self._shared.terms.seconds_until(deadline)
                with suppress(TimeoutError):
                    async with self._shared.deadlines.within(left):
                        answer = await head
            else:
                answer = await self._head(head, self._upload, call, deadline)
        except Cut as cut:
            self.failure = str(cut)
            self.abort()
            return Broken(cut.ending)
        if answer is None:
            self.abort()
            return await self.until(self._deadline(call, deadline) or 0)
        self.upstream_time = milliseconds(began, self._loop.time())
        self.length = answer.length
        headers = end_to_end(answer.headers)
        empty = upstream.body.is_here and not upstream.body.total and not upstream.body.trailers
        return Answered(answer.status, headers, upstream, empty)

    def _write(self, upstream: Asking, call: Call) -> asyncio.Future[Head]:
        """The request, as far as it is here; the rest goes by the upload. What is to come of it."""
        outgoing, request = self._outgoing, self._request
        asked = Asked(
            request.method,
            "https" if call.secure else "http",
            call.authority,
            call.path,
            unframed(call.headers),
            outgoing.length,
            outgoing.is_streamed,
            request.upgrade,
            call.pool is not None and call.pool.http.max_requests_per_connection == 1,
        )
        if outgoing.is_empty:
            return upstream.ask(asked, b"")
        body = outgoing.read()
        if not outgoing.is_replayable:
            call.exchange.replayable = False
        if body is not None and outgoing.trailers:
            head = upstream.ask(asked, None)
            upstream.write(body)
            upstream.end(outgoing.trailers)
            return head
        head = upstream.ask(asked, body)
        if body is None:
            self._upload = self._loop.create_task(self._uploaded(upstream, call))
        return head

    async def _uploaded(self, upstream: Asking, call: Call) -> None:
        """The body, no faster than the upstream reads."""
        outgoing = self._outgoing
        if self._wanted is not None:
            self._wanted()
            self._wanted = None
        async for block in outgoing.blocks():
            if not outgoing.is_replayable:
                call.exchange.replayable = False
            upstream.write(block)
            await upstream.room()
        upstream.end(outgoing.trailers)
        call.exchange.received()

    async def _head(
        self, head: asyncio.Future[Head], upload: asyncio.Task[None], call: Call, deadline: int | None
    ) -> Head | None:
        """While the request is still on its way: None where the time is up. Raises Cut, and what the client's body
        breaks with."""
        terms = self._shared.terms
        waits: set[asyncio.Future[Head] | asyncio.Task[None]] = {head, upload}
        while True:
            until = self._deadline(call, deadline)
            left = None if until is None else terms.seconds_until(until)
            done, _ = await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if head.done():
                return head.result()
            if not done:
                return None
            waits.discard(upload)
            error = upload.exception()
            if error is not None and not isinstance(error, ConnectionError):
                raise error

    def _deadline(self, call: Call, deadline: int | None) -> int | None:
        """It is another one once the request is received."""
        step = call.exchange.step
        return step.deadline if isinstance(step, Try) else deadline

    async def _copied(self, call: Call) -> None:
        with call.exchange, suppress(OSError, ssl.SSLError, Cut, TlsRefused, Refusal, TimeoutError):
            body = await self._outgoing.whole()
            if body is None:
                return
            seconds = None if call.deadline is None else self._shared.terms.seconds_until(call.deadline)
            async with asyncio.timeout(seconds):
                await self._ask_copy(call, body)

    async def _ask_copy(self, call: Call, body: bytes) -> None:
        # As Envoy's, a copy is for nobody.
        upstream = await self._shared.pools.acquire(call, None, http2=self._speaks_http2(call))
        asked = Asked(
            self._request.method,
            "https" if call.secure else "http",
            call.authority,
            call.path,
            unframed(call.headers),
            None if self._outgoing.is_empty else len(body),
            is_streamed=False,
        )
        try:
            answer = await upstream.ask(asked, body)
            call.exchange.response(answer.status, end_stream=False)
            while await upstream.body.take():
                pass
            call.exchange.ended()
        except BaseException:
            upstream.abort()
            raise
        upstream.done(is_sent=True)


# Copies on their way: somebody has to hold their tasks.
_COPIES: set[asyncio.Task[None]] = set()


__all__ = ["Sender"]
