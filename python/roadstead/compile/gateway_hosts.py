"""Virtual hosts of one route table of a router (Istio: core/gateway.go buildGatewayHTTPRouteConfig)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from roadstead.compile.hashing import HashKeys
from roadstead.compile.inputs import Scope
from roadstead.compile.matches import EVERYTHING, is_catch_all
from roadstead.compile.routes import accepted, http_routes
from roadstead.host import specificity, subset_of
from roadstead.mesh import Origin, Redirect, Route, VirtualHost

if TYPE_CHECKING:
    from roadstead.compile.gateways import Server


class _Draft:
    """A virtual host while servers and VirtualServices add to it."""

    __slots__ = ("origin", "port", "redirects", "routes")

    def __init__(self, port: int, origin: Origin, redirects: bool) -> None:
        self.port = port
        self.origin = origin
        self.redirects = redirects
        self.routes: list[Route] = []


def table_hosts(scope: Scope, servers: Sequence[Server]) -> tuple[VirtualHost, ...]:
    """One virtual host for each host that a server and a VirtualService have in common.

    Unlike in the mesh, routes of several VirtualServices for one host follow each other, oldest first, and those that
    take everything come last. Hosts with the very same routes share a virtual host."""
    drafts: dict[str, _Draft] = {}
    routes: dict[tuple[str, str, str], tuple[Route, ...]] = {}
    hashes = HashKeys(scope)
    for server in servers:
        for rule in scope.virtual_services("*", server.gateway):
            hosts = tuple(_common(hosts_for(server.hosts, rule.namespace), rule.written))
            if not hosts:
                continue
            key = (server.gateway, rule.namespace, rule.name)
            if key not in routes:
                routes[key] = http_routes(scope, rule, server.port, server.gateway, hashes=hashes, tls=server.is_tls)
            if not routes[key]:
                continue
            for host in hosts:
                draft = drafts.get(host)
                if draft is None:
                    draft = drafts[host] = _Draft(server.port, rule.origin(), False)
                draft.routes += routes[key]
                draft.redirects = draft.redirects or server.redirects
        if server.redirects:
            _redirect_all(server, drafts)
    return tuple(_collapsed(drafts, servers[0]))


def _redirect_all(server: Server, drafts: dict[str, _Draft]) -> None:
    """Every host of the server redirects, also those that nobody has routes for, namespace and all."""
    for written in server.hosts:
        host = written.lower()
        if host in drafts:
            drafts[host].redirects = True
        else:
            drafts[host] = _Draft(server.port, server.origin, True)


def hosts_for(hosts: Sequence[str], namespace: str) -> Iterator[str]:
    """A server's hosts for VirtualServices of a namespace."""
    for host in hosts:
        owner, slash, name = host.partition("/")
        if not slash:
            yield host
        elif owner in (namespace, "*"):
            yield name


def _common(server: Iterator[str], rule: Sequence[str]) -> Iterator[str]:
    """The narrower of each two hosts of which one contains the other, in lower case."""
    found: dict[str, None] = {}
    for ours in server:
        for theirs in rule:
            if subset_of(ours, theirs):
                found[ours.lower()] = None
            elif subset_of(theirs, ours):
                found[theirs.lower()] = None
    yield from found


def _collapsed(drafts: dict[str, _Draft], server: Server) -> Iterator[VirtualHost]:
    shared: dict[tuple[bool, tuple[int, ...]], list[str]] = {}
    for host in sorted(drafts, key=specificity):
        draft = drafts[host]
        shared.setdefault((draft.redirects, tuple([id(route) for route in draft.routes])), []).append(host)
    for hosts in shared.values():
        draft = drafts[hosts[0]]
        ordered = tuple(sorted(draft.routes, key=_is_last))
        taken = accepted(ordered)
        routes = (_to_https(draft.origin),) if draft.redirects else taken
        yield VirtualHost(
            f"{hosts[0]}:{draft.port}",
            server.bound,
            tuple([(host, 0) for host in hosts]),
            routes,
            server.is_tls,
            draft.origin,
            server.table,
            draft.redirects,
            ordered if draft.redirects or taken is not ordered else (),
        )


def _is_last(route: Route) -> bool:
    return is_catch_all(route.match)


def _to_https(origin: Origin) -> Route:
    return Route(name="", match=EVERYTHING, redirect=Redirect(scheme="https", keep_port=True), origin=origin)
