"""Real requests through every client that speaks HTTP, blocking and asynchronous, on both engines."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Request, Servers, servers
from tests.clients.ways import CLIENTS, Way

from roadstead import Registry
from roadstead.clients.httpx import Transport
from roadstead.steps import Done, Respond

if TYPE_CHECKING:
    from roadstead._core import Exchange


@pytest.fixture(params=CLIENTS)
def way(request: pytest.FixtureRequest, engine_name: str) -> Way:
    return Way(request.param, engine_name)


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


def test_a_request_reaches_an_endpoint(way: Way, made: Servers) -> None:
    server = made.http()
    server.default = Answer(201, b"made", (("x-by", "one"),))
    [answer] = way.ask(entry(server.port), ("POST", URL), content=b"hello", headers={"X-Mine": "1"})
    assert (answer.status_code, answer.content, answer.headers["x-by"]) == (201, b"made", "one")
    [request] = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/things?x=1", b"hello")
    assert (request.header("host"), request.header("x-mine")) == ("api.test", "1")
    assert answer.sent.decision.cluster_name == "outbound|80||api.test"


def test_connections_are_used_again(way: Way, made: Servers) -> None:
    server = made.http()
    way.ask(entry(server.port), *[("GET", URL)] * 5)
    assert (len(server.requests), server.connections) == (5, 1)


def test_endpoints_take_turns(way: Way, made: Servers) -> None:
    first, second = made.http(), made.http()
    way.ask(entry(first.port, second.port, policy="{loadBalancer: {simple: ROUND_ROBIN}}"), *[("GET", URL)] * 6)
    assert (len(first.requests), len(second.requests)) == (3, 3)


def test_a_bad_answer_is_tried_again(way: Way, made: Servers) -> None:
    server = made.http()
    server.script.extend([Answer(503), Answer(503), Answer(200, b"at last")])
    answer = way.get(entry(server.port, http="retries: {attempts: 3, retryOn: 5xx}"), URL)
    assert (answer.status_code, answer.content, len(server.requests)) == (200, b"at last", 3)


def test_another_endpoint_is_tried(way: Way, made: Servers) -> None:
    dead, live = made.http(), made.http()
    dead.stop()
    mesh = entry(dead.port, live.port, policy="{loadBalancer: {simple: ROUND_ROBIN}}")
    answers = way.ask(mesh, *[("GET", URL)] * 4)
    assert [answer.status_code for answer in answers] == [200] * 4


def test_tries_used_up(way: Way, made: Servers) -> None:
    server = made.http()
    server.default = Answer(503, b"no")
    answer = way.get(entry(server.port, http="retries: {attempts: 2, retryOn: 5xx}"), URL)
    assert (answer.status_code, answer.content, len(server.requests)) == (503, b"no", 3)


def test_a_body_is_sent_again(way: Way, made: Servers) -> None:
    server = made.http()
    server.script.append(Answer(503))
    way.ask(entry(server.port, http="retries: {attempts: 1, retryOn: 5xx}"), ("PUT", URL), content=b"twice")
    assert [request.body for request in server.requests] == [b"twice", b"twice"]


def test_nobody_listens(way: Way, made: Servers) -> None:
    server = made.http()
    server.stop()
    answer = way.get(entry(server.port, http="retries: {attempts: 0}"), URL)
    assert answer.status_code == 503
    assert answer.sent.flags == "UF"


def test_the_time_of_a_request(way: Way, made: Servers) -> None:
    server = made.http()
    server.default = Answer(after=30)
    answer = way.get(entry(server.port, http="timeout: 0.3s"), URL)
    assert (answer.status_code, answer.content) == (504, b"upstream request timeout")
    assert answer.sent.flags == "UT"


def test_the_time_of_a_try(way: Way, made: Servers) -> None:
    server = made.http()
    server.script.append(Answer(after=30))
    answer = way.get(entry(server.port, http="retries: {attempts: 1, perTryTimeout: 0.6s, retryOn: 5xx}"), URL)
    assert (answer.status_code, len(server.requests)) == (200, 2)


def test_a_body_that_takes_too_long(way: Way, made: Servers) -> None:
    """The head is here, so nothing is tried again: the body breaks off."""
    server = made.http()
    server.default = Answer(200, b"x" * 1000, cut=300)
    with pytest.raises(way.client.broken):
        way.get(entry(server.port, http="retries: {attempts: 3, retryOn: 5xx}"), URL)
    assert len(server.requests) == 1


def test_headers_path_and_host_are_rewritten(way: Way, made: Servers) -> None:
    server = made.http()
    rule = (
        "match: [{uri: {prefix: /v1}}]\n"
        "    rewrite: {uri: /legacy, authority: old.test}\n"
        "    headers: {request: {set: {x-version: '2'}, remove: [x-secret]}, response: {add: {x-seen: 'yes'}}}"
    )
    answer = way.get(entry(server.port, http=rule), URL, headers={"x-secret": "s"})
    [request] = server.requests
    assert (request.target, request.header("host")) == ("/legacy/things?x=1", "old.test")
    assert (request.header("x-version"), request.header("x-secret")) == ("2", None)
    assert answer.headers["x-seen"] == "yes"


@pytest.mark.parametrize(
    ("rule", "status", "body", "header"),
    [
        ("directResponse: {status: 418, body: {string: tea}}", 418, b"tea", None),
        ("redirect: {uri: /new, redirectCode: 302}", 302, b"", ("location", "http://api.test/new?x=1")),
        ("fault: {abort: {percentage: {value: 100}, httpStatus: 555}}", 555, b"fault filter abort", None),
    ],
)
def test_what_is_answered_here(
    way: Way, made: Servers, rule: str, status: int, body: bytes, header: tuple[str, str] | None
) -> None:
    server = made.http()
    mesh = entry(server.port, http=rule)
    if not rule.startswith("fault"):
        mesh = mesh.replace("  - route: [{destination: {host: api.test}}]\n    ", "  - ")
    answer = way.get(mesh, URL)
    assert (answer.status_code, answer.content) == (status, body)
    assert header is None or answer.headers[header[0]] == header[1]
    assert server.requests == []


def test_cors(way: Way, made: Servers) -> None:
    """A preflight ends here; the upstream's answer is marked."""
    server = made.http()
    rule = (
        "corsPolicy: {allowOrigins: [{exact: 'https://a.io'}], allowMethods: [PUT], allowHeaders: ['*'], maxAge: 60s}"
    )
    asking = {"origin": "https://a.io", "access-control-request-method": "PUT"}
    asked = (("OPTIONS", URL), ("PUT", URL))
    preflight, answer = way.ask(entry(server.port, http=rule), *asked, headers=asking)
    assert (preflight.status_code, preflight.content) == (200, b"")
    written = {name: value for name, value in preflight.headers.items() if name.startswith("access-control-")}
    assert written == {
        "access-control-allow-origin": "https://a.io",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "",
        "access-control-max-age": "60",
    }
    assert answer.headers["access-control-allow-origin"] == "https://a.io"
    assert "access-control-max-age" not in answer.headers
    assert [request.method for request in server.requests] == ["PUT"]


def test_a_copy_goes_to_the_mirror(way: Way, made: Servers) -> None:
    server, copy = made.http(), made.http()
    mesh = entry(server.port, http="mirror: {host: copy.test}") + entry(copy.port).replace(
        "api.test", "copy.test"
    ).replace("name: api", "name: copy")
    [answer] = way.ask(mesh, ("POST", URL), content=b"body")
    assert answer.status_code == 200
    assert [(one.method, one.target, one.body) for one in copy.requests] == [("POST", "/v1/things?x=1", b"body")]


def test_no_more_connections_than_allowed(made: Servers, engine_name: str) -> None:
    """Requests beyond the limit wait; those beyond max_pending_requests are answered 503 UO."""
    server = made.http()
    server.default = Answer(after=0.3)
    pool = "{connectionPool: {tcp: {maxConnections: 2}, http: {http1MaxPendingRequests: 4}}}"
    registry = Registry.from_text(entry(server.port, policy=pool, http="retries: {attempts: 0}"), backend=engine_name)

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=Transport(registry)) as client:
            return await asyncio.gather(*[client.get(URL) for _ in range(4)])

    answers = asyncio.run(all_at_once())
    assert [answer.status_code for answer in answers] == [200] * 4
    assert server.most_open == 2

    async def too_many() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=Transport(registry)) as client:
            return await asyncio.gather(*[client.get(URL) for _ in range(9)])

    answers = asyncio.run(too_many())
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 5
    assert {answer.extensions["roadstead"].flags for answer in refused} == {"UO"}


def test_connections_are_counted(way: Way, made: Servers) -> None:
    """By the cluster, as Envoy counts them: those that are open, and all that were begun."""
    server = made.http()
    registry = Registry.from_text(entry(server.port), backend=way.engine, seed=1)
    cluster = registry.cluster("outbound|80||api.test")
    assert cluster is not None
    active = []

    class Seen(list[Request]):
        def append(self, one: Request) -> None:
            active.append(cluster.stats["upstream_cx_active"])
            super().append(one)

    server.requests = Seen()
    way.client(registry).all((("GET", URL), ("GET", URL)))
    # What nobody closed is collected.
    gc.collect()
    assert active == [1, 1]
    stats = cluster.stats
    assert (stats["upstream_cx_total"], stats["upstream_cx_active"]) == (1, 0)
    [endpoint] = cluster.endpoint_stats()
    assert (endpoint["cx_total"], endpoint["cx_active"], endpoint["cx_connect_fail"]) == (1, 0, 0)
    server.stop()
    assert way.client(registry).all((("GET", URL),))[0].status_code == 503
    stats = cluster.stats
    assert (stats["upstream_cx_total"], stats["upstream_cx_active"]) == (4, 0)
    assert cluster.endpoint_stats()[0]["cx_connect_fail"] == 3


@pytest.mark.parametrize("blocking", [True, False], ids=["threads", "asyncio"])
def test_at_most_ten_connections_for_forty_requests(made: Servers, engine_name: str, blocking: bool) -> None:
    """As the server counts them; all are answered."""
    server = made.http()
    server.default = Answer(after=0.05)
    policy = "{connectionPool: {tcp: {maxConnections: 10}}}"
    registry = Registry.from_text(entry(server.port, policy=policy), backend=engine_name)

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=Transport(registry)) as client:
            return list(await asyncio.gather(*[client.get(URL) for _ in range(40)]))

    if blocking:
        with httpx.Client(transport=Transport(registry)) as client, ThreadPoolExecutor(40) as threads:
            answers = list(threads.map(lambda _: client.get(URL), range(40)))
    else:
        answers = asyncio.run(all_at_once())
    assert [answer.status_code for answer in answers] == [200] * 40
    assert (server.most_open, len(server.requests)) == (10, 40)


@pytest.mark.parametrize(("attempts", "tries"), [(0, 1), (2, 3)])
def test_a_connection_that_breaks_under_limits(way: Way, made: Servers, attempts: int, tries: int) -> None:
    """The time limit counts anew from the connection; what comes of the try is still its own."""
    server = made.http()
    server.default = Answer(cut=0)
    rule = f"timeout: 20s\n    retries: {{attempts: {attempts}, perTryTimeout: 9s, retryOn: reset}}"
    answer = way.get(entry(server.port, policy="{connectionPool: {tcp: {maxConnections: 2}}}", http=rule), URL)
    assert (answer.status_code, len(server.requests)) == (503, tries)


def test_requests_beyond_the_limit_are_not_sent(way: Way, made: Servers) -> None:
    server = made.http()
    pool = "{connectionPool: {tcp: {maxConnections: 2}, http: {http2MaxRequests: 1}}}"
    mesh = entry(server.port, policy=pool, http="retries: {attempts: 0}")
    registry = Registry.from_text(mesh, backend=way.engine)
    client = way.client(registry)
    lease = registry.route("api.test", 80).lease()
    [answer] = client.all((("GET", URL),))
    assert (answer.status_code, answer.sent.flags, server.requests) == (503, "UO", [])
    lease.finish()
    [answer] = client.all((("GET", URL),))
    assert (answer.status_code, len(server.requests)) == (200, 1)


def test_everything_is_given_back(way: Way, made: Servers) -> None:
    server = made.http()
    server.script.extend([Answer(503), Answer(200), Answer(200, b"x" * 9, cut=40)])
    registry = Registry.from_text(entry(server.port, http="retries: {attempts: 1, retryOn: 5xx}"), backend=way.engine)
    with pytest.raises(way.client.broken):
        way.client(registry).all((("GET", URL), ("GET", URL)))
    cluster = registry.cluster("outbound|80||api.test")
    assert cluster is not None
    stats = cluster.stats
    assert (stats["upstream_rq_active"], stats["upstream_rq_retry_active"], stats["upstream_rq_total"]) == (0, 0, 3)


@pytest.mark.parametrize(("most", "connections"), [(0, 1), (1, 5), (2, 3)])
def test_requests_per_connection(way: Way, made: Servers, most: int, connections: int) -> None:
    server = made.http()
    policy = f"{{connectionPool: {{http: {{maxRequestsPerConnection: {most}}}}}}}"
    way.ask(entry(server.port, policy=policy), *[("GET", URL)] * 5)
    assert (len(server.requests), server.connections) == (5, connections)


def test_requests_are_counted(way: Way, made: Servers) -> None:
    """By one argument: what was tried again counts once, what breaks off or is answered here counts too."""
    server = made.http()
    server.script.extend([Answer(503), Answer(200, b"hello"), Answer(200, b"x" * 9, cut=40)])
    counted: list[tuple[int, int, str, int, int]] = []

    class Recorder:
        def count(self, exchange: Exchange, request_bytes: int, response_bytes: int, grpc_status: int) -> None:
            step = exchange.step
            assert isinstance(step, Done | Respond)
            counted.append((step.status, exchange.attempts, step.flags, request_bytes, response_bytes))

    mesh = entry(server.port, http="retries: {attempts: 1, retryOn: 5xx}")
    options = {"recorder": Recorder()}
    way.ask(mesh, ("POST", URL), options=options, content=b"four")
    with pytest.raises(way.client.broken):
        way.ask(mesh, ("GET", URL), options=options)
    server.stop()
    [refused] = way.ask(mesh, ("GET", URL), options=options)
    assert counted == [(200, 2, "", 4, 5), (200, 1, "UC", 0, 0), (503, 2, "URX,UF", 0, len(refused.content))]


def test_unknown_hosts_go_where_they_say(way: Way, made: Servers) -> None:
    server = made.http()
    answer = way.get(entry(1), f"http://127.0.0.1:{server.port}/plain")
    assert answer.status_code == 200
    assert server.requests[0].header("host") == f"127.0.0.1:{server.port}"
