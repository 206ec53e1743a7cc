"""Filter chains of a router's TCP and TLS servers (Istio: core/gateway.go buildGatewayNetworkFiltersFromTCPRoutes and
buildGatewayNetworkFiltersFromTLSRoutes)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from roadstead.compile.gateway_hosts import hosts_for
from roadstead.compile.inputs import HostView, Scope
from roadstead.compile.matches import l4_applies
from roadstead.compile.tcp_routes import default_tcp_route, tcp_route
from roadstead.compile.virtual_services import PreparedVirtualService
from roadstead.host import matches, subset_of
from roadstead.mesh import FilterChain, Port, TcpRoute, sni_name

if TYPE_CHECKING:
    from roadstead.compile.gateways import Server

_ANY_HOST = "*"


def server_chains(scope: Scope, server: Server, names: set[tuple[str, str]]) -> Iterator[FilterChain]:
    """The chains of one server. names: (bind, server name) taken on its port so far; a rule that repeats one is left
    out."""
    if server.tls is not None and server.tls.mode == "AUTO_PASSTHROUGH":
        yield from _automatic(scope, server)
    elif server.passes_tls:
        yield from _by_name(scope, server, names)
    else:
        route = _first_tcp(scope, server)
        if route is not None:
            yield _chain(server, route, server.server_names if server.is_tls else (), server.protocol)


def _chain(
    server: Server, route: TcpRoute, snis: tuple[str, ...], protocol: str, *, automatic: bool = False
) -> FilterChain:
    addresses = (server.bind,) if server.bind else ()
    return FilterChain(
        _ANY_HOST,
        server.bound,
        route,
        addresses,
        (),
        snis,
        protocol=protocol,
        tls=server.ended_tls,
        automatic=automatic,
    )


def _bound_rules(scope: Scope, server: Server) -> Iterator[PreparedVirtualService]:
    for rule in scope.virtual_services("*", server.gateway):
        ours = tuple(hosts_for(server.hosts, rule.namespace))
        if any(matches(mine, theirs) for mine in ours for theirs in rule.written):
            yield rule


def _first_tcp(scope: Scope, server: Server) -> TcpRoute | None:
    """The first rule that fits has the whole port."""
    for rule in _bound_rules(scope, server):
        for index, written in enumerate(rule.tcp):
            if not written.match or any(
                l4_applies(match, scope.env, server.port, server.gateway) for match in written.match
            ):
                return tcp_route(scope, written.route, server.port, rule.origin(f"/spec/tcp/{index}"))
    return None


def _by_name(scope: Scope, server: Server, names: set[tuple[str, str]]) -> Iterator[FilterChain]:
    for rule in _bound_rules(scope, server):
        for index, written in enumerate(rule.tls):
            for at, match in enumerate(written.match):
                if not l4_applies(match, scope.env, server.port, server.gateway):
                    continue
                wanted = {(server.bind, sni.lower()) for sni in match.sni_hosts}
                if wanted & names:
                    continue
                names |= wanted
                origin = rule.origin(f"/spec/tls/{index}/match/{at}")
                route = tcp_route(scope, written.route, server.port, origin)
                if route is not None:
                    names_of = () if "*" in match.sni_hosts else match.sni_hosts
                    yield _chain(server, route, names_of, server.protocol)


def _automatic(scope: Scope, server: Server) -> Iterator[FilterChain]:
    """TLS named after clusters of the mesh (`outbound_.80_._.host`) goes to those clusters."""
    done: set[str] = set()
    for pattern in server.server_names or ("*",):
        for view in scope.matching(pattern):
            host = view.host.lower()
            if host not in done and subset_of(host, pattern) and not view.merged.mesh_external:
                done.add(host)
                for port in view.merged.ports:
                    if port.protocol != "UDP":
                        yield from _cluster_chains(scope, server, view, port)


def _cluster_chains(scope: Scope, server: Server, view: HostView, port: Port) -> Iterator[FilterChain]:
    rule = scope.rule(view)
    names = [] if rule is None else [rule.rules[owner].spec.subsets[at].name for owner, at in rule.subsets]
    for subset in ("", *names):
        # What is passed on unopened goes through no tunnel.
        route = default_tcp_route(scope, view, port.number, subset)
        route = msgspec.structs.replace(route, policy=msgspec.structs.replace(route.policy, tunnel=None))
        yield _chain(server, route, (sni_name(port.number, subset, view.host),), port.protocol, automatic=True)
