"""The reason of each step of a decision: the engine's own ids, followed back to the file and line that say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from roadstead.cli.near import hints
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
    "sniff:as-connection": "the listener of this address takes it as a connection: the rules for HTTP do not hold",
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
    """step: host, port, protocol, hint, rule, weight, cluster, policy, subset, locality. resource:
    "Kind/namespace/name/field/path". at: "file:line:column". Both "" where no configuration is the reason."""

    step: str
    what: str
    resource: str = ""
    at: str = ""


def steps(registry: Registry, decision: Decision, host: str) -> Iterator[Step]:
    """From the host that was asked for to the endpoint, in the order in which the engine went."""
    undeclared = [reason for reason in decision.reasons if reason.startswith("port:undeclared:")]
    for reason in decision.reasons:
        kind = reason.split(":", 1)[0]
        if kind == "host":
            # A port that is not declared has no service of its own; another port's says who names the host.
            port = int(undeclared[0].split(":")[2].split(",")[0]) if undeclared else None
            yield _host(registry, decision, reason, host, port)
            if reason == "host:unknown":
                yield from (_step(registry, "hint", what, origin) for what, origin in hints(registry, host))
        elif kind == "route":
            yield from _rules(registry, decision, reason)
        elif kind == "weight":
            yield _weight(decision, int(reason.split(":")[1]))
        else:
            yield Step(_STEPS.get(kind, kind), _words(reason))
    yield from _cluster(registry, decision)


def concerned(decision: Decision) -> Iterator[Origin]:
    """The resources that a decision rests on, each once."""
    service = decision.service
    cluster = None if decision.cluster is None else decision.cluster.spec
    route, host = decision.route, decision.virtual_host
    found: list[Origin | None] = [host.origin if isinstance(host, VirtualHost) else None]
    if service is not None and isinstance(service.spec, Service):
        found.append(service.spec.origin)
    if isinstance(route, Route | TcpRoute):
        found.append(route.origin)
        found.append(route.delegate_origin if isinstance(route, Route) else None)
    if isinstance(cluster, Cluster):
        found += [cluster.origin, cluster.subset_origin, *cluster.policy.origins]
    yield from {
        (one.kind, one.namespace, one.name): msgspec.structs.replace(one, path="") for one in found if one is not None
    }.values()


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
    return texts.get(word, reason) if kind in _STEPS else reason


def _host(registry: Registry, decision: Decision, reason: str, asked: str, declared: int | None) -> Step:
    service = decision.service
    if service is None and declared is not None:
        service = registry.find(asked, declared)
    if service is None:
        host = decision.virtual_host
        origin = host.origin if isinstance(host, VirtualHost) else None
        return _step(registry, "host", f"{asked}: {_words(reason)}", origin)
    spec = service.spec
    origin = spec.origin if isinstance(spec, Service) else None
    return _step(registry, "host", f"{service.host}: {_words(reason)}", origin)


def _rules(registry: Registry, decision: Decision, reason: str) -> Iterator[Step]:
    host = decision.virtual_host
    routes = host.routes if isinstance(host, VirtualHost) else ()
    for index, taken, why in registry.explain(decision):
        if taken or index >= len(routes):
            continue
        # Pseudo headers are Envoy's; people write method, authority and scheme.
        condition = why.replace("header :", "", 1) if why.startswith("header :") else why
        what = f"{_rule(routes[index], index)} not taken: {condition} does not match"
        yield _step(registry, "rule", what, routes[index].origin)
    route = decision.route
    if isinstance(route, Route):
        yield _step(registry, "rule", f"{_rule(route, decision.route_index)} taken", route.origin)
        if route.delegate_origin is not None:
            yield _step(registry, "rule", "from the delegate", route.delegate_origin)
    elif isinstance(route, TcpRoute):
        yield _step(registry, "rule", "connection route taken", route.origin)
    else:
        yield Step("rule", _words(reason))


def _rule(route: Route, index: int) -> str:
    """`http[1].match[0] (name)`: as it is counted in the document, where every match makes a route of its own."""
    if route.name == "default" and not route.origin.path:
        return "default route"
    place = _field(route.origin)
    named = f" ({route.name})" if route.name else ""
    return (place or f"route {index}") + named


def _field(origin: Origin) -> str:
    """ "/spec/http/1/match/0" → "http[1].match[0]"."""
    words = origin.path.removeprefix("/spec").split("/")[1:]
    return "".join(f"[{word}]" if word.isdecimal() else f".{word}" for word in words).removeprefix(".")


def _weight(decision: Decision, index: int) -> Step:
    route = decision.route
    if not isinstance(route, Route | TcpRoute) or index >= len(route.destinations):
        return Step("weight", f"destination {index}")
    total = sum(one.weight for one in route.destinations)
    what = f"{route.destinations[index].weight} of {total}: {route.destinations[index].cluster}"
    return Step("weight", f"{what} (by the draw, {decision.draw})")


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
