"""Requests that were on their way to an address: `route(..., original_destination=…)` as a sidecar decides them."""

from __future__ import annotations

import pytest

from roadstead import Registry
from roadstead.config import ClientTLSSettings, MeshConfig
from roadstead.config.mesh_config import MeshOutboundTrafficPolicy, ProxyPathNormalization
from roadstead.mesh import TlsOrigination

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.test]
  addresses: [{addresses}]
  ports: [{{number: {port}, name: p, protocol: "{protocol}"}}]
  resolution: STATIC
  endpoints: [{{address: {endpoint}}}]
---
"""
MESH = "".join(
    ENTRY.format(name=name, addresses=addresses, port=port, protocol=protocol, endpoint=endpoint)
    for name, addresses, port, protocol, endpoint in (
        ("sniffed", "10.0.0.1", 80, "", "192.0.2.1"),
        ("web", "", 80, "HTTP", "192.0.2.2"),
        ("db", "10.0.0.3", 80, "TCP", "192.0.2.3"),
        ("range", "10.9.0.0/16", 80, "TCP", "192.0.2.4"),
        ("plain", "", 81, "TCP", "192.0.2.5"),
    )
)


@pytest.mark.parametrize(
    ("dst", "host", "cluster", "kind"),
    [
        (("10.0.0.1", 80), "anything.example", "outbound|80||sniffed.test", "forward"),
        (("203.0.113.1", 80), "web.test", "outbound|80||web.test", "forward"),
        (("203.0.113.1", 80), "sniffed.test:99", "outbound|80||sniffed.test", "forward"),
        (("203.0.113.1", 80), "web.test..", "PassthroughCluster", "passthrough"),
        (("10.0.0.3", 80), "web.test", "outbound|80||db.test", "forward"),
        (("10.9.1.1", 80), "web.test", "outbound|80||range.test", "forward"),
        (("203.0.113.1", 81), "web.test", "outbound|81||plain.test", "forward"),
        (("203.0.113.1", 82), "web.test", "PassthroughCluster", "passthrough"),
    ],
)
def test_the_listener_decides(engine_name: str, dst: tuple[str, int], host: str, cluster: str, kind: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    decision = registry.route(host, original_destination=dst)
    assert (decision.cluster_name, decision.kind) == (cluster, kind)


@pytest.mark.parametrize(
    ("host", "dst", "cluster", "endpoint"),
    [
        ("other.example:8080", ("203.0.113.1", 82), "AllowAnyDynamicDNSCluster", ("other.example", 8080)),
        ("other.example", ("203.0.113.1", 80), "AllowAnyDynamicDNSCluster", ("other.example", 80)),
        ("other.example", ("203.0.113.1", 81), "outbound|81||plain.test", ("192.0.2.5", 81)),
    ],
)
def test_unknown_http_by_name(
    engine_name: str, host: str, dst: tuple[str, int], cluster: str, endpoint: tuple[str, int]
) -> None:
    mesh = MeshConfig(outbound_traffic_policy=MeshOutboundTrafficPolicy(mode="ALLOW_ANY_DYNAMIC_DNS"))
    registry = Registry.from_text(MESH, mesh=mesh, backend=engine_name)
    decision = registry.route(host, original_destination=dst)
    picked = decision.pick()
    assert (decision.cluster_name, (picked.address, picked.port)) == (cluster, endpoint)
    assert registry.connect("203.0.113.1", 82).cluster_name == "PassthroughCluster"


@pytest.mark.parametrize(
    ("mode", "path", "sent"),
    [
        ("DEFAULT", "/a/../b//c%2f%7e?x=/../y", "/b//c%2f~?x=/../y"),
        ("DEFAULT", "//a/b", "//a/b"),
        ("NONE", "/a/../b", "/a/../b"),
        ("MERGE_SLASHES", "//a//b", "/a/b"),
        ("DECODE_AND_MERGE_SLASHES", "/a%2fb%5Cc", "/a/b/c"),
    ],
)
def test_paths_are_normalised(engine_name: str, mode: str, path: str, sent: str) -> None:
    mesh = MeshConfig(path_normalization=ProxyPathNormalization(normalization=mode))
    registry = Registry.from_text(MESH, mesh=mesh, backend=engine_name)
    assert registry.route("web.test", 80, path).path == sent


def test_unknown_hosts_are_spoken_to_as_the_mesh_says(engine_name: str) -> None:
    tls = ClientTLSSettings(mode="SIMPLE", ca_certificates="/ca")
    policy = MeshOutboundTrafficPolicy(mode="ALLOW_ANY_DYNAMIC_DNS", tls=tls)
    mesh = MeshConfig(outbound_traffic_policy=policy, connect_timeout="3s")
    registry = Registry.from_text(MESH, mesh=mesh, backend=engine_name)
    by_name = registry.route("unknown.test", 80)
    assert by_name.cluster_name == "AllowAnyDynamicDNSCluster"
    assert by_name.tls == TlsOrigination("SIMPLE", ca="/ca", auto_sni=True, verify="auto")
    assert by_name.connection_pool.tcp.connect_timeout == 3.0
    straight = registry.connect("203.0.113.1", 82)
    assert straight.cluster_name == "PassthroughCluster"
    assert (straight.tls, straight.connection_pool.tcp.connect_timeout) == (None, 3.0)


def test_the_clusters_of_unknown_hosts_outlive_changes(engine_name: str) -> None:
    registry = Registry.from_text(MESH, backend=engine_name)
    before = registry.connect("203.0.113.1", 82).cluster
    registry.apply(put=MESH.replace("web.test", "other.test"))
    assert registry.connect("203.0.113.1", 82).cluster is before
