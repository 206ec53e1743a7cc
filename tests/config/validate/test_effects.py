"""What is accepted and does nothing here is told."""

from __future__ import annotations

import msgspec
import pytest

from roadstead.config import MeshConfig
from roadstead.config.read import read
from roadstead.config.validate import validate_mesh


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{proxyHttpPort: 15002}", "proxyHttpPort"),
        ("{verifyCertificateAtClient: true}", "verifyCertificateAtClient"),
        ("{meshMTLS: {minProtocolVersion: TLSV1_3}}", "meshMTLS"),
        ("{tlsDefaults: {ecdhCurves: [P-256]}}", "tlsDefaults"),
        ("{outboundTrafficPolicy: {mode: ALLOW_ANY, tls: {mode: SIMPLE}}}", "outboundTrafficPolicy.tls"),
    ],
)
def test_fields_of_the_mesh(text: str, path: str) -> None:
    (found,) = validate_mesh(msgspec.yaml.decode(text.encode(), type=MeshConfig))
    assert (found.code, found.severity, found.path) == ("EFF-1", "warning", path)
    assert validate_mesh(MeshConfig()) == ()


def test_fields_of_a_gateway() -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n  servers:\n"
        "  - port: {number: 443, name: https, protocol: HTTPS}\n    hosts: [a.example.com]\n"
        "    tls: {mode: MUTUAL, credentialName: a, insecureSkipVerify: true}\n"
    )
    (decoded,) = read(text.encode(), "a.yaml", "istio")
    found = [(one.code, one.severity, one.path) for one in decoded.findings]
    assert found == [("EFF-1", "warning", "spec.servers[0].tls.insecureSkipVerify")]
    assert decoded.resource is not None
