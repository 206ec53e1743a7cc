"""Rules of Sidecar, by number."""

from __future__ import annotations

import pytest

from .cases import said


@pytest.mark.parametrize(
    "spec",
    [
        "{egress: [{hosts: ['./*', 'ns/*.a.test', '~/b.test', '*/*']}]}",
        "{egress: [{port: {number: 80, protocol: HTTP, name: h}, hosts: ['*/*']}, {hosts: ['*/*']}]}",
        "{outboundTrafficPolicy: {}}",
        "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.test, port: {number: 80}}}}",
        "{ingress: [{port: {number: 80, protocol: HTTP, name: h}, defaultEndpoint: '127.0.0.1:8080'}]}",
        "{ingress: [{port: {number: 80, protocol: HTTP, name: h}, defaultEndpoint: 'unix:///x'}]}",
        "{ingress: [{port: {number: 80, protocol: HTTPS, name: h}, tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}}]}",
    ],
)
def test_right(spec: str) -> None:
    assert said("Sidecar", spec) == []


@pytest.mark.parametrize(
    ("spec", "code", "path"),
    [
        ("{egress: [{hosts: ['./10.0.0.1']}]}", "SC-29", "egress[0].hosts[0]"),
        ("{workloadSelector: {labels: {a: '*'}}, outboundTrafficPolicy: {}}", "SE-2", "workloadSelector.labels"),
        ("{}", "SC-3", ""),
        ("{ingress: [{bind: 10.0.0.1}]}", "SC-4", "ingress[0].port"),
        ("{ingress: [{port: {number: 80, targetPort: 1}}]}", "SC-5", "ingress[0].port.targetPort"),
        ("{ingress: [{port: {number: 80, name: a_b}}]}", "SC-6", "ingress[0].port.name"),
        ("{ingress: [{port: {number: 80, protocol: X}}]}", "SC-7", "ingress[0].port.protocol"),
        ("{ingress: [{port: {protocol: HTTP}}]}", "SC-8", "ingress[0].port.number"),
        ("{ingress: [{port: {number: 80}, bind: x}]}", "SC-9", "ingress[0].bind"),
        ("{ingress: [{port: {number: 80}}, {port: {number: 80}}]}", "SC-10", "ingress[1].port.number"),
        ("{ingress: [{port: {number: 80}, defaultEndpoint: 'a.test:80'}]}", "SC-12", "ingress[0].defaultEndpoint"),
        ("{ingress: [{port: {number: 80, protocol: HTTPS}, tls: {credentialName: x}}]}", "SC-13", "ingress[0].tls"),
        (
            "{ingress: [{port: {number: 80, protocol: HTTPS}, tls: {mode: ISTIO_MUTUAL}}]}",
            "SC-14",
            "ingress[0].tls.mode",
        ),
        ("{ingress: [{port: {number: 80, protocol: HTTP}, tls: {}}]}", "SC-15", "ingress[0].tls"),
        ("{egress: [{hosts: ['*/*']}, {hosts: ['*/*']}]}", "SC-19", "egress[0].port"),
        ("{egress: [{port: {protocol: HTTP}, hosts: ['*/*']}]}", "SC-22", "egress[0].bind"),
        ("{egress: [{port: {number: 80}, bind: x, hosts: ['*/*']}]}", "SC-23", "egress[0].bind"),
        (
            "{egress: [{port: {number: 80}, hosts: ['*/*']}, {port: {number: 80}, hosts: ['*/*']}]}",
            "SC-25",
            "egress[1].port",
        ),
        ("{egress: [{}]}", "SC-26", "egress[0].hosts"),
        ("{egress: [{hosts: [a.test]}]}", "SC-27", "egress[0].hosts[0]"),
        ("{egress: [{hosts: [a_b/c.test]}]}", "SC-28", "egress[0].hosts[0]"),
        ("{egress: [{hosts: ['*/short']}]}", "SC-29", "egress[0].hosts[0]"),
        ("{outboundTrafficPolicy: {egressProxy: {host: a.test}}}", "SC-33", "outboundTrafficPolicy.egressProxy"),
        (
            "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a_b}}}",
            "SC-34",
            "outboundTrafficPolicy.egressProxy.host",
        ),
        (
            "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.test}}}",
            "SC-35",
            "outboundTrafficPolicy.egressProxy.port",
        ),
    ],
)
def test_wrong(spec: str, code: str, path: str) -> None:
    assert said("Sidecar", spec) == [(code, path)]
