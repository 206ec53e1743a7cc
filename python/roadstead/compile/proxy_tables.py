"""Route tables that are for every port: of HTTP proxies and sockets, whose callers name the port they want (Istio:
core/httproute.go BuildSidecarOutboundVirtualHosts with the listener's port 0).

Two things differ from the table of a port: rules are asked as if the port were 0, and names of services count as they
are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roadstead.compile.hashing import HashKeys
from roadstead.compile.inputs import HostView, Scope
from roadstead.compile.routes import default_route, http_routes
from roadstead.compile.virtual_hosts import (
    HTTP_PORT,
    OWN,
    claims,
    domains,
    in_order,
    is_http,
    order_of,
    owner,
    virtual_host,
)
from roadstead.compile.virtual_services import PreparedVirtualService
from roadstead.mesh import Route, Service, VirtualHost
from roadstead.protocol import Protocol

# The port of such a listener, as rules see it.
_ANY_PORT = 0


def proxied(scope: Scope, view: HostView) -> tuple[VirtualHost, ...]:
    """What the host of a service answers to behind each proxy."""
    made: list[VirtualHost] = []
    for table in scope.tables():
        rules, heard = scope.rules_of(view.host, table), scope.in_table(view, table)
        if heard:
            made += _service_hosts(scope, view, table, rules)
        if not heard or view.host != view.host.lower():
            made += _plain(scope, view.host.lower(), table, rules)
    return tuple(made)


def proxied_rules(scope: Scope, host: str) -> tuple[VirtualHost, ...]:
    """The same for a host, in lower case, that only VirtualServices know."""
    return tuple([made for table in scope.tables() for made in _plain(scope, host, table, scope.rules_of(host, table))])


def _service_hosts(
    scope: Scope, view: HostView, table: str, rules: Sequence[PreparedVirtualService]
) -> Iterator[VirtualHost]:
    service, hashes = _heard(view), HashKeys(scope)
    rule: PreparedVirtualService | None = None
    routes: tuple[Route, ...] = ()
    if view.host == view.host.lower():
        rule, routes = owner(scope, rules, view.host, _ANY_PORT, hashes, table=table)
    for number in dict.fromkeys(_http_ports(service)):
        names = _with_port(domains(view.host, service, scope.env.node.domain, owned=rule is not None), number)
        if rule is None:
            sent = (default_route(scope, view, number, hashes, folded=False),)
            yield virtual_host(view.host, number, names, sent, service.origin, "", table=table)
        else:
            order = order_of(rule, view.host)
            yield virtual_host(view.host, number, names, routes, rule.origin(), order, table=table)


def _plain(scope: Scope, name: str, table: str, rules: Sequence[PreparedVirtualService]) -> Iterator[VirtualHost]:
    """A host without a service has its name on port 80 only, where the same VirtualService claims a service."""
    if name.startswith("*") and any(scope.in_table(view, table) for view in scope.matching(name)):
        return
    for rule in rules:
        if name in rule.hosts and rule.http and _claims_http(scope, rule, name, table):
            routes = http_routes(scope, rule, _ANY_PORT, hashes=HashKeys(scope), table=table)
            if routes:
                names, order = ((name, OWN),), order_of(rule, name)
                yield virtual_host(name, HTTP_PORT, names, routes, rule.origin(), order, table=table, plain=True)
                return


def _claims_http(scope: Scope, rule: PreparedVirtualService, name: str, table: str) -> bool:
    for host in rule.hosts:
        if host == name:
            continue
        views = scope.matching(host) if host.startswith("*") else [scope.view(host)]
        for view in views:
            if view is None or not scope.in_table(view, table) or HTTP_PORT not in _http_ports(_heard(view)):
                continue
            if claims(scope.rules_of(view.host, table), rule, view.host):
                return True
    return False


def _with_port(names: tuple[tuple[str, int], ...], port: int) -> tuple[tuple[str, int], ...]:
    return tuple([known for name, tier in names for known in ((name, tier), (f"{name}:{port}", tier))])


def _heard(view: HostView) -> Service:
    """Of several services of one host the last one is heard, with its own ports only."""
    return list(in_order(view.services))[-1]


def _http_ports(service: Service) -> list[int]:
    return [port.number for port in service.ports if is_http(Protocol(port.protocol))]
