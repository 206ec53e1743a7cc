"""Listeners (LDS) of a sidecar (Istio: core/listener.go, listener_builder.go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from roadstead.mesh import Cluster, EgressListener, FilterChain, HostMesh, Mesh, Node, Port, Service
from roadstead.mesh.listener import OWN_PROXY
from roadstead.mesh.names import BLACK_HOLE, PASSTHROUGH
from roadstead.protocol import Protocol
from roadstead.xds.messages import listener as table
from roadstead.xds.resources.clusters import allow_any_cache, dns_cache
from roadstead.xds.resources.drafts import (
    ANYTHING,
    HTTP_PROTOCOLS,
    SNIFFED_HTTP,
    Chain,
    Condition,
    Draft,
    chain_message,
    networks,
)
from roadstead.xds.resources.endpoints import socket_address
from roadstead.xds.resources.filters import http_filters, http_inspector, straight_to, tcp_filters
from roadstead.xds.resources.routes import configuration, dynamic_host
from roadstead.xds.schema import Message

HTTP_PROXY = "HTTP_PROXY"
_V4_ANY, _V6_ANY = "0.0.0.0", "::"
_LOCALHOST = {_V4_ANY: "127.0.0.1", _V6_ANY: "::1"}


class Made(NamedTuple):
    """listeners; tables: names of the route tables they ask for, with the keys of the services in each (None: all);
    proxies: names of the tables of HTTP proxies and sockets."""

    listeners: list[Message]
    tables: dict[str, frozenset[str] | None]
    proxies: list[str]


def sidecar_listeners(mesh: Mesh, node: Node) -> Made:
    """Outbound listeners, and the one that takes every connection that was intercepted."""
    return _Sidecar(mesh, node).made()


def wildcards(node: Node) -> tuple[str, ...]:
    """Every address, in the families that a node has; the first is the listener's own."""
    families = dict.fromkeys([_V6_ANY if ":" in ip else _V4_ANY for ip in node.ips])
    return tuple(families) or (_V4_ANY,)


class _Sidecar:
    """The listeners of one sidecar while its services are gone through in Istio's order."""

    def __init__(self, mesh: Mesh, node: Node) -> None:
        self._mesh = mesh
        self._node = node
        self._wildcard, *self._more = wildcards(node)
        self._drafts: dict[tuple[str, int], Draft] = {}
        self._tables: dict[str, frozenset[str] | None] = {}
        self._egress: tuple[EgressListener, ...] = ()
        # What egress listeners for a port have; that for every port adds nothing to it.
        self._locked: frozenset[tuple[str, int]] = frozenset()
        self._proxies: list[str] = []
        # Names are looked up for these on a port, each in its own cache.
        self._dynamic = _dynamic_clusters(mesh)

    def made(self) -> Made:
        proxy = self._mesh.proxy
        egress = proxy.egress or (EgressListener(captured=proxy.intercepted),)
        self._egress = egress
        for place, listener in enumerate(egress):
            if not listener.protocol:
                self._locked = frozenset(self._drafts)
            hosts = [host for host in self._mesh.hosts.values() if len(egress) == 1 or place in host.listeners]
            if listener.table:
                self._for_every_port(listener, hosts)
                continue
            for host, services in _in_order(hosts, listener):
                self._host(host, services, listener)
        fallback = self._fallback()
        timeout = self._mesh.proxy.detection_timeout
        listeners = [
            draft.listener(fallback, timeout)
            for draft in sorted(self._drafts.values(), key=lambda draft: (draft.address, draft.port))
        ]
        if proxy.http_port:
            listeners.append(self._own_proxy())
        if proxy.intercepted:
            listeners.append(self._catch_all())
        return Made(listeners, self._tables, self._proxies)

    # What a host adds

    def _host(self, host: HostMesh, services: Sequence[Service], listener: EgressListener) -> None:
        """A listener for one port speaks its own protocol there, whatever the service's is."""
        spoken: set[tuple[int, str]] = set()
        done: set[int] = set()
        for service in services:
            for port in service.ports:
                number, protocol = port.number, listener.protocol or port.protocol
                if (listener.port and number != listener.port) or not self._may_bind(listener, number, protocol):
                    continue
                spoken.add((number, protocol))
                if number in done or not Protocol(protocol).is_http:
                    continue
                done.add(number)
                draft = self._draft_of(listener, (), number)
                if draft is not None:
                    self._http(draft, protocol, number)
        mine = [
            chain
            for chain in host.chains
            if (chain.port, chain.protocol) in spoken and _belongs(host, chain, services[0])
        ]
        for (addresses, _, _), chains in groupby(mine, lambda chain: (chain.addresses, chain.port, chain.protocol)):
            self._tcp(host, services[0], addresses, list(chains), listener)

    def _may_bind(self, listener: EgressListener, port: int, protocol: str) -> bool:
        """Whether the proxy has that port to give: others of its own listeners may be there."""
        proxy = self._mesh.proxy
        if not listener.captured and not proxy.may_open(port):
            return False
        bind = listener.bind or ("" if listener.captured else _LOCALHOST[self._wildcard])
        everywhere = bind == self._wildcard if bind else Protocol(protocol).is_http
        return not everywhere or port not in proxy.reserved_ports

    def _draft_of(self, listener: EgressListener, addresses: tuple[str, ...], port: int) -> Draft | None:
        """The listener's draft for addresses of a service; None where an egress listener before this one has it."""
        if listener.bind:
            return self._draft(listener.bind, port, (), bound=not listener.captured)
        if not listener.captured:
            more = [_LOCALHOST[address] for address in self._more]
            return self._draft(_LOCALHOST[self._wildcard], port, more, bound=True)
        if addresses:
            return self._draft(addresses[0], port, addresses[1:])
        return self._draft(self._wildcard, port, self._more)

    def _draft(self, address: str, port: int, more: Iterable[str], *, bound: bool = False) -> Draft | None:
        key = (address, port)
        if key in self._locked:
            return None
        draft = self._drafts.get(key)
        if draft is None:
            draft = self._drafts[key] = Draft(address, port, more, bound=bound)
        return draft

    def _http(self, draft: Draft, protocol: str, port: int, table_name: str = "") -> None:
        if not draft.takes(protocol):
            return
        name = table_name or str(port)
        # A proxy is told by its callers where they want to go: nothing is passed through.
        # On an address of its own nothing else can arrive, unless the protocol is to be found out.
        alone = draft.address != self._wildcard if protocol else False
        alone = alone or (protocol == HTTP_PROXY and not draft.chains)
        filters = http_filters(
            f"outbound_{draft.address}_{port}",
            name,
            self._mesh.proxy,
            grpc_web=protocol == "GRPC-WEB",
            caches=[*self._caches(self._dynamic.get(port, ())), *self._unknown_cache()],
        )
        if draft.add([Chain(ANYTHING if alone else SNIFFED_HTTP, filters)]):
            self._tables[name] = self._heard_on(port)

    def _heard_on(self, port: int) -> frozenset[str] | None:
        """The services in the route table of a port: those of the egress listener for the port, else of that for
        every other; None: all."""
        if len(self._egress) < 2:
            return None
        at = (
            place
            for place, listener in enumerate(self._egress)
            if not listener.table and (listener.port == port or not listener.protocol)
        )
        place = next(at, len(self._egress))
        return frozenset([host.key for host in self._mesh.hosts.values() if place in host.listeners])

    def _tcp(
        self,
        host: HostMesh,
        service: Service,
        addresses: tuple[str, ...],
        chains: list[FilterChain],
        listener: EgressListener,
    ) -> None:
        first = chains[0]
        draft = self._draft_of(listener, addresses, first.port)
        if draft is None:
            return
        protocol, http_before = Protocol(first.protocol), draft.first is not None and draft.only_http
        if not draft.takes(first.protocol):
            return
        if http_before and protocol.is_sniffed and draft.address != self._wildcard:
            # On an address of its own Istio lets what is to be found out stand in for what is declared.
            draft.restart(first.protocol)
            if [known.port for known in self._drafts.values()].count(first.port) == 1:
                self._tables.pop(str(first.port), None)
        if listener.bind or not listener.captured:
            anywhere = draft.address == self._wildcard and not service.addresses
            chains = [_dialled(host, chain, anywhere) for chain in chains]
        cache = self._name_cache(service) if protocol.is_tls else None
        made = []
        for chain in chains:
            condition = Condition(networks(chain.cidrs), frozenset(chain.snis))
            # What a VirtualService sends somewhere goes there by no name.
            own = cache if chain.route.origin.kind == "ServiceEntry" else None
            made.append(Chain(condition, tcp_filters(chain, own), snis=chain.snis))
        draft.add(made)
        if protocol.is_sniffed:
            name = f"{first.host}:{first.port}" if draft.address != self._wildcard else ""
            self._http(draft, first.protocol, first.port, name)

    def _name_cache(self, service: Service) -> Message | None:
        """Of a host whose names are looked up connection by connection."""
        if not service.is_dynamic:
            return None
        ips = self._node.ips
        family = "V6_ONLY" if ips and all(":" in ip for ip in ips) else "V4_ONLY"
        return dns_cache(f"{service.host}_dfp_dns_cache", family)

    def _for_every_port(self, listener: EgressListener, hosts: list[HostMesh]) -> None:
        """An HTTP proxy, or a socket over which HTTP is spoken."""
        if not any(host.services for host in hosts) or not Protocol(listener.protocol).is_http:
            return
        if not self._may_bind(listener, listener.port, listener.protocol):
            return
        draft = self._draft_of(listener, (), listener.port)
        if draft is not None:
            self._http(draft, listener.protocol, listener.port, listener.table)
            self._proxies.append(listener.table)
            self._tables.pop(listener.table)

    def _own_proxy(self) -> Message:
        """An HTTP proxy for the workload, that it dials itself: it has what the listener for every port has."""
        port, name = self._mesh.proxy.http_port, OWN_PROXY
        more = [_LOCALHOST[address] for address in self._more]
        draft = Draft(_LOCALHOST[self._wildcard], port, more, bound=True)
        filters = http_filters(
            f"outbound_{draft.address}_{port}",
            name,
            self._mesh.proxy,
            asked=True,
            caches=self._unknown_cache(),
        )
        draft.add([Chain(ANYTHING, filters)])
        self._proxies.append(name)
        return draft.listener(None, self._mesh.proxy.detection_timeout)

    def _caches(self, clusters: Iterable[Cluster]) -> Iterator[Message]:
        for cluster in clusters:
            yield dns_cache(f"{cluster.host}_dfp_dns_cache", cluster.dns_lookup_family)

    def _unknown_cache(self) -> Iterator[Message]:
        """Every table ends with the hosts that nobody declared."""
        if self._looks_up:
            yield allow_any_cache(self._node)

    # Every other connection

    @property
    def _looks_up(self) -> bool:
        return self._mesh.proxy.dynamic_dns and self._mesh.outbound == "ALLOW_ANY"

    def _unknown(self) -> str:
        if self._mesh.outbound == "REGISTRY_ONLY":
            return BLACK_HOLE
        return self._mesh.egress_cluster or PASSTHROUGH

    def _fallback(self) -> Message:
        """The chain of connections that no service wants."""
        return table.FILTER_CHAIN(
            name="PassthroughFilterChain",
            filter_chain_match=table.FILTER_CHAIN_MATCH(),
            filters=straight_to(self._unknown(), self._mesh.proxy.idle_timeout),
        )

    def _catch_all(self) -> Message:
        """Takes what was intercepted and hands it to the listener for where it wanted to go, else to that outside."""
        proxy = self._mesh.proxy
        chains = [
            table.FILTER_CHAIN(
                name="virtualOutbound-blackhole",
                filter_chain_match=table.FILTER_CHAIN_MATCH(destination_port=proxy.listen_port),
                filters=straight_to(BLACK_HOLE),
            ),
            *self._unknown_http(),
            chain_message(
                Chain(
                    ANYTHING,
                    straight_to(self._unknown(), proxy.idle_timeout),
                    None,
                    "virtualOutbound-catchall-tcp",
                )
            ),
        ]
        return table.LISTENER(
            name="virtualOutbound",
            address=socket_address(self._wildcard, proxy.listen_port),
            additional_addresses=[
                table.ADDITIONAL_ADDRESS(address=socket_address(address, proxy.listen_port)) for address in self._more
            ],
            filter_chains=chains,
            listener_filters=[] if len(chains) == 2 else [http_inspector()],
            use_original_dst=True,
            traffic_direction="OUTBOUND",
            max_connections_to_accept_per_socket_event=1,
        )

    def _unknown_http(self) -> Iterator[Message]:
        """HTTP to a port that nobody declared, where its host is to be looked up."""
        if not self._looks_up:
            return
        filters = http_filters(
            "outbound_virtualOutbound_allow_any_dynamic_dns",
            configuration("allow_any_dynamic_dns", [dynamic_host(self._mesh.proxy.callers)]),
            self._mesh.proxy,
            caches=self._unknown_cache(),
        )
        condition = Condition(protocols=HTTP_PROTOCOLS)
        yield chain_message(Chain(condition, filters, None, "virtualOutbound-catchall-tcp-http"))


def _in_order(hosts: Iterable[HostMesh], listener: EgressListener) -> Iterator[tuple[HostMesh, Sequence[Service]]]:
    """Hosts with services, as the egress listener has them: those with several of different age more than once."""
    skipped = 1 if listener.exact else 0
    found: list[tuple[str, HostMesh, Sequence[Service]]] = []
    for host in hosts:
        if host.heard:
            found += [(order[skipped:], host, (service,)) for order, service in host.heard]
        elif host.services:
            found.append((host.order[3 + skipped :], host, host.services))
    for _, host, services in sorted(found, key=lambda item: item[0]):
        yield host, services


def _belongs(host: HostMesh, chain: FilterChain, service: Service) -> bool:
    """Whether a chain is of one of a host's services: the first with the port that may be heard there."""
    if not host.heard:
        return True
    known = {address for _, other in host.heard for address in other.addresses}
    for _, other in host.heard:
        there = not known.isdisjoint(chain.addresses) and other.addresses[:1] != chain.addresses[:1]
        if not there and any(_speaks(port, chain, host) for port in other.ports):
            return other is service
    return True


def _speaks(port: Port, chain: FilterChain, host: HostMesh) -> bool:
    """Whether a chain may be that port's. An egress listener gives its own protocol to every service's port."""
    if port.number != chain.port or port.protocol == chain.protocol:
        return port.number == chain.port
    declared = {known.protocol for _, service in host.heard for known in service.ports if known.number == chain.port}
    return chain.protocol not in declared


def _dialled(host: HostMesh, chain: FilterChain, anywhere: bool) -> FilterChain:
    """A chain of a listener that somebody dials: where a service's own connections were going says nothing there, and
    the name of the server is asked for only where that would have been a range of addresses. anywhere: neither the
    listener nor the service has an address of its own."""
    ranges = {address for service in host.services for address in service.addresses if "/" in address}
    cidrs = () if ranges.issuperset(chain.cidrs) else chain.cidrs
    by_name = anywhere or ranges or cidrs or host.services[0].is_dynamic or chain.route.origin.kind != "ServiceEntry"
    return msgspec.structs.replace(chain, cidrs=cidrs, snis=chain.snis if by_name else ())


def _dynamic_clusters(mesh: Mesh) -> dict[int, list[Cluster]]:
    found: dict[int, list[Cluster]] = {}
    for host in mesh.hosts.values():
        for cluster in host.clusters:
            if cluster.type == "DYNAMIC_DNS":
                found.setdefault(cluster.port, []).append(cluster)
    return found
