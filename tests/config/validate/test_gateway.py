"""Rules of Gateway, by number; the tables write one server."""

from __future__ import annotations

import pytest

from .cases import said

HTTP = "port: {number: 80, name: h, protocol: HTTP}, hosts: [a.test]"
HTTPS = "port: {number: 443, name: h, protocol: HTTPS}, hosts: [a.test]"


@pytest.mark.parametrize(
    "server",
    [
        HTTP,
        f"{HTTP}, tls: {{httpsRedirect: true}}",
        f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: x}}",
        f"{HTTPS}, tls: {{mode: ISTIO_MUTUAL}}",
        f"{HTTPS}, tls: {{}}",
        f"{HTTPS}, tls: {{mode: SIMPLE, serverCertificate: /c, privateKey: /k}}",
        "port: {number: 80, name: h, protocol: HTTP}, hosts: ['*', './b.test', 'ns/*.c.test', '*/*']",
        "port: {number: 1, name: t, protocol: TCP}, hosts: ['*'], bind: 10.0.0.1",
        "port: {number: 0, name: u, protocol: HTTP}, hosts: ['*'], bind: 'unix:///x'",
    ],
)
def test_right(server: str) -> None:
    assert said("Gateway", f"{{servers: [{{{server}}}]}}") == []


@pytest.mark.parametrize(
    ("server", "code", "path"),
    [
        ("port: {number: 80, name: h, protocol: HTTP}", "GW-5", "hosts"),
        ("port: {number: 80, name: h, protocol: HTTP}, hosts: [/x.test]", "GW-7", "hosts[0]"),
        ("port: {number: 80, name: h, protocol: HTTP}, hosts: [a_b/x.test]", "GW-8", "hosts[0]"),
        ("port: {number: 80, name: h, protocol: HTTP}, hosts: [short]", "GW-9", "hosts[0]"),
        ("port: {number: 80, name: h, protocol: HTTP}, hosts: ['::1']", "GW-9", "hosts[0]"),
        ("port: {number: 80, name: h, protocol: HTTP}, hosts: [a_b.test]", "GW-10", "hosts[0]"),
        ("port: {number: 80, name: h, protocol: HTTP}, hosts: ['*a.test']", "GW-11", "hosts[0]"),
        ("hosts: [a.test]", "GW-12", "port"),
        ("port: {number: 80, name: h}, hosts: [a.test]", "GW-13", "port.protocol"),
        ("port: {name: h, protocol: HTTP}, hosts: [a.test]", "GW-14", "port.number"),
        ("port: {number: 80, name: h, protocol: HTTP, targetPort: 8080}, hosts: [a.test]", "GW-15", "port.targetPort"),
        ("port: {number: 80, protocol: HTTP}, hosts: [a.test]", "GW-16", "port.name"),
        (f"{HTTP}, bind: 'unix:///x'", "GW-17", "bind"),
        (f"{HTTP}, bind: x", "GW-18", "bind"),
        (f"{HTTPS}, tls: {{mode: ISTIO_MUTUAL, credentialName: x}}", "GW-22", "tls"),
        (f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: x, credentialNames: [y1]}}", "GW-24", "tls"),
        (f"{HTTPS}, tls: {{mode: MUTUAL, serverCertificate: /c, privateKey: /k}}", "GW-26", "tls.caCertificates"),
        (f"{HTTPS}, tls: {{mode: SIMPLE, privateKey: /k}}", "GW-28", "tls"),
        (f"{HTTPS}, tls: {{mode: SIMPLE, serverCertificate: /c, privateKey: /k, caCrl: /r}}", "GW-30", "tls.caCrl"),
        (HTTPS, "GW-31", "tls"),
        (f"{HTTP}, tls: {{mode: SIMPLE, credentialName: x}}", "GW-32", "tls"),
        ("port: {number: 1, name: t, protocol: TCP}, hosts: ['*'], tls: {mode: PASSTHROUGH}", "GW-33", "tls"),
    ],
)
def test_wrong(server: str, code: str, path: str) -> None:
    assert said("Gateway", f"{{servers: [{{{server}}}]}}") == [(code, f"servers[0].{path}")]


def test_wrong_around_the_servers() -> None:
    assert said("Gateway", "{}") == [("GW-2", "servers")]
    assert said("Gateway", f"{{servers: [{{{HTTP}}}, {{{HTTP}}}]}}") == [("GW-3", "servers[1].port.name")]
    assert said("Gateway", f"{{servers: [{{{HTTP}}}]}}", metadata="name: a.b") == [("META-9", "metadata.name")]


def test_hosts_of_nobody_are_istios_own() -> None:
    """`~/host` is written for the Gateway API only, and marked so."""
    spec = f"{{servers: [{{{HTTP.replace('hosts: [', 'hosts: [~/b.test, ', 1)}}}]}}"
    assert said("Gateway", spec) == [("GW-8", "servers[0].hosts[0]")]
    semantics = "name: one, annotations: {internal.istio.io/gateway-semantics: gateway}"
    assert said("Gateway", spec, metadata=semantics) == []
