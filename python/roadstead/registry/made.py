"""What the handles of published units stand for: mesh objects that nobody keeps; they are compiled again when read.

An object belongs to the snapshot it was decided under. As long as a unit is published, the configuration gives what it
was made from; when it is replaced, what it was is left with its maker, for those who still hold a decision.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import msgspec

from roadstead.compile.host import compile_gateways, compile_host
from roadstead.compile.scope import ClientScope
from roadstead.mesh import Cluster, HostMesh, Route, Service, TcpRoute, VirtualHost
from roadstead.registry.lower import distinct_services
from roadstead.registry.rejected import Table, served

# Hosts that stay compiled after they were read or changed.
RECENT = 256


class Source:
    """One node's configuration as it is published. It knows no engine: what an engine hands out holds it.

    scope: of the published configuration. gateways: makers of the units that are compiled together. rejected: tables
    that the engine was given without their routes. changing: whether the configuration is ahead of what is published;
    then only who changes it may be here."""

    __slots__ = ("_lock", "_recent", "changing", "gateways", "rejected", "scope")

    def __init__(self, scope: ClientScope, lock: Callable[[], AbstractContextManager[object]]) -> None:
        self._lock = lock
        self._recent: deque[HostMesh] = deque(maxlen=RECENT)
        self.scope = scope
        self.gateways: dict[str, UnitMaker] = {}
        self.rejected: frozenset[Table] = frozenset()
        self.changing = False

    def host(self, maker: UnitMaker) -> HostMesh:
        """What a unit means, compiled where nobody holds it. Waits for a change that is under way."""
        with self._lock():
            # A change may have left it with the maker while we waited.
            known = maker.known()
            if known is None:
                # Code that runs in the middle of a change (a signal, a finaliser) must not disturb what it has noted.
                scope = self.scope.with_env(self.scope.env) if self.changing else self.scope
                for one, made in self.compiled([maker], scope).items():
                    if one.known() is not None:
                        continue
                    joined = one.joined(made)
                    one.remember(joined)
                    self._recent.append(joined)
                    if one is maker:
                        known = joined
            if known is None:
                raise LookupError(maker.key)
            return known

    def compiled(self, makers: Iterable[UnitMaker], scope: ClientScope) -> dict[UnitMaker, HostMesh]:
        """What units mean in a scope; gateways bring the others of the node along."""
        found: dict[UnitMaker, HostMesh] = {}
        for maker in makers:
            if maker in found:
                continue
            if self.gateways.get(maker.key) is maker:
                for made in compile_gateways(scope):
                    known = self.gateways.get(made.key)
                    if known is not None:
                        found[known] = made
            else:
                host = compile_host(scope, maker.key)
                if host is not None:
                    found[maker] = host
        return found

    def rest(self) -> None:
        """Give up what is only kept at hand."""
        self._recent.clear()

    def keep(self, hosts: Iterable[HostMesh]) -> None:
        """Have hosts at hand for those who read them next."""
        self._recent.extend(hosts)


class UnitMaker:
    """Makes the objects of one published unit (`_lowered.Maker`). Equal to itself alone."""

    __slots__ = ("_before", "_made", "_source", "key")

    def __init__(self, source: Source, key: str, before: HostMesh | None = None) -> None:
        """before: what the unit was until now: parts of it that stay the same stay the same objects."""
        self._source = source
        self._made: weakref.ref[HostMesh] | HostMesh | None = None
        self._before = None if before is None else weakref.ref(before)
        self.key = key

    def host(self) -> HostMesh:
        """The whole host, as it was published."""
        return self.known() or self._source.host(self)

    def known(self) -> HostMesh | None:
        """The host where somebody still holds it, or where it was replaced since."""
        made = self._made
        return made() if isinstance(made, weakref.ref) else made

    def remember(self, made: HostMesh) -> None:
        """What was compiled, as long as somebody holds it."""
        self._made = weakref.ref(made)

    def leave(self, made: HostMesh) -> None:
        """The unit is replaced: nobody can compile it again."""
        self._made = made

    def joined(self, made: HostMesh) -> HostMesh:
        """A host just compiled, with the objects it was before where nothing changed and somebody holds them."""
        before = None if self._before is None else self._before()
        self._before = None
        return made if before is None else keeping(before, made)

    def _given(self) -> HostMesh:
        """The host as the engine has it."""
        source = self._source
        return self.host() if source.scope.env.extended else served(self.host(), source.rejected)

    # What the engine asks for

    def service(self, at: int) -> Service:
        return distinct_services(self.host().services)[at][0]

    def cluster(self, at: int) -> Cluster:
        return self._given().clusters[at]

    def virtual_host(self, at: int) -> VirtualHost:
        return self.host().virtual_hosts[at]

    def route(self, at: int) -> Route:
        for virtual_host in self._given().virtual_hosts:
            if at < len(virtual_host.routes):
                return virtual_host.routes[at]
            at -= len(virtual_host.routes)
        raise IndexError(at)

    def chain(self, at: int) -> TcpRoute:
        return self.host().chains[at].route


def keeping(before: HostMesh, host: HostMesh) -> HostMesh:
    """The new host with the old objects where nothing changed."""
    known = {cluster.name: cluster for cluster in before.clusters}
    return msgspec.structs.replace(
        host,
        services=before.services if before.services == host.services else host.services,
        clusters=tuple(
            [
                old if (old := known.get(cluster.name)) == cluster and old is not None else cluster
                for cluster in host.clusters
            ]
        ),
        virtual_hosts=before.virtual_hosts if before.virtual_hosts == host.virtual_hosts else host.virtual_hosts,
        chains=before.chains if before.chains == host.chains else host.chains,
    )


__all__ = ["RECENT", "Source", "UnitMaker", "keeping"]
