"""What a router listens on: servers of its Gateways and the VirtualServices bound to them (Istio:
model.MergeGateways, core/gateway.go).

A router has no routes of its own to services: it does what VirtualServices say for the hosts of a server, and answers
404 to everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from roadstead.compile.endpoints import own_target
from roadstead.compile.gateway_chains import server_chains
from roadstead.compile.gateway_hosts import table_hosts
from roadstead.compile.inputs import Scope
from roadstead.compile.server_tls import server_tls
from roadstead.config import Gateway, Resource, TLSConfig
from roadstead.config import Server as Written
from roadstead.config.gateway import ServerTLSSettings
from roadstead.mesh import FilterChain, HostMesh, Origin, ServerTls, VirtualHost
from roadstead.mesh import Server as HttpServer
from roadstead.protocol import Protocol

_PASSING = ("PASSTHROUGH", "AUTO_PASSTHROUGH")
# A service with this label leaves the numbers of Gateways alone.
_AS_IT_IS = "experimental.istio.io/disable-gateway-port-translation"


class Server(msgspec.Struct, frozen=True):
    """One server of one Gateway, bound to a port of the router.

    port: what the Gateway says; bound: where the router listens (its service may map the one to the other). hosts: as
    written, `./` and `*/` settled. gateway: "namespace/name". table: Istio's name of its route table, "" for TCP and
    TLS that is passed on. ended_tls: the TLS that the router ends itself."""

    port: int
    bound: int
    protocol: Protocol
    bind: str
    hosts: tuple[str, ...]
    tls: ServerTLSSettings | None
    gateway: str
    table: str
    origin: Origin
    ended_tls: ServerTls | None = None

    @property
    def is_tls(self) -> bool:
        """Whether it speaks TLS; an HTTP server has TLS settings only to redirect."""
        return self.tls is not None and not self.protocol.is_http

    @property
    def passes_tls(self) -> bool:
        """Whether TLS goes through unopened."""
        return self.tls is not None and self.tls.mode in _PASSING

    @property
    def redirects(self) -> bool:
        return self.tls is not None and self.tls.https_redirect

    @property
    def server_names(self) -> tuple[str, ...]:
        """Names that a TLS client may ask for; none: any."""
        names = tuple(dict.fromkeys([host.rpartition("/")[2] for host in self.hosts]))
        return () if "*" in names else names


def gateway_units(scope: Scope) -> tuple[HostMesh, ...]:
    """One unit for each port that the router listens on; none for sidecars."""
    if scope.env.node.type != "router":
        return ()
    ports: dict[int, list[Server]] = {}
    for server in _merged(_servers(scope)):
        ports.setdefault(server.bound, []).append(server)
    return tuple([_unit(scope, bound, ports[bound]) for bound in sorted(ports)])


def _unit(scope: Scope, bound: int, servers: Sequence[Server]) -> HostMesh:
    tables: dict[str, list[Server]] = {}
    chains: list[FilterChain] = []
    names: set[tuple[str, str]] = set()
    for server in servers:
        if server.table:
            tables.setdefault(server.table, []).append(server)
        else:
            chains += server_chains(scope, server, names)
    hosts: list[VirtualHost] = []
    for table in tables.values():
        hosts += table_hosts(scope, table)
    heard = [_http_server(server) for server in servers if server.table]
    return HostMesh(
        f"gateway/{bound}",
        "",
        virtual_hosts=tuple(hosts),
        chains=tuple(chains),
        servers=tuple(dict.fromkeys(heard)),
        passes=any(server.tls is not None and server.tls.mode == "AUTO_PASSTHROUGH" for server in servers),
    )


def _http_server(server: Server) -> HttpServer:
    names = server.server_names if server.is_tls else ()
    return HttpServer(server.port, server.bound, server.table, server.bind, names, server.ended_tls)


def _servers(scope: Scope) -> Iterator[Server]:
    targets: dict[int, int] = {}
    for gateway in scope.gateways():
        for index, written in enumerate(gateway.spec.servers):
            if written.port is None:
                continue
            number = written.port.number
            if number not in targets:
                targets[number] = _bound_port(scope, number)
            yield _server(gateway, index, written, targets[number], scope.env.mesh.tls_defaults)


def _server(gateway: Resource[Gateway], index: int, written: Written, bound: int, defaults: TLSConfig | None) -> Server:
    assert written.port is not None
    number = written.port.number
    protocol = Protocol(written.port.protocol)
    bind = f".{written.bind}" if written.bind else ""
    table = ""
    if protocol.is_http:
        table = f"http.{bound}{bind}"
    elif protocol == "HTTPS" and (written.tls is None or written.tls.mode not in _PASSING):
        table = f"https.{number}.{written.port.name}.{gateway.name}.{gateway.namespace}{bind}"
    return Server(
        number,
        bound,
        protocol,
        written.bind,
        tuple([_settled(host, gateway.namespace) for host in written.hosts]),
        written.tls,
        f"{gateway.namespace}/{gateway.name}",
        table,
        Origin("Gateway", gateway.namespace, gateway.name, f"/spec/servers/{index}"),
        None if written.tls is None or protocol.is_http else server_tls(written.tls, defaults),
    )


def _settled(host: str, namespace: str) -> str:
    """`./h` -> `<namespace>/h`, `*/h` -> `h`."""
    owner, slash, name = host.partition("/")
    if not slash or owner == "*":
        return name if slash else host
    return f"{namespace}/{name}" if owner == "." else host


def _merged(servers: Iterator[Server]) -> Iterator[Server]:
    """The servers that Istio keeps, oldest Gateway first.

    On one port and bind plain servers merge only as HTTP with HTTP, TLS servers stand side by side by name, and a TLS
    server that repeats a name is left out as a whole. A plain server may join TLS servers, none joins it."""
    plain: dict[int, Server] = {}
    ports: set[int] = set()
    kept: set[tuple[int, str, str]] = set()
    names: set[tuple[int, str, str]] = set()
    tables: set[str] = set()
    for server in servers:
        if server.tls is not None:
            taken = {(server.bound, server.bind, host) for host in server.hosts}
            if taken & names:
                continue
            names |= taken
        first, place = plain.get(server.bound), (server.bound, str(server.protocol), server.bind)
        if first is not None and first.bind == server.bind:
            if not (first.protocol.is_http and server.protocol.is_http):
                continue
        elif first is None and server.bound in ports and server.is_tls and server.table in tables:
            continue
        elif not server.is_tls and place not in kept:
            plain[server.bound] = server
        ports.add(server.bound)
        kept.add(place)
        if server.table:
            tables.add(server.table)
        yield server


def _bound_port(scope: Scope, number: int) -> int:
    """Where the router listens for a Gateway's port: the target port of the first of its own services with that port,
    else the very number."""
    ips = frozenset(scope.env.node.ips)
    for entry in scope.own_entries(number):
        if _AS_IT_IS not in entry.metadata.labels:
            target = own_target(scope, entry, number, ips)
            if target is not None:
                return target
    return number
