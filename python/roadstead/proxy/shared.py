"""What all connections of a proxy share: the registry, limits, connections upstream, what is counted and logged."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from roadstead.clients.carry import Call, Terms
from roadstead.clients.deadlines import Deadlines
from roadstead.clients.tls import Originator
from roadstead.proxy.limits import Limits
from roadstead.proxy.messages import Refusal
from roadstead.proxy.pools import Pools

if TYPE_CHECKING:
    from roadstead._core import Decision
    from roadstead.clients.bodies import Watcher
    from roadstead.metrics.access_log import AccessLog, Entry
    from roadstead.metrics.istio import ConnectionRecorder, RequestRecorder
    from roadstead.registry.view import View


class Shared:
    """ca: a file of authorities that the proxy's own TLS (https:// in a request) is checked against; None: the
    system's. is_draining: no new requests, those that end close their connections. own: addresses the proxy listens
    on, which it must not send requests to."""

    def __init__(
        self,
        view: View,
        limits: Limits,
        originator: Originator,
        *,
        trusted: bool = False,
        ca: str | None = None,
        log: AccessLog | None = None,
        requests: RequestRecorder | None = None,
        connections: ConnectionRecorder | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.view = view
        self.limits = limits
        self.terms = Terms(originator, trusted, view.clock, watchers=tuple(watchers), unsaid=lambda: view.unsaid)
        self.pools = Pools(limits, self._context)
        self.requests = requests
        self.connections = connections
        self.is_draining = False
        self.own: set[tuple[str, int]] = set()
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.deadlines = Deadlines()
        self._log = log
        self._ca = ca
        self._application: dict[tuple[str, ...], ssl.SSLContext] = {}

    @property
    def is_logged(self) -> bool:
        """Somebody reads what `log` is told."""
        return self._log is not None

    def log(self, entry: Entry) -> None:
        """A request or connection is over."""
        if self._log is not None:
            self._log.add(entry)

    def flush(self) -> None:
        """Write the log's lines out."""
        if self._log is not None:
            self._log.flush()

    def admit(self, decision: Decision, host: str, port: int, *, may_pass: bool) -> None:
        """Refusal where a decision must not be followed: to what nobody declared, unless `may_pass`, and to the proxy
        itself."""
        if decision.kind != "passthrough":
            return
        if not may_pass:
            raise Refusal(
                403,
                "open_relay_denied",
                f"{host}:{port} is not in the registry, and this listener is open to other machines: it serves what is"
                " declared, and nothing else (but for --allow-open-relay)",
            )
        if (host, port) in self.own:
            raise Refusal(508, "loop_detected", f"{host}:{port} is this proxy itself")

    def is_endpoint(self, cluster: str, host: str, port: int) -> bool:
        """Whether a cluster has it now; of clusters without endpoints of their own whatever was asked for is one."""
        live = self.view.cluster(cluster)
        if live is None:
            return not cluster.startswith("outbound|")
        endpoints = live.endpoints
        return not endpoints or any(one.address == host and one.port == port for one in endpoints)

    def _context(self, call: Call, http2: bool) -> ssl.SSLContext | None:
        if not call.secure:
            return None
        alpn = _HTTP2 if http2 else _HTTP1
        if call.tls is not None:
            return self.terms.tls.context(call.tls, alpn=alpn)
        made = self._application.get(alpn)
        if made is None:
            made = self._application[alpn] = ssl.create_default_context(cafile=self._ca)
            made.set_alpn_protocols(alpn)
        return made


_HTTP1, _HTTP2 = ("http/1.1",), ("h2",)
_COUNTS = (
    "downstream_cx_total",
    "downstream_cx_http1_total",
    "downstream_cx_http2_total",
    "downstream_cx_active",
    "downstream_cx_overflow",
    "downstream_rq_total",
    "downstream_rq_http1_total",
    "downstream_rq_http2_total",
    "downstream_rq_rx_reset",
    "downstream_rq_tx_reset",
    "downstream_rq_too_many_premature_resets",
    "downstream_rq_active",
    "downstream_cx_drain_close",
    "downstream_rq_idle_timeout",
    "downstream_rq_header_timeout",
    "downstream_cx_protocol_error",
)


def reason(decision: Decision, host: str, port: int) -> str:
    """Why a decision forwards nowhere, for people."""
    policy = "outboundTrafficPolicy is REGISTRY_ONLY"
    for step in decision.reasons:
        word, _, rest = step.partition(":")
        if word == "port" and rest.startswith("undeclared:"):
            ports = rest.partition(":")[2].replace(",", ", ")
            return f"{host} declares no port {port} (it has {ports}), and {policy}"
    if decision.kind == "refused":
        if decision.reasons and decision.reasons[0] != "host:unknown":
            return f"{host}:{port} takes no such traffic (the port is for another protocol), and {policy}"
        return f"{host} is not in the registry, and {policy}: declare it in a ServiceEntry"
    if decision.kind == "not_found":
        return f"no rule of {host} matches the request"
    if decision.kind == "no_cluster":
        return f"the rule leads to {decision.cluster_name}, which does not exist"
    return ""


def milliseconds(since: float, now: float) -> int:
    """Whole, of two instants in seconds."""
    return max(0, int((now - since) * 1000))


def wall(elapsed: float) -> float:
    """Seconds since 1970, so long ago."""
    return time.time() - elapsed


__all__ = ["Shared", "milliseconds", "reason", "wall"]
