"""What MeshConfig.defaultConfig.proxyHeaders says of headers that proxies add of themselves, through every client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Servers, servers
from tests.clients.ways import CLIENTS
from tests.proxy.running import running

from roadstead import Registry
from roadstead.config import MeshConfig
from roadstead.config.read import read_mesh

ATTEMPT, EXPECTED = "x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms"
RULE = "timeout: 5s\n    retries: {attempts: 2, retryOn: 5xx}"
REWRITE = "rewrite: {authority: new.test}"


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


def mesh(headers: str) -> MeshConfig:
    return read_mesh(f"defaultConfig: {{proxyHeaders: {{{headers}}}}}".encode(), "mesh.yaml", "istio").value


def sent(client: str, server_made: Servers, engine: str, config: MeshConfig, http: str) -> list[dict[str, str]]:
    """The headers of each try of a request that is answered 503 first."""
    server = server_made.http()
    server.script.append(Answer(503))
    registry = Registry.from_text(entry(server.port, http=http), mesh=config, backend=engine, seed=1)
    assert CLIENTS[client](registry).all((("GET", URL),))[0].status_code == 200
    return [dict(request.headers) for request in server.requests]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("headers", "counts", "tells"),
    [
        ("", ["1", "2"], True),
        ("attemptCount: {disabled: false}", ["1", "2"], True),
        ("attemptCount: {disabled: true}", [None, None], True),
        ("envoyDebugHeaders: {disabled: true}", ["1", "2"], False),
    ],
)
def test_what_a_try_tells(
    made: Servers, engine_name: str, client: str, headers: str, counts: list[str | None], tells: bool
) -> None:
    tries = sent(client, made, engine_name, mesh(headers), RULE)
    assert [one.get(ATTEMPT) for one in tries] == counts
    assert [EXPECTED in one for one in tries] == [tells, tells]


@pytest.mark.parametrize("client", ["httpx", "urllib3"])
def test_the_old_host_goes_along(made: Servers, engine_name: str, client: str) -> None:
    for headers, told in (("", None), ("xForwardedHost: {enabled: true}", "api.test")):
        for one in sent(
            client, made, engine_name, mesh(headers), f"{REWRITE}\n    retries: {{attempts: 2, retryOn: 5xx}}"
        ):
            assert (one["host"], one.get("x-forwarded-host")) == ("new.test", told)


def test_a_mesh_that_changes(made: Servers, engine_name: str) -> None:
    server = made.http()
    registry = Registry.from_text(entry(server.port), backend=engine_name, seed=1)
    client = CLIENTS["httpx"](registry)
    client.all((("GET", URL),))
    registry.apply(mesh=mesh("attemptCount: {disabled: true}"))
    client.all((("GET", URL),))
    assert [request.header(ATTEMPT) for request in server.requests] == ["1", None]


@pytest.mark.parametrize(
    ("headers", "has_id", "has_time", "counts"),
    [
        ("", True, True, True),
        ("requestId: {disabled: true}", False, True, True),
        ("envoyDebugHeaders: {disabled: true}", True, False, True),
        ("attemptCount: {disabled: true}", True, True, False),
    ],
)
async def test_the_proxy(
    made: Servers, engine_name: str, headers: str, has_id: bool, has_time: bool, counts: bool
) -> None:
    server = made.http()
    async with running(entry(server.port), engine_name, config=mesh(headers)) as proxy:
        answer = await proxy.get("http://api.test/")
        assert ("x-envoy-upstream-service-time" in answer.headers) is has_time
        [request] = server.requests
        assert (request.header("x-request-id") is not None) is has_id
        assert (request.header(ATTEMPT) is not None) is counts
        # What a client says of itself is the client's.
        await proxy.get("http://api.test/", "x-request-id: mine")
        assert server.requests[-1].header("x-request-id") == "mine"
