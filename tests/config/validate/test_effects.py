"""What is accepted and decides nothing about what leaves the workload is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.config.validate.cases import said

from roadstead.config import MeshConfig
from roadstead.config.read import read_mesh
from roadstead.config.schema import fields_of
from roadstead.config.validate import validate_mesh
from roadstead.config.validate.effects import EFFECTS

if TYPE_CHECKING:
    import msgspec


@pytest.mark.parametrize(
    ("text", "path", "severity"),
    [
        ("verifyCertificateAtClient: false", "verifyCertificateAtClient", "warning"),
        ("meshMTLS: {minProtocolVersion: TLSV1_3}", "meshMTLS", "warning"),
        ("discoverySelectors: [{matchLabels: {env: prod}}]", "discoverySelectors", "warning"),
        (
            "defaultConfig: {proxyHeaders: {forwardedClientCert: SANITIZE}}",
            "defaultConfig.proxyHeaders.forwardedClientCert",
            "info",
        ),
        (
            "defaultConfig: {connectionSettings: {listenerConnectionLimit: 2}}",
            "defaultConfig.connectionSettings.listenerConnectionLimit",
            "warning",
        ),
        ("ingressClass: nginx", "ingressClass", "info"),
        ("enablePrometheusMerge: false", "enablePrometheusMerge", "info"),
        ("defaultInboundHttpRetryPolicy: {attempts: 1}", "defaultInboundHttpRetryPolicy", "info"),
        ("defaultConfig: {concurrency: 2}", "defaultConfig.concurrency", "info"),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY, tls: {mode: SIMPLE}}", "outboundTrafficPolicy.tls", "warning"),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE, credentialName: s}}",
            "outboundTrafficPolicy.tls.credentialName",
            "warning",
        ),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: MUTUAL}}",
            "outboundTrafficPolicy.tls",
            "warning",
        ),
    ],
)
def test_fields_of_the_mesh(text: str, path: str, severity: str) -> None:
    read = read_mesh(text.encode(), "mesh.yaml")
    (found,) = read.findings
    assert (found.code, found.severity, found.path) == ("EFF-1", severity, path)
    assert read.value is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ingressClass: istio",
        "proxyHttpPort: 15002",
        "tlsDefaults: {ecdhCurves: [P-256]}",
        "pathNormalization: {normalization: NONE}",
        "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}",
        "outboundTrafficPolicy: {mode: ALLOW_ANY, tls: {mode: DISABLE}}",
        "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}",
    ],
)
def test_what_has_an_effect_is_not_told(text: str) -> None:
    assert read_mesh(text.encode()).findings == ()


@pytest.mark.parametrize(
    ("kind", "spec", "severity", "paths"),
    [
        ("WorkloadGroup", "{template: {address: 10.0.0.1}}", "info", ["template"]),
        ("WorkloadGroup", "{template: {ports: {a: 1}}, metadata: {labels: {a: b}}}", "info", ["template", "metadata"]),
        (
            "DestinationRule",
            "{host: a.test, trafficPolicy: {loadBalancer: {backendUtilization: {}}}}",
            "warning",
            ["trafficPolicy.loadBalancer.backendUtilization"],
        ),
        (
            "VirtualService",
            "{hosts: [a.test], tcp: [{match: [{sourceSubnet: 10.0.0.0/8}], route: [{destination: {host: a.test}}]}]}",
            "warning",
            ["tcp[0].match[0].sourceSubnet"],
        ),
        (
            "Gateway",
            "{servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*'], defaultEndpoint: '127.0.0.1:1'}]}",
            "warning",
            ["servers[0].defaultEndpoint"],
        ),
        (
            "Sidecar",
            "{ingress: [{port: {number: 80, protocol: HTTP, name: h}}], inboundConnectionPool: {http: {}}}",
            "info",
            ["ingress", "inboundConnectionPool"],
        ),
        (
            "Sidecar",
            "{egress: [{port: {number: 0, name: s, protocol: TCP}, bind: 'unix:///s', hosts: ['./*']}]}",
            "warning",
            ["egress[0].port.protocol"],
        ),
        (
            "Gateway",
            (
                "{servers: [{port: {number: 443, name: s, protocol: HTTPS}, hosts: [a.test], "
                "tls: {mode: MUTUAL, credentialName: a, insecureSkipVerify: true}}]}"
            ),
            "warning",
            [],
        ),
    ],
)
def test_fields_of_kinds(kind: str, spec: str, severity: str, paths: list[str]) -> None:
    assert sorted(path for code, path in said(kind, spec, severity=severity) if code == "EFF-1") == sorted(paths)


def test_the_default_mesh_has_nothing_to_be_told() -> None:
    assert validate_mesh(MeshConfig()) == ()


@pytest.mark.parametrize(("struct", "named"), EFFECTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_facts_are_about_fields(struct: type[msgspec.Struct], named: dict[str, object]) -> None:
    assert set(named) <= set(fields_of(struct).attributes.values())
