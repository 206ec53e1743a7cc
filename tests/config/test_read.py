"""Text, trees and resources in; resources that keep the rules and all findings out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.config import ObjectMeta, Resource, ServiceEntry, ServicePort
from roadstead.config.read import read, read_mesh, read_networks, read_resource, read_tree

GOOD = b"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [a.test], resolution: DNS}\n"
BAD = [
    b"a: [\n",
    b"kind: ServiceEntry\n",
    b"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: b}\nspec: {hosts: 3}\n",
    b"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: b}\nspec: {hosts: ['*']}\n",
    b"apiVersion: apps/v1\nkind: Deployment\n",
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_document_is_alone(bad: bytes) -> None:
    before, between, after = read(GOOD + b"---\n" + bad + b"---\n" + GOOD, "f.yaml")
    assert (before.findings, after.findings) == ((), ())
    assert len(before.resources) == len(after.resources) == 1
    assert between.resources == ()
    (finding,) = between.findings
    assert finding.file == "f.yaml"
    assert finding.line > 4


def test_findings_of_decoding_and_of_rules_are_one_list_by_place() -> None:
    text = b"""apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a.test
  trafficPolicy:
    outlierDetection: {maxEjectionPercent: 101}
    healthCheck: {interval: 3s, timeout: 1s}
    connectionPool: {}
"""
    (found,) = read(text, "f.yaml")
    assert [(each.code, each.line, each.column) for each in found.findings] == [
        ("DR-23", 7, 44),
        ("EXT-3", 8, 5),
        ("DR-30", 9, 21),
    ]
    assert found.resources == ()


def test_one_bad_item_of_a_list_leaves_the_others() -> None:
    items = [
        {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": {"hosts": [host]}}
        for host in ("*.a.test", "*", "*.b.test")
    ]
    found = read_tree({"kind": "List", "items": items})  # type: ignore[dict-item]
    assert [resource.origin.pointer for resource in found.resources] == ["/items/0", "/items/2"]
    assert [(each.code, each.pointer) for each in found.findings] == [("SE-6", "/items/1/spec/hosts/0")]


def test_resource_made_by_a_program() -> None:
    spec = ServiceEntry(hosts=("a.test",), resolution="DNS", ports=(ServicePort(number=80, name="http"),))
    resource = Resource(
        kind="ServiceEntry", api_version="networking.istio.io/v1", metadata=ObjectMeta(name="a"), spec=spec
    )
    assert read_resource(resource).resources == (resource,)
    wrong = Resource(
        kind="ServiceEntry",
        api_version="networking.istio.io/v1",
        metadata=ObjectMeta(name="a"),
        spec=ServiceEntry(resolution="DNS"),
    )
    refused = read_resource(wrong)
    assert refused.resources == ()
    assert [each.code for each in refused.findings] == ["SE-5"]


def test_mesh_files() -> None:
    assert read_mesh(b"").value is not None
    assert read_networks(b"# none\n").value is not None
    found = read_mesh(b"rootNamespace: x\nconnectTimeout: 5\n", "mesh.yaml")
    assert found.value is None
    found = read_mesh(b"rootNamespace: x\nconnectTimeout: 5d\n", "mesh.yaml")
    assert found.value is None
    assert [str(each) for each in found.findings] == [
        "mesh.yaml:2:17: error[DEC-6] connectTimeout: '5d' has the unknown unit 'd'"
    ]
    assert read_mesh(b"[", "mesh.yaml").value is None


@given(st.binary(max_size=200))
def test_any_bytes(text: bytes) -> None:
    for found in read(text, "f"):
        assert found.resources == ()
        assert all(finding.code and finding.message for finding in found.findings)


@given(st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_cut_text(start: int, end: int) -> None:
    for found in read(GOOD[:start] + GOOD[end:], "f"):
        assert found.resources or found.findings
