"""gRPC through a registry: `channel(registry, "greeter.example.com:50051")` instead of `grpc.insecure_channel(…)`, and
`aio_channel(…)` instead of `grpc.aio.insecure_channel(…)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roadstead.clients.bodies import Recorder, Watcher
from roadstead.clients.carry import Terms
from roadstead.clients.grpc_aio import AioChannel
from roadstead.clients.grpc_blocking import Channel
from roadstead.clients.grpc_calls import Calls, Option
from roadstead.clients.tls import Originator

if TYPE_CHECKING:
    import os

    import grpc

    from roadstead.registry.view import View


def channel(
    registry: View,
    target: str,
    *,
    channel_credentials: grpc.ChannelCredentials | None = None,
    identity: str | os.PathLike[str] | None = None,
    credentials: str | os.PathLike[str] | None = None,
    trusted: bool = False,
    recorder: Recorder | None = None,
    watchers: Sequence[Watcher] = (),
    options: Sequence[Option] = (),
) -> grpc.Channel:
    """A channel whose calls each go where the registry says, as its rules say: balanced call by call, with retries by
    status, time limits, metadata operations, path and authority rewrites, faults, mirrors, limits of requests and TLS
    origination.

    target: "host:port". channel_credentials: the caller's own TLS. identity: the folder of the workload's own
    certificate, for ISTIO_MUTUAL; credentials: that of certificates for credentialName (`clients.tls.Originator`).
    trusted: x-envoy-… metadata steers retries and time limits. recorder: counts calls
    (`metrics.istio.RequestRecorder`). watchers: see them begin, too (`clients.tracing.Spans`). options: gRPC's, of the
    connections. Calls whose requests are a stream are sent once; mirrors get a copy of those with one request."""
    terms = Terms(
        Originator(identity, credentials), trusted, registry.clock, recorder, tuple(watchers), lambda: registry.unsaid
    )
    return Channel(Calls(registry, target, terms, channel_credentials, options))


def aio_channel(
    registry: View,
    target: str,
    *,
    channel_credentials: grpc.ChannelCredentials | None = None,
    identity: str | os.PathLike[str] | None = None,
    credentials: str | os.PathLike[str] | None = None,
    trusted: bool = False,
    recorder: Recorder | None = None,
    watchers: Sequence[Watcher] = (),
    options: Sequence[Option] = (),
) -> grpc.aio.Channel:
    """The same for asyncio."""
    terms = Terms(
        Originator(identity, credentials), trusted, registry.clock, recorder, tuple(watchers), lambda: registry.unsaid
    )
    return AioChannel(Calls(registry, target, terms, channel_credentials, options))


__all__ = ["aio_channel", "channel"]
