"""Route tables (RDS) of a mesh (Istio: core/httproute.go, core/gateway.go buildGatewayHTTPRouteConfig)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from roadstead.mesh import HostMesh, Mesh, Route, VirtualHost
from roadstead.mesh.callers import Callers
from roadstead.mesh.names import ALLOW_ANY_DYNAMIC, PASSTHROUGH
from roadstead.xds.messages import route as table
from roadstead.xds.resources.actions import everything, route
from roadstead.xds.schema import Message

_MOST_BODY = 1 << 20
HTTP_PORT = 80


class RouteMaker:
    """Makes the route tables of one view again and again: routes that are still the same objects give the same
    messages."""

    __slots__ = ("_counts", "_known")

    def __init__(self) -> None:
        # By identity of the routes, which the entry keeps alive.
        self._known: dict[int, tuple[tuple[Route, ...], list[Message]]] = {}
        # Whether upstreams are told how often a request was tried.
        self._counts = True

    def tables(self, mesh: Mesh, names: Mapping[str, frozenset[str] | None], *, router: bool) -> list[Message]:
        """The tables that listeners name, each with the keys of the services that it has (None: all). Sidecar: "80" for
        a port, "host:80" for a sniffed service with an address of its own."""
        before, self._known = self._known, {}
        self._counts = mesh.proxy.callers.counts_attempts
        if router:
            return [self._server_table(mesh, name, before) for name in names]
        ports: dict[int, list[tuple[HostMesh, VirtualHost]]] = {}
        for host in mesh.hosts.values():
            for virtual in host.virtual_hosts:
                if not virtual.tls:
                    ports.setdefault(virtual.port, []).append((host, virtual))
        made = []
        for name, keys in names.items():
            host_name, _, port = name.rpartition(":")
            found = ports.get(int(port), [])
            if keys is not None:
                found = [item for item in found if item[0].key in keys or item[1].plain]
            if host_name:
                own = [virtual for _, virtual in found if virtual.name == name]
                made.append(configuration(name, [self._virtual(virtual, ("*",), before) for virtual in own]))
                continue
            hosts = [self._virtual(virtual, domains, before) for virtual, domains in settled(found)]
            made.append(configuration(name, [*hosts, unknown_host(mesh)]))
        return made

    def proxy_table(self, mesh: Mesh, name: str) -> Message:
        """The table of an HTTP proxy's listener: every HTTP port of its hosts, told apart by the port in the Host
        header; without one, port 80 is meant."""
        found = [(host, virtual) for host in mesh.hosts.values() for virtual in host.proxied if virtual.table == name]
        made = []
        for virtual, domains in settled(found, every_port=True):
            made.append(self._virtual(virtual, domains, {}))
        return configuration(name, [*made, unknown_host(mesh)])

    def _server_table(
        self, mesh: Mesh, name: str, before: dict[int, tuple[tuple[Route, ...], list[Message]]]
    ) -> Message:
        hosts = [
            self._virtual(virtual, tuple([domain for domain, _ in virtual.domains]), before)
            for host in mesh.hosts.values()
            for virtual in host.virtual_hosts
            if virtual.table == name
        ]
        if not hosts:
            number = next(
                (server.number for host in mesh.hosts.values() for server in host.servers if server.table == name), 0
            )
            hosts = [table.VIRTUAL_HOST(name=f"blackhole:{number}", domains=("*",))]
        return configuration(name, hosts)

    def _virtual(
        self,
        virtual: VirtualHost,
        domains: tuple[str, ...],
        before: dict[int, tuple[tuple[Route, ...], list[Message]]],
    ) -> Message:
        rules = virtual.sent if virtual.require_tls else virtual.sent or virtual.routes
        entry = before.get(id(rules))
        if entry is None:
            entry = self._known.get(id(rules)) or (rules, [route(rule) for rule in rules])
        self._known[id(rules)] = entry
        return table.VIRTUAL_HOST(
            name=virtual.name,
            domains=domains,
            routes=entry[1],
            require_tls="ALL" if virtual.require_tls else None,
            include_request_attempt_count=self._counts,
        )


def configuration(name: str, hosts: list[Message]) -> Message:
    """A route table."""
    return table.ROUTE_CONFIGURATION(
        name=name,
        virtual_hosts=hosts,
        validate_clusters=False,
        max_direct_response_body_size_bytes=_MOST_BODY,
        ignore_port_in_host_matching=True,
    )


def settled(
    found: list[tuple[HostMesh, VirtualHost]], *, every_port: bool = False
) -> Iterator[tuple[VirtualHost, tuple[str, ...]]]:
    """Virtual hosts of one table, each with the domains that it keeps: a domain belongs to the lower tier, then to the
    first VirtualService, then to the older host, then to its first port. Sorted by name; one without any domain is
    left out, as is a second one of a name. every_port: ports are told apart by the domain; a name without one is meant
    for port 80, even where another port of the host has taken it from that."""
    claims: dict[str, tuple[tuple[int, bool, str, str, str, int], VirtualHost]] = {}
    for host, virtual in found:
        for place, (domain, tier) in enumerate(virtual.domains):
            claim = (tier, not virtual.order, virtual.order, host.order, host.key, place)
            folded = domain.lower()
            known = claims.get(folded)
            if known is None or claim < known[0]:
                claims[folded] = (claim, virtual)
    names: set[str] = set()
    for _, virtual in sorted(found, key=lambda item: (item[1].name, item[0].order)):
        kept = tuple([name for name, _ in virtual.domains if claims[name.lower()][1] is virtual])
        if every_port and virtual.port != HTTP_PORT:
            kept = tuple([name for name in kept if ":" in name])
        if kept and virtual.name not in names:
            names.add(virtual.name)
            yield virtual, kept


def unknown_host(mesh: Mesh) -> Message:
    """What a host gets that nobody declared."""
    callers = mesh.proxy.callers
    if mesh.outbound == "REGISTRY_ONLY":
        refused = table.ROUTE(name="block_all", match=everything(), direct_response=table.DIRECT_RESPONSE(status=502))
        return _catch_all("block_all", refused, callers)
    if mesh.proxy.dynamic_dns:
        return dynamic_host(callers)
    cluster = mesh.egress_cluster or PASSTHROUGH
    return _catch_all("allow_any", _straight("allow_any", cluster, callers), callers)


def dynamic_host(callers: Callers) -> Message:
    """An unknown host is looked up by name."""
    name = "allow_any_dynamic_dns"
    return _catch_all(name, _straight(name, ALLOW_ANY_DYNAMIC, callers), callers)


def _straight(name: str, cluster: str, callers: Callers) -> Message:
    action = table.ROUTE_ACTION(
        cluster=cluster, timeout=0.0, max_grpc_timeout=0.0, append_x_forwarded_host=callers.forwards_host
    )
    return table.ROUTE(name=name, match=everything(), route=action)


def _catch_all(name: str, rule: Message, callers: Callers) -> Message:
    return table.VIRTUAL_HOST(
        name=name, domains=("*",), routes=[rule], include_request_attempt_count=callers.counts_attempts
    )
