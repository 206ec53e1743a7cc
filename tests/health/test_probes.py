"""One check against a real server."""

from __future__ import annotations

import pytest
from tests.health.server import Behaviour, HealthServer

from roadstead.health import Result
from roadstead.health.probes import probe
from roadstead.health.target import Target
from roadstead.mesh import HealthCheck

CHECK = HealthCheck(1, 0.3, 1, 1, path="/health", headers=(("x-health-check", "istio"),))
TCP = HealthCheck(1, 0.3, 1, 1, "tcp")
PATIENT = HealthCheck(1, 10, 1, 1, path="/health", headers=(("x-health-check", "istio"),))


@pytest.mark.parametrize(
    ("behaviour", "result"),
    [
        ("ok", "passed"),
        ("degraded", "degraded"),
        ("error", "bad"),
        ("cut", "network"),
        ("garbage", "network"),
    ],
)
async def test_http(behaviour: Behaviour, result: Result) -> None:
    async with HealthServer(behaviour) as server:
        assert await probe(Target("127.0.0.1", server.port, PATIENT, "api.test")) == result
    head = server.requests[0].lower().split("\r\n")
    assert head[0] == "get /health http/1.1"
    assert {"host: api.test", "user-agent: envoy/hc", "x-health-check: istio"} <= set(head)


async def test_no_answer_in_time() -> None:
    async with HealthServer("silent") as server:
        assert await probe(Target("127.0.0.1", server.port, CHECK, "api.test")) == "timeout"


async def test_nobody_listens() -> None:
    async with HealthServer() as server:
        pass
    assert await probe(Target("127.0.0.1", server.port, PATIENT, "api.test")) == "network"
    assert await probe(Target("/nowhere/socket", 0, PATIENT, "api.test")) == "network"


async def test_tcp_is_content_with_a_connection() -> None:
    async with HealthServer("silent") as server:
        assert await probe(Target("127.0.0.1", server.port, TCP, "")) == "passed"
    assert await probe(Target("127.0.0.1", server.port, TCP, "")) == "network"
