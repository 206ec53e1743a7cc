"""connectionPool, outlierDetection, healthCheck and circuitBreaker in Envoy's terms."""

from __future__ import annotations

from typing import Literal

import pytest
from tests.compile.one_client import OneClient
from tests.compile.one_rule import RULE, SERVICE, cluster

from roadstead.mesh import HealthCheck, Keepalive, Node
from roadstead.mesh.cluster import UNLIMITED


class TestConnectionPool:
    def test_every_field(self) -> None:
        made = cluster(
            "trafficPolicy: {connectionPool: {tcp: {maxConnections: 11, connectTimeout: 1500ms, idleTimeout: 90s, "
            "tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}, maxConnectionDuration: 600s}, "
            "http: {http1MaxPendingRequests: 12, http2MaxRequests: 13, maxRequestsPerConnection: 14, maxRetries: 15, "
            "idleTimeout: 16s, maxConcurrentStreams: 17}}, "
            "retryBudget: {percent: 30, minRetryConcurrency: 7, budgetInterval: 2s}}"
        ).connection_pool
        assert (made.tcp.max_connections, made.tcp.connect_timeout) == (11, 1.5)
        assert made.tcp.keepalive == Keepalive(3, 7200.0, 75.0)
        assert (made.tcp.idle_timeout, made.tcp.max_connection_duration) == (90.0, 600.0)
        assert (made.http.max_pending_requests, made.http.max_requests, made.http.max_retries) == (12, 13, 15)
        assert (made.http.max_requests_per_connection, made.http.max_concurrent_streams) == (14, 17)
        assert made.http.idle_timeout == 16.0
        assert (made.http.retry_budget, made.http.retry_budget_interval) == ((30.0, 7), 2.0)

    def test_zero_is_left_out(self) -> None:
        made = cluster(
            "trafficPolicy: {connectionPool: {tcp: {maxConnections: 0, idleTimeout: 0s}, "
            "http: {maxRequestsPerConnection: 0, maxRetries: 0}}}"
        ).connection_pool
        assert made.tcp.max_connections == made.http.max_retries == UNLIMITED
        assert made.http.max_requests_per_connection is None
        # The time a connection may idle is the TCP one where HTTP has none; zero is a time.
        assert made.http.idle_timeout == 0.0

    @pytest.mark.parametrize("word", ["tcpKeepalive", "keepAlive"])
    def test_keepalive_goes_field_by_field(self, word: str) -> None:
        rule = f"trafficPolicy: {{connectionPool: {{tcp: {{{word}: {{time: 600s}}}}}}}}"
        assert cluster(rule).connection_pool.tcp.keepalive == Keepalive(None, 600.0, None)
        made = cluster(rule, mesh="{tcpKeepalive: {probes: 2, time: 1s, interval: 5s}}")
        assert made.connection_pool.tcp.keepalive == Keepalive(2, 600.0, 5.0)

    @pytest.mark.parametrize(
        ("protocol", "http", "mesh", "sidecar", "router"),
        [
            ("HTTP", "", "", "http1", "http1"),
            ("HTTP2", "", "", "http2", "http2"),
            ("GRPC", "", "", "http2", "http2"),
            ("TCP", "", "", "http1", "http1"),
            ("", "", "", "downstream", "http1"),
            ("HTTP", "", "UPGRADE", "http2", "http2"),
            ("TCP", "", "UPGRADE", "http1", "http1"),
            ("", "", "UPGRADE", "downstream", "http1"),
            ("HTTP", "h2UpgradePolicy: DO_NOT_UPGRADE", "UPGRADE", "http1", "http1"),
            ("HTTP2", "h2UpgradePolicy: DO_NOT_UPGRADE", "", "http2", "http2"),
            ("TCP", "h2UpgradePolicy: UPGRADE", "", "http2", "http2"),
            ("", "h2UpgradePolicy: UPGRADE", "", "downstream", "http2"),
            ("HTTP2", "useClientProtocol: true", "", "downstream", "downstream"),
            ("HTTP", "useClientProtocol: true, h2UpgradePolicy: UPGRADE", "", "downstream", "downstream"),
        ],
    )
    def test_protocol_upstream(self, protocol: str, http: str, mesh: str, sidecar: str, router: str) -> None:
        text = SERVICE.replace("protocol: HTTP}", f"protocol: '{protocol}'}}") + RULE.format(
            name="x", spec=f"trafficPolicy: {{connectionPool: {{http: {{{http}}}}}}}"
        )
        mesh = f"{{h2UpgradePolicy: {mesh}}}" if mesh else ""
        kinds: tuple[tuple[Literal["sidecar", "router"], str], ...] = (("sidecar", sidecar), ("router", router))
        for kind, expected in kinds:
            made = OneClient(text, node=Node(type=kind), mesh=mesh).clusters("a.test")["80"]
            assert made.connection_pool.http.protocol == expected


class TestEjection:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("{}", {}),
            ("{consecutive5xxErrors: 7}", {"consecutive_5xx": 7, "enforcing_consecutive_5xx": 100}),
            ("{consecutive5xxErrors: 0}", {"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0}),
            (
                "{consecutiveGatewayErrors: 3}",
                {"consecutive_gateway_failure": 3, "enforcing_consecutive_gateway_failure": 100},
            ),
            ("{consecutiveErrors: 3}", {}),
            # Without the split local errors count as any other.
            ("{consecutiveLocalOriginFailures: 4}", {}),
            (
                "{consecutiveLocalOriginFailures: 4, splitExternalLocalOriginErrors: true}",
                {
                    "consecutive_local_origin_failure": 4,
                    "enforcing_consecutive_local_origin_failure": 100,
                    "split_external_local_origin_errors": True,
                },
            ),
            (
                "{interval: 1s, baseEjectionTime: 2m, maxEjectionPercent: 50}",
                {"interval": 1.0, "base_ejection_time": 120.0, "max_ejection_percent": 50},
            ),
            ("{outlierDetectionHttpErrorCodes: [429, 503]}", {"error_codes": ("429", "503")}),
            ("{minHealthPercent: 30}", {"min_health_percent": 30}),
        ],
    )
    def test_fields(self, written: str, expected: dict[str, object]) -> None:
        made = cluster(f"trafficPolicy: {{outlierDetection: {written}}}").outlier_detection
        assert made == type(made)(**expected)

    @pytest.mark.parametrize(
        ("written", "threshold"), [("{}", 0), ("{minHealthPercent: 30}", 30), ("{minHealthPercent: -1}", None)]
    )
    def test_panic(self, written: str, threshold: int | None) -> None:
        made = cluster(f"trafficPolicy: {{outlierDetection: {written}}}")
        assert made.load_balancer.panic_threshold == threshold

    def test_a_traffic_distribution_never_panics(self) -> None:
        text = SERVICE.replace(
            "namespace: prod",
            "namespace: prod, annotations: {networking.istio.io/traffic-distribution: PreferClose}",
            1,
        ) + RULE.format(name="x", spec="trafficPolicy: {outlierDetection: {minHealthPercent: 30}}")
        assert OneClient(text).clusters("a.test")["80"].load_balancer.panic_threshold == 0

    def test_a_circuit_breaker_is_outlier_detection(self) -> None:
        breaker = "circuitBreaker: {consecutiveGatewayErrors: 5, interval: 30s, baseEjectionTime: 30s, maxEjectionPercent: 50}"
        made = cluster(f"trafficPolicy: {{{breaker}}}").outlier_detection
        assert made is not None
        assert (made.consecutive_gateway_failure, made.enforcing_consecutive_gateway_failure) == (5, 100)
        assert (made.interval, made.base_ejection_time, made.max_ejection_percent) == (30.0, 30.0, 50)
        assert made.always_eject_one_host
        both = cluster(
            f"trafficPolicy: {{{breaker}, outlierDetection: {{interval: 1s, consecutive5xxErrors: 2}}}}"
        ).outlier_detection
        assert both is not None
        assert (both.interval, both.consecutive_5xx, both.consecutive_gateway_failure) == (1.0, 2, 5)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{}", HealthCheck(10.0, 5.0, 3, 2, "tcp", "")),
        (
            (
                "{interval: 30s, timeout: 1s, unhealthyThreshold: 4, healthyThreshold: 1, path: /health, "
                "httpHeaders: [{name: x-health-check, value: istio}]}"
            ),
            HealthCheck(30.0, 1.0, 4, 1, "http", "/health", (("x-health-check", "istio"),)),
        ),
        ("{path: /, host: b.test}", HealthCheck(10.0, 5.0, 3, 2, "http", "/", (), "b.test")),
    ],
)
def test_health_checks(written: str, expected: HealthCheck) -> None:
    assert cluster(f"trafficPolicy: {{healthCheck: {written}}}").health_checks == (expected,)


def test_a_call_is_for_ports_that_speak_http_2() -> None:
    check = "healthCheck: {grpc: {service: shop, authority: b.test}, httpHeaders: [{name: a, value: b}]}"
    expected = HealthCheck(10.0, 5.0, 3, 2, "grpc", "", (("a", "b"),), "b.test", "shop")
    assert cluster(f"trafficPolicy: {{{check}}}").health_checks == ()
    upgraded = f"trafficPolicy: {{{check}, connectionPool: {{http: {{h2UpgradePolicy: UPGRADE}}}}}}"
    assert cluster(upgraded).health_checks == (expected,)
