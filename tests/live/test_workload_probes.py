"""Probes of WorkloadGroups on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.clients.authority import Authority
from tests.health.grpc_server import GrpcServer
from tests.health.server import HealthServer
from tests.live.test_live import until

from roadstead import Live, NoHealthyEndpoint, Registry

NAME = "outbound|80||s.test"
MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: s}}
spec:
  hosts: [s.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  workloadSelector: {{labels: {{app: s}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: w}}
spec: {{address: 127.0.0.1, ports: {{http: 1}}, labels: {{app: s}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {{name: g}}
spec:
  template: {{labels: {{app: s}}}}
  probe: {{periodSeconds: 1, timeoutSeconds: 9, {probe}}}
"""


def health(registry: Registry) -> str:
    cluster = registry.cluster(NAME)
    assert cluster is not None
    return cluster.endpoints[0].health


async def test_a_workload_is_taken_out_and_back(engine_name: str) -> None:
    """Though nobody talks to it, each second; a bad answer counts like any failure."""
    async with HealthServer("error") as server:
        get = f"httpGet: {{port: {server.port}, path: /ready}}, failureThreshold: 2, successThreshold: 2"
        registry = Registry.from_text(MESH.format(probe=get), backend=engine_name)
        async with Live(registry) as live:
            assert health(registry) == "unhealthy"
            with pytest.raises(NoHealthyEndpoint):
                registry.route("s.test").pick()
            await server.asked(1)
            server.behaviour = "ok"
            await until(lambda: health(registry) == "healthy")
            assert len(server.requests) >= 3
            server.behaviour = "error"
            before = len(server.requests)
            await until(lambda: health(registry) == "unhealthy")
            assert len(server.requests) >= before + 2
            assert [(event.endpoint, event.what) for event in live.history()] == [
                ("127.0.0.1:1", "returned"),
                ("127.0.0.1:1", "ejected"),
            ]
            assert live.status().failed == []
    head = server.requests[0].lower().split("\r\n")
    assert head[0] == "get /ready http/1.1"
    assert {f"host: 127.0.0.1:{server.port}", "user-agent: istio-probe/1.0"} <= set(head)


async def test_a_group_that_comes_and_goes(engine_name: str) -> None:
    async with HealthServer("error") as server:
        *others, group = MESH.format(probe=f"httpGet: {{port: {server.port}}}").split("---")
        registry = Registry.from_text("---".join(others), backend=engine_name)
        async with Live(registry) as live:
            assert (health(registry), live.status().checks) == ("unknown", [])
            registry.apply(put=group)
            await until(lambda: health(registry) == "unhealthy")
            registry.apply(delete="WorkloadGroup/default/g")
            await until(lambda: live.status().checks == [])
            assert health(registry) == "unknown"


async def test_calls(engine_name: str) -> None:
    async with GrpcServer() as server:
        call = f"grpc: {{port: {server.port}, service: shop}}"
        registry = Registry.from_text(MESH.format(probe=call), backend=engine_name)
        async with Live(registry):
            await until(lambda: health(registry) == "healthy")
            server.behaviour = "not_serving"
            await until(lambda: health(registry) == "unhealthy")
    assert server.calls[0][0][":authority"] == f"127.0.0.1:{server.port}"


async def test_connections(engine_name: str) -> None:
    async with HealthServer("silent") as server:
        socket = f"tcpSocket: {{port: {server.port}}}"
        registry = Registry.from_text(MESH.format(probe=socket), backend=engine_name)
        async with Live(registry):
            await until(lambda: health(registry) == "healthy")
            await server.stop()
            await until(lambda: health(registry) == "unhealthy")


@asynccontextmanager
async def redirecting(folder: Path) -> AsyncIterator[int]:
    """A server with a certificate that nobody signed, which sends everybody elsewhere; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    authority = Authority(folder)
    context = authority.server(authority.sign("nobody", "nobody.test"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_https_is_taken_from_anybody(engine_name: str, tmp_path: Path) -> None:
    async with redirecting(tmp_path) as port:
        get = f"httpGet: {{port: {port}, scheme: HTTPS}}"
        registry = Registry.from_text(MESH.format(probe=get), backend=engine_name)
        async with Live(registry):
            await until(lambda: health(registry) == "healthy")


def test_what_is_said_of_it() -> None:
    said = {
        dialect: [
            (one.code, one.severity, one.path)
            for one in Registry.from_text(MESH.format(probe=probe), dialect=dialect).diagnostics
            if "probe" in one.path
        ]
        for dialect, probe in (("istio", "tcpSocket: {port: 1}"), ("extended", "tcpSocket: {port: 1}"))
    }
    assert said == {
        "istio": [("EFF-1", "info", "spec.probe")],
        "extended": [("EXT-11", "warning", "spec.probe")],
    }
    command = Registry.from_text(MESH.format(probe="exec: {command: [ls]}"))
    (found,) = [one for one in command.diagnostics if one.code == "EXT-11"]
    assert (found.path, found.message) == ("spec.probe.exec", "a command cannot be run from here: nothing is probed")
