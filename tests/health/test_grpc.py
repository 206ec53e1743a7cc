"""One gRPC check against a real server."""

from __future__ import annotations

from concurrent import futures

import grpc
import pytest
from tests.health.grpc_server import Behaviour, GrpcServer
from tests.health.server import HealthServer

from roadstead.health import Result
from roadstead.health.probes import probe
from roadstead.health.target import Target
from roadstead.mesh import HealthCheck

CHECK = HealthCheck(1, 10, 1, 1, "grpc", headers=(("X-Check", "yes"),), service="shop.Orders")
HASTY = HealthCheck(1, 0.3, 1, 1, "grpc")


@pytest.mark.parametrize(
    ("behaviour", "result"),
    [
        ("serving", "passed"),
        ("late_fields", "passed"),
        ("farewell", "passed"),
        ("not_serving", "bad"),
        ("nothing", "bad"),
        ("two_messages", "bad"),
        ("not_found", "bad"),
        ("unimplemented", "bad"),
        ("no_status", "bad"),
        ("early_status", "bad"),
        ("endless", "bad"),
        ("other_type", "bad"),
        ("http_404", "bad"),
        ("reset", "network"),
        ("cut", "network"),
        ("goaway", "network"),
        ("garbage", "network"),
    ],
)
async def test_grpc(behaviour: Behaviour, result: Result) -> None:
    async with GrpcServer(behaviour) as server:
        assert await probe(Target("127.0.0.1", server.port, CHECK, "api.test")) == result
        ((head, body),) = server.calls
    told = {":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Check", ":authority": "api.test"}
    told |= {
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "Envoy/HC",
        "x-check": "yes",
        "grpc-timeout": "10000m",
    }
    assert head == told
    assert body == b"\0\0\0\0\x0d\x0a\x0bshop.Orders"


async def test_no_answer_in_time() -> None:
    async with GrpcServer("silent") as server:
        assert await probe(Target("127.0.0.1", server.port, HASTY, "api.test")) == "timeout"
        assert server.calls[0][1] == bytes(5)


async def test_no_server_of_http2() -> None:
    async with HealthServer("error") as server:
        assert await probe(Target("127.0.0.1", server.port, CHECK, "api.test")) == "network"
    assert await probe(Target("127.0.0.1", server.port, CHECK, "api.test")) == "network"


@pytest.mark.parametrize(("service", "result"), [("", "passed"), ("shop.Orders", "bad")])
async def test_a_server_of_grpcio(service: str, result: Result) -> None:
    class Health(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if details.method != "/grpc.health.v1.Health/Check":
                return None
            return grpc.unary_unary_rpc_method_handler(self.check)

        def check(self, request: bytes, context: grpc.ServicerContext) -> bytes:
            if request:
                context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
            return b"\x08\x01"

    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Health(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        check = HealthCheck(1, 10, 1, 1, "grpc", service=service)
        assert await probe(Target("127.0.0.1", port, check, "api.test")) == result
    finally:
        server.stop(None).wait()
