"""The engine: the published snapshot, decisions over it, and what lives beside it."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self, final

from roadstead import _lowered as low
from roadstead._fallback.builder import Builder
from roadstead._fallback.chains import RAW, TLS, Chain, choose
from roadstead._fallback.checks import check
from roadstead._fallback.cluster import Cluster
from roadstead._fallback.columns import HostColumn, hosts_of, int32s, uint16s, uint64s
from roadstead._fallback.cors import PREFLIGHT
from roadstead._fallback.decision import AS_CONNECTION, Decision
from roadstead._fallback.hosts import Address, ip_of, normal_host, port_of
from roadstead._fallback.matching import as_bytes, bare, fold
from roadstead._fallback.normal_path import normal_path
from roadstead._fallback.outliers import Hits
from roadstead._fallback.overlay import Live, Slot
from roadstead._fallback.rewrite import Headers
from roadstead._fallback.rng import GOLDEN, SplitMix64, entropy
from roadstead._fallback.routes import VirtualHost
from roadstead._fallback.service import Service
from roadstead._fallback.snapshot import Snapshot
from roadstead._fallback.template import Template
from roadstead.errors import EngineError, Waiting

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HTTP_PORT, _HTTPS_PORT = 80, 443
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class _Draws(threading.local):
    """One generator for each thread."""

    stream: SplitMix64 | None = None


@final
class Engine:
    """One node's view: the published snapshot, its balancers and what lives in them."""

    __slots__ = (
        "__weakref__", "_clock", "_draw", "_draws", "_lock", "_random", "_seed", "_snapshot", "_threads", "_waiting",
    )  # fmt: skip

    _snapshot: Snapshot
    _seed: int | None
    _clock: Callable[[], int]
    _random: random.Random
    # The calling thread's next number of so many bits, always 64.
    _draw: Callable[[int], int]
    _draws: _Draws
    _threads: int
    # Names of clusters that ejected, until nothing there waits for a tick.
    _waiting: set[str]

    def __new__(cls, *, seed: int | None = None, clock: Callable[[], int] | None = None) -> Self:
        self = super().__new__(cls)
        self._seed = seed
        self._clock = clock or time.monotonic_ns
        self._random = random.Random()
        # Nobody can tell this generator from the contract's, and it is several times faster here.
        self._draw = self._random.getrandbits if seed is None else self._seeded
        self._draws = _Draws()
        self._threads = 0
        # The collector may end a lease anywhere, and that eject.
        self._lock = threading.RLock()
        self._waiting = set()
        self._snapshot = Snapshot(self._clock)
        _watch_forks()
        _engines.add(self)
        return self

    def _forked(self) -> None:
        """In a forked child: other draws than the parent's (a seed fixes them here too), and nothing active."""
        self._lock = threading.RLock()
        self._random.seed()
        snapshot = self._snapshot
        for cluster in (*snapshot.clusters.values(), snapshot.passthrough, snapshot.blackhole, snapshot.dynamic):
            cluster._live.forget_active()

    def _seeded(self, _bits: int) -> int:
        draws = self._draws
        if draws.stream is None:
            with self._lock:
                number, self._threads = self._threads, self._threads + 1
            draws.stream = SplitMix64((self._seed or 0) + number * GOLDEN)
        return draws.stream.next()

    # Changes

    @property
    def version(self) -> int:
        """Counts published changes, from 0."""
        return self._snapshot.version

    def builder(self) -> Builder:
        """A change that starts from what is published now."""
        return Builder._over(self._snapshot, self._new_live)

    def template(self, unit: low.Unit) -> Template:
        """A unit with places for names in its texts. EngineError where a name may not stand."""
        return Template._of(unit)

    def _new_live(self) -> Live:
        return Live(entropy() if self._seed is None else 0, self._clock, weakref.WeakMethod(self._detected))

    def publish(self, builder: Builder) -> None:
        """Make the builder's state visible: one assignment. EngineError for a builder that is not the newest."""
        with self._lock:
            before = self._snapshot
            if builder._closed or builder._base is not before:
                raise EngineError("the builder is older than what is published")
            for name, cluster in builder._made.items():
                known = before.clusters.get(name)
                if known is not cluster:
                    cluster._begin(known)
            self._snapshot = builder._finish()

    def trim(self) -> None:
        """Python gives back by itself what it can."""

    def update_endpoints(self, cluster: str, groups: Sequence[low.LocalityGroup]) -> None:
        """Replace a cluster's endpoints; visible when this returns. KeyError for an unknown cluster."""
        given = tuple(groups)
        check(given)
        with self._lock:
            known = self._known(cluster)
            known._update(given)
            known._live.want = None

    def hold(self, cluster: str, want: Callable[[], Waiting]) -> None:
        """Take a cluster's endpoints away; picks raise EndpointsPending until `update_endpoints`."""
        with self._lock:
            known = self._known(cluster)
            known._update(())
            known._live.want = want

    def set_health(self, cluster: str, address: str, port: int, health: int) -> None:
        """Active health of an endpoint; UNKNOWN takes the mark away. KeyError for an unknown cluster or endpoint."""
        if health not in (low.UNKNOWN, low.HEALTHY, low.UNHEALTHY, low.DRAINING, low.DEGRADED):
            raise EngineError(f"no health {health}")
        now = self._clock()
        with self._lock:
            if not self._known(cluster)._set_health(address, port, health, now):
                raise KeyError(f"{cluster} has no endpoint {address}:{port}")

    def sweep(self, now: int | None = None) -> int | None:
        """Do the ticks of outlier detection that are due; ns until the next that has something to do, None while
        nothing is ejected."""
        if not self._waiting:
            return None
        if now is None:
            now = self._clock()
        due = []
        with self._lock:
            for name in sorted(self._waiting):
                cluster = self._snapshot.clusters.get(name)
                tick = None if cluster is None else cluster._tick(now)
                if tick is None:
                    self._waiting.discard(name)
                else:
                    due.append(tick)
        return min(due) - now if due else None

    def _detected(self, name: str, slot: Slot, hits: Hits, now: int | None) -> None:
        """An endpoint failed as often in a row as outlier detection lets it. What is published now decides."""
        if now is None:
            now = self._clock()
        with self._lock:
            cluster = self._snapshot.clusters.get(name)
            if cluster is not None and cluster._eject(slot, hits, now, lambda: self._draw(64)):
                self._waiting.add(name)

    def _known(self, name: str) -> Cluster:
        found = self._snapshot.clusters.get(name)
        if found is None:
            raise KeyError(name)
        return found

    # Look-ups

    def find(self, host: str, port: int) -> Service | None:
        """The service that owns (host, port)."""
        return self._snapshot.service(host, port)

    def services(self) -> Sequence[Service | None]:
        """All services in order of their index; None where one was removed."""
        return self._snapshot.services_at.items()

    def clusters(self) -> Sequence[Cluster | None]:
        """All clusters in order of their index; None where one was removed."""
        return self._snapshot.clusters_at.items()

    def cluster(self, name: str) -> Cluster | None:
        return self._snapshot.clusters.get(name)

    def find_many(self, hosts: HostColumn, ports: Buffer, out: Buffer) -> None:
        """ports: uint16[n]; out: int32[n], index into `services()` or -1."""
        names = hosts_of(hosts)
        numbers, results = uint16s(ports, len(names)), int32s(out, len(names))
        service = self._snapshot.service
        for at, name in enumerate(names):
            found = service(name, numbers[at])
            results[at] = -1 if found is None else found._index

    def route_many(
        self,
        hosts: HostColumn,
        ports: Buffer,
        out: Buffer,
        *,
        paths: HostColumn | None = None,
        draws: Buffer | None = None,
    ) -> None:
        """GET without headers for each row. out: int32[n], index into `clusters()` or -1 where nothing is forwarded."""
        names = hosts_of(hosts)
        count = len(names)
        numbers, results = uint16s(ports, count), int32s(out, count)
        texts = None if paths is None else hosts_of(paths, count)
        given = None if draws is None else uint64s(draws, count)
        for at, name in enumerate(names):
            path = "/" if texts is None else texts[at]
            decision = self.route(name, numbers[at], path, draw=None if given is None else given[at])
            cluster = decision.cluster
            results[at] = cluster._index if cluster is not None and decision.kind == "forward" else -1

    # Decisions

    def route(
        self,
        host: str,
        port: int | None = None,
        path: str = "/",
        method: str = "GET",
        headers: Headers | None = None,
        *,
        scheme: str | None = None,
        source_ip: str | None = None,
        original_destination: tuple[str, int] | None = None,
        draw: int | None = None,
    ) -> Decision:
        """Where an HTTP request goes. Never raises for 404, 502, 503: see Decision.kind."""
        snapshot = self._snapshot
        made = Decision()
        made._snapshot = snapshot
        if path != "/":
            path = normal_path(path, snapshot.outbound.paths)
        made._request = (host, path, method, headers, source_ip, original_destination, "")
        made.draw = self._draw(64) if draw is None else _u64(draw)
        made._picks = 0
        made._lines = None
        if not path.isascii():
            as_bytes(path)
        if port is not None and scheme is None and original_destination is None and path.isascii():
            # The common case: an exact name at a plain port.
            name = snapshot.names.shards[hash(host) & 1023].get(host)
            if name is not None:
                vhost = name.http.get(port)
                if vhost is not None and vhost.plain:
                    made._port = port
                    made._scheme = "http"
                    made._notes = ()
                    return _through(made, vhost, path)
        return _route(made, host, port, path, scheme)

    def connect(
        self, host: str, port: int, *, sni: str | None = None, source_ip: str | None = None, draw: int | None = None
    ) -> Decision:
        """Where a connection goes."""
        made = Decision()
        made._snapshot = snapshot = self._snapshot
        made._request = (host, "", None, None, source_ip, None, sni or "")
        made.draw = self._draw(64) if draw is None else _u64(draw)
        made._picks = 0
        made._lines = None
        made._port = port_of(port)
        made._notes = ()
        normal = snapshot.normal(host)
        address = ip_of(normal)
        owner = snapshot._service_of(normal, port)
        over_tls = sni is not None or (owner is not None and owner._protocols.get(port) == low.PROTO_TLS)
        made._scheme = "https" if over_tls else ""
        name = fold(sni) if sni is not None else normal if over_tls and address is None else ""
        return _connected(made, normal, name, TLS if over_tls else RAW)

    def explain(self, decision: Decision) -> Sequence[tuple[int, int, str]]:
        """Each route of the virtual host up to the one taken: (index, 1 taken / 0 not, first condition that failed)."""
        vhost = decision._vhost
        steps: list[tuple[int, int, str]] = []
        path = bare(decision._given_path)
        for route in () if vhost is None else vhost.routes:
            if route is decision._rule:
                steps.append((route.index, 1, ""))
                break
            steps.append((route.index, 0, route.first_failure(path, decision)))
        return steps


def _u64(draw: int) -> int:
    if draw >> 64:
        raise OverflowError(f"a draw is from 0 to 2**64 - 1, not {draw}")
    return draw


def _route(made: Decision, host: str, port: int | None, path: str, scheme: str | None) -> Decision:
    """Every case: default ports, wildcards, schemes that do not fit the port."""
    snapshot = made._snapshot
    made._notes = ()
    original = made._request[5]
    if original is not None:
        dialled = ip_of(original[0])
        if dialled is not None:
            return _captured(made, dialled, host, original[1] if port is None else port, path, scheme)
    if port is None:
        port = _HTTPS_PORT if scheme == "https" else _HTTP_PORT
        made._notes = (f"port:default:{port}",)
    made._port = port_of(port)
    normal = snapshot.normal(host)
    exact = snapshot.names.get(host)
    vhost = None if exact is None else exact.http.get(port)
    if vhost is None:
        vhost = snapshot.virtual_host(normal, port, False)
    owner = vhost.service if vhost is not None else None
    if owner is None:
        owner = snapshot._service_of(normal, port)
    protocol = -1 if owner is None else owner._protocols.get(port, -1)
    made._scheme = scheme or ("https" if protocol == low.PROTO_TLS else "http")
    if made._scheme == "https":
        over_tls = snapshot.virtual_host(normal, port, True)
        if over_tls is not None:
            return _through(made, over_tls, path)
        if vhost is None and owner is None:
            return _unknown(made, normal, True)
        if protocol in (-1, low.PROTO_HTTP):
            made._notes += ("sniff:tls-on-http",)
        return _connected(made, normal, normal, TLS)
    if not _is_http(snapshot, path):
        made._notes += (AS_CONNECTION,)
        return _connected(made, normal, "", RAW)
    if vhost is not None:
        return _through(made, vhost, path)
    if owner is None:
        return _unknown(made, normal, False)
    if protocol == low.PROTO_TLS:
        made._notes += ("sniff:http-on-tls",)
    return _connected(made, normal, "", RAW)


def _is_http(snapshot: Snapshot, path: str) -> bool:
    """Whether a sidecar takes the request for HTTP: Envoy's inspector does not where its path is not ASCII, and what it
    does not take is bytes. A router takes whatever comes."""
    return path.isascii() or snapshot.outbound.policy == low.GATEWAY


def _captured(made: Decision, dialled: Address, host: str, port: int, path: str, scheme: str | None) -> Decision:
    """A request that was on its way to an address: its listener decides, and the Host only where that one asks it."""
    snapshot = made._snapshot
    made._port = port_of(port)
    made._scheme = scheme or "http"
    name, normal = normal_host(host, keep_dot=True), snapshot.normal(host)
    if made._scheme == "https":
        over_tls = snapshot.virtual_host(name, port, True)
        if over_tls is not None:
            return _through(made, over_tls, path)
        chain = snapshot.accept(dialled, port, normal, TLS)
        return _unknown(made, normal, True) if chain is None else _taken(made, chain)
    http, vhost = snapshot.hears(dialled, port)
    if http and _is_http(snapshot, path):
        if vhost is None:
            vhost = snapshot.virtual_host(name, port, False)
        return _unknown(made, normal, False) if vhost is None else _through(made, vhost, path)
    chain = snapshot.accept(dialled, port, "", RAW)
    if chain is not None:
        made._notes += (AS_CONNECTION,)
        return _taken(made, chain)
    if snapshot.outbound.policy == low.ALLOW_ANY_DYNAMIC_DNS and not snapshot.listens(dialled, port):
        return _unknown(made, normal, False)
    made._notes += (AS_CONNECTION,)
    return _unknown(made, normal, True)


def _through(made: Decision, vhost: VirtualHost, path: str) -> Decision:
    """HTTP rules of a virtual host."""
    made._vhost = vhost
    rule = vhost.everything
    if rule is None or not path.startswith("/"):
        rule = vhost.find(made, path)
    made._rule = rule
    made._at = -1
    made.cluster = None
    if rule is None:
        made.kind = "not_found"
        return made
    if rule.cors is not None and rule.cors.answers(made) and not made._is_aborted:
        made.kind = "direct_response"
        made._notes += (PREFLIGHT,)
        return made
    weighted = rule.weighted
    if weighted is None:
        made.kind = "redirect" if rule.lowered.action == low.REDIRECT else "direct_response"
        return made
    made._at = at = weighted.choose(made.draw) if weighted.total else 0
    name = weighted.names[at]
    made.cluster = cluster = made._snapshot.clusters.shards[hash(name) & 1023].get(name)
    made.kind = "no_cluster" if cluster is None else "forward"
    return made


def _connected(made: Decision, host: str, sni: str, transport: int) -> Decision:
    """Filter chains: a name selects its service, an IP the listener."""
    snapshot, port = made._snapshot, made._port
    address = ip_of(host)
    chain: Chain | None = None
    if address is not None:
        chain = snapshot.accept(address, port, sni, transport)
    else:
        owner = snapshot._service_of(host, port)
        own = snapshot.chains_of(host, port)
        target = _first_address(owner)
        if own:
            chain = choose(own, target, sni, transport)
        if chain is None and (owner is not None or own or sni):
            chain = snapshot.accept(target, port, sni, transport)
    return _unknown(made, host, True) if chain is None else _taken(made, chain)


def _taken(made: Decision, chain: Chain) -> Decision:
    """What a filter chain does with a connection."""
    snapshot = made._snapshot
    made._vhost = None
    made._rule = chain
    made._at = at = chain.weighted.choose(made.draw)
    made.cluster = snapshot.clusters.get(chain.weighted.names[at])
    made.kind = "no_cluster" if made.cluster is None else "forward"
    return made


def _first_address(service: Service | None) -> Address | None:
    """The address a client of the service would dial."""
    if service is None or not service.addresses:
        return None
    return ip_of(service.addresses[0].partition("/")[0])


def _unknown(made: Decision, host: str, opaque: bool) -> Decision:
    """The outbound policy. opaque: what comes is no HTTP, or not seen as such."""
    snapshot = made._snapshot
    policy, egress, _ = snapshot.outbound
    made._vhost = made._rule = made.cluster = None
    made._at = -1
    if policy != low.GATEWAY and not snapshot.name_at(host, made._port):
        ports = snapshot.ports_of(host)
        if ports:
            made._notes += ("port:undeclared:" + ",".join(map(str, ports)),)
    if policy == low.GATEWAY:
        made.kind = "not_found"
    elif policy == low.REGISTRY_ONLY:
        made.kind = "refused"
        made.cluster = snapshot.blackhole
    elif egress:
        made._notes += ("policy:allow_any",)
        made.cluster = snapshot.clusters.get(egress)
        made.kind = "no_cluster" if made.cluster is None else "forward"
    else:
        made.kind = "passthrough"
        by_name = policy == low.ALLOW_ANY_DYNAMIC_DNS and not opaque
        made.cluster = snapshot.dynamic if by_name else snapshot.passthrough
    return made


@functools.cache
def _watch_forks() -> None:
    """Once in a process, when its first engine is made."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_parent)


def _forget_parent() -> None:
    for engine in list(_engines):
        engine._forked()
