"""What a node listens on, beyond what follows from its services: a Sidecar's egress listeners and a router's
servers."""

from __future__ import annotations

from typing import Literal

import msgspec

from roadstead.mesh.callers import Callers
from roadstead.mesh.cluster import PASSTHROUGH_IDLE, ConnectionPool, HttpPool, Keepalive, TlsOrigination

Paths = Literal["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]


class ServerTls(msgspec.Struct, frozen=True, gc=False):
    """TLS that a router ends (Istio: ServerTLSSettings). certificates: (certificate, key) files, in order. credentials:
    names of secrets, which come before files. min_version, max_version: "TLSV1_2" and so on, "" = Envoy's own.
    accepts_untrusted: a client's certificate is asked for, and need not be signed by the CA."""

    mode: Literal["SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]
    credentials: tuple[str, ...] = ()
    ca_credential: str = ""
    certificates: tuple[tuple[str, str], ...] = ()
    ca: str = ""
    ca_crl: str = ""
    subject_alt_names: tuple[str, ...] = ()
    certificate_spki: tuple[str, ...] = ()
    certificate_hash: tuple[str, ...] = ()
    min_version: str = ""
    max_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    accepts_untrusted: bool = False


class Server(msgspec.Struct, frozen=True, gc=False):
    """An HTTP server of a router. number: as the Gateway says; port: where the router listens. bind: "" = every
    address. snis: empty = any. table: Istio's name of its route table; several servers may share one."""

    number: int
    port: int
    table: str
    bind: str = ""
    snis: tuple[str, ...] = ()
    tls: ServerTls | None = None


class EgressListener(msgspec.Struct, frozen=True, gc=False):
    """An egress listener of a Sidecar. port 0: every port of its services, or a socket. protocol: "" where it is each
    port's own. bind "": the services' own addresses. captured: connections come by interception, not because somebody
    dials the listener's own port. table: name of the route table of an HTTP proxy or a socket, which is for every port;
    else "". exact: it takes hosts by their very names, and those only by age."""

    port: int = 0
    protocol: str = ""
    bind: str = ""
    captured: bool = True
    table: str = ""
    exact: bool = False


FIRST_FREE_PORT = 1024
"""Ports below belong to privileged processes."""
OWN_PROXY = "http_proxy"
"""Istio's name for the route table of the HTTP proxy that a workload has for itself."""


class Proxy(msgspec.Struct, frozen=True, gc=False):
    """Mesh-wide settings that no service has for itself. Seconds. detection_timeout 0: the first bytes are waited for
    as long as it takes. dynamic_dns: HTTP to unknown hosts is resolved by name (ALLOW_ANY_DYNAMIC_DNS).
    passthrough: limits of connections to unknown destinations that go where they were dialled. egress: the Sidecar's
    listeners, none: one for everything. http_port: of an HTTP proxy for the workload itself, 0: none.
    unknown_tls: what is spoken to hosts that dynamic_dns looks up. paths: in Istio's word what becomes of a path before
    anything looks at it. stat_name: pattern of clusters' names in statistics, "" = their own. callers: how HTTP is
    taken. idle_timeout: of connections that no service wants, None: Envoy's own. intercepted: connections of the
    workload are led to the proxy; else it has to dial listeners. privileged: the proxy may open ports below 1024.
    reserved_ports: on which it listens for other ends on every address; 0 for what it does not say."""

    listen_port: int = 15001
    connect_timeout: float = 10.0
    keepalive: Keepalive | None = None
    dns_refresh_rate: float = 60.0
    detection_timeout: float = 0.0
    passthrough: ConnectionPool = ConnectionPool(http=HttpPool(idle_timeout=PASSTHROUGH_IDLE, protocol="downstream"))
    dynamic_dns: bool = False
    egress: tuple[EgressListener, ...] = ()
    http_port: int = 0
    unknown_tls: TlsOrigination | None = None
    paths: Paths = "BASE"
    stat_name: str = ""
    callers: Callers = Callers()
    idle_timeout: float | None = None
    intercepted: bool = True
    privileged: bool = True
    reserved_ports: frozenset[int] = frozenset((0, 15001, 15006))

    def may_open(self, port: int) -> bool:
        """Whether the proxy's process is allowed to listen on a port."""
        return self.privileged or port == 0 or port >= FIRST_FREE_PORT
