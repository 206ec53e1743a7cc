"""The reason of each step of a decision: the engine's own ids, followed back to the file and line that say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from roadstead.mesh import Cluster, Origin, Route, Service, TcpRoute, VirtualHost

if TYPE_CHECKING:
    from roadstead import Decision, Registry

_WORDS = {
    "host:exact": "the name itself",
    "host:unknown": "no ServiceEntry or VirtualService names it",
    "host:vip": "a virtual address",
    "route:none": "no rule matches",
    "policy:allow_any": "unknown destinations pass through (outboundTrafficPolicy ALLOW_ANY)",
    "policy:registry_only": "unknown destinations are refused (outboundTrafficPolicy REGISTRY_ONLY)",
    "cluster:missing": "the destination does not exist",
    "sniff:tls-on-http": "TLS on a port declared HTTP: the rules for HTTP do not see it",
    "sniff:http-on-tls": "plain HTTP on a port declared TLS: the rules for HTTP do not hold",
}
_STEPS = {
    "host": "host",
    "port": "port",
    "sniff": "protocol",
    "route": "rule",
    "weight": "weight",
    "policy": "policy",
    "cluster": "cluster",
}


class Step(msgspec.Struct, frozen=True):
    """step: host, port, protocol, rule, weight, cluster, policy, endpoint. resource: "Kind/namespace/name/field/path".
    at: "file:line:column", "" where it does not come from a file."""

    step: str
    what: str
    resource: str = ""
    at: str = ""


def steps(registry: Registry, decision: Decision) -> Iterator[Step]:
    """From the host to the endpoint, in the order in which the engine went."""
    for reason in decision.reasons:
        kind = reason.split(":", 1)[0]
        if kind == "host":
            yield _host(registry, decision, reason)
        elif kind == "route":
            yield from _rules(registry, decision, reason)
        else:
            yield Step(_STEPS.get(kind, kind), _words(reason))
    yield from _cluster(registry, decision)


def _step(registry: Registry, step: str, what: str, origin: Origin | None) -> Step:
    if origin is None:
        return Step(step, what)
    return Step(step, what, str(origin), registry.locate(origin))


def _words(reason: str) -> str:
    if reason in _WORDS:
        return _WORDS[reason]
    kind, _, detail = reason.partition(":")
    word, _, rest = detail.partition(":")
    texts = {
        "wildcard": f"covered by {rest}",
        "cidr": f"inside {rest}",
        "undeclared": f"the service declares no such port, only {rest.replace(',', ', ')}",
        "default": f"{rest}, by the scheme",
    }
    if kind == "weight":
        return f"destination {detail} of the rule, by weight"
    return texts.get(word, reason)


def _host(registry: Registry, decision: Decision, reason: str) -> Step:
    service = decision.service
    if service is None:
        host = decision.virtual_host
        origin = host.origin if isinstance(host, VirtualHost) else None
        return _step(registry, "host", _words(reason), origin)
    spec = service.spec
    origin = spec.origin if isinstance(spec, Service) else None
    return _step(registry, "host", f"{service.host}: {_words(reason)}", origin)


def _rules(registry: Registry, decision: Decision, reason: str) -> Iterator[Step]:
    host = decision.virtual_host
    routes = host.routes if isinstance(host, VirtualHost) else ()
    for index, taken, why in registry.explain(decision):
        if taken or index >= len(routes):
            continue
        yield _step(registry, "rule", f"rule {index} not taken: {why} does not match", routes[index].origin)
    route = decision.route
    if isinstance(route, Route):
        named = f" {route.name}" if route.name else ""
        yield _step(registry, "rule", f"rule {decision.route_index}{named} taken", route.origin)
        if route.delegate_origin is not None:
            yield _step(registry, "rule", "from the delegate", route.delegate_origin)
    elif isinstance(route, TcpRoute):
        yield _step(registry, "rule", "connection route taken", route.origin)
    else:
        yield Step("rule", _words(reason))


def _cluster(registry: Registry, decision: Decision) -> Iterator[Step]:
    cluster = decision.cluster
    if cluster is None or not isinstance(cluster.spec, Cluster):
        return
    spec = cluster.spec
    yield _step(registry, "cluster", f"{spec.name}, {spec.type}", spec.origin)
    for origin in spec.policy.origins:
        yield _step(registry, "policy", "traffic policy", origin)
    if spec.subset_origin is not None:
        labels = ", ".join(f"{name}={value}" for name, value in (spec.subset_labels or {}).items())
        yield _step(registry, "subset", f"{spec.subset}: {labels or 'all endpoints'}", spec.subset_origin)
    loads = cluster.priority_load()
    if len(loads) > 1 or any(one.locality for one in cluster.endpoints):
        yield Step("locality", _localities(cluster.endpoints, loads))


def _localities(endpoints: tuple[object, ...], loads: tuple[tuple[int, int], ...]) -> str:
    by_priority: dict[int, dict[str, None]] = {}
    for endpoint in endpoints:
        priority, locality = getattr(endpoint, "priority"), getattr(endpoint, "locality")  # noqa: B009 - either engine's class
        by_priority.setdefault(priority, {})[locality or "no locality"] = None
    parts = []
    for priority in sorted(by_priority):
        healthy, degraded = loads[priority] if priority < len(loads) else (0, 0)
        parts.append(f"priority {priority} ({healthy + degraded} %): {', '.join(by_priority[priority])}")
    return "; ".join(parts)
