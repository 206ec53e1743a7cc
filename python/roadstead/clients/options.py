"""What every client is told beside its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from roadstead.clients.carry import Terms
from roadstead.clients.tls import Originator

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from roadstead.clients.bodies import Recorder, Watcher
    from roadstead.registry.view import View


class Options(TypedDict, total=False):
    """identity, credentials: folders of certificates (`clients.tls.Originator`). trusted: x-envoy-… request headers
    steer retries and time limits. recorder: counts requests (`metrics.istio.RequestRecorder`). watchers: see it begin,
    too (`clients.tracing.Spans`)."""

    identity: str | os.PathLike[str] | None
    credentials: str | os.PathLike[str] | None
    trusted: bool
    recorder: Recorder | None
    watchers: Sequence[Watcher]


def terms(registry: View, options: Options) -> Terms:
    """How requests through a registry are carried out. TypeError names an option that there is not."""
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        known = ", ".join(sorted(Options.__annotations__))
        raise TypeError(f"no option {', '.join(sorted(unknown))}: there are {known}")
    return Terms(
        Originator(options.get("identity"), options.get("credentials")),
        options.get("trusted", False),
        registry.clock,
        options.get("recorder"),
        tuple(options.get("watchers", ())),
        lambda: registry.unsaid,
    )


__all__ = ["Options", "terms"]
