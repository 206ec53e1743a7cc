"""The mesh-wide settings that no service has for itself, for one client."""

from __future__ import annotations

from collections.abc import Iterable

from roadstead.compile.callers import callers_of
from roadstead.compile.connection_pool import keepalive_of, pool_of
from roadstead.compile.inputs import Env
from roadstead.compile.tls import unknown_tls
from roadstead.compile.visibility import HTTP_PROXY
from roadstead.config import IstioEgressListener, MeshConfig, Sidecar
from roadstead.config.duration import seconds
from roadstead.mesh import ConnectionPool, EgressListener, HttpPool, Proxy, TcpPool, UnknownCluster
from roadstead.mesh.cluster import PASSTHROUGH_IDLE
from roadstead.mesh.listener import Paths
from roadstead.mesh.names import ALLOW_ANY_DYNAMIC, PASSTHROUGH

_SOCKET = "unix://"
# What Go reads as true.
_TRUE = ("1", "t", "T", "TRUE", "true", "True")


def proxy_of(env: Env, sidecar: Sidecar | None, exact: Iterable[bool] = ()) -> Proxy:
    """sidecar: the one in force. exact: of its egress listeners, whether they take no patterns.

    Unknown hosts are resolved by name only where no Sidecar says what becomes of them."""
    mesh = env.mesh
    settled = sidecar is not None and sidecar.outbound_traffic_policy is not None
    intercepted = env.node.metadata.get("INTERCEPTION_MODE") != "NONE"
    dynamic = mesh.outbound_traffic_policy.mode == "ALLOW_ANY_DYNAMIC_DNS" and env.node.type == "sidecar"
    return Proxy(
        listen_port=mesh.proxy_listen_port,
        connect_timeout=seconds(mesh.connect_timeout),
        keepalive=keepalive_of(mesh.tcp_keepalive, None),
        dns_refresh_rate=seconds(mesh.dns_refresh_rate),
        detection_timeout=seconds(mesh.protocol_detection_timeout),
        passthrough=_passthrough(mesh),
        dynamic_dns=dynamic and not settled,
        egress=()
        if sidecar is None
        else tuple([_listener(written, intercepted, by) for written, by in zip(sidecar.egress, exact, strict=True)]),
        http_port=http_port(env),
        unknown_tls=unknown_tls(mesh.outbound_traffic_policy.tls, mesh.tls_defaults) if dynamic else None,
        paths=_paths(mesh),
        stat_name=mesh.outbound_cluster_stat_name,
        callers=callers_of(env),
        idle_timeout=env.idle_timeout,
        intercepted=intercepted,
        privileged=env.node.metadata.get("UNPRIVILEGED_POD") not in _TRUE,
        reserved_ports=_reserved(env),
    )


def http_port(env: Env) -> int:
    """Where that proxy listens, 0: nowhere. A sidecar's own metadata comes before the mesh's setting."""
    if env.node.type != "sidecar":
        return 0
    try:
        return int(env.node.metadata.get("HTTP_PROXY_PORT", ""))
    except ValueError:
        return env.mesh.proxy_http_port


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _paths(mesh: MeshConfig) -> Paths:
    written = mesh.path_normalization
    return "BASE" if written is None or written.normalization == "DEFAULT" else written.normalization


def unknown_clusters(env: Env) -> tuple[UnknownCluster, UnknownCluster]:
    """How hosts are reached that nobody declared: where the caller dialled, and by their names."""
    mesh = env.mesh
    tcp = TcpPool(connect_timeout=seconds(mesh.connect_timeout), keepalive=keepalive_of(mesh.tcp_keepalive, None))
    pool = ConnectionPool(tcp, HttpPool(idle_timeout=PASSTHROUGH_IDLE, protocol="downstream"))
    tls = unknown_tls(mesh.outbound_traffic_policy.tls, mesh.tls_defaults)
    by_name = pool
    if tls is not None and (tls.auto_sni or tls.verify == "auto"):
        # As Istio has it where names in TLS are automatic.
        by_name = ConnectionPool(tcp)
    return UnknownCluster(PASSTHROUGH, _passthrough(mesh)), UnknownCluster(ALLOW_ANY_DYNAMIC, by_name, tls)


def _passthrough(mesh: MeshConfig) -> ConnectionPool:
    """The mesh's default limits, of which Istio forgets here how long a connection may idle or last."""
    defaults = mesh.default_traffic_policy
    made = pool_of(
        None if defaults is None else defaults.connection_pool,
        None,
        "downstream",
        seconds(mesh.connect_timeout),
        keepalive_of(mesh.tcp_keepalive, None),
    )
    tcp, http = made.tcp, made.http
    return ConnectionPool(
        TcpPool(tcp.max_connections, tcp.connect_timeout, tcp.keepalive),
        HttpPool(
            http.max_pending_requests,
            http.max_requests,
            http.max_retries,
            idle_timeout=PASSTHROUGH_IDLE,
            protocol="downstream",
        ),
    )


def _listener(written: IstioEgressListener, intercepted: bool, exact: bool) -> EgressListener:
    port, bind = written.port, written.bind
    captured = intercepted and written.capture_mode != "NONE" and not bind.startswith(_SOCKET)
    if port is None:
        return EgressListener(bind=bind, captured=captured, exact=exact)
    protocol = port.protocol.upper()
    table = bind if not port.number else str(port.number) if protocol == HTTP_PROXY else ""
    return EgressListener(port.number, protocol, bind, captured, table, exact)


def _reserved(env: Env) -> frozenset[int]:
    """Ports of the proxy's other listeners. Istio takes those that the metadata does not tell of for 0."""
    told = env.node.metadata
    status = {_number(told.get(name, "")) for name in ("ENVOY_STATUS_PORT", "ENVOY_PROMETHEUS_PORT")}
    metrics = {_number(told.get(f"ENVOY_SECURE_{name}_PORT", "")) for name in ("METRICS", "MERGED_METRICS")}
    return frozenset(status | (metrics - {0}) | {env.mesh.proxy_listen_port, env.mesh.proxy_inbound_listen_port})
