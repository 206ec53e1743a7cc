"""gRPC through the proxy, by gRPC's own client and server: it sends a CONNECT, and speaks HTTP/2 in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry
from tests.clients.authority import Authority
from tests.clients.grpc_server import CODE, Server, greeter
from tests.proxy.running import CLOSED, Running, running, until

from roadstead import Registry
from roadstead.metrics.istio import RequestRecorder

UNAVAILABLE = "retries: {attempts: 2, retryOn: unavailable, backoff: 1ms}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@asynccontextmanager
async def calling(proxy: Running, target: str = "greeter.test:50051") -> AsyncIterator[grpc.aio.Channel]:
    """A channel of a program that knows nothing but its proxy."""
    options = [("grpc.http_proxy", f"http://127.0.0.1:{proxy.port}"), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        yield channel


async def test_calls_of_each_kind(server: Server, engine_name: str) -> None:
    async with running(greeter(server.port), engine_name, config=CLOSED) as proxy, calling(proxy) as channel:
        assert await channel.unary_unary("/test.Greeter/one")(b"hi") == b"echo hi"
        call = channel.unary_stream("/test.Greeter/many")(b"hi")
        assert [one async for one in call] == [b"hi 0", b"hi 1", b"hi 2"]
        assert await channel.stream_unary("/test.Greeter/sum")(iter([b"a", b"b"])) == b"a+b"
        chat = channel.stream_stream("/test.Greeter/chat")()
        for word in (b"one", b"two"):
            # Each answer before the next question: nothing waits for the end of a side.
            await chat.write(word)
            assert await chat.read() == b"echo " + word
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF
        assert await chat.code() is CODE.OK
        for line in await proxy.log(4):
            assert (line["protocol"], line["response_code"], line["method"]) == ("HTTP/2", 200, "POST")
            assert line["upstream_cluster"] == "outbound|50051||greeter.test"
            assert line["response_flags"] == "-"
    cluster = proxy.registry.cluster("outbound|50051||greeter.test")
    assert cluster is not None
    assert (cluster.stats["upstream_rq_active"], cluster.stats["upstream_rq_total"]) == (0, 4)


async def test_a_program_that_honours_http_proxy(
    server: Server, engine_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(greeter(server.port), engine_name) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel("greeter.test:50051", options=options) as channel:
            assert await channel.unary_unary("/test.Greeter/one")(b"hi") == b"echo hi"


async def test_metadata_both_ways(server: Server, engine_name: str) -> None:
    rule = "headers: {request: {set: {x-version: '2'}, remove: [x-secret]}, response: {set: {x-seen: '1'}}}"
    async with running(greeter(server.port, http=rule), engine_name) as proxy, calling(proxy) as channel:
        metadata = (("x-secret", "s"), ("x-mine", "1"), ("x-raw-bin", b"\x00\xff"))
        call = channel.unary_unary("/test.Greeter/one")(b"hi", metadata=metadata)
        assert await call == b"echo hi"
        told = dict(await call.initial_metadata())
        assert (told["x-by"], told["x-seen"]) == (str(server.port), "1")
        [(_, headers)] = server.calls
        assert (headers["x-version"], headers.get("x-secret"), headers["x-mine"]) == ("2", None, "1")
        assert headers["x-raw-bin"] == b"\x00\xff"


async def test_a_status_is_tried_again(server: Server, engine_name: str) -> None:
    """The server's answer is of trailers only; the retry sees its grpc-status."""
    server.script.extend([CODE.UNAVAILABLE, CODE.UNAVAILABLE])
    async with running(greeter(server.port, http=UNAVAILABLE), engine_name) as proxy, calling(proxy) as channel:
        assert await channel.unary_unary("/test.Greeter/one")(b"hi") == b"echo hi"
        assert len(server.calls) == 3
        assert server.calls[-1][1]["x-envoy-attempt-count"] == "3"


@pytest.mark.parametrize(("code", "tries"), [(CODE.UNAVAILABLE, 3), (CODE.NOT_FOUND, 1)])
async def test_what_is_left_of_tries(server: Server, engine_name: str, code: grpc.StatusCode, tries: int) -> None:
    server.script.extend([code] * 5)
    async with running(greeter(server.port, http=UNAVAILABLE), engine_name) as proxy, calling(proxy) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary("/test.Greeter/one")(b"hi")
        assert (raised.value.code(), raised.value.details()) == (code, "as told")
        assert len(server.calls) == tries


async def test_a_stream_that_fails_in_the_middle(server: Server, engine_name: str) -> None:
    """The status in the trailers reaches the client, and the metrics."""
    registry = Registry.from_text(greeter(server.port), backend=engine_name)
    recorder = RequestRecorder(registry)
    async with running(registry, requests=recorder) as proxy, calling(proxy) as channel:
        call = channel.unary_stream("/test.Greeter/many")(b"fail")
        assert [await call.read() for _ in range(3)] == [b"fail 0", b"fail 1", b"fail 2"]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert (raised.value.code(), raised.value.details()) == (CODE.DATA_LOSS, "in the middle")
        await proxy.log(1)
    collected = CollectorRegistry()
    collected.register(recorder)
    [sample] = [one for family in collected.collect() for one in family.samples if one.name == "istio_requests_total"]
    assert (sample.value, sample.labels["request_protocol"]) == (1, "grpc")
    assert sample.labels["grpc_response_status"] == str(CODE.DATA_LOSS.value[0])


@pytest.mark.parametrize(("rule", "rest"), [("timeout: 0.3s", {}), ("timeout: 60s", {"timeout": 0.3})])
async def test_deadlines(server: Server, engine_name: str, rule: str, rest: dict[str, float]) -> None:
    """The route's, or the call's own: the server hears of it."""
    server.script.append(30.0)
    text = greeter(server.port, http=f"{rule}\n    retries: {{attempts: 0}}")
    async with running(text, engine_name) as proxy, calling(proxy) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary("/test.Greeter/one")(b"hi", **rest)
        assert raised.value.code() in (CODE.DEADLINE_EXCEEDED, CODE.UNAVAILABLE)
        [line] = await proxy.log(1)
        assert line["response_flags"] in ("UT", "DC")
        server.gone.set()


async def test_what_the_proxy_answers_itself(server: Server, engine_name: str) -> None:
    """In gRPC's words: a fault, an endpoint that is not there, a host nobody declared."""
    rule = "fault: {abort: {percentage: {value: 100}, grpcStatus: PERMISSION_DENIED}}"
    async with running(greeter(server.port, http=rule), engine_name) as proxy, calling(proxy) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary("/test.Greeter/one")(b"hi")
        assert (raised.value.code(), server.calls) == (CODE.PERMISSION_DENIED, [])
    server.stop()
    async with (
        running(greeter(server.port, http="retries: {attempts: 0}"), engine_name) as proxy,
        calling(proxy) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary("/test.Greeter/one")(b"hi")
        assert raised.value.code() is CODE.UNAVAILABLE
        assert "upstream connect error" in (raised.value.details() or "")


async def test_a_client_that_cancels(server: Server, engine_name: str) -> None:
    server.script.append(30.0)
    async with running(greeter(server.port), engine_name) as proxy, calling(proxy) as channel:
        call = channel.unary_unary("/test.Greeter/one")(b"hi")
        asked = asyncio.ensure_future(call)
        await until(lambda: server.calls)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        [line] = await proxy.log(1)
        assert line["response_flags"] == "DC"
        server.gone.set()
        server.script.clear()
        assert await channel.unary_unary("/test.Greeter/one")(b"hi") == b"echo hi"


async def test_calls_are_balanced_and_weighted(server: Server, engine_name: str) -> None:
    """Call by call over one connection of the client."""
    other = Server()
    try:
        route = (
            "route: [{destination: {host: greeter.test}, weight: 50}, {destination: {host: other.test}, weight: 50}]"
        )
        extra = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: other}}
spec:
  hosts: [other.test]
  ports: [{{number: 50051, name: grpc, protocol: GRPC}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {other.port}}}}}]
"""
        text = greeter(server.port, route=route) + extra
        async with running(text, engine_name) as proxy, calling(proxy) as channel:
            one = channel.unary_unary("/test.Greeter/one")
            await asyncio.gather(*[one(b"x") for _ in range(60)])
        assert len(server.calls) + len(other.calls) == 60
        assert min(len(server.calls), len(other.calls)) > 10
    finally:
        other.stop()


async def test_messages_of_some_megabytes(server: Server, engine_name: str) -> None:
    big = bytes(3 << 20)
    async with running(greeter(server.port), engine_name) as proxy, calling(proxy) as channel:
        assert await channel.unary_unary("/test.Greeter/one")(big) == b"echo " + big
        chat = channel.stream_stream("/test.Greeter/chat")(iter([big, big]))
        assert [len(one) async for one in chat] == [len(big) + 5] * 2


@pytest.mark.parametrize(("protocol", "said"), [("TLS", b"echo hi"), ("GRPC", None)])
async def test_its_own_tls_is_carried_as_it_is(
    engine_name: str, tmp_path: Path, protocol: str, said: bytes | None
) -> None:
    """Where the port is declared so: of what is encrypted inside the CONNECT nobody in between reads anything."""
    authority = Authority(tmp_path)
    pair = authority.sign("server", "greeter.test")
    server = Server(grpc.ssl_server_credentials(((pair.key.read_bytes(), pair.certificate.read_bytes()),)))
    text = greeter(server.port).replace("protocol: GRPC", f"protocol: {protocol}").split("---")[0]
    try:
        async with running(text, engine_name, config=CLOSED) as proxy:
            options = [("grpc.http_proxy", f"http://127.0.0.1:{proxy.port}"), ("grpc.use_local_subchannel_pool", 1)]
            trusted = grpc.ssl_channel_credentials(authority.root.read_bytes())
            async with grpc.aio.secure_channel("greeter.test:50051", trusted, options=options) as channel:
                one = channel.unary_unary("/test.Greeter/one")
                if said is not None:
                    assert await one(b"hi") == said
                else:
                    with pytest.raises(grpc.aio.AioRpcError):
                        await one(b"hi")
            line = (await proxy.log(1))[0]
            assert (line["method"], line["authority"]) == ("CONNECT", "greeter.test:50051")
    finally:
        server.stop()
