"""What a gRPC call through a registry is, for channels that block and those that do not: where it goes, with which
metadata, and what its status means to the exchange."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar
from urllib.parse import unquote

from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Terms
from roadstead.clients.grpc_tls import Relay, is_relayed
from roadstead.clients.grpc_tls import credentials as own_tls
from roadstead.clients.sent import idle_time
from roadstead.errors import MissingExtra

try:
    import grpc
except ImportError as error:
    raise MissingExtra("calls by gRPC", "grpc", "grpcio") from error

if TYPE_CHECKING:
    from roadstead.mesh import ConnectionPool
    from roadstead.registry.view import View

Value: TypeAlias = "str | bytes"
Metadata: TypeAlias = "Sequence[tuple[str, Value]]"
Option: TypeAlias = "tuple[str, str | int]"
R = TypeVar("R")
C = TypeVar("C")
M = TypeVar("M")
Serialize: TypeAlias = "Callable[[object], bytes] | None"
Deserialize: TypeAlias = "Callable[[bytes], object] | None"
CODES = {code.value[0]: code for code in grpc.StatusCode}
# What the library itself says of a call, and the caller's metadata cannot.
_OWN = frozenset(("host", "content-type", "te", "grpc-timeout", "user-agent", "content-length"))
_MOST_MS = 99_999_999
_MOST_TIME = 2**31 - 1
# What the library says, under UNAVAILABLE, of connections: none, or one that ended. Else it is a server's.
_NONE = ("failed to connect", "resolution failed", "handshake", "empty address list")
_ENDED = (
    *("socket closed", "connection reset", "connection dropped", "connection closed", "transport closed"),
    *("goaway", "broken pipe", "endpoint closing", "recvmsg", "stream removed", "keepalive"),
)
_HAIR = 20_000_000


class Failed(NamedTuple):
    """A status that is no OK: the server's, or the library's word for what became of the connection."""

    code: grpc.StatusCode
    details: str
    trailers: Metadata
    error: Exception


class Where(NamedTuple):
    """A sub-channel: one endpoint of one cluster."""

    target: str
    credentials: grpc.ChannelCredentials | None
    options: list[Option]


class Methods(Generic[M]):
    """The makers of a channel's calls, as grpc names them: of all four kinds the same way."""

    def method(self, kind: str, name: str, serialize: Serialize, deserialize: Deserialize) -> M:
        """Calls of one method. kind: the name of the maker."""
        raise NotImplementedError

    def unary_unary(
        self, method: str, request_serializer: Serialize = None, response_deserializer: Deserialize = None,
        _registered_method: bool | None = False,
    ) -> M:  # fmt: skip
        return self.method("unary_unary", method, request_serializer, response_deserializer)

    def unary_stream(
        self, method: str, request_serializer: Serialize = None, response_deserializer: Deserialize = None,
        _registered_method: bool | None = False,
    ) -> M:  # fmt: skip
        return self.method("unary_stream", method, request_serializer, response_deserializer)

    def stream_unary(
        self, method: str, request_serializer: Serialize = None, response_deserializer: Deserialize = None,
        _registered_method: bool | None = False,
    ) -> M:  # fmt: skip
        return self.method("stream_unary", method, request_serializer, response_deserializer)

    def stream_stream(
        self, method: str, request_serializer: Serialize = None, response_deserializer: Deserialize = None,
        _registered_method: bool | None = False,
    ) -> M:  # fmt: skip
        return self.method("stream_stream", method, request_serializer, response_deserializer)


class Calls:
    """What calls of one channel have in common. target: "host:port" as in gRPC. credentials: the caller's own TLS."""

    def __init__(
        self,
        registry: View,
        target: str,
        terms: Terms,
        credentials: grpc.ChannelCredentials | None,
        options: Sequence[Option],
    ) -> None:
        host, colon, port = target.removeprefix("dns:").removeprefix("///").rpartition(":")
        if not colon or not port.isdigit():
            host, port = target.removeprefix("dns:").removeprefix("///"), "443" if credentials else "80"
        self._registry = registry
        self._host, self._port = host, int(port)
        self.terms = terms
        self._credentials = credentials
        self._options = list(options)
        self._relay = Relay(terms.tls)
        # For channels that nobody closes.
        weakref.finalize(self, self._relay.close, waits=False)

    def work(self, method: str, metadata: Metadata, timeout: float | None, *, replayable: bool) -> Carrying[R]:
        """Begin a call: it is a request of HTTP/2 with its metadata as headers."""
        headers = [(name, value) for name, value in metadata if isinstance(value, str)]
        headers += [("content-type", "application/grpc"), ("te", "trailers")]
        if timeout is not None:
            headers.append(("grpc-timeout", f"{min(_MOST_MS, max(1, round(timeout * 1000)))}m"))
        scheme = "http" if self._credentials is None else "https"
        host = f"{self._host}:{self._port}"
        decision = self._registry.route(host, self._port, method, "POST", headers, scheme=scheme)
        return Carrying(decision, headers, self.terms, replayable=replayable)

    def key(self, call: Call) -> Hashable:
        """Of the sub-channel of a try. TlsRefused where its TLS cannot be spoken."""
        key = (call.cluster, call.host, call.port, call.tls, call.sni, call.authority)
        # Files that were replaced make another one; the relay looks at them itself.
        return key if call.tls is None or is_relayed(call) else (*key, self.terms.tls.marks(call.tls))

    def where(self, call: Call, key: Hashable) -> Where:
        """What a sub-channel is opened with."""
        options: list[Option] = [
            ("grpc.default_authority", _authority(call)),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if call.pool is not None:
            options += _of_pool(call.pool)
        is_led = is_relayed(call)
        target = f"unix:{self._relay.at(key, call)}" if is_led else _target(call)
        credentials = None
        if is_led and call.tls is not None:
            credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        elif call.secure:
            credentials = self._credentials if call.tls is None else own_tls(self.terms.tls, call.tls)
            options.append(("grpc.ssl_target_name_override", call.sni))
        return Where(target, credentials, [*options, *self._options])

    def said(self, outcome: Local) -> tuple[grpc.StatusCode, str]:
        """Of an answer of this process, in gRPC's words; why a connection did not come about, where that is known."""
        code, details = status_of(outcome)
        why = self._relay.failures.get(outcome.decision.cluster_name) if "UF" in outcome.flags else None
        return code, details if why is None else f"{details}, transport failure reason: {why}"

    def close(self) -> None:
        """The channel is closed."""
        self._relay.close()

    def timeout(self, call: Call) -> float | None:
        """Seconds that are left of a try."""
        return None if call.deadline is None else max(1e-3, self.terms.seconds_until(call.deadline))

    def failed(self, call: Call, failed: Failed) -> Answered[Failed] | Broken:
        """What a status means to the exchange. One of the caller's own (cancelled, a message too large) is raised."""
        if self.is_late(call.deadline, failed):
            while call.deadline is not None and self.terms.clock() < call.deadline:
                time.sleep(0)
            return Broken(None)
        if failed.code is grpc.StatusCode.CANCELLED and "ocally cancelled" in failed.details:
            raise failed.error
        broken = self.broken(failed)
        if broken is not None:
            return broken
        headers = [(name, value) for name, value in failed.trailers if isinstance(value, str)]
        return Answered(200, [*headers, ("grpc-status", str(failed.code.value[0]))], failed, empty=True)

    def is_late(self, deadline: int | None, failed: Failed) -> bool:
        """Whether it was this side whose patience ended. Timers end a hair early."""
        is_timed_out = failed.code is grpc.StatusCode.DEADLINE_EXCEEDED
        return is_timed_out and deadline is not None and self.terms.clock() >= deadline - _HAIR

    def broken(self, failed: Failed) -> Broken | None:
        """How a connection ended; None where it did not, and the status is a server's."""
        text = failed.details.lower()
        if "rst_stream" in text:
            return Broken("remote_reset")
        if failed.code is not grpc.StatusCode.UNAVAILABLE:
            return None
        if any(said in text for said in _NONE):
            return Broken("remote_connection_failure", sent=False)
        return Broken("connection_termination") if any(said in text for said in _ENDED) else None


class Kept(Generic[C]):
    """Sub-channels by where they lead. make: opens one."""

    def __init__(self, calls: Calls, make: Callable[[Where], C]) -> None:
        self._calls = calls
        self._make = make
        self._kept: dict[Hashable, C] = {}

    def at(self, call: Call) -> C:
        """Of a try. TlsRefused where its TLS cannot be spoken."""
        key = self._calls.key(call)
        found = self._kept.get(key)
        if found is None:
            found = self._kept.setdefault(key, self._make(self._calls.where(call, key)))
        return found

    def drain(self) -> list[C]:
        """All there are; they are forgotten."""
        found = list(self._kept.values())
        self._kept.clear()
        return found


def _of_pool(pool: ConnectionPool) -> list[Option]:
    """What of a cluster's policy is for gRPC's own connections to keep."""
    made: list[Option] = [("grpc.min_reconnect_backoff_ms", max(100, round(pool.tcp.connect_timeout * 1000)))]
    idle = idle_time(pool)
    made.append(("grpc.client_idle_timeout_ms", _MOST_TIME if idle is None else max(1, round(idle * 1000))))
    interval, timeout = pool.http.http2_keepalive or (None, None)
    if interval:
        made += [
            ("grpc.keepalive_time_ms", max(1, round(interval * 1000))),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        if timeout:
            # One is for pings on connections that are quiet, the other for all.
            patience = max(1, round(timeout * 1000))
            made += [("grpc.keepalive_timeout_ms", patience), ("grpc.http2.ping_timeout_ms", patience)]
    return made


def metadata_of(call: Call, given: Metadata) -> list[tuple[str, Value]]:
    """A try's metadata: after the mesh's operations; binary values are passed on as they are."""
    made: list[tuple[str, Value]] = [(name.lower(), value) for name, value in call.headers if name.lower() not in _OWN]
    return made + [(name, value) for name, value in given if not isinstance(value, str)]


def status_of(outcome: Local) -> tuple[grpc.StatusCode, str]:
    """Of an answer of this process, in gRPC's words."""
    headers = dict(outcome.headers)
    if "grpc-status" in headers:
        code = CODES.get(int(headers["grpc-status"]), grpc.StatusCode.UNKNOWN)
        return code, unquote(headers.get("grpc-message", ""))
    return _FROM_HTTP.get(outcome.status, grpc.StatusCode.UNKNOWN), outcome.body.decode("utf-8", "replace")


# gRPC: doc/http-grpc-status-mapping.md
_FROM_HTTP = {
    400: grpc.StatusCode.INTERNAL,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.UNAVAILABLE,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.UNAVAILABLE,
}


def text_of(metadata: Iterable[tuple[str, Value]] | None) -> list[tuple[str, str]]:
    """What of metadata are headers to the mesh."""
    return [(name, value) for name, value in metadata or () if isinstance(value, str)]


def _authority(call: Call) -> str:
    """Over TLS without its port: the library holds it against the name in the certificate."""
    host, colon, port = call.authority.rpartition(":")
    return host if call.secure and colon and port.isdigit() else call.authority


def _target(call: Call) -> str:
    if not call.port:
        return f"unix:{call.host}"
    if ":" in call.host:
        return f"ipv6:[{call.host}]:{call.port}"
    is_address = call.host.replace(".", "").isdigit()
    return f"{'ipv4:' if is_address else 'dns:///'}{call.host}:{call.port}"


__all__ = [
    "CODES",
    "Calls",
    "Deserialize",
    "Failed",
    "Kept",
    "Metadata",
    "Methods",
    "Option",
    "Serialize",
    "Where",
    "metadata_of",
    "status_of",
    "text_of",
]
