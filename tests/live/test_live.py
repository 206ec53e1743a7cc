"""The loops together: real files, a real DNS server, real servers, both engines, in a thread and in the caller's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.dns.server import Record, Server
from tests.health.server import HealthServer
from tests.sources.collecting import entry

from roadstead import EndpointsPending, Live, NoHealthyEndpoint, Registry, ResourceKey
from roadstead.dns import Policy
from roadstead.dns.system import SystemResolver
from roadstead.mesh import Cluster
from roadstead.sources.files import Files

NAME = "outbound|80||a.test"
QUICK = Policy(refresh=0.05, jitter=0, ttl_floor=0.05, ttl_ceiling=0.05)
CHECKED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: c}
spec:
  hosts: [c.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: %d}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: c}
spec:
  host: c.test
  trafficPolicy:
    healthCheck: {interval: 0.05s, timeout: 5s, unhealthyThreshold: 2, healthyThreshold: 2, path: /health}
"""


def resolver(server: Server) -> SystemResolver:
    return SystemResolver(["127.0.0.1"], port=server.port, timeout=10, hosts=None)


async def until(found: Callable[[], object]) -> None:
    """The condition holds."""
    async with asyncio.timeout(30):
        while not found():
            await asyncio.sleep(0.01)


def addresses(registry: Registry, name: str = NAME) -> list[str]:
    cluster = registry.cluster(name)
    return [] if cluster is None else sorted(endpoint.address for endpoint in cluster.endpoints)


async def test_a_pick_waits_for_the_first_answer(engine_name: str) -> None:
    registry = Registry.from_text(entry("a"), backend=engine_name)
    assert registry.route("a.test").pick().kind == "hostname"
    async with Server() as server, Live(registry, resolver=resolver(server), dns_policy=QUICK) as live:
        server.zone["a.test"] = Record(a=["10.0.0.1", "10.0.0.2"])
        assert not server.asked
        decision = registry.route("a.test")
        with pytest.raises(EndpointsPending) as pending:
            decision.lease()
        await pending.value
        endpoint = decision.pick()
        assert (endpoint.kind, endpoint.hostname, endpoint.port) == ("ip", "a.test", 80)
        assert addresses(registry) == ["10.0.0.1", "10.0.0.2"]
        server.zone["a.test"] = Record(a=["10.0.0.2", "10.0.0.3"])
        await until(lambda: addresses(registry) == ["10.0.0.2", "10.0.0.3"])
        told = sorted((event.endpoint, event.what, event.why) for event in live.history(NAME))
        assert told == [
            ("10.0.0.1:80", "came", "dns"),
            ("10.0.0.1:80", "left", "dns"),
            ("10.0.0.2:80", "came", "dns"),
            ("10.0.0.3:80", "came", "dns"),
        ]
        assert live.status().failed == []


async def test_a_name_that_does_not_exist_is_said_so_and_recovers(engine_name: str) -> None:
    registry = Registry.from_text(entry("a"), backend=engine_name)
    async with Server() as server, Live(registry, resolver=resolver(server), dns_policy=QUICK):
        decision = registry.route("a.test")
        with pytest.raises(EndpointsPending) as pending:
            decision.pick()
        await pending.value
        with pytest.raises(NoHealthyEndpoint, match=r"a\.test"):
            decision.pick()
        server.zone["a.test"] = Record(a=["10.0.0.1"])
        await until(lambda: addresses(registry) == ["10.0.0.1"])
        assert decision.pick().address == "10.0.0.1"


async def test_what_changes_while_names_are_kept(engine_name: str) -> None:
    """Counters of a cluster survive; a cluster that goes is forgotten; one that comes is on hold."""
    registry = Registry.from_text(entry("a"), backend=engine_name)
    async with Server() as server, Live(registry, resolver=resolver(server), dns_policy=QUICK) as live:
        server.zone.update({"a.test": Record(a=["10.0.0.1"]), "b.test": Record(a=["10.0.0.9"])})
        with pytest.raises(EndpointsPending) as pending:
            registry.route("a.test").pick()
        await pending.value
        registry.apply(put=entry("a").replace("resolution: DNS", "resolution: DNS\n  endpoints: [{address: b.test}]"))
        await until(lambda: addresses(registry) == ["10.0.0.9"])
        registry.apply(put=entry("b"))
        await until(lambda: addresses(registry, "outbound|80||b.test") == [])
        registry.apply(delete="ServiceEntry/default/a")
        await until(lambda: live.status().names == [])
        assert live.status().failed == []


async def test_names_nobody_uses_are_not_kept(engine_name: str) -> None:
    registry = Registry.from_text(entry("a"), backend=engine_name)
    async with Server() as server, Live(registry, resolver=resolver(server), dns_policy=QUICK, idle=0.3) as live:
        server.zone["a.test"] = Record(a=["10.0.0.1"])
        with pytest.raises(EndpointsPending) as pending:
            registry.route("a.test").lease()
        await pending.value
        registry.route("a.test").lease().finish(status=200)
        await until(lambda: live.status().names == [])
        with pytest.raises(EndpointsPending) as pending:
            registry.route("a.test").lease()
        await pending.value
        registry.route("a.test").lease().finish(status=200)


async def test_endpoints_that_configuration_brings_and_takes(engine_name: str) -> None:
    def entry(*addresses: str) -> str:
        written = ", ".join(f"{{address: {one}}}" for one in addresses)
        return (CHECKED.partition("---")[0] % 1).replace("{address: 127.0.0.1, ports: {http: 1}}", written)

    registry = Registry.from_text(entry("10.0.0.1"), backend=engine_name)
    async with Live(registry) as live:
        for number, addresses in enumerate((("10.0.0.1", "10.0.0.2"), ("10.0.0.2",)), 1):
            registry.apply(put=entry(*addresses))
            await until(lambda number=number: len(live.history()) == number)
        registry.apply(delete="ServiceEntry/default/c")
        await until(lambda: len(live.history()) == 3)
        assert [(event.endpoint, event.what, event.why) for event in live.history()] == [
            ("10.0.0.2:80", "came", "configuration"),
            ("10.0.0.1:80", "left", "configuration"),
            ("10.0.0.2:80", "left", "configuration"),
        ]


async def test_a_check_takes_an_endpoint_out_and_back(engine_name: str) -> None:
    async with HealthServer() as server:
        registry = Registry.from_text(CHECKED % server.port, backend=engine_name)
        # A cluster that nobody talked to is checked once a minute.
        registry.route("c.test").lease().finish(status=200)
        cluster = registry.cluster("outbound|80||c.test")
        assert cluster is not None
        async with Live(registry) as live:
            assert cluster.endpoints[0].health == "unhealthy"
            await until(lambda: cluster.endpoints[0].health == "healthy")
            server.behaviour = "error"
            await until(lambda: cluster.endpoints[0].health == "unhealthy")
            with pytest.raises(NoHealthyEndpoint):
                registry.route("c.test").pick()
            assert [one.flags for one in live.status().checks] == ["/failed_active_hc"]
            server.behaviour = "ok"
            await until(lambda: cluster.endpoints[0].health == "healthy")
            assert [(event.what, event.why) for event in live.history()] == [
                ("returned", "health check: passed"),
                ("ejected", "health check: bad"),
                ("returned", "health check: passed"),
            ]


async def test_an_ejected_endpoint_comes_back(engine_name: str) -> None:
    """Its time is over: Live does the ticks."""
    rule = "outlierDetection: {interval: 50ms, baseEjectionTime: 100ms, maxEjectionPercent: 100}"
    registry = Registry.from_text(CHECKED.partition("healthCheck")[0] % 1 + rule, backend=engine_name)
    cluster = registry.cluster("outbound|80||c.test")
    assert cluster is not None

    def eject() -> None:
        for _ in range(5):
            registry.route("c.test").lease().finish(status=500)
        assert cluster.endpoints[0].health == "unhealthy"
        with pytest.raises(NoHealthyEndpoint):
            registry.route("c.test").pick()

    async with Live(registry) as live:
        for _ in range(2):
            eject()
            await until(lambda: cluster.endpoints[0].health != "unhealthy")
        told = [(event.endpoint, event.what, event.why) for event in live.history("outbound|80||c.test")]
        assert told == [("127.0.0.1:1", what, "outlier detection") for what in ("ejected", "returned")] * 2
        assert live.status().failed == []


async def test_a_passed_check_ends_an_ejection(engine_name: str) -> None:
    async with HealthServer() as server:
        registry = Registry.from_text(
            (CHECKED + "    outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}\n") % server.port,
            backend=engine_name,
        )
        registry.route("c.test").lease().finish(status=200)
        cluster = registry.cluster("outbound|80||c.test")
        assert cluster is not None
        async with Live(registry):
            await until(lambda: cluster.endpoints[0].health == "healthy")
            registry.route("c.test").lease().finish(status=500)
            assert cluster.stats["outlier_detection.ejections_enforced_total"] == 1
            await until(lambda: cluster.endpoints[0].health == "healthy")


def test_in_a_thread_of_its_own(engine_name: str, tmp_path: Path) -> None:
    """Sources load, names are resolved and waited for, all without a loop of the program's own."""
    (tmp_path / "mesh.yaml").write_text(entry("a"))
    registry = Registry(backend=engine_name)
    ports: list[int] = []
    end = threading.Event()

    async def serve() -> None:
        async with Server() as server:
            server.zone["a.test"] = Record(a=["10.0.0.1"])
            ports.append(server.port)
            await asyncio.to_thread(end.wait)

    dns = threading.Thread(target=asyncio.run, args=(serve(),))
    dns.start()
    try:
        while not ports:
            end.wait(0.01)
        asked = SystemResolver(["127.0.0.1"], port=ports[0], timeout=10, hosts=None)
        with Live(registry, sources=[Files(tmp_path)], resolver=asked) as live:
            live.wait_ready(30)
            decision = registry.route("a.test")
            with pytest.raises(EndpointsPending) as pending:
                decision.pick()
            pending.value.wait(30)
            assert decision.pick().address == "10.0.0.1"
            assert [source.name for source in live.status().sources] == [str(tmp_path)]
            spec = decision.cluster.spec
            assert isinstance(spec, Cluster)
            assert live.source_of(spec.origin) == str(tmp_path)
            assert live.source_of(ResourceKey("ServiceEntry", "default", "none")) is None
    finally:
        end.set()
        dns.join()


def test_once(engine_name: str) -> None:
    live = Live(Registry(backend=engine_name))
    with live:
        pass
    with pytest.raises(RuntimeError, match="once"), live:
        pass
