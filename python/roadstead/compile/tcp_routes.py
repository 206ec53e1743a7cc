"""Where connections go: destinations of TLS and TCP routes, and what their DestinationRule says about the connection
(Istio: core/networkfilter.go)."""

from __future__ import annotations

from collections.abc import Sequence

from roadstead.compile.inputs import HostView, RuleView, Scope
from roadstead.compile.routes import UNKNOWN_CLUSTER, only_port
from roadstead.config import Destination as Target
from roadstead.config import LoadBalancerSettings, RouteDestination, Subset, TunnelSettings
from roadstead.config.duration import seconds
from roadstead.mesh import Destination, HashKey, Origin, TcpPolicy, TcpRoute, Tunnel, cluster_name

_SOURCE_IP = (HashKey("source_ip"),)


def tcp_route(scope: Scope, targets: Sequence[RouteDestination], port: int, origin: Origin) -> TcpRoute | None:
    """The route of a rule. port: of the listener, for destinations that name none and have several.

    None where nothing has a weight: Istio refuses such a rule at admission."""
    if len(targets) == 1:
        only = targets[0].destination
        destinations: tuple[Destination, ...] = (Destination(_cluster(scope, only, port)),)
        subset = "" if only is None else only.subset
    else:
        destinations = tuple(
            [Destination(_cluster(scope, item.destination, port), item.weight) for item in targets if item.weight > 0]
        )
        subset = ""
        if not destinations:
            return None
    first = targets[0].destination
    view = None if first is None else scope.view(first.host)
    rule = None if view is None else scope.rule(view)
    return _tuned(destinations, rule, subset, origin, scope.env.idle_timeout)


def default_tcp_route(scope: Scope, view: HostView, port: int, subset: str = "") -> TcpRoute:
    """To the service itself, or one of its subsets."""
    destination = Destination(cluster_name(port, subset, view.host))
    return _tuned((destination,), scope.rule(view), subset, view.merged.origin, scope.env.idle_timeout)


def _cluster(scope: Scope, target: Target | None, port: int) -> str:
    if target is None or not target.host:
        return UNKNOWN_CLUSTER
    named = target.port.number if target.port is not None else 0
    return cluster_name(named or only_port(scope.view(target.host)) or port, target.subset, target.host)


def _tuned(
    destinations: tuple[Destination, ...], rule: RuleView | None, subset: str, origin: Origin, idle: float | None
) -> TcpRoute:
    """With the timeouts, hash and tunnel of the first destination's rule; settings for one port do not count here.
    idle: the timeout without a rule's."""
    if rule is None:
        return TcpRoute(destinations=destinations, origin=origin, policy=TcpPolicy(idle))
    top = rule.rules[rule.policy_from].spec.traffic_policy if rule.policy_from >= 0 else None
    pool = None if top is None or top.connection_pool is None else top.connection_pool.tcp
    balancer = None if top is None else top.load_balancer
    tunnel = None if top is None else top.tunnel
    named = _subset(rule, subset) if subset else None
    if named is not None:
        # A subset inherits the hash, but not the tunnel.
        own = named.traffic_policy
        balancer = own.load_balancer if own is not None and own.load_balancer is not None else balancer
        tunnel = None if own is None else own.tunnel
    return TcpRoute(
        destinations=destinations,
        origin=origin,
        policy=TcpPolicy(
            idle if pool is None or pool.idle_timeout is None else seconds(pool.idle_timeout),
            None if pool is None or pool.max_connection_duration is None else seconds(pool.max_connection_duration),
            _tunnel(tunnel),
        ),
        hash_policies=_SOURCE_IP if _by_source(balancer) else (),
    )


def _subset(rule: RuleView, name: str) -> Subset | None:
    for owner, position in rule.subsets:
        subset = rule.rules[owner].spec.subsets[position]
        if subset.name == name:
            return subset
    return None


def _by_source(balancer: LoadBalancerSettings | None) -> bool:
    return (
        balancer is not None and balancer.consistent_hash is not None and bool(balancer.consistent_hash.use_source_ip)
    )


def _tunnel(written: TunnelSettings | None) -> Tunnel | None:
    if written is None:
        return None
    return Tunnel("POST" if written.protocol == "POST" else "CONNECT", written.target_host, written.target_port)
