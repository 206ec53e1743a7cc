"""VirtualServices made ready for any client: names in full, delegates merged in.

What is made here does not depend on the client and is made once for each VirtualService; which rules hold for a
client is settled in `matches` and `routes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from roadstead.compile.delegates import merge
from roadstead.config import (
    Destination,
    HTTPMatchRequest,
    HTTPMirrorPolicy,
    HTTPRoute,
    HTTPRouteDestination,
    L4MatchAttributes,
    Resource,
    RouteDestination,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
)
from roadstead.host import expand, gateway_key
from roadstead.mesh import Origin

MESH = "mesh"
DOMAIN = "cluster.local"

Lookup: TypeAlias = Callable[[str, str], Resource[VirtualService] | None]
"""(namespace, name) -> the delegate of that name, None where there is none."""

_Route = TypeVar("_Route", HTTPRoute, TLSRoute, TCPRoute)
_Target = TypeVar("_Target", HTTPRouteDestination, RouteDestination, HTTPMirrorPolicy)
_Match = TypeVar("_Match", HTTPMatchRequest, TLSMatchAttributes, L4MatchAttributes)


class HttpRule(msgspec.Struct, frozen=True, gc=False):
    """One entry of `http`, with its delegate merged in and every name in full.

    index: its position in the root. delegate: (namespace, name, position) of the delegate's route, None without one.
    pairs: for each match of `route` the positions it was made from, (root match, delegate match), -1 where that side
    gave none; empty where the matches are the root's own."""

    route: HTTPRoute
    index: int
    delegate: tuple[str, str, int] | None = None
    pairs: tuple[tuple[int, int], ...] = ()


class PreparedVirtualService(msgspec.Struct, frozen=True, gc=False):
    """A root VirtualService.

    hosts: full names, lower case. gateways: "mesh" or "namespace/name". http: routes whose delegate is missing are
    left out. delegates: (namespace, name) of every delegate it asks for, found or not: when one of them changes, this
    is made again. written: full names in the case they were written in, which is what Gateways compare. order: sorts as
    the client sees them."""

    namespace: str
    name: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    http: tuple[HttpRule, ...]
    tls: tuple[TLSRoute, ...]
    tcp: tuple[TCPRoute, ...]
    delegates: tuple[tuple[str, str], ...] = ()
    written: tuple[str, ...] = ()
    order: str = ""

    def origin(self, path: str = "") -> Origin:
        """A field of the root, as provenance."""
        return Origin("VirtualService", self.namespace, self.name, path)


def prepare(
    resource: Resource[VirtualService],
    delegates: Lookup,
    *,
    default_export_to: Sequence[str] = ("*",),
    domain: str = DOMAIN,
    order: str = "",
) -> PreparedVirtualService | None:
    """Make a VirtualService ready; None for a delegate (no hosts), which is never used by itself.

    default_export_to: meshConfig.defaultVirtualServiceExportTo, for delegates that do not say. domain: of short
    names."""
    spec, namespace = resource.spec, resource.namespace
    if not spec.hosts:
        return None
    return PreparedVirtualService(
        namespace,
        resource.name,
        hosts_of(resource, domain),
        gateways_of(resource),
        tuple(_http_rules(resource, delegates, default_export_to, domain)),
        tuple([_full(route, namespace, domain) for route in spec.tls]),
        tuple([_full(route, namespace, domain) for route in spec.tcp]),
        delegates_of(resource),
        spelt_hosts_of(resource, domain),
        order,
    )


def hosts_of(resource: Resource[VirtualService], domain: str = DOMAIN) -> tuple[str, ...]:
    """The hosts of a root, in full and lower case."""
    namespace = resource.namespace
    return tuple(dict.fromkeys([expand(host, namespace, domain).lower() for host in resource.spec.hosts]))


def spelt_hosts_of(resource: Resource[VirtualService], domain: str = DOMAIN) -> tuple[str, ...]:
    """The hosts of a root, in full, in the case in which they are written: what Sidecars and Gateways compare."""
    return tuple(dict.fromkeys([expand(host, resource.namespace, domain) for host in resource.spec.hosts]))


def gateways_of(resource: Resource[VirtualService]) -> tuple[str, ...]:
    """What a root is bound to: "mesh", or gateways as "namespace/name"."""
    return tuple([gateway_key(name, resource.namespace) for name in resource.spec.gateways]) or (MESH,)


def delegates_of(resource: Resource[VirtualService]) -> tuple[tuple[str, str], ...]:
    """(namespace, name) of every delegate a root asks for."""
    found = [route.delegate for route in resource.spec.http if route.delegate is not None]
    return tuple(dict.fromkeys([(delegate.namespace or resource.namespace, delegate.name) for delegate in found]))


def _http_rules(
    resource: Resource[VirtualService], lookup: Lookup, default_export_to: Sequence[str], domain: str
) -> Iterator[HttpRule]:
    namespace = resource.namespace
    for index, written in enumerate(resource.spec.http):
        root = _full(written, namespace, domain)
        if root.delegate is None:
            yield HttpRule(root, index)
            continue
        owner, name = root.delegate.namespace or namespace, root.delegate.name
        delegate = lookup(owner, name)
        if delegate is None or delegate.spec.hosts or not _exported(delegate, namespace, default_export_to):
            continue
        for position, route in enumerate(delegate.spec.http):
            # One level only.
            merged = None if route.delegate is not None else merge(root, _full(route, owner, domain))
            if merged is not None:
                yield HttpRule(merged[0], index, (owner, name, position), merged[1])


def _exported(delegate: Resource[VirtualService], namespace: str, default_export_to: Sequence[str]) -> bool:
    targets = delegate.spec.export_to or default_export_to
    return "*" in targets or namespace in targets or ("." in targets and delegate.namespace == namespace)


def _full(route: _Route, namespace: str, domain: str) -> _Route:
    """The route with names in full; the very same object where nothing is short."""
    changes: dict[str, object] = {}
    for target in route.route:
        if target.destination is not None and "." not in target.destination.host:
            changes["route"] = tuple([_full_target(each, namespace, domain) for each in route.route])
            break
    for match in route.match:
        if match.gateways:
            changes["match"] = tuple([_full_match(each, namespace) for each in route.match])
            break
    if isinstance(route, HTTPRoute):
        if route.mirror is not None:
            changes["mirror"] = _full_destination(route.mirror, namespace, domain)
        if route.mirrors:
            changes["mirrors"] = tuple([_full_target(mirror, namespace, domain) for mirror in route.mirrors])
    return msgspec.structs.replace(route, **changes) if changes else route


def _full_target(target: _Target, namespace: str, domain: str) -> _Target:
    if target.destination is None:
        return target
    full = _full_destination(target.destination, namespace, domain)
    return target if full is target.destination else msgspec.structs.replace(target, destination=full)


def _full_destination(destination: Destination, namespace: str, domain: str) -> Destination:
    host = expand(destination.host, namespace, domain)
    return destination if host is destination.host else msgspec.structs.replace(destination, host=host)


def _full_match(match: _Match, namespace: str) -> _Match:
    if not match.gateways:
        return match
    return msgspec.structs.replace(match, gateways=tuple([gateway_key(name, namespace) for name in match.gateways]))
