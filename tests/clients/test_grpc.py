"""Real calls through channels that block and those that do not, on both engines: a server of bytes, told what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.clients.authority import Authority
from tests.clients.grpc_server import CODE, Server, greeter
from tests.proxy.http2_peers import Stream, http2_server
from tests.proxy.running import until

from roadstead import Registry
from roadstead.clients.grpc import aio_channel, channel


class Blocking:
    def __init__(self, registry: Registry, **options: Any) -> None:
        self._made = (registry, options)

    def call(self, method: str, request: bytes, **rest: Any) -> Any:
        """The response, or a list of them; each call over a channel of its own."""
        with channel(self._made[0], "greeter.test:50051", **self._made[1]) as opened:
            return self.over(opened, method, request, rest)

    def calls(self, method: str, count: int) -> list[bytes]:
        with channel(self._made[0], "greeter.test:50051", **self._made[1]) as opened:
            return [self.over(opened, method, b"x", {}) for _ in range(count)]

    def over(self, opened: grpc.Channel, method: str, request: bytes, rest: dict[str, Any]) -> Any:
        path = f"/test.Greeter/{method}"
        if method == "many":
            return list(opened.unary_stream(path)(request, **rest))
        if method == "sum":
            return opened.stream_unary(path)(iter([request] * 3), **rest)
        if method == "chat":
            return list(opened.stream_stream(path)(iter([request] * 3), **rest))
        return opened.unary_unary(path)(request, **rest)


class Asynchronous(Blocking):
    def call(self, method: str, request: bytes, **rest: Any) -> Any:
        async def work() -> Any:
            async with aio_channel(self._made[0], "greeter.test:50051", **self._made[1]) as opened:
                return await self.aover(opened, method, request, rest)

        return asyncio.run(work())

    def calls(self, method: str, count: int) -> list[bytes]:
        async def work() -> list[bytes]:
            async with aio_channel(self._made[0], "greeter.test:50051", **self._made[1]) as opened:
                return [await self.aover(opened, method, b"x", {}) for _ in range(count)]

        return asyncio.run(work())

    async def aover(self, opened: grpc.aio.Channel, method: str, request: bytes, rest: dict[str, Any]) -> Any:
        path = f"/test.Greeter/{method}"
        if method == "many":
            return [one async for one in opened.unary_stream(path)(request, **rest)]
        if method == "sum":
            call = opened.stream_unary(path)(**rest)
            for _ in range(3):
                await call.write(request)
            await call.done_writing()
            return await call
        if method == "chat":
            call = opened.stream_stream(path)(**rest)
            said = []
            for _ in range(3):
                await call.write(request)
                said.append(await call.read())
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            return said
        return await opened.unary_unary(path)(request, **rest)


@pytest.fixture(params=[Blocking, Asynchronous])
def way(request: pytest.FixtureRequest) -> type[Blocking]:
    return request.param


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made = [Server(), Server()]
    yield made
    for one in made:
        one.stop()


def mesh(*ports: int, http: str = "", policy: str = "{}") -> str:
    return f"""{greeter(*ports, http=http)}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: greeter}}
spec:
  host: greeter.test
  trafficPolicy: {policy}
"""


NO_RETRIES = "retries: {attempts: 0}"
UNAVAILABLE = "retries: {attempts: 2, retryOn: unavailable}"
TURNS = "{loadBalancer: {simple: ROUND_ROBIN}}"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("one", b"echo hi"),
        ("many", [b"hi 0", b"hi 1", b"hi 2"]),
        ("sum", b"hi+hi+hi"),
        ("chat", [b"echo hi"] * 3),
    ],
)
def test_calls_of_each_kind(
    way: type[Blocking], servers: list[Server], engine_name: str, method: str, said: Any
) -> None:
    counted: list[tuple[int, int]] = []

    class Recorder:
        def count(self, exchange: Any, request_bytes: int, response_bytes: int, grpc_status: int) -> None:
            counted.append((exchange.step.status, grpc_status))

    registry = Registry.from_text(mesh(servers[0].port, http=NO_RETRIES), backend=engine_name)
    assert way(registry, recorder=Recorder()).call(method, b"hi") == said
    assert [name for name, _ in servers[0].calls] == [f"/test.Greeter/{method}"]
    assert counted == [(200, 0)]
    cluster = registry.cluster("outbound|50051||greeter.test")
    assert cluster is not None
    assert (cluster.stats["upstream_rq_active"], cluster.stats["upstream_rq_total"]) == (0, 1)


def test_each_call_is_balanced(way: type[Blocking], servers: list[Server], engine_name: str) -> None:
    registry = Registry.from_text(mesh(*[one.port for one in servers], policy=TURNS), backend=engine_name, seed=1)
    way(registry).calls("one", 6)
    assert [len(one.calls) for one in servers] == [3, 3]


@pytest.mark.parametrize("method", ["one", "many"])
def test_a_status_is_tried_again(way: type[Blocking], servers: list[Server], engine_name: str, method: str) -> None:
    servers[0].script.extend([CODE.UNAVAILABLE, CODE.UNAVAILABLE])
    registry = Registry.from_text(mesh(servers[0].port, http=UNAVAILABLE), backend=engine_name)
    way(registry).call(method, b"hi")
    assert [headers["x-envoy-attempt-count"] for _, headers in servers[0].calls] == ["1", "2", "3"]


@pytest.mark.parametrize(("code", "tries"), [(CODE.UNAVAILABLE, 3), (CODE.NOT_FOUND, 1)])
def test_what_is_left_of_tries(
    way: type[Blocking], servers: list[Server], engine_name: str, code: grpc.StatusCode, tries: int
) -> None:
    servers[0].script.extend([code] * 5)
    registry = Registry.from_text(mesh(servers[0].port, http=UNAVAILABLE), backend=engine_name)
    with pytest.raises(grpc.RpcError) as raised:
        way(registry).call("one", b"hi")
    assert (raised.value.code(), raised.value.details()) == (code, "as told")
    assert len(servers[0].calls) == tries


def test_another_endpoint_is_tried(way: type[Blocking], servers: list[Server], engine_name: str) -> None:
    servers[1].stop()
    rule = "retries: {attempts: 2, retryOn: 'connect-failure,unavailable'}"
    text = mesh(*[one.port for one in servers], policy=TURNS, http=rule)
    assert way(Registry.from_text(text, backend=engine_name, seed=1)).calls("one", 4) == [b"echo x"] * 4


def test_nobody_listens(way: type[Blocking], servers: list[Server], engine_name: str) -> None:
    servers[0].stop()
    registry = Registry.from_text(mesh(servers[0].port, http=NO_RETRIES), backend=engine_name)
    with pytest.raises(grpc.RpcError) as raised:
        way(registry).call("one", b"hi")
    assert raised.value.code() is CODE.UNAVAILABLE
    assert "upstream connect error" in raised.value.details()


@pytest.mark.parametrize(("rule", "rest"), [("timeout: 0.5s", {}), ("timeout: 60s", {"timeout": 0.5})])
def test_the_time_of_a_call(
    way: type[Blocking], servers: list[Server], engine_name: str, rule: str, rest: dict[str, Any]
) -> None:
    servers[0].script.append(30.0)
    registry = Registry.from_text(mesh(servers[0].port, http=f"{rule}\n    {NO_RETRIES}"), backend=engine_name)
    with pytest.raises(grpc.RpcError) as raised:
        way(registry).call("one", b"hi", **rest)
    assert raised.value.code() in (CODE.DEADLINE_EXCEEDED, CODE.UNAVAILABLE)
    assert "upstream request timeout" in raised.value.details()


def test_metadata_and_path_are_changed(way: type[Blocking], servers: list[Server], engine_name: str) -> None:
    rule = (
        "match: [{uri: {prefix: /test.Greeter/}}]\n    rewrite: {uri: /old.Greeter/, authority: old.test}\n"
        "    headers: {request: {set: {x-version: '2'}, remove: [x-secret]}}"
    )
    registry = Registry.from_text(mesh(servers[0].port, http=rule), backend=engine_name)
    metadata = (("x-secret", "s"), ("x-mine", "1"), ("x-raw-bin", b"\x00\xff"))
    way(registry).call("one", b"hi", metadata=metadata)
    [(name, headers)] = servers[0].calls
    assert name == "/old.Greeter/one"
    assert (headers["x-version"], headers.get("x-secret"), headers["x-mine"]) == ("2", None, "1")
    assert headers["x-raw-bin"] == b"\x00\xff"


def test_what_is_answered_here(way: type[Blocking], servers: list[Server], engine_name: str) -> None:
    rule = "fault: {abort: {percentage: {value: 100}, grpcStatus: PERMISSION_DENIED}}"
    registry = Registry.from_text(mesh(servers[0].port, http=rule), backend=engine_name)
    with pytest.raises(grpc.RpcError) as raised:
        way(registry).call("one", b"hi")
    assert raised.value.code() is CODE.PERMISSION_DENIED
    assert servers[0].calls == []


def test_a_stream_that_fails(way: type[Blocking], servers: list[Server], engine_name: str) -> None:
    registry = Registry.from_text(mesh(servers[0].port, http=UNAVAILABLE), backend=engine_name)
    with pytest.raises(grpc.RpcError) as raised:
        way(registry).call("many", b"fail")
    assert raised.value.code() is CODE.DATA_LOSS
    cluster = registry.cluster("outbound|50051||greeter.test")
    assert cluster is not None
    assert cluster.stats["upstream_rq_active"] == 0


@pytest.mark.parametrize(("name", "fails"), [("greeter.example.com", False), ("other.example.com", True)])
def test_tls_is_originated(way: type[Blocking], engine_name: str, tmp_path: Any, name: str, fails: bool) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server", "greeter.example.com")
    files = ((pair.key.read_bytes(), pair.certificate.read_bytes()),)
    server = Server(grpc.ssl_server_credentials(files))
    policy = f"{{tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: {name}, subjectAltNames: [{name}]}}}}"
    registry = Registry.from_text(mesh(server.port, http=NO_RETRIES, policy=policy), backend=engine_name)
    if fails:
        with pytest.raises(grpc.RpcError) as raised:
            way(registry).call("one", b"hi")
        assert raised.value.code() is CODE.UNAVAILABLE
    else:
        assert way(registry).call("one", b"hi") == b"echo hi"
    server.stop()


def test_a_future(servers: list[Server], engine_name: str) -> None:
    registry = Registry.from_text(mesh(servers[0].port), backend=engine_name)
    with channel(registry, "greeter.test:50051") as opened:
        call = opened.unary_unary("/test.Greeter/one").future(b"hi")
        assert (call.result(), call.code()) == (b"echo hi", CODE.OK)
        response, told = opened.unary_unary("/test.Greeter/one").with_call(b"hi")
        assert (response, dict(told.initial_metadata())["x-by"]) == (b"echo hi", str(servers[0].port))


@pytest.mark.parametrize("answers", [True, False])
async def test_connections_are_asked_whether_they_live(engine_name: str, answers: bool) -> None:
    """http2KeepAlive: by gRPC's own pings; a server that answers none is gone, with what was on its way there."""

    async def silent(stream: Stream) -> None:
        await asyncio.Event().wait()

    policy = "{connectionPool: {http: {http2KeepAlive: {interval: 0.1s, timeout: 0.2s}}}}"
    async with http2_server(silent) as server:
        registry = Registry.from_text(mesh(server.port, http=NO_RETRIES, policy=policy), backend=engine_name)
        async with aio_channel(registry, "greeter.test:50051") as opened:
            asked = asyncio.ensure_future(opened.unary_unary("/test.Greeter/one")(b"hi"))
            await until(lambda: server.requests)
            if answers:
                await until(lambda: server.peers[0].pings >= 3)
                assert not asked.done()
                asked.cancel()
            else:
                server.peers[0].writer.transport.pause_reading()
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await asked
                assert raised.value.code() is CODE.UNAVAILABLE


async def test_idle_connections_are_closed(engine_name: str) -> None:
    async with http2_server(ok) as server:
        policy = "{connectionPool: {http: {idleTimeout: 1s}}}"
        registry = Registry.from_text(mesh(server.port, policy=policy), backend=engine_name)
        async with aio_channel(registry, "greeter.test:50051") as opened:
            one = opened.unary_unary("/test.Greeter/one")
            assert await one(b"hi") == b"hi"
            await until(lambda: server.peers[0].is_closed)
            assert await one(b"hi") == b"hi"
            assert len(server.peers) == 2


async def ok(stream: Stream) -> None:
    """Say what came, as gRPC does."""
    await stream.done()
    stream.head([(":status", "200"), ("content-type", "application/grpc")])
    await stream.send(stream.body)
    stream.end(("grpc-status", "0"))
