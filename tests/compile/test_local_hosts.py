"""Hosts whose endpoints only clients of their own cluster are sent to."""

from __future__ import annotations

import pytest
from tests.compile.one_client import OneClient

from roadstead.compile.local_hosts import local_hosts
from roadstead.config import MeshConfig, ProxyConfig, ServiceSettings, ServiceSettingsFlags
from roadstead.mesh import Node

LOCAL = ServiceSettingsFlags(cluster_local=True)
ENTRY = """
kind: ServiceEntry
spec:
  hosts: [a.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1}]
"""
MESH = "{serviceSettings: [{settings: {clusterLocal: true}, hosts: ['*.test']}]}"


def settings(*written: ServiceSettings, discovery: str = "") -> MeshConfig:
    return MeshConfig(service_settings=written, default_config=ProxyConfig(discovery_address=discovery))


@pytest.mark.parametrize(
    ("mesh", "host", "local"),
    [
        (settings(), "a.test", False),
        (settings(), "dns.kube-system.svc.cluster.local", True),
        (settings(), "kubernetes.default.svc.cluster.local", True),
        (settings(), "istiod.istio-system.svc.cluster.local", True),
        (settings(discovery="own.here.svc:15012"), "own.here.svc.cluster.local", True),
        (settings(discovery="own.here.svc:15012"), "istiod.istio-system.svc.cluster.local", False),
        (settings(discovery="no port"), "istiod.istio-system.svc.cluster.local", False),
        (settings(ServiceSettings(settings=LOCAL, hosts=("*.test",))), "a.test", True),
        (settings(ServiceSettings(settings=LOCAL, hosts=("*.test",))), "*.b.test", True),
        (settings(ServiceSettings(settings=LOCAL, hosts=("a.test",))), "b.test", False),
        (
            settings(ServiceSettings(settings=LOCAL, hosts=("*.test",)), ServiceSettings(hosts=("*.b.test",))),
            "a.b.test",
            False,
        ),
        # What is said not to be local takes the default away, for all of it.
        (
            settings(ServiceSettings(hosts=("a.kube-system.svc.cluster.local",))),
            "b.kube-system.svc.cluster.local",
            False,
        ),
    ],
)
def test_the_closest_setting_decides(mesh: MeshConfig, host: str, local: bool) -> None:
    assert local_hosts(mesh).takes(host) is local


@pytest.mark.parametrize(("cluster", "groups"), [("Kubernetes", 1), ("other", 0)])
def test_clients_of_another_cluster_get_no_endpoints(cluster: str, groups: int) -> None:
    client = OneClient(ENTRY, mesh=MESH, node=Node(cluster=cluster))
    assert len(client.clusters("a.test")["80"].groups) == groups
