from __future__ import annotations

import click
import pytest

from roadstead.cli.jsonpath import Tree, render

ITEM: Tree = {
    "kind": "ServiceEntry",
    "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "shop"}},
    "spec": {
        "hosts": ["a.example.com", "b.example.com"],
        "ports": [{"number": 80, "name": "http"}, {"number": 443, "name": "https"}],
    },
}
LIST: Tree = {"kind": "List", "items": [ITEM, {"kind": "Sidecar", "metadata": {"name": "s"}, "spec": {}}]}


@pytest.mark.parametrize(
    ("template", "tree", "expected"),
    [
        ("{.kind}", ITEM, "ServiceEntry"),
        (".kind", ITEM, "ServiceEntry"),
        ("{$.kind}", ITEM, "ServiceEntry"),
        ("{.spec.hosts}", ITEM, '["a.example.com","b.example.com"]'),
        ("{.spec.hosts[0]}", ITEM, "a.example.com"),
        ("{.spec.hosts[*]}", ITEM, "a.example.com b.example.com"),
        ("{.spec.ports[*].number}", ITEM, "80 443"),
        ('{.spec.ports[?(@.name=="https")].number}', ITEM, "443"),
        (r"{.metadata.labels.app\.kubernetes\.io/name}", ITEM, "shop"),
        ("{.spec.nothing}", ITEM, ""),
        ("kind={.kind}!", ITEM, "kind=ServiceEntry!"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.kind}{"\\n"}{end}', LIST, "a\tServiceEntry\ns\tSidecar\n"),
        ("{range .items[*]}{$.kind} {end}", LIST, "List List "),
        ("{@.kind}", ITEM, "ServiceEntry"),
        ("{.items[*].metadata.name}", LIST, "a s"),
        ("{.items[*]['metadata.name', 'kind']}", LIST, "a s ServiceEntry Sidecar"),
    ],
)
def test_render(template: str, tree: Tree, expected: str) -> None:
    assert render(template, tree) == expected


@pytest.mark.parametrize("template", ["{.spec[}", "{range .items[*]}{.kind}", "{.kind}{end}"])
def test_bad_templates_are_usage_errors(template: str) -> None:
    with pytest.raises(click.UsageError):
        render(template, LIST)
