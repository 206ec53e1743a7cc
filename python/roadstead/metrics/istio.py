"""Istio's standard metrics of HTTP and gRPC requests, as the sidecar of a client reports them (reporter "source")."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from roadstead.errors import MissingExtra
from roadstead.mesh import Cluster, Node

try:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtra("Metrics for Prometheus", "metrics", "prometheus-client") from error

if TYPE_CHECKING:
    from roadstead._core import Decision
    from roadstead.registry.view import View

# Envoy's bounds of histograms: milliseconds, or bytes.
_BELOW_A_SECOND = (0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)
_ABOVE = (1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6)
BOUNDS = (*_BELOW_A_SECOND, *_ABOVE)
HISTOGRAMS = ("istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes")
# Requests that wait to be added up.
_MOST = 4096
_UNKNOWN = "unknown"
_Measured: TypeAlias = tuple[float, float, float]


class _Key(NamedTuple):
    cluster: str
    # Of requests to what nobody declared; else "".
    authority: str
    kind: str
    status: int
    flags: str
    protocol: str
    grpc_status: str


class _Cell:
    """The requests of one set of labels. pending: measured, not yet added up."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.pending: list[_Measured] = []
        self.count = 0
        self.sums = [0.0, 0.0, 0.0]
        self.buckets = [[0] * (len(BOUNDS) + 1) for _ in HISTOGRAMS]

    def add_up(self) -> None:
        """Under the recorder's lock; others append meanwhile."""
        taken = self.pending[:]
        del self.pending[: len(taken)]
        self.count += len(taken)
        for measured in taken:
            for at, value in enumerate(measured):
                self.sums[at] += value
                self.buckets[at][bisect_left(BOUNDS, value)] += 1


class RequestRecorder(Collector):
    """Counts requests once they are over: `record` for each, and register it with a registry of prometheus-client.

    What the client cannot know of the other side (its workload, principal, app) is "unknown", as Istio has it for what
    is outside of the mesh."""

    def __init__(self, view: View) -> None:
        self._source = _source(view.node)
        self._cells: dict[tuple[object, ...], _Cell] = {}
        self._lock = threading.Lock()

    def record(
        self,
        decision: Decision,
        status: int,
        flags: str = "",
        *,
        milliseconds: float,
        request_bytes: int = 0,
        response_bytes: int = 0,
        protocol: Literal["http", "grpc"] = "http",
        grpc_status: str = "",
    ) -> None:
        """A request is over. status: 0 where the client left before the head of a response. flags: Envoy's. bytes: of
        the bodies. One that was tried again counts once."""
        cluster = decision.cluster_name
        declared = cluster.startswith("outbound|")
        authority = "" if declared else decision.authority
        kind = "" if declared else decision.kind
        key = (cluster, authority, kind, status, flags, protocol, grpc_status)
        cell = self._cells.get(key)
        if cell is None:
            made = _Cell(self._labels(decision, _Key(*key)))
            cell = self._cells.setdefault(key, made)
        cell.pending.append((milliseconds, request_bytes, response_bytes))
        if len(cell.pending) >= _MOST:
            with self._lock:
                cell.add_up()

    def collect(self) -> Iterator[Metric]:
        """Of Collector."""
        with self._lock:
            cells = list(self._cells.values())
            for cell in cells:
                cell.add_up()
            names = list(cells[0].labels) if cells else []
            total = CounterMetricFamily("istio_requests", "Requests.", labels=names)
            sizes = [HistogramMetricFamily(name, "Of requests.", labels=names) for name in HISTOGRAMS]
            for cell in cells:
                values = list(cell.labels.values())
                total.add_metric(values, cell.count)
                for family, counts, sum_value in zip(sizes, cell.buckets, cell.sums, strict=True):
                    family.add_metric(values, _cumulated(counts), sum_value)
        yield total
        yield from sizes

    def describe(self) -> Iterator[Metric]:
        """Of Collector."""
        return iter(())

    def _labels(self, decision: Decision, key: _Key) -> dict[str, str]:
        host, namespace, name = key.authority or _UNKNOWN, _UNKNOWN, _UNKNOWN
        spec = decision.cluster.spec if decision.cluster is not None else None
        if isinstance(spec, Cluster):
            host, namespace, name = spec.host, spec.namespace, spec.host
        elif key.kind == "passthrough":
            name = "PassthroughCluster"
        elif key.kind == "refused":
            name = "BlackHoleCluster"
        return {
            "response_code": str(key.status),
            "reporter": "source",
            **self._source,
            "destination_service": host,
            "destination_service_namespace": namespace,
            "destination_service_name": name,
            "destination_workload": _UNKNOWN,
            "destination_canonical_service": _UNKNOWN,
            "destination_canonical_revision": "latest",
            "destination_workload_namespace": _UNKNOWN,
            "destination_principal": _UNKNOWN,
            "destination_app": _UNKNOWN,
            "destination_version": _UNKNOWN,
            "destination_cluster": _UNKNOWN,
            "request_protocol": key.protocol,
            "grpc_response_status": key.grpc_status,
            "response_flags": key.flags or "-",
            "connection_security_policy": _UNKNOWN,
        }


def _source(node: Node) -> dict[str, str]:
    labels = node.labels
    workload = node.metadata.get("WORKLOAD_NAME", _UNKNOWN)
    app, version = labels.get("app", _UNKNOWN), labels.get("version", "")
    service = labels.get("service.istio.io/canonical-name") or labels.get("app.kubernetes.io/name")
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("app.kubernetes.io/version")
    return {
        "source_workload": workload,
        "source_canonical_service": service or labels.get("app", workload),
        "source_canonical_revision": revision or version or "latest",
        "source_workload_namespace": node.namespace,
        "source_principal": _UNKNOWN,
        "source_app": app,
        "source_version": version or _UNKNOWN,
        "source_cluster": node.cluster,
    }


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, count in zip([*(f"{bound:.7g}" for bound in BOUNDS), "+Inf"], counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
