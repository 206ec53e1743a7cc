"""MeshConfig."""

from __future__ import annotations

import pytest

from roadstead.config.read import read_mesh


def said(text: str, severity: str = "error") -> list[tuple[str, str]]:
    read = read_mesh(text.encode(), "mesh.yaml")
    assert all(found.line and found.column for found in read.findings)
    assert (read.value is None) is any(found.severity == "error" for found in read.findings)
    return [(found.code, found.path) for found in read.findings if found.severity == severity]


SETTINGS = "defaultConfig.connectionSettings"


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("proxyListenPort: 0", "MC-1", "proxyListenPort"),
        ("proxyListenPort: 70000", "MC-1", "proxyListenPort"),
        ("connectTimeout: 0s", "MC-2", "connectTimeout"),
        ("connectTimeout: 2h", "MC-2", "connectTimeout"),
        ("connectTimeout: 1500us", "MC-2", "connectTimeout"),
        ("connectTimeout: 1x", "DEC-6", "connectTimeout"),
        ("protocolDetectionTimeout: 1500us", "MC-3", "protocolDetectionTimeout"),
        ("serviceSettings: [{hosts: [a_b.test]}]", "MC-4", "serviceSettings[0].hosts[0]"),
        ("trustDomain: ''", "MC-5", "trustDomain"),
        ("trustDomain: a_b", "MC-5", "trustDomain"),
        ("trustDomainAliases: [ok.test, a..b]", "MC-5", "trustDomainAliases[1]"),
        ("meshMTLS: {ecdhCurves: [P-256]}", "MC-6", "meshMTLS.ecdhCurves"),
        ("localityLbSetting: {distribute: [{from: a/*, to: {a/*: 50}}]}", "DR-49", "localityLbSetting.distribute[0].to"),
        ("localityLbSetting: {failover: [{from: a, to: a}]}", "DR-52", "localityLbSetting.failover[0]"),
        (
            "zoneAwareLbSetting: {failoverPriority: [topology.kubernetes.io/zone]}",
            "DR-53",
            "zoneAwareLbSetting.failoverPriority[0]",
        ),
        ("defaultTrafficPolicy: {connectionPool: {}}", "DR-30", "defaultTrafficPolicy.connectionPool"),
        ("defaultConfig: {discoveryAddress: istiod}", "MC-11", "defaultConfig.discoveryAddress"),
        ("defaultConfig: {discoveryAddress: 'a_b:1'}", "MC-11", "defaultConfig.discoveryAddress"),
        ("defaultConfig: {discoveryAddress: 'a.test:0'}", "MC-11", "defaultConfig.discoveryAddress"),
        *[
            (f"defaultConfig: {{connectionSettings: {{{name}: {value}}}}}", "MC-10", f"{SETTINGS}.{name}")
            for name, value in (
                ("listenerPerConnectionBufferLimitBytes", -1),
                ("httpIdleTimeout", "-1s"),
                ("httpMaxConcurrentStreams", 0),
                ("http2InitialStreamWindowSize", 65534),
            )
        ],
        (
            "defaultTrafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 1}}",
            "DR-22",
            "defaultTrafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
        ),
        (
            "defaultTrafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}",
            "DR-23",
            "defaultTrafficPolicy.outlierDetection.maxEjectionPercent",
        ),
    ],
)  # fmt: skip
def test_what_istiod_refuses(text: str, code: str, path: str) -> None:
    assert said(text) == [(code, path)]


SELECTOR = "serviceEntryVisibility: {policies: [{matchingRules: [{namespaceSelector: {matchExpressions: [%s]}}]}]}"
AT = "serviceEntryVisibility.policies[0].matchingRules[0].namespaceSelector.matchExpressions[0]"


@pytest.mark.parametrize(
    ("term", "path"),
    [
        ("{key: a, operator: Near}", ".operator"),
        ("{key: a, operator: In}", ".values"),
        ("{key: a, operator: Exists, values: [b]}", ".values"),
    ],
)
def test_a_selector_that_means_nothing(term: str, path: str) -> None:
    assert said(SELECTOR % term) == [("MC-8", AT + path)]


@pytest.mark.parametrize(
    "text",
    [
        "proxyListenPort: 15001",
        "connectTimeout: 1ms",
        "connectTimeout: 1h",
        "protocolDetectionTimeout: 0s",
        "trustDomain: cluster.local.",
        "trustDomainAliases: [td1, td2.example]",
        "serviceSettings: [{hosts: ['*.a.test', b.test]}]",
        "localityLbSetting: {enabled: false}",
        # The mesh's default has localities on, and zones come before them.
        "localityLbSetting: {enabled: true}\nzoneAwareLbSetting: {minClusterSize: 3}",
        SELECTOR % "{key: a, operator: NotIn, values: [b]}",
        "defaultConfig: {discoveryAddress: 'istiod.istio-system.svc:15012'}",
        "defaultConfig: {discoveryAddress: '[::1]:15012'}",
        "defaultConfig: {connectionSettings: {httpIdleTimeout: 0s, http2InitialStreamWindowSize: 65535}}",
    ],
)
def test_what_istiod_takes(text: str) -> None:
    assert said(text) == []


def test_curves_that_envoy_does_not_have() -> None:
    text = "tlsDefaults: {ecdhCurves: [P-256, secp256k1, P-256]}"
    assert said(text, "warning") == [("MC-7", "tlsDefaults.ecdhCurves[1]"), ("MC-7", "tlsDefaults.ecdhCurves[2]")]


@pytest.mark.parametrize(
    "selector", ["matchLabels: {env: a}", "matchExpressions: [{key: env, operator: DoesNotExist}]"]
)
def test_a_namespace_is_known_by_its_name_only(selector: str) -> None:
    """Who hides entries by another label would otherwise show them."""
    rules = f"policies: [{{visibility: NONE, matchingRules: [{{namespaceSelector: {{{selector}}}}}]}}]"
    at = "serviceEntryVisibility.policies[0].matchingRules[0].namespaceSelector"
    assert said(f"serviceEntryVisibility: {{applyToSidecars: true, {rules}}}") == [("MC-9", at)]
    # Without sidecars nothing here heeds them.
    assert said(f"serviceEntryVisibility: {{{rules}}}") == []
    named = rules.replace("env", "kubernetes.io/metadata.name")
    assert said(f"serviceEntryVisibility: {{applyToSidecars: true, {named}}}") == []
