"""Every expected result of the guide, end to end: its own text, real servers in the place of the hosts it names, asked
through the proxy and through httpx. What the guide counts in tens of seconds is a tenth of that here."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from tests.clients.authority import Authority
from tests.clients.servers import Answer, HttpServer, Servers
from tests.health.server import HealthServer
from tests.proxy.running import running, until
from tests.proxy.test_connections import connect, echoing

from roadstead import Live, Registry
from roadstead.clients.checks import opener
from roadstead.clients.httpx import Transport

GUIDE = Path(__file__).parent.parent.parent / "python" / "examples" / "guide"


def guide(name: str, *endpoints: Mapping[str, int], **replaced: str) -> str:
    """An example of the guide with its endpoints at these ports of loopback, and words replaced."""
    text = (GUIDE / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    documents = list(yaml.safe_load_all(text))
    spec = documents[0]["spec"]
    known = spec.get("endpoints") or [{} for _ in endpoints]
    assert len(known) == len(endpoints)
    spec["endpoints"] = [
        {**one, "address": "127.0.0.1", "ports": dict(ports)} for one, ports in zip(known, endpoints, strict=True)
    ]
    return yaml.safe_dump_all(documents)


class Reply(NamedTuple):
    status: int
    body: bytes


class Asked:
    """Requests through one of the two."""

    def __init__(self, get: Any, registry: Registry) -> None:
        self._get = get
        self.registry = registry

    async def get(self, url: str, **headers: str) -> Reply:
        found: Reply = await self._get(url, {name.replace("_", "-"): value for name, value in headers.items()})
        return found


@pytest.fixture(params=["proxy", "httpx"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def asking(
    way: str, mesh: str | Registry, engine: str, *, authority: Authority | None = None, identity: Path | None = None
) -> AsyncIterator[Asked]:
    registry = mesh if isinstance(mesh, Registry) else Registry.from_text(mesh, backend=engine, seed=1)
    assert [one for one in registry.diagnostics if one.severity == "error"] == []
    if way == "proxy":
        ca = None if authority is None else str(authority.root)
        async with running(registry, ca=ca, identity=identity) as proxy:

            async def through_proxy(url: str, headers: dict[str, str]) -> Reply:
                answer = await proxy.get(url, *[f"{name}: {value}" for name, value in headers.items()])
                return Reply(answer.status, answer.body)

            yield Asked(through_proxy, registry)
    else:
        verify: Any = True if authority is None else ssl.create_default_context(cafile=str(authority.root))
        transport = Transport(registry, verify=verify, identity=identity)
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:

            async def through_httpx(url: str, headers: dict[str, str]) -> Reply:
                answer = await client.get(url, headers=headers)
                return Reply(answer.status_code, answer.content)

            yield Asked(through_httpx, registry)


async def test_httpbin_is_tried_four_times(way: str, made: Servers, engine_name: str) -> None:
    """attempts: 3, seen at the server. Istio's default retryOn has gRPC's "unavailable" and no plain 503."""
    server = made.http()
    unavailable = Answer(200, b"", (("grpc-status", "14"),))
    server.default = unavailable
    async with asking(way, guide("06-httpbin.yaml", {"http": server.port, "https": 1}), engine_name) as asked:
        assert (await asked.get("http://httpbin.org/get")).status == 200
        assert [request.target for request in server.requests] == ["/get"] * 4
        assert [request.header("x-envoy-attempt-count") for request in server.requests] == ["1", "2", "3", "4"]
        server.script.extend([unavailable, unavailable])
        server.default = Answer(200, b"at last")
        assert await asked.get("http://httpbin.org/get") == Reply(200, b"at last")
        server.default = Answer(503)
        assert (await asked.get("http://httpbin.org/get")).status == 503
        assert len(server.requests) == 8


async def test_httpbin_is_tried_at_another_address(way: str, made: Servers, engine_name: str) -> None:
    dead, live = made.http(), made.http()
    dead.stop()
    mesh = guide("06-httpbin.yaml", {"http": dead.port, "https": 1}, {"http": live.port, "https": 1})
    async with asking(way, mesh, engine_name) as asked:
        for _ in range(10):
            assert (await asked.get("http://httpbin.org/get")).status == 200
    counts = {request.header("x-envoy-attempt-count") for request in live.requests}
    assert counts - {"1"}


@pytest.mark.parametrize(
    ("replaced", "tries"),
    [
        # perTryTimeout: what is too late is no reason to try again (Istio's default retryOn), so one try is seen.
        ({"perTryTimeout: 3s": "perTryTimeout: 0.3s"}, 1),
        # timeout: holds for all tries together.
        ({"perTryTimeout: 3s": "retryOn: 5xx", "timeout: 10s": "timeout: 1s"}, 1),
        ({"perTryTimeout: 3s": "perTryTimeout: 0.3s\n      retryOn: 5xx"}, 4),
    ],
)
async def test_httpbin_has_so_much_time(
    way: str, made: Servers, engine_name: str, replaced: dict[str, str], tries: int
) -> None:
    server = made.http()
    server.default = Answer(after=60)
    mesh = guide("06-httpbin.yaml", {"http": server.port, "https": 1}, **replaced)
    async with asking(way, mesh, engine_name) as asked:
        assert await asked.get("http://httpbin.org/get") == Reply(504, b"upstream request timeout")
        assert len(server.requests) == tries


async def test_postgres_gets_ten_connections(engine_name: str) -> None:
    """connectionPool.tcp.maxConnections: 10, by a listener of its own and by CONNECT alike."""
    async with echoing() as (echo, port):
        mesh = guide("07-postgres.yaml", {"postgres": port})
        listeners = [("http", "127.0.0.1:0"), ("tcp", "127.0.0.1:0=postgres.example.com:5432")]
        async with running(mesh, engine_name, listeners=listeners) as proxy:
            for at in range(10):
                if at % 2:
                    client, status, _ = await connect(proxy, "postgres.example.com:5432")
                    assert status == 200
                else:
                    client = await proxy.client(1)
                await client.send("x")
                assert await client.reader.readexactly(1) == b"X"
            assert (await connect(proxy, "postgres.example.com:5432"))[1] == 503
            eleventh = await proxy.client(1)
            with pytest.raises(ConnectionError):
                await eleventh.ended()
            assert (echo.most_open, echo.seen) == (10, 10)
            assert {line["response_flags"] for line in await proxy.log(2)} == {"UO"}


async def test_stripe_gets_a_header_under_tls(way: str, made: Servers, engine_name: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = made.http(authority.server(authority.sign("stripe", "api.stripe.com")))
    mesh = guide("08-stripe.yaml", {"https": server.port})
    async with asking(way, mesh, engine_name, authority=authority) as asked:
        assert (await asked.get("https://api.stripe.com/v1/charges")).status == 200
    [request] = server.requests
    assert (request.target, request.header("x-client-version")) == ("/v1/charges", "v1.0")
    assert request.header("host") == "api.stripe.com"


async def test_stripe_with_a_wrong_certificate(way: str, made: Servers, engine_name: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = made.http(authority.server(authority.sign("other", "evil.example.com")))
    async with asking(way, guide("08-stripe.yaml", {"https": server.port}), engine_name, authority=authority) as asked:
        assert (await asked.get("https://api.stripe.com/v1/charges")).status == 503
    assert server.requests == []


async def test_the_remote_cluster_speaks_mutual_tls(way: str, made: Servers, engine_name: str, tmp_path: Path) -> None:
    """Both show a certificate of the mesh; whose is of another authority gets nothing."""
    mesh_authority, other = Authority(tmp_path, "mesh"), Authority(tmp_path, "other")
    me = "spiffe://cluster.local/ns/default/sa/me"
    right = made.http(mesh_authority.server(mesh_authority.sign("right", "spiffe://remote/ns/x/sa/y"), clients=True))
    wrong = made.http(other.server(other.sign("wrong", "spiffe://remote/ns/x/sa/y")))
    identity = mesh_authority.identity(tmp_path / "me", me)
    stranger = other.identity(tmp_path / "stranger", me)
    (stranger / "root-cert.pem").write_bytes(mesh_authority.root.read_bytes())
    url = "http://remote-service.remote-cluster.local:8080/x"
    for server, who, status in ((right, identity, 200), (wrong, identity, 503), (right, stranger, 503)):
        mesh = guide("09-remote-cluster.yaml", {"http": server.port})
        async with asking(way, mesh, engine_name, identity=who) as asked:
            assert (await asked.get(url)).status == status
    assert (len(right.requests), wrong.requests) == (1, [])


async def test_the_legacy_system_gets_its_own_paths(way: str, made: Servers, engine_name: str) -> None:
    server = made.http()
    async with asking(way, guide("10-legacy.yaml", {"http": server.port, "https": 1}), engine_name) as asked:
        assert (await asked.get("http://legacy.internal.com:8080/api/v1/users?id=7")).status == 200
        assert (await asked.get("http://legacy.internal.com:8080/other")).status == 404
    assert [request.target for request in server.requests] == ["/legacy-api/users?id=7"]


@pytest.mark.parametrize(("region", "at"), [("us", 0), ("eu", 1), ("asia", 0), (None, 0)])
async def test_the_region_picks_the_endpoint(
    way: str, made: Servers, engine_name: str, tmp_path: Path, region: str | None, at: int
) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("cdn", "cdn.example.com"))
    places = [made.http(context) for _ in range(3)]
    mesh = guide("11-cdn.yaml", *[{"https": server.port} for server in places])
    headers = {} if region is None else {"x_user_region": region}
    async with asking(way, mesh, engine_name, authority=authority) as asked:
        for _ in range(5):
            assert (await asked.get("https://cdn.example.com/logo.png", **headers)).status == 200
    assert [len(server.requests) for server in places] == [5 if number == at else 0 for number in range(3)]


def monitored(ports: Sequence[int], **replaced: str) -> str:
    return guide("12-health-check.yaml", *[{"https": port} for port in ports], **replaced)


async def test_a_health_check_takes_an_endpoint_out_and_back(
    way: str, made: Servers, engine_name: str, tmp_path: Path
) -> None:
    """The guide's own check, over TLS as the service speaks it, a hundred times as often."""
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("api", "external-api.example.com"))
    one, two = made.http(context), made.http(context)
    two.default = Answer(200, b"two")
    mesh = monitored([one.port, two.port], **{"interval: 30s\n      timeout": "interval: 0.1s\n      timeout"})
    registry = Registry.from_text(mesh, backend=engine_name, seed=1)
    url = "https://external-api.example.com/data"
    checking = opener(registry, verify=ssl.create_default_context(cafile=str(authority.root)))
    cluster = registry.cluster("outbound|443||external-api.example.com")
    assert cluster is not None

    # A cluster that nobody talked to is checked once a minute.
    registry.route(url.split("/")[2], scheme="https").lease().finish(status=200)

    def healths() -> list[str]:
        return [endpoint.health for endpoint in cluster.endpoints]

    async with asking(way, registry, engine_name, authority=authority) as asked, Live(registry, opener=checking):
        await until(lambda: healths() == ["healthy"] * 2)
        assert {(await asked.get(url)).body for _ in range(20)} == {b"ok", b"two"}
        checks = [request for request in one.requests if request.target == "/health"]
        assert checks[0].header("x-health-check") == "istio"
        # A bad answer takes it out at once.
        one.default = Answer(500)
        await until(lambda: healths() == ["unhealthy", "healthy"])
        assert {(await asked.get(url)).body for _ in range(20)} == {b"two"}
        one.default = Answer(200, b"one")
        await until(lambda: healths() == ["healthy"] * 2)
        assert {(await asked.get(url)).body for _ in range(20)} == {b"one", b"two"}


async def test_the_circuit_breaker_opens_and_lets_back(
    way: str, made: Servers, engine_name: str, tmp_path: Path
) -> None:
    """consecutiveGatewayErrors: 5, half the hosts at most, back at the first tick of 30 s at or after 30 s; the clock
    is the test's."""
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("api", "external-api.example.com"))
    bad, other = made.http(context), made.http(context)
    bad.default = Answer(502)
    now = 1_000_000_000
    registry = Registry.from_text(monitored([bad.port, other.port]), backend=engine_name, seed=1, clock=lambda: now)
    url = "https://external-api.example.com/data"
    cluster = registry.cluster("outbound|443||external-api.example.com")
    assert cluster is not None

    def ejected() -> list[bool]:
        return [stats["ejected"] == 1 for stats in cluster.endpoint_stats()]

    async with asking(way, registry, engine_name, authority=authority) as asked, Live(registry, health=False):
        for failures in range(1, 6):
            while len(bad.requests) < failures:
                await asked.get(url)
            assert ejected() == [failures == 5, False]
        for _ in range(20):
            assert (await asked.get(url)).status == 200
        assert len(bad.requests) == 5
        # The other one fails as well, and stays: at most half of them are taken out.
        other.default = Answer(502)
        for _ in range(10):
            assert (await asked.get(url)).status == 502
        assert ejected() == [True, False]
        assert cluster.stats["outlier_detection.ejections_overflow"] > 0
        other.default = bad.default = Answer(200)
        # Ejected at 1 s for 30 s; ticks are at 30 s and 60 s.
        for later in (30_000_000_000, 31_000_000_000, 59_999_000_000):
            now = later
            registry.sweep()
            assert ejected() == [True, False]
            assert (await asked.get(url)).status == 200
        assert len(bad.requests) == 5
        now = 60_000_000_000
        await until(lambda: ejected() == [False, False])
        for _ in range(20):
            assert (await asked.get(url)).status == 200
        assert len(bad.requests) > 5


async def test_a_server_for_checks_alone(engine_name: str) -> None:
    """An endpoint that nobody checks is in use; one whose check hangs is not."""
    async with HealthServer() as server:
        server.behaviour = "silent"
        mesh = guide(
            "12-health-check.yaml", {"https": server.port},
            **{"name: https\n    protocol: HTTPS": "name: https\n    protocol: HTTP", "timeout: 5s": "timeout: 0.1s"},
        )  # fmt: skip
        registry = Registry.from_text(mesh, backend=engine_name, seed=1)
        async with running(registry) as proxy, Live(registry) as live:
            await until(lambda: live.status().checks[0].flags == "/failed_active_hc/active_hc_timeout")
            answer = await proxy.get("http://external-api.example.com:443/")
            assert (answer.status, answer.body) == (503, b"no healthy upstream")


async def test_the_rest_of_the_guide_is_served(made: Servers, engine_name: str) -> None:
    """The examples of the guide's chapters on configuration: a database by its virtual address' host, an API in several
    protocols, an internal service."""
    server = made.http()
    async with echoing() as (_, port):
        database = guide("02-production-database.yaml", *[{"mysql": port, "mysql-ssl": port}] * 2)
        database = database.replace("namespace: production", "namespace: default")
        api = guide("03-multi-protocol.yaml", {"http": server.port, "https": 1, "grpc": 1, "redis": port})
        internal = guide("05-internal-extension.yaml", *[{"http": server.port}] * 2)
        async with running(f"{database}---\n{api}---\n{internal}", engine_name) as proxy:
            for target in ("database.example.com:3306", "api.example.com:6379"):
                client, status, _ = await connect(proxy, target)
                assert status == 200
                await client.send("select")
                assert await client.reader.readexactly(6) == b"SELECT"
            for url in ("http://api.example.com/x", "http://internal-service.local:8080/x"):
                assert (await proxy.get(url)).status == 200
            # gRPC is HTTP/2; nobody listens there.
            answer = await proxy.get("http://api.example.com:9090/x")
            assert (answer.status, b"remote connection failure" in answer.body) == (503, True)


async def test_a_geo_distributed_service_falls_over(made: Servers, engine_name: str, tmp_path: Path) -> None:
    """priority: high, medium, low: the next one is asked where checks or ejections take one out."""
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("geo", "global-api.example.com"))
    places: list[HttpServer] = [made.http(context) for _ in range(3)]
    mesh = guide("04-geo-distributed.yaml", *[{"https": server.port} for server in places])
    async with asking("proxy", mesh, engine_name, authority=authority) as asked:
        door = asked.registry.endpoints("outbound|443||global-api.example.com")
        for number, server in enumerate(places):
            assert (await asked.get("https://global-api.example.com/")).status == 200
            assert [len(one.requests) for one in places] == [1 if at <= number else 0 for at in range(3)]
            door.set_health("127.0.0.1", server.port, "unhealthy")
        await asyncio.sleep(0)
        assert (await asked.get("https://global-api.example.com/")).status == 503
