"""One request of a client, carried out: decided by the registry, sent where its rules say, answered, told of."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

from roadstead.clients.bodies import BodyWatch, HeaderList
from roadstead.clients.carry import Carrying, Local, Passed
from roadstead.clients.drive import ASYNCHRONOUS, drive
from roadstead.errors import TlsRefused
from roadstead.mesh import ConnectionPool, TcpPolicy
from roadstead.metrics.access_log import Entry
from roadstead.proxy.codec import Answering, Asking, Cut, Switchable, split, unframed
from roadstead.proxy.ends import End
from roadstead.proxy.messages import (
    TRAILERS,
    Refusal,
    Request,
    Target,
    end_to_end,
    response_head,
    target_of,
)
from roadstead.proxy.outgoing import Outgoing
from roadstead.proxy.sending import Sender
from roadstead.proxy.shared import milliseconds, reason, wall
from roadstead.proxy.tunnel import address_of, opened, splice
from roadstead.proxy.upstream import Upstream
from roadstead.steps import Done

if TYPE_CHECKING:
    from roadstead._core import Decision

_LOG = logging.getLogger("roadstead.proxy")
_ESTABLISHED = b"HTTP/1.1 200 OK\r\n\r\n"
_GRPC = "application/grpc"
# Of the names that `_complete` looks for: most others need not be looked at.
_SERVICE_TIME = "x-envoy-upstream-service-time"
_LENGTHS = frozenset(map(len, ["host", "expect", "x-request-id", "x-forwarded-proto", "content-type"]))


class Carrier:
    """For one request; `run` or `refused`, once."""

    def __init__(self, answering: Answering, request: Request | None) -> None:
        self._answering = answering
        self._client = answering.client
        self._shared = answering.client.shared
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._decision: Decision | None = None
        self._target: Target | None = None
        self._sender: Sender | None = None
        self._has_begun = False
        self._status = 0
        self._flags = ""
        self._details: str | None = None
        self._termination: str | None = None
        self._failure: str | None = None
        self._sent = 0
        # Of the response, -1: none was told.
        self._grpc_status = -1
        self._is_grpc = False
        self._request_id: str | None = None
        self._upstream_host: str | None = None
        self._upstream_local: str | None = None
        self._upstream_time: int | None = None

    async def run(self, request: Request) -> bool:
        """Carry it out; whether the connection can go on."""
        counts = self._shared.counts
        counts["downstream_rq_total"] += 1
        counts["downstream_rq_http2_total" if request.version == "2" else "downstream_rq_http1_total"] += 1
        counts["downstream_rq_active"] += 1
        try:
            return await self._carried_out(request)
        except Refusal as refusal:
            return self._refuse(refusal)
        except TlsRefused as error:
            return self._refuse(Refusal(502, "tls_refused", str(error), "UF"))
        except Exception:  # noqa: BLE001 - one request must not end the proxy
            _LOG.exception("%s %s", request.method, request.raw_target.decode("latin-1"))
            return self._refuse(Refusal(500, "internal_error", "a defect of the proxy: its log says more"))
        except asyncio.CancelledError:
            if self._sender is not None:
                self._sender.abort()
            if not self._answering.is_expired:
                self._flags = "DC"
                self._details = "downstream_remote_disconnect"
                self._tell()
            raise
        finally:
            counts["downstream_rq_active"] -= 1

    async def refused(self, refusal: Refusal) -> bool:
        """Answer what is no request, or none that is taken; the connection ends with it."""
        self._shared.counts["downstream_cx_protocol_error"] += 1
        self._refuse(refusal)
        return False

    async def took_too_long(self) -> None:
        """Nothing moved for too long."""
        if self._has_begun:
            self._flags, self._details = "SI", "stream_idle_timeout"
            self._tell()
            self._answering.cut()
        else:
            self._refuse(Refusal(504, "stream_idle_timeout", "nothing moved for too long", "SI"))

    # The way of a request

    async def _carried_out(self, request: Request) -> bool:
        client, shared = self._client, self._shared
        target = self._target = target_of(request, client.through)
        if request.method == "CONNECT":
            return await self._connect(request, target)
        headers = end_to_end(request.headers)
        if request.version == "2" and TRAILERS in request.headers:
            headers.append(("te", "trailers"))
        expects = self._complete(headers, target)
        decision = self._decision = shared.view.route(
            target.authority,
            target.port,
            target.path,
            request.method,
            headers,
            scheme=target.scheme,
            source_ip=client.remote_ip or None,
        )
        shared.admit(decision, target.host, target.port, may_pass=client.may_pass)
        needs = shared.terms.trusted or decision.retry is not None or bool(decision.mirrors)
        outgoing = Outgoing(
            request.body,
            length=request.length,
            is_streamed=request.is_streamed,
            most=shared.limits.kept_bytes if needs else 0,
        )
        wanted = self._answering.proceed if expects and request.version != "1.0" else None
        sender = self._sender = Sender(shared, request, outgoing, client.peers, wanted)
        outcome = await self._driven(decision, headers, outgoing, sender)
        if isinstance(outcome, Local):
            sender.abort()
            return self._answer(outcome)
        return await self._pass(request, outcome, sender)

    def _complete(self, headers: HeaderList, target: Target) -> bool:
        """Set what Envoy sets on every request, and drop what is between the client and us. Whether it waits for a 100
        before it sends its body."""
        request_id, expects = None, False
        scheme = target.scheme
        for at in range(len(headers) - 1, -1, -1):
            name, value = headers[at]
            if len(name) not in _LENGTHS:
                continue
            name = name.lower()
            if name == "host":
                del headers[at]
            elif name == "expect":
                del headers[at]
                expects = True
            elif name == "x-request-id":
                request_id = value
            elif name == "x-forwarded-proto":
                scheme = ""
            elif name == "content-type":
                self._is_grpc = _is_grpc(value)
        headers.insert(0, ("host", target.authority))
        if scheme:
            headers.append(("x-forwarded-proto", scheme))
        if request_id is None and "x-request-id" not in self._shared.terms.unsaid():
            request_id = str(uuid.uuid4())
            headers.append(("x-request-id", request_id))
        self._request_id = request_id
        return expects

    async def _driven(
        self, decision: Decision, headers: HeaderList, outgoing: Outgoing, sender: Sender
    ) -> Passed[Asking] | Local:
        """Do what the exchange says, until there is an answer."""
        work: Carrying[Asking] = Carrying(
            decision,
            headers,
            self._shared.terms,
            replayable=outgoing.is_replayable,
            size=outgoing.length or 0,
            received=outgoing.is_empty or outgoing.is_here,
        )
        try:
            return await drive(work, ASYNCHRONOUS, sender.send, sender.copy)
        finally:
            self._failure = sender.failure

    def _answer(self, local: Local) -> bool:
        """This process answers itself."""
        self._flags, self._details = local.flags, local.details
        headers = unframed(local.headers)
        body = local.body
        target = self._target
        if not body and target is not None and (text := reason(local.decision, target.host, target.port)):
            body = text.encode() + b"\n"
        return self._say(local.status, headers, body)

    async def _pass(self, request: Request, passed: Passed[Asking], sender: Sender) -> bool:
        """Pass an upstream's response on as it comes."""
        upstream = passed.response
        watch = passed.watch
        self._status = passed.status
        self._upstream_local = upstream.local
        self._upstream_time = sender.upstream_time
        self._details = "via_upstream"
        try:
            if isinstance(upstream, Upstream) and upstream.is_raw:
                return await self._switched(request, passed, upstream, sender)
            await self._copied(passed, sender)
        except Cut as cut:
            watch.broke(cut.ending)
            self._failure = str(cut)
        except TimeoutError:
            await sender.until(passed.deadline or 0)
            watch.broke(None)
        except BaseException:
            watch.closed()
            raise
        else:
            watch.ended()
            self._flags = passed.exchange.flags
            sender.release()
            self._tell()
            return self._answering.keep
        sender.abort()
        step = passed.exchange.step
        self._flags = passed.exchange.flags
        if isinstance(step, Done):
            self._details = step.details
        self._tell()
        self._answering.cut()
        return False

    async def _copied(self, passed: Passed[Asking], sender: Sender) -> None:
        """Head and body to the client, no faster than it reads."""
        answering, body, watch = self._answering, passed.response.body, passed.watch
        headers = unframed(passed.headers)
        if _SERVICE_TIME not in self._shared.terms.unsaid():
            headers.append((_SERVICE_TIME, str(sender.upstream_time or 0)))
        answering.keep = answering.keep and not self._shared.is_draining and sender.is_sent
        self._heard(passed.headers, watch)
        if body.is_here:
            block = body.now()
            self._sent = watch.received = len(block)
            answering.finish(passed.status, headers, sender.length, block, body.trailers)
            self._has_begun = True
        else:
            answering.begin(passed.status, headers, sender.length)
            self._has_begun = True
            async with self._shared.deadlines.within(self._left(passed)):
                while block := await body.take():
                    self._sent = watch.received = self._sent + len(block)
                    answering.write(block)
                    await answering.room()
            answering.end(body.trailers)
        if body.trailers:
            self._heard(split(body.trailers), watch)

    def _heard(self, headers: HeaderList, watch: BodyWatch | None = None) -> None:
        """What a head or trailers say of a gRPC call."""
        if self._is_grpc:
            for name, value in headers:
                if name.lower() == "grpc-status" and value.isdigit():
                    self._grpc_status = int(value)
                    if watch is not None:
                        watch.grpc_status = self._grpc_status

    async def _switched(self, request: Request, passed: Passed[Asking], upstream: Upstream, sender: Sender) -> bool:
        """101: both sides speak another protocol from now on."""
        client = self._whole()
        headers = unframed(passed.headers)
        headers += [("connection", "upgrade"), ("upgrade", request.upgrade.decode("latin-1"))]
        client.write(response_head(101, headers))
        self._has_begun = True
        near, far = End(), End()
        upstream.transport.set_protocol(far)
        far.connection_made(upstream.transport)
        first = client.hand_over(near)
        if upstream.rest:
            near.write(upstream.rest)
            far.total += len(upstream.rest)
        try:
            self._termination = await splice(near, far, first, _lasting(self._decision)) or None
        finally:
            request.body.total, self._sent = near.total, far.total
            sender.abort()
            self._shared.pools.forget(upstream)
        passed.watch.ended()
        self._tell()
        return False

    def _whole(self) -> Switchable:
        """The client's connection, for another protocol."""
        whole = self._answering.whole
        if whole is None:
            raise Refusal(501, "upgrade_failed", "CONNECT and other protocols are taken in HTTP/1.1, not within HTTP/2")
        return whole

    # CONNECT

    async def _connect(self, request: Request, target: Target) -> bool:
        """A tunnel to where the registry leads a connection; what is HTTP by declaration is looked into."""
        client, shared, whole = self._client, self._shared, self._whole()
        if client.through is not None:
            raise Refusal(400, "nested_connect", "a CONNECT within a CONNECT")
        service = shared.view.find(target.host, target.port)
        kinds = [kind for number, _, kind in service.ports if number == target.port] if service is not None else []
        if kinds == [_HTTP]:
            whole.write(_ESTABLISHED)
            self._has_begun = True
            self._status = 200
            raw = await whole.first_raw()
            if raw[:1] != _HANDSHAKE:
                whole.look_into(target.host, target.port)
                return True
        sni = target.host if kinds == [_TLS] else None
        decision = self._decision = shared.view.connect(
            target.host, target.port, sni=sni, source_ip=client.remote_ip or None
        )
        shared.admit(decision, target.host, target.port, may_pass=client.may_pass)
        made = await opened(shared, decision, target.host, target.port, client.peers)
        self._upstream_host = address_of(made.target)
        try:
            if kinds != [_HTTP]:
                whole.write(_ESTABLISHED)
            self._has_begun = True
            self._status = 200
            near = End()
            first = whole.hand_over(near)
            made.place.read_by(lambda: (made.end.total, near.total))
            try:
                self._termination = await splice(near, made.end, first, made.policy) or None
            finally:
                request.body.total, self._sent = near.total, made.end.total
            self._details = "via_upstream"
            self._tell()
        finally:
            made.place.end()
            made.end.transport.abort()
        return False

    # Answers of our own

    def _refuse(self, refusal: Refusal) -> bool:
        if self._sender is not None:
            self._sender.abort()
        self._flags, self._details = refusal.flags, refusal.details
        if self._has_begun or self._client.is_lost:
            # Too late for an answer: what was begun must not look whole.
            self._tell()
            self._answering.cut()
            return False
        request = self._request
        self._is_grpc = request is not None and _is_grpc(request.text(b"content-type") or "")
        if self._is_grpc:
            return self._say(200, _grpc_headers(refusal), b"")
        return self._say(refusal.status, [], f"{refusal.text}\n".encode())

    def _say(self, status: int, headers: HeaderList, body: bytes) -> bool:
        request, answering = self._request, self._answering
        self._status = status
        answering.keep = (
            answering.keep and not self._shared.is_draining and request is not None and request.body.is_here
        )
        if body and not any(name.lower() == "content-type" for name, _ in headers):
            headers = [*headers, ("content-type", "text/plain")]
        if request is None or request.method != "HEAD":
            self._sent = len(body)
        self._has_begun = True
        self._heard(headers)
        length = None if self._is_grpc else len(body)
        answering.finish(status, headers, length, b"" if request and request.method == "HEAD" else body, [])
        self._tell()
        return answering.keep

    def _left(self, passed: Passed[Asking]) -> float | None:
        return None if passed.deadline is None else self._shared.terms.seconds_until(passed.deadline)

    # Telling of it

    def _tell(self) -> None:
        """Log it and count it."""
        request, target, decision, shared = self._request, self._target, self._decision, self._shared
        now = self._loop.time()
        began = now if request is None else request.began
        received = 0 if request is None else request.body.total
        if decision is not None and shared.requests is not None and request is not None and request.method != "CONNECT":
            shared.requests.add(
                decision,
                self._status,
                self._flags,
                nanoseconds=int((now - began) * 1e9),
                request_bytes=received,
                response_bytes=self._sent,
                grpc=self._is_grpc,
                grpc_status=self._grpc_status,
            )
        if not shared.is_logged:
            return
        client = self._client
        route = getattr(decision.route, "name", None) if decision is not None else None
        shared.log(
            Entry(
                wall(now - began),
                None if request is None else request.method,
                None if target is None or not target.path else target.path,
                None if request is None else f"HTTP/{request.version}",
                self._status,
                self._flags,
                self._details,
                self._termination,
                self._failure,
                received,
                self._sent,
                milliseconds(began, now),
                self._upstream_time,
                None if request is None else request.text(b"x-forwarded-for"),
                None if request is None else request.text(b"user-agent"),
                self._request_id,
                None if target is None else target.authority,
                self._upstream_host or (None if self._sender is None else self._sender.upstream_host),
                None if decision is None else decision.cluster_name or None,
                self._upstream_local,
                client.local,
                client.remote,
                None,
                route,
            )
        )


_HTTP, _TLS = 0, 2
# First byte of a TLS record that carries a handshake.
_HANDSHAKE = b"\x16"


def _is_grpc(content_type: str) -> bool:
    """As Envoy tells it: gRPC-Web is another one."""
    return content_type.startswith(_GRPC) and content_type[len(_GRPC) : len(_GRPC) + 1] in {"", "+", ";"}


def _grpc_headers(refusal: Refusal) -> HeaderList:
    """A refusal as gRPC is told of it (Envoy: sendLocalReply)."""
    code = _GRPC_STATUS.get(refusal.status, 2)
    return [
        ("content-type", "application/grpc"),
        ("grpc-status", str(code)),
        ("grpc-message", quote(refusal.text, " ")),
    ]


# Envoy: Grpc::Utility::httpToGrpcStatus.
_GRPC_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


def _lasting(decision: Decision | None) -> TcpPolicy:
    """How long what was switched to may take; the cluster says it, as for any of its connections."""
    pool = None if decision is None else decision.connection_pool
    if not isinstance(pool, ConnectionPool):
        return TcpPolicy()
    return TcpPolicy(pool.tcp.idle_timeout, pool.tcp.max_connection_duration)


__all__ = ["Carrier"]
