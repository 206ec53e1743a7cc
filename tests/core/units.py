"""Short ways to write what the engine is told: units of one host, and engines that have them published."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from roadstead import _lowered as low

if TYPE_CHECKING:
    from roadstead._core import Builder, Decision, Engine

UNLIMITED = low.Limits()
Given = low.Endpoint | low.LocalityGroup | str


def exact(text: str, *, ignore_case: bool = False) -> low.ValueMatch:
    return low.ValueMatch(low.EXACT, text, ignore_case)


def prefix(text: str, *, ignore_case: bool = False) -> low.ValueMatch:
    return low.ValueMatch(low.PREFIX, text, ignore_case)


def regex(text: str) -> low.ValueMatch:
    return low.ValueMatch(low.REGEX, text)


def suffix(text: str) -> low.ValueMatch:
    return low.ValueMatch(low.SUFFIX, text)


PRESENT = low.ValueMatch(low.PRESENT, "")


def header(
    name: str, match: low.ValueMatch, *, invert: bool = False, missing_as_empty: bool = False
) -> low.HeaderMatch:
    return low.HeaderMatch(name, match, invert, missing_as_empty)


def endpoint(text: str, *, weight: int = 1, health: int = low.UNKNOWN, hash_key: str = "") -> low.Endpoint:
    """From "10.0.0.1:80" or "name:80"."""
    address, _, port = text.rpartition(":")
    kind = low.IP if address[0].isdigit() else low.HOSTNAME
    return low.Endpoint(address, int(port), kind, weight, health, hash_key=hash_key)


def group(
    *endpoints: low.Endpoint | str, locality: str = "", priority: int = 0, weight: int | None = None
) -> low.LocalityGroup:
    made = [endpoint(one) if isinstance(one, str) else one for one in endpoints]
    return low.LocalityGroup(locality, priority, weight, tuple(made))


def groups(given: Iterable[Given]) -> tuple[low.LocalityGroup, ...]:
    """Groups as they are; endpoints (or their texts) together become one group."""
    loose: list[low.Endpoint] = []
    made: list[low.LocalityGroup] = []
    for one in given:
        if isinstance(one, low.LocalityGroup):
            made.append(one)
        else:
            loose.append(endpoint(one) if isinstance(one, str) else one)
    return (*made, low.LocalityGroup("", 0, None, tuple(loose))) if loose else tuple(made)


def cluster(
    name: str,
    *given: Given,
    lb: low.LbConfig | None = None,
    limits: low.Limits = UNLIMITED,
    kind: int = low.EDS,
    handle: object = None,
    port_override: int = 0,
    outliers: low.OutlierDetection | None = None,
) -> low.Cluster:
    """A cluster that balances round robin unless told otherwise."""
    policy = low.LbConfig(policy=low.ROUND_ROBIN) if lb is None else lb
    return low.Cluster(handle, name, kind, policy, limits, groups(given), port_override, outlier_detection=outliers)


def to(*clusters: str | tuple[str, int] | low.Destination) -> tuple[low.Destination, ...]:
    """Destinations from names, (name, weight), or as they are."""
    made = []
    for one in clusters:
        if isinstance(one, low.Destination):
            made.append(one)
        else:
            name, weight = (one, 0) if isinstance(one, str) else one
            made.append(low.Destination(name, weight))
    return tuple(made)


def forward(
    *clusters: str | tuple[str, int] | low.Destination,
    path: low.ValueMatch | None = None,
    headers: tuple[low.HeaderMatch, ...] = (),
    queries: tuple[low.QueryMatch, ...] = (),
    handle: object = None,
) -> low.Route:
    return low.Route(handle, low.Match(path, headers, queries), low.FORWARD, to(*clusters))


def redirect(
    action: low.Redirect,
    *,
    path: low.ValueMatch | None = None,
    handle: object = None,
    headers: tuple[low.HeaderMatch, ...] = (),
) -> low.Route:
    return low.Route(handle, low.Match(path, headers), low.REDIRECT, redirect=action)


def service(
    host: str, *ports: int | tuple[int, int], addresses: tuple[str, ...] = (), handle: object = None
) -> low.Service:
    """ports: numbers (HTTP), or (number, protocol class)."""
    made = []
    for one in ports:
        number, protocol = (one, low.PROTO_HTTP) if isinstance(one, int) else one
        made.append(low.Port(number, f"p{number}", protocol))
    return low.Service(handle, host, "ns", addresses, tuple(made))


def chain(
    host: str,
    port: int,
    *clusters: str | tuple[str, int] | low.Destination,
    addresses: tuple[str, ...] = (),
    cidrs: tuple[str, ...] = (),
    snis: tuple[str, ...] = (),
    transport: int = 0,
    handle: object = None,
    hash_policies: tuple[low.HashPolicy, ...] = (),
) -> low.Chain:
    return low.Chain(handle, host, port, addresses, cidrs, snis, transport, to(*clusters), hash_policies)


def virtual_host(
    *routes: low.Route,
    domains: tuple[str | tuple[str, int], ...],
    port: int = 80,
    tls: bool = False,
    handle: object = None,
) -> low.VirtualHost:
    tiers = tuple([(one, 0) if isinstance(one, str) else one for one in domains])
    return low.VirtualHost(handle, port, tiers, routes, tls)


def unit(
    key: str,
    *parts: low.Service | low.Cluster | low.VirtualHost | low.Chain,
    order: str | None = None,
) -> low.Unit:
    """A unit of these parts, whatever their kinds."""
    return low.Unit(
        key,
        key if order is None else order,
        tuple([part for part in parts if isinstance(part, low.Service)]),
        tuple([part for part in parts if isinstance(part, low.Cluster)]),
        tuple([part for part in parts if isinstance(part, low.VirtualHost)]),
        tuple([part for part in parts if isinstance(part, low.Chain)]),
    )


def web(
    host: str,
    *routes: low.Route,
    endpoints: Iterable[Given] = ("10.0.0.1:80",),
    port: int = 80,
    lb: low.LbConfig | None = None,
    limits: low.Limits = UNLIMITED,
    outliers: low.OutlierDetection | None = None,
    order: str | None = None,
) -> low.Unit:
    """An HTTP host: a service, its cluster `outbound|PORT||HOST` and its virtual host; without routes all goes to the cluster."""
    name = f"outbound|{port}||{host}"
    return unit(
        host,
        service(host, port),
        cluster(name, *endpoints, lb=lb, limits=limits, outliers=outliers),
        virtual_host(*(routes or (forward(name),)), domains=(host,), port=port),
        order=order,
    )


def publish(engine: Engine, *units: low.Unit, delete: Iterable[str] = (), outbound: int | None = None) -> None:
    """One change."""
    builder: Builder = engine.builder()
    if outbound is not None:
        builder.set_outbound(outbound)
    for key in delete:
        builder.delete(key)
    for one in units:
        builder.put(one)
    engine.publish(builder)


def published(
    module: ModuleType,
    *units: low.Unit,
    outbound: int | None = None,
    seed: int | None = 0,
    clock: Callable[[], int] | None = None,
) -> Any:
    """An engine with these units; its schedules begin at their first entry unless seed is None.

    Engines under test are `Any`: what they look like is what test_contract holds against the stub."""
    engine: Engine = module.Engine(seed=seed, clock=clock)
    publish(engine, *units, outbound=outbound)
    return engine


def picks(decision: Decision, count: int) -> list[str]:
    """Addresses of so many picks."""
    return [decision.pick().address for _ in range(count)]
