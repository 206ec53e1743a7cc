"""Rules of ServiceEntry, by number."""

from __future__ import annotations

import pytest

from roadstead.config import Dialect

from .cases import said

PORT = "ports: [{number: 80, name: http, protocol: HTTP}]"
TLS = "ports: [{number: 443, name: tls, protocol: TLS}]"

RIGHT = [
    f"{{hosts: [a.test], resolution: DNS, {PORT}}}",
    f"{{hosts: ['*.a.test'], {PORT}}}",
    "{hosts: [a.test]}",
    f"{{hosts: [a.test, b.test], resolution: DNS, {PORT}}}",
    f"{{hosts: [a.test.], addresses: [10.1.2.3/8, '2001:db8::1'], {PORT}}}",
    f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: 'unix:///x/y'}}]}}",
    f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [], workloadSelector: {{labels: {{a: b}}}}}}",
    f"{{hosts: [a.test], resolution: DNS, {PORT}, endpoints: [{{address: b.test, ports: {{http: 8080}}}}]}}",
    f"{{hosts: ['*.a.test'], resolution: DYNAMIC_DNS, {PORT}}}",
    f"{{hosts: [a.test], exportTo: ['.', other], {PORT}}}",
    f"{{hosts: [a.test], exportTo: ['~'], {PORT}}}",
]

WRONG = [
    ("{}", "SE-5", "hosts"),
    ("{hosts: []}", "SE-5", "hosts"),
    ("{hosts: ['*']}", "SE-6", "hosts[0]"),
    ("{hosts: [10.0.0.1]}", "SE-7", "hosts[0]"),
    ("{hosts: [under_score.test]}", "SE-7", "hosts[0]"),
    ("{hosts: [a.*.test]}", "SE-7", "hosts[0]"),
    ("{hosts: [a.test], addresses: [x]}", "SE-9", "addresses[0]"),
    ("{hosts: [a.test], addresses: [10.0.0.0/33]}", "SE-9", "addresses[0]"),
    ("{hosts: [a.test], addresses: [10.0.0.0/255.0.0.0]}", "SE-9", "addresses[0]"),
    ("{hosts: [a.test], addresses: [10.0.0.0/8], resolution: DNS}", "SE-10", "addresses"),
    ("{hosts: [a.test], ports: [{number: 1, name: a, protocol: TCP}, {number: 2, name: a, protocol: TCP}]}", "SE-11", "ports[1].name"),
    ("{hosts: [a.test], ports: [{number: 1, name: a, protocol: TCP}, {number: 1, name: b, protocol: TCP}]}", "SE-12", "ports[1].number"),
    ("{hosts: [a.test], ports: [{number: 80, name: a, targetPort: 65536}]}", "SE-14", "ports[0].targetPort"),
    ("{hosts: [a.test], ports: [{number: 80}]}", "SE-15", "ports[0].name"),
    ("{hosts: [a.test], ports: [{number: 80, name: a_b}]}", "SE-15", "ports[0].name"),
    ("{hosts: [a.test], ports: [{number: 80, name: a, protocol: QUIC}]}", "SE-16", "ports[0].protocol"),
    ("{hosts: [a.test], ports: [{name: a}]}", "SE-17", "ports[0].number"),
    ("{hosts: [a.test], ports: [{number: 65536, name: a}]}", "SE-17", "ports[0].number"),
    ("{hosts: [a.test], resolution: NONE, endpoints: [{address: 10.0.0.1}]}", "SE-18", "endpoints"),
    ("{hosts: [a.test], endpoints: [{address: 10.0.0.1}]}", "SE-18", "endpoints"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: b.test}}]}}", "SE-21", "endpoints[0].address"),
    ("{hosts: [a.test], resolution: STATIC, endpoints: [{address: 'unix:///x'}]}", "SE-22", "endpoints[0].address"),
    (f"{{hosts: ['*.a.test'], resolution: DNS, {PORT}}}", "SE-23", "hosts[0]"),
    (f"{{hosts: [a.test], resolution: DNS_ROUND_ROBIN, {PORT}, endpoints: [{{address: b.test}}, {{address: c.test}}]}}", "SE-24", "endpoints"),
    (f"{{hosts: [a.test], resolution: DNS, {PORT}, endpoints: [{{address: 'b_c'}}]}}", "SE-25", "endpoints[0].address"),
    (f"{{hosts: [a.test], resolution: DNS, {PORT}, endpoints: [{{address: b.test, labels: {{'a b': c}}}}]}}", "SE-26", "endpoints[0].labels"),
    (f"{{hosts: ['*.a.test', b.test], resolution: DYNAMIC_DNS, {PORT}}}", "SE-32", "hosts[1]"),
    (f"{{hosts: ['*.a.test'], resolution: DYNAMIC_DNS, addresses: [10.0.0.1], {PORT}}}", "SE-33", "addresses"),
    ("{hosts: ['*.a.test'], resolution: DYNAMIC_DNS, ports: [{number: 443, name: a, protocol: HTTPS}]}", "SE-35", "ports[0].protocol"),
    ("{hosts: [a.test, b.test], resolution: DNS, ports: [{number: 1, name: a, protocol: TCP}]}", "SE-38", "ports[0].protocol"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{}}]}}", "WE-1", "endpoints[0].address"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: 'unix://x'}}]}}", "WE-3", "endpoints[0].address"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: 'unix:///x', ports: {{http: 1}}}}]}}", "WE-4", "endpoints[0].ports"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: 10.0.0.1, ports: {{grpc: 1}}}}]}}", "WE-6", "endpoints[0].ports.grpc"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: 10.0.0.1, ports: {{http: 0}}}}]}}", "WE-8", "endpoints[0].ports.http"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: 10.0.0.1}}], workloadSelector: {{labels: {{a: b}}}}}}", "SE-4", "workloadSelector"),
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, workloadSelector: {{labels: {{a: '*'}}}}}}", "SE-2", "workloadSelector.labels"),
    ("{hosts: [a.test], exportTo: [default, '.']}", "EXP-1", "exportTo[1]"),
    ("{hosts: [a.test], exportTo: ['a_b']}", "EXP-2", "exportTo[0]"),
    ("{hosts: [a.test], exportTo: ['*', a]}", "EXP-3", "exportTo"),
    ("{hosts: [a.test], exportTo: ['~', a]}", "EXP-4", "exportTo"),
]  # fmt: skip


@pytest.mark.parametrize("spec", RIGHT)
def test_right(spec: str) -> None:
    assert said("ServiceEntry", spec) == []


@pytest.mark.parametrize(("spec", "code", "path"), WRONG)
def test_wrong(spec: str, code: str, path: str) -> None:
    assert said("ServiceEntry", spec) == [(code, path)]


@pytest.mark.parametrize(
    ("spec", "code", "path"),
    [
        (f"{{hosts: ['*a.test'], {PORT}}}", "SE-8", "hosts[0]"),
        (f"{{hosts: [a.test], resolution: STATIC, {PORT}, workloadSelector: {{}}}}", "SE-3", "workloadSelector"),
        (
            f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{network: n1}}]}}",
            "WE-2",
            "endpoints[0].network",
        ),
    ],
)
def test_warned(spec: str, code: str, path: str) -> None:
    assert said("ServiceEntry", spec, severity="warning") == [(code, path)]
    assert said("ServiceEntry", spec) == []


def test_limits() -> None:
    hosts = ", ".join(f"h{number}.test" for number in range(257))
    assert said("ServiceEntry", f"{{hosts: [{hosts}], {TLS}}}") == [("K-SE-7", "hosts")]


def test_dynamic_dns_inside_does_not_go_with_a_waypoint() -> None:
    spec = f"{{hosts: ['*.a.test'], resolution: DYNAMIC_DNS, location: MESH_INTERNAL, {PORT}}}"
    assert said("ServiceEntry", spec, metadata="name: a, labels: {istio.io/use-waypoint: w}") == [
        ("SE-40", "resolution")
    ]
    assert said("ServiceEntry", spec, metadata="name: a, labels: {istio.io/use-waypoint: None}") == []


EXTENDED = [
    (f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: b.test}}]}}", ["EXT-1"], ["SE-21"]),
    (
        f"{{hosts: [a.test], resolution: STATIC, {PORT}, endpoints: [{{address: 10.0.0.1}}], workloadSelector: {{labels: {{a: b}}}}}}",
        ["EXT-2"],
        ["SE-4"],
    ),
    (
        f"{{hosts: [a.test], resolution: DNS, {PORT}, endpoints: [{{address: b.test, labels: {{zone: a}}}}]}}",
        ["EXT-6"],
        [],
    ),
    (
        f"{{hosts: [a.test], resolution: DNS, {PORT}, endpoints: [{{address: b.test, locality: x, labels: {{zone: a}}}}]}}",
        [],
        [],
    ),
    (
        f"{{hosts: [a.test], resolution: DNS, {PORT}, endpoints: [{{address: b.test, labels: {{priority: low}}}}]}}",
        ["EXT-7"],
        [],
    ),
    (f"{{hosts: [a.test], {PORT}}}", ["EXT-8"], []),
    (f"{{hosts: [a.test], {PORT}, endpoints: [{{address: b.test}}]}}", ["EXT-8"], ["SE-18"]),
    (f"{{hosts: ['*.a.test'], {PORT}}}", [], []),
    (f"{{hosts: [a.test], addresses: [10.0.0.0/8], {PORT}}}", [], []),
]


@pytest.mark.parametrize(("spec", "warned", "refused_by_istio"), EXTENDED)
def test_rows_of_the_extended_dialect(spec: str, warned: list[str], refused_by_istio: list[str]) -> None:
    assert [code for code, _ in said("ServiceEntry", spec, "extended", severity="warning")] == warned
    assert said("ServiceEntry", spec, "extended") == []
    assert [code for code, _ in said("ServiceEntry", spec)] == refused_by_istio
    assert said("ServiceEntry", spec, severity="warning") == []


def test_unknown_priority_is_an_error_of_the_extended_dialect() -> None:
    spec = (
        f"{{hosts: [a.test], resolution: DNS, {PORT}, endpoints: [{{address: b.test, labels: {{priority: urgent}}}}]}}"
    )
    assert said("ServiceEntry", spec, "extended") == [("EXT-7", "endpoints[0].labels.priority")]
    assert said("ServiceEntry", spec) == []


ZERO = "{hosts: [a.test], resolution: STATIC, ports: [{number: 80, name: a, protocol: HTTP, %s: 0}]}"


@pytest.mark.parametrize("name", ["targetPort", "target_port"])
@pytest.mark.parametrize("dialect", ["istio", "extended"])
def test_a_written_target_port_is_one(name: str, dialect: Dialect) -> None:
    """istiod takes 0 for none, but no API server lets it through."""
    assert said("ServiceEntry", ZERO % name, dialect) == [("K-SE-10", f"ports[0].{name}")]
    assert said("ServiceEntry", ZERO.replace("%s: 0", "targetPort: 8080"), dialect) == []


@pytest.mark.parametrize("dialect", ["istio", "extended"])
def test_an_empty_list_is_none(dialect: Dialect) -> None:
    spec = "{hosts: [a.test], resolution: STATIC, endpoints: [], workloadSelector: {labels: {a: b}}}"
    assert said("ServiceEntry", spec, dialect) == []
