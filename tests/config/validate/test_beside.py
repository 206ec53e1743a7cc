"""What is said about a resource beside values that could not be read."""

from __future__ import annotations

import pytest

from roadstead.config.read import read, read_tree


def said(kind: str, spec: str) -> list[tuple[str, str]]:
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: one}}\nspec: {spec}\n"
    (found,) = read(text.encode(), "file.yaml", "istio")
    assert found.resources == ()
    assert all(finding.line for finding in found.findings)
    return sorted((finding.code, finding.path.removeprefix("spec.")) for finding in found.findings)


@pytest.mark.parametrize(
    ("kind", "spec", "wanted"),
    [
        # Each field for itself.
        (
            "ServiceEntry",
            "{hosts: [a_b.test], resolution: STATIC, ports: [{number: high, name: a, protocol: ODD}]}",
            [("DEC-2", "ports[0].number"), ("SE-16", "ports[0].protocol"), ("SE-7", "hosts[0]")],
        ),
        # A value that is wrong is not missing, nor is what is made of it.
        ("ServiceEntry", "{hosts: 5}", [("DEC-2", "hosts")]),
        ("DestinationRule", "{host: a.test, trafficPolicy: {tls: 5}}", [("DEC-2", "trafficPolicy.tls")]),
        # What several fields say together stays unsaid where one of them is wrong: NONE may not have endpoints.
        ("ServiceEntry", "{hosts: [a.test], resolution: FIXED, endpoints: [{address: 10.0.0.1}]}", [("DEC-4", "resolution")]),
        # Items of lists are told apart.
        (
            "VirtualService",
            "{hosts: [a.test], http: [{timeout: 5}, {route: [{destination: {host: a.test, port: {number: 0}}}]}, {}]}",
            [("DEC-2", "http[0].timeout"), ("VS-83", "http[1].route[0].destination.port.number")],
        ),
        (
            "DestinationRule",
            ("{host: a.test, trafficPolicy: {loadBalancer: {simple: BEST, localityLbSetting: {}}},"
            " subsets: [{name: a_b}]}"),
            [("DEC-4", "trafficPolicy.loadBalancer.simple"), ("DR-3", "subsets[0].name")],
        ),
    ],
)  # fmt: skip
def test_what_can_still_be_told(kind: str, spec: str, wanted: list[tuple[str, str]]) -> None:
    assert said(kind, spec) == wanted


def test_documents_as_trees_are_told_as_much() -> None:
    spec = {"hosts": ["a_b.test"], "ports": [{"number": "high", "name": "a"}]}
    tree = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "a"}, "spec": spec}
    found = read_tree(tree, "istio")  # type: ignore[arg-type]
    assert sorted(finding.code for finding in found.findings) == ["DEC-2", "SE-7"]
    assert found.resources == ()
