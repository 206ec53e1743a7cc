"""Rules of DestinationRule, by number; the tables write one traffic policy."""

from __future__ import annotations

import pytest

from .cases import said

HASH = "loadBalancer: {consistentHash: {httpHeaderName: x"

RIGHT = [
    "connectionPool: {tcp: {maxConnections: 1, idleTimeout: 0s}}",
    "outlierDetection: {consecutive5xxErrors: 0, interval: 1ms, maxEjectionPercent: 100}",
    f"{HASH}, maglev: {{tableSize: 65537}}}}}}",
    "loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}}}",
    "loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {a/*: 80, b/*: 20}}]}}",
    "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}, outlierDetection: {}",
    "tls: {mode: SIMPLE, insecureSkipVerify: true}",
    "tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}",
    "portLevelSettings: [{port: {number: 80}, tls: {}}]",
    "tunnel: {targetHost: x.test, targetPort: 443}",
    "retryBudget: {percent: 100}",
    "loadBalancer: {warmup: {duration: 1s, aggression: 1.5}}",
]

WRONG = [
    ("", "DR-10", ""),
    ("tunnel: {targetHost: x.test, targetPort: 1}, proxyProtocol: {}", "DR-11", ""),
    ("tunnel: {protocol: PUT, targetHost: x.test, targetPort: 1}", "DR-13", "tunnel.protocol"),
    ("tunnel: {targetPort: 1}", "DR-14", "tunnel.targetHost"),
    ("tunnel: {targetHost: 10.0.0.1}", "DR-15", "tunnel.targetPort"),
    ("outlierDetection: {interval: 0s}", "DEC-6", "outlierDetection.interval"),
    (
        "outlierDetection: {consecutiveLocalOriginFailures: 1}",
        "DR-22",
        "outlierDetection.consecutiveLocalOriginFailures",
    ),
    ("outlierDetection: {maxEjectionPercent: 101}", "DR-23", "outlierDetection.maxEjectionPercent"),
    (
        "outlierDetection: {outlierDetectionHttpErrorCodes: [600]}",
        "K-DR-6",
        "outlierDetection.outlierDetectionHttpErrorCodes[0]",
    ),
    ("connectionPool: {}", "DR-30", "connectionPool"),
    ("connectionPool: {http: {maxRetries: -1}}", "DR-31", "connectionPool.http.maxRetries"),
    ("connectionPool: {http: {idleTimeout: 0s}}", "DEC-6", "connectionPool.http.idleTimeout"),
    (
        "connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}",
        "DR-33",
        "connectionPool.http.useClientProtocol",
    ),
    ("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}", "DR-34", "connectionPool.http.http2KeepAlive.timeout"),
    ("connectionPool: {tcp: {maxConnections: -1}}", "DR-35", "connectionPool.tcp.maxConnections"),
    ("connectionPool: {tcp: {tcpKeepalive: {time: 1.5ms}}}", "DEC-6", "connectionPool.tcp.tcpKeepalive.time"),
    ("loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}", "K-DR-2", "loadBalancer.consistentHash"),
    (f"{HASH}, useSourceIp: true}}}}", "K-DR-2", "loadBalancer.consistentHash.useSourceIp"),
    ("loadBalancer: {consistentHash: {httpCookie: {}}}", "DR-40", "loadBalancer.consistentHash.httpCookie.name"),
    (f"{HASH}, minimumRingSize: 1, ringHash: {{}}}}}}", "DR-43", "loadBalancer.consistentHash.minimumRingSize"),
    (f"{HASH}, maglev: {{}}}}}}", "DR-44", "loadBalancer.consistentHash.maglev.tableSize"),
    (f"{HASH}, maglev: {{tableSize: 65536}}}}}}", "DR-44", "loadBalancer.consistentHash.maglev.tableSize"),
    (f"{HASH}, maglev: {{tableSize: 5000011}}}}}}", "DR-44", "loadBalancer.consistentHash.maglev.tableSize"),
    ("loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}", "DR-45", "loadBalancer"),
    (
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}}",
        "DR-46",
        "loadBalancer.localityLbSetting",
    ),
    (
        "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [topology.istio.io/subzone]}}",
        "DR-47",
        "loadBalancer.localityLbSetting.failoverPriority[0]",
    ),
    (
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 60, c: 60}}]}}",
        "DR-49",
        "loadBalancer.localityLbSetting.distribute[0].to",
    ),
    (
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b/*: 50, b/c: 50}}]}}",
        "DR-50",
        "loadBalancer.localityLbSetting.distribute[0].to",
    ),
    (
        "loadBalancer: {localityLbSetting: {distribute: [{from: '*/a', to: {b: 100}}]}}",
        "DR-50",
        "loadBalancer.localityLbSetting.distribute",
    ),
    (
        "loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}",
        "DR-52",
        "loadBalancer.localityLbSetting.failover[0]",
    ),
    (
        "loadBalancer: {localityLbSetting: {failover: [{from: a/b, to: c}]}}",
        "DR-52",
        "loadBalancer.localityLbSetting.failover[0].from",
    ),
    ("loadBalancer: {warmup: {}}", "DR-55", "loadBalancer.warmup.duration"),
    ("loadBalancer: {warmup: {duration: 1s, minimumPercent: 101}}", "DR-56", "loadBalancer.warmup.minimumPercent"),
    ("loadBalancer: {warmup: {duration: 1s, aggression: 0}}", "DR-57", "loadBalancer.warmup.aggression"),
    ("tls: {mode: SIMPLE, credentialName: 'configmap://other/x'}", "DR-60", "tls.credentialName"),
    ("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /x}", "DR-61", "tls"),
    ("tls: {mode: SIMPLE, credentialName: x, caCertificates: /x}", "DR-63", "tls"),
    ("tls: {mode: MUTUAL, clientCertificate: /c}", "DR-64", "tls.privateKey"),
    ("portLevelSettings: [{tls: {}}]", "DR-70", "portLevelSettings[0].port"),
    ("portLevelSettings: [{port: {number: 1}}]", "DR-71", "portLevelSettings[0]"),
    ("retryBudget: {percent: 101}", "K-DR-6", "retryBudget.percent"),
]


@pytest.mark.parametrize("policy", RIGHT)
def test_right(policy: str) -> None:
    for dialect in ("istio", "extended"):
        assert said("DestinationRule", f"{{host: a.test, trafficPolicy: {{{policy}}}}}", dialect) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("policy", "code", "path"), WRONG)
def test_wrong(policy: str, code: str, path: str) -> None:
    assert said("DestinationRule", f"{{host: a.test, trafficPolicy: {{{policy}}}}}") == [
        (code, f"trafficPolicy.{path}".rstrip("."))
    ]


@pytest.mark.parametrize(("policy", "code", "path"), WRONG[:6])
def test_wrong_in_a_subset(policy: str, code: str, path: str) -> None:
    found = said("DestinationRule", f"{{host: a.test, subsets: [{{name: v1, trafficPolicy: {{{policy}}}}}]}}")
    assert found == [(code, f"subsets[0].trafficPolicy.{path}".rstrip("."))]


@pytest.mark.parametrize(
    ("spec", "code", "path"),
    [
        ("{}", "DR-1", "host"),
        ("{host: a_b}", "DR-1", "host"),
        ("{host: a, subsets: [{name: x}, {name: x}]}", "DR-2", "subsets[1].name"),
        ("{host: a, subsets: [{}]}", "DR-3", "subsets[0].name"),
        ("{host: a, subsets: [{name: x, labels: {a: 'b c'}}]}", "DR-4", "subsets[0].labels"),
        ("{host: a, workloadSelector: {matchLabels: {a: '*'}}}", "DR-7", "workloadSelector.matchLabels"),
        ("{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: [other]}", "EXP-5", "exportTo"),
        ("{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: [., other]}", "EXP-6", "exportTo"),
    ],
)
def test_wrong_around_the_policy(spec: str, code: str, path: str) -> None:
    assert said("DestinationRule", spec) == [(code, path)]


CHECK = "healthCheck: {interval: 1s, timeout: 1s"


@pytest.mark.parametrize(
    "check",
    ["", ", path: /a?b, host: 'a.b:80', httpHeaders: [{name: a, value: b}]", ", grpc: {service: a.B, authority: c}"],
)
def test_checks_that_are_taken(check: str) -> None:
    assert said("DestinationRule", f"{{host: a.test, trafficPolicy: {{{CHECK}{check}}}}}}}", "extended") == []


@pytest.mark.parametrize(
    ("policy", "code", "path"),
    [
        ("circuitBreaker: {interval: 1s}, outlierDetection: {}", "EXT-10", "circuitBreaker"),
        ("connectionPool: {tcp: {keepAlive: {}, tcpKeepalive: {}}}", "EXT-10", "connectionPool.tcp.keepAlive"),
        ("healthCheck: {timeout: 1s}", "EXT-3", "healthCheck.interval"),
        ("healthCheck: {interval: 1s, timeout: 0s}", "DEC-6", "healthCheck.timeout"),
        (f"{CHECK}, unhealthyThreshold: 0}}", "EXT-3", "healthCheck.unhealthyThreshold"),
        (f"{CHECK}, healthyThreshold: 0}}", "EXT-3", "healthCheck.healthyThreshold"),
        (f"{CHECK}, path: health}}", "EXT-3", "healthCheck.path"),
        (f"{CHECK}, path: /, host: 'a b'}}", "EXT-3", "healthCheck.host"),
        (f"{CHECK}, host: a.b}}", "EXT-3", "healthCheck.host"),
        (f"{CHECK}, grpc: {{}}, host: a.b}}", "EXT-3", "healthCheck.host"),
        (f"{CHECK}, grpc: {{authority: 'a b'}}}}", "EXT-3", "healthCheck.grpc.authority"),
        (f"{CHECK}, path: /, grpc: {{}}}}", "EXT-3", "healthCheck.grpc"),
        (f"{CHECK}, httpHeaders: [{{name: a}}]}}", "EXT-3", "healthCheck.httpHeaders"),
        (f"{CHECK}, path: /, httpHeaders: [{{name: Host, value: b}}]}}", "EXT-3", "healthCheck.httpHeaders[0].name"),
        (f"{CHECK}, path: /, httpHeaders: [{{name: ':a', value: b}}]}}", "EXT-3", "healthCheck.httpHeaders[0].name"),
    ],
)
def test_wrong_in_the_extended_dialect(policy: str, code: str, path: str) -> None:
    assert said("DestinationRule", f"{{host: a.test, trafficPolicy: {{{policy}}}}}", "extended") == [
        (code, f"trafficPolicy.{path}")
    ]


def test_what_only_the_extended_dialect_knows_leaves_an_empty_policy_to_istio() -> None:
    spec = "{host: a.test, trafficPolicy: {healthCheck: {interval: 1s, timeout: 1s}}}"
    assert said("DestinationRule", spec, "extended") == []
    assert said("DestinationRule", spec) == [("DR-10", "trafficPolicy"), ("DEC-1", "trafficPolicy.healthCheck")]
