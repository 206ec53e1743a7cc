"""Mesh-wide settings for one client."""

from __future__ import annotations

import pytest
from tests.compile.one_client import OneClient

from roadstead.compile.proxy import proxy_of, unknown_clusters
from roadstead.config import OutboundTrafficPolicy, Sidecar
from roadstead.mesh import Keepalive, Node, Proxy, TlsOrigination

DYNAMIC = "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}"


def proxy(mesh: str = "{}", sidecar: Sidecar | None = None, **node: object) -> Proxy:
    return proxy_of(OneClient("", mesh=mesh, node=Node(**node)).env, sidecar)  # type: ignore[arg-type]


def test_without_settings() -> None:
    assert proxy() == Proxy()


@pytest.mark.parametrize(
    ("mesh", "node", "port"),
    [
        ("{}", {}, 0),
        ("{proxyHttpPort: 15002}", {}, 15002),
        ("{proxyHttpPort: 15002}", {"metadata": {"HTTP_PROXY_PORT": "15007"}}, 15007),
        ("{proxyHttpPort: 15002}", {"metadata": {"HTTP_PROXY_PORT": "0"}}, 0),
        ("{proxyHttpPort: 15002}", {"metadata": {"HTTP_PROXY_PORT": "none"}}, 15002),
        ("{proxyHttpPort: 15002}", {"type": "router"}, 0),
    ],
)
def test_a_proxy_for_the_workload(mesh: str, node: dict[str, object], port: int) -> None:
    assert proxy(mesh, **node).http_port == port


@pytest.mark.parametrize(
    ("mesh", "paths"),
    [
        ("{}", "BASE"),
        ("{pathNormalization: {}}", "BASE"),
        ("{pathNormalization: {normalization: NONE}}", "NONE"),
        ("{pathNormalization: {normalization: MERGE_SLASHES}}", "MERGE_SLASHES"),
    ],
)
def test_what_becomes_of_paths(mesh: str, paths: str) -> None:
    assert proxy(mesh).paths == paths


def test_tls_to_unknown_hosts_is_for_those_that_are_looked_up() -> None:
    tls = TlsOrigination("SIMPLE", auto_sni=True, verify="auto")
    assert proxy(f"{{{DYNAMIC}}}").unknown_tls == tls
    assert proxy(f"{{{DYNAMIC}}}".replace("_DYNAMIC_DNS", "")).unknown_tls is None
    assert proxy(f"{{{DYNAMIC}}}", type="router").unknown_tls is None
    # Where a Sidecar decides about unknown hosts, none is looked up.
    decided = Sidecar(outbound_traffic_policy=OutboundTrafficPolicy(mode="ALLOW_ANY"))
    assert proxy(f"{{{DYNAMIC}}}", decided).dynamic_dns is False


def test_what_a_resolver_is_told() -> None:
    made = proxy("{dnsRefreshRate: 7s, proxyListenPort: 15999, protocolDetectionTimeout: 2s}")
    assert (made.dns_refresh_rate, made.listen_port, made.detection_timeout) == (7.0, 15999, 2.0)


def test_how_unknown_hosts_are_reached() -> None:
    env = OneClient("", mesh=f"{{connectTimeout: 3s, tcpKeepalive: {{time: 9s}}, {DYNAMIC}}}").env
    passthrough, dynamic = unknown_clusters(env)
    assert (passthrough.name, dynamic.name) == ("PassthroughCluster", "AllowAnyDynamicDNSCluster")
    for cluster in (passthrough, dynamic):
        tcp = cluster.connection_pool.tcp
        assert (tcp.connect_timeout, tcp.keepalive) == (3.0, Keepalive(time=9.0))
    assert passthrough.tls is None
    assert (passthrough.connection_pool.http.protocol, passthrough.connection_pool.http.idle_timeout) == (
        "downstream",
        300.0,
    )
    # Automatic names in TLS take the place of what else was said about HTTP.
    assert dynamic.tls == TlsOrigination("SIMPLE", auto_sni=True, verify="auto")
    assert (dynamic.connection_pool.http.protocol, dynamic.connection_pool.http.idle_timeout) == ("http1", None)
