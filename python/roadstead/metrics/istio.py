"""Istio's standard metrics for Prometheus, as the sidecar of a client reports them.

    requests, connections = RequestRecorder(registry), ConnectionRecorder(registry)
    prometheus_client.REGISTRY.register(requests)
    httpx.Client(transport=roadstead.clients.httpx.Transport(registry, recorder=requests))

Counting a request is one call into the engine; names, labels and text are made when somebody asks for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from roadstead.errors import MissingExtra
from roadstead.metrics.labels import Labels, describer, of_connection, of_request

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
_BUCKETS = (*(f"{bound:.7g}" for bound in BOUNDS), "+Inf")
HISTOGRAMS = ("istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes")
_CONNECTIONS = (
    "istio_tcp_connections_opened",
    "istio_tcp_connections_closed",
    "istio_tcp_sent_bytes",
    "istio_tcp_received_bytes",
)


class RequestRecorder(Collector):
    """Counts requests once they are over: `istio_requests_total`, `istio_request_duration_milliseconds`,
    `istio_request_bytes`, `istio_response_bytes`. A client or proxy is given it as `recorder`; one that was tried again
    counts once. Register it with a registry of prometheus-client.

    count: an exchange that is over (`_core.Tally.count`). add: a request that was carried out in another way."""

    __slots__ = ("_tally", "add", "count")

    def __init__(self, view: View) -> None:
        self._tally = view.tally(describer(view.node), BOUNDS)
        # The engine's own bound methods: no Python frame in between.
        self.count = self._tally.count
        self.add = self._tally.add

    def collect(self) -> Iterator[Metric]:
        """Of Collector."""
        total: CounterMetricFamily | None = None
        sizes: list[HistogramMetricFamily] = []
        for about, status, flags, grpc, grpc_status, count, sums, buckets in self._tally.read():
            labels = of_request(cast("Labels", about), status, flags, grpc=grpc, grpc_status=grpc_status)
            if total is None:
                total = CounterMetricFamily("istio_requests", "Requests.", labels=list(labels))
                sizes = [HistogramMetricFamily(name, "Of requests.", labels=list(labels)) for name in HISTOGRAMS]
            values = list(labels.values())
            total.add_metric(values, count)
            for family, counts, sum_value in zip(sizes, buckets, sums, strict=True):
                family.add_metric(values, _cumulated(counts), sum_value)
        yield from [*([] if total is None else [total]), *sizes]

    def describe(self) -> Iterator[Metric]:
        """Of Collector."""
        return iter(())


class Flow:
    """One connection that is open, as `ConnectionRecorder.opened` gives it."""

    __slots__ = ("_recorder", "about", "read", "told")

    def __init__(self, recorder: ConnectionRecorder, about: Labels, read: Callable[[], tuple[int, int]] | None) -> None:
        self._recorder = recorder
        self.about = about
        self.read = read
        # Bytes of responses and of requests that are counted already.
        self.told = (0, 0)

    def moved(self, sent: int, received: int) -> None:
        """So many bytes of responses (sent) and of requests (received) passed since it was opened."""
        self._recorder.moved(self, (sent, received))

    def closed(self, flags: str = "") -> None:
        """It is over. flags: Envoy's. Later calls do nothing."""
        self._recorder.closed(self, flags)


class _Counts:
    """Opened, closed, sent, received of one set of labels."""

    __slots__ = ("labels", "values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.values = [0, 0, 0, 0]


class ConnectionRecorder(Collector):
    """Counts plain connections: `istio_tcp_connections_opened_total`, `…_closed_total`, `istio_tcp_sent_bytes_total`,
    `istio_tcp_received_bytes_total`. `clients.socket` is given it as `recorder`."""

    def __init__(self, view: View) -> None:
        self._describe = describer(view.node)
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], _Counts] = {}
        self._open: set[Flow] = set()

    def opened(self, decision: Decision, read: Callable[[], tuple[int, int]] | None = None) -> Flow:
        """A connection was let in. read: tells the bytes so far (sent: of responses, received: of requests, as Istio
        names them), and is asked when it is closed and whenever somebody reads the metrics; else `Flow.moved` does."""
        declared = decision.cluster_name.startswith("outbound|")
        flow = Flow(self, self._describe(decision, "" if declared else decision.authority), read)
        with self._lock:
            self._at(flow, "")[0] += 1
            self._open.add(flow)
        return flow

    def moved(self, flow: Flow, total: tuple[int, int]) -> None:
        """`Flow.moved`."""
        with self._lock:
            self._move(flow, total)

    def closed(self, flow: Flow, flags: str) -> None:
        """`Flow.closed`."""
        total = flow.told if flow.read is None else flow.read()
        with self._lock:
            if flow in self._open:
                self._open.remove(flow)
                self._move(flow, total)
                self._at(flow, flags)[1] += 1

    def collect(self) -> Iterator[Metric]:
        """Of Collector."""
        with self._lock:
            for flow in self._open:
                if flow.read is not None:
                    self._move(flow, flow.read())
            rows = [(one.labels, tuple(one.values)) for one in self._counts.values()]
        names = list(rows[0][0]) if rows else []
        for at, name in enumerate(_CONNECTIONS if rows else ()):
            family = CounterMetricFamily(name, "Of connections.", labels=names)
            for labels, values in rows:
                family.add_metric(list(labels.values()), values[at])
            yield family

    def describe(self) -> Iterator[Metric]:
        """Of Collector."""
        return iter(())

    def _move(self, flow: Flow, total: tuple[int, int]) -> None:
        values = self._at(flow, "")
        for at in (0, 1):
            values[2 + at] += max(0, total[at] - flow.told[at])
        flow.told = (max(total[0], flow.told[0]), max(total[1], flow.told[1]))

    def _at(self, flow: Flow, flags: str) -> list[int]:
        labels = of_connection(flow.about, flags)
        key = tuple(labels.values())
        return self._counts.setdefault(key, _Counts(labels)).values


def _cumulated(counts: tuple[int, ...]) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, count in zip(_BUCKETS, counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
