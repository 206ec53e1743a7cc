"""Bytes in both directions between a client and an endpoint: what a connection through the proxy comes to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from roadstead.clients.dial import Target, aconnect
from roadstead.clients.socket import Skills, dialling, tcp_policy, throw
from roadstead.errors import ConnectionNotAllowed, EndpointsPending, NotSpoken, TlsRefused, Unavailable
from roadstead.mesh import TcpPolicy
from roadstead.proxy.ends import End, Led, Posted
from roadstead.proxy.flow import name_of
from roadstead.proxy.messages import Refusal
from roadstead.proxy.shared import reason

if TYPE_CHECKING:
    from roadstead._core import Decision
    from roadstead.clients.held import Place
    from roadstead.proxy.shared import Shared
    from roadstead.proxy_protocol import Peers

_SKILLS = Skills(nests=True, posts=True, ends=True)
# Seconds without a byte after which Envoy ends a connection where the policy says nothing (tcp_proxy: idle_timeout).
_IDLE = 3600.0


class Opened(NamedTuple):
    """A connection to an endpoint that counts against its cluster until `place` is ended. policy: what holds for it."""

    end: End
    place: Place
    target: Target
    policy: TcpPolicy


async def opened(shared: Shared, decision: Decision, host: str, port: int, peers: Peers | None) -> Opened:
    """Connect to where a decision leads. Refusal, with Envoy's flags, where that does not come about. peers: on whose
    behalf."""
    work = dialling(
        decision,
        host,
        shared.terms.tls,
        shared.limits.connect_attempts,
        shared.connections,
        peers=peers,
        skills=_SKILLS,
    )
    target: Target | None = None
    end: End | None = None
    failed: OSError | None = None
    while True:
        try:
            asked = work.send(failed)
        except StopIteration as stop:
            assert end is not None
            assert target is not None
            return Opened(end, stop.value, target, tcp_policy(decision))
        except ConnectionNotAllowed as error:
            flags = decision.flags or "UH"
            text = reason(decision, host, port) or str(error)
            raise Refusal(decision.status or 502, "direct_response", text, flags) from error
        except Unavailable as error:
            raise Refusal(error.status, "upstream_connection_refused", str(error), error.flags) from error
        except TlsRefused as error:
            raise Refusal(502, "tls_refused", str(error), "UF") from error
        except NotSpoken as error:
            raise Refusal(502, "not_spoken", str(error), "UF") from error
        except OSError as error:
            raise Refusal(503, "upstream_reset_before_response_started", _told(error, target), "UF,URX") from error
        failed = None
        try:
            if isinstance(asked, EndpointsPending):
                await asked
            else:
                target = asked
                end = await _connected(asked)
        except OSError as error:
            failed = error
        except BaseException as error:
            throw(work, error)
            raise


async def _connected(target: Target) -> End:
    end = _end_of(target)
    async with asyncio.timeout(target.timeout):
        await aconnect(target, end)
        if isinstance(end, Led):
            try:
                end.ask()
                await end.led
            except BaseException:
                end.transport.abort()
                raise
    return end


def _end_of(target: Target) -> End:
    if target.tunnel is None:
        return End()
    return (Posted if target.tunnel.protocol == "POST" else Led)(target.tunnel, target.name)


def _told(error: OSError, target: Target | None) -> str:
    where = "" if target is None else f"{target.host}:{target.port}: "
    what = "connect timeout" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return f"{where}{what}"


async def splice(near: End, far: End, first: bytes, policy: TcpPolicy) -> str:
    """Carry bytes until either side has ended; why it was ended by us, "" for not at all. first: of the client, read
    already. near, far: held ends, the client's and the endpoint's. Cancelled, it cuts both off."""
    loop = asyncio.get_running_loop()
    near.peer, far.peer = far, near
    idle = _IDLE if policy.idle_timeout is None else policy.idle_timeout
    end = None if policy.max_connection_duration is None else loop.time() + policy.max_connection_duration
    both = asyncio.gather(near.over, far.over)
    try:
        if first:
            near.total += len(first)
            far.write(first)
        far.begin()
        for one in (near, far):
            one.release()
        while not both.done():
            now = loop.time()
            quiet = max(near.moved, far.moved) + idle - now if idle else None
            left = None if end is None else end - now
            if left is not None and left <= 0:
                return "max_connection_duration"
            if quiet is not None and quiet <= 0:
                return "idle_timeout"
            waits = [one for one in (quiet, left) if one is not None]
            await asyncio.wait([both], timeout=min(waits, default=None))
        return ""
    finally:
        for one in (near, far):
            if not one.is_lost:
                one.transport.abort()


def address_of(target: Target) -> str:
    """An endpoint's address as Envoy writes it."""
    return name_of((target.host, target.port)) if target.port else target.host


__all__ = ["Opened", "address_of", "opened", "splice"]
