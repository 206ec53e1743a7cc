"""Changes: copy on write over a snapshot, unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, final

from roadstead import _lowered as low
from roadstead._fallback.chains import Chain
from roadstead._fallback.checks import check
from roadstead._fallback.cluster import Cluster
from roadstead._fallback.columns import HostColumn, hosts_of
from roadstead._fallback.hosts import Address, Sharded, ip_of, network_of
from roadstead._fallback.matching import fold
from roadstead._fallback.overlay import Live
from roadstead._fallback.rewrite import port_start
from roadstead._fallback.routes import VirtualHost
from roadstead._fallback.service import Service
from roadstead._fallback.snapshot import (
    CHAIN,
    HTTP,
    HTTP_OVER_TLS,
    SERVICE,
    Claim,
    Listener,
    Name,
    NameKey,
    NodeKey,
    Outbound,
    Snapshot,
)
from roadstead._fallback.template import Template
from roadstead.errors import EngineError

T = TypeVar("T")


class Compiled:
    """A unit made ready: its objects and every key it has a claim on."""

    __slots__ = ("clusters", "heard", "key", "names", "nodes", "order", "services")

    def __init__(self, unit: low.Unit, live: Callable[[str], Live]) -> None:
        self.key = unit.key
        self.order = unit.order
        maker = unit.maker
        self.services = [Service._made(service, maker, at) for at, service in enumerate(unit.services)]
        self.clusters = [
            Cluster._made(cluster, live(cluster.name), maker, at) for at, cluster in enumerate(unit.clusters)
        ]
        self.names: list[tuple[NameKey, Claim]] = []
        self.nodes: list[tuple[NodeKey, Claim]] = []
        self.heard: list[int] = []
        for service in self.services:
            self._claim_service(service)
        routes = 0
        for at, host in enumerate(unit.virtual_hosts):
            self._claim_domains(host, maker, at, routes)
            routes += len(host.routes)
        for at, chain in enumerate(unit.chains):
            self._claim_listeners(at, Chain(chain, maker, at))

    def _claim(self, kind: int, port: int, tier: int, value: Service | VirtualHost | Chain, seq: int = -1) -> Claim:
        return Claim(kind, port, tier, self.order, self.key, len(self.names) if seq < 0 else seq, value)

    def _claim_service(self, service: Service) -> None:
        keys: list[NameKey] = [_host_key(service.host)]
        keys += [_address_key(address) for address in service.addresses]
        for number in service._protocols:
            for key in keys:
                self.names.append((key, self._claim(SERVICE, number, 0, service)))

    def _claim_domains(self, host: low.VirtualHost, maker: low.Maker | None, at: int, first_route: int) -> None:
        owner = next((service for service in self.services if host.port in service._protocols), None)
        made = VirtualHost(host, owner, maker, at, first_route)
        for domain, tier in host.domains:
            # The port of a Host header is ignored, so a domain with one never matches.
            if port_start(domain) < 0 or ip_of(domain) is not None:
                claim = self._claim(HTTP_OVER_TLS if host.tls else HTTP, host.port, tier, made)
                self.names.append((fold(domain), claim))
        for address in () if host.tls else host.addresses or ("",):
            if address:
                self.names.append((_host_network(address), self._claim(HTTP, host.port, 0, made)))
            else:
                self.heard.append(host.port)

    def _claim_listeners(self, at: int, chain: Chain) -> None:
        lowered = chain.lowered
        claim = self._claim(CHAIN, lowered.port, 0, chain, at)
        self.names.append((_host_key(lowered.host), claim))
        for address in lowered.addresses or ("",):
            for network in chain.networks or (None,):
                for sni in chain.snis or ("",):
                    listener = _address_text(address) if address else ""
                    self.nodes.append(((listener, lowered.port, network, sni), claim))


def _host_key(host: str) -> str:
    """Hosts are looked up without a trailing dot."""
    return fold(host[:-1] if host.endswith(".") else host)


def _address_text(text: str) -> str:
    return str(_address(text))


def _host_network(text: str) -> NameKey:
    address = _address(text)
    return address.version, address.max_prefixlen, int(address)


def _address(text: str) -> Address:
    address = ip_of(text)
    if address is None:
        raise EngineError(f"{text!r} is not an IP address")
    return address


def _address_key(text: str) -> NameKey:
    if "/" in text:
        return network_of(text)
    address = ip_of(text)
    if address is None:
        raise EngineError(f"{text!r} is neither an IP address nor a CIDR")
    return address.version, address.max_prefixlen, int(address)


@final
class Builder:
    """A change under way; readers see nothing until `Engine.publish`."""

    __slots__ = ("_base", "_closed", "_made", "_new_live", "_snapshot")

    _base: Snapshot
    _snapshot: Snapshot
    _new_live: Callable[[], Live]
    _made: dict[str, Cluster]
    _closed: bool

    @classmethod
    def _over(cls, base: Snapshot, new_live: Callable[[], Live]) -> Builder:
        made = cls()
        made._base = base
        made._new_live = new_live
        made._snapshot = _copied(base)
        made._made = {}
        made._closed = False
        return made

    def _finish(self) -> Snapshot:
        """The changed tables, closed; this builder is used up."""
        self._closed = True
        return self._snapshot

    def put(self, unit: low.Unit) -> None:
        """Add or replace the unit of that key; EngineError for bad input, and nothing changed then."""
        self._open()
        check(unit)
        compiled = Compiled(unit, self._live)
        self.delete(unit.key)
        tables = self._snapshot
        tables.units[unit.key] = compiled
        for service in compiled.services:
            service._index = tables.services_at.add(service)
        for cluster in compiled.clusters:
            self._add_cluster(compiled, cluster)
        for key, claim in compiled.names:
            self._add_name(key, claim)
        for node, claim in compiled.nodes:
            self._add_node(node, claim)
        for port in compiled.heard:
            tables.heard = _counted(tables.heard, port, 1)

    def put_like(self, template: Template, names: tuple[str, ...], maker: low.Maker) -> None:
        """`put` of the template's unit with these names in their places and this maker."""
        self.put(template._filled(names, maker))

    def put_rows(
        self, template: Template, names: Sequence[HostColumn], makers: Sequence[low.Maker] | None = None
    ) -> None:
        """`put_like` for each row: a column for each name, a maker for each row; all or none of them."""
        self._open()
        columns = [hosts_of(column) for column in names]
        rows = len(columns[0]) if columns else 0
        if any(len(column) != rows for column in columns) or template._last >= len(columns):
            raise EngineError("a column for each name of the template is needed, all of one length")
        if makers is not None and len(makers) != rows:
            raise EngineError(f"{len(makers)} makers are not one for each row")
        units = []
        for row in range(rows):
            maker = None if makers is None else makers[row]
            units.append(template._filled(tuple([column[row] for column in columns]), maker))
            try:
                check(units[-1])
                Compiled(units[-1], self._live)
            except EngineError as error:
                raise EngineError(f"row {row}: {error}") from None
        for unit in units:
            self.put(unit)

    def delete(self, key: str) -> None:
        """Remove the unit of that key, if there is one."""
        self._open()
        tables = self._snapshot
        old = tables.units.get(key)
        if not isinstance(old, Compiled):
            return
        del tables.units[key]
        for node, claim in old.nodes:
            self._remove_node(node, claim)
        for name, claim in old.names:
            self._remove_name(name, claim)
        for port in old.heard:
            tables.heard = _counted(tables.heard, port, -1)
        # Backwards, so that a unit put in its place gets the same positions again.
        for cluster in reversed(old.clusters):
            self._remove_cluster(old, cluster)
        for service in reversed(old.services):
            tables.services_at.remove(service._index)

    def set_outbound(
        self,
        policy: int,
        *,
        egress_cluster: str = "",
        paths: int = low.NORMALIZE,
        passthrough: object | None = None,
        dynamic: object | None = None,
    ) -> None:
        """What unknown hosts get, how they are reached, and how paths are normalised."""
        if not low.ALLOW_ANY <= policy <= low.ALLOW_ANY_DYNAMIC_DNS:
            raise EngineError(f"no outbound policy {policy}")
        if not low.KEEP_PATH <= paths <= low.DECODE_SLASHES:
            raise EngineError(f"no normalisation of paths {paths}")
        self._open()
        snapshot = self._snapshot
        snapshot.outbound = Outbound(policy, egress_cluster, paths)
        if passthrough is not None:
            snapshot.passthrough = snapshot.passthrough._with_spec(passthrough)
        if dynamic is not None:
            snapshot.dynamic = snapshot.dynamic._with_spec(dynamic)

    def _open(self) -> None:
        if self._closed:
            raise EngineError("this builder was published; start another one")

    def _live(self, name: str) -> Live:
        """What lives in the cluster of that name, here or as published, or something new."""
        known = self._snapshot.clusters.get(name) or self._base.clusters.get(name)
        return self._new_live() if known is None else known._live

    def _add_cluster(self, unit: Compiled, cluster: Cluster) -> None:
        tables = self._snapshot
        cluster._index = tables.clusters_at.add(cluster)
        holder = tables.clusters.get(cluster.name)
        rank = (unit.order, unit.key, cluster)
        if holder is None:
            self._take(cluster)
            tables.cluster_rivals[cluster.name] = (rank,)
            return
        rivals = sorted((*(tables.cluster_rivals.get(cluster.name) or ()), rank), key=lambda rival: rival[:2])
        tables.cluster_rivals[cluster.name] = tuple(rivals)
        self._take(rivals[0][2])

    def _remove_cluster(self, unit: Compiled, cluster: Cluster) -> None:
        tables = self._snapshot
        tables.clusters_at.remove(cluster._index)
        rivals = tuple([rival for rival in tables.cluster_rivals.get(cluster.name) or () if rival[2] is not cluster])
        if rivals:
            tables.cluster_rivals[cluster.name] = rivals
            self._take(rivals[0][2])
        else:
            del tables.cluster_rivals[cluster.name]
            del tables.clusters[cluster.name]
            self._made.pop(cluster.name, None)

    def _take(self, cluster: Cluster) -> None:
        self._snapshot.clusters[cluster.name] = cluster
        self._made[cluster.name] = cluster

    def _add_name(self, key: NameKey, claim: Claim) -> None:
        tables = self._snapshot
        known = tables.names.get(key)
        if known is None:
            self._count(key, 1)
        tables.names[key] = Name((claim,) if known is None else (*known.claims, claim))

    def _remove_name(self, key: NameKey, claim: Claim) -> None:
        tables = self._snapshot
        known = tables.names.get(key)
        left = tuple([one for one in known.claims if one is not claim]) if known is not None else ()
        if left:
            tables.names[key] = Name(left)
        else:
            self._count(key, -1)
            del tables.names[key]

    def _count(self, key: NameKey, step: int) -> None:
        """Keep count of the forms of names, so that look-ups try only what there is."""
        tables = self._snapshot
        if not isinstance(key, str):
            tables.networks = _counted(tables.networks, key[:2], step)
        elif key.startswith("*."):
            tables.dotted += step
        elif key.startswith("*") and len(key) > 1:
            tables.suffixes = _counted(tables.suffixes, len(key) - 1, step)
        elif key.endswith("*") and len(key) > 1:
            tables.prefixes = _counted(tables.prefixes, len(key) - 1, step)

    def _add_node(self, node: NodeKey, claim: Claim) -> None:
        tables = self._snapshot
        claims = (*(tables.nodes.get(node) or ()), claim)
        tables.nodes[node] = tuple(sorted(claims, key=lambda one: one.rank))
        self._count_listener(node, 1)

    def _remove_node(self, node: NodeKey, claim: Claim) -> None:
        tables = self._snapshot
        left = tuple([one for one in tables.nodes.get(node) or () if one is not claim])
        if left:
            tables.nodes[node] = left
        else:
            del tables.nodes[node]
        self._count_listener(node, -1)

    def _count_listener(self, node: NodeKey, step: int) -> None:
        listeners = self._snapshot.listeners
        at = node[:2]
        known = listeners.get(at)
        networks = _counted({} if known is None else known.networks, node[2], step)
        if networks:
            listeners[at] = Listener(networks)
        else:
            del listeners[at]


def _counted(counts: dict[T, int], key: T, step: int) -> dict[T, int]:
    """A copy with one count changed; what counts nothing is left out."""
    made = counts | {key: counts.get(key, 0) + step}
    if not made[key]:
        del made[key]
    return made


def _copied(base: Snapshot) -> Snapshot:
    made: Snapshot = Snapshot.__new__(Snapshot)
    for name in Snapshot.__slots__:
        value = getattr(base, name)
        setattr(made, name, value.copy() if isinstance(value, Sharded) or hasattr(value, "pages") else value)
    made.version = base.version + 1
    return made
