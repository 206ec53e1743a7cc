"""What a real Envoy rejects of what Istio sends it, so that it serves none of it (dialect `istio`).

* A route table with one route that has no action, or a status or a header's value that is none: every host of the table
  answers 404, unknown ones too. A proxy that had an older table goes on with that one. So here: of a change that would
  spoil a table in use, the resource that does it is refused, and its version before keeps serving; whoever starts with
  it has no table. (Envoy does not hear of other changes to the table either until it is mended; here they count.)
* The cluster of names that are looked up for each request (DYNAMIC_DNS) where HTTP options come without TLS: 503 NC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeAlias

import msgspec

from roadstead.mesh import Cluster, ClusterPolicy, HostMesh, Origin, VirtualHost
from roadstead.registry.lower import heard_at

Table: TypeAlias = tuple[int, str]
"""A route table: its port, and "" for the one that the hosts of a sidecar's port share, else what tells it apart."""
NOBODY = "rejected:"
"""Key of the host that answers for unknown hosts of rejected tables."""


def rejected_tables(host: HostMesh) -> dict[Table, list[Origin]]:
    """Tables that Envoy does not take because of this host, and where the routes stand that it does not take."""
    found: dict[Table, list[Origin]] = {}
    for one in host.virtual_hosts:
        for route in one.sent:
            if route.refused:
                found.setdefault(_table(one, host), []).append(route.delegate_origin or route.origin)
    return found


def has_table(host: HostMesh, table: Table) -> bool:
    """Whether a host is in a table."""
    return any(_table(one, host) == table for one in host.virtual_hosts)


def served(host: HostMesh, rejected: Collection[Table]) -> HostMesh:
    """The host without what Envoy rejects; the same object where it takes all."""
    clusters, virtual_hosts = host.clusters, host.virtual_hosts
    if any(is_rejected(cluster) for cluster in clusters):
        clusters = tuple([cluster for cluster in clusters if not is_rejected(cluster)])
    if rejected and any(_table(one, host) in rejected for one in virtual_hosts):
        virtual_hosts = tuple(
            [msgspec.structs.replace(one, routes=()) if _table(one, host) in rejected else one for one in virtual_hosts]
        )
    if clusters is host.clusters and virtual_hosts is host.virtual_hosts:
        return host
    return msgspec.structs.replace(host, clusters=clusters, virtual_hosts=virtual_hosts)


def nobody(rejected: Iterable[Table]) -> HostMesh | None:
    """Unknown hosts of rejected tables are not let through; None where no such table is shared."""
    ports = sorted([port for port, own in rejected if not own])
    if not ports:
        return None
    origin = Origin("", "", "", "")
    hosts = tuple([VirtualHost(f"{NOBODY}{port}", port, (("*", 0),), (), origin=origin) for port in ports])
    return HostMesh(NOBODY, NOBODY, virtual_hosts=hosts)


def _table(one: VirtualHost, host: HostMesh) -> Table:
    if one.table:
        return one.port, one.table
    heard = heard_at(host, one.port)
    # A sniffed port with addresses of its own has a listener of its own, and that one a table.
    return one.port, "" if not heard or "" in heard else host.key


def is_rejected(cluster: Cluster) -> bool:
    """With TLS Istio says which names are checked, or that none need be."""
    return cluster.type == "DYNAMIC_DNS" and cluster.tls is None and has_http_options(cluster.policy)


def has_http_options(policy: ClusterPolicy) -> bool:
    """Whether Istio says anything of how HTTP is spoken (Envoy: HttpProtocolOptions)."""
    http, tcp = policy.connection_pool.http, policy.connection_pool.tcp
    outliers = policy.outlier_detection
    said = (
        http.idle_timeout, http.max_requests_per_connection, http.max_concurrent_streams, http.http2_keepalive,
        tcp.max_connection_duration,
    )  # fmt: skip
    return http.protocol != "http1" or any(one is not None for one in said) or bool(outliers and outliers.error_codes)
