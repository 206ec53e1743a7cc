"""The model has Istio's fields, all of them, under the names Istio gives them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from roadstead import config
from roadstead.config import KINDS, MeshConfig, MeshNetworks, OutlierDetection
from roadstead.config.decode import decode_tree
from roadstead.config.schema import Object, fields_of

from .samples import document, full, paths, snake_cased, spec_shape

FIELDS = Path(__file__).parent / "data" / "fields"
TYPES = {**{name: kind.spec for name, kind in KINDS.items()}, "MeshConfig": MeshConfig, "MeshNetworks": MeshNetworks}
BEYOND = re.compile(r"healthCheck|circuitBreaker|keepAlive|backendUtilization|ecdhCurves|defaultInboundHttpRetryPolicy")
"""The extended dialect's fields, and three that Istio's API has taken up since the lists were made."""


@pytest.mark.parametrize("name", TYPES)
def test_fields_are_those_of_istio(name: str) -> None:
    listed = set((FIELDS / f"{name}.txt").read_text().split())
    ours = set(paths(Object(type=TYPES[name])))
    unread = {field.rstrip("[]{}") for field in listed if field.endswith(("[]", "{}"))} & ours
    assert {field for field in listed if field.rstrip("[]{}") not in unread} <= ours
    assert {field for field in ours - listed - unread if not BEYOND.search(field)} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_decodes_and_is_what_was_written(kind: str) -> None:
    tree = full(spec_shape(kind))
    spec = msgspec.json.decode(msgspec.json.encode(tree), type=KINDS[kind].spec)
    written = msgspec.json.decode(msgspec.json.encode(spec))
    assert {**tree, **written} == tree  # defaults are left out, everything else comes back
    for name, value in written.items():
        assert value == tree[name]


@pytest.mark.parametrize("kind", KINDS)
def test_snake_case_is_the_same_document(kind: str) -> None:
    shape = spec_shape(kind)
    tree = full(shape)
    plain = decode_tree(document(kind, tree))
    spelled = decode_tree(document(kind, snake_cased(tree, shape)))
    assert plain.findings == spelled.findings == ()
    assert plain.resource is not None
    assert spelled.resource is not None
    assert spelled.resource.spec == plain.resource.spec


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_are_the_names_in_snake_case(kind: str) -> None:
    def visit(struct: type[msgspec.Struct]) -> None:
        fields = fields_of(struct)
        for name, attribute in fields.attributes.items():
            assert attribute.rstrip("_").replace("_", "").lower() == name.lower()

    visit(KINDS[kind].spec)
    visit(OutlierDetection)


def test_every_public_name_exists() -> None:
    assert len(config.__all__) == len(set(config.__all__))
    for name in config.__all__:
        assert getattr(config, name) is not None


def test_default_mesh_is_istios() -> None:
    mesh = MeshConfig()
    assert mesh.outbound_traffic_policy.mode == "ALLOW_ANY"
    assert (mesh.connect_timeout, mesh.dns_refresh_rate, mesh.protocol_detection_timeout) == ("10s", "60s", "0s")
    assert mesh.enable_auto_mtls is True
    assert mesh.locality_lb_setting == config.LocalityLoadBalancerSetting(enabled=True)
    assert (mesh.root_namespace, mesh.trust_domain) == ("istio-system", "cluster.local")
    assert mesh.default_service_export_to == mesh.default_destination_rule_export_to == ("*",)


def test_empty_policies_are_the_zero_of_protobuf() -> None:
    mesh = msgspec.json.decode(b'{"outboundTrafficPolicy": {}}', type=MeshConfig)
    assert mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert config.OutboundTrafficPolicy().mode == "REGISTRY_ONLY"
    assert config.ServiceEntry().resolution is None
    assert config.ServiceEntry().location == "MESH_EXTERNAL"
