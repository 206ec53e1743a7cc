"""HTTP routes of one VirtualService for one client, and the default route of a service
(Istio: route.BuildHTTPRoutesForVirtualService, TranslateRoute)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from roadstead.compile import actions, headers, matches
from roadstead.compile.callers import forwards_host
from roadstead.compile.hashing import HashKeys
from roadstead.compile.inputs import HostView, Scope
from roadstead.compile.retries import default_retry, retry_of
from roadstead.compile.virtual_services import MESH, HttpRule, PreparedVirtualService
from roadstead.config import Destination as Target
from roadstead.config import HTTPRoute, HTTPRouteDestination
from roadstead.config.duration import seconds
from roadstead.mesh import (
    Destination,
    HashKey,
    HeaderOps,
    Mirror,
    Origin,
    Retry,
    Route,
    RouteMatch,
    Service,
    cluster_name,
)
from roadstead.mesh.route import NO_OPS, Share

UNKNOWN_CLUSTER = "UnknownService"

_Place: TypeAlias = tuple[str, RouteMatch, str, Origin, Origin | None]
"""What differs between the routes of one rule: name, match, stat_prefix, origin, delegate_origin."""


def http_routes(
    scope: Scope,
    rules: PreparedVirtualService,
    port: int,
    gateway: str = MESH,
    *,
    hashes: HashKeys | None = None,
    tls: bool = False,
    table: str = "",
) -> tuple[Route, ...]:
    """The routes that may hold for this client at a port, in order, up to the first that takes everything. None left:
    for this client and port the VirtualService does not exist.

    port: of the listener, on routers the number in the Gateway's server. gateway: "mesh" or "namespace/name" of the
    Gateway whose server is compiled. tls: the listener speaks TLS. table: name of a route table that is for every port;
    its port is 0."""
    made: list[Route] = []
    compiler = _Compiler(scope, rules, port, gateway, hashes or HashKeys(scope), tls, table)
    for rule in rules.http:
        for route in compiler.routes(rule):
            made.append(route)
            if matches.is_catch_all(route.match):
                return tuple(made)
    return tuple(made)


def accepted(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Those that Envoy takes; the same tuple where it takes all."""
    return tuple([route for route in routes if not route.refused]) if any(route.refused for route in routes) else routes


def default_route(
    scope: Scope, view: HostView, port: int, hashes: HashKeys | None = None, *, folded: bool = True
) -> Route:
    """Everything to the service itself, with the retries that hold without a rule.

    folded: as in Istio the name is lower case while the cluster's is not: a host written with capitals is not
    reached."""
    name = view.host.lower() if folded else view.host
    return Route(
        name="default",
        match=matches.EVERYTHING,
        destinations=(Destination(cluster_name(port, "", name)),),
        retry=default_retry(scope.env),
        hash_policies=(hashes or HashKeys(scope)).of_view(view, port) if name == view.host else (),
        origin=view.merged.origin,
    )


class _Compiler:
    """One VirtualService at one port."""

    __slots__ = ("_env", "_gateway", "_hashes", "_port", "_router", "_rules", "_scope", "_table", "_tls")

    def __init__(
        self,
        scope: Scope,
        rules: PreparedVirtualService,
        port: int,
        gateway: str,
        hashes: HashKeys,
        tls: bool,
        table: str,
    ) -> None:
        self._scope = scope
        self._env = scope.env
        self._rules = rules
        self._port = port
        self._gateway = gateway
        self._router = scope.env.node.type == "router"
        self._hashes = hashes
        self._tls = tls
        self._table = table

    def routes(self, rule: HttpRule) -> Iterator[Route]:
        """One route for each match that may hold, lazily: after one that takes everything nothing more is asked for."""
        if not rule.route.match:
            only = self._route(rule, self._place(rule, -1))
            if only is not None:
                yield only
            return
        first: Route | None = None
        for at, match in enumerate(rule.route.match):
            if not matches.applies(match, self._env, self._port, self._gateway):
                continue
            place = self._place(rule, at)
            if first is None:
                first = self._route(rule, place)
                if first is None:
                    return
                yield first
            else:
                name, conditions, stat_prefix, origin, delegate_origin = place
                yield msgspec.structs.replace(
                    first,
                    name=name,
                    match=conditions,
                    stat_prefix=stat_prefix,
                    origin=origin,
                    delegate_origin=delegate_origin,
                )

    def _place(self, rule: HttpRule, at: int) -> _Place:
        """What is a match's own; `at` -1: the rule has none."""
        written, where = rule.route, f"/spec/http/{rule.index}"
        outer, inner = rule.pairs[at] if rule.pairs and at >= 0 else (at, -1)
        delegate = None
        if rule.delegate is not None:
            namespace, owner, index = rule.delegate
            path = f"/spec/http/{index}" if inner < 0 else f"/spec/http/{index}/match/{inner}"
            delegate = Origin("VirtualService", namespace, owner, path)
        origin = self._rules.origin(where if outer < 0 else f"{where}/match/{outer}")
        if at < 0:
            return written.name, matches.EVERYTHING, "", origin, delegate
        match = written.match[at]
        name = f"{written.name}.{match.name}" if match.name else written.name
        return name, matches.route_match(match), match.stat_prefix, origin, delegate

    def _route(self, rule: HttpRule, place: _Place) -> Route | None:
        """The rule with its first match; None where nothing has a weight."""
        written = rule.route
        redirect = response = None
        if written.redirect is not None:
            redirect = actions.redirect(written.redirect, self._port, self._tls)
            refused = redirect is None
        elif written.direct_response is not None:
            response = actions.direct_response(written.direct_response)
            refused = not 200 <= response.status < 600
        else:
            return self._forward(rule, place)
        ops = headers.header_ops(written.headers)
        name, match, stat_prefix, origin, delegate_origin = place
        return Route(
            name=name,
            match=match,
            redirect=redirect,
            direct_response=response,
            headers=ops,
            cors=actions.cors(written.cors_policy),
            stat_prefix=stat_prefix,
            origin=origin,
            delegate_origin=delegate_origin,
            refused=refused or self._is_rejected(ops),
        )

    def _forward(self, rule: HttpRule, place: _Place) -> Route | None:
        written = rule.route
        ops, after, host_rewrite = NO_OPS, NO_OPS, ""
        if written.headers is not None:
            ops, host_rewrite = headers.header_ops(written.headers), headers.authority(written.headers)
        rewrite = written.rewrite
        if rewrite is not None and rewrite.authority:
            host_rewrite = rewrite.authority
        targets = written.route
        if len(targets) == 1:
            only = targets[0]
            destinations: tuple[Destination, ...] = (Destination(self._cluster(only.destination)),)
            if only.headers is not None:
                after = headers.header_ops(only.headers)
                host_rewrite = host_rewrite or headers.authority(only.headers)
        else:
            destinations = tuple([self._weighted(target) for target in targets if target.weight > 0])
            if not destinations:
                return None
        hash_policies, hashed = self._hash_policies(targets)
        regex = None if rewrite is None else rewrite.uri_regex_rewrite
        fault = written.fault
        name, match, stat_prefix, origin, delegate_origin = place
        return Route(
            name=name,
            match=match,
            destinations=destinations,
            headers=ops,
            headers_after=after,
            timeout=(seconds(written.timeout) or None) if written.timeout is not None else None,
            retry=self._retry(written, hashed),
            prefix_rewrite=None if rewrite is None or regex is not None else rewrite.uri or None,
            regex_rewrite=None if regex is None else (regex.match, regex.rewrite),
            host_rewrite=host_rewrite,
            mirrors=self._mirrors(written) if written.mirror is not None or written.mirrors else (),
            delay=None if fault is None else actions.delay(fault.delay),
            abort=None if fault is None else actions.abort(fault.abort),
            cors=None if written.cors_policy is None else actions.cors(written.cors_policy),
            hash_policies=hash_policies,
            stat_prefix=stat_prefix,
            origin=origin,
            delegate_origin=delegate_origin,
            has_fault=fault is not None,
            refused=self._is_rejected(ops, after, *[one.headers for one in destinations]),
            forwards_host=rewrite is not None and forwards_host(self._env.proxy_headers),
            retry_origin=None if written.retries is None else self._rules.origin(f"/spec/http/{rule.index}/retries"),
        )

    def _is_rejected(self, *ops: HeaderOps) -> bool:
        """In the extended dialect a command that is none stands for nothing, and the route for itself."""
        return not self._env.extended and any(headers.is_rejected(one) for one in ops)

    def _weighted(self, target: HTTPRouteDestination) -> Destination:
        written = target.headers
        cluster = self._cluster(target.destination)
        if written is None:
            return Destination(cluster, target.weight)
        return Destination(cluster, target.weight, headers.header_ops(written), headers.authority(written))

    def _cluster(self, target: Target | None) -> str:
        if target is None or not target.host:
            return UNKNOWN_CLUSTER
        return cluster_name(self._target_port(target), target.subset, target.host)

    def _target_port(self, target: Target) -> int:
        """The port named; else on routers the service's only one, where the rule's own namespace is asked first; else
        the listener's.

        On a sidecar Istio looks the service up in a table where each has the listener's port only, unless that table is
        for every port."""
        if target.port is not None and target.port.number:
            return target.port.number
        if self._table:
            view = self._scope.view(target.host)
            known = view is not None and self._scope.in_table(view, self._table)
            return (_only(view.services[-1]) if view is not None and known else 0) or self._port
        if not self._router:
            return self._port
        own = self._scope.service_of(target.host, self._rules.namespace)
        number = only_port(self._scope.view(target.host)) if own is None else _only(own)
        return number or self._port

    def _hash_policies(self, targets: tuple[HTTPRouteDestination, ...]) -> tuple[tuple[HashKey, ...], bool]:
        """Keys of all destinations that are used, and whether a hash, be it without a key, chooses the only one."""
        found: tuple[HashKey, ...] = ()
        hashed = False
        for weighted in targets:
            target = weighted.destination
            if target is None or (len(targets) > 1 and not weighted.weight):
                continue
            if self._hashes.hashed(target.host) is not None:
                explicit = target.port is not None and bool(target.port.number)
                keys = self._hashes.of(target.host, self._target_port(target), target.subset, explicit)
                if keys is not None:
                    found += keys
                    hashed = len(targets) == 1
        return found, hashed

    def _retry(self, written: HTTPRoute, hashed: bool) -> Retry | None:
        return default_retry(self._env, hashed) if written.retries is None else retry_of(written.retries, hashed)

    def _mirrors(self, written: HTTPRoute) -> tuple[Mirror, ...]:
        wanted: list[tuple[Target, int, Share]] = []
        if written.mirror is not None:
            fine = written.mirror_percentage is not None
            wanted.append((written.mirror, actions.mirror_share(written), "MILLION" if fine else "HUNDRED"))
        for mirror in written.mirrors:
            if mirror.destination is not None:
                form: Share = "HUNDRED" if mirror.percentage is None else "MILLION"
                wanted.append((mirror.destination, actions.policy_share(mirror), form))
        return tuple([Mirror(self._cluster(target), share, form) for target, share, form in wanted if share > 0])


def only_port(view: HostView | None) -> int:
    """Number of the service's only port; 0 where it has several, or there is no service."""
    return 0 if view is None else _only(view.merged)


def _only(service: Service) -> int:
    return service.ports[0].number if len(service.ports) == 1 else 0
