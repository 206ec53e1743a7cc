"""What Envoy's admin interface says of a view: `/clusters`, `/stats`, `/config_dump`, `/server_info`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias, cast

from roadstead.errors import InputError
from roadstead.host import with_port
from roadstead.mesh import ConnectionPool
from roadstead.metrics.envoy import STAT_PREFIX, ClusterStats, is_gauge

if TYPE_CHECKING:
    from roadstead._core import Cluster, Endpoint
    from roadstead.registry.view import View

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
# Per endpoint, in Envoy's order.
_COUNTERS = ("cx_connect_fail", "cx_total", "rq_error", "rq_success", "rq_total")
_GAUGES = ("cx_active", "rq_active")
_OUTLIER = (
    "success_rate_average",
    "success_rate_ejection_threshold",
    "local_origin_success_rate_average",
    "local_origin_success_rate_ejection_threshold",
)
# Envoy's own for requests of high priority, which Istio never makes.
_HIGH = {"max_connections": 1024, "max_pending_requests": 1024, "max_requests": 1024, "max_retries": 3}
_TYPES = "type.googleapis.com/envoy.admin.v3."


def clusters_text(view: View) -> str:
    """`/clusters`: a fact a line."""
    return "".join(f"{line}\n" for cluster in _clusters(view) for line in _cluster_lines(cluster))


def _cluster_lines(cluster: Cluster) -> Iterator[str]:
    name = cluster.name
    yield f"{name}::observability_name::{name}"
    if cluster.outlier_detection is not None:
        for fact in _OUTLIER:
            yield f"{name}::outlier::{fact}::-1"
    for priority, limits in (("default", _limits(cluster)), ("high", _HIGH)):
        for limit, value in limits.items():
            yield f"{name}::{priority}_priority::{limit}::{value}"
    yield f"{name}::added_via_api::true"
    for endpoint, stats in zip(cluster.endpoints, cluster.endpoint_stats(), strict=False):
        region, zone, sub_zone = _locality(endpoint)
        facts = {fact: str(stats[fact]) for fact in sorted(_COUNTERS + _GAUGES)} | {
            "hostname": endpoint.hostname,
            "health_flags": "".join(f"/{flag}" for flag in _flags(cluster, endpoint, stats)) or "healthy",
            "weight": str(endpoint.weight),
            "region": region,
            "zone": zone,
            "sub_zone": sub_zone,
            "canary": "false",
            "priority": str(endpoint.priority),
            "success_rate": "-1",
            "local_origin_success_rate": "-1",
        }
        for fact, said in facts.items():
            yield f"{name}::{_address(endpoint)}::{fact}::{said}"


def clusters_json(view: View) -> str:
    """`/clusters?format=json`: members that are false or zero are left out, 64-bit values are text."""
    made: list[Json] = []
    for cluster in _clusters(view):
        hosts: list[Json] = [
            _host_status(cluster, endpoint, stats)
            for endpoint, stats in zip(cluster.endpoints, cluster.endpoint_stats(), strict=False)
        ]
        one: dict[str, Json] = {"name": cluster.name, "added_via_api": True}
        if hosts:
            one["host_statuses"] = hosts
        limits = [{**_limits(cluster)}, {"priority": "HIGH", **_HIGH}]
        one["circuit_breakers"] = {"thresholds": cast("list[Json]", limits)}
        one["observability_name"] = cluster.name
        made.append(one)
    return _written({"cluster_statuses": made})


def _host_status(cluster: Cluster, endpoint: Endpoint, stats: dict[str, int]) -> dict[str, Json]:
    told: list[Json] = []
    for kind, names in (("", _COUNTERS), ("GAUGE", _GAUGES)):
        for name in names:
            one: dict[str, Json] = {"type": kind} if kind else {}
            if stats[name]:
                one["value"] = str(stats[name])
            told.append({**one, "name": name})
    flags = _flags(cluster, endpoint, stats)
    health: dict[str, Json] = {"eds_health_status": "HEALTHY"}
    if "eds_status_draining" in flags:
        health["eds_health_status"] = "DRAINING"
    elif "failed_eds_health" in flags:
        health["eds_health_status"] = "UNHEALTHY"
    elif "degraded_eds_health" in flags:
        health["eds_health_status"] = "DEGRADED"
    health |= dict.fromkeys((flag for flag in flags if flag in ("failed_active_hc", "failed_outlier_check")), True)
    address: dict[str, Json]
    if endpoint.kind == "unix":
        address = {"pipe": {"path": endpoint.address}}
    else:
        address = {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}
    made: dict[str, Json] = {"address": address, "stats": told, "health_status": health, "weight": endpoint.weight}
    if endpoint.hostname:
        made["hostname"] = endpoint.hostname
    if endpoint.priority:
        made["priority"] = endpoint.priority
    parts = zip(("region", "zone", "sub_zone"), _locality(endpoint), strict=True)
    made["locality"] = {name: value for name, value in parts if value}
    return made


def stats_text(
    stats: ClusterStats, *, pattern: str = "", used_only: bool = False, listening: Mapping[str, int] | None = None
) -> str:
    """`/stats`: "cluster.<name>.<statistic>: value", sorted. pattern: only names in which it is found (`filter`).
    used_only: without counters and gauges that are 0. listening: as in `envoy.text`. InputError for a pattern that is
    none."""
    found = _stats(stats, pattern, used_only=used_only, listening=listening)
    return "".join(f"{name}: {value}\n" for name, value in found)


def stats_json(
    stats: ClusterStats, *, pattern: str = "", used_only: bool = False, listening: Mapping[str, int] | None = None
) -> str:
    """`/stats?format=json`."""
    told = _stats(stats, pattern, used_only=used_only, listening=listening)
    found = [{"name": name, "value": value} for name, value in told]
    return json.dumps({"stats": found}, separators=(",", ":"), ensure_ascii=False)


def _stats(
    stats: ClusterStats, pattern: str, *, used_only: bool, listening: Mapping[str, int] | None
) -> list[tuple[str, int]]:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise InputError(f"Invalid re2 regex: {error}: {pattern}") from error
    found = [
        (f"cluster.{cluster.replace(':', '_')}.{stat}", value)
        for cluster, values in stats.read().items()
        for stat, value in values.items()
        if value or not used_only or (is_gauge(stat) and stat.startswith("membership_"))
    ]
    found += [
        (f"http.{STAT_PREFIX}.{stat}", value) for stat, value in (listening or {}).items() if value or not used_only
    ]
    return sorted(one for one in found if wanted.search(one[0]))


def config_dump(view: View, *, include_eds: bool = False) -> str:
    """`/config_dump`: the clusters, listeners and routes that Istio would send this node, and with `include_eds` its
    endpoints."""
    from roadstead.xds.json import to_json
    from roadstead.xds.resources import resources

    made = resources(view.mesh, view.node)
    told = str(view.version)

    def typed(kind: str, one: object) -> dict[str, Json]:
        return {"@type": f"type.googleapis.com/{kind}", **cast("dict[str, Json]", one)}

    clusters: list[Json] = [
        {"version_info": told, "cluster": typed("envoy.config.cluster.v3.Cluster", to_json(one))}
        for one in made.clusters
    ]
    endpoints: list[Json] = [
        {
            "version_info": told,
            "endpoint_config": typed("envoy.config.endpoint.v3.ClusterLoadAssignment", to_json(one)),
        }
        for one in made.endpoints
    ]
    listeners: list[Json] = []
    for one in map(to_json, made.listeners):
        listener: Json = {"version_info": told, "listener": typed("envoy.config.listener.v3.Listener", one)}
        listeners.append({"name": cast("str", one["name"]), "active_state": listener})
    routes: list[Json] = [
        {"version_info": told, "route_config": typed("envoy.config.route.v3.RouteConfiguration", to_json(one))}
        for one in made.routes
    ]
    dumps: list[Json] = [
        {"@type": f"{_TYPES}ClustersConfigDump", "version_info": told, "dynamic_active_clusters": clusters}
    ]
    if include_eds:
        dumps.append({"@type": f"{_TYPES}EndpointsConfigDump", "dynamic_endpoint_configs": endpoints})
    dumps += [
        {"@type": f"{_TYPES}ListenersConfigDump", "version_info": told, "dynamic_listeners": listeners},
        {"@type": f"{_TYPES}RoutesConfigDump", "dynamic_route_configs": routes},
    ]
    return _written({"configs": dumps})


def server_info(view: View, state: str = "LIVE") -> str:
    """`/server_info`: who answers, for which node, and whether it is ready (LIVE, INITIALIZING, DRAINING)."""
    node: dict[str, Json] = {"id": view.node.name, "cluster": view.node.cluster}
    return _written({"version": f"roadstead/{version('roadstead')}/{view.backend}", "state": state, "node": node})


def _clusters(view: View) -> list[Cluster]:
    return sorted((one for one in view.clusters() if one), key=lambda cluster: cluster.name)


def _limits(cluster: Cluster) -> dict[str, int]:
    pool = cast("ConnectionPool | None", cluster.connection_pool) or ConnectionPool()
    return {
        "max_connections": pool.tcp.max_connections,
        "max_pending_requests": pool.http.max_pending_requests,
        "max_requests": pool.http.max_requests,
        "max_retries": pool.http.max_retries,
    }


def _address(endpoint: Endpoint) -> str:
    if endpoint.kind == "unix":
        return endpoint.address
    return with_port(endpoint.address, endpoint.port)


def _locality(endpoint: Endpoint) -> tuple[str, str, str]:
    region, zone, sub_zone, *_ = [*endpoint.locality.split("/", 2), "", ""]
    return region, zone, sub_zone


def _flags(cluster: Cluster, endpoint: Endpoint, stats: dict[str, int]) -> list[str]:
    """Envoy's flags of a host that is not healthy. Where checks are made, they are held to be the reason."""
    kind = "active_hc" if cluster.health_checks else "eds_health"
    if endpoint.health == "draining":
        return ["eds_status_draining"]
    if endpoint.health == "degraded":
        return [f"degraded_{kind}"]
    if endpoint.health == "unhealthy":
        return ["failed_outlier_check"] if stats.get("ejected") else [f"failed_{kind}"]
    return []


def _written(made: dict[str, Json]) -> str:
    return json.dumps(made, indent=1, ensure_ascii=False)
