"""Virtual hosts of one host: which VirtualService owns it at each port, and the names it answers to
(Istio: core/httproute.go, route.BuildSidecarVirtualHostWrapper).

On sidecars the first VirtualService that claims a host and has a route for this client owns it alone; a service that
nobody claims gets a default route. A host of a VirtualService that is no service with the port ("plain") has routes
on port 80 only, and on ports of services that the same VirtualService claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from roadstead.compile.hashing import HashKeys
from roadstead.compile.inputs import HostView, Scope
from roadstead.compile.routes import accepted, default_route, http_routes
from roadstead.compile.virtual_services import PreparedVirtualService
from roadstead.host import closest, is_ip, matches
from roadstead.mesh import Origin, Port, Route, Service, VirtualHost
from roadstead.protocol import Protocol

HTTP_PORT = 80
OWN, _OWN_DEFAULT, _ALTERNATIVE, _ADDRESS, _ADDRESS_DEFAULT = range(5)

Listening: TypeAlias = dict[int, tuple[Service, Port]]
"""Service and port behind each port number of a host; of several services the last one counts, as in Istio."""


def virtual_hosts(scope: Scope, view: HostView) -> tuple[VirtualHost, ...]:
    """What the host of a service answers to over HTTP.

    In the extended dialect `http` rules hold on TLS ports too, for requests that this process makes itself: those
    virtual hosts have `tls` set."""
    if scope.env.node.type == "router":
        return ()
    rules = scope.virtual_services(view.host)
    hashes = HashKeys(scope)
    listening = listening_ports(view)
    made = _service_hosts(scope, view, listening, rules, hashes)
    if rules:
        made += _plain(scope, rules, view.host.lower(), listening, hashes)
    return tuple(made)


def rule_hosts(scope: Scope, host: str) -> tuple[VirtualHost, ...]:
    """The same for a host, in lower case, that only VirtualServices know."""
    rules = () if scope.env.node.type == "router" else scope.virtual_services(host)
    return tuple(_plain(scope, rules, host, {}, HashKeys(scope))) if rules else ()


def _service_hosts(
    scope: Scope, view: HostView, listening: Listening, rules: Sequence[PreparedVirtualService], hashes: HashKeys
) -> list[VirtualHost]:
    """One for each port that takes HTTP, with the rules of the VirtualService that owns it or the default route."""
    name, domain, extended = view.host.lower(), scope.env.node.domain, scope.env.extended
    made = []
    for number, (service, port) in listening.items():
        protocol = Protocol(port.protocol)
        http = is_http(protocol)
        if not http and not (rules and protocol.is_tls and extended):
            continue
        heard = rules and scope.virtual_services(view.host, port=number)
        rule, routes = owner(scope, heard, view.host, number, hashes, tls=not http)
        if rule is None:
            if not http:
                continue
            routes = (default_route(scope, view, number, hashes),)
        names = domains(name, service, domain, owned=rule is not None)
        origin = service.origin if rule is None else rule.origin()
        order = "" if rule is None else order_of(rule, name)
        made.append(virtual_host(name, number, names, routes, origin, order, tls=not http))
    return made


def order_of(rule: PreparedVirtualService, name: str) -> str:
    """Sorts virtual hosts by VirtualService, then by its hosts, exact ones first."""
    place = rule.hosts.index(name) if name in rule.hosts else len(rule.hosts)
    return f"{rule.order}\0{name.startswith('*'):d}{place:04d}"


def virtual_host(
    name: str,
    port: int,
    names: tuple[tuple[str, int], ...],
    routes: tuple[Route, ...],
    origin: Origin,
    order: str,
    *,
    tls: bool = False,
    table: str = "",
    plain: bool = False,
) -> VirtualHost:
    """One virtual host, with the routes that Envoy takes."""
    taken = accepted(routes)
    sent = () if taken is routes else routes
    return VirtualHost(f"{name}:{port}", port, names, taken, tls, origin, table, sent=sent, order=order, plain=plain)


def listening_ports(view: HostView | None) -> Listening:
    """The ports a host is heard on, UDP left out. Ports of a service that is only a destination are not heard."""
    if view is None or view.imported:
        return {}
    found: Listening = {}
    for service in in_order(view.services) if len(view.services) > 1 else view.services:
        # Backwards, so that of a service's own ports with one number the first counts.
        mine = {
            port.number: (service, port)
            for port in reversed(service.ports)
            if port.protocol != "UDP" and port.number not in view.unrouted
        }
        found.update(reversed(mine.items()))
    return found


def in_order(services: Sequence[Service]) -> list[Service]:
    """Services of one host: entries as the client sees them; addresses of one entry, which are all of one age, by their
    text."""
    places: dict[str, int] = {}
    for service in services:
        places.setdefault(service.object_name, len(places))
    return sorted(services, key=lambda service: (places[service.object_name], service.address))


def is_http(protocol: Protocol) -> bool:
    """Whether HTTP rules hold on a port: HTTP is declared, or nothing is and it may turn out to be."""
    return protocol.is_http or protocol.is_sniffed


def most_specific(rules: Sequence[PreparedVirtualService], host: str) -> PreparedVirtualService | None:
    """The first with the host that takes `host` most closely."""
    best = closest(host, [pattern for rule in rules for pattern in rule.hosts])
    return None if best is None else next(rule for rule in rules if best in rule.hosts)


def owner(
    scope: Scope,
    rules: Sequence[PreparedVirtualService],
    host: str,
    port: int,
    hashes: HashKeys,
    *,
    tls: bool = False,
    table: str = "",
) -> tuple[PreparedVirtualService | None, tuple[Route, ...]]:
    """The first VirtualService that claims the service and has a route for this client. table: as in `http_routes`."""
    for rule in rules:
        if rule.http and claims(rules, rule, host):
            routes = http_routes(scope, rule, port, hashes=hashes, tls=tls, table=table)
            if routes:
                return rule, routes
    return None, ()


def claims(rules: Sequence[PreparedVirtualService], rule: PreparedVirtualService, host: str) -> bool:
    """Whether a rule has a service: by its very name; through a wildcard only where none of the rules has a closer one.

    Istio forgets to fold the case for wildcards: they never claim a service written with capitals."""
    name = host.lower()
    if not name.startswith("*") and name in rule.hosts:
        return True
    by_wildcard = name == host and any(pattern.startswith("*") and matches(pattern, name) for pattern in rule.hosts)
    return by_wildcard and most_specific(rules, name) is rule


def _plain(
    scope: Scope, rules: Sequence[PreparedVirtualService], name: str, listening: Listening, hashes: HashKeys
) -> Iterator[VirtualHost]:
    done: set[int] = set(listening)
    selected = {HTTP_PORT: scope.virtual_services(name, port=HTTP_PORT)}
    for rule in rules:
        if name not in rule.hosts or not rule.http:
            continue
        for number in sorted({HTTP_PORT} | _claimed_ports(scope, rule, name)):
            if number in done or _taken(scope, name, number):
                continue
            if number == HTTP_PORT and not _hears_http(scope, number):
                continue
            if number not in selected:
                selected[number] = scope.virtual_services(name, port=number)
            if rule not in selected[number]:
                continue
            routes = http_routes(scope, rule, number, hashes=hashes)
            if routes:
                done.add(number)
                order = order_of(rule, name)
                yield virtual_host(name, number, ((name, OWN),), routes, rule.origin(), order, plain=True)


def _taken(scope: Scope, name: str, port: int) -> bool:
    """A wildcard that takes some service with the port is not plain there, whoever owns that service."""
    return name.startswith("*") and any(port in listening_ports(view) for view in scope.matching(name))


def _claimed_ports(scope: Scope, rule: PreparedVirtualService, name: str) -> set[int]:
    """HTTP ports of the services that a VirtualService claims through its other hosts."""
    found: set[int] = set()
    for host in rule.hosts:
        if host == name:
            continue
        views = scope.matching(host)
        if not host.startswith("*"):
            views = [view for view in views if view.host.lower() == host]
        for view in views:
            listening = listening_ports(view)
            for number, (_, port) in listening.items():
                if number in found or not is_http(Protocol(port.protocol)):
                    continue
                if claims(scope.virtual_services(view.host, port=number), rule, view.host):
                    found.add(number)
    return found


def _hears_http(scope: Scope, number: int) -> bool:
    """Whether there is a listener for HTTP of any host: without one Istio makes no route table for the port."""
    for view in scope.services_on(number):
        for service in view.services:
            for port in service.ports:
                protocol = Protocol(port.protocol)
                if port.number == number and (
                    protocol.is_http or (protocol.is_sniffed and not any(map(is_ip, service.addresses)))
                ):
                    return True
    return False


def domains(name: str, service: Service, domain: str, *, owned: bool) -> tuple[tuple[str, int], ...]:
    """The names that a service's virtual host answers to, each with its tier. domain: of the client."""
    own = (name, OWN if owned else _OWN_DEFAULT)
    made = [own] if is_ip(name) else [own, (f"{name}.", _ALTERNATIVE)]
    made += [(alternative, _ALTERNATIVE) for alternative in alternative_names(name, domain)]
    for address in service.addresses[:1]:
        made.append((f"[{address}]" if ":" in address else address, _ADDRESS if owned else _ADDRESS_DEFAULT))
    return tuple(made)


def alternative_names(host: str, domain: str) -> tuple[str, ...]:
    """Shorter names under which a client in a DNS domain may know a host."""
    if ".svc." in domain:
        return _kubernetes_names(host, domain)
    own, shared = host.split("."), domain.split(".")
    common = 0
    while common < min(len(own), len(shared)) and own[-1 - common] == shared[-1 - common]:
        common += 1
    unique = own[: len(own) - common]
    if not common or not unique:
        return ()
    short = ".".join(unique)
    return (short, f"{short}.{own[len(unique)]}") if len(unique) == 2 else (short,)


def _kubernetes_names(host: str, domain: str) -> tuple[str, ...]:
    namespace, _, suffix = domain.partition(".svc.")
    if not host.endswith(f".svc.{suffix}"):
        return ()
    name, dot, owner = host.removesuffix(f".svc.{suffix}").partition(".")
    if not dot:
        return ()
    if owner == namespace:
        return name, f"{name}.{owner}.svc", f"{name}.{owner}"
    return f"{name}.{owner}", f"{name}.{owner}.svc"
