"""ServiceEntry → services."""

from __future__ import annotations

import pytest
from tests.compile.one_client import OneClient

from roadstead.compile.services import ip_family, merge, usable_addresses
from roadstead.mesh import Node, Origin, Port, Service

ENTRY = """
kind: ServiceEntry
metadata: {{name: se, namespace: prod, labels: {labels}, annotations: {annotations}}}
spec: {spec}
status: {{addresses: [{{value: 240.240.0.7, host: a.test}}, {{value: "2001:2::7", host: a.test}}]}}
"""


def services(spec: str, host: str = "a.test", labels: str = "{}", annotations: str = "{}", **client: object):
    text = ENTRY.format(spec=spec, labels=labels, annotations=annotations)
    return OneClient(text, **client).services(host)


def test_one_service_for_each_host_and_address() -> None:
    spec = "{hosts: [a.test, b.test, a.test], addresses: [10.0.0.1/32, 10.1.0.0/16, nonsense, '2001:db8::1']}"
    made = [services(spec, host) for host in ("a.test", "b.test")]
    for host, found in zip(("a.test", "b.test"), made, strict=True):
        assert [(service.host, service.address) for service in found] == [
            (host, "10.0.0.1"),
            (host, "10.1.0.0/16"),
            (host, "2001:db8::1"),
        ]


@pytest.mark.parametrize(
    ("written", "usable"),
    [
        ((), ("0.0.0.0",)),
        (("1.2.3.4",), ("1.2.3.4",)),
        (("1.2.3.4/32", "::1/128"), ("1.2.3.4", "::1")),
        # A range is kept as it is written, host bits and all.
        (("172.217.5.0/16", "2001:db8::/32", "0.0.0.0/0"), ("172.217.5.0/16", "2001:db8::/32", "0.0.0.0/0")),
        (("1.2.3.4/33", "1.2.3.4/x", "1.2.3", "a.test", "1.2.3.4/08", "", "1.2.3.4/"), ()),
    ],
)
def test_usable_addresses(written: tuple[str, ...], usable: tuple[str, ...]) -> None:
    assert usable_addresses(written) == usable


def test_addresses_that_cannot_be_read_leave_no_service() -> None:
    assert services("{hosts: [a.test], addresses: [nonsense]}") == []


def test_what_is_left_out() -> None:
    (service,) = services("{hosts: [a.test]}")
    assert service.resolution == "NONE"
    assert service.mesh_external
    assert service.ports == ()
    assert service.selector is None
    assert service.address == "0.0.0.0"
    assert service.export_to == frozenset()
    assert service.origin == Origin("ServiceEntry", "prod", "se")


def test_what_is_carried_over() -> None:
    (service,) = services(
        "{hosts: [a.test], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: x}}, "
        "exportTo: ['.', other], subjectAltNames: [san.test]}",
        labels="{team: red}",
    )
    assert not service.mesh_external
    assert service.selector == {"app": "x"}
    assert service.export_to == {".", "other"}
    assert service.subject_alt_names == ("san.test",)
    assert service.labels == {"team": "red"}
    assert (service.namespace, service.object_name) == ("prod", "se")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTP", "HTTP"),
        ("grpc-web", "GRPC-Web"),
        ("mongo", "MONGO"),
        # A name never says the protocol, and an unknown word is found out by looking.
        ("", ""),
        ("quic", ""),
    ],
)
def test_protocols(written: str, meant: str) -> None:
    (service,) = services(f"{{hosts: [a.test], ports: [{{number: 80, name: http-web, protocol: '{written}'}}]}}")
    assert service.ports == (Port(80, "http-web", meant, 0),)


def test_equal_ports_are_one_object() -> None:
    first, second = [
        services("{hosts: [a.test], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]}")[0]
        for _ in range(2)
    ]
    assert first.ports[0] is second.ports[0]
    assert first.ports[0].target_port == 8080


@pytest.mark.parametrize(
    ("spec", "istio", "extended"),
    [
        ("{hosts: [a.test]}", "NONE", "DNS"),
        ("{hosts: [a.test], addresses: [10.0.0.1]}", "NONE", "DNS"),
        # A range of addresses has no name that could be looked up.
        ("{hosts: [a.test], addresses: [10.0.0.0/8]}", "NONE", "NONE"),
        ("{hosts: [a.test, '*.b.test']}", "NONE", "NONE"),
        ("{hosts: [a.test], resolution: NONE}", "NONE", "NONE"),
        ("{hosts: [a.test], resolution: STATIC}", "STATIC", "STATIC"),
    ],
)
def test_resolution(spec: str, istio: str, extended: str) -> None:
    assert services(spec)[0].resolution == istio
    assert services(spec, extended=True)[0].resolution == extended


CAPTURES = {"DNS_CAPTURE": "true"}


@pytest.mark.parametrize(
    ("spec", "labels", "ips", "automatic"),
    [
        ("{hosts: [a.test], resolution: DNS}", "{}", ("10.0.0.1",), ("240.240.0.7", "")),
        ("{hosts: [a.test], resolution: DNS}", "{}", (), ("240.240.0.7", "")),
        ("{hosts: [a.test], resolution: DNS}", "{}", ("fd00::1",), ("", "2001:2::7")),
        ("{hosts: [a.test], resolution: DNS}", "{}", ("10.0.0.1", "fd00::1"), ("240.240.0.7", "2001:2::7")),
        ("{hosts: [a.test], resolution: NONE}", "{}", ("10.0.0.1",), ("", "")),
        ("{hosts: [a.test], resolution: DNS, addresses: [10.0.0.9]}", "{}", ("10.0.0.1",), ("", "")),
        (
            "{hosts: [a.test], resolution: DNS}",
            "{networking.istio.io/enable-autoallocate-ip: 'False'}",
            ("10.0.0.1",),
            ("", ""),
        ),
    ],
)
def test_automatic_addresses(spec: str, labels: str, ips: tuple[str, ...], automatic: tuple[str, str]) -> None:
    (service,) = services(spec, labels=labels, node=Node(ips=ips, metadata=CAPTURES))
    assert service.auto_addresses == automatic
    (service,) = services(spec, labels=labels, node=Node(ips=ips))
    assert service.auto_addresses == ("", ""), "nobody dials them without DNS capture"


@pytest.mark.parametrize(
    ("client", "mesh", "captures"),
    [
        ({}, "", False),
        (CAPTURES, "", True),
        ({}, "true", True),
        ({"DNS_CAPTURE": "false"}, "true", False),
        ({}, "false", False),
    ],
)
def test_who_captures_names(client: dict[str, str], mesh: str, captures: bool) -> None:
    settings = f"{{defaultConfig: {{proxyMetadata: {{ISTIO_META_DNS_CAPTURE: '{mesh}'}}}}}}" if mesh else ""
    (service,) = services("{hosts: [a.test], resolution: DNS}", node=Node(metadata=client), mesh=settings)
    assert bool(service.auto_addresses[0]) is captures


def test_what_an_allocator_gave_a_wildcard_is_used() -> None:
    text = """
        kind: ServiceEntry
        metadata: {name: se}
        spec: {hosts: ['*.a.test'], resolution: STATIC}
        status: {addresses: [{value: 240.240.0.9, host: '*.a.test'}, {value: 240.240.0.10, host: a.test}]}
    """
    client = OneClient(text, node=Node(metadata=CAPTURES))
    assert client.services("*.a.test")[0].auto_addresses == ("240.240.0.9", "")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("PreferClose", "PreferSameZone"),
        ("prefersamezone", "PreferSameZone"),
        ("PreferSameNode", "PreferSameNode"),
        ("nearby", ""),
    ],
)
def test_traffic_distribution(word: str, meant: str) -> None:
    (service,) = services(
        "{hosts: [a.test]}",
        annotations=f"{{networking.istio.io/traffic-distribution: {word}, istio.io/connect-strategy: X}}",
    )
    assert service.traffic_distribution == meant
    assert service.connect_strategy == "X"


def service(*ports: int, **fields: object) -> Service:
    made = {
        "host": "a.test",
        "namespace": "prod",
        "object_name": "x",
        "resolution": "STATIC",
        "mesh_external": True,
        "origin": Origin("ServiceEntry", "prod", "x"),
        **fields,
    }
    return Service(ports=tuple([Port(number, f"p{number}", "HTTP") for number in ports]), **made)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "ports"),
    [
        (service(80, 81), [80, 81]),
        (service(81), [80, 81]),
        (service(81, address="10.0.0.1", subject_alt_names=("x",)), [80, 81]),
        (service(81, resolution="DNS"), [80]),
        (service(81, labels={"a": "b"}), [80]),
        (service(81, export_to=frozenset(["*"])), [80]),
        (service(81, selector={"a": "b"}), [80]),
        (service(81, namespace="other"), [80]),
    ],
)
def test_merging(other: Service, ports: list[int]) -> None:
    first = service(80)
    merged = merge([first, other])
    assert [port.number for port in merged.ports] == ports
    assert merged.address == first.address
    assert merge([first]) is first
    assert merge([first, service(80)]) is first


def test_the_first_definition_of_a_port_number_holds() -> None:
    older, newer = service(80), Service(**{**_fields(service(80)), "ports": (Port(80, "other", "TCP"),)})
    assert merge([older, newer]).ports == older.ports


def _fields(one: Service) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("1.2.3.4", 4),
        ("::1", 6),
        ("::ffff:1.2.3.4", 6),
        ("01.2.3.4", 0),
        ("1.2.3", 0),
        ("a.test", 0),
        ("", 0),
        ("a\0", 0),
    ],
)
def test_ip_family(text: str, family: int) -> None:
    assert ip_family(text) == family
