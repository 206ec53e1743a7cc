"""Documents as form and names: what comes of them is what comes of each document read by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.golden.recorded import CASES, case_of, text_of

from roadstead import core
from roadstead.config import Resource, ServiceEntry
from roadstead.config.decode import Decoded
from roadstead.config.dialect import Dialect
from roadstead.config.forms import PLACES, Forms, Written
from roadstead.config.read import read
from roadstead.config.yaml import forms

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: {name}
  namespace: {namespace}
spec:
  hosts: ["{host}"]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: {address}}}]
---
"""
FIRST = ENTRY.format(name="first", namespace="here", host="first.test", address="10.0.0.1")


def as_read(text: str, dialect: Dialect = "extended") -> list[Decoded]:
    return list(read(text.encode(), "f.yaml", dialect))


def as_forms(text: str, dialect: Dialect = "extended") -> list[Decoded]:
    found = Forms(dialect).read(text.encode(), "f.yaml")
    return [Decoded((one.resource(),)) if isinstance(one, Written) else one for one in found]


@pytest.mark.parametrize("dialect", ["extended", "istio"])
@pytest.mark.parametrize("name", CASES)
def test_every_document_of_every_case_is_read_alike(name: str, dialect: Dialect) -> None:
    config = case_of(text_of(name)).config
    # Written twice, so that every form is known the second time.
    text = f"{config}\n---\n{config}"
    assert as_forms(text, dialect) == as_read(text, dialect)


names = st.one_of(
    st.from_regex(r"[a-z0-9.*_A-Z-]{0,12}", fullmatch=True),
    st.sampled_from(
        [
            "a",
            "a.b",
            "*.a.b",
            "*",
            "*a.b",
            "10.0.0.1",
            "0.0.0.0",
            "1.2.3",
            "10.0.0.0/8",
            "::1",
            "a" * 64,
            f"{'a.' * 130}b",
        ]
    ),
)


@given(st.lists(st.tuples(names, names, names, names), min_size=1, max_size=5))
def test_any_names_are_read_alike(documents: list[tuple[str, str, str, str]]) -> None:
    quoted = (
        ENTRY.replace("{name}", '"{name}"').replace("{namespace}", '"{namespace}"').replace("{address}", '"{address}"')
    )
    text = FIRST + "".join(
        quoted.format(name=name, namespace=namespace, host=host, address=address)
        for name, namespace, host, address in documents
    )
    assert as_forms(text) == as_read(text)


def test_the_second_document_of_a_form_is_not_decoded() -> None:
    text = FIRST + ENTRY.format(name="a", namespace="b", host="*.c.test", address="10.0.0.2")
    text += ENTRY.format(name="a", namespace="b", host="c.test", address="10.0.0.2")
    first, wildcard, second = Forms("extended").read(text.encode(), "f.yaml")
    if core.BACKEND == "fallback":
        # Its reader leaves names where they are.
        assert isinstance(second, Decoded)
        return
    assert isinstance(first, Decoded)
    assert isinstance(wildcard, Decoded)
    assert isinstance(second, Written)
    assert second.names == ("a", "b", "c.test", "10.0.0.2")
    assert (second.form.kind, second.form.kinds) == ("ServiceEntry", ("n", "n", "h", "4"))
    assert (second.file, second.index, second.line) == ("f.yaml", 2, 23)
    resource: Resource[ServiceEntry] = second.resource()  # type: ignore[assignment]
    assert resource.spec.endpoints[0].address == "10.0.0.2"


@pytest.mark.parametrize(
    "spec",
    [
        "hosts: [{host}, b.{host}]",
        "hosts: [{host}]\n  exportTo: [there]",
        "hosts: [{host}]\n  workloadSelector: {{labels: {{a: b}}}}",
        "hosts: [{host}]\n  resolution: STATIC\n  endpoints: [{{address: 10.0.0.1, serviceAccount: a}}]",
        "hosts: [{host}]\n  resolution: NOTHING",
        "hosts: [{host}]\nstatus:\n  addresses: [{{value: 10.0.0.1, host: {host}}}]",
    ],
)
def test_where_names_are_compared_with_something_each_document_is_read(spec: str) -> None:
    head = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec:\n  "
    text = "\n---\n".join((head + spec).format(host=host) for host in ("a.test", "b.test"))
    assert not any(isinstance(one, Written) for one in Forms("extended").read(text.encode()))


def test_a_text_that_two_threads_read_comes_in_order_and_with_its_lines() -> None:
    """Over a megabyte, errors in both halves, documents of very different sizes."""
    entries = [
        ENTRY.format(name=f"s-{at}", namespace="here", host=f"h-{at}.test", address="10.0.0.1").removesuffix("---\n")
        for at in range(6_000)
    ]
    entries[7] = entries[5_500] = "a: [\n"
    entries[20] += f"# {'x' * 300_000}\n"
    text = "---\n".join(entries)
    assert len(text) > 1 << 20
    lines = [1]
    for entry in entries:
        lines.append(lines[-1] + entry.count("\n") + 1)
    rows = list(forms(text.encode(), PLACES))
    assert [row[1] for row in rows] == list(range(len(entries)))
    # A document begins with its marker, but the first.
    assert [row[2] for row in rows] == [1, *list(lines[1:-1])]
    bad = {row[1]: row[4] for row in rows if row[3] is not None}
    assert bad == {at: lines[at] + 1 for at in (7, 5_500)}
    if core.BACKEND == "fallback":
        return
    assert [row[6][0] for row in rows if row[3] is None] == [f"s-{at}" for at in range(6_000) if at not in bad]
    assert len({row[0] for row in rows}) == 2
