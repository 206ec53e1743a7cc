"""Rules of metadata, and of files that have none."""

from __future__ import annotations

import pytest

from roadstead.config import IstioNetworkGateway, MeshConfig, MeshNetworks, Network, TcpKeepalive
from roadstead.config.validate import validate_mesh

from .cases import said


@pytest.mark.parametrize(
    ("metadata", "code", "path"),
    [
        ("annotations: {istio.io/dry-run: 'true'}", "META-2", "metadata.annotations.istio.io/dry-run"),
        ("annotations: {internal.istio.io/parents: x}", "META-6", "metadata.annotations.internal.istio.io/parents"),
        ("creationTimestamp: yesterday", "DEC-7", "metadata.creationTimestamp"),
        ("creationTimestamp: '2024-01-01'", "DEC-7", "metadata.creationTimestamp"),
    ],
)
def test_wrong(metadata: str, code: str, path: str) -> None:
    assert said("ServiceEntry", "{hosts: [a.test]}", metadata=f"name: a, {metadata}") == [(code, path)]


@pytest.mark.parametrize("time", ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.123456Z", "2024-01-01t02:00:00+02:00"])
def test_times(time: str) -> None:
    assert said("ServiceEntry", "{hosts: [a.test]}", metadata=f"name: a, creationTimestamp: '{time}'") == []


def test_mesh_wide_files() -> None:
    assert validate_mesh(MeshConfig()) == ()
    found = validate_mesh(MeshConfig(connect_timeout="1x", tcp_keepalive=TcpKeepalive(time="0s")))
    assert sorted((each.code, each.path, each.pointer) for each in found) == [
        ("DEC-6", "connectTimeout", "/connectTimeout"),
        ("DEC-6", "tcpKeepalive.time", "/tcpKeepalive/time"),
    ]
    assert (
        validate_mesh(MeshNetworks(networks={"n": Network(gateways=(IstioNetworkGateway(address="a", port=1),))})) == ()
    )
