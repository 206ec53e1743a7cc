"""Each example of the guide loads in the extended dialect, and its expected result is in the decision, values and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead import Node, NoHealthyEndpoint, Registry

GUIDE = Path(__file__).parent.parent / "python" / "examples" / "guide"


def load(name: str, engine: str, **options: object) -> Registry:
    registry = Registry.from_files(GUIDE / name, backend=engine, seed=1, **options)  # type: ignore[arg-type]
    assert [finding for finding in registry.diagnostics if finding.severity == "error"] == []
    return registry


def picked(registry: Registry, host: str, port: int, **options: object) -> set[tuple[str, int]]:
    """Addresses that a hundred picks reach."""
    found = set()
    for _ in range(100):
        endpoint = registry.route(host, port, **options).pick()  # type: ignore[arg-type]
        found.add((endpoint.address, endpoint.port))
    return found


def test_every_example_is_here() -> None:
    assert [path.name[:2] for path in sorted(GUIDE.glob("*.yaml"))] == [f"{number:02d}" for number in range(1, 13)]


def test_all_examples_load_together(engine_name: str) -> None:
    registry = Registry.from_files(GUIDE, backend=engine_name)
    assert [finding for finding in registry.diagnostics if finding.severity == "error"] == []
    assert registry.find("httpbin.org", 80) is not None


def test_minimal(engine_name: str) -> None:
    decision = load("01-minimal.yaml", engine_name).route("external-api.example.com", scheme="https")
    assert (decision.kind, decision.cluster_name) == ("forward", "outbound|443||external-api.example.com")
    assert decision.application_tls
    assert decision.tls is None
    endpoint = decision.pick()
    assert (endpoint.address, endpoint.port, endpoint.kind) == ("external-api.example.com", 443, "hostname")


def test_production_database(engine_name: str) -> None:
    registry = load("02-production-database.yaml", engine_name, node=Node(namespace="production"))
    found = set()
    for _ in range(100):
        decision = registry.connect("240.0.0.1", 3306)
        assert decision.cluster_name == "outbound|3306||database.example.com"
        endpoint = decision.pick()
        found.add((endpoint.address, endpoint.port, endpoint.locality))
    assert found == {("192.168.1.100", 3306, "us-west/us-west-1a"), ("192.168.1.101", 3306, "us-west/us-west-1b")}
    assert registry.connect("database.example.com", 3307).cluster_name == "outbound|3307||database.example.com"


def test_production_database_takes_selected_workloads_too(engine_name: str) -> None:
    registry = load("02-production-database.yaml", engine_name, node=Node(namespace="production"))
    registry.apply(
        put={
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": {"name": "vm", "namespace": "production"},
            "spec": {"address": "192.168.1.102", "labels": {"app": "database-proxy"}},
        }
    )
    found = {registry.connect("240.0.0.1", 3306).pick().address for _ in range(100)}
    assert found == {"192.168.1.100", "192.168.1.101", "192.168.1.102"}


@pytest.mark.parametrize(
    ("port", "scheme", "kind"),
    [(80, None, "http"), (443, "https", "https"), (9090, None, "grpc"), (6379, None, "redis")],
)
def test_multi_protocol(engine_name: str, port: int, scheme: str | None, kind: str) -> None:
    registry = load("03-multi-protocol.yaml", engine_name)
    service = registry.find("api.example.com", port)
    assert service is not None
    assert kind in {name for number, name, _ in service.ports if number == port}
    if kind == "redis":
        decision = registry.connect("api.example.com", port)
    else:
        decision = registry.route("api.example.com", port, scheme=scheme)
    assert decision.kind == "forward"
    assert decision.cluster_name == f"outbound|{port}||api.example.com"
    assert decision.pick().port == port
    if kind == "grpc":
        assert decision.connection_pool.http.protocol == "http2"


@pytest.mark.parametrize(
    ("locality", "outlier", "expected"),
    [
        # The label orders endpoints; without outlier detection the client's locality does not.
        ("", False, "api-us.example.com"),
        ("eu-west/eu-west-1", False, "api-us.example.com"),
        # Where Istio's conditions hold, locality orders inside a level.
        ("eu-west/eu-west-1", True, "api-us.example.com"),
    ],
)
def test_geo_by_priority(engine_name: str, locality: str, outlier: bool, expected: str) -> None:
    registry = load("04-geo-distributed.yaml", engine_name, node=Node(locality=locality))
    if outlier:
        registry.apply(put=_outlier("global-api.example.com"))
    decision = registry.route("global-api.example.com", scheme="https")
    endpoints = [(one.address, one.port, one.priority, one.locality) for one in decision.cluster.endpoints]
    assert sorted(endpoints) == [
        ("api-asia.example.com", 443, 2, "asia-pacific/ap-southeast-1"),
        ("api-eu.example.com", 443, 1, "eu-west/eu-west-1"),
        ("api-us.example.com", 443, 0, "us-east/us-east-1"),
    ]
    assert picked(registry, "global-api.example.com", 443, scheme="https") == {(expected, 443)}


def test_geo_falls_over_to_the_next_level(engine_name: str) -> None:
    registry = load("04-geo-distributed.yaml", engine_name)
    name = "outbound|443||global-api.example.com"
    registry.endpoints(name).set_health("api-us.example.com", 443, "unhealthy")
    assert picked(registry, "global-api.example.com", 443, scheme="https") == {("api-eu.example.com", 443)}
    registry.endpoints(name).set_health("api-eu.example.com", 443, "unhealthy")
    assert picked(registry, "global-api.example.com", 443, scheme="https") == {("api-asia.example.com", 443)}


def test_geo_by_locality(engine_name: str) -> None:
    """Without the priority label, locality decides once outlier detection is there, as in Istio."""
    text = (GUIDE / "04-geo-distributed.yaml").read_text(encoding="utf-8")
    without = "\n".join(line for line in text.splitlines() if "priority:" not in line)
    registry = Registry.from_text(without, backend=engine_name, node=Node(locality="eu-west/eu-west-1/a"))
    registry.apply(put=_outlier("global-api.example.com"))
    assert picked(registry, "global-api.example.com", 443, scheme="https") == {("api-eu.example.com", 443)}


def _outlier(host: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: outlier}}
spec:
  host: {host}
  trafficPolicy:
    outlierDetection: {{consecutive5xxErrors: 5}}
"""


def test_internal_extension(engine_name: str) -> None:
    registry = load("05-internal-extension.yaml", engine_name)
    assert picked(registry, "internal-service.local", 8080) == {("10.0.1.100", 8080), ("10.0.2.100", 8080)}
    labels = {
        one.address: one.labels["version"] for one in registry.route("internal-service.local", 8080).cluster.endpoints
    }
    assert labels == {"10.0.1.100": "v1", "10.0.2.100": "v2"}


def test_httpbin(engine_name: str) -> None:
    decision = load("06-httpbin.yaml", engine_name).route("httpbin.org", 80, "/get")
    assert decision.timeout == 10.0
    assert decision.retry.attempts == 3
    assert decision.retry.per_try_timeout == 3.0
    assert decision.cluster_name == "outbound|80||httpbin.org"
    assert (decision.pick().address, decision.pick().port) == ("httpbin.org", 80)


def test_postgres(engine_name: str) -> None:
    decision = load("07-postgres.yaml", engine_name).connect("postgres.example.com", 5432)
    tcp = decision.connection_pool.tcp
    assert tcp.max_connections == 10
    assert tcp.connect_timeout == 30.0
    assert (tcp.keepalive.time, tcp.keepalive.interval) == (600.0, 60.0)
    held = [decision.lease() for _ in range(10)]
    from roadstead import Overflow

    with pytest.raises(Overflow) as caught:
        decision.lease()
    assert caught.value.limit == "max_connections"
    for lease in held:
        lease.finish(status=200)


def test_stripe(engine_name: str) -> None:
    registry = load("08-stripe.yaml", engine_name)
    decision = registry.route("api.stripe.com", scheme="https", path="/v1/charges", method="POST")
    assert decision.request_headers == (("add", "x-client-version", "v1.0"),)
    assert decision.apply({"accept": "*/*"}) == [("accept", "*/*"), ("x-client-version", "v1.0")]
    assert decision.cluster_name == "outbound|443||api.stripe.com"
    assert decision.application_tls
    assert any(finding.severity == "warning" for finding in registry.diagnostics)


def test_remote_cluster(engine_name: str) -> None:
    decision = load("09-remote-cluster.yaml", engine_name).route("remote-service.remote-cluster.local", 8080)
    assert decision.tls.mode == "ISTIO_MUTUAL"
    assert decision.tls.sni == "outbound_.8080_._.remote-service.remote-cluster.local"
    assert not decision.application_tls
    assert (decision.pick().address, decision.pick().port) == ("10.1.1.100", 8080)


def test_legacy(engine_name: str) -> None:
    registry = load("10-legacy.yaml", engine_name)
    decision = registry.route("legacy.internal.com", 8080, "/api/v1/x?y=1")
    assert decision.path == "/legacy-api/x?y=1"
    assert (decision.pick().address, decision.pick().port) == ("192.168.10.100", 8080)
    assert registry.route("legacy.internal.com", 8080, "/other").status == 404


@pytest.mark.parametrize(
    ("region", "expected"), [("eu", "cdn-eu"), ("us", "cdn-us"), (None, "cdn-us"), ("mars", "cdn-us")]
)
def test_cdn(engine_name: str, region: str | None, expected: str) -> None:
    registry = load("11-cdn.yaml", engine_name)
    headers = {"x-user-region": region} if region else None
    found = picked(registry, "cdn.example.com", 443, scheme="https", headers=headers)
    assert found == {(f"{expected}.example.com", 443)}


def test_health_check(engine_name: str) -> None:
    registry = load("12-health-check.yaml", engine_name)
    decision = registry.route("external-api.example.com", scheme="https")
    (check,) = decision.cluster.health_checks
    assert (check.interval, check.timeout, check.unhealthy_threshold, check.healthy_threshold) == (30.0, 5.0, 3, 2)
    assert check.path == "/health"
    assert check.headers == (("x-health-check", "istio"),)
    outlier = decision.cluster.outlier_detection
    assert outlier.consecutive_gateway_failure == 5
    assert (outlier.interval, outlier.base_ejection_time, outlier.max_ejection_percent) == (30.0, 30.0, 50)
    assert outlier.always_eject_one_host


def test_the_circuit_breaker_opens_and_closes(engine_name: str) -> None:
    """Five gateway errors in a row take an address out for 30 s, to the next tick of 30 s; half of them at most."""
    second = 10**9
    now = 7 * second
    registry = load("12-health-check.yaml", engine_name, clock=lambda: now)
    name = "outbound|443||external-api.example.com"
    registry.endpoints(name).update(["10.0.0.1:443", "10.0.0.2:443"])
    live = registry.cluster(name)
    assert live is not None

    def fail(address: str, times: int) -> None:
        while times:
            with registry.route("external-api.example.com", scheme="https").lease() as lease:
                if lease.endpoint.address == address:
                    lease.finish(status=503)
                    times -= 1

    def served() -> set[str]:
        return {endpoint[0] for endpoint in picked(registry, "external-api.example.com", 443, scheme="https")}

    fail("10.0.0.1", 4)
    assert served() == {"10.0.0.1", "10.0.0.2"}
    assert registry.sweep() is None
    fail("10.0.0.1", 1)
    assert served() == {"10.0.0.2"}
    assert [endpoint.health for endpoint in live.endpoints] == ["unhealthy", "unknown"]
    fail("10.0.0.2", 10)
    assert served() == {"10.0.0.2"}
    stats = live.stats
    prefix = "outlier_detection.ejections_"
    assert (stats[f"{prefix}active"], stats[f"{prefix}enforced_consecutive_gateway_failure"]) == (1, 1)
    # Ten 503 in a row are found twice by each of both detectors.
    assert stats[f"{prefix}overflow"] == 4
    # 30 s are over at 37 s; ticks are at 30 and 60 s.
    assert registry.sweep() == 53 * second
    now = 59 * second
    assert registry.sweep() == second
    assert served() == {"10.0.0.2"}
    now = 60 * second
    registry.sweep()
    assert served() == {"10.0.0.1", "10.0.0.2"}


def test_the_circuit_breaker_opens_for_a_lone_address(engine_name: str) -> None:
    """Unlike outlierDetection with the same numbers: then nothing is left to ask, and a check that passes brings it back."""
    registry = load("12-health-check.yaml", engine_name)
    name = "outbound|443||external-api.example.com"
    for _ in range(5):
        registry.route("external-api.example.com", scheme="https").lease().finish(error="timeout")
    with pytest.raises(NoHealthyEndpoint):
        registry.route("external-api.example.com", scheme="https").pick()
    registry.endpoints(name).set_health("external-api.example.com", 443, "healthy")
    assert picked(registry, "external-api.example.com", 443, scheme="https") == {("external-api.example.com", 443)}
