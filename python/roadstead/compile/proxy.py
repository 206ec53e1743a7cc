"""The mesh-wide settings that no service has for itself, for one client."""

from __future__ import annotations

from collections.abc import Iterable

from roadstead.compile.connection_pool import keepalive_of
from roadstead.compile.inputs import Env
from roadstead.config import Gateway, IstioEgressListener, Sidecar
from roadstead.config.duration import seconds
from roadstead.mesh import EgressListener, Proxy


def proxy_of(env: Env, sidecar: Sidecar | None, gateways: Iterable[Gateway]) -> Proxy:
    """sidecar: the one in force. gateways: of a router.

    Unknown hosts are resolved by name only where no Sidecar says what becomes of them."""
    mesh = env.mesh
    settled = sidecar is not None and sidecar.outbound_traffic_policy is not None
    return Proxy(
        listen_port=mesh.proxy_listen_port,
        connect_timeout=seconds(mesh.connect_timeout),
        keepalive=keepalive_of(mesh.tcp_keepalive, None),
        dns_refresh_rate=seconds(mesh.dns_refresh_rate),
        detection_timeout=seconds(mesh.protocol_detection_timeout),
        dynamic_dns=mesh.outbound_traffic_policy.mode == "ALLOW_ANY_DYNAMIC_DNS"
        and env.node.type == "sidecar"
        and not settled,
        by_cluster_name=any(
            server.tls is not None and server.tls.mode == "AUTO_PASSTHROUGH"
            for gateway in gateways
            for server in gateway.servers
        ),
        egress=() if sidecar is None else tuple([_listener(written) for written in sidecar.egress]),
    )


def _listener(written: IstioEgressListener) -> EgressListener:
    port = written.port
    if port is None:
        return EgressListener(bind=written.bind, captured=written.capture_mode != "NONE")
    return EgressListener(port.number, port.protocol.upper(), written.bind, written.capture_mode != "NONE")
