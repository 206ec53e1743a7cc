"""Findings name fields as the user writes them."""

from __future__ import annotations

import pytest

from roadstead.config.read import read


@pytest.mark.parametrize(
    ("kind", "spec", "name"),
    [
        (
            "DestinationRule",
            "{host: a.test, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [x]}}}",
            "subjectAltNames",
        ),
        (
            "DestinationRule",
            "{host: a.test, trafficPolicy: {tls: {mode: SIMPLE, credentialName: x, caCertificates: /x}}}",
            "caCertificates",
        ),
        (
            "Gateway",
            "{servers: [{port: {number: 443, name: s, protocol: HTTPS}, hosts: [a.test], tls: {mode: ISTIO_MUTUAL, credentialName: x}}]}",
            "credentialName",
        ),
    ],
)
def test_names_are_those_that_are_written(kind: str, spec: str, name: str) -> None:
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: one}}\nspec: {spec}\n"
    (found,) = read(text.encode(), "file.yaml", "istio")
    assert [finding.message.split()[0] for finding in found.findings if finding.severity == "error"] == [name]
