"""Rules of WorkloadEntry and WorkloadGroup, by number."""

from __future__ import annotations

import pytest

from .cases import said


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("WorkloadEntry", "{address: 10.0.0.1, ports: {http: 80}, labels: {a: ''}}"),
        ("WorkloadEntry", "{address: vm.test}"),
        ("WorkloadEntry", "{address: 'unix://@abstract'}"),
        ("WorkloadEntry", "{network: n1}"),
        ("WorkloadEntry", f"{{address: 10.0.0.1, ports: {{{'a' * 62}: 1}}}}"),
        ("WorkloadGroup", "{template: {address: 'unix:///x'}}"),
        ("WorkloadGroup", "{template: {}}"),
        (
            "WorkloadGroup",
            "{template: {}, probe: {httpGet: {port: 80, scheme: HTTPS, httpHeaders: [{name: x-y, value: z}]}}}",
        ),
    ],
)
def test_right(kind: str, spec: str) -> None:
    assert said(kind, spec) == []


@pytest.mark.parametrize(
    ("kind", "spec", "code", "path"),
    [
        ("WorkloadEntry", "{}", "WE-1", "address"),
        ("WorkloadEntry", "{address: 'unix://@x/'}", "K-SE-13", "address"),
        ("WorkloadEntry", f"{{address: 10.0.0.1, ports: {{{'a' * 63}: 1}}}}", "K-SE-14", f"ports.{'a' * 63}"),
        ("WorkloadGroup", "{template: {address: 'unix://x'}}", "WE-3", "template.address"),
        ("WorkloadGroup", "{template: {address: 'unix:///x', ports: {a: 1}}}", "WE-4", "template.ports"),
        ("WorkloadGroup", "{template: {ports: {a_b: 1}}}", "WE-7", "template.ports.a_b"),
        ("WorkloadGroup", "{template: {ports: {a: 0}}}", "WE-8", "template.ports.a"),
        ("WorkloadEntry", "{address: 'unix://x'}", "WE-3", "address"),
        ("WorkloadEntry", "{address: 'unix:///x', ports: {a: 1}}", "WE-4", "ports"),
        ("WorkloadEntry", "{address: '10.0.0.1:80'}", "WE-5", "address"),
        ("WorkloadEntry", "{address: 10.0.0.1, ports: {a_b: 1}}", "WE-7", "ports.a_b"),
        ("WorkloadEntry", "{address: 10.0.0.1, ports: {a: 65536}}", "WE-8", "ports.a"),
        ("WorkloadEntry", "{address: 10.0.0.1, labels: {a: 'b c'}}", "WE-9", "labels"),
        ("WorkloadGroup", "{}", "WG-1", "template"),
        ("WorkloadGroup", "{template: {}, metadata: {labels: {a: 'b c'}}}", "WG-2", "metadata.labels"),
        (
            "WorkloadGroup",
            "{template: {}, probe: {periodSeconds: -1, tcpSocket: {port: 1}}}",
            "WG-3",
            "probe.periodSeconds",
        ),
        ("WorkloadGroup", "{template: {}, probe: {httpGet: {}}}", "WG-4", "probe.httpGet.port"),
        ("WorkloadGroup", "{template: {}, probe: {httpGet: {port: 1, scheme: https}}}", "WG-5", "probe.httpGet.scheme"),
        (
            "WorkloadGroup",
            "{template: {}, probe: {httpGet: {port: 1, httpHeaders: [{}]}}}",
            "WG-6",
            "probe.httpGet.httpHeaders[0].name",
        ),
        ("WorkloadGroup", "{template: {}, probe: {tcpSocket: {}}}", "WG-7", "probe.tcpSocket.port"),
        ("WorkloadGroup", "{template: {}, probe: {exec: {}}}", "WG-8", "probe.exec.command"),
        ("WorkloadGroup", "{template: {}, probe: {grpc: {port: 1}}}", "WG-9", "probe.grpc"),
        ("WorkloadGroup", "{template: {}, probe: {}}", "K-WG-3", "probe"),
    ],
)
def test_wrong(kind: str, spec: str, code: str, path: str) -> None:
    assert said(kind, spec) == [(code, path)]
