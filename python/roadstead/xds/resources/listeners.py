"""Listeners (LDS) of a sidecar (Istio: core/listener.go, listener_builder.go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec

from roadstead.mesh import Cluster, EgressListener, FilterChain, HostMesh, Mesh, Node
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
    proxies: hosts behind each HTTP proxy's table."""

    listeners: list[Message]
    tables: dict[str, frozenset[str] | None]
    proxies: dict[str, list[HostMesh]]


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
        self._proxies: dict[str, list[HostMesh]] = {}
        # Names are looked up for these on a port, each in its own cache.
        self._dynamic = _dynamic_clusters(mesh)

    def made(self) -> Made:
        egress = self._mesh.proxy.egress or (EgressListener(),)
        self._egress = egress
        for place, listener in enumerate(egress):
            if not listener.port:
                self._locked = frozenset(self._drafts)
            hosts = [host for host in self._mesh.hosts.values() if len(egress) == 1 or place in host.listeners]
            if listener.protocol == HTTP_PROXY:
                self._http_proxy(listener, hosts)
                continue
            for host in hosts:
                self._host(host, listener)
        fallback = self._fallback()
        timeout = self._mesh.proxy.detection_timeout
        listeners = [
            draft.listener(fallback, timeout)
            for draft in sorted(self._drafts.values(), key=lambda draft: (draft.address, draft.port))
        ]
        return Made([*listeners, *self._own_proxy(), self._catch_all()], self._tables, self._proxies)

    # What a host adds

    def _host(self, host: HostMesh, listener: EgressListener) -> None:
        """A listener for one port speaks its own protocol there, whatever the service's is."""
        spoken: set[tuple[int, str]] = set()
        done: set[int] = set()
        for service in host.services:
            for port in service.ports:
                number, protocol = port.number, listener.protocol or port.protocol
                if listener.port and number != listener.port:
                    continue
                spoken.add((number, protocol))
                if number in done or not Protocol(protocol).is_http:
                    continue
                done.add(number)
                draft = self._draft_of(listener, (), number)
                if draft is not None:
                    self._http(draft, protocol, number)
        mine = [chain for chain in host.chains if (chain.port, chain.protocol) in spoken]
        for (addresses, _, _), chains in groupby(mine, lambda chain: (chain.addresses, chain.port, chain.protocol)):
            self._tcp(host, addresses, list(chains), listener)

    def _draft_of(self, listener: EgressListener, addresses: tuple[str, ...], port: int) -> Draft | None:
        """The listener's draft for addresses of a service; None where an egress listener before this one has it."""
        if listener.bind or not listener.captured:
            address = listener.bind or _LOCALHOST[self._wildcard]
            return self._draft(address, port, (), bound=not listener.captured)
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
            grpc_web=protocol == "GRPC-WEB",
            paths=self._mesh.proxy.paths,
            caches=[*self._caches(self._dynamic.get(port, ())), *self._unknown_cache()],
        )
        if draft.add([Chain(ANYTHING if alone else SNIFFED_HTTP, filters)]):
            self._tables[name] = self._heard_on(port)

    def _heard_on(self, port: int) -> frozenset[str] | None:
        """The services in the route table of a port: those of the egress listener for the port, else of that for
        every other; None: all."""
        if len(self._egress) < 2:
            return None
        at = (place for place, listener in enumerate(self._egress) if listener.port in (port, 0))
        place = next(at, len(self._egress))
        return frozenset([host.key for host in self._mesh.hosts.values() if place in host.listeners])

    def _tcp(
        self, host: HostMesh, addresses: tuple[str, ...], chains: list[FilterChain], listener: EgressListener
    ) -> None:
        first = chains[0]
        draft = self._draft_of(listener, addresses, first.port)
        if draft is None or not draft.takes(first.protocol):
            return
        if listener.bind or not listener.captured:
            chains = [_dialled(host, chain) for chain in chains]
        protocol = Protocol(first.protocol)
        cache = _name_cache(host, first.port) if protocol.is_tls else None
        draft.add(
            [
                Chain(
                    Condition(networks(chain.cidrs), frozenset(chain.snis)), tcp_filters(chain, cache), snis=chain.snis
                )
                for chain in chains
            ]
        )
        if protocol.is_sniffed:
            name = f"{first.host}:{first.port}" if addresses else ""
            self._http(draft, first.protocol, first.port, name)

    def _http_proxy(self, listener: EgressListener, hosts: list[HostMesh]) -> None:
        hosts = [host for host in hosts if any(_speaks_http(host))]
        if not hosts:
            return
        name = str(listener.port)
        draft = self._draft_of(listener, (), listener.port)
        if draft is None:
            return
        self._http(draft, HTTP_PROXY, listener.port, name)
        self._proxies[name] = hosts
        self._tables.pop(name)

    def _own_proxy(self) -> Iterator[Message]:
        """An HTTP proxy for the workload, that it dials itself: it has what the listener for every port has."""
        port = self._mesh.proxy.http_port
        if not port:
            return
        name = "http_proxy"
        more = [_LOCALHOST[address] for address in self._more]
        draft = Draft(_LOCALHOST[self._wildcard], port, more, bound=True)
        filters = http_filters(
            f"outbound_{draft.address}_{port}",
            name,
            asked=True,
            paths=self._mesh.proxy.paths,
            caches=self._unknown_cache(),
        )
        draft.add([Chain(ANYTHING, filters)])
        every = next((place for place, listener in enumerate(self._egress) if not listener.port), -1)
        self._proxies[name] = [
            host
            for host in self._mesh.hosts.values()
            if host.services and every >= 0 and (len(self._egress) == 1 or every in host.listeners)
        ]
        yield draft.listener(None, self._mesh.proxy.detection_timeout)

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
            filters=straight_to(self._unknown()),
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
            chain_message(Chain(ANYTHING, straight_to(self._unknown()), None, "virtualOutbound-catchall-tcp")),
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
            configuration("allow_any_dynamic_dns", [dynamic_host()]),
            paths=self._mesh.proxy.paths,
            caches=self._unknown_cache(),
        )
        condition = Condition(protocols=HTTP_PROTOCOLS)
        yield chain_message(Chain(condition, filters, None, "virtualOutbound-catchall-tcp-http"))


def _dialled(host: HostMesh, chain: FilterChain) -> FilterChain:
    """A chain of a listener that somebody dials: where a service's own connections were going says nothing there, and
    the name of the server is asked for only where that would have been a range of addresses."""
    ranges = {address for service in host.services for address in service.addresses if "/" in address}
    cidrs = () if ranges.issuperset(chain.cidrs) else chain.cidrs
    by_name = ranges or cidrs or host.services[0].is_dynamic or chain.route.origin.kind != "ServiceEntry"
    return msgspec.structs.replace(chain, cidrs=cidrs, snis=chain.snis if by_name else ())


def _name_cache(host: HostMesh, port: int) -> Message | None:
    """Of a host whose names are looked up connection by connection."""
    if not host.services or not host.services[0].is_dynamic:
        return None
    found = (cluster for cluster in host.clusters if cluster.port == port)
    return next((dns_cache(f"{cluster.host}_dfp_dns_cache", cluster.dns_lookup_family) for cluster in found), None)


def _speaks_http(host: HostMesh) -> Iterator[bool]:
    for service in host.services:
        for port in service.ports:
            yield Protocol(port.protocol).is_http


def _dynamic_clusters(mesh: Mesh) -> dict[int, list[Cluster]]:
    found: dict[int, list[Cluster]] = {}
    for host in mesh.hosts.values():
        for cluster in host.clusters:
            if cluster.type == "DYNAMIC_DNS":
                found.setdefault(cluster.port, []).append(cluster)
    return found
