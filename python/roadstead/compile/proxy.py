"""The mesh-wide settings that no service has for itself, for one client."""

from __future__ import annotations

from collections.abc import Iterable

from roadstead.compile.connection_pool import keepalive_of, pool_of
from roadstead.compile.inputs import Env
from roadstead.compile.tls import unknown_tls
from roadstead.config import Gateway, IstioEgressListener, MeshConfig, Sidecar
from roadstead.config.duration import seconds
from roadstead.mesh import ConnectionPool, EgressListener, HttpPool, Proxy, TcpPool, UnknownCluster
from roadstead.mesh.cluster import PASSTHROUGH_IDLE
from roadstead.mesh.listener import Paths
from roadstead.mesh.names import ALLOW_ANY_DYNAMIC, PASSTHROUGH


def proxy_of(env: Env, sidecar: Sidecar | None, gateways: Iterable[Gateway]) -> Proxy:
    """sidecar: the one in force. gateways: of a router.

    Unknown hosts are resolved by name only where no Sidecar says what becomes of them."""
    mesh = env.mesh
    settled = sidecar is not None and sidecar.outbound_traffic_policy is not None
    dynamic = mesh.outbound_traffic_policy.mode == "ALLOW_ANY_DYNAMIC_DNS" and env.node.type == "sidecar"
    return Proxy(
        listen_port=mesh.proxy_listen_port,
        connect_timeout=seconds(mesh.connect_timeout),
        keepalive=keepalive_of(mesh.tcp_keepalive, None),
        dns_refresh_rate=seconds(mesh.dns_refresh_rate),
        detection_timeout=seconds(mesh.protocol_detection_timeout),
        passthrough=_passthrough(mesh),
        dynamic_dns=dynamic and not settled,
        by_cluster_name=any(
            server.tls is not None and server.tls.mode == "AUTO_PASSTHROUGH"
            for gateway in gateways
            for server in gateway.servers
        ),
        egress=() if sidecar is None else tuple([_listener(written) for written in sidecar.egress]),
        http_port=_http_port(env),
        unknown_tls=unknown_tls(mesh.outbound_traffic_policy.tls, mesh.tls_defaults) if dynamic else None,
        paths=_paths(mesh),
        stat_name=mesh.outbound_cluster_stat_name,
    )


def _http_port(env: Env) -> int:
    """A sidecar's own metadata comes before the mesh's setting."""
    if env.node.type != "sidecar":
        return 0
    try:
        return int(env.node.metadata.get("HTTP_PROXY_PORT", ""))
    except ValueError:
        return env.mesh.proxy_http_port


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


def _listener(written: IstioEgressListener) -> EgressListener:
    port = written.port
    if port is None:
        return EgressListener(bind=written.bind, captured=written.capture_mode != "NONE")
    return EgressListener(port.number, port.protocol.upper(), written.bind, written.capture_mode != "NONE")
