"""WorkloadGroup: the template of WorkloadEntries that register themselves."""

from __future__ import annotations

from roadstead.config.message import Int32, Message, UInt32
from roadstead.config.workload_entry import WorkloadEntry


class HTTPHeader(Message, frozen=True, kw_only=True):
    name: str = ""
    value: str = ""


class HTTPHealthCheckConfig(Message, frozen=True, kw_only=True):
    """GET path; scheme "HTTP" (also for "") or "HTTPS"; host "": the workload's address."""

    path: str = ""
    port: UInt32 = 0
    host: str = ""
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPHealthCheckConfig(Message, frozen=True, kw_only=True):
    host: str = ""
    port: UInt32 = 0


class ExecHealthCheckConfig(Message, frozen=True, kw_only=True):
    command: tuple[str, ...] = ()


class GrpcHealthCheckConfig(Message, frozen=True, kw_only=True):
    port: UInt32 = 0
    service: str = ""


class ReadinessProbe(Message, frozen=True, kw_only=True):
    """How a workload of the group is found ready; one of http_get, tcp_socket, exec, grpc. Seconds are whole
    numbers."""

    initial_delay_seconds: Int32 = 0
    timeout_seconds: Int32 = 0
    period_seconds: Int32 = 0
    success_threshold: Int32 = 0
    failure_threshold: Int32 = 0
    http_get: HTTPHealthCheckConfig | None = None
    tcp_socket: TCPHealthCheckConfig | None = None
    exec: ExecHealthCheckConfig | None = None
    grpc: GrpcHealthCheckConfig | None = None


class TemplateMeta(Message, frozen=True, kw_only=True):
    """Labels and annotations that entries of the group are given."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class WorkloadGroup(Message, frozen=True, kw_only=True):
    metadata: TemplateMeta | None = None
    template: WorkloadEntry | None = None
    probe: ReadinessProbe | None = None
