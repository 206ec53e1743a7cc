"""WorkloadGroups and the workloads that belong to them: who is probed, and how (dialect extended).

In Istio the agent beside a workload probes it and reports; istiod notes that in the WorkloadEntry, and such an entry is
not probed from here. One that somebody wrote has no agent: its group's probe is run by whoever calls it.

An entry belongs to the group that its annotation `istio.io/autoRegistrationGroup` names; without the annotation, to the
one of its namespace whose labels (metadata and template) it carries all of: of several the one with the most, then the
first by name. A group without labels takes none but those that name it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import cast

from roadstead.compile.endpoints import AUTO_REGISTRATION, workload_labels
from roadstead.compile.facts import GroupFacts, is_subset, reports_health
from roadstead.compile.inputs import Load
from roadstead.config import ReadinessProbe, Resource, ResourceKey, WorkloadEntry, WorkloadGroup
from roadstead.mesh import WorkloadProbe

# Seconds; Istio's agent.
PERIOD, TIMEOUT = 10, 1
# Names that mean the workload to its own agent.
_ITSELF = ("", "localhost", "127.0.0.1", "::1")


def probe_of(workload: Resource[WorkloadEntry], groups: Iterable[GroupFacts], load: Load) -> WorkloadProbe | None:
    """How a workload is probed from here. groups: those with a probe of its namespace, in order of name."""
    key = None if reports_health(workload) else _group_of(workload, groups)
    written = None if key is None else cast("Resource[WorkloadGroup]", load(key)).spec.probe
    return None if written is None else probe_from(written)


def _group_of(workload: Resource[WorkloadEntry], groups: Iterable[GroupFacts]) -> ResourceKey | None:
    named = workload.metadata.annotations.get(AUTO_REGISTRATION)
    if named is not None:
        return next((group.key for group in groups if group.key.name == named), None)
    labels = workload_labels(workload)
    found = [group for group in groups if group.labels and is_subset(group.labels, labels)]
    return max(found, key=lambda group: len(group.labels)).key if found else None


@lru_cache(maxsize=1024)
def probe_from(written: ReadinessProbe) -> WorkloadProbe | None:
    """The probe with Istio's defaults; None for a command, which only the workload itself can run."""
    times = (float(written.period_seconds or PERIOD), float(written.timeout_seconds or TIMEOUT))
    thresholds = (written.failure_threshold or 1, written.success_threshold or 1)
    delay = float(written.initial_delay_seconds)
    http, tcp, grpc = written.http_get, written.tcp_socket, written.grpc
    if http is not None:
        headers = [(header.name, header.value) for header in http.http_headers]
        return WorkloadProbe(
            *times,
            *thresholds,
            "http",
            http.path if http.path.startswith("/") else f"/{http.path}",
            tuple([header for header in headers if header[0].lower() != "host"]),
            next((value for name, value in headers if name.lower() == "host"), ""),
            port=http.port,
            address=_address(http.host),
            https=http.scheme == "HTTPS",
            initial_delay=delay,
        )
    if tcp is not None:
        return WorkloadProbe(
            *times, *thresholds, "tcp", "", port=tcp.port, address=_address(tcp.host), initial_delay=delay
        )
    if grpc is not None:
        return WorkloadProbe(*times, *thresholds, "grpc", "", (), "", grpc.service, grpc.port, initial_delay=delay)
    return None


def _address(host: str) -> str:
    return "" if host in _ITSELF else host
