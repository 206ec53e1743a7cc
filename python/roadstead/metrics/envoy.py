"""Envoy's cluster statistics from the engine's counters, read when somebody asks: requests pay nothing.

Names and kinds are Envoy's (1.40, `/stats` and `/stats/prometheus`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from roadstead.errors import MissingExtra

try:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtra("Metrics for Prometheus", "metrics", "prometheus-client") from error

if TYPE_CHECKING:
    from roadstead._core import Cluster
    from roadstead.registry.view import View

ClusterLabel: TypeAlias = Literal["envoy_cluster_name", "cluster_name"]
# What the engine counts and Envoy has no name for.
_OURS = {"upstream_rq_retry_active"}
_HELP = "Envoy's cluster statistic"


STAT_PREFIX = "egress"
"""What stands for a proxy of ours in the names of its statistics (Envoy: stat_prefix)."""


def is_gauge(stat: str) -> bool:
    """Whether Envoy has a cluster's statistic as a gauge; else it is a counter."""
    return stat.startswith(("membership_", "circuit_breakers.")) or stat.endswith("_active")


class ClusterStats:
    """The statistics of all clusters of a view. Keep one: it remembers the failed connections of endpoints that left,
    as it saw them last, so that the clusters' counters do not fall."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._lock = threading.Lock()
        # By cluster: what endpoints had when they were seen last, and what those that left had.
        self._seen: dict[str, dict[tuple[str, int], int]] = {}
        self._left: dict[str, int] = {}

    def read(self) -> dict[str, dict[str, int]]:
        """Statistic → value of each cluster, both in order of name. Clusters by the names that Istio gives them."""
        with self._lock:
            found = {cluster.name: self._of(cluster) for cluster in self._view.clusters() if cluster}
            for name in self._seen.keys() - found.keys():
                del self._seen[name]
                self._left.pop(name, None)
        return {name: found[name] for name in sorted(found)}

    def _of(self, cluster: Cluster) -> dict[str, int]:
        stats = {name: value for name, value in cluster.stats.items() if name not in _OURS}
        stats["upstream_cx_connect_fail"] = self._failed(cluster)
        stats["upstream_cx_destroy"] = stats["upstream_cx_total"] - stats["upstream_cx_active"]
        return dict(sorted(stats.items()))

    def _failed(self, cluster: Cluster) -> int:
        now: dict[tuple[str, int], int] = {}
        for endpoint, stats in zip(cluster.endpoints, cluster.endpoint_stats(), strict=False):
            key = endpoint.address, endpoint.port
            now[key] = now.get(key, 0) + stats["cx_connect_fail"]
        before = self._seen.get(cluster.name, {})
        left = sum(count for key, count in before.items() if now.get(key, 0) < count)
        self._seen[cluster.name] = now
        total = self._left[cluster.name] = self._left.get(cluster.name, 0) + left
        return total + sum(now.values())


class ClusterCollector(Collector):
    """The clusters of a view for a registry of prometheus-client: `REGISTRY.register(ClusterCollector(registry))`.

    label: what holds the cluster's name: Envoy's word, or that of Istio's sidecars, "cluster_name". To Envoy's
    counters no `_total` is appended; prometheus-client knows no such counters, so those are exposed as untyped there,
    under the right name (`text` has them as Envoy has)."""

    def __init__(self, view: View, *, label: ClusterLabel = "envoy_cluster_name") -> None:
        self._stats = ClusterStats(view)
        self._label = _checked(label)

    def collect(self) -> Iterator[Metric]:
        """Of Collector."""
        for stat, values in _by_stat(self._stats.read()).items():
            name = metric_name(stat)
            kind = "gauge" if is_gauge(stat) else "counter" if name.endswith("_total") else "unknown"
            metric = Metric(name.removesuffix("_total") if kind == "counter" else name, f"{_HELP} {stat}.", kind)
            for cluster, value in values:
                metric.add_sample(name, {self._label: cluster}, value)
            yield metric

    def describe(self) -> Iterator[Metric]:
        """Of Collector: nothing is read when it is registered."""
        return iter(())


def metric_name(stat: str) -> str:
    """Prometheus's name of a cluster's statistic."""
    return f"envoy_cluster_{stat.replace('.', '_')}"


def text(
    stats: ClusterStats, *, label: ClusterLabel = "envoy_cluster_name", listening: Mapping[str, int] | None = None
) -> str:
    """Envoy's `/stats/prometheus`: counters, then gauges, in order of name. listening: what a proxy counts at its
    clients' side (Envoy: http.<stat_prefix>.…)."""
    key = _checked(label)
    lines = []
    for stat, value in sorted((listening or {}).items()):
        name = f"envoy_http_{stat}"
        kind = "gauge" if is_gauge(stat) else "counter"
        lines.append(f'# TYPE {name} {kind}\n{name}{{envoy_http_conn_manager_prefix="{STAT_PREFIX}"}} {value}\n')
    for stat, values in sorted(_by_stat(stats.read()).items(), key=lambda one: (is_gauge(one[0]), metric_name(one[0]))):
        name = metric_name(stat)
        lines.append(f"# TYPE {name} {'gauge' if is_gauge(stat) else 'counter'}\n")
        lines += [f'{name}{{{key}="{_escaped(cluster)}"}} {value}\n' for cluster, value in values]
    return "".join(lines)


def _by_stat(read: dict[str, dict[str, int]]) -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for cluster, stats in read.items():
        for stat, value in stats.items():
            found.setdefault(stat, []).append((cluster, value))
    return dict(sorted(found.items()))


def _checked(label: ClusterLabel) -> ClusterLabel:
    if label not in ("envoy_cluster_name", "cluster_name"):
        raise ValueError(f"label {label!r}: write envoy_cluster_name or cluster_name")
    return label


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
