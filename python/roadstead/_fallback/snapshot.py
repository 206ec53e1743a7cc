"""One published view: who owns which name, address, port and listener. Never changed once it is published."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from roadstead import _lowered as low
from roadstead._fallback.chains import ANY, Chain, is_match_all
from roadstead._fallback.cluster import Cluster
from roadstead._fallback.hosts import Address, Paged, Sharded, ip_of, masked, normal_host, port_of
from roadstead._fallback.overlay import Live
from roadstead._fallback.routes import VirtualHost
from roadstead._fallback.service import Service

Network: TypeAlias = tuple[int, int, int]
# A name is a host, a wildcard pattern, or the network of an address.
NameKey: TypeAlias = str | Network
ListenerKey: TypeAlias = tuple[str, int]
NodeKey: TypeAlias = tuple[str, int, Network | None, str]

SERVICE, HTTP, HTTP_OVER_TLS, CHAIN = 0, 1, 2, 3


class Claim(NamedTuple):
    """Somebody's claim on a name at a port. The lowest (tier, order, key, seq) of a kind and port has it."""

    kind: int
    port: int
    tier: int
    order: str
    key: str
    seq: int
    value: Service | VirtualHost | Chain

    @property
    def rank(self) -> tuple[int, str, str, int]:
        return self.tier, self.order, self.key, self.seq


class Name:
    """What one name means at each port; made from the claims on it."""

    __slots__ = ("chains", "claims", "http", "services", "tls")

    def __init__(self, claims: tuple[Claim, ...]) -> None:
        self.claims = tuple(sorted(claims, key=lambda claim: claim.rank))
        self.services: dict[int, Service] = {}
        self.http: dict[int, VirtualHost] = {}
        self.tls: dict[int, VirtualHost] = {}
        self.chains: dict[int, list[Chain]] = {}
        for claim in self.claims:
            value = claim.value
            if isinstance(value, Service):
                self.services.setdefault(claim.port, value)
            elif isinstance(value, Chain):
                self.chains.setdefault(claim.port, []).append(value)
            else:
                (self.tls if claim.kind == HTTP_OVER_TLS else self.http).setdefault(claim.port, value)


class Listener:
    """An address and port with chains: how many there are for each network (None: without one)."""

    __slots__ = ("networks",)

    def __init__(self, networks: dict[Network | None, int]) -> None:
        self.networks = networks


class Outbound(NamedTuple):
    """What unknown destinations get."""

    policy: int = low.ALLOW_ANY
    egress_cluster: str = ""
    paths: int = low.NORMALIZE


def _special(name: str, kind: int, clock: Callable[[], int], port: int = 0) -> Cluster:
    """A cluster of the outbound policy: no endpoints, no limits."""
    lowered = low.Cluster(None, name, kind, low.LbConfig(policy=low.CLUSTER_PROVIDED), low.Limits(), (), port)
    return Cluster._made(lowered, Live(0, clock))


class Snapshot:
    """The tables. wildcard kinds: `dotted` counts `*.x`, `suffixes` and `prefixes` count other forms by length."""

    __slots__ = (
        "blackhole", "cluster_rivals", "clusters", "clusters_at", "dotted", "dynamic", "heard", "listeners", "names",
        "networks", "nodes", "outbound", "passthrough", "prefixes", "services_at", "suffixes", "units", "version",
    )  # fmt: skip

    def __init__(self, clock: Callable[[], int]) -> None:
        self.version = 0
        self.outbound = Outbound()
        self.units: Sharded[str, object] = Sharded()
        self.names: Sharded[NameKey, Name] = Sharded()
        self.clusters: Sharded[str, Cluster] = Sharded()
        self.cluster_rivals: Sharded[str, tuple[tuple[str, str, Cluster], ...]] = Sharded()
        self.listeners: Sharded[ListenerKey, Listener] = Sharded()
        self.nodes: Sharded[NodeKey, tuple[Claim, ...]] = Sharded()
        self.services_at: Paged[Service] = Paged()
        self.clusters_at: Paged[Cluster] = Paged()
        self.dotted = 0
        self.suffixes: dict[int, int] = {}
        self.prefixes: dict[int, int] = {}
        self.networks: dict[tuple[int, int], int] = {}
        # Ports whose wildcard listener takes HTTP, counted by virtual host.
        self.heard: dict[int, int] = {}
        self.passthrough = _special("PassthroughCluster", low.ORIGINAL_DST, clock)
        self.blackhole = _special("BlackHoleCluster", low.EDS, clock)
        self.dynamic = _special("AllowAnyDynamicDNSCluster", low.DYNAMIC_DNS, clock, 80)

    # Names

    def normal(self, host: str) -> str:
        """Routers list every name they answer to; only for them a trailing dot makes another name."""
        return normal_host(host, keep_dot=self.outbound.policy == low.GATEWAY)

    def wildcards(self, host: str) -> list[tuple[str, Name]]:
        """Wildcard names that take a normalised host, best first: longest suffix, longest prefix, `*`."""
        found: list[tuple[str, Name]] = []
        get = self.names.get
        if self.suffixes:
            lengths = sorted({*self.suffixes, *_dot_lengths(host)}, reverse=True)
            keys = ["*" + host[-length:] for length in lengths if length < len(host)]
        elif self.dotted:
            keys = ["*" + host[-length:] for length in _dot_lengths(host)]
        else:
            keys = []
        if self.prefixes:
            keys += [host[:length] + "*" for length in sorted(self.prefixes, reverse=True) if length < len(host)]
        keys.append("*")
        for key in keys:
            name = get(key)
            if name is not None:
                found.append((key, name))
        return found

    def service(self, host: str, port: int) -> Service | None:
        """The owner of (host, port)."""
        name = self.names.get(host)
        if name is not None:
            service = name.services.get(port)
            if service is not None:
                return service
        return self._service_of(self.normal(host), port_of(port))

    def _service_of(self, host: str, port: int) -> Service | None:
        name = self.names.get(host)
        service = None if name is None else name.services.get(port)
        if service is not None:
            return service
        address = ip_of(host)
        if address is not None:
            return self.service_at(address, port)
        for _, wildcard in self.wildcards(host):
            service = wildcard.services.get(port)
            if service is not None:
                return service
        return None

    def service_at(self, address: Address, port: int) -> Service | None:
        """The owner of an IP: its VIP, else the longest CIDR that declares the port."""
        for key in self.networks_of(address):
            name = self.names.get(key)
            service = None if name is None else name.services.get(port)
            if service is not None:
                return service
        return None

    def networks_of(self, address: Address) -> list[Network]:
        """Networks that may be in the tables and hold the address, longest first."""
        version = address.version
        lengths = sorted([length for of, length in self.networks if of == version], reverse=True)
        return [(version, length, masked(address, length)) for length in lengths]

    def virtual_host(self, host: str, port: int, tls: bool) -> VirtualHost | None:
        """The virtual host of a port that takes a normalised host."""
        name = self.names.get(host)
        if name is not None:
            found = (name.tls if tls else name.http).get(port)
            if found is not None:
                return found
        for _, wildcard in self.wildcards(host):
            found = (wildcard.tls if tls else wildcard.http).get(port)
            if found is not None:
                return found
        return None

    def known_names(self, host: str) -> list[tuple[str, Name]]:
        """Names that a normalised host goes by, best first: itself (an IP: its networks), then wildcards."""
        name = self.names.get(host)
        found = [] if name is None else [(host, name)]
        address = ip_of(host)
        if address is None:
            return found + self.wildcards(host)
        for key in self.networks_of(address):
            name = self.names.get(key)
            if name is not None:
                found.append((host, name))
        return found

    def name_at(self, host: str, port: int) -> str:
        """The name under which a normalised host is known at a port, "" without one."""
        for text, name in self.known_names(host):
            if port in name.http or port in name.services or port in name.tls or port in name.chains:
                return text
        return ""

    def name_of(self, host: str) -> str:
        """The same, whatever the port."""
        known = self.known_names(host)
        return known[0][0] if known else ""

    def ports_of(self, host: str) -> list[int]:
        """Ports that the service of a normalised host declares, ascending."""
        for _, name in self.known_names(host):
            if name.services:
                return sorted(name.services)
        return []

    def chains_of(self, host: str, port: int) -> list[Chain]:
        """Filter chains of the service that a normalised host selects."""
        name = self.names.get(host)
        if name is not None and port in name.chains:
            return name.chains[port]
        for _, wildcard in self.wildcards(host):
            if port in wildcard.chains:
                return wildcard.chains[port]
        return []

    # Listeners

    def accept(self, address: Address | None, port: int, sni: str, transport: int) -> Chain | None:
        """The chain that takes a connection to an address: its own listener, else the wildcard one; inside, the most
        specific network, server name and transport without going back, then the listener's match-all chain."""
        at: ListenerKey = (str(address), port)
        listener = self.listeners.get(at) if address is not None else None
        if listener is None:
            at = ("", port)
            listener = self.listeners.get(at)
            if listener is None:
                return None
        network = self._network(listener, address)
        claims = self._by_sni(at, network, sni)
        for wanted in (transport, ANY) if claims else ():
            for claim in claims:
                if isinstance(claim.value, Chain) and claim.value.lowered.transport == wanted:
                    return claim.value
        return self._match_all(at)

    def hears(self, address: Address, port: int) -> tuple[bool, VirtualHost | None]:
        """Whether HTTP that was dialled to an address is routed as HTTP, and then the virtual host that takes all of it
        (None: the Host decides). Where the address fits a chain's network, that chain has all bytes."""
        own = self.names.get((address.version, address.max_prefixlen, int(address)))
        vhost = None if own is None else own.http.get(port)
        listener = self.listeners.get((str(address), port))
        if vhost is None:
            if listener is not None or port not in self.heard:
                return False, None
            listener = self.listeners.get(("", port))
        return listener is None or self._network(listener, address) is None, vhost

    def listens(self, address: Address, port: int) -> bool:
        """Whether chains listen on the address or on every address."""
        return self.listeners.get((str(address), port)) is not None or self.listeners.get(("", port)) is not None

    def _network(self, listener: Listener, address: Address | None) -> Network | None:
        if address is None:
            return None
        lengths = {network[1] for network in listener.networks if network is not None and network[0] == address.version}
        for length in sorted(lengths, reverse=True):
            network = (address.version, length, masked(address, length))
            if network in listener.networks:
                return network
        return None

    def _by_sni(self, at: ListenerKey, network: Network | None, sni: str) -> tuple[Claim, ...]:
        names = [sni, *["*" + sni[-length:] for length in _dot_lengths(sni)], "*"] if sni else []
        for name in (*names, ""):
            claims = self.nodes.get((*at, network, name))
            if claims:
                return claims
        return ()

    def _match_all(self, at: ListenerKey) -> Chain | None:
        for claim in self.nodes.get((*at, None, "")) or ():
            if isinstance(claim.value, Chain) and is_match_all(claim.value):
                return claim.value
        return None


def _dot_lengths(host: str) -> list[int]:
    """Lengths of the suffixes that begin with a dot and leave at least one character, longest first.

    No name is longer than 255, but a text may be: what is before that cannot begin a name."""
    lengths = []
    at = host.find(".", max(1, len(host) - 256))
    while at >= 0:
        lengths.append(len(host) - at)
        at = host.find(".", at + 1)
    return lengths
