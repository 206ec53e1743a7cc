"""Labels of Istio's standard metrics, as the sidecar of a client fills them (reporter "source").

What the client cannot know of the other side (its workload, principal, app) is "unknown", as Istio has it for what is
outside of the mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from roadstead.mesh import Cluster, Node

if TYPE_CHECKING:
    from roadstead._core import Decision

Labels: TypeAlias = dict[str, str]
_UNKNOWN = "unknown"


def describer(node: Node) -> Callable[[Decision, str], Labels]:
    """Labels of what a decision leads to, of the node's own side included, in Istio's order. authority: the host of
    what nobody declared, "" for none."""
    source = _source(node)

    def describe(decision: Decision, authority: str) -> Labels:
        return {**source, **_destination(decision, authority)}

    return describe


def of_request(about: Labels, status: int, flags: str, *, grpc: bool, grpc_status: int) -> Labels:
    """All labels of a request's metrics. grpc_status: -1 for none."""
    return {
        "response_code": str(status),
        "reporter": "source",
        **about,
        "request_protocol": "grpc" if grpc else "http",
        "grpc_response_status": "" if grpc_status < 0 else str(grpc_status),
        "response_flags": flags or "-",
        "connection_security_policy": _UNKNOWN,
    }


def of_connection(about: Labels, flags: str) -> Labels:
    """All labels of a connection's metrics."""
    return {
        "reporter": "source",
        **about,
        "request_protocol": "tcp",
        "response_flags": flags or "-",
        "connection_security_policy": _UNKNOWN,
    }


def _destination(decision: Decision, authority: str) -> Labels:
    host, namespace, name = authority or _UNKNOWN, _UNKNOWN, _UNKNOWN
    spec = decision.cluster.spec if decision.cluster is not None else None
    if isinstance(spec, Cluster):
        host, namespace, name = spec.host, spec.namespace, spec.host
    elif decision.kind == "passthrough":
        name = "PassthroughCluster"
    elif decision.kind == "refused":
        name = "BlackHoleCluster"
    return {
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
    }


def _source(node: Node) -> Labels:
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
