"""Everything roadstead raises.

RoadsteadError
├── InputError                  nothing of what was to be loaded can be read
├── EngineError                 the engine was told something it cannot work with (a regex outside RE2 …)
├── LookupFailed                a name's servers say nothing that can be used
├── NoSuchCluster               no cluster has the name (also a KeyError)
├── NoSuchEndpoint              the cluster has no endpoint there (also a KeyError)
├── MissingExtra                a library is not installed; names the extra that brings it
├── NotSpoken                   the client's library does not speak the protocol that the configuration wants
├── SourceUnavailable           where configuration is to be read from (a cluster …) does not answer, or not to us
├── TlsRefused                  the TLS of the configuration cannot be spoken: a file or an identity is missing
├── TunnelRefused               an endpoint does not lead on to where a tunnel goes (also a ConnectionRefusedError)
└── Unavailable                 no endpoint can be used right now; `.status` and `.flags` as Envoy answers
    ├── NoHealthyEndpoint       503 UH
    ├── Overflow                503 UO; `.limit` names the circuit breaker
    └── EndpointsPending        a resolver has not answered yet; can be awaited
"""

from __future__ import annotations

# The name type checkers know: the classes above are loaded by everybody, what annotates them by nobody.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol
else:
    Protocol = object


class RoadsteadError(Exception):
    """Base of all errors of this package."""


class InputError(RoadsteadError):
    """Nothing of what was to be loaded can be read (as YAML or JSON, or as the settings it has to be)."""


class EngineError(RoadsteadError):
    """The engine refuses its input; nothing changed."""


class LookupFailed(RoadsteadError):
    """None of the servers says anything about the name that can be used (SERVFAIL, refused, silence)."""


class NoSuchCluster(RoadsteadError, KeyError):
    """The node has no cluster of that name. near: names that look like it."""

    def __init__(self, name: str, near: tuple[str, ...] = ()) -> None:
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"no cluster {name!r}{hint}")
        self.name = name
        self.near = near

    def __str__(self) -> str:
        # KeyError's own would put quotes around the whole sentence.
        return str(self.args[0])


class NoSuchEndpoint(RoadsteadError, KeyError):
    """The cluster has no endpoint of that address and port."""

    def __init__(self, cluster: str, address: str, port: int) -> None:
        super().__init__(f"{cluster} has no endpoint {address}:{port}")
        self.cluster = cluster

    def __str__(self) -> str:
        return str(self.args[0])


class MissingExtra(RoadsteadError, ImportError):
    """What was asked for needs a library that is not installed. extra: what to install it with."""

    def __init__(self, doing: str, extra: str, library: str) -> None:
        super().__init__(f"{doing} needs {library}: pip install 'roadstead[{extra}]'")
        self.extra = extra


class NotSpoken(RoadsteadError):
    """The client's library does not speak the protocol that the configuration wants (HTTP/2)."""


class SourceUnavailable(RoadsteadError):
    """Where configuration was to be read from cannot be read now; it says why."""


class TlsRefused(RoadsteadError):
    """The TLS of the configuration cannot be spoken: a file or the workload's identity is missing or wrong."""


class TunnelRefused(RoadsteadError, ConnectionRefusedError):
    """An endpoint that was asked to lead on to another place (Istio: trafficPolicy.tunnel) does not; it says why."""


class ConnectionNotAllowed(RoadsteadError, ConnectionRefusedError):
    """The mesh lets no connection through to there (outboundTrafficPolicy REGISTRY_ONLY), or has no cluster for it. It
    says why."""


class Unavailable(RoadsteadError):
    """No endpoint can be used right now. status: HTTP status Envoy would answer with; flags: its response flags."""

    status: int = 503
    flags: str = ""


class NoHealthyEndpoint(Unavailable):
    """The cluster has no endpoint that may be picked (Envoy: 503 UH, "no healthy upstream")."""

    flags = "UH"


class Overflow(Unavailable):
    """A circuit breaker is at its limit (Envoy: 503 UO).

    limit: "max_connections" | "max_pending_requests" | "max_requests" | "max_retries"."""

    flags = "UO"

    def __init__(self, message: str, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class Waiting(Protocol):
    """A resolver's first word about a cluster, which is still to come."""

    def wait(self, timeout: float | None = None) -> None:
        """Block until it came. TimeoutError after so many seconds; not for the thread of the resolver's own loop."""

    def __await__(self) -> Generator[object, None, None]:
        """The same for a coroutine, in whatever loop."""


class EndpointsPending(Unavailable):
    """The cluster's names are not resolved yet; raising it has asked for them. Once it was waited for (`wait`, or
    `await`), there are endpoints, or none: pick again."""

    def __init__(self, message: str, want: Callable[[], Waiting]) -> None:
        super().__init__(message)
        self._waiting = want()

    def wait(self, timeout: float | None = None) -> None:
        """Block until the resolver said something. TimeoutError after so many seconds."""
        self._waiting.wait(timeout)

    def __await__(self) -> Generator[object, None, None]:
        return self._waiting.__await__()


__all__ = [
    "ConnectionNotAllowed",
    "EndpointsPending",
    "EngineError",
    "InputError",
    "LookupFailed",
    "MissingExtra",
    "NoHealthyEndpoint",
    "NoSuchCluster",
    "NoSuchEndpoint",
    "NotSpoken",
    "Overflow",
    "RoadsteadError",
    "SourceUnavailable",
    "TlsRefused",
    "TunnelRefused",
    "Unavailable",
]
