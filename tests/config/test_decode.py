"""Documents into resources: kinds, lists, spellings, dialects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roadstead.config import DestinationRule, Dialect, ServiceEntry, Source, VirtualService
from roadstead.config.decode import Decoded, decode, decode_mesh, decode_networks
from roadstead.config.yaml import load

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop, labels: {team: a}, creationTimestamp: "2024-05-06T07:08:09Z", generation: 3}
spec:
  hosts: [pay.test]
  ports: [{number: 443, name: https, protocol: HTTPS, targetPort: 8443}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1, ports: {https: 9443}, weight: 3}]
status: {addresses: [{value: 240.240.0.1, host: pay.test}], conditions: [{type: Reconciled, status: "True"}]}
"""


def decoded(text: str, dialect: Dialect = "extended") -> Iterator[Decoded]:
    data = text.encode()
    for document in load(data, "file.yaml"):
        yield decode(document, dialect, data)


def one(text: str, dialect: Dialect = "extended") -> Decoded:
    (found,) = decoded(text, dialect)
    return found


def codes(found: Decoded) -> list[tuple[str, str, str]]:
    return [(each.code, each.severity, each.path) for each in found.findings]


def test_resource_of_a_document() -> None:
    resource = one(ENTRY).resource
    assert resource is not None
    assert resource.key == ("ServiceEntry", "shop", "pay")
    assert resource.api_version == "networking.istio.io/v1"
    assert resource.creation_time == 1714979289.0
    assert resource.metadata.labels == {"team": "a"}
    assert resource.metadata.generation == 3
    assert resource.origin == Source("file.yaml", 0, 1)
    assert isinstance(resource.spec, ServiceEntry)
    assert resource.spec.ports[0].target_port == 8443
    assert resource.spec.endpoints[0].ports == {"https": 9443}
    assert [(each.value, each.host) for each in resource.status.addresses] == [("240.240.0.1", "pay.test")]
    assert resource.status.conditions[0].status == "True"


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_versions_mean_the_same(version: str) -> None:
    resource = one(ENTRY.replace("/v1\n", f"/{version}\n")).resource
    assert resource is not None
    assert resource.spec == one(ENTRY).resource.spec  # type: ignore[union-attr]


@pytest.mark.parametrize("namespace", ["", 'namespace: "", '])
def test_namespace_left_out_is_default(namespace: str) -> None:
    found = one(
        f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{{namespace}name: a}}\nspec: {{hosts: [a.b]}}\n"
    )
    assert found.resource is not None
    assert found.resource.namespace == "default"
    assert found.resource.creation_time == 1704067200.0


def test_order_of_keys_does_not_matter() -> None:
    head, spec = ENTRY.split("spec:")
    turned = one("spec:" + spec + head)
    assert turned.resource is not None
    assert turned.resource.spec == one(ENTRY).resource.spec  # type: ignore[union-attr]


def test_list_is_flattened_and_every_item_has_its_pointer() -> None:
    items = "".join(
        "- " + entry.replace("\n", "\n  ") + "\n" for entry in (ENTRY, ENTRY.replace("[pay.test]", "[3]"), ENTRY)
    )
    found = one(f"apiVersion: v1\nkind: List\nitems:\n{items}")
    assert [each.origin.pointer for each in found.resources] == ["/items/0", "/items/2"]
    assert codes(found) == [("DEC-2", "error", "spec.hosts[0]")]
    assert found.findings[0].pointer == "/items/1/spec/hosts/0"
    assert found.findings[0].line == 3 + 11 + 5 - 1


def test_lists_in_lists() -> None:
    inner = ENTRY.replace("\n", "\n    ")
    found = one(f"kind: List\nitems:\n- kind: List\n  items:\n  - {inner}\n")
    assert [each.origin.pointer for each in found.resources] == ["/items/0/items/0"]


@pytest.mark.parametrize(
    ("head", "code", "severity", "hint"),
    [
        ("apiVersion: apps/v1\nkind: Deployment", "DOC-3", "info", ""),
        ("apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter", "DOC-3", "info", ""),
        ("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway", "DOC-3", "info", ""),
        ("apiVersion: networking.istio.io/v2\nkind: ServiceEntry", "DOC-4", "warning", "networking.istio.io/v1"),
        ("kind: ServiceEntry", "DOC-4", "warning", "networking.istio.io/v1"),
        ("apiVersion: networking.istio.io/v1\nkind: serviceEntry", "DOC-4", "warning", "ServiceEntry"),
        ("apiVersion: networking.istio.io/v1\nkind: ServiceEntries", "DOC-4", "warning", "ServiceEntry"),
        ("apiVersion: security.istio.io/v1\nkind: PeerAuthentification", "DOC-4", "warning", "PeerAuthentication"),
    ],
)
def test_other_kinds_are_skipped_and_said(head: str, code: str, severity: str, hint: str) -> None:
    found = one(f"{head}\nmetadata: {{name: a}}\nspec: {{whatever: [1]}}\n")
    assert found.resources == ()
    (finding,) = found.findings
    assert (finding.code, finding.severity) == (code, severity)
    assert hint in finding.hint


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("groups: [{name: alerts}]", "info"),
        ("spec: {http: []}", "warning"),
        ("- 1", "warning"),
        ("just text", "warning"),
    ],
)
def test_documents_without_a_kind(text: str, severity: str) -> None:
    found = one(text)
    assert [(each.code, each.severity) for each in found.findings] == [("DOC-2", severity)]


def test_empty_documents_say_nothing() -> None:
    assert [each for each in decoded("# nothing\n---\n---\n{}\n") if each.findings or each.resources] == []


def test_bad_document_does_not_disturb_the_others() -> None:
    found = list(decoded(f"{ENTRY}---\na: [\n---\n{ENTRY}"))
    assert [len(each.resources) for each in found] == [1, 0, 1]
    (finding,) = found[1].findings
    assert (finding.code, finding.severity, finding.file) == ("DOC-1", "error", "file.yaml")
    assert finding.line >= 11


SPEC = """apiVersion: networking.istio.io/v1
kind: {kind}
metadata: {{name: a}}
spec: {spec}
"""


@pytest.mark.parametrize(
    ("kind", "spec", "attribute", "value"),
    [
        ("ServiceEntry", "{hosts: [a], export_to: [x]}", "export_to", ("x",)),
        ("ServiceEntry", "{hosts: [a], export_to: [x], exportTo: [z]}", "export_to", ("z",)),
        ("WorkloadEntry", "{address: a, weight: 3.0}", "weight", 3),
        ("DestinationRule", "{host: a, traffic_policy: null, host: a}", None, None),
    ],
)
def test_spelling_of_protobuf(kind: str, spec: str, attribute: str | None, value: object) -> None:
    for dialect in ("istio", "extended"):
        found = one(SPEC.format(kind=kind, spec=spec), dialect)  # type: ignore[arg-type]
        if attribute is None:
            assert found.resources == ()
        else:
            assert found.findings == ()
            assert getattr(found.resource.spec, attribute) == value  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "spec", "attribute", "value"),
    [
        ("ServiceEntry", "{hosts: [a], resolution: 2}", "resolution", "DNS"),
        ("ServiceEntry", "{hosts: [a], location: 1}", "location", "MESH_INTERNAL"),
        ("WorkloadEntry", '{address: a, weight: "3"}', "weight", 3),
    ],
)
def test_forms_that_an_api_server_stops(kind: str, spec: str, attribute: str, value: object) -> None:
    text = SPEC.format(kind=kind, spec=spec)
    found = one(text)
    assert found.findings == ()
    assert getattr(found.resource.spec, attribute) == value  # type: ignore[union-attr]
    assert [each.severity for each in one(text, "istio").findings] == ["error"]


def test_null_is_taken_where_protobuf_has_a_wrapper_only() -> None:
    found = one(
        SPEC.format(
            kind="DestinationRule", spec="{host: a.b, trafficPolicy: {outlierDetection: {consecutive5xxErrors: null}}}"
        )
    )
    assert found.findings == ()
    found = one(
        SPEC.format(kind="DestinationRule", spec="{host: a.b, trafficPolicy: {outlierDetection: {interval: null}}}")
    )
    assert codes(found) == [("DEC-3", "error", "spec.trafficPolicy.outlierDetection.interval")]


def test_the_word_null_in_a_text_is_no_null() -> None:
    found = one(SPEC.format(kind="ServiceEntry", spec='{hosts: [null.test], subjectAltNames: ["null"]}'))
    assert found.findings == ()
    assert isinstance(found.resource.spec, ServiceEntry)  # type: ignore[union-attr]


def test_nulls_in_metadata_and_status_mean_left_out() -> None:
    found = one(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
        "metadata: {name: a, creationTimestamp: null, labels: null, managedFields: [{x: 1}]}\nspec: {hosts: [a.b]}\nstatus: null\n"
    )
    assert found.findings == ()
    assert found.resource is not None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("metadata: {name: y}", "metadata.name"),
        ("metadata: {name: a, labels: {version: 1.0}}", "metadata.labels.version"),
        ("metadata: [a]", "metadata"),
        ("metadata: {name: a}\nstatus: {conditions: [3]}", "status.conditions[0]"),
    ],
)
def test_metadata_of_the_wrong_type(text: str, path: str) -> None:
    found = one(f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n{text}\nspec: {{hosts: [a.b]}}\n")
    assert codes(found) == [("DEC-2", "error", path)]


@pytest.mark.parametrize("dialect", ["istio", "extended"])
def test_unknown_top_level_field_refuses(dialect: Dialect) -> None:
    found = one(ENTRY + "specs: {}\n", dialect)
    assert codes(found) == [("META-1", "error", "specs")]
    assert found.findings[0].hint == "did you mean spec?"
    assert found.resources == ()


@pytest.mark.parametrize(
    ("kind", "refused"), [("ServiceEntry", True), ("WorkloadGroup", True), ("VirtualService", False)]
)
def test_spec_left_out(kind: str, refused: bool) -> None:
    found = one(f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert [each.path for each in found.findings] == (["spec"] if refused else [])
    assert bool(found.resources) is not refused


@pytest.mark.parametrize(
    ("spec", "path", "meant"),
    [
        ("{host: a, trafficPolicy: {conectionPool: {}}}", "spec.trafficPolicy.conectionPool", "connectionPool"),
        ("{host: a, trafficPolicy: {loadbalancer: {}}}", "spec.trafficPolicy.loadbalancer", "loadBalancer"),
        ("{host: a, trafficpolicy: {}}", "spec.trafficpolicy", "trafficPolicy"),
        ("{host: a, trafficPolicy: {circuitbreaker: {}}}", "spec.trafficPolicy.circuitbreaker", "circuitBreaker"),
        ("{host: a, trafficPolicy: {tls: {mode: simple}}}", "spec.trafficPolicy.tls.mode", "SIMPLE"),
        (
            "{host: a, trafficPolicy: {tls: {caCertificate: x}}}",
            "spec.trafficPolicy.tls.caCertificate",
            "caCertificates",
        ),
        ("{host: a, exportto: [x]}", "spec.exportto", "exportTo"),
    ],
)
def test_what_was_probably_meant(spec: str, path: str, meant: str) -> None:
    (finding,) = one(SPEC.format(kind="DestinationRule", spec=spec)).findings
    assert (finding.path, finding.hint) == (path, f"did you mean {meant}?")


EXTENDED = "{host: a.b, trafficPolicy: {healthCheck: {interval: 3s, timeout: 1s}, circuitBreaker: {interval: 3s}, connectionPool: {tcp: {keepAlive: {time: 9s}}}}}"


def test_fields_of_the_extended_dialect_work_and_warn() -> None:
    found = one(SPEC.format(kind="DestinationRule", spec=EXTENDED))
    assert [(each.code, each.severity) for each in found.findings] == [
        ("EXT-3", "warning"),
        ("EXT-4", "warning"),
        ("EXT-5", "warning"),
    ]
    assert all("Istio" in each.hint for each in found.findings)
    assert found.resource is not None
    assert isinstance(found.resource.spec, DestinationRule)
    policy = found.resource.spec.traffic_policy
    assert policy is not None
    assert policy.health_check is not None
    assert policy.circuit_breaker is not None


def test_istio_does_not_know_them_and_applies_the_rest() -> None:
    found = one(SPEC.format(kind="DestinationRule", spec=EXTENDED), "istio")
    assert [(each.code, each.severity) for each in found.findings] == [("DEC-1", "error")] * 3
    assert [each.hint for each in found.findings][1:] == [
        "did you mean outlierDetection?",
        "did you mean tcpKeepalive?",
    ]
    assert found.resource is not None
    assert isinstance(found.resource.spec, DestinationRule)
    policy = found.resource.spec.traffic_policy
    assert policy is not None
    assert (policy.health_check, policy.circuit_breaker) == (None, None)
    assert policy.connection_pool is not None


def test_extended_names_elsewhere_are_no_fields() -> None:
    found = one(
        SPEC.format(
            kind="VirtualService",
            spec='{hosts: [a.b], http: [{name: "healthCheck", headers: {request: {set: {keepAlive: x}}}}]}',
        )
    )
    assert found.findings == ()
    assert isinstance(found.resource.spec, VirtualService)  # type: ignore[union-attr]


def test_mesh_config() -> None:
    text = b"outboundTrafficPolicy: {mode: 3}\nconnectTimeout: 4s\ndefaultConfig: {concurrency: 2, proxyMetadata: {A: b}}\nextensionProviders: [{name: x, zipkin: {service: y, port: 1}}]\n"
    found = decode_mesh(load(text, "mesh.yaml")[0], text=text)
    assert found.findings == ()
    assert found.value is not None
    assert found.value.outbound_traffic_policy.mode == "ALLOW_ANY_DYNAMIC_DNS"
    assert found.value.connect_timeout == "4s"
    assert found.value.default_config is not None
    assert found.value.default_config.proxy_metadata == {"A": "b"}


def test_mesh_config_with_errors() -> None:
    text = b"connectTimeout: 4\nrootNamespaces: x\n"
    found = decode_mesh(load(text, "mesh.yaml")[0], text=text)
    assert found.value is None
    assert [(each.path, each.line, each.column) for each in found.findings] == [
        ("connectTimeout", 1, 17),
        ("rootNamespaces", 2, 1),
    ]


def test_mesh_networks() -> None:
    text = b"networks: {n1: {endpoints: [{fromRegistry: k}], gateways: [{address: 192.0.2.1, port: 15443}]}}\n"
    found = decode_networks(load(text, "n.yaml")[0], text=text)
    assert found.value is not None
    assert [(each.address, each.port) for each in found.value.networks["n1"].gateways] == [("192.0.2.1", 15443)]
