"""Active health checks of a cluster (dialect extended)."""

from __future__ import annotations

from functools import lru_cache

from roadstead.mesh import Cluster, HealthCheck, TlsOrigination
from roadstead.protocol import Protocol
from roadstead.xds.messages import core
from roadstead.xds.messages.cluster import TRANSPORT_SOCKET_MATCH
from roadstead.xds.resources.tls import raw_socket, upstream_socket
from roadstead.xds.schema import Message, Value

_TLS = {"healthCheck": "tls"}


def health_check_fields(cluster: Cluster) -> dict[str, Value]:
    """Fields of Cluster for its checks; it has some. A service that speaks TLS itself is sent bytes as they come: only
    what is asked of it by a check has to be put into TLS first."""
    host = "" if cluster.host.startswith("*") else cluster.host
    asked = any(check.kind != "tcp" for check in cluster.health_checks)
    opaque = asked and cluster.tls is None and Protocol(cluster.protocol).is_tls and cluster.type != "ORIGINAL_DST"
    made: dict[str, Value] = {"health_checks": tuple([_check(check, host, opaque) for check in cluster.health_checks])}
    if opaque:
        tls = TlsOrigination("SIMPLE", sni=host, subject_alt_names=(host,) if host else (), verify="san")
        made["transport_socket_matches"] = (
            TRANSPORT_SOCKET_MATCH(name="health-check", match=_TLS, transport_socket=upstream_socket(tls)),
            _bare(cluster.connection_pool.tcp.proxy_protocol),
        )
    return made


@lru_cache(maxsize=4)
def _bare(proxied: str) -> Message:
    """Everything else."""
    return TRANSPORT_SOCKET_MATCH.shared(name="bare", match={}, transport_socket=raw_socket(proxied))


def _check(check: HealthCheck, host: str, opaque: bool) -> Message:
    authority = check.authority or host
    # A percent sign would begin a command.
    written = [core.HEADER_VALUE(key=key, value=value.replace("%", "%%")) for key, value in check.headers]
    headers = [core.HEADER_VALUE_OPTION(header=header) for header in written]
    asked: dict[str, Value] = {}
    if check.kind == "http":
        asked["http_health_check"] = core.HTTP_HEALTH_CHECK(
            host=authority, path=check.path, request_headers_to_add=headers
        )
    elif check.kind == "grpc":
        asked["grpc_health_check"] = core.GRPC_HEALTH_CHECK(
            service_name=check.service, authority=authority, initial_metadata=headers
        )
    else:
        asked["tcp_health_check"] = core.TCP_HEALTH_CHECK()
    return core.HEALTH_CHECK.shared(
        timeout=check.timeout,
        interval=check.interval,
        unhealthy_threshold=check.unhealthy_threshold,
        healthy_threshold=check.healthy_threshold,
        transport_socket_match_criteria=_TLS if opaque and check.kind != "tcp" else None,
        **asked,
    )
