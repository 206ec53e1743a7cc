"""Filter chains of one host: where a connection that is no HTTP goes (Istio:
core/listener.go, core/tls.go).

Who wins where two hosts want the same chain of one listener is the engine's to say, by the age of the hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import NamedTuple

import msgspec

from roadstead.compile.endpoints import endpoints_of
from roadstead.compile.inputs import HostView, Scope
from roadstead.compile.matches import l4_applies
from roadstead.compile.tcp_routes import default_tcp_route, tcp_route
from roadstead.compile.virtual_services import PreparedVirtualService
from roadstead.host import matches
from roadstead.mesh import FilterChain, Port, Service, TcpRoute
from roadstead.protocol import Protocol


class Listener(NamedTuple):
    """Where a port of a service is heard. addresses (): the wildcard address. cidrs: what its connections were
    dialled to. named: the address says which service is meant, so the server name need not."""

    addresses: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    named: bool = False


_WILDCARD = Listener()


def filter_chains(scope: Scope, view: HostView) -> tuple[FilterChain, ...]:
    """The chains of a host's TCP, TLS and sniffed ports, services and ports in order, each with its default chain
    last."""
    if scope.env.node.type == "router" or view.imported:
        return ()
    made: list[FilterChain] = []
    taken: dict[tuple[tuple[str, ...], int], _Taken] = {}
    for service in view.services:
        for port in service.ports:
            for spoken, alone in scope.spoken(view, port):
                protocol = Protocol(spoken)
                if protocol.is_http or protocol.is_udp:
                    continue
                rules = _matching(scope, view, port.number)
                heard = port if spoken == port.protocol else msgspec.structs.replace(port, protocol=spoken)
                build = _tls_chains if protocol.is_tls else _tcp_chains
                for listener in _listeners(scope, view, service, heard, alone=alone):
                    place = (listener.addresses[:1], heard.number)
                    chains = tuple(build(scope, view, heard, listener, rules))
                    known = taken.get(place)
                    if known is None:
                        taken[place] = _Taken(protocol, {_condition(chain) for chain in chains})
                    else:
                        chains = known.free(protocol, chains)
                    made += chains
    return tuple(made)


class _Taken(NamedTuple):
    """What services of the host before have on one address and port: what wants the same after them is dropped."""

    protocol: Protocol
    conditions: set[tuple[frozenset[str], frozenset[str]]]

    def free(self, protocol: Protocol, chains: tuple[FilterChain, ...]) -> tuple[FilterChain, ...]:
        if not self.protocol.shares_with(protocol):
            return ()
        left = []
        for chain in chains:
            condition = _condition(chain)
            if condition not in self.conditions:
                self.conditions.add(condition)
                left.append(chain)
        return tuple(left)


def _condition(chain: FilterChain) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset([str(ip_network(cidr, strict=False)) for cidr in chain.cidrs]), frozenset(chain.snis)


def _matching(scope: Scope, view: HostView, port: int) -> list[PreparedVirtualService]:
    """VirtualServices over the host, of the listener that hears it; unlike for HTTP, case counts."""
    rules = scope.rules_heard(view, port)
    return [rule for rule in rules if any(matches(pattern, view.host) for pattern in rule.written)]


def _listeners(scope: Scope, view: HostView, service: Service, port: Port, *, alone: bool) -> Iterator[Listener]:
    """alone: an egress listener for the port hears it, where no endpoint has a listener of its own."""
    addresses = service.addresses
    if addresses:
        cidrs = tuple([address for address in addresses if "/" in address])
        yield Listener((), cidrs) if cidrs else Listener(addresses, (), True)
        return
    if (
        service.resolution == "NONE"
        and not alone
        and any(entry.spec.endpoints or entry.spec.workload_selector is not None for entry in view.entries)
    ):
        yield from _endpoint_listeners(scope, view, service, port)
        return
    yield _WILDCARD


def _endpoint_listeners(scope: Scope, view: HostView, service: Service, port: Port) -> Iterator[Listener]:
    """Without a VIP every address behind the service gets a listener of its own, except the client's."""
    endpoints = endpoints_of(scope, view, behind=True).get(port.number, ())
    if not endpoints:
        if not service.selector:
            yield _WILDCARD
        return
    client = scope.env.node.ips[:1]
    for endpoint in endpoints:
        if endpoint.kind == "ip" and endpoint.address not in client:
            yield Listener((endpoint.address,), (), True)


def _tls_chains(
    scope: Scope, view: HostView, port: Port, listener: Listener, rules: Sequence[PreparedVirtualService]
) -> Iterator[FilterChain]:
    """Chains by server name; the service's own only where no rule is for this client."""
    cidrs = listener.cidrs
    seen: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    for rule in rules:
        for index, written in enumerate(rule.tls):
            for at, match in enumerate(written.match):
                if not l4_applies(match, scope.env, port.number):
                    continue
                # Subnets once written stay in force for what follows: Istio's quirk.
                cidrs = match.destination_subnets or cidrs
                key = (match.sni_hosts, match.destination_subnets)
                if key in seen:
                    continue
                route = tcp_route(scope, written.route, port.number, rule.origin(f"/spec/tls/{index}/match/{at}"))
                if route is not None:
                    seen.add(key)
                    yield _chain(view, port, listener, route, cidrs, match.sni_hosts)
    if not seen:
        # A resolver of names needs the name, whatever address was dialled.
        named = listener.named and not (view.merged.resolution == "DYNAMIC_DNS" and view.host.startswith("*"))
        snis = () if named else (view.host,)
        yield _chain(view, port, listener, default_tcp_route(scope, view, port.number), cidrs, snis)


def _tcp_chains(
    scope: Scope, view: HostView, port: Port, listener: Listener, rules: Sequence[PreparedVirtualService]
) -> Iterator[FilterChain]:
    """Chains by destination subnet up to the first rule without one, which ends the list; else the service's own."""
    settled = False
    for rule in rules:
        for index, written in enumerate(rule.tcp):
            if not written.route:
                continue
            origin = rule.origin(f"/spec/tcp/{index}")
            subnets: list[str] = []
            everything = not written.match
            for match in written.match:
                if l4_applies(match, scope.env, port.number):
                    if not match.destination_subnets:
                        everything = True
                        break
                    subnets += match.destination_subnets
            if not everything and not subnets:
                continue
            route = tcp_route(scope, written.route, port.number, origin)
            if route is None:
                continue
            yield _chain(view, port, listener, route, listener.cidrs if everything else tuple(subnets))
            if everything:
                return
            settled = settled or sorted(subnets) == sorted(listener.cidrs)
    if not settled:
        yield _chain(view, port, listener, default_tcp_route(scope, view, port.number), listener.cidrs)


def _chain(
    view: HostView, port: Port, listener: Listener, route: TcpRoute, cidrs: tuple[str, ...], snis: tuple[str, ...] = ()
) -> FilterChain:
    # `*` as a server name is no condition.
    names = () if "*" in snis else snis
    return FilterChain(view.host, port.number, route, listener.addresses, cidrs, names, protocol=port.protocol)
